"""What a user's priors add to the promise of a candidate, for how long, and when they are wrong.

The logarithm of the priors' density, times a factor that falls as trials come in, is added to the
logarithm of the expected improvement (Hvarfner et al., "piBO: Augmenting Acquisition Functions with
User Beliefs for Bayesian Optimization", ICLR 2022): at the beginning the user decides, later the
trials do. A prior that the trials contradict counts for nothing. The test is in the way of DynaBO
(Fehring et al., "Dynamic Priors in Bayesian Optimization for Hyperparameter Optimization", 2025),
for each gene by itself: whether less may be hoped for where the prior lies than where the best
trial is.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

import numpy as np
from scipy.stats import rankdata

from search.space.gene_prior import GenePrior

from .gaussian_process import Array
from .history import History
from .model import Features, Model
from .operators import Layout

FADE = 10.0
"""The priors' weight is this by the number of finished trials."""
TESTED_BY = 16
"""Values of a gene that a prior is tested by."""
BEHIND = 0.25
"""Standard deviations of the values by which a prior's place must fall behind to be doubted."""


class Favour:
    """What the priors of one ask add.

    Args:
        priors: by gene; those of genes that are not in the layout are left out.
        features: how genes become rows.
        weight: of the priors' log density.
        doubted: the genes whose priors count for nothing.
    """

    def __init__(
        self,
        priors: Mapping[str, GenePrior],
        features: Features,
        weight: float,
        doubted: tuple[str, ...] = (),
    ) -> None:
        self.doubted = doubted
        self._features = features
        self._weight = weight
        self._columns = {
            column: priors[name]
            for column, name in enumerate(_names(features.layout))
            if name in priors and name not in doubted
        }

    def bonus(self, rows: Array) -> Array:
        """What is added to the log promise of ``rows``, shape (n,): nothing by genes off."""
        off = self._features.off(rows)
        found = np.zeros(len(rows))
        for column, prior in self._columns.items():
            on = ~off[:, column]
            found[on] += prior.log_density(rows[on, column])
        return self._weight * found

    def impose(self, numbers: list[float], classes: list[int], rng: Random) -> None:
        """Draw the genes with a prior from it, in place."""
        for column, prior in self._columns.items():
            unit = prior.quantile(rng.random())
            if column < len(numbers):
                numbers[column] = unit
            else:
                index = column - len(numbers)
                classes[index] = int(unit * self._features.layout.counts[index])


def _names(layout: Layout) -> tuple[str, ...]:
    """The genes in the order of a row."""
    return (*layout.numeric, *layout.classes)


def favoured(
    priors: Mapping[str, GenePrior], history: History, features: Features, model: Model
) -> Favour | None:
    """What ``priors`` add to the promise of this ask's candidates; None where there are none."""
    known = {name: prior for name, prior in priors.items() if name in features.layout.space}
    if not known:
        return None
    whole = Favour(known, features, FADE / max(len(history.learnt), 1))
    if (trust := _trust(whole, history, model)) <= 0:
        return Favour({}, features, 0.0, tuple(known))
    wrong = doubted(known, history, features, model)
    return Favour(known, features, FADE * trust / max(len(history.learnt), 1), wrong)


def _trust(whole: Favour, history: History, model: Model) -> float:
    """How far all priors together are borne out by the trials, from 0 to 1.

    That is by the rank correlation of what they add to a trial with what is expected of it: all of
    it where there is none, nothing where it is -1/2 or less.
    """
    seen = [t for t in (*history.learnt, *history.failed) if t.number in model.expected]
    bonus = whole.bonus(model.rows([history.place(t) for t in seen]))
    values = np.array([model.expected[t.number] for t in seen])
    if np.ptp(bonus) == 0 or np.ptp(values) == 0:
        return 1.0
    rank = float(np.corrcoef(rankdata(bonus), rankdata(values))[0, 1])
    return min(max(1.0 + 2.0 * rank, 0.0), 1.0)


def doubted(
    priors: Mapping[str, GenePrior], history: History, features: Features, model: Model
) -> tuple[str, ...]:
    """The genes of ``priors`` whose priors the trials contradict.

    Of the trial from which the most is expected one gene is drawn from its prior, and from the same
    prior moved to where the trial is. What may be hoped for of the first falls behind by more than
    `BEHIND`. A gene that is off there is not judged.
    """
    best = max(model.expected, key=lambda number: (model.expected[number], -number))
    trial = next((t for t in history.learnt if t.number == best), None)
    if trial is None:
        return ()
    names, layout = _names(features.layout), features.layout
    place = history.place(trial)
    here = np.array([*place[0], *place[1]], dtype=np.float64)
    off = features.off(model.rows([place]))[0]
    judged = [name for name in priors if not off[names.index(name)]]
    rows = np.tile(here, (2 * TESTED_BY * len(judged), 1))
    for block, name in enumerate(judged):
        column = names.index(name)
        for side, prior in enumerate((priors[name], priors[name].moved(here[column]))):
            units = np.array([prior.quantile((i + 0.5) / TESTED_BY) for i in range(TESTED_BY)])
            if column >= len(layout.numeric):
                units = np.floor(units * layout.counts[column - len(layout.numeric)])
            first = (2 * block + side) * TESTED_BY
            rows[first : first + TESTED_BY, column] = units
    if not judged:
        return ()
    cut = len(layout.numeric)
    hopes = model.optimism(features.of(rows[:, :cut], rows[:, cut:].astype(np.int64)))
    means = hopes.reshape(len(judged), 2, TESTED_BY).mean(axis=2)
    return tuple(
        name for name, (there, near) in zip(judged, means, strict=True) if there < near - BEHIND
    )
