"""A figure on its way to the report: its value, and what its interval is made from."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from .figure import Figure
from .intervals import Ends, Z, critical, difference, on_scale, separated_auroc, wilson

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimate:
    """One figure over some images, with its draws.

    Args:
        value: NaN where it is not defined.
        draws: (resamples,) the figure under each resample of `PatientDraws`; NaN where undefined.
        freedom: degrees of freedom of its standard error, most often patients on the rarer side
            less one.
        scale: on which its interval is symmetric: "logit", "log" or "plain" (see
            `intervals.on_scale`), or "share", of which ``size`` is the effective number.
        n: images that it is over.
        positives: positive ones among them.
        size: of a share, its effective number of images.
        sides: patients with a positive and with a negative, for an AUROC of 0 or 1.
        reason: why there is no value.
        given: the ends at a z, where none of the scales makes them.
        student: whether the half width is Student's quantile, or the normal one.
    """

    value: float
    draws: Floats
    freedom: float
    scale: str
    n: int
    positives: int
    size: float = math.nan
    sides: tuple[int, int] = (0, 0)
    reason: str | None = None
    given: Callable[[float], Ends] | None = None
    student: bool = True

    @property
    def defined(self) -> bool:
        """Whether there is a value."""
        return math.isfinite(self.value)

    @property
    def error(self) -> float:
        """Standard error: of the draws, with what too few patients take off it put back."""
        some = self.draws[np.isfinite(self.draws)]
        return float(some.std()) * self.short if len(some) > 1 else math.nan

    @property
    def short(self) -> float:
        """By how much the draws of so few patients vary too little."""
        return math.sqrt((self.freedom + 1) / max(self.freedom, 1.0))

    def ends(self, z: float = Z) -> Ends:
        """The interval, as wide as a normal one at ``z``; NaN where there is none."""
        if not self.defined or self.freedom < 1:
            return math.nan, math.nan
        if self.given is not None:
            return self.given(z)
        if self.scale == "share":
            return wilson(self.value, self.size, z)
        error, wide = self.error, critical(self.freedom, z) if self.student else z
        if self.scale == "logit" and (self.value in (0.0, 1.0) or not error > 0):
            if min(self.sides):
                return separated_auroc(self.value, *self.sides, wide=z)
            return math.nan, math.nan
        if not math.isfinite(error) or (self.scale == "log" and self.value <= 0):
            return math.nan, math.nan
        return on_scale(self.scale, self.value, error, wide)

    def through(self, change: Callable[[float], float]) -> Estimate:
        """The same figure on another scale, by a ``change`` that is monotone."""

        def ends(z: float) -> Ends:
            low, high = (change(end) for end in self.ends(z))
            return min(low, high), max(low, high)

        if not self.defined:
            return self
        draws = np.array([change(one) for one in self.draws.tolist()])
        return replace(self, value=change(self.value), draws=draws, scale="given", given=ends)

    def figure(self, part: str, chosen_on: str | None = None) -> Figure:
        """As a report says it."""
        low, high = self.ends()
        reason = self.reason
        if reason is None and not self.defined:
            reason = "not defined on these images"
        elif reason is None and not (math.isfinite(low) and math.isfinite(high)):
            reason = (
                "too few patients with a positive or with a negative for an interval"
                if self.freedom < 1
                else "no interval: resamples of the patients do not tell how it varies"
            )
        return Figure(self.value, low, high, self.n, self.positives, part, chosen_on, reason)


def undefined(reason: str, n: int, positives: int, resamples: int = 0) -> Estimate:
    """An estimate without a value."""
    return Estimate(math.nan, np.full(resamples, np.nan), 0.0, "plain", n, positives, reason=reason)


def mean_of(
    found: Sequence[Estimate], scale: str, n: int, positives: int, resamples: int
) -> Estimate:
    """The mean over the defined ones; it is over the same ones in every draw.

    Where a draw does not define one of them, that one's value stands in for it. Degrees of freedom
    are Satterthwaite's (Biometrics 1946). Where nothing varies, as in a mean of 0 or 1, the
    ends are the means of the labels' own, which is too wide rather than too narrow.

    Args:
        found: a label an entry.
        scale: see `Estimate`.
        n: images.
        positives: positive ones among them.
        resamples: of each of them.
    """
    known = [one for one in found if one.defined]
    if not known:
        return undefined("no label has a value", n, positives, resamples)
    filled = [
        np.where(np.isfinite(one.draws), one.value + one.short * (one.draws - one.value), one.value)
        for one in known
    ]
    draws = np.mean(filled, axis=0)
    apart = np.array([one.error for one in known]) / len(known)
    freedom = np.array([max(one.freedom, 1.0) for one in known])
    worst = float(np.nansum(apart**4 / freedom))
    total = float(draws.var())
    degrees = min(1e7, total**2 / worst) if worst > 0 else 1e7
    value = float(np.mean([one.value for one in known]))
    mean = Estimate(value, draws, max(degrees, 1.0), scale, n, positives)
    if scale == "logit" and (value in (0.0, 1.0) or not total > 0):
        given = partial(_mean_ends, known)
        return replace(mean, freedom=min(one.freedom for one in known), scale="given", given=given)
    return mean


def _mean_ends(known: Sequence[Estimate], z: float) -> Ends:
    """Means of the ends of each."""
    each = [one.ends(z) for one in known]
    return float(np.mean([low for low, _ in each])), float(np.mean([high for _, high in each]))


def minus(
    first: Estimate,
    second: Estimate,
    part: str,
    chosen_on: str | None = None,
    *,
    z: float = Z,
    alike: bool = False,
) -> Figure:
    """``first - second``, paired over their draws, as a figure.

    Args:
        first: a figure.
        second: the one that is taken away; over the same draws.
        part: see `Figure`.
        chosen_on: see `Figure`.
        z: half width of the interval, in normal standard errors; see `critical`.
        alike: whether both are the same figure of the same images, so that they move together: then
            the interval is by the standard error of the difference itself. Otherwise it is made of
            the two's own intervals.
    """
    n, positives = first.n, first.positives
    for one in (first, second):
        if not one.defined:
            why = one.reason or "not defined on these images"
            return Figure(None, None, None, n, positives, part, chosen_on, why)
    gap = first.value - second.value
    if alike:
        freedom = min(first.freedom, second.freedom)
        low, high = Estimate(gap, first.draws - second.draws, freedom, "plain", n, positives).ends(
            z
        )
    else:
        together = correlation(first, second)
        low, high = difference(first.value, first.ends(z), second.value, second.ends(z), together)
    reason = None if math.isfinite(low + high) else "too few patients for an interval"
    return Figure(gap, low, high, n, positives, part, chosen_on, reason)


def correlation(first: Estimate, second: Estimate) -> float:
    """Between two figures over the draws that define both; 0 where one of them does not vary."""
    both = np.isfinite(first.draws) & np.isfinite(second.draws)
    if both.sum() < 3:
        return 0.0
    a, b = first.draws[both], second.draws[both]
    if a.std() <= 0 or b.std() <= 0:
        return 0.0
    return float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))
