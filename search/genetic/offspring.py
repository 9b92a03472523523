"""Offspring in surplus, bred on the surrogate: the first of them becomes the next trial.

A surrogate-assisted evolutionary algorithm of the pre-selection kind (Jin, "Surrogate-
Assisted Evolutionary Computation: Recent Advances and Future Challenges", 2011): DEAP's
operators make many children of the population, the surrogate says what each promises, and
the most promising breed again, a few generations long, before one of them is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from search.space.conditions import Condition, expressed

from .favour import Favour
from .model import Model
from .operators import Credit, Genome, Individual, Operators

CHILDREN = 120
"""Children of the population."""
IMMIGRANTS = 60
"""Random ones beside them: what no parent has."""
GENERATIONS = 4
"""Generations bred on the surrogate alone."""
BREEDERS = 15
"""The most promising, which are the parents of the next of these."""
BROOD = 60
"""Children in each."""
MUTATION_SPREADS = (0.01, 0.4)
"""Standard deviations of a mutation, drawn log-uniformly: fine and coarse at every time."""


@dataclass
class Candidate(Genome):
    """One that was not tried.

    Args:
        roots: the trials it descends from, two at most: the first one of each parent.
    """

    roots: list[Individual] = field(default_factory=list)


@dataclass(frozen=True)
class Breeding:
    """How children are made.

    Args:
        crossover: probability of a child to have two parents.
        rate: genes that a mutation changes on average.
    """

    crossover: float
    rate: float


def offspring(
    operators: Operators,
    population: Sequence[Individual],
    model: Model,
    breeding: Breeding,
    rules: Mapping[str, Condition],
    favour: Favour | None = None,
) -> list[Candidate]:
    """Candidates, the most promising first.

    Args:
        operators: DEAP's, with the ask's own generator.
        population: the parents, their fitness by expected value.
        model: the surrogate.
        breeding: how children are made.
        rules: which genes switch others on.
        favour: what a user's priors add to a candidate's promise, where there are any; every second
            immigrant is drawn from them.
    """
    brood = [_child(operators, population, breeding) for _ in range(CHILDREN)]
    brood += [_immigrant(operators, favour if i % 2 else None) for i in range(IMMIGRANTS)]
    pool = _judged(brood, model, favour)
    for _ in range(GENERATIONS):
        pool = pool[:BREEDERS]
        for breeder in pool:
            breeder.expressed = _expressed(operators, breeder, rules)
        brood = [_child(operators, pool, breeding) for _ in range(BROOD)]
        pool = sorted([*pool, *_judged(brood, model, favour)], key=_promise, reverse=True)
    return pool


def _promise(candidate: Candidate) -> float:
    return float(candidate.fitness.values[0])


def _judged(brood: list[Candidate], model: Model, favour: Favour | None) -> list[Candidate]:
    rows = model.rows([(c.numbers, c.classes) for c in brood])
    promises = model.promise(rows)
    if favour is not None:
        promises = promises + favour.bonus(rows)
    for candidate, promise in zip(brood, promises, strict=True):
        candidate.fitness = Credit((float(promise), 0.0))
    return sorted(brood, key=_promise, reverse=True)


def _child(
    operators: Operators, pool: Sequence[Individual] | Sequence[Candidate], breeding: Breeding
) -> Candidate:
    rng = operators.rng
    crossed = len(pool) > 1 and rng.random() < breeding.crossover
    parents: list[Genome] = operators.parents(pool, 2 if crossed else 1)
    numbers, classes = operators.mate(*parents) if crossed else parents[0].copy()
    strength = MUTATION_SPREADS[0] * (MUTATION_SPREADS[1] / MUTATION_SPREADS[0]) ** rng.random()
    rate = min(breeding.rate / max(len(parents[0].expressed), 1), 1.0)
    numbers, classes = operators.mutate(numbers, classes, rate, strength)
    roots = [root for parent in parents for root in _roots(parent)[:1]]
    if len(roots) == 2 and roots[0] is roots[1]:
        roots.pop()
    return Candidate(numbers, classes, parents[0].expressed, Credit(), roots)


def _roots(parent: Genome) -> list[Individual]:
    return [parent] if isinstance(parent, Individual) else getattr(parent, "roots", [])


def _immigrant(operators: Operators, favour: Favour | None) -> Candidate:
    rng, layout = operators.rng, operators.layout
    numbers = [rng.random() for _ in layout.numeric]
    classes = [rng.randrange(count) for count in layout.counts]
    if favour is not None:
        favour.impose(numbers, classes, rng)
    return Candidate(numbers, classes, frozenset(layout.space), Credit())


def _expressed(
    operators: Operators, candidate: Candidate, rules: Mapping[str, Condition]
) -> AbstractSet[str]:
    """The genes that a candidate's own switches leave on."""
    if not rules:
        return candidate.expressed
    values = operators.decode(candidate.numbers, candidate.classes, candidate.roots)
    return expressed(values, rules, values)


def operator_of(candidate: Candidate, values: Mapping[str, Any]) -> str:
    """Which operators a candidate's genes came by, in one generation or several.

    Where an immigrant was the other parent there is one tried ancestor, and every change of
    it counts as a mutation.
    """
    if not candidate.roots:
        return "random"
    if len(candidate.roots) == 1:
        return "mutation"
    new = any(all(v != r.values[n] for r in candidate.roots) for n, v in values.items())
    return "crossover+mutation" if new else "crossover"
