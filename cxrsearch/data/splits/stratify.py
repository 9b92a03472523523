"""Deal patients to parts so that every disease's images are shared out as asked for.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label
data, ECML PKDD 2011), with patients in the place of examples: a patient counts with as many
positives as it has images that carry the label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

DEALS = 4
"""Deals of which the nearest to the wanted shares is taken."""


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose: another purpose or seed gives unrelated ones."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def per_patient(labels: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label counts of every patient.

    Args:
        labels: ``(n, k)``, 0 or 1.
        patients: ``(n,)``.

    Returns:
        the patients, sorted, ``(p,)``; and their images by label, ``(p, k + 1)``, with the
        images that carry no label in the last column.
    """
    unique, which = np.unique(patients, return_inverse=True)
    marks = np.column_stack([labels, ~labels.any(axis=1)]).astype(np.int64)
    counts = np.zeros((len(unique), marks.shape[1]), np.int64)
    np.add.at(counts, which, marks)
    return unique, counts


def stratify(
    counts: np.ndarray,
    shares: Sequence[float],
    rng: np.random.Generator,
    least: Sequence[int] = (1, 1),
) -> np.ndarray:
    """Deal patients to parts, those with the rarest label first.

    Within a label the order is random: with the largest patients first, they would all end
    up in the largest part. A rare label is then off by up to its largest patient, so the
    nearest of a few deals is taken.

    Args:
        counts: ``(p, k)`` images of each patient by label.
        shares: what each part should get; they sum to 1.
        rng: decides the order within a label.
        least: patients that each part gets in any case, as long as there are so many.

    Returns:
        ``(p,)`` part of each patient.
    """
    share = np.asarray(shares, float)
    deals = [_deal(counts, share, rng) for _ in range(DEALS)]
    part = min(deals, key=lambda deal: _distance(deal, counts, share))
    _top_up(part, counts, least)
    return part


def _deal(counts: np.ndarray, share: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One pass of the algorithm, ``(p,)`` parts."""
    wanted = share[:, None] * counts.sum(axis=0)
    room = share * len(counts)
    part = np.full(len(counts), -1)
    order = rng.permutation(len(counts))
    for label in _rarest_first(counts, part):
        for patient in order[(counts[order, label] > 0) & (part[order] < 0)]:
            # Who lacks most of this label; among equals, who lacks most patients.
            lack = wanted[:, label]
            best = np.flatnonzero(lack >= lack.max() - 1e-9)
            chosen = best[np.argmax(room[best])]
            part[patient] = chosen
            wanted[chosen] -= counts[patient]
            room[chosen] -= 1
    return part


def _distance(part: np.ndarray, counts: np.ndarray, share: np.ndarray) -> float:
    """How far a deal is from what was asked for: relative to it, summed over parts and labels."""
    columns = np.column_stack([counts, np.ones(len(counts), np.int64)])
    wanted = share[:, None] * columns.sum(axis=0)
    got = np.stack([columns[part == index].sum(axis=0) for index in range(len(share))])
    return float(np.square((got - wanted) / (wanted + 1)).sum())


def _rarest_first(counts: np.ndarray, part: np.ndarray) -> Iterator[int]:
    """Labels, at each step the one that fewest patients without a part still have.

    Reads ``part`` anew at each step, as the caller fills it in between.
    """
    while (left := (counts[part < 0] > 0).sum(axis=0)).any():
        yield int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))


def _top_up(part: np.ndarray, counts: np.ndarray, least: Sequence[int]) -> None:
    """Move patients with the fewest images into parts with too few, from who can spare most."""
    while True:
        spare = np.bincount(part, minlength=len(least)) - np.asarray(least)
        if spare.min() >= 0 or spare.max() <= 0:
            return
        members = np.flatnonzero(part == spare.argmax())
        part[members[counts[members].sum(axis=1).argmin()]] = spare.argmin()
