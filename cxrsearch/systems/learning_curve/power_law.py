"""An inverse power law through AUROC over patients, and what it says of more of them.

    AUROC(n) = a - b * n^-c

is the usual shape of learning curves, of classifiers of medical texts and images too (Figueroa et
al., BMC Medical Informatics and Decision Making 2012; Hestness et al. 2017; Viering & Loog, IEEE
TPAMI 2023). It is fitted by weighted least squares: a and b are linear once c is known (variable
projection; Golub & Pereyra, SIAM Journal on Numerical Analysis 1973), so each c of a grid gives the
best a and b in closed form, and the best of these is the answer: no start to choose, no local
minimum. b may be negative: where more patients do not help, an interval must be able to say so.

The interval is a bootstrap of two parts: validation patients are drawn anew, the same for all
trainings, and to the mean of each share an error is added that is as large as the trainings of a
share differ among each other. That error is drawn from a t distribution, since a few trainings tell
their own spread badly.

NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

EXPONENTS: Floats = np.geomspace(0.05, 2.0, 75)
"""Values of c that are tried. Below them the curve is a logarithm, above them a step."""

PRIOR_DF = 4.0
"""A share's own spread counts beside that of all shares as if those were so many trainings."""

CURVE_LEVEL = 0.95


@dataclass(frozen=True)
class PowerLaw:
    """Curves AUROC(n) = a - b * (n / unit)^-c, one or many.

    Args:
        a: (r,) what endless patients would give, from 0 to 1.
        b: (r,) what ``unit`` patients lack of it.
        c: (r,) how fast the lack shrinks.
        unit: patients.
    """

    a: Floats
    b: Floats
    c: Floats
    unit: float

    def at(self, patients: ArrayLike) -> Floats:
        """(r, m) AUROC at each of (m,) numbers of patients, within 0 and 1."""
        ratio = np.atleast_1d(np.asarray(patients, float)) / self.unit
        values = self.a[:, None] - self.b[:, None] * ratio[None, :] ** -self.c[:, None]
        clipped: Floats = np.clip(values, 0.0, 1.0)
        return clipped


def fit_power_law(
    patients: ArrayLike, values: ArrayLike, weights: ArrayLike | None = None
) -> PowerLaw:
    """The curve of least weighted squares through each row of ``values``.

    Args:
        patients: (s,) numbers of patients, at least three different ones above 0.
        values: (r, s), or (s,): AUROC at each.
        weights: (s,) of the squares, above 0; None: all the same.

    Raises:
        ValueError: where shapes do not fit, or numbers of patients are too few.
    """
    n, y = np.asarray(patients, float), np.atleast_2d(np.asarray(values, float))
    w = np.ones(len(n)) if weights is None else np.asarray(weights, float)
    if n.ndim != 1 or y.shape[1] != len(n) or w.shape != n.shape:
        raise ValueError(f"(s,), (r, s) and (s,) wanted, got {n.shape}, {y.shape} and {w.shape}")
    if len(np.unique(n)) < 3 or n.min() <= 0 or w.min() <= 0:
        raise ValueError("at least three different numbers of patients and weights above 0 wanted")
    unit, w = float(n.max()), w / w.sum()
    x = (n / unit)[None, :] ** -EXPONENTS[:, None]  # (c, s)
    x_mean, y_mean = x @ w, y @ w
    x_square, product = (x**2) @ w, (y * w) @ x.T  # (c,), (r, c)
    b = -(product - np.outer(y_mean, x_mean)) / (x_square - x_mean**2)
    a = y_mean[:, None] + b * x_mean
    for bound, beyond in ((1.0, a > 1), (0.0, a < 0)):  # the best that keeps a there
        b = np.where(beyond, (bound * x_mean - product) / x_square, b)
        a = np.where(beyond, bound, a)
    loss = (
        a**2 - 2 * a * y_mean[:, None] + b**2 * x_square - 2 * a * b * x_mean + 2 * b * product
    )  # and the squares of y, which no choice changes
    best = loss.argmin(axis=1)
    rows = np.arange(len(y))
    return PowerLaw(a[rows, best], b[rows, best], EXPONENTS[best], unit)


def spread_of(values: ArrayLike) -> tuple[Floats, int]:
    """How far trainings of the same share lie apart.

    Args:
        values: (s, r), r trainings of each share, at least two.

    Returns:
        (s,) variance of a single training, drawn towards that of all shares (`PRIOR_DF`); and the
        degrees of freedom that all shares have together.
    """
    table = np.asarray(values, float)
    shares, repeats = table.shape
    if repeats < 2:
        raise ValueError(f"two trainings of each share at least, got {repeats}")
    own = table.var(axis=1, ddof=1)
    pooled = own.mean()
    shrunk: Floats = (own * (repeats - 1) + pooled * PRIOR_DF) / (repeats - 1 + PRIOR_DF)
    return shrunk, shares * (repeats - 1)


@dataclass(frozen=True)
class FittedCurve:
    """A curve, and as many again as tell how sure it is.

    Args:
        patients: (s,) numbers of patients that it was fitted to.
        points: (s,) mean AUROC at each.
        ends: (s, 2) interval of each point.
        best: the curve.
        drawn: the curves of the resamples.
    """

    patients: Floats
    points: Floats
    ends: Floats
    best: PowerLaw
    drawn: PowerLaw

    def value(self, patients: float) -> tuple[float, float, float]:
        """AUROC at so many patients, and its interval."""
        return _with_ends(self.best.at(patients)[0, 0], self.drawn.at(patients)[:, 0])

    def gain(self, patients: float, beside: float) -> tuple[float, float, float]:
        """What ``patients`` give more than ``beside``, and its interval."""
        here = self.best.at([patients, beside])[0]
        there = self.drawn.at([patients, beside])
        return _with_ends(here[0] - here[1], there[:, 0] - there[:, 1])


def fit_with_interval(
    patients: ArrayLike, values: ArrayLike, resampled: ArrayLike | None = None, *,
    seed: int, draws: int = 1000,
) -> FittedCurve:  # fmt: skip
    """Fit a curve, and again to ``draws`` resamples.

    Args:
        patients: (s,) numbers of patients, increasing.
        values: (s, r) AUROC of r trainings of each share, at least two.
        resampled: (d, s) mean AUROC of each share under each of d resamples of the validation
            patients, the same patients for all shares; None: those are taken as they are.
        seed: of the draws.
        draws: of them, where ``resampled`` is None.

    Raises:
        ValueError: as `fit_power_law` and `spread_of`.
    """
    n, points = np.asarray(patients, float), np.asarray(values, float).mean(axis=1)
    moved, weights = _moved(values, resampled, seed, draws)
    return FittedCurve(
        n, points, np.quantile(moved, _ENDS, axis=0).T,
        fit_power_law(n, points, weights), fit_power_law(n, moved, weights),
    )  # fmt: skip


def held_out_difference(
    patients: ArrayLike, values: ArrayLike, resampled: ArrayLike | None = None, *,
    seed: int, draws: int = 1000,
) -> tuple[float, float, float, float]:  # fmt: skip
    """How well a curve through all shares but the largest foretells that one.

    Args:
        patients: as for `fit_with_interval`, four at least.
        values: as there.
        resampled: as there.
        seed: as there.
        draws: as there.

    Returns:
        what is foretold; and the difference of what was seen to it, with its interval.
    """
    n, points = np.asarray(patients, float), np.asarray(values, float).mean(axis=1)
    moved, weights = _moved(values, resampled, seed, draws)
    some = None if weights is None else weights[:-1]
    foretold = fit_power_law(n[:-1], points[:-1], some).at(n[-1])[0, 0]
    drawn = fit_power_law(n[:-1], moved[:, :-1], some).at(n[-1])[:, 0]
    return float(foretold), *_with_ends(points[-1] - foretold, moved[:, -1] - drawn)


def _moved(
    values: ArrayLike, resampled: ArrayLike | None, seed: int, draws: int
) -> tuple[Floats, Floats | None]:
    """(d, s) means of shares as they might have been, and the weights of the shares."""
    table = np.asarray(values, float)
    single, df = spread_of(table)
    error = np.sqrt(single / table.shape[1])
    centre = np.asarray(table.mean(axis=1) if resampled is None else resampled, float)
    if resampled is None:
        centre = np.tile(centre, (draws, 1))
    rng = np.random.default_rng(seed)
    tails = np.sqrt(df / rng.chisquare(df, size=(len(centre), 1)))
    moved: Floats = centre + rng.standard_normal(centre.shape) * error * tails
    weights = 1 / np.maximum(error, error.max() * 1e-3) ** 2 if error.any() else None
    return moved, weights


_ENDS = ((1 - CURVE_LEVEL) / 2, (1 + CURVE_LEVEL) / 2)


def _with_ends(value: float, drawn: Floats) -> tuple[float, float, float]:
    low, high = np.quantile(drawn, _ENDS)
    return float(value), float(low), float(high)
