"""What the trials so far tell a genetic algorithm: the genes, the parents, what was tried."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import product
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .coding import from_unit, levels, to_unit, values_of
from .estimates import estimates
from .genetic_model import Observation, Place
from .genetic_operators import Credit, Individual, Layout
from .halving import credit
from .seeds import derive

CARRIED = "carried"
"""User attribute: the value of every gene the sampler proposed, expressed or not."""


FAILURE = 0.0
"""Doubt of a failed trial's value; it counts as the worst."""
SMALL = 10_000
"""Combinations of genes up to which a space is searched for one that was not tried."""


def params_of(trial: FrozenTrial) -> Mapping[str, Any]:
    """The trial's parameters, or those it will have if it still waits (a known-good point)."""
    fixed: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return trial.params or fixed


def carried_of(trial: FrozenTrial) -> dict[str, Any]:
    """What `CARRIED` holds; nothing where another program wrote something else there."""
    found = trial.user_attrs.get(CARRIED)
    return dict(found) if isinstance(found, Mapping) else {}


def visible(trials: Iterable[FrozenTrial], number: int) -> list[FrozenTrial]:
    """The trials that trial ``number`` may know of, by number: finished, or asked for before."""
    known = (t for t in trials if t.state.is_finished() or t.number < number)
    return sorted((t for t in known if t.number != number), key=lambda t: t.number)


def union(
    trials: Iterable[FrozenTrial], given: Mapping[str, BaseDistribution] | None
) -> dict[str, BaseDistribution]:
    """Every gene seen in any trial, sorted by name.

    Optuna's own inference keeps what all trials have in common, which loses the
    conditional genes. The latest distribution counts where one changed; ``given`` counts
    before anything seen. Genes that can take one value only are left out.
    """
    seen: dict[str, BaseDistribution] = {}
    for trial in trials:
        seen.update(trial.distributions)
    seen.update(given or {})
    return {name: seen[name] for name in sorted(seen) if not seen[name].single()}


def merit(trial: FrozenTrial, direction: StudyDirection) -> tuple[float, float] | None:
    """`search.halving.credit`, with less counting as more where the study minimises."""
    if direction == StudyDirection.MINIMIZE:
        mirrored = copy.copy(trial)
        if trial.values is not None:
            mirrored.values = [-v for v in trial.values]
        mirrored.intermediate_values = {s: -v for s, v in trial.intermediate_values.items()}
        return credit(mirrored)
    return credit(trial)


def is_bad(trial: FrozenTrial) -> bool:
    """Whether the trial failed or met NaN: its neighbourhood is better avoided.

    A trial that got over a NaN and completed is as good as its value.
    """
    met_nan = any(math.isnan(v) for v in trial.intermediate_values.values())
    return trial.state == TrialState.FAIL or (met_nan and trial.state != TrialState.COMPLETE)


def design(
    seed: int, number: int, size: int, space: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Row ``number`` of a Latin hypercube: each ``size`` rows in turn fill each gene evenly.

    A gene's value follows from ``(seed, number, name)`` alone, so genes that turn up late,
    or only under a condition, need not be known beforehand (McKay et al., 1979).
    """
    block, row = divmod(number, size)
    values = {}
    for name, dist in space.items():
        rng = Random(derive(seed, "design", name, block))
        order = rng.sample(range(size), size)
        jitter = [rng.random() for _ in range(size)]
        values[name] = from_unit(dist, (order[row] + jitter[row]) / size)
    return values


@dataclass(frozen=True)
class History:
    """What one ask may know.

    Args:
        seed: the sampler's seed.
        layout: every gene seen or given.
        ranked: (credit, trial), best first; among equals the newest first, so that the
            population drifts over plateaus instead of standing still.
        tried: by the genes that took part, their values in all trials finished, and in those
            unfinished with lower numbers.
        bad: parameters of the trials that failed.
        finished: the trials that may be learnt from, by number, failed ones included.
        running: the unfinished ones.
        sign: 1 where the study maximises, else -1.
    """

    seed: int
    layout: Layout
    ranked: Sequence[tuple[tuple[float, float], FrozenTrial]]
    tried: Mapping[tuple[str, ...], AbstractSet[tuple[str, ...]]]
    bad: Sequence[Mapping[str, Any]]
    finished: Mapping[int, FrozenTrial]
    running: Sequence[FrozenTrial]
    sign: float

    @classmethod
    def read(
        cls,
        trials: Iterable[FrozenTrial],
        number: int,
        direction: StudyDirection,
        seed: int,
        given: Mapping[str, BaseDistribution] | None,
        parents_below: int | None = None,
    ) -> History:
        """The history as trial ``number`` may see it.

        Args:
            trials: all trials of the study.
            number: the trial that asks.
            direction: the study's.
            seed: the sampler's.
            given: genes known beforehand.
            parents_below: only trials with lower numbers may be parents.
        """
        known = visible(trials, number)
        space = union(known, given)
        ranked, bad = [], []
        finished, running = {}, []
        tried: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for trial in known:
            params = {n: v for n, v in params_of(trial).items() if n in space}
            if params:
                names = tuple(sorted(params))
                tried.setdefault(names, set()).add(tuple(_key(params[n]) for n in names))
            if not trial.state.is_finished():
                running += [trial] if params else []
                continue
            if parents_below is None or trial.number < parents_below:
                finished[trial.number] = trial
            worth = None if is_bad(trial) else merit(trial, direction)
            if worth is None:
                bad += [params] if params and is_bad(trial) else []
            elif parents_below is None or trial.number < parents_below:
                ranked.append((worth, trial))
        ranked.sort(key=lambda pair: (pair[0], pair[1].number), reverse=True)
        sign = -1.0 if direction == StudyDirection.MINIMIZE else 1.0
        return cls(seed, Layout(space), ranked, tried, bad, finished, running, sign)

    def observations(self) -> list[Observation]:
        """What the finished trials came to, by number; stopped ones by estimate."""
        guessed = estimates(self.finished.values(), self.sign > 0)
        found = []
        for number, trial in self.finished.items():
            if is_bad(trial):
                found += [Observation(number, math.nan, FAILURE)] if trial.params else []
            elif trial.state == TrialState.COMPLETE:
                found.append(Observation(number, self.sign * float(trial.value or 0.0), 0.0))
            elif number in guessed:
                value, doubt = guessed[number]
                found.append(Observation(number, self.sign * value, doubt))
        return found

    def individual(self, number: int, worth: tuple[float, float] = (0.0, 0.0)) -> Individual:
        """A finished trial as a parent."""
        return self._individual(self.finished[number], worth)

    def place(self, number: int) -> Place:
        """The genes of a finished trial."""
        one = self.individual(number)
        return one.numbers, one.classes

    def pending(self) -> list[Place]:
        """The genes of the trials that are running."""
        found = (self._individual(trial, (0.0, 0.0)) for trial in self.running)
        return [(one.numbers, one.classes) for one in found]

    def population(self, size: int) -> list[Individual]:
        """The best ``size`` individuals so far, best first."""
        return [self._individual(trial, worth) for worth, trial in self.ranked[:size]]

    def _individual(self, trial: FrozenTrial, worth: tuple[float, float]) -> Individual:
        space = self.layout.space
        known = {**carried_of(trial), **params_of(trial)}
        values = {}
        for name, dist in space.items():
            if name in known:
                values[name] = fit(dist, known[name])
            else:
                rng = Random(derive(self.seed, "fill", name, trial.number))
                values[name] = from_unit(dist, rng.random())
        numbers, classes = self.layout.encode(values)
        expressed = frozenset(trial.params) & space.keys()
        return Individual(numbers, classes, expressed, Credit(worth), trial.number, values)

    def is_tried(self, values: Mapping[str, Any]) -> bool:
        """Whether an objective that meets ``values`` would repeat a trial.

        An objective that is given a trial's values for all the genes the trial expressed
        goes the same way through every condition, so these genes decide alone.
        """
        return any(
            tuple(_key(values[n]) for n in names) in seen for names, seen in self.tried.items()
        )

    def untried(self, fixed: Mapping[str, Any], rng: Random) -> dict[str, Any] | None:
        """A combination with ``fixed`` that was not tried, by trying all of a small space.

        None where there is none, or where the space is not small.
        """
        space = {n: d for n, d in self.layout.space.items() if n not in fixed}
        counts = [levels(dist) for dist in space.values()]
        if math.prod(SMALL + 1 if c is None else c for c in counts) > SMALL:
            return None
        orders = [rng.sample(found, len(found)) for found in map(values_of, space.values())]
        found = ({**dict(zip(space, c, strict=True)), **fixed} for c in product(*orders))
        return next((values for values in found if not self.is_tried(values)), None)

    def is_near_bad(self, values: Mapping[str, Any], radius: float) -> bool:
        """Whether some failed trial lies within ``radius`` of ``values`` in each of its genes."""
        space = self.layout.space
        return any(
            all(_near(space[n], values[n], v, radius) for n, v in params.items())
            for params in self.bad
        )


def fit(dist: BaseDistribution, value: Any) -> Any:
    """``value`` if ``dist`` contains it, else the nearest that it contains."""
    try:
        if dist._contains(dist.to_internal_repr(value)):
            return value
        return from_unit(dist, to_unit(dist, value))
    except (ValueError, TypeError, OverflowError):  # another kind of gene under the same name
        return from_unit(dist, 0.5)


def _key(value: Any) -> str:
    """The same text for values that are the same to an objective: rounding noise is not."""
    return f"{value + 0.0:.9g}" if isinstance(value, float) else repr(value)


def _near(dist: BaseDistribution, one: Any, two: Any, radius: float) -> bool:
    if isinstance(dist, CategoricalDistribution):
        return bool(one == two)
    return abs(to_unit(dist, one) - to_unit(dist, fit(dist, two))) < radius
