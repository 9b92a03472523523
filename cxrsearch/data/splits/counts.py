"""How many positives each part has, and which labels can be judged on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.marks import absent, known, nothing_found, present
from cxrsearch.errors import InputError

ALL_PARTS = ("train", "val", "test", "val_seed")
IMAGES, PATIENTS = "images", "patients"
KNOWN_NEGATIVES, UNCERTAIN_MARKS = ":negative", ":uncertain"
"""Behind a label's name: images known to be without it, and uncertain marks. No label has a colon
in its name."""
MOST_IN_WARNING = 12
"""Labels named in a warning; of more the rest is counted."""
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


def label_counts(
    splits: NamesByPart,
    names: Sequence[str],
    labels: np.ndarray,
    patients: np.ndarray | None,
    label_names: Sequence[str],
    uncertain: np.ndarray | None = None,
) -> dict[str, dict[str, int]]:
    """Positives by part and label.

    Args:
        splits: the parts.
        names: ``(n,)``.
        labels: ``(n, k)``, see `cxrsearch.data.marks`.
        patients: ``(n,)``; where None, patients are not counted.
        label_names: ``(k,)``.
        uncertain: ``(n, k)`` bool, or None.

    Returns:
        part -> label (or "No Finding": nothing is known to be there) -> images that carry it;
        under ``images`` and ``patients`` the part's totals. Of a label that is not known of every
        image, also ``LABEL:negative``, the images known to be without it; of one with uncertain
        marks ``LABEL:uncertain``.
    """
    rows = {name: row for row, name in enumerate(names)}
    marks = np.asarray(labels)
    partly = np.flatnonzero(~known(marks).all(axis=0)).tolist()
    doubtful = [] if uncertain is None else np.flatnonzero(uncertain.any(axis=0)).tolist()
    table = {}
    for part in ALL_PARTS:
        inside = [rows[name] for name in getattr(splits, part) if name in rows]
        here = marks[inside]
        counts = {IMAGES: len(inside)}
        if patients is not None:
            counts[PATIENTS] = len({str(patients[row]) for row in inside})
        counts |= zip(label_names, present(here).sum(axis=0).tolist(), strict=True)
        counts[NO_FINDING] = int(nothing_found(here).sum())
        without = absent(here).sum(axis=0)
        counts |= {label_names[i] + KNOWN_NEGATIVES: int(without[i]) for i in partly}
        if uncertain is not None:
            doubts = uncertain[inside].sum(axis=0)
            counts |= {label_names[i] + UNCERTAIN_MARKS: int(doubts[i]) for i in doubtful}
        table[part] = counts
    return table


def negatives(counts: Mapping[str, int], label: str) -> int:
    """Images of a part that are known to be without ``label``: those that are not positive, where
    it is known of all of them.

    Args:
        counts: a part's, as `label_counts` gives them.
        label: its name.
    """
    return counts.get(label + KNOWN_NEGATIVES, counts[IMAGES] - counts[label])


def judgeable(
    counts: Counts, label_names: Sequence[str], min_positives: int = 5
) -> tuple[list[str], list[str]]:
    """What the validation part can and cannot judge.

    Args:
        counts: as `label_counts` gives them.
        label_names: ``(k,)``.
        min_positives: a label with fewer in validation is warned about, and one with fewer
            negatives.

    Returns:
        warnings, one a line; and the labels without an AUROC on the validation part (no
        positives or no negatives), which are left out of the mean.

    Raises:
        InputError: where no label can be judged.
    """
    val, train = counts["val"], counts["train"]
    undefined = _undefined(val, label_names)
    if len(undefined) == len(label_names):
        raise InputError(_nothing_to_judge(val, label_names))
    warnings = []
    if undefined:
        warnings.append(
            f"no AUROC on the validation part, left out of the mean: {_some(undefined)} (no "
            "positives, or nothing else)"
        )
    judged = [label for label in label_names if label not in set(undefined)]
    for what, count in (("positives", dict(val)), ("negatives", _without(val, label_names))):
        few = [f"{d} ({count[d]})" for d in judged if count[d] < min_positives]
        if few:
            warnings.append(
                f"fewer than {min_positives} {what} in the validation part, so their AUROC says "
                f"little: {_some(few)}"
            )
    unlearnt = [d for d in label_names if not train[d]]
    if unlearnt:
        warnings.append(f"no positives to train on, cannot be learnt: {_some(unlearnt)}")
    alone = [d for d in label_names if train[d] and not negatives(train, d)]
    if alone:
        warnings.append(f"no negatives to train on, cannot be learnt: {_some(alone)}")
    return [*warnings, *_smaller_parts(counts, judged)], undefined


def _nothing_to_judge(val: Mapping[str, int], label_names: Sequence[str]) -> str:
    """Why no label has an AUROC, and the way out."""
    only = f"{label_names[0]}: " if len(label_names) == 1 else ""
    lacking = {
        "positives": not any(val[label] for label in label_names),
        "negatives": not any(negatives(val, label) for label in label_names),
    }
    lack = [what for what, true in lacking.items() if true]
    why = f"there are no {' and no '.join(lack)}" if lack else "none has positives and negatives"
    return (
        f"no label can be judged: {only}{why} among the {val[IMAGES]:,} validation images; give "
        "more labelled images or a larger validation share"
    )


def _smaller_parts(counts: Counts, judged: Sequence[str]) -> list[str]:
    """Warnings on labels that only the epoch scores or the test part cannot judge."""
    warnings = []
    for part, what in (("val_seed", "scores of single epochs"), ("test", "the test score")):
        if counts[part][IMAGES] and (names := _undefined(counts[part], judged)):
            warnings.append(f"without an AUROC in {what}: {_some(names)}")
    return warnings


def _undefined(counts: Mapping[str, int], labels: Sequence[str]) -> list[str]:
    return [label for label in labels if not (counts[label] and negatives(counts, label))]


def _without(counts: Mapping[str, int], labels: Sequence[str]) -> dict[str, int]:
    return {label: negatives(counts, label) for label in labels}


def _some(texts: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(texts) - MOST_IN_WARNING
    return ", ".join(texts[:MOST_IN_WARNING]) + (f" and {more} more" if more > 0 else "")
