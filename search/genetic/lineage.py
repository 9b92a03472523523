"""Who descends from whom, by which operator, and how the population changed.

Pure functions over finished trials; numbers only. `GeneticSampler` stores each trial's
parents, operator and changed genes as the user attribute ``lineage``; trials without it
(another sampler's) stand alone, and so do known-good points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from search.prior import PRIOR
from search.space.unit import to_unit
from search.trials.marks import LINEAGE, by_turn, searched
from search.trials.summary import fit, merit

from .history import union

POINT = "point"
"""Operator of a known-good point."""
DOUBTED = "doubted"
"""Key of a lineage: the genes whose priors the trials contradicted when it was asked for."""


@dataclass(frozen=True)
class Ancestor:
    """One trial of a family tree.

    Args:
        number: the trial.
        parents: their numbers, the one it resembles most first; all lower than ``number``.
        operator: what made it: ``initial``, ``random``, ``point``, ``prior``, ``mutation``,
            ``crossover``, ``crossover+mutation``, ``repeat`` (the same recipe again), or an empty
            string where nobody knows.
        changed: gene -> (value in the first parent, value here), for the genes that took
            part in either trial; None where a gene took no part.
        state: of the trial, in lower case.
        value: final value, or the best so far of a pruned trial; None if it has none.
    """

    number: int
    parents: tuple[int, ...]
    operator: str
    changed: Mapping[str, tuple[Any, Any]]
    state: str
    value: float | None


@dataclass(frozen=True)
class OperatorCount:
    """What one operator brought.

    Args:
        operator: its name.
        trials: how many it made.
        finished: how many of them ended with a value.
        improved: how many were worth more than each of their parents.
        best: how many were the best so far when they came, by number.
    """

    operator: str
    trials: int
    finished: int
    improved: int
    best: int


@dataclass(frozen=True)
class Generation:
    """``population`` trials in a row, and what stood after them.

    Args:
        number: counted from 0.
        trials: how many trials belong to it by now.
        finished: how many of them ended with a value.
        best: the best value among its complete trials, or None.
        mean: their mean value, or None.
        best_so_far: the best value of any complete trial up to its end, or None.
        diversity: mean pairwise distance of the population after it, from 0 (all alike) to
            1; None with fewer than two.
    """

    number: int
    trials: int
    finished: int
    best: float | None
    mean: float | None
    best_so_far: float | None
    diversity: float | None


def doubted_priors(trials: Iterable[FrozenTrial]) -> list[str]:
    """The genes whose priors the trials contradicted when the latest child was asked for."""
    for trial in sorted(trials, key=lambda t: t.number, reverse=True):
        stored = trial.user_attrs.get(LINEAGE)
        if isinstance(stored, Mapping) and (stored.get("parents") or stored.get(DOUBTED)):
            found = stored.get(DOUBTED)
            return [n for n in found if isinstance(n, str)] if isinstance(found, list) else []
    return []


def record(
    trial: FrozenTrial,
    trials: Mapping[int, FrozenTrial],
    direction: StudyDirection = StudyDirection.MAXIMIZE,
) -> Ancestor:
    """The family record of ``trial``; parents that are not in ``trials`` are left out.

    A study may come from elsewhere: whatever is no lineage counts for none.
    """
    stored = trial.user_attrs.get("lineage")
    stored = stored if isinstance(stored, Mapping) else {}
    listed = stored.get("parents")
    known = [p for p in listed if type(p) is int] if isinstance(listed, list) else []
    parents = tuple(dict.fromkeys(p for p in known if p in trials and p < trial.number))
    operator = stored.get("operator")
    given = bool(trial.system_attrs.get("fixed_params"))
    if trial.user_attrs.get(PRIOR):
        parents, operator = (), PRIOR  # whatever the sampler proposed was set aside
    elif trial.user_attrs.get(POINT) or (given and not parents):
        operator = POINT
    elif not isinstance(operator, str):
        operator = ""
    changed = {}
    if parents:
        before, after = trials[parents[0]].params, trial.params
        names = sorted(before.keys() | after.keys())
        pairs = {name: (before.get(name), after.get(name)) for name in names}
        changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return Ancestor(
        trial.number,
        parents,
        operator,
        changed,
        trial.state.name.lower(),
        value_of(trial, direction),
    )


def value_of(
    trial: FrozenTrial, direction: StudyDirection = StudyDirection.MAXIMIZE
) -> float | None:
    """Final value, or the best so far of a pruned trial; None where there is none."""
    worth = merit(trial, direction) if trial.state.is_finished() else None
    if worth is None:
        return None
    return worth[1] if direction == StudyDirection.MAXIMIZE else -worth[1]


def ancestors(
    trials: Iterable[FrozenTrial],
    number: int,
    direction: StudyDirection = StudyDirection.MAXIMIZE,
) -> list[Ancestor]:
    """Everyone trial ``number`` descends from, oldest first, and itself at the end.

    Raises:
        KeyError: there is no such trial.
    """
    by_number = {t.number: t for t in trials}
    if number not in by_number:
        raise KeyError(f"there is no trial {number} among {len(by_number)}")
    found: dict[int, Ancestor] = {}
    waiting = [number]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found[current] = record(by_number[current], by_number, direction)
            waiting += found[current].parents
    return [found[n] for n in sorted(found)]


def line(
    trials: Iterable[FrozenTrial],
    number: int,
    direction: StudyDirection = StudyDirection.MAXIMIZE,
) -> list[Ancestor]:
    """The main line to trial ``number``: from each to the parent it resembles most.

    Raises:
        KeyError: there is no such trial.
    """
    by_number = {a.number: a for a in ancestors(trials, number, direction)}
    chain = [by_number[number]]
    while chain[-1].parents:
        chain.append(by_number[chain[-1].parents[0]])
    return chain[::-1]


def operators(
    trials: Iterable[FrozenTrial], direction: StudyDirection = StudyDirection.MAXIMIZE
) -> list[OperatorCount]:
    """What each operator brought, the busiest first. Trials without an operator are left out, and
    so are reruns."""
    by_number = {t.number: t for t in sorted(searched(trials), key=lambda t: t.number)}
    worths = {
        n: merit(t, direction) if t.state.is_finished() else None for n, t in by_number.items()
    }
    counts: dict[str, list[int]] = {}
    best: tuple[float, float] | None = None
    for number, trial in by_number.items():
        entry, worth = record(trial, by_number), worths[number]
        row = counts.setdefault(entry.operator, [0, 0, 0, 0])
        row[0] += 1
        if worth is None:
            continue
        row[1] += 1
        row[2] += bool(entry.parents) and all(_above(worth, worths[p]) for p in entry.parents)
        row[3] += _above(worth, best)
        best = worth if _above(worth, best) else best
    found = [OperatorCount(name, *row) for name, row in counts.items() if name]
    return sorted(found, key=lambda c: (-c.trials, c.operator))


def _above(one: tuple[float, float], two: tuple[float, float] | None) -> bool:
    return two is None or one > two


def generations(
    trials: Iterable[FrozenTrial],
    population: int,
    distributions: Mapping[str, BaseDistribution] | None = None,
    direction: StudyDirection = StudyDirection.MAXIMIZE,
) -> list[Generation]:
    """The search, ``population`` trials at a time; reruns are none of its.

    Args:
        trials: of one study, with all its reruns.
        population: trials a generation, and individuals in the population.
        distributions: of all genes; ``None`` takes those that the trials saw.
        direction: the study's.

    Raises:
        ValueError: ``population`` is below 1.
    """
    if population < 1:
        raise ValueError(f"population must be at least 1, got {population}")
    turns = dict(by_turn(sorted(trials, key=lambda t: t.number)))
    ordered = list(turns.values())
    space = union(ordered, distributions)
    sign = 1.0 if direction == StudyDirection.MAXIMIZE else -1.0
    worths = {t.number: merit(t, direction) if t.state.is_finished() else None for t in ordered}
    rows, so_far = [], -math.inf
    last = max(turns, default=-population) // population
    for index in range(last + 1):
        members = [t for turn, t in turns.items() if turn // population == index]
        ended = [w for t in members if (w := worths[t.number]) is not None]
        complete = [worth for reached, worth in ended if math.isinf(reached)]
        so_far = max([so_far, *complete])
        alive = [
            t
            for turn, t in turns.items()
            if turn < (index + 1) * population and worths[t.number] is not None
        ]
        alive.sort(key=lambda t: (worths[t.number], t.number), reverse=True)
        rows.append(
            Generation(
                index,
                len(members),
                len(ended),
                sign * max(complete) if complete else None,
                sign * sum(complete) / len(complete) if complete else None,
                None if math.isinf(so_far) else sign * so_far,
                diversity(alive[:population], space),
            )
        )
    return rows


def diversity(trials: Sequence[FrozenTrial], space: Mapping[str, BaseDistribution]) -> float | None:
    """Mean pairwise distance of ``trials``, or None with fewer than two."""
    places = [place(trial.params, space) for trial in trials]
    pairs = [apart(one, two, space) for one, two in combinations(places, 2)]
    return sum(pairs) / len(pairs) if pairs else None


def distance(one: FrozenTrial, two: FrozenTrial, space: Mapping[str, BaseDistribution]) -> float:
    """How far two trials lie apart, from 0 to 1; see `apart`."""
    return apart(place(one.params, space), place(two.params, space), space)


def place(params: Mapping[str, Any], space: Mapping[str, BaseDistribution]) -> dict[str, float]:
    """Where ``params`` lie in the unit interval, those of the genes of ``space``."""
    return {n: to_unit(space[n], fit(space[n], v)) for n, v in params.items() if n in space}


def apart(
    one: Mapping[str, float], two: Mapping[str, float], space: Mapping[str, BaseDistribution]
) -> float:
    """How far two places lie apart, from 0 to 1.

    The mean over the genes that took part in either: numbers by their distance in the unit
    interval, choices 0 or 1, and 1 for a gene that took part in one only (Gower, "A General
    Coefficient of Similarity", 1971).
    """
    names = one.keys() | two.keys()
    total = 0.0
    for name in sorted(names):
        if name not in one or name not in two:
            total += 1.0
        elif isinstance(space[name], CategoricalDistribution):
            total += float(one[name] != two[name])
        else:
            total += abs(one[name] - two[name])
    return total / len(names) if names else 0.0
