"""Which genes switch others on: as the search space says it, else learnt from the trials.

An objective that is defined by its run says nowhere that ``dropout`` exists for one model
only; that no trial of another model has it does.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from .gene_prior import GenePrior
from .unit import levels

SWITCHES = 20
"""A gene with more values than this switches nothing on."""


@dataclass(frozen=True)
class Condition:
    """``parent`` having one of ``values`` switches a gene on, where ``also`` holds too.

    A parent that is no gene, or is off itself, switches nothing on.
    """

    parent: str
    values: frozenset[Any]
    also: Condition | None = None

    @property
    def parts(self) -> tuple[Condition, ...]:
        """This condition and all that must hold too, each by itself."""
        return (self, *(self.also.parts if self.also else ()))

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it does where the genes that are on have ``values``."""
        return all(p.parent in values and values[p.parent] in p.values for p in self.parts)


class Genes(dict[str, BaseDistribution]):
    """Distributions by name, with the conditions under which a search space has them.

    Args:
        distributions: of every gene.
        stated: the conditions by gene, parents before the genes that depend on them; who is not
            among them is always on.
        priors: where a user believes that the best values lie, by gene; who is not among them has
            none.
    """

    def __init__(
        self,
        distributions: Mapping[str, BaseDistribution],
        stated: Mapping[str, Condition],
        priors: Mapping[str, GenePrior] | None = None,
    ) -> None:
        super().__init__(distributions)
        self.stated = dict(stated)
        self.priors = dict(priors or {})


def conditions(
    trials: Iterable[Mapping[str, Any]],
    space: Mapping[str, BaseDistribution],
    given: Mapping[str, BaseDistribution] | None = None,
) -> dict[str, Condition]:
    """The condition of each gene that is not always on.

    Those of the genes of ``given``, if it is `Genes`, are as they are stated. For the others the
    trials tell: a gene's parent is one that all trials with the gene have, and whose values tell
    those with the gene from those without. Of several the simplest counts: that with the fewest
    values, the first by name. A gene without such a parent counts as always on.

    Args:
        trials: parameters that took part in each trial.
        space: the genes.
        given: what is known of them beforehand; by default ``space`` itself.

    Returns:
        by gene, parents before the genes that depend on them.
    """
    given = space if given is None else given
    told = given if isinstance(given, Genes) else Genes({}, {})
    stated = {gene: rule for gene, rule in told.stated.items() if gene in space}
    if told.keys() >= space.keys():
        return stated
    known = [{n: v for n, v in params.items() if n in space} for params in trials]
    known = [params for params in known if params]
    switches = [name for name, dist in space.items() if _may_switch(dist)]
    found = {}
    for gene in [name for name in space if name not in told]:
        having = [params for params in known if gene in params]
        if not having or len(having) == len(known):
            continue
        parent = _parent(gene, having, [p for p in known if gene not in p], switches)
        if parent is not None:
            found[gene] = parent
    return {**stated, **_ordered(found)}


def _may_switch(dist: BaseDistribution) -> bool:
    if not 1 < (levels(dist) or SWITCHES + 1) <= SWITCHES:
        return False
    choices = dist.choices if isinstance(dist, CategoricalDistribution) else ()
    # Optuna allows lists as choices, with a warning; they can't be looked up in a set.
    return all(isinstance(choice, Hashable) for choice in choices)


def _parent(
    gene: str,
    having: Sequence[Mapping[str, Any]],
    lacking: Sequence[Mapping[str, Any]],
    switches: Sequence[str],
) -> Condition | None:
    fitting = []
    for name in switches:
        if name == gene or any(name not in params for params in having):
            continue
        on = {params[name] for params in having}
        if all(name not in params or params[name] not in on for params in lacking):
            # A parent that is off in some trials explains less by itself.
            unseen = sum(name not in params for params in lacking)
            fitting.append((unseen, len(on), name, on))
    if not fitting:
        return None
    _, _, name, values = min(fitting, key=lambda each: each[:3])
    return Condition(name, frozenset(values))


def _ordered(found: Mapping[str, Condition]) -> dict[str, Condition]:
    """Parents first. A gene in a circle counts as always on."""
    placed: dict[str, Condition] = {}
    waiting = dict(found)
    while waiting:
        ready = [n for n, c in waiting.items() if c.parent not in waiting]
        if not ready:
            break
        placed.update((name, waiting.pop(name)) for name in ready)
    return placed


def expressed(
    values: Mapping[str, Any], rules: Mapping[str, Condition], names: Iterable[str]
) -> AbstractSet[str]:
    """The genes among ``names`` that ``values``, those of all genes, switch on."""
    on, off = dict(values), set()
    for gene, rule in rules.items():
        if not rule.holds(on):
            on.pop(gene, None)
            off.add(gene)
    return frozenset(name for name in names if name not in off)
