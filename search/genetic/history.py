"""What the trials so far tell a genetic algorithm: the genes, the parents, what was tried."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from random import Random
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.seeds import derive
from search.space.unit import from_unit, levels, values_of
from search.trials.estimates import estimates
from search.trials.summary import (
    Past,
    Tried,
    carried_of,
    fit,
    is_bad,
    is_blameless,
    params_of,
    past,
    place,
)

from .model import Observation, Place
from .operators import Credit, Individual, Layout

Encoded = tuple[list[float], list[int], frozenset[str], dict[str, Any]]
"""A trial's numbers, choices, expressed genes, and the value of every gene."""
SMALL = 10_000
"""Combinations of genes up to which a space is searched for one that was not tried."""


def union(
    trials: Iterable[FrozenTrial], given: Mapping[str, BaseDistribution] | None
) -> dict[str, BaseDistribution]:
    """Every gene seen in any trial, sorted by name.

    Optuna's own inference keeps what all trials have in common, which loses the
    conditional genes. The latest distribution counts where one changed; ``given`` counts
    before anything seen. Genes that can take one value only are left out.
    """
    return past(trials, StudyDirection.MAXIMIZE).genes(sys.maxsize, given)


@dataclass(frozen=True)
class History:
    """What one ask may know.

    Args:
        seed: the sampler's seed.
        layout: every gene seen or given.
        ranked: (credit, trial), best first; among equals the newest first, so that the
            population drifts over plateaus instead of standing still.
        learnt: the trials of `ranked`, by number.
        failed: those that failed, by number.
        killed: those that the machine ended, by number.
        running: the unfinished ones with lower numbers.
        tried: what the finished trials tried.
        waiting: what the running ones are trying.
        bad: where the trials that failed lie, by gene.
        sign: 1 where the study maximises, else -1.
        trials: all of the study's, by number.
        genomes: finished trials as they were encoded before, by number and seed; it grows.
        begun: the same of running ones, with the genes that each had then.
        length: the parameter that holds a trial's number of steps, where it is known.
        scores: where there are several objectives, by number what each trial came to in one
            number and how doubtful that is; see `search.genetic.several`.
    """

    seed: int
    layout: Layout
    ranked: Sequence[tuple[tuple[float, float], FrozenTrial]]
    learnt: Sequence[FrozenTrial]
    failed: Sequence[FrozenTrial]
    killed: Sequence[FrozenTrial]
    running: Sequence[FrozenTrial]
    tried: Tried
    waiting: Tried
    bad: Sequence[Mapping[str, Any]]
    sign: float
    trials: Sequence[FrozenTrial]
    genomes: dict[int, dict[int, Encoded]]
    begun: dict[int, dict[int, tuple[dict[str, Any], Encoded]]]
    length: str | None = None
    scores: Mapping[int, tuple[float, float]] | None = None

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
        """The history as trial ``number`` may see it, from all trials of the study.

        Args:
            trials: all trials of the study.
            number: the trial that asks.
            direction: the study's.
            seed: the sampler's.
            given: genes known beforehand.
            parents_below: only trials with lower numbers may be parents.
        """
        seen = past(trials, direction)
        return cls.of(seen, number, seed, seen.genes(number, given), parents_below)

    @classmethod
    def of(
        cls,
        past: Past,
        number: int,
        seed: int,
        space: Mapping[str, BaseDistribution],
        parents_below: int | None = None,
        length: str | None = None,
    ) -> History:
        """The same from what is remembered of the study, for the genes of ``space``."""
        past.sum_up(space)
        running = [t for t in past.running if t.number < number]
        waiting = Tried()
        for trial in running:
            own = {n: v for n, v in params_of(trial).items() if n in space}
            all_ = {n: v for n, v in carried_of(trial).items() if n in space}
            # Defined by its run, it may not have come to its last gene yet.
            waiting.add(own if past.tried.is_whole(own) else {**all_, **own})
        ranked, learnt = past.ranked[::-1], past.learnt
        failed, killed = past.failed, past.killed
        if parents_below is not None:
            ranked = [pair for pair in ranked if pair[1].number < parents_below]
            learnt, failed, killed = (
                [trial for trial in trials if trial.number < parents_below]
                for trials in (learnt, failed, killed)
            )
        sign = -1.0 if past.direction == StudyDirection.MINIMIZE else 1.0
        return cls(
            seed,
            Layout(space),
            ranked,
            learnt,
            failed,
            killed,
            running,
            past.tried,
            waiting,
            list(past.bad.values()),
            sign,
            past.trials,
            past.genomes,
            past.begun,
            length,
        )

    def chosen(self, limit: int, first: int | None = None) -> list[FrozenTrial]:
        """At most ``limit`` of the first ``first`` learnt trials, by number.

        Half of them are the best, the rest the latest.
        """
        trials = self.learnt if first is None else self.learnt[:first]
        if len(trials) <= limit:
            return list(trials)
        last = trials[-1].number
        ranked = (trial for _, trial in self.ranked if trial.number <= last)
        best = list(islice(ranked, limit // 2))
        numbers = {trial.number for trial in best}
        rest = [t for t in trials[-limit:] if t.number not in numbers]
        return sorted([*best, *rest[len(best) - limit :]], key=lambda t: t.number)

    def observed(self, trials: Sequence[FrozenTrial]) -> list[Observation]:
        """What finished trials came to; stopped ones by estimate, failed ones as NaN.

        Trials that nothing is known of are left out.
        """
        if self.scores is not None:
            return self._scored(trials, self.scores)
        guessed = estimates(trials, self.sign > 0, self.length)
        found = []
        for trial in trials:
            value, doubt = math.nan, 0.0
            if trial.state == TrialState.COMPLETE and trial.value is not None:
                value = self.sign * trial.value
            elif trial.number in guessed and not is_bad(trial):
                value, doubt = guessed[trial.number]
                value *= self.sign
            elif is_blameless(trial) and not is_bad(trial):
                continue
            found.append(Observation(trial.number, self.place(trial), value, doubt))
        return found

    def _scored(
        self, trials: Sequence[FrozenTrial], scores: Mapping[int, tuple[float, float]]
    ) -> list[Observation]:
        """The same by ``scores``; trials that nothing is known of are left out."""
        found = []
        for trial in trials:
            if is_bad(trial):
                found.append(Observation(trial.number, self.place(trial), math.nan, 0.0))
            elif trial.number in scores:
                found.append(Observation(trial.number, self.place(trial), *scores[trial.number]))
        return found

    def population(self, size: int) -> list[Individual]:
        """The best ``size`` individuals so far, best first."""
        return [self.individual(trial, worth) for worth, trial in self.ranked[:size]]

    def promising(
        self, trials: Sequence[FrozenTrial], expected: Mapping[int, float], size: int
    ) -> list[Individual]:
        """The ``size`` of ``trials`` with the highest expected value, best first.

        Those of which nothing is expected are left out. With several objectives no one value says
        who is good: `population` does.
        """
        if self.scores is not None:
            return self.population(size)
        worth = [(expected[t.number], t) for t in trials if t.number in expected]
        worth.sort(key=lambda pair: (-pair[0], pair[1].number))
        return [self.individual(trial, (value, 0.0)) for value, trial in worth[:size]]

    def place(self, trial: FrozenTrial) -> Place:
        """The genes of a trial, finished or not."""
        one = self.individual(trial)
        return one.numbers, one.classes

    def individual(self, trial: FrozenTrial, worth: tuple[float, float] = (0.0, 0.0)) -> Individual:
        """A trial as a parent, worth what is given."""
        found = self.genomes.get(trial.number, {}).get(self.seed)
        if found is None and trial.state.is_finished():
            found = self._encoded(trial, _known(trial))
            self.genomes.setdefault(trial.number, {})[self.seed] = found
        elif found is None:
            # It may come to further genes yet; where it has not, it is as it was.
            known, mine = _known(trial), self.begun.setdefault(trial.number, {})
            before = mine.get(self.seed)
            if before is None or before[0] != known or before[1][2] != self._on(trial):
                before = mine[self.seed] = known, self._encoded(trial, known)
            found = before[1]
        numbers, classes, expressed, values = found
        return Individual(numbers, classes, expressed, Credit(worth), trial.number, values)

    def _encoded(self, trial: FrozenTrial, known: Mapping[str, Any]) -> Encoded:
        space = self.layout.space
        values = {}
        for name, dist in space.items():
            if name in known:
                values[name] = fit(dist, known[name])
            else:
                rng = Random(derive(self.seed, "fill", name, trial.number))
                values[name] = from_unit(dist, rng.random())
        return *self.layout.encode(values), self._on(trial), values

    def _on(self, trial: FrozenTrial) -> frozenset[str]:
        """The genes of the space that the trial has expressed so far."""
        return frozenset(trial.params) & self.layout.space.keys()

    def is_tried(self, values: Mapping[str, Any]) -> bool:
        """Whether an objective that meets ``values`` would repeat a trial.

        An objective that is given a trial's values for all the genes the trial expressed
        goes the same way through every condition, so these genes decide alone.
        """
        return values in self.tried or values in self.waiting

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
        if not self.bad:
            return False
        space, choices = self.layout.space, frozenset(self.layout.classes)
        here = {name: place(space[name], value) for name, value in values.items() if name in space}

        def near(name: str, there: Any) -> bool:
            if name in choices:
                return bool(here[name] == there)
            return bool(abs(here[name] - there) < radius)

        return any(all(near(n, there) for n, there in places.items()) for places in self.bad)


def _known(trial: FrozenTrial) -> dict[str, Any]:
    """What a trial has of genes, expressed or carried."""
    return {**carried_of(trial), **params_of(trial)}
