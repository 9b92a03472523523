"""Drawn images with known marks, as a report's figures take them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

LABELS = ("Effusion", "Mass", "Hernia")


@pytest.fixture
def drawn() -> Callable[..., Any]:
    """Makes images of patients with two each, on average, with some marks unknown."""

    def make(part: str = "test", n: int = 240, seed: int = 0, unknown: float = 0.1) -> Any:
        rng = np.random.default_rng(seed)
        marks = (rng.random((n, 3)) < [0.4, 0.15, 0.05]).astype(float)
        scores = 1 / (1 + np.exp(1 - rng.normal(size=(n, 3)) - 1.5 * marks))
        marks[rng.random((n, 3)) < unknown] = np.nan
        return SimpleNamespace(
            part=part, marks=marks, scores=np.round(scores, 2).astype(np.float32),
            patients=rng.integers(n // 2, size=n), label_names=LABELS,
        )  # fmt: skip

    return make
