"""What the choice of an epoch by few patients is worth."""

from __future__ import annotations

import numpy as np

from experiments.last_epoch import EPOCH_RULES, after


def drawn(strengths: list[float]) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Logits after epochs that are so good, labels, and patients of two images each."""
    rng = np.random.default_rng(3)
    labels = (rng.random((160, 2)) < 0.4).astype(float)
    logits = [rng.normal(size=labels.shape) + strength * labels for strength in strengths]
    return logits, labels, np.arange(160) // 2


def test_an_epoch_that_is_far_better_is_taken_by_all_rules() -> None:
    found = after(*drawn([0.5, 3.0, 0.2]), draws=8)
    assert set(found) == set(EPOCH_RULES)
    assert all(value > 0.2 for value in found.values())


def test_a_last_epoch_that_is_far_better_is_taken_by_all_rules() -> None:
    assert after(*drawn([0.1, 0.1, 3.0]), draws=8) == dict.fromkeys(EPOCH_RULES, 0.0)


def test_luck_moves_a_careful_rule_less_often_than_a_bold_one() -> None:
    bold, careful = [], []
    for draw in range(6):
        logits, labels, patients = drawn([0.8] * 8)
        found = after(logits[draw:] + logits[:draw], labels, patients, draws=8)
        bold.append(found["the best epoch"])
        careful.append(found["best if ahead by 2 SE"])
    assert np.abs(careful).mean() < np.abs(bold).mean()
