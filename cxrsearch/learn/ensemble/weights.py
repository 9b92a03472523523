"""What a fitted ensemble is: weights of members by label, and how they are applied."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from search.files import write_json
from search.reading import FileError, read_json

from .scale import SCALES, Array, Scale, sigmoid

ENSEMBLE_FORMAT, ENSEMBLE_VERSION = "cxrsearch ensemble", 2
LARGEST_WEIGHT = 1e9
"""Weights beyond are damaged: no score would be left of the others."""


@dataclass(frozen=True)
class Ensemble:
    """Weights over ``k`` members for ``d`` labels.

    The score of an image for label j, with x the members' scores on ``scale``::

        t[j] = sum_k weights[k, j] x[k, j] + sum_i cross[i, j] mean_k x[k, i] + bias[j]

    where the mean is over the members that have a weight for any label,

    and ``apply`` gives t itself for probabilities and ranks, 1 / (1 + exp(-t)) for logits and
    z-scores.

    Args:
        members: names of the members.
        method: how the weights were found.
        scale: what is weighted.
        weights: (k, d).
        cross: (d, d), what the members' mean for another label adds; all 0 for averages.
        bias: (d,).
        label_names: (d,) what the columns are.
    """

    members: tuple[str, ...]
    method: str
    scale: Scale
    weights: Array
    cross: Array
    bias: Array
    label_names: tuple[str, ...]

    def apply(self, scores: Array) -> Array:
        """(n, d) scores in [0, 1] from the members' logits.

        Args:
            scores: (k, n, d) logits, members in the order of ``members``.

        Raises:
            ValueError: where the shape does not fit or a number is not finite.
        """
        scores = np.asarray(scores)
        k, d = self.weights.shape
        if scores.ndim != 3 or scores.shape[::2] != (k, d):
            raise ValueError(f"scores must be ({k}, n, {d}) for this ensemble, got {scores.shape}")
        if not np.isfinite(scores).all():
            raise ValueError("scores must be finite")
        x = self.scale(scores)
        total = np.einsum("kd,knd->nd", self.weights, x, dtype=np.float64, casting="unsafe")
        if self.cross.any():
            total = total + x[list(self.used)].mean(axis=0) @ self.cross
        total = total + self.bias
        return sigmoid(np.clip(total, -500, 500)) if self.scale.kind in ("logit", "z") else total

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the members that a score depends on."""
        return tuple(np.flatnonzero(self.weights.any(axis=1)).tolist())

    def of_used(self) -> Ensemble:
        """The same without the members that have no weight."""
        chosen = np.array(self.used, dtype=int)
        return Ensemble(
            tuple(self.members[i] for i in chosen), self.method, self.scale.keep(chosen),
            self.weights[chosen], self.cross, self.bias, self.label_names,
        )  # fmt: skip

    def shares(self) -> Array:
        """(k,) each member's share of the absolute weights, mean over the labels."""
        size = np.abs(self.weights)
        total = size.sum(axis=0)
        return np.asarray((size / np.where(total > 0, total, 1.0)).mean(axis=1))

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return {
            "format": ENSEMBLE_FORMAT,
            "version": ENSEMBLE_VERSION,
            "labels": list(self.label_names),
            "method": self.method,
            "members": list(self.members),
            "scale": self.scale.kind,
            "table": self.scale.table.tolist(),
            "weights": self.weights.tolist(),
            "cross": self.cross.tolist(),
            "bias": self.bias.tolist(),
        }

    @classmethod
    def from_dict(cls, value: Any, place: str = "ensemble") -> Ensemble:
        """What `to_dict` gave; version 1, which knew no names of labels, is of NIH's diseases.

        Raises:
            InputError: for whatever is missing, of another format or shape.
        """
        if not isinstance(value, dict) or value.get("format") != ENSEMBLE_FORMAT:
            raise InputError(f"{place}: not written by `cxrsearch ensemble`")
        if value.get("version") not in range(1, ENSEMBLE_VERSION + 1):
            raise InputError(
                f"{place}: format version {value.get('version')!r}, but this program reads up to "
                f"{ENSEMBLE_VERSION}; use the version of cxrsearch that wrote it"
            )
        try:
            return _checked(value)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"{place}: damaged ({error}); restore it from a copy") from error

    def save(self, path: Path | str) -> None:
        """Write it as JSON, atomically."""
        write_json(Path(path), self.to_dict())

    @classmethod
    def load(cls, path: Path | str) -> Ensemble:
        """What `save` wrote.

        Raises:
            InputError: where it is missing, damaged or of another format.
        """
        try:
            value = read_json(Path(path), "the ensemble")
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; write one with `cxrsearch ensemble`") from None
        except FileError as error:
            raise InputError(error.problems) from None
        return cls.from_dict(value, str(path))


def _checked(value: dict[str, Any]) -> Ensemble:
    members = tuple(value["members"])
    named = value["diseases" if value["version"] == 1 else "labels"]
    names = tuple(named) if isinstance(named, list) else ()
    k, d = len(members), len(names)
    if not k or not all(isinstance(name, str) for name in members):
        raise ValueError("no names of members")
    if value["version"] == 1 and names != DISEASES:
        raise ValueError("its diseases are not the 14 of NIH in NIH's order")
    if not d or len(set(names)) < d or not all(isinstance(name, str) for name in names):
        raise ValueError("no names of labels")
    if value["scale"] not in SCALES:
        raise ValueError("its scale is unknown")
    arrays = {
        name: np.asarray(value[name], dtype=np.float64).reshape(shape)
        for name, shape in (
            ("weights", (k, d)), ("cross", (d, d)), ("bias", (d,)), ("table", (-1, k, d)),
        )
    }  # fmt: skip
    wrong = [
        name
        for name, array in arrays.items()
        if np.asarray(value[name]).dtype.kind not in "iuf"
        or not (np.abs(array) <= LARGEST_WEIGHT).all()
    ]
    knots = len(arrays["table"])
    if value["scale"] == "z" and (knots != 2 or (arrays["table"][1] <= 0).any()):
        wrong.append("table")
    if value["scale"] == "rank" and (knots < 2 or (np.diff(arrays["table"], axis=0) < 0).any()):
        wrong.append("table")
    if wrong:
        raise ValueError(f"{', '.join(wrong)}: numbers out of range")
    return Ensemble(
        members, str(value["method"]), Scale(value["scale"], arrays["table"]),
        arrays["weights"], arrays["cross"], arrays["bias"], names,
    )  # fmt: skip
