"""AUROC and average precision of a label, and how they vary over patients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .estimate import Estimate, undefined
from .resampling import PatientDraws
from .sample import Flags

Floats = NDArray[np.float64]


class Ranked(NamedTuple):
    """Both figures of one label and what each image adds to them.

    Args:
        auroc: its value.
        precision: average precision.
        auroc_influence: (m,) derivative of the AUROC by the weight of each image.
        precision_influence: (m,) the same of average precision.
    """

    auroc: float
    precision: float
    auroc_influence: Floats
    precision_influence: Floats


def ranks(positive: Flags, scores: NDArray[Any]) -> Ranked:
    """AUROC and average precision, exactly, with the influence of each image.

    AUROC is the share of pairs in which the positive scores higher, a tie counting half; its
    influence are the placements of DeLong et al. (Biometrics 1988), which Obuchowski (Biometrics
    1997) sums within patients. Average precision is the mean over positives of the precision at
    their own score, without interpolation (Davis & Goadrich, ICML 2006); its influence is its
    derivative.

    Args:
        positive: (m,) with both classes in it.
        scores: (m,).
    """
    edges, place = np.unique(-np.asarray(scores, dtype=float), return_inverse=True)
    up = np.bincount(place, positive, len(edges))
    down = np.bincount(place, ~positive, len(edges))
    found, wrong = up.cumsum(), down.cumsum()  # at or above each score, the highest first
    positives, negatives = float(found[-1]), float(wrong[-1])
    beaten = (negatives - wrong) + down / 2  # by a positive of this score
    missed = (found - up) + up / 2  # positives above a negative of this score
    auroc = float((up * beaten).sum()) / (positives * negatives)
    bent = np.where(
        positive,
        (beaten[place] / negatives - auroc) / positives,
        (missed[place] / positives - auroc) / negatives,
    )
    precision = found / (found + wrong)
    mean = float((up * precision).sum()) / positives
    # What one more image at a score takes from, or adds to, all positives at or below it.
    adds = (up * wrong / (found + wrong) ** 2)[::-1].cumsum()[::-1]
    takes = (up * found / (found + wrong) ** 2)[::-1].cumsum()[::-1]
    pulled = np.where(positive, precision[place] - mean + adds[place], -takes[place]) / positives
    return Ranked(auroc, mean, bent, pulled)


def ranked(
    there: Flags, away: Flags, scores: NDArray[Any], draws: PatientDraws
) -> tuple[Estimate, Estimate]:
    """AUROC and average precision of one label as estimates.

    Draws are linear in how often each patient is drawn, so that a report of many images takes
    seconds; the values themselves are exact.

    Args:
        there: (m,) positives; images are those of ``draws``, or several times over one another
            (m a multiple of them), as for a micro average.
        away: (m,) negatives.
        scores: (m,) finite.
        draws: of the patients.
    """
    judged = np.flatnonzero(there | away)
    patient = draws.patient[judged % len(draws.patient)]
    positive = there[judged]
    n, positives = len(judged), int(positive.sum())
    sides = (len(np.unique(patient[positive])), len(np.unique(patient[~positive])))
    for side, word in zip(sides, ("positive", "negative"), strict=True):
        if not side:
            nothing = undefined(f"no {word} image", n, positives, draws.resamples)
            return nothing, nothing
    found = ranks(positive, scores[judged])
    influence = np.stack(
        [
            np.bincount(patient, each, draws.patients).astype(float)
            for each in (found.auroc_influence, found.precision_influence)
        ],
        axis=1,
    )
    moved = draws.summed(influence)  # influences add up to nothing
    auroc, precision = (
        Estimate(value, value + moved[:, i], min(sides) - 1.0, "logit", n, positives, sides=sides)
        for i, value in enumerate((found.auroc, found.precision))
    )
    return auroc, precision
