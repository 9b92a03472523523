"""Deal patients to parts so that every disease's images are shared out as asked for.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas: On the stratification of multi-label
data, ECML PKDD 2011), with patients in the place of examples: a patient counts with as many
positives as it has images that carry the label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from cxrsearch.data.marks import absent, known, nothing_found, present

DEALS = 4
"""Deals of which the nearest to the wanted shares is taken."""


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose: another purpose or seed gives unrelated ones."""
    digest = hashlib.sha256(f"{purpose}:{seed}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def per_patient(labels: np.ndarray, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Label counts of every patient.

    Args:
        labels: ``(n, k)``, see `cxrsearch.data.marks`.
        patients: ``(n,)``.

    Returns:
        the patients, sorted, ``(p,)``; and their images by stratum, ``(p, k + 1 + u)``: with each
        label, with none, and known to be without each of the ``u`` labels that are not known of
        every image. An AUROC needs these too, and they can be as rare as positives.
    """
    unique, which = np.unique(patients, return_inverse=True)
    partly = ~known(labels).all(axis=0)
    strata = [*present(labels).T, nothing_found(labels), *absent(labels[:, partly]).T]
    counts = np.empty((len(unique), len(strata)), np.int64)
    for column, marks in enumerate(strata):
        counts[:, column] = np.bincount(which[marks], minlength=len(unique))
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
    room = (share * len(counts)).tolist()
    part = np.full(len(counts), -1)
    order = rng.permutation(len(counts))
    left = (counts > 0).sum(axis=0)
    while left.any():
        # The label that fewest patients without a part still have.
        label = int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))
        dealt = order[part[order] < 0]
        dealt = dealt[counts[dealt, label] > 0]
        part[dealt] = _deal_label(counts[dealt, label], wanted[:, label], room)
        left -= (counts[dealt] > 0).sum(axis=0)
        for chosen, rest in enumerate(wanted):
            mine = dealt[part[dealt] == chosen]
            # One after the other: the sum of them, taken off at once, would be rounded otherwise.
            wanted[chosen] = np.subtract.reduce(np.vstack([rest[None], counts[mine]]), axis=0)
    return part


def _deal_label(images: np.ndarray, wanted: np.ndarray, room: list[float]) -> list[int]:
    """The part of each patient that has one label.

    Plain numbers and no arrays: there can be tens of thousands of patients, and few parts.

    Args:
        images: ``(m,)`` of each patient with the label, in the order of dealing.
        wanted: of the label by part, what each still lacks.
        room: by part, patients that each still lacks; counted down.
    """
    lack = wanted.tolist()
    parts = range(len(lack))
    found = []
    for count in images.tolist():
        # Who lacks most of this label; among equals, who lacks most patients.
        most = max(lack) - 1e-9
        chosen = max((part for part in parts if lack[part] >= most), key=room.__getitem__)
        found.append(chosen)
        lack[chosen] -= count
        room[chosen] -= 1
    return found


def _distance(part: np.ndarray, counts: np.ndarray, share: np.ndarray) -> float:
    """How far a deal is from what was asked for: relative to it, summed over parts and labels."""
    columns = np.column_stack([counts, np.ones(len(counts), np.int64)])
    wanted = share[:, None] * columns.sum(axis=0)
    got = np.stack([columns[part == index].sum(axis=0) for index in range(len(share))])
    return float(np.square((got - wanted) / (wanted + 1)).sum())


def _top_up(part: np.ndarray, counts: np.ndarray, least: Sequence[int]) -> None:
    """Move patients with the fewest images into parts with too few, from who can spare most."""
    while True:
        spare = np.bincount(part, minlength=len(least)) - np.asarray(least)
        if spare.min() >= 0 or spare.max() <= 0:
            return
        members = np.flatnonzero(part == spare.argmax())
        part[members[counts[members].sum(axis=1).argmin()]] = spare.argmin()
