"""Patients are dealt as they always were, and known negatives are dealt out too."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

from cxrsearch.data.splits import make_splits
from cxrsearch.data.splits.stratify import generator, per_patient, stratify
from cxrsearch.phantom.dataset import phantom_dataset


@pytest.mark.parametrize(
    ("images", "seed", "usual", "other"),
    [
        (60, 0, "e68f8b624c2ef881", "40d508dc72ff5543"),
        (900, 3, "d3e6816ef98a1b98", "e7dba0102ff329d9"),
        (2500, 7, "43a9feb206bffc2d", "18c0543cf45f8980"),
    ],
)
def test_the_phantoms_parts_are_what_they_were_before_labels_had_names(
    images: int, seed: int, usual: str, other: str
) -> None:
    data = phantom_dataset(images=images, seed=seed, difficulty=0.5)
    splits = make_splits(data.names, data.labels, data.patients, seed=seed)
    assert splits.fingerprint == usual
    again = make_splits(
        data.names, data.labels, data.patients, seed=seed, val_share=0.4, val_seed=60
    )
    assert again.fingerprint == other
    soft = data.labels.astype(np.float32) * 0.8 + 0.1  # readers disagree, most know
    assert make_splits(data.names, soft, data.patients, seed=seed).fingerprint == usual


def by_the_paper(counts: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One deal, patient by patient."""
    wanted = share[:, None] * counts.sum(axis=0)
    room = share * len(counts)
    part = np.full(len(counts), -1)
    order = rng.permutation(len(counts))
    while (left := (counts[part < 0] > 0).sum(axis=0)).any():
        label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        for patient in order[(counts[order, label] > 0) & (part[order] < 0)]:
            lack = wanted[:, label]
            best = np.flatnonzero(lack >= lack.max() - 1e-9)
            chosen = best[np.argmax(room[best])]
            part[patient] = chosen
            wanted[chosen] -= counts[patient]
            room[chosen] -= 1
    return part


@pytest.mark.parametrize("shares", [(0.8, 0.2), (0.2, 0.2, 0.2, 0.2, 0.2), (0.63, 0.37)])
def test_dealing_label_by_label_is_dealing_patient_by_patient(
    shares: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("cxrsearch.data.splits.stratify"), "DEALS", 1)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        labels = rng.random((300, 1 + seed)) < rng.random(1 + seed) * 0.4
        counts = per_patient(labels, rng.integers(0, 90, 300))[1]
        found = stratify(counts, shares, generator(seed, "x"), least=[0] * len(shares))
        wanted = by_the_paper(counts, np.asarray(shares), generator(seed, "x"))
        assert found.tolist() == wanted.tolist()


def test_counts_of_a_patient_are_those_of_known_marks_alone() -> None:
    nan = np.nan
    labels = np.array([[1, nan], [nan, 0], [0.8, 0.3], [0, 0.5]], np.float32)
    people, counts = per_patient(labels, np.array(["b", "a", "b", "a"]))
    assert people.tolist() == ["a", "b"]
    # Positives of both; nothing found; known negatives of both, which are not known of all.
    assert counts.tolist() == [[0, 0, 2, 1, 1], [2, 0, 0, 0, 1]]
    assert per_patient(np.eye(2, dtype=np.uint8), np.array(["a", "b"]))[1].shape == (2, 3)


def test_few_known_negatives_reach_every_part() -> None:
    """A label that reports only mention where it is there."""
    rng = np.random.default_rng(0)
    labels = np.full((600, 2), np.nan, np.float32)
    labels[:, 0] = rng.random(600) < 0.3
    labels[rng.random(600) < 0.5, 1] = 1
    labels[:8, 1] = 0
    names = tuple(f"{i:03}.png" for i in range(600))
    for seed in range(5):
        splits = make_splits(names, labels, np.array(names), seed=seed)
        for part in (splits.train, splits.val, splits.test):
            assert set(names[:8]) & set(part)
