"""The contract between a runner and what it optimises.

An objective is a function from a `Task` to a generator. The generator yields one
`Step` an epoch and returns an `Outcome`. A runner stops a trial early by closing the
generator, so that whatever the trial holds is freed by its own ``finally`` clauses.

On a second call with the same task (after a kill) the generator goes on from its own
checkpoint: it first yields again the steps that its checkpoint remembers, so that a
step which was saved but not reported before the kill reaches the study all the same.
"""

from __future__ import annotations

import errno
import math
import traceback
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from .json_values import plain

REASONS = ("nan", "out of memory", "crash", "killed", "bad data", "machine")
"""Why a trial may fail; see `search.breaker` about those that are the machine's."""

MACHINE = frozenset({"killed", "machine"})
"""Reasons that say nothing about the recipe: another machine may get through with it."""

LAST_STEP = 2**31 - 1
"""No step has a larger number: databases hold no more."""


@dataclass(frozen=True)
class Task:
    """One trial as a worker sees it.

    Args:
        number: the trial's number in the study.
        params: active genes and fixed values, by name.
        seed: the trial's own seed, derived from the study's seed and the number.
        folder: where the trial keeps its files; made by whoever writes first.
        attempt: 0 at first, one more after every resume.
        round: of a rerun, which fresh split it is on; ``None``: the study's own. See
            `search.confirm`.
    """

    number: int
    params: Mapping[str, Any]
    seed: int
    folder: Path
    attempt: int = 0
    round: int | None = None


class Step(NamedTuple):
    """One report of a running trial.

    Args:
        number: the step, counted from 1 (an epoch).
        value: the objective's estimate after this step; more is better.
        attrs: user attributes to store with the trial, JSON-able.
        last: no further step will come, so stopping here would save nothing.
        others: where there are several objectives, what the others are expected to be at the
            trial's end, in order; empty where nothing is known. See
            `search.trials.halving.goes_on`.
    """

    number: int
    value: float
    attrs: Mapping[str, Any] = {}
    last: bool = False
    others: tuple[float, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a trial ended: with a value, or failed for a reason out of `REASONS`.

    Where the study has several objectives, ``value`` is the first one's and ``others`` are the
    others', in order.
    """

    value: float | None = None
    reason: str | None = None
    detail: str = ""
    attrs: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[float, ...] = ()

    @classmethod
    def failed(cls, reason: str, detail: str = "") -> Outcome:
        """A failed outcome. ``reason`` is one of `REASONS`, ``detail`` is for people."""
        if reason not in REASONS:
            raise ValueError(f"unknown failure reason {reason!r}; one of {', '.join(REASONS)}")
        return cls(reason=reason, detail=detail)


class TrialError(Exception):
    """Raised by an objective that knows why it cannot go on."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.outcome = Outcome.failed(reason, detail)


Steps = Generator[Step, None, Outcome]


class Objective(Protocol):
    """What a runner optimises. Must be picklable to run on other processes.

    It may have a method ``identity(params) -> str | None``; see `search.trials.repeats`. And one
    ``preflight() -> Mapping[str, str]``: what must be the same on all machines that run its trials,
    by name; it raises a `SearchError` where they could not run. See `search.tune.preflight`.
    """

    def __call__(self, task: Task) -> Steps:
        """Start, or go on with, the trial ``task``."""
        ...


def drive(objective: Objective, task: Task) -> Steps:
    """Run ``objective`` so that whatever goes wrong becomes a failed `Outcome`.

    Both runners go through here, so a trial fails the same way on each. Yields the
    objective's steps, as plain numbers and attributes that JSON has; ends early with reason
    ``nan`` at the first value, of any objective, that is not finite. Closing this generator
    closes the objective's.
    """
    try:
        steps = objective(task)
        try:
            while True:
                step = _plain_step(next(steps))
                bad = [v for v in (step.value, *step.others) if not math.isfinite(v)]
                if bad:
                    return Outcome.failed("nan", f"a value of step {step.number} is {bad[0]}")
                yield step
        except StopIteration as stop:
            return _checked(stop.value)
        finally:
            steps.close()
    except TrialError as error:
        return error.outcome
    except MemoryError as error:
        return Outcome.failed("out of memory", str(error))
    except Exception as error:
        reason = "machine" if _of_the_machine(error) else "crash"
        return Outcome.failed(reason, traceback.format_exc(limit=-4))


_MACHINE_ERRORS = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.ESTALE, errno.ENODEV, errno.ENXIO,
     errno.EMFILE, errno.ENFILE, errno.ENOTCONN, errno.ETIMEDOUT)
)  # fmt: skip
_DEVICE_ERRORS = (
    "CUDA error", "CUDA driver", "No CUDA GPUs are available", "no NVIDIA driver", "NVML",
    "CUDNN_STATUS_NOT_INITIALIZED", "CUBLAS_STATUS_NOT_INITIALIZED",
)  # fmt: skip


def _of_the_machine(error: BaseException) -> bool:
    """Whether an error is of a disk, a device or an installation, whatever was being done."""
    while error.__cause__ is not None and not isinstance(error, OSError | ImportError):
        error = error.__cause__
    if isinstance(error, OSError):
        return error.errno in _MACHINE_ERRORS
    if isinstance(error, RuntimeError):
        return any(sign in str(error) for sign in _DEVICE_ERRORS)
    return isinstance(error, ImportError)


def _plain_step(step: object) -> Step:
    if not isinstance(step, Step):
        raise TypeError(f"the objective yielded {step!r}, not a Step")
    others = tuple(_number(value) for value in step.others)
    number = int(step.number)
    if not 0 <= number <= LAST_STEP:
        raise ValueError(f"the number of a step must lie between 0 and {LAST_STEP}")
    return Step(number, _number(step.value), plain(step.attrs), bool(step.last), others)


def _number(value: Any) -> float:
    """``value``, perhaps of a numerical library, as Python's. A text is not a number."""
    if isinstance(value, str | bytes):
        raise TypeError(f"{value!r} is not a number")
    return float(value)


def _checked(outcome: object) -> Outcome:
    if not isinstance(outcome, Outcome):
        return Outcome.failed("crash", f"the objective returned {outcome!r}, not an Outcome")
    value = None if outcome.value is None else _number(outcome.value)
    others = tuple(_number(other) for other in outcome.others)
    return settled(replace(outcome, value=value, others=others, attrs=plain(outcome.attrs)))


def settled(outcome: Outcome, objectives: int | None = None) -> Outcome:
    """``outcome``, or a failed one where its values are missing or not finite.

    Args:
        outcome: as an objective returned it.
        objectives: how many values it should have, where that is known.
    """
    if outcome.reason is not None:
        return outcome
    values = (outcome.value, *outcome.others)
    bad = [value for value in values if value is None or not math.isfinite(value)]
    lost = replace(outcome, value=None, others=())
    if bad:
        return replace(lost, reason="nan", detail=f"the trial's final value is {bad[0]}")
    if objectives is not None and len(values) != objectives:
        detail = f"the trial has {len(values)} values, the study has {objectives} objectives"
        return replace(lost, reason="crash", detail=detail)
    return outcome
