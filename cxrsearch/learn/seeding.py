"""Seed & Proportional data: each epoch sees a fresh share of the images, in designed proportions.

The design: a draw picks a class (one of the labels, or No Finding) with its designed
probability, then one of the images of that class. An image with several labels belongs
to each of them in equal parts, so that designed = natural probabilities make every image
equally likely. With n images, C classes that occur, m_c the sum of class c's parts, and the
genes ``balance`` b and ``ratio_<class>`` r_c:

    t_c  ~  r_c * ((1 - b) * m_c / n + b / C)                 designed probability of class c
    w_i  =  mean over the classes c of image i of  t_c / m_c   weight of image i

An epoch draws k = ``train_seed`` * n images *without replacement*, each with a chance of
min(1, a * w_i), a such that the chances sum to k (Madow's systematic sampling over a random
order, Annals of Mathematical Statistics 1949; it gives exactly these chances and exactly k
images). Where ``epoch_size`` is a pass, an epoch makes such draws until it has n images, so that
recipes of all ``train_seed`` see as many. The proportions therefore hold as far as the images
suffice: a label with few images has all of them in every draw and no more, and with ``train_seed``
1 every image is drawn once, whatever ``balance`` and the ratios say. `SeedProportional.exposure`
tells what was really seen.

An image belongs to the labels that its targets say are present, and to No Finding where they say
so of none: what is unknown makes no member. Targets are those that the recipe trains on, so an
uncertain mark that counts as a positive there makes a member here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.labels.names import gene_part
from cxrsearch.data.marks import nothing_found, present

from .recipe import Recipe

_CERTAIN = 1 - 1e-9  # chances above this are 1 but for rounding


def image_weights(
    labels: NDArray[Any], balance: float, ratios: Sequence[float]
) -> NDArray[np.float64]:
    """(n,) weights, summing to 1, of images with (n, k) ``labels`` (see the module's text).

    Args:
        labels: see `cxrsearch.data.marks`.
        balance: from 0 to 1.
        ratios: (k + 1,) draw weights of the labels, then of No Finding.
    """
    member = _classes(labels).astype(float)
    member /= member.sum(axis=1, keepdims=True)
    mass = member.sum(axis=0)
    occurs = mass > 0
    natural = mass / len(labels)
    design = np.asarray(ratios) * ((1 - balance) * natural + balance * occurs / occurs.sum())
    per_part = np.divide(design, mass, out=np.zeros_like(mass), where=occurs)
    weights = member @ per_part
    return np.asarray(weights / weights.sum())


def inclusion(weights: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Chances min(1, a * weight) that sum to ``k``; weights must be above 0, k at most n."""
    certain = np.zeros(len(weights), dtype=bool)
    while True:
        free = k - int(certain.sum())
        rest = weights[~certain].sum()
        chances = np.where(certain, 1.0, free * weights / rest if rest > 0 else 0.0)
        over = (chances > _CERTAIN) & ~certain
        if not over.any():
            return chances
        certain |= over


def _classes(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """(n, k + 1) bool: the labels, then No Finding."""
    classes: NDArray[np.bool_] = np.column_stack([present(labels), nothing_found(labels)])
    return classes


class SeedProportional:
    """Which training images each epoch sees.

    Args:
        labels: (n, k), the targets of training; see `cxrsearch.data.marks`.
        label_names: (k,) what the columns are.
        recipe: genes ``train_seed``, ``balance`` and the ratios.
        seed: of the draws; an epoch's draw depends on it and the epoch alone.
        images: of an epoch, drawn as often as it takes; None: as the recipe says.

    Attributes:
        chances: (n,) of each image to be drawn in an epoch.

    Raises:
        ValueError: where labels are not (n, k) with n above 0.
    """

    def __init__(
        self,
        labels: ArrayLike,
        label_names: Sequence[str],
        recipe: Recipe,
        seed: int,
        images: int | None = None,
    ) -> None:
        table, k = np.asarray(labels), len(label_names)
        if table.ndim != 2 or table.shape[1] != k or not len(table):
            raise ValueError(f"labels must be (n, {k}) with n > 0, got {table.shape}")
        self.seed = seed
        self.classes = (*label_names, NO_FINDING)
        given = dict(recipe.ratios)
        ratios = [given.pop(gene_part(name), 1.0) for name in self.classes]
        self.unknown_ratios = tuple(given)
        self._each = max(1, round(recipe.train_seed * len(table)))
        own = len(table) if recipe.epoch_size == "pass" else self._each
        self.images_per_epoch = own if images is None else images
        self._classes = _classes(table)
        weights = image_weights(table, recipe.balance, ratios)
        self.chances = inclusion(weights, self._each)

    def draw(self, epoch: int) -> NDArray[np.int64]:
        """(k,) rows for ``epoch``, distinct within each draw, in random order."""
        rng = np.random.default_rng([self.seed, epoch])
        draws = [self._draw(rng) for _ in range(math.ceil(self.images_per_epoch / self._each))]
        return np.concatenate(draws)[: self.images_per_epoch]

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """As many distinct rows as one draw has, in random order."""
        order = rng.permutation(len(self.chances))
        chances = self.chances[order]
        certain = order[chances > _CERTAIN]
        rest = order[chances <= _CERTAIN]
        picked = rest[_systematic(rng, self.chances[rest], self._each - len(certain))]
        return rng.permutation(np.concatenate([certain, picked]))

    def exposure(self, rows: NDArray[Any]) -> dict[str, float]:
        """Share of the drawn ``rows`` that carry each label, and that carry none."""
        shares = self._classes[rows].mean(axis=0)
        return {name: float(share) for name, share in zip(self.classes, shares, strict=True)}


def _systematic(rng: np.random.Generator, chances: NDArray[np.float64], k: int) -> NDArray[np.intp]:
    """``k`` positions, each with its chance: equidistant points on the chances laid end to end."""
    if k == 0:
        return np.zeros(0, dtype=np.intp)
    ends = np.cumsum(chances)
    points = (rng.random() + np.arange(k)) * (ends[-1] / k)
    picked: NDArray[np.intp] = np.searchsorted(ends, points, "right").clip(max=len(chances) - 1)
    return picked
