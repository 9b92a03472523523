"""Colours of signed maps: even steps to the eye, blue against and orange for a finding.

Each half of the scale is a straight line in Oklab (Ottosson, "A perceptual color space for image
processing", 2020), from white at 0 to its colour at the end, so that equal steps of a map are equal
steps to the eye, and both halves grow dark alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats64 = NDArray[np.float64]

AT_ZERO = np.array([0.97, 0.0, 0.0])
FOR = np.array([0.60, 0.13, 0.115])
AGAINST = np.array([0.60, -0.05, -0.145])
"""Lightness, green to red, blue to yellow."""

_TO_CONES = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728],
     [1.0, -0.0894841775, -1.2914855480]]
)  # fmt: skip
_TO_LINEAR = np.array(
    [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
     [-0.0041960863, -0.7034186147, 1.7076147010]]
)  # fmt: skip
"""Oklab to the cones' cube roots, and these cubed to linear sRGB, as published."""


def oklab_of(values: Floats64) -> Floats64:
    """(..., 3) Oklab of ``values`` in [-1, 1]."""
    strength = np.abs(np.clip(values, -1, 1))[..., None]
    end = np.where(np.asarray(values)[..., None] < 0, AGAINST, FOR)
    return np.asarray(AT_ZERO + strength * (end - AT_ZERO))


def colours_of(values: Floats64) -> NDArray[np.uint8]:
    """(..., 3) red, green and blue of ``values`` in [-1, 1]."""
    linear = (oklab_of(values) @ _TO_CONES.T) ** 3 @ _TO_LINEAR.T
    linear = np.clip(linear, 0, 1)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(curved * 255), np.uint8)
