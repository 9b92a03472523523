from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import pytest

from search.objective import Outcome, Step, TrialError, drive

TASK: Any = None


def ended(objective: Any) -> tuple[list[Step], Outcome]:
    """All steps of a driven trial, and its outcome."""
    steps, seen = drive(objective, TASK), []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


def yields(*found: Any, returns: Any = None, raises: BaseException | None = None) -> Any:
    def objective(task: Any) -> Generator[Any, None, Any]:
        yield from found
        if raises is not None:
            raise raises
        return returns

    return objective


def test_steps_and_outcome_come_through() -> None:
    outcome = Outcome(0.5, attrs={"best_epoch": 1})
    assert ended(yields(Step(1, 0.5), returns=outcome)) == ([Step(1, 0.5)], outcome)


@pytest.mark.parametrize(
    ("objective", "reason", "detail"),
    [
        (yields(Step(1, math.nan)), "nan", "step 1 is nan"),
        (yields(returns=Outcome(math.inf)), "nan", "final value is inf"),
        (yields(returns=Outcome(None)), "nan", "final value is None"),
        (yields(raises=MemoryError("3 GB")), "out of memory", "3 GB"),
        (yields(raises=TrialError("bad data", "no image")), "bad data", "no image"),
        (yields(raises=ValueError("so")), "crash", "ValueError: so"),
        (yields(raises=StopIteration(Outcome(0.5))), "crash", "StopIteration"),
        (yields(Step(1, 0.5)), "crash", "returned None, not an Outcome"),
        (yields(returns=0.5), "crash", "returned 0.5, not an Outcome"),
        (yields(returns=Outcome("0.5")), "crash", "TypeError"),  # type: ignore[arg-type]
        (yields(0.5), "crash", "yielded 0.5, not a Step"),
        (yields(Step("one", 0.5)), "crash", "ValueError"),  # type: ignore[arg-type]
        (yields(Step(1, 0.5, others=(3.0, math.inf))), "nan", "step 1 is inf"),
        (yields(returns=Outcome(0.5, others=(math.nan,))), "nan", "final value is nan"),
        (yields(returns=Outcome(0.5, others=("3",))), "crash", "TypeError"),  # type: ignore[arg-type]
        (lambda task: None, "crash", "NoneType"),
    ],
)
def test_whatever_goes_wrong_is_a_failed_outcome(objective: Any, reason: str, detail: str) -> None:
    _, outcome = ended(objective)
    assert outcome.reason == reason
    assert detail in outcome.detail
    assert outcome.value is None


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_is_no_outcome(stop: type[BaseException]) -> None:
    with pytest.raises(stop):
        ended(yields(Step(1, 0.5), raises=stop()))


def test_closing_closes_the_objective_even_one_that_resists() -> None:
    closed = []

    def objective(task: Any) -> Generator[Step, None, Outcome]:
        try:
            yield Step(1, 0.5)
        finally:
            closed.append(1)
            yield Step(2, 0.5)
        return Outcome(0.5)

    steps = drive(objective, TASK)
    next(steps)
    steps.close()
    assert closed == [1]


def test_an_unknown_reason_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'tired'; one of nan, "):
        Outcome.failed("tired")
