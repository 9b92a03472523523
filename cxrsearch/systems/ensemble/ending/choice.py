"""Which trials of a study an ensemble is made of, the most promising first."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from optuna.trial import FrozenTrial

from cxrsearch.learn.recipe import Recipe, identity
from cxrsearch.show.chosen import Chosen
from cxrsearch.study.experiment import ranking
from search.confirm.reruns import reruns
from search.store.record import StudyRecord


class MemberCandidate(NamedTuple):
    """A trial that may be a member.

    Args:
        trial: a complete one.
        repeat: whether an earlier candidate has the same recipe, with another seed.
        expected: what is expected of its recipe; None of several objectives.
        why: its place, in words.
    """

    trial: FrozenTrial
    repeat: bool
    expected: float | None
    why: str

    @property
    def name(self) -> str:
        """What it is called as a member."""
        return str(self.trial.number)


def member_candidates(
    record: StudyRecord, chosen: Chosen, among: Collection[int]
) -> list[MemberCandidate]:
    """Trials of a study in the order in which an ensemble takes them.

    The recommended trial comes first, then finalists that reruns cannot tell from it, the best by
    its reruns first, then the highest expected values; of several objectives the highest AUROC. A
    finalist that its reruns put behind is a trial like others. A recipe's second trial comes after
    all other recipes: members that err alike gain less.

    Args:
        record: the study.
        chosen: what is known of its winner.
        among: numbers of the complete trials that can be had.
    """
    places = _places(record, chosen)
    trials = [record.trials[number] for number in places if number in among]
    seen: set[str] = set()
    firsts, repeats = list[MemberCandidate](), list[MemberCandidate]()
    for trial in trials:
        recipe = Recipe.from_params(trial.user_attrs["params"])
        repeat = (text := identity(recipe)) in seen
        seen.add(text)
        expected = chosen.expected.get(trial.number)
        why = "a recipe again, with another seed" if repeat else places[trial.number]
        found = MemberCandidate(trial, repeat, expected, why)
        (repeats if repeat else firsts).append(found)
    return [*firsts, *repeats]


def _places(record: StudyRecord, chosen: Chosen) -> dict[int, str]:
    """Why a trial has its place, by number of the complete trials, the first to be taken first."""
    values: dict[int, list[float]] = {}
    for rerun in reruns(record.trials):
        if rerun.value is not None and math.isfinite(rerun.value):
            values.setdefault(rerun.finalist, []).append(rerun.value)
    places: dict[int, str] = {}
    result = chosen.result
    if result is not None and result.value is not None:
        alike = [n for n in result.alike if n in values]
        alike.sort(key=lambda n: -sum(values[n]) / len(values[n]))
        for number in (result.number, *alike):
            count = len(values[number])
            places[number] = f"confirmed by {count} rerun{'s' * (count != 1)}"
    if chosen.recommended is not None:
        places.setdefault(chosen.recommended, "recommended")
    ranked = ranking(record.trials, record.config.directions)
    by, worth = "by its expected value", chosen.expected
    if not worth:  # a cheap trial of the Pareto front may be a weak one, and members cost alike
        by, worth = "by its AUROC", {n: record.trials[n].values[0] for n in ranked}
    for number in sorted(ranked, key=lambda n: -worth.get(n, -math.inf)):
        places.setdefault(number, by)  # the sort is stable: of equals the higher value
    return places
