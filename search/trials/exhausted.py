"""When a search that only its time limits has nothing left to try.

A small space of choices is used up long before the time is. Every further trial would then be
answered from the history (`search.trials.repeats`) at once, for ever. Two things end that:

- each recipe of the space is known: listed one by one where a space has at most
  `MOST_RECIPES`;
- elsewhere, `IN_A_ROW` trials in a row were repeats, and nothing runs that could change the
  sampler's mind. So many, since a sampler that has nearly converged repeats itself by habit:
  of one that makes a new recipe in every hundredth trial, fewer than one in a hundred is ended.

A recipe is known where its repeat would be answered, and where two trials of it have failed,
whatever made them: one that ends its worker each time would else be trained for ever. While
trials run, the sampler is asked no more than `ASKED` times for each thing that happens, and not
at all where all that is not known is running.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from search.json_values import plain
from search.space import SearchSpace
from search.space.reading import is_active

from .marks import same_as
from .repeats import Repeats

MOST_RECIPES = 4096
"""Recipes of the largest space that is listed."""

IN_A_ROW = 500
"""Repeats in a row that end a search of a space which is not listed."""

ASKED = 20
"""Repeats in a row after which the trials that run are waited for."""

TRIED = "every recipe of the space has been tried"
REPEATED = (
    f"the last {IN_A_ROW} recipes that the sampler came to have all been tried before; take "
    "another sampler, or widen the space"
)

Stock = Literal["open", "waits", "over"]
"""Whether there is something to try, may be when running trials have ended, or no more."""


class Exhaustion:
    """Whether there are recipes left.

    Args:
        space: what is searched.
        repeats: knows which recipes are the same.
        trials: those that the search has asked for so far, by number.
    """

    def __init__(self, space: SearchSpace, repeats: Repeats, trials: Sequence[FrozenTrial]) -> None:
        self._space = space
        self._repeats = repeats
        self._row = next((k for k, t in enumerate(reversed(trials)) if same_as(t) is None),
                         len(trials))  # fmt: skip
        self._recent = 0
        self._seen: dict[int, str | None] = {}  # a trial's parameters never change
        self.reason = ""

    def asked(self, repeated: bool) -> None:
        """Note what a new trial was."""
        self._row = self._row + 1 if repeated else 0
        self._recent = self._recent + 1 if repeated else 0

    def happened(self) -> None:
        """Something was reported: the sampler may think of something else now."""
        self._recent = 0

    def look(self, trials: Sequence[FrozenTrial], running: bool) -> Stock:
        """What there is to try.

        Args:
            trials: those that the search has asked for, by number.
            running: whether some run now.
        """
        if self._all is not None:
            known = self._known(trials)
            if self._all <= known:
                self.reason = TRIED
                return "over"
            if running and self._all <= known | self._underway(trials):
                return "waits"
        if running:
            return "waits" if self._recent >= ASKED else "open"
        if self._row >= IN_A_ROW:
            self.reason = REPEATED
            return "over"
        return "open"

    def _known(self, trials: Sequence[FrozenTrial]) -> set[str]:
        """The identities that need no further trial."""
        known, failures = set[str](), Counter[str]()
        for trial in trials:
            identity = self._identity(trial)
            if identity is None:
                continue
            if self._repeats.answers(trial):
                known.add(identity)
            elif trial.state == TrialState.FAIL:
                failures[identity] += 1
        return known | {identity for identity, times in failures.items() if times > 1}

    def _underway(self, trials: Sequence[FrozenTrial]) -> set[str]:
        found = {self._identity(trial) for trial in trials if not trial.state.is_finished()}
        return {identity for identity in found if identity is not None}

    def _identity(self, trial: FrozenTrial) -> str | None:
        """The identity of the recipe in the list that ``trial`` is."""
        if trial.number not in self._seen:
            params = trial.user_attrs.get("params")
            if not isinstance(params, Mapping):
                return None  # it has none yet, or is another program's
            listed = {name: self._listed(name, value) for name, value in params.items()}
            self._seen[trial.number] = self._repeats.identity_of(plain(listed))
        return self._seen[trial.number]

    def _listed(self, name: str, value: Any) -> Any:
        """``value`` as the list has it: samplers round the steps of a float each in its way."""
        gene = self._space.genes.get(name)
        if gene is None or not isinstance(gene.distribution, FloatDistribution):
            return value
        if not isinstance(value, int | float) or isinstance(value, bool):
            return value
        values = _values(gene.distribution)
        return value if values is None else min(values, key=lambda listed: abs(listed - value))

    @functools.cached_property
    def _all(self) -> frozenset[str] | None:
        """The identities of all recipes, or ``None`` where they are too many to be listed."""
        genes = self._space.genes.values()
        counts = [len(_values(gene.distribution) or ()) for gene in genes]
        always = [n for n, gene in zip(counts, genes, strict=True) if not gene.when]
        if not all(counts) or math.prod(always) > MOST_RECIPES:
            return None
        found = set[str]()
        for count, params in enumerate(self._combined({}, list(self._space.genes))):
            identity = self._repeats.identity_of(plain({**self._space.fixed, **params}))
            if count >= MOST_RECIPES or identity is None:
                return None
            found.add(identity)
        return frozenset(found)

    def _combined(self, params: Mapping[str, Any], left: list[str]) -> Iterator[dict[str, Any]]:
        """Every way to go on from ``params`` through the genes ``left``, parents first."""
        if not left:
            yield dict(params)
            return
        gene = self._space.genes[left[0]]
        if not is_active(gene, self._space.genes, self._space.fixed, params):
            yield from self._combined(params, left[1:])
            return
        for value in _values(gene.distribution) or ():
            yield from self._combined({**params, gene.name: value}, left[1:])


def _values(distribution: object) -> Sequence[Any] | None:
    """All values of a gene, or ``None`` where they are more than `MOST_RECIPES`."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        step = 1 if distribution.log else distribution.step
        values = range(distribution.low, distribution.high + 1, step)
        return values if len(values) <= MOST_RECIPES else None
    if isinstance(distribution, FloatDistribution) and distribution.step is not None:
        first, width = distribution.low, distribution.step
        count = math.floor((distribution.high - first) / width + 1e-8) + 1
        return [first + k * width for k in range(count)] if count <= MOST_RECIPES else None
    return None
