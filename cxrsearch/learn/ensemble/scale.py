"""What of a model's logits is averaged: they themselves, probabilities, ranks, or z-scores.

Ranks and z-scores are taken against the images that an ensemble was fitted on, so that an
image's score depends on that image alone, not on which others are scored along with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

SCALES = ("logit", "probability", "rank", "z")

LIMIT = 30.0
"""Logits are cut here: a network in half precision may give -102 for what -30 says as well."""

KNOTS = 65
"""Quantiles of the fitting images that ranks are read off, linearly in between."""


@dataclass(frozen=True)
class Scale:
    """How logits become what is averaged.

    Args:
        kind: one of `SCALES`.
        table: for ``z``, mean and deviation (2, k, d); for ``rank``, quantiles (q, k, d);
            otherwise empty.
    """

    kind: str
    table: Array

    @classmethod
    def learn(cls, kind: str, logits: Array) -> Scale:
        """The scale of ``kind`` for (k, n, d) ``logits``.

        Raises:
            ValueError: for an unknown kind.
        """
        if kind not in SCALES:
            raise ValueError(f"scale {kind!r}: one of {', '.join(SCALES)}")
        cut = np.clip(logits, -LIMIT, LIMIT).astype(np.float64)
        if kind == "z":
            spread = cut.std(axis=1)
            return cls(kind, np.stack([cut.mean(axis=1), np.where(spread > 0, spread, 1.0)]))
        if kind == "rank":
            return cls(kind, np.quantile(cut, np.linspace(0, 1, KNOTS), axis=1))
        return cls(kind, np.zeros((0, *logits.shape[::2])))

    def __call__(self, logits: Array) -> Array:
        """(k, n, d) logits on this scale, float32."""
        cut = np.clip(np.asarray(logits, np.float32), -LIMIT, LIMIT)
        if self.kind == "logit":
            return cut
        if self.kind == "probability":
            return sigmoid(cut)
        if self.kind == "z":
            mean, spread = self.table[:, :, None, :].astype(np.float32)
            return np.asarray((cut - mean) / spread)
        return self._ranks(cut)

    def _ranks(self, cut: Array) -> Array:
        places = np.linspace(0, 1, len(self.table))
        out = np.empty_like(cut)
        for member in range(cut.shape[0]):
            for column in range(cut.shape[2]):
                knots = self.table[:, member, column]
                # Beyond the last image of the fitting part the order goes on, if ever flatter.
                x = cut[member, :, column]
                inside = np.interp(x, knots, places)
                outside = np.tanh((x - np.clip(x, knots[0], knots[-1])) / LIMIT)
                out[member, :, column] = (inside + 0.01 * outside + 0.01) / 1.02
        return out

    def keep(self, members: Array) -> Scale:
        """The scale for some of the members, by their positions."""
        return Scale(self.kind, self.table[:, members])


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), of values within what exp can take."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))
