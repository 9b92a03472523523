"""Parts that the data come with: a column, lists or folders say what is train, val and test."""

from __future__ import annotations

from collections import Counter

import numpy as np

from cxrsearch.errors import InputError

GIVEN = ("train", "val", "test")


def given_words(parts: np.ndarray) -> str:
    """How many images each given part has, in words; empty where none is given.

    Args:
        parts: ``(n,)`` out of `GIVEN`, or empty.
    """
    counted = Counter(parts.tolist())
    return ", ".join(f"{part} {counted[part]:,}" for part in GIVEN if counted[part])


def check_given(patients: np.ndarray, parts: np.ndarray) -> None:
    """Check that no patient is in two given parts.

    Images of no part are checked where train and validation are drawn from them.

    Args:
        patients: ``(n,)``.
        parts: ``(n,)`` out of `GIVEN`, or empty.

    Raises:
        InputError: with how many there are, examples, and the way out.
    """
    used = parts != "" if (parts == "train").any() else np.ones(len(parts), bool)
    # Columns of a table are objects, which NumPy compares by rows only as texts.
    pairs = np.unique(np.stack([patients[used], parts[used]]).astype(np.str_), axis=1)
    owners, counts = np.unique(pairs[0], return_counts=True)
    both = owners[counts > 1]
    if not len(both):
        return
    examples = []
    for patient in both[:5].tolist():
        where = [part or "no part" for part in pairs[1][pairs[0] == patient].tolist()]
        examples.append(f"{patient!r} ({' and '.join(where)})")
    raise InputError(
        f"the data's own split: {len(both):,} patient{'s' * (len(both) > 1)} in two parts, such as "
        f"{', '.join(examples)}; put all images of a patient in one part, see that the patient "
        "column is the right one, or write split: drawn in dataset.yaml to have the parts drawn by "
        "patient"
    )


def given_notes(
    names: np.ndarray, parts: np.ndarray, drawn: list[str], test_share: float, val_share: float
) -> tuple[str, ...]:
    """What was made of the given parts.

    Args:
        names: ``(n,)``.
        parts: ``(n,)`` out of `GIVEN`, or empty.
        drawn: the parts that are drawn from what is left.
        test_share: share of the patients that a drawn test part gets.
        val_share: share of the patients left that a drawn validation part gets.
    """
    rest = "train" if "train" not in drawn else "the images of no given part"
    note = f"parts are those that the data give: {given_words(parts)}"
    if drawn:
        are = "are" if len(drawn) > 1 else "is"
        others = " of the others" if "test" in drawn else ""
        of = {
            "train": "train",
            "test": f"test (share {test_share:g})",
            "val": f"val (share {val_share:g}{others})",
        }
        each = " and ".join(words for part, words in of.items() if part in drawn)
        note += f"; {each} {are} drawn by patient from {rest}"
    outside = names[parts == ""]
    if rest != "train" or not len(outside):
        return (note,)
    return (
        note,
        f"{len(outside):,} image{'s' * (len(outside) > 1)} in no given part: left out of all, such "
        f"as {str(outside[0])!r}; give them a part to use them",
    )
