"""What acting on a model is worth: net benefit, and the decision curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .discrimination import Estimates
from .estimate import Estimate, undefined
from .sample import JudgedSample

Floats = NDArray[np.float64]

NET_BENEFIT = ("net_benefit", "net_benefit_over_treating_all")
"""Figures at the operating point."""

_EDGES = np.concatenate([[0.005], np.arange(1, 100) / 100])


def benefits(
    sample: JudgedSample, column: int, probabilities: NDArray[Any], edges: Floats
) -> list[Estimate]:
    """Net benefit of treating from each of ``edges`` on.

    It is the share of true positives less that of false positives times the odds of the
    probability from which treating does more good than harm (Vickers & Elkin, Med Decis Making
    2006).

    Args:
        sample: the images.
        column: the label.
        probabilities: (n,) of the label; with all at 1 everybody is treated.
        edges: (e,) each in (0, 1).
    """
    there, away = sample.there[:, column], sample.away[:, column]
    known = there | away
    n, positives = int(known.sum()), int(there.sum())
    if not n:
        return [undefined("no mark is known", 0, 0, sample.draws.resamples)] * len(edges)
    worth = there[:, None] - away[:, None] * (edges / (1 - edges))
    called = np.asarray(probabilities)[:, None] >= edges
    each = sample.draws.by_patient(np.concatenate([called * worth, known[:, None]], axis=1))
    sums = sample.draws.summed(each)
    with np.errstate(invalid="ignore"):
        drawn = sums[:, :-1] / sums[:, -1:]
    values = each[:, :-1].sum(axis=0) / n
    freedom = max(1.0, min(sample.patients_with(there), sample.patients_with(away)) - 1.0)
    return [
        Estimate(float(value), drawn[:, place], freedom, "plain", n, positives, student=False)
        for place, value in enumerate(values)
    ]


def decision_points(
    sample: JudgedSample, column: int, probabilities: NDArray[Any]
) -> dict[str, list[float]]:
    """The decision curve: net benefit over the probability from which one would treat.

    Args:
        sample: the images.
        column: the label.
        probabilities: (n,) of the label.

    Returns:
        ``x``, ``y``, ``low`` and ``high`` of the model, ``treat_all`` and ``treat_none``.
    """
    there = sample.there[:, column]
    known = there | sample.away[:, column]
    if not known.any():
        return {name: [] for name in ("x", "y", "low", "high", "treat_all", "treat_none")}
    prevalence = float(there.sum() / known.sum())
    edges = _EDGES[max(0.1, min(0.99, 3 * prevalence)) >= _EDGES]
    net = benefits(sample, column, probabilities, edges)
    ends = np.array([one.ends() for one in net])
    odds = edges / (1 - edges)
    return {
        "x": edges.tolist(),
        "y": [one.value for one in net],
        "low": ends[:, 0].tolist(),
        "high": ends[:, 1].tolist(),
        "treat_all": (prevalence - (1 - prevalence) * odds).tolist(),
        "treat_none": [0.0] * len(edges),
    }


def net_benefit_at(
    sample: JudgedSample, column: int, threshold: float, probability: float, why: str | None
) -> Estimates:
    """Both of `NET_BENEFIT` at a label's operating point.

    Args:
        sample: the images.
        column: the label.
        threshold: the score from which an image is called positive.
        probability: what that score means, after recalibration where there is one: the probability
            from which treating is taken to be worth it.
        why: why there is no threshold; None where there is one.
    """
    there, away = sample.there[:, column], sample.away[:, column]
    n, positives = int((there | away).sum()), int(there.sum())
    if why is None and not 0 < probability < 1:
        why = "the threshold means a probability of 0 or 1"
    if why is not None or not math.isfinite(threshold):
        return dict.fromkeys(NET_BENEFIT, undefined(str(why), n, positives, sample.draws.resamples))
    edge = np.array([probability])
    called = np.where(sample.scores[:, column] >= threshold, 1.0, 0.0)
    net = benefits(sample, column, called, edge)[0]
    every = benefits(sample, column, np.ones(sample.n), edge)[0]
    over = Estimate(
        net.value - every.value, net.draws - every.draws, net.freedom, "plain", n, positives,
        reason=net.reason, student=False,
    )  # fmt: skip
    return dict(zip(NET_BENEFIT, (net, over), strict=True))
