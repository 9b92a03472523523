"""What the reruns of a study's finalists have come to so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cxrsearch.errors import InputError
from cxrsearch.show.rows import Row, mapping, number, whole
from cxrsearch.show.view import StudyView
from search.confirm.reruns import FINALISTS, Rerun, finalists_of, numbers_in, reruns

from .luck import Truth, epoch_scores, final_scores

if TYPE_CHECKING:  # they load SciPy, which what is kept does without
    from search.confirm.result import Confirmed, Parts

VAL_SHARE = 0.2
"""Of train + validation that a rerun is judged on, where nothing says it."""


class TrainingCost(NamedTuple):
    """The finalist that trains fastest of those that cannot be told from the winner.

    Args:
        number: of the trial.
        share: its cost, of the winner's.
        what: ``time`` or ``images``, by what is recorded of both.
    """

    number: int
    share: float
    what: str


class ConfirmationState(NamedTuple):
    """How far the confirmation of a study is.

    Args:
        finalists: the trials that are confirmed, the most promising first.
        done: reruns that have a value.
        failed: reruns that failed by their own fault, which puts their finalist out.
        running: reruns that have begun and not ended.
        planned: reruns in all; None where nothing says it.
        alive: whether somebody is at work on the study.
        later: trials of the search that have ended since the finalists were chosen.
    """

    finalists: tuple[int, ...] = ()
    done: int = 0
    failed: int = 0
    running: int = 0
    planned: int | None = None
    alive: bool = False
    later: int = 0

    @property
    def whole(self) -> bool:
        """Whether all planned reruns have ended."""
        return bool(self.finalists) and not self.running and not self.left

    @property
    def left(self) -> int:
        """Planned reruns that have not begun."""
        begun = self.done + self.failed + self.running
        return 0 if self.planned is None else max(0, self.planned - begun)

    @property
    def over(self) -> bool:
        """Whether figures of the reruns stand: all have ended, or nobody is at work on them."""
        return self.whole or (bool(self.finalists) and not self.alive)


def state_of_confirmation(view: StudyView) -> ConfirmationState:
    """How far the confirmation of a study is."""
    stored = view.record.attrs.get(FINALISTS)
    finalists = numbers_in(stored)
    plan = mapping(stored)
    own = [rerun for rerun in reruns(view.record.trials) if rerun.finalist in finalists]
    values = [rerun.value for rerun in own]
    ended = sum(row.state not in ("running", "interrupted", "paused") for row in view.rows)
    after = whole(plan.get("after"))
    return ConfirmationState(
        finalists,
        sum(value is not None and math.isfinite(value) for value in values),
        sum(value is not None and not math.isfinite(value) for value in values),
        sum(value is None for value in values),
        whole(plan.get("reruns")),
        view.record.driver_alive,
        0 if after is None else max(0, ended - after),
    )


def result_of(view: StudyView) -> Confirmed | None:
    """What the reruns say by now; None before there are enough of them."""
    from search.confirm.result import confirmed

    finalists = finalists_of(view.record.attrs)
    done = [rerun for rerun in reruns(view.record.trials) if rerun.finalist in finalists]
    if not finalists or not done:
        return None
    share = share_judged(view)
    parts = parts_of(view.record.folder, str(view.asked.get("objective") or "auroc"))
    found = confirmed(finalists, done, parts, share)
    if found is None or found.low is None or found.high is None:
        return found
    # Student's t over few rounds does not know that an AUROC lies between 0 and 1.
    return found._replace(low=max(0.0, found.low), high=min(1.0, found.high))


def share_judged(view: StudyView) -> float:
    """Share of the images of train + validation that a rerun is judged on.

    A round's validation part is as large as the study's own, which may have come with the data.
    """
    from cxrsearch.data.splits import Splits

    try:
        splits = Splits.load(view.record.folder / "splits.json")
    except InputError:
        asked = number(view.asked.get("val_share"))
        return asked if asked is not None and 0 < asked < 1 else VAL_SHARE
    train, val = len(splits.train), len(splits.val)
    return val / (train + val) if train and val else VAL_SHARE


def parts_of(folder: Path, objective: str) -> Parts | None:
    """Patients and influence by rerun and step, from what reruns predict.

    Args:
        folder: the study's.
        objective: as ``--objective`` has it.

    Returns:
        None where the study's labels are not there. What is read is kept: ask for finished reruns.
    """
    from search.optimism import influence

    try:
        truth = Truth(folder, objective)
    except InputError:
        return None

    known: dict[tuple[int, int | None], tuple[np.ndarray, np.ndarray]] = {}

    def parts(rerun: Rerun, step: int | None) -> tuple[np.ndarray, np.ndarray] | None:
        found = known.get((rerun.number, step)) or read(rerun, step)
        if found is not None:  # a race asks for the same ones at every look
            known[rerun.number, step] = found
        return found

    def read(rerun: Rerun, step: int | None) -> tuple[np.ndarray, np.ndarray] | None:
        place = folder / "trials" / str(rerun.number)
        said = None
        if step is not None:
            said = epoch_scores(place, truth, [step]).get(step)
        if said is None and step in (None, _best_step(rerun)):
            said = final_scores(place, truth)
        if said is None:
            return None
        try:
            labels, patients = truth(said.names.tolist())
            found = influence(labels, said.logits, patients)
        except (InputError, ValueError):  # of images that are no longer the study's
            return None
        return found.ids, found.psi

    return parts


def _best_step(rerun: Rerun) -> int | None:
    return max(rerun.curve, key=lambda step: (rerun.curve[step], -step), default=None)


def cheapest(view: StudyView, winner: int, alike: Sequence[int]) -> TrainingCost | None:
    """What trains fastest of ``winner`` and those ``alike``; None where nobody knows.

    By seconds of training of its reruns; where these are not recorded, by images seen.
    """
    for what, key in (("time", "seconds"), ("images", "images_seen")):
        known = {n: _spent(view, n, key) for n in (winner, *alike)}
        costs = {n: cost for n, cost in known.items() if cost}
        if len(costs) == len(known):
            least = min(costs, key=lambda n: (costs[n], n != winner, n))
            return TrainingCost(least, costs[least] / costs[winner], what)
    return None


def _spent(view: StudyView, finalist: int, key: str) -> float | None:
    """What training a finalist took: the median of its reruns that completed, or of itself.

    Reruns train side by side, whole, and at one time, so that a busy hour of the search is nobody's
    disadvantage.
    """
    reruns = [row.number for row in view.reruns if row.confirms == finalist]
    done = {row.number for row in (*view.rows, *view.reruns) if row.state == "complete"}
    for own in (reruns, [finalist]):
        attrs = [view.record.trials[n].user_attrs for n in own if n in done]
        found = [value for each in attrs if (value := number(each.get(key)))]
        if found:
            return float(np.median(found))
    return None


def training_seconds(view: StudyView, finalist: int) -> float | None:
    """What training a finalist takes, in seconds; None where that is not recorded."""
    return _spent(view, finalist, "seconds")


def reruns_by_finalist(view: StudyView) -> dict[int, list[Row]]:
    """The reruns of each finalist, by round."""
    found: dict[int, list[Row]] = {n: [] for n in finalists_of(view.record.attrs)}
    for row in sorted(view.reruns, key=lambda r: (r.round or 0, r.number)):
        if row.confirms in found:
            found[row.confirms].append(row)
    return found


def plain(found: Confirmed) -> dict[str, Any]:
    """``found`` as JSON has it; `confirmed_from` gives it back."""
    return {
        "number": found.number,
        "step": found.step,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "reruns": found.reruns,
        "alike": list(found.alike),
        "differences": {str(n): list(each) for n, each in found.differences.items()},
    }


def confirmed_from(kept: Mapping[str, Any]) -> Confirmed:
    """What `plain` made JSON of.

    Raises:
        KeyError, TypeError, ValueError: where it is something else.
    """
    from search.confirm.result import Confirmed

    differences = {
        int(n): (float(each[0]), float(each[1]), float(each[2]))
        for n, each in mapping(kept["differences"]).items()
    }
    step, value, low, high = (kept[key] for key in ("step", "value", "low", "high"))
    return Confirmed(
        number=int(kept["number"]),
        step=None if step is None else int(step),
        value=None if value is None else float(value),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        reruns=int(kept["reruns"]),
        alike=tuple(int(n) for n in kept["alike"]),
        differences=differences,
    )
