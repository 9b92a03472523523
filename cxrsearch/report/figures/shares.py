"""Shares of images: sensitivity, predictive values, prevalence and their like."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .estimate import Estimate, undefined
from .intervals import effective_size
from .resampling import PatientDraws
from .sample import Flags

Floats = NDArray[np.float64]


def share_of(
    hits: Flags, among: Flags, draws: PatientDraws, none: str, positives: Flags | None = None
) -> Estimate:
    """The share of ``hits`` among some images.

    Args:
        hits: (n,) what is counted.
        among: (n,) what it is a share of.
        draws: of the patients.
        none: why there is no share where ``among`` is empty.
        positives: (n,) positive images; ``hits`` where not given.
    """
    counted, n = hits & among, int(among.sum())
    positive = int((among & (hits if positives is None else positives)).sum())
    if not n:
        return undefined(none, 0, positive, draws.resamples)
    each = draws.by_patient(np.stack([counted, among], axis=1))
    size, freedom = effective_size(each[:, 0], each[:, 1])
    sums = draws.summed(each)
    with np.errstate(invalid="ignore"):
        drawn = sums[:, 0] / sums[:, 1]
    value = float(counted.sum()) / n
    return Estimate(value, drawn, max(freedom, 1.0), "share", n, positive, size=size)
