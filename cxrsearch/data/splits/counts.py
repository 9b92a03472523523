"""How many positives each part has, and which diseases can be judged on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.errors import InputError

ALL_PARTS = ("train", "val", "test", "val_seed")
IMAGES, PATIENTS = "images", "patients"
Counts = Mapping[str, Mapping[str, int]]


class NamesByPart(Protocol):
    """Names by part, as in `Splits`."""

    @property
    def train(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def val(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def test(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def val_seed(self) -> tuple[str, ...]: ...  # noqa: D102


def disease_counts(
    splits: NamesByPart,
    names: Sequence[str],
    labels: np.ndarray,
    patients: np.ndarray | None = None,
) -> dict[str, dict[str, int]]:
    """Positives by part and disease.

    Args:
        splits: the parts.
        names: ``(n,)``.
        labels: ``(n, 14)``.
        patients: ``(n,)``; without them patients are not counted.

    Returns:
        part -> disease (or "No Finding") -> images that carry it; under ``images`` and
        ``patients`` the part's totals.
    """
    rows = {name: row for row, name in enumerate(names)}
    marks = np.asarray(labels)
    table = {}
    for part in ALL_PARTS:
        inside = [rows[name] for name in getattr(splits, part) if name in rows]
        counts = {IMAGES: len(inside)}
        if patients is not None:
            counts[PATIENTS] = len({str(patients[row]) for row in inside})
        positives = marks[inside].sum(axis=0).tolist()
        counts |= zip(DISEASES, map(int, positives), strict=True)
        table[part] = {**counts, NO_FINDING: int((marks[inside].sum(axis=1) == 0).sum())}
    return table


def judgeable(counts: Counts, min_positives: int = 5) -> tuple[list[str], list[str]]:
    """What the validation part can and cannot judge.

    Args:
        counts: as `disease_counts` gives them.
        min_positives: a disease with fewer in validation is warned about.

    Returns:
        warnings, one a line; and the diseases without an AUROC on the validation part (no
        positives or no negatives), which are left out of the mean.

    Raises:
        InputError: where no disease can be judged.
    """
    undefined = _undefined(counts["val"])
    if len(undefined) == len(DISEASES):
        images = counts["val"][IMAGES]
        raise InputError(
            f"no disease can be judged: none has both positives and negatives among the {images} "
            "validation images; give more labelled images or a larger validation share"
        )
    warnings = []
    if undefined:
        warnings.append(
            f"no AUROC on the validation part, left out of the mean: {', '.join(undefined)} (no "
            "positives, or nothing else)"
        )
    few = [d for d in DISEASES if d not in undefined and counts["val"][d] < min_positives]
    if few:
        warnings.append(
            f"fewer than {min_positives} positives in the validation part, so their AUROC says "
            f"little: {_listed(few, counts['val'])}"
        )
    unlearnt = [d for d in DISEASES if not counts["train"][d]]
    if unlearnt:
        warnings.append(f"no positives to train on, cannot be learnt: {', '.join(unlearnt)}")
    return [*warnings, *_smaller_parts(counts, undefined)], undefined


def _smaller_parts(counts: Counts, undefined: Sequence[str]) -> list[str]:
    """Warnings on diseases that only the epoch scores or the test part cannot judge."""
    warnings = []
    for part, what in (("val_seed", "scores of single epochs"), ("test", "the test score")):
        if counts[part][IMAGES]:
            names = [d for d in _undefined(counts[part]) if d not in undefined]
            if names:
                warnings.append(f"without an AUROC in {what}: {', '.join(names)}")
    return warnings


def _undefined(counts: Mapping[str, int]) -> list[str]:
    return [d for d in DISEASES if not 0 < counts[d] < counts[IMAGES]]


def _listed(diseases: Sequence[str], counts: Mapping[str, int]) -> str:
    return ", ".join(f"{disease} ({counts[disease]})" for disease in diseases)
