"""Whether probabilities can be believed: reliability, Brier score and its parts, slope, ECE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from .discrimination import Estimates
from .estimate import Estimate, undefined
from .intervals import Ends, effective_size, wilson
from .sample import JudgedSample
from .shares import share_of
from .sizes import DeviationSize

MOST_BINS = 10
"""Bins of equal count, at the most."""

A_BIN = 20
"""Images a bin, at the least."""

CALIBRATION = (
    "brier", "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_skill",
    "calibration_slope", "calibration_intercept", "calibration_in_the_large", "ece", "ece_plain",
)  # fmt: skip
"""Figures of calibration."""

_EDGE = 1e-6  # probabilities are kept this far from 0 and 1, so that they have a logit

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bins:
    """Images by their probability, as many in each bin as ties allow.

    Args:
        edges: (bins - 1,) highest probability of each bin but the last, or above it.
        place: (n,) bin of each image; -1 where nothing is known of it.
        count: how many bins there are.
        sums: (bins, 3) images, positives, and sum of probabilities.
        drawn: (resamples, bins, 3) the same under each draw.
    """

    edges: Floats
    place: NDArray[np.int64]
    count: int
    sums: Floats
    drawn: Floats


def binned(sample: JudgedSample, column: int, probabilities: NDArray[Any]) -> Bins:
    """Bins of equal count by ``probabilities`` (n,); equal ones are in the same bin."""
    there = sample.there[:, column]
    known = there | sample.away[:, column]
    values = np.asarray(probabilities, dtype=float)
    wished = int(np.clip(known.sum() // A_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(values[known], np.arange(1, wished) / wished))
    raw = np.where(known, np.searchsorted(edges, values, "left"), -1)
    used, inverse = np.unique(raw[known], return_inverse=True)
    place = np.full(len(values), -1)
    place[known] = inverse
    inside = place[:, None] == np.arange(len(used))
    columns = np.concatenate(
        [inside, inside & there[:, None], inside * values[:, None]], axis=1
    ).astype(float)
    each = sample.draws.by_patient(columns)
    shape = (3, len(used))
    sums = each.sum(axis=0).reshape(shape).T
    drawn = sample.draws.summed(each).reshape(-1, *shape).transpose(0, 2, 1)
    return Bins(edges[used[:-1]], place, len(used), sums, drawn)


def reliability_points(
    sample: JudgedSample, column: int, probabilities: NDArray[Any]
) -> dict[str, list[float]]:
    """The reliability diagram: a point a bin, ``x`` said, ``y`` seen, ``low``, ``high``, ``n``."""
    there = sample.there[:, column]
    if not (there | sample.away[:, column]).any():
        return {name: [] for name in ("x", "y", "low", "high", "n")}
    bins = binned(sample, column, probabilities)
    ends = []
    for place in range(bins.count):
        inside = bins.place == place
        each = sample.draws.by_patient(np.stack([inside & there, inside], axis=1))
        size, _ = effective_size(each[:, 0], each[:, 1])
        ends.append(wilson(bins.sums[place, 1] / bins.sums[place, 0], size))
    low, high = zip(*ends, strict=True)
    return {
        "x": (bins.sums[:, 2] / bins.sums[:, 0]).tolist(),
        "y": (bins.sums[:, 1] / bins.sums[:, 0]).tolist(),
        "low": list(low),
        "high": list(high),
        "n": bins.sums[:, 0].astype(int).tolist(),
    }


def calibration_of(sample: JudgedSample, column: int, probabilities: NDArray[Any]) -> Estimates:
    """Every figure of `CALIBRATION` for one label.

    The Brier score's parts are Murphy's (J Appl Meteorol 1973) over `Bins`; they add up to it but
    for what probabilities differ within a bin (Stephenson et al., Weather Forecast 2008).
    Reliability, resolution and expected calibration error are too high by chance in few images:
    what is said is the true size of which the seen one would be the median (`DeviationSize`).
    ``ece_plain`` is the usual one. Slope and intercept are those of Cox (Biometrika 1958);
    in-the-large is the intercept at slope 1.

    Args:
        sample: the images.
        column: the label.
        probabilities: (n,) of it.
    """
    there, away, draws = sample.there[:, column], sample.away[:, column], sample.draws
    known = there | away
    n, positives = int(known.sum()), int(there.sum())
    for side, word in ((there, "positive"), (away, "negative")):
        if not side.any():
            none = undefined(f"no {word} image", n, positives, draws.resamples)
            return dict.fromkeys(CALIBRATION, none)
    p = np.clip(np.asarray(probabilities, dtype=float), 0, 1)
    freedom = min(sample.patients_with(there), sample.patients_with(away)) - 1.0
    missed = np.where(known, (p - there) ** 2, 0.0)
    sums = draws.sums(np.stack([missed, there & known, known], axis=1))
    brier, share = float(missed.sum()) / n, positives / n
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn, prevalence = sums[:, 0] / sums[:, 2], sums[:, 1] / sums[:, 2]
        ratio = drawn / (prevalence * (1 - prevalence))

    def made(value: float, over: Floats, scale: str) -> Estimate:
        return Estimate(value, over, freedom, scale, n, positives, student=False)

    skill = made(1 - brier / (share * (1 - share)), 1 - ratio, "plain")
    found: Estimates = {
        "brier": made(brier, drawn, "plain"),
        "brier_uncertainty": _uncertainty(sample, column),
        "brier_skill": skill,
    }
    bins = binned(sample, column, p)
    images, seen, said = bins.sums.T
    weights, rates = images / n, seen / images
    worth, drawn_by = images / _design_effect(bins, sample), n / _spread_of_weights(bins, sample)
    for name, base, power in (
        ("ece", said / images, 1),
        ("brier_reliability", said / images, 2),
        ("brier_resolution", None, 2),
    ):
        size = DeviationSize(rates, base, weights, worth, drawn_by, power)
        found[name] = Estimate(
            size.at(0.0), np.full(draws.resamples, np.nan), freedom, "given", n, positives,
            given=lambda z, size=size: (size.at(z), size.at(-z)),  # type: ignore[misc]
        )  # fmt: skip
    gap = rates - said / images
    plain = float((weights * np.abs(gap)).sum())
    found["ece_plain"] = Estimate(
        plain, np.full(draws.resamples, np.nan), freedom, "plain", n, positives,
        reason="too high by chance in few images; ece is put right for it and has the interval",
    )  # fmt: skip
    return found | _lines(sample, column, p, freedom)


def _design_effect(bins: Bins, sample: JudgedSample) -> float:
    """How much more the rates of bins vary over patients than over independent images."""
    images, seen = bins.sums[:, 0], bins.sums[:, 1]
    rates = seen / images
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = bins.drawn[:, :, 1] / bins.drawn[:, :, 0]
    patients = sample.draws.patients
    varied = np.nan_to_num(np.nanvar(drawn, axis=0)) * patients / max(1, patients - 1)
    plain = rates * (1 - rates) / images
    if plain.sum() <= 0:
        return 1.0
    return max(1.0, float((images * varied).sum() / (images * plain).sum()))


def _spread_of_weights(bins: Bins, sample: JudgedSample) -> float:
    """How much more the shares of images in bins vary over patients than over independent images.

    That is their design effect; at fixed edges.
    """
    images = bins.sums[:, 0]
    weights, patients = images / images.sum(), sample.draws.patients
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = bins.drawn[:, :, 0] / bins.drawn[:, :, 0].sum(axis=1, keepdims=True)
    varied = np.nan_to_num(np.nanvar(shares, axis=0)) * patients / max(1, patients - 1)
    plain = weights * (1 - weights) / images.sum()
    return max(1.0, float(varied.sum() / plain.sum())) if plain.sum() > 0 else 1.0


def _uncertainty(sample: JudgedSample, column: int) -> Estimate:
    """Prevalence times what is left of 1: the Brier score of saying the prevalence of all."""
    there, away = sample.there[:, column], sample.away[:, column]
    share = share_of(there, there | away, sample.draws, "no mark is known")

    def ends(z: float) -> Ends:
        low, high = share.ends(z)
        outer = [low * (1 - low), high * (1 - high)]
        return min(outer), 0.25 if low <= 0.5 <= high else max(outer)

    return Estimate(
        share.value * (1 - share.value), share.draws * (1 - share.draws), share.freedom, "given",
        share.n, share.positives, given=ends,
    )  # fmt: skip


def _lines(sample: JudgedSample, column: int, p: Floats, freedom: float) -> Estimates:
    """Calibration slope, intercept, and intercept at slope 1, with draws by their influence."""
    there = sample.there[:, column]
    known = there | sample.away[:, column]
    z, y = logit(np.clip(p[known], _EDGE, 1 - _EDGE)), there[known].astype(float)
    patient, draws = sample.draws.patient[known], sample.draws
    n, positives = len(y), int(y.sum())
    found: Estimates = {}
    for names, design, offset in (
        (("calibration_slope", "calibration_intercept"), np.stack([z, np.ones_like(z)], 1), 0 * z),
        (("calibration_in_the_large",), np.ones((len(z), 1)), z),
    ):
        fitted = logistic(design, y, offset)
        if fitted is None:
            why = "scores separate positives from negatives, or are all the same: no line fits"
            found |= {name: undefined(why, n, positives, draws.resamples) for name in names}
            continue
        line, influence = fitted
        each = np.stack(
            [np.bincount(patient, one, draws.patients).astype(float) for one in influence.T], 1
        )
        moved = draws.summed(each)
        for i, name in enumerate(names):
            found[name] = Estimate(
                float(line[i]),
                line[i] + moved[:, i],
                freedom,
                "plain",
                n,
                positives,
                student=False,
            )
    return found


def logistic(design: Floats, truth: Floats, offset: Floats) -> tuple[Floats, Floats] | None:
    """Logistic regression by Newton's method, and each image's influence on it.

    Args:
        design: (n, q).
        truth: (n,) of 0 and 1.
        offset: (n,) part of the logit that is given.

    Returns:
        (q,) coefficients and (n, q) influences, whose sums over patients are the clustered
        sandwich's (Liang & Zeger, Biometrika 1986); None where no finite line fits.
    """
    line = np.zeros(design.shape[1])
    for _ in range(50):
        p = expit(design @ line + offset)
        curved = design.T @ (design * (p * (1 - p))[:, None])
        pull = design * (truth - p)[:, None]
        if not np.isfinite(curved).all() or np.linalg.cond(curved) > 1e10:
            return None
        step = np.linalg.solve(curved, pull.sum(axis=0))
        line = line + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            return line, np.linalg.solve(curved, pull.T).T
    return None
