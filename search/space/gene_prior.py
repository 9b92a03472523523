"""Where a user believes that the best value of a gene lies: the key ``prior`` of its entry.

Of a number it is a centre, and a width within which two thirds of the belief lie on either side::

    dropout: {low: 0.0, high: 0.5, prior: {centre: 0.2, width: 0.1}}
    lr: {low: 1.0e-4, high: 0.1, log: true, prior: {centre: 1.0e-3, width: 3}}

The width is in the gene's own unit, 0.1 to 0.3 here. Where the gene is logarithmic it is a factor:
a third of the centre to three times it. Of choices it is a favourite, or a weight for each; a
choice that is not named has the weight 1::

    model: {choices: [resnet18, vgg16], prior: resnet18}
    mix: {choices: [none, mixup, cutmix], prior: {mixup: 4, cutmix: 2}}

Densities are relative to one that is even over the gene, so that genes of all kinds, and genes
that a condition switches off, can be put together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from .problems import Problems, unknown_keys
from .unit import levels, reach, to_unit
from .values import number, place, show

Array = npt.NDArray[np.float64]

SURE = 0.9
"""Share of a prior that is as the user says. The rest is even: who is sure may be wrong."""
FAVOURITE = 4.0
"""Weight of a favourite; every other choice has 1."""
MOST_WEIGHT = 1000.0
"""Weight of a choice at most; the least is one by it. By then it is as good as certain."""
LEAST_WIDTH = 0.01
"""A number's prior is no narrower than this share of its range, or half a level."""
MOST_WIDTH = 10.0
"""Nor wider than so many ranges: by then it is even."""
_NORMAL = NormalDist()


@dataclass(frozen=True)
class NumberPrior:
    """A normal distribution on the gene's scale, cut off at the range's ends.

    Args:
        centre: the most likely value.
        width: how far from it two thirds of the belief reach: in the gene's unit, a factor where
            it is logarithmic.
        at: the centre in the unit interval.
        sd: the width there.
    """

    centre: float
    width: float
    at: float
    sd: float

    @classmethod
    def of(cls, dist: BaseDistribution, centre: float, width: float) -> NumberPrior:
        """The prior of a gene with the distribution ``dist``."""
        least = max(LEAST_WIDTH, 0.5 / (levels(dist) or math.inf))
        sd = min(max(reach(dist, width), least), MOST_WIDTH)
        return cls(centre, width, to_unit(dist, centre), sd)

    def to_entry(self) -> dict[str, float]:
        """The entry in a space file."""
        return {"centre": self.centre, "width": self.width}

    def moved(self, at: float) -> NumberPrior:
        """The same around ``at`` in the unit interval; for `quantile` and `log_density` only."""
        return NumberPrior(self.centre, self.width, at, self.sd)

    def _tails(self) -> tuple[float, float]:
        ends = (0.0 - self.at) / self.sd, (1.0 - self.at) / self.sd
        return _NORMAL.cdf(ends[0]), _NORMAL.cdf(ends[1])

    def quantile(self, share: float) -> float:
        """The place in [0, 1] below which ``share`` of the belief lies."""
        below, above = self._tails()
        cut = min(max(below + share * (above - below), 1e-12), 1.0 - 1e-12)
        return min(max(self.at + self.sd * _NORMAL.inv_cdf(cut), 0.0), 1.0)

    def log_density(self, places: Array) -> Array:
        """Logarithm of the density at ``places`` in [0, 1] over an even one, shape (n,)."""
        below, above = self._tails()
        bell = np.exp(-0.5 * ((places - self.at) / self.sd) ** 2)
        found: Array = np.log(
            SURE * bell / (self.sd * math.sqrt(2 * math.pi) * (above - below)) + 1 - SURE
        )
        return found

    def words(self, dist: BaseDistribution) -> str:
        """The prior for people."""
        log = isinstance(dist, FloatDistribution | IntDistribution) and dist.log
        how = f"within a factor of {self.width:g}" if log else f"give or take {self.width:g}"
        return f"about {self.centre:g}, {how}"


@dataclass(frozen=True)
class ChoicePrior:
    """A weight for each choice.

    Args:
        weights: in the order of the choices, all above 0.
    """

    weights: tuple[float, ...]

    def to_entry(self) -> list[float]:
        """The entry in a space file: the weights in order, since JSON has no keys but texts."""
        return list(self.weights)

    @property
    def at(self) -> float:
        """The middle of the favourite's bin in the unit interval."""
        return (self.weights.index(max(self.weights)) + 0.5) / len(self.weights)

    def moved(self, index: float) -> ChoicePrior:
        """The same with choice ``index`` in the favourite's place, and that in its."""
        best, here = self.weights.index(max(self.weights)), int(index)
        found = list(self.weights)
        found[best], found[here] = found[here], found[best]
        return ChoicePrior(tuple(found))

    def quantile(self, share: float) -> float:
        """The middle of the bin of the choice up to which ``share`` of the weight lies."""
        reached = np.cumsum(self.weights) / sum(self.weights)
        index = int(np.searchsorted(reached, share, side="right"))
        return (min(index, len(self.weights) - 1) + 0.5) / len(self.weights)

    def log_density(self, places: Array) -> Array:
        """Logarithm of the weight of choices by index over an even one, shape (n,)."""
        shares = np.array(self.weights) * len(self.weights) / sum(self.weights)
        found: Array = np.log(SURE * shares[places.astype(np.int64)] + 1 - SURE)
        return found

    def words(self, dist: BaseDistribution) -> str:
        """The prior for people: the choices that weigh more than the least, the heaviest first."""
        assert isinstance(dist, CategoricalDistribution)
        pairs = sorted(zip(self.weights, dist.choices, strict=True), key=lambda p: -p[0])
        least = min(self.weights)
        said = [f"{show(choice)} ({weight / least:g} to 1)" for weight, choice in pairs]
        return ", ".join(text for text, (weight, _) in zip(said, pairs, strict=True)
                         if weight > least) or "all alike"  # fmt: skip


GenePrior = NumberPrior | ChoicePrior
"""Where a user believes that a gene's best value lies."""


def read_prior(
    name: str, given: Any, dist: BaseDistribution, problems: Problems
) -> GenePrior | None:
    """The prior of a gene's entry, or None where there is none or a problem was noted.

    Args:
        name: the gene's.
        given: what stands at ``prior``.
        dist: the gene's.
        problems: where what is wrong is noted.
    """
    if given is None:
        return None
    if isinstance(dist, CategoricalDistribution):
        return _read_weights(name, given, dist, problems)
    assert isinstance(dist, FloatDistribution | IntDistribution)
    return _read_bell(name, given, dist, problems)


def _read_bell(
    name: str, given: Any, dist: FloatDistribution | IntDistribution, problems: Problems
) -> NumberPrior | None:
    if not isinstance(given, Mapping):
        problems.add(name, f"prior is {show(given)}; write prior: {{centre: ..., width: ...}}")
        return None
    before, where = len(problems.found), f"{name}: prior"
    unknown_keys(problems, where, given, ("centre", "width"))
    meant = (
        "as a factor, such as 3 for a third of the centre to three times it"
        if dist.log
        else f"in the unit of {name}"
    )
    ways = {
        "centre": "the value that you believe in most",
        "width": f"how far from it two thirds of your belief reach, {meant}",
    }
    found = {}
    for key, way in ways.items():
        if key not in given:
            problems.add(where, f"{key} is missing; add {key}: {way}")
        elif (value := number(given[key])) is None:
            problems.add(where, f"{key} is {show(given[key])}; write a finite number: {way}")
        else:
            found[key] = float(value)
    centre, width = found.get("centre"), found.get("width")
    if centre is not None and not dist.low <= centre <= dist.high:
        problems.add(
            where,
            f"centre {show(centre)} lies outside {show(dist.low)} to {show(dist.high)}; correct "
            "it, or widen the gene",
        )
    if width is not None and dist.log and width <= 1:
        problems.add(where, f"width {show(width)} is not above 1; {name} is log: give it {meant}")
    elif width is not None and width <= 0:
        problems.add(where, f"width {show(width)} is not above 0; give it {meant}")
    if len(problems.found) > before or centre is None or width is None:
        return None
    return NumberPrior.of(dist, centre, width)


def _read_weights(
    name: str, given: Any, dist: CategoricalDistribution, problems: Problems
) -> ChoicePrior | None:
    before, where = len(problems.found), f"{name}: prior"
    weights: dict[int, Any] = {}
    if isinstance(given, Mapping):
        for choice, weight in given.items():
            known, problem = place(dist, choice)
            if problem:
                problems.add(where, f"{problem}; write CHOICE: WEIGHT of those")
            else:
                weights[dist.choices.index(known)] = weight
    elif isinstance(given, Sequence) and not isinstance(given, str):
        weights = dict(enumerate(given))
        if len(given) != len(dist.choices):
            problems.add(
                where,
                f"has {len(given)} weights for {len(dist.choices)} choices; give one for each, in "
                "their order, or write {CHOICE: WEIGHT}",
            )
    else:
        known, problem = place(dist, given)
        if problem:
            problems.add(where, f"{problem}; write one of them, or {{CHOICE: WEIGHT}}")
        else:
            weights[dist.choices.index(known)] = FAVOURITE
    for index, weight in weights.items():
        found = number(weight)
        sound = found is not None and 1 / MOST_WEIGHT <= found <= MOST_WEIGHT
        if not sound and index < len(dist.choices):
            problems.add(
                where,
                f"the weight of {show(dist.choices[index])} is {show(weight)}; give a number from "
                f"{1 / MOST_WEIGHT:g} to {MOST_WEIGHT:g}: 2 for twice as likely as a choice of "
                "weight 1",
            )
    if len(problems.found) > before:
        return None
    return ChoicePrior(
        tuple(float(number(weights.get(i, 1)) or 1) for i in range(len(dist.choices)))
    )
