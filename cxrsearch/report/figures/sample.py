"""The images that a report judges, ready for its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cxrsearch.data.marks import absent, present

from .resampling import PatientDraws

Flags = NDArray[np.bool_]


class JudgedLike(Protocol):
    """What `cxrsearch.report.evidence.JudgedImages` has."""

    @property
    def part(self) -> str: ...  # noqa: D102
    @property
    def marks(self) -> np.ndarray: ...  # noqa: D102
    @property
    def scores(self) -> np.ndarray: ...  # noqa: D102
    @property
    def patients(self) -> np.ndarray: ...  # noqa: D102
    @property
    def label_names(self) -> tuple[str, ...]: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class JudgedSample:
    """Images with their marks, scores and draws.

    Args:
        part: see `Figure`.
        label_names: (k,).
        there: (n, k) where a label is known to be present.
        away: (n, k) where it is known to be absent.
        scores: (n, k) probabilities.
        draws: of the patients.
    """

    part: str
    label_names: tuple[str, ...]
    there: Flags
    away: Flags
    scores: NDArray[Any]
    draws: PatientDraws

    @property
    def n(self) -> int:
        """Images."""
        return len(self.there)

    def counted(self, names: Sequence[str]) -> tuple[int, int]:
        """Images with a known mark of at least one of the labels ``names``, and with a positive."""
        columns = [self.label_names.index(name) for name in names]
        there, away = self.there[:, columns], self.away[:, columns]
        return int((there | away).any(axis=1).sum()), int(there.any(axis=1).sum())

    def among(self, images: Flags) -> JudgedSample:
        """The same, with what is known of ``images`` (n,) alone; the draws stay."""
        mask = images[:, None]
        return JudgedSample(
            self.part, self.label_names, self.there & mask, self.away & mask, self.scores,
            self.draws,
        )  # fmt: skip

    def with_scores(self, scores: NDArray[Any]) -> JudgedSample:
        """The same images with other scores (n, k); where these are NaN nothing is judged."""
        said = np.isfinite(scores)
        return JudgedSample(
            self.part, self.label_names, self.there & said, self.away & said,
            np.where(said, scores, 0.0), self.draws,
        )  # fmt: skip

    def patients_with(self, flags: Flags) -> int:
        """Patients with an image in ``flags`` (n,)."""
        return len(np.unique(self.draws.patient[flags]))


def sample_of(judged: JudgedLike, resamples: int, seed: int) -> JudgedSample:
    """Images as figures take them.

    Args:
        judged: see `JudgedLike`.
        resamples: of the patients.
        seed: of the draws.

    Raises:
        ValueError: where shapes do not fit, or a score is not a probability.
    """
    marks, scores = np.asarray(judged.marks), np.asarray(judged.scores)
    k = len(judged.label_names)
    if marks.shape != scores.shape or marks.ndim != 2 or marks.shape[1] != k:
        raise ValueError(
            f"{judged.part}: marks {marks.shape} and scores {scores.shape} must be (n, {k})"
        )
    if len(judged.patients) != len(marks):
        raise ValueError(f"{judged.part}: {len(judged.patients)} patients of {len(marks)} images")
    if not np.isfinite(scores).all() or (scores < 0).any() or (scores > 1).any():
        wrong = np.argwhere(~((scores >= 0) & (scores <= 1)))[0]
        raise ValueError(
            f"{judged.part}: scores must be from 0 to 1, got {scores[tuple(wrong)]} in row "
            f"{wrong[0]}, label {judged.label_names[wrong[1]]}"
        )
    return JudgedSample(
        judged.part,
        tuple(judged.label_names),
        present(marks),
        absent(marks),
        scores,
        PatientDraws(judged.patients, resamples, seed),
    )
