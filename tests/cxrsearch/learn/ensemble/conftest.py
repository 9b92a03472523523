"""Made-up predictions in which it is known what a good ensemble does."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest


class Made(NamedTuple):
    scores: np.ndarray
    labels: np.ndarray
    patients: np.ndarray


def make(n: int = 600, noise: tuple[float, ...] = (1.5, 1.5, 1.5, 6.0), seed: int = 0) -> Made:
    """``n`` images of half as many patients; members see the labels through noise of their own.

    The first three are equally good and the last one is much worse. Disease 1 follows from
    disease 0 alone: no member has a clue of it.
    """
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 14)) < 0.3).astype(np.uint8)
    signal = labels * 2.0
    labels[:, 1] = (labels[:, 0] == 1) & (rng.random(n) < 0.8)
    signal[:, 1] = 0.0
    drawn = [signal + rng.normal(0, s, (n, 14)) - 2.0 for s in noise]
    return Made(np.stack(drawn).astype(np.float32), labels, np.arange(n) // 2)


@pytest.fixture(scope="session")
def made() -> Made:
    return make()


@pytest.fixture(scope="session")
def unseen() -> Made:
    return make(1000, seed=1)
