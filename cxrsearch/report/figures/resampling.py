"""Patients drawn with replacement, once for all figures of a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxrsearch.learn.metrics import multiplicities

Floats = NDArray[np.float64]

_CHUNK = 1 << 22  # numbers held at once


class PatientDraws:
    """How often each patient is in each resample of the cluster bootstrap.

    A patient's images are alike, so patients are drawn, as many as there are, each with all of its
    images (Field & Welsh, JRSS B 2007). All figures are over the same draws, so that differences
    between models, readers or groups are paired.

    Args:
        patients: (n,) patient of each image, any type that can be compared.
        resamples: how many.
        seed: of the draws.

    Attributes:
        patient: (n,) place of each image's patient.
        counts: (resamples, patients) how often each is drawn.

    Raises:
        ValueError: where there is no patient, or no resample.
    """

    def __init__(self, patients: ArrayLike, resamples: int, seed: int) -> None:
        names, patient = np.unique(np.asarray(patients), return_inverse=True)
        if not len(names) or resamples < 1:
            raise ValueError(f"patients and resamples >= 1, got {len(names)} and {resamples}")
        rng, step = np.random.default_rng(seed), max(1, _CHUNK // len(names))
        self.patient: NDArray[np.int64] = patient.reshape(-1).astype(np.int64)
        self.counts: NDArray[np.uint16] = np.empty((resamples, len(names)), np.uint16)
        for start in range(0, resamples, step):
            stop = min(start + step, resamples)
            self.counts[start:stop] = multiplicities(rng, len(names), stop - start)

    @property
    def resamples(self) -> int:
        """How many there are."""
        return len(self.counts)

    @property
    def patients(self) -> int:
        """How many patients are drawn from."""
        return int(self.counts.shape[1])

    def by_patient(self, columns: NDArray[Any]) -> Floats:
        """(patients, q) sums of (n, q) ``columns`` over each patient's images."""
        wide = np.asarray(columns, dtype=float).reshape(len(self.patient), -1)
        summed = [np.bincount(self.patient, column, self.patients) for column in wide.T]
        return np.stack(summed, axis=1) if summed else np.zeros((self.patients, 0))

    def sums(self, columns: NDArray[Any]) -> Floats:
        """(resamples, q) sums of (n, q) ``columns`` over the images of each resample."""
        return self.summed(self.by_patient(columns))

    def summed(self, by_patient: Floats) -> Floats:
        """(resamples, q) sums of (patients, q) ``by_patient`` over the patients of each."""
        found = np.empty((self.resamples, by_patient.shape[1]))
        step = max(1, _CHUNK // self.patients)
        for start in range(0, self.resamples, step):
            counts = self.counts[start : start + step].astype(float)
            found[start : start + step] = counts @ by_patient
        return found

    def weights(self, images: NDArray[np.int64] | None = None) -> Iterator[NDArray[np.int32]]:
        """How often each image is in each resample, (r, n) chunks of all resamples in order.

        Args:
            images: those that are asked about; None: all.
        """
        patient = self.patient if images is None else self.patient[images]
        step = max(1, _CHUNK // max(1, len(patient)))
        for start in range(0, self.resamples, step):
            yield self.counts[start : start + step][:, patient].astype(np.int32)
