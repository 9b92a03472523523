"""Marks of trials that are not the search's own: answered from the history, or confirming.

A *repeat* was answered by what an earlier trial came to; see `search.trials.repeats`. A *rerun*
trains a finalist's recipe again, on a fresh seed and a fresh split; see `search.confirm`. It is a
trial like any other for runners and for a resume, but its value does not compare with the search's:
samplers, rungs, rankings and the search's own best leave it out.
"""

from __future__ import annotations

import copy
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence

from optuna.trial import FrozenTrial

LINEAGE = "lineage"
"""Trial attribute: where a trial's genes come from; see `search.genetic.lineage`."""
SAME_AS = "same_as"
"""Trial attribute: the number of the trial whose end it was given."""
CONFIRMS = "confirms"
"""Trial attribute of a rerun: the number of the trial whose recipe it trains again."""
ROUND = "round"
"""Trial attribute of a rerun: which fresh split it is on, from 0. In one round all finalists have
the same."""


def same_as(trial: FrozenTrial) -> int | None:
    """The trial that ``trial`` repeats; ``None`` where it is one of its own."""
    return _number(trial, SAME_AS)


def confirms(trial: FrozenTrial) -> int | None:
    """The finalist that ``trial`` is a rerun of; ``None`` where it is the search's own."""
    return _number(trial, CONFIRMS)


def round_of(trial: FrozenTrial) -> int | None:
    """The round of a rerun; ``None`` for any other trial."""
    return _number(trial, ROUND)


def is_rerun(trial: FrozenTrial) -> bool:
    """Whether ``trial`` is a rerun, however its mark reads."""
    return CONFIRMS in trial.user_attrs


def searched(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """``trials`` without reruns: those that the search itself has asked for."""
    return [trial for trial in trials if not is_rerun(trial)]


def unmarked(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """``trials`` of another program's study, whose attributes of the marks' names mean nothing."""
    return [_without(trial, (CONFIRMS, ROUND, SAME_AS)) for trial in trials]


def _without(trial: FrozenTrial, names: Sequence[str]) -> FrozenTrial:
    if not any(name in trial.user_attrs for name in names):
        return trial
    seen = copy.copy(trial)
    seen.user_attrs = {k: v for k, v in trial.user_attrs.items() if k not in names}
    return seen


def by_turn(trials: Iterable[FrozenTrial]) -> Iterator[tuple[int, FrozenTrial]]:
    """The search's own trials, each with its turn: its number, had there been no reruns.

    What the search draws by a trial's number (seeds, generations, known-good points, samplers) it
    draws by the turn, so that it goes on after a confirmation as it would have without one.

    Args:
        trials: of one study, by number, with all its reruns.
    """
    reruns = 0
    for trial in trials:
        if is_rerun(trial):
            reruns += 1
        else:
            yield trial.number - reruns, trial


def under_turn(trial: FrozenTrial, turn: int, reruns: Sequence[int]) -> FrozenTrial:
    """``trial`` as it would be without reruns: it and its parents go by their turns.

    Itself where that is its number.

    Args:
        trial: the search's own.
        turn: its turn.
        reruns: the numbers of all reruns, ascending.
    """
    if trial.number == turn:
        return trial
    seen = copy.copy(trial)
    seen.number = turn
    lineage = trial.user_attrs.get(LINEAGE)
    if isinstance(lineage, Mapping) and isinstance(parents := lineage.get("parents"), list):
        turns = [p - bisect_left(reruns, p) for p in parents if type(p) is int]
        seen.user_attrs = {**trial.user_attrs, LINEAGE: {**lineage, "parents": turns}}
    return seen


def _number(trial: FrozenTrial, mark: str) -> int | None:
    found = trial.user_attrs.get(mark)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
