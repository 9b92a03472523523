"""A test part that the user names image by image, as NIH's ``test_list.txt`` does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxrsearch.data.files import by_stem, fitting, plain_path, shorten
from cxrsearch.errors import InputError


def listed_rows(
    names: np.ndarray, patients: np.ndarray, test_list: Sequence[str]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Which images are on a test list.

    Args:
        names: ``(n,)``.
        patients: ``(n,)``.
        test_list: names of images; matched as `match_images` does.

    Returns:
        ``(n,)`` bool, and a note on listed names that the data lack.

    Raises:
        InputError: where a name fits several images, none fits any, or a patient has images
            both on the list and off it.
    """
    listed, unknown, several = _matched(names, test_list)
    if several:
        raise InputError(shorten(several))
    if not listed.any():
        raise InputError(
            f"test list: none of its {len(unknown):,} names is in the data, such as "
            f"{unknown[0]!r}; one image name a line is expected"
            if unknown
            else "test list: no names in it; one image name a line is expected"
        )
    both = _both(patients, listed)
    if both:
        examples = ", ".join(repr(patient) for patient in both[:5])
        raise InputError(
            f"test list: {len(both):,} patient{'s' * (len(both) > 1)} in two parts, with "
            f"images both on the list and off it, such as {examples}; list all images of a "
            "patient or none"
        )
    if not unknown:
        return listed, ()
    return listed, (
        f"test list: {len(unknown):,} of its names are not in the data and are ignored, such as "
        f"{unknown[0]!r}",
    )


def on_both_sides(names: np.ndarray, patients: np.ndarray, test_list: Sequence[str]) -> list[str]:
    """Patients with images on a test list and off it; arguments as of `listed_rows`."""
    return _both(patients, _matched(names, test_list)[0])


def _both(patients: np.ndarray, listed: np.ndarray) -> list[str]:
    return sorted(map(str, set(patients[listed]) & set(patients[~listed])))


def _matched(
    names: np.ndarray, test_list: Sequence[str]
) -> tuple[np.ndarray, list[str], list[str]]:
    """Which images are listed, ``(n,)`` bool; listed names without any; problems."""
    row_of = {name: row for row, name in enumerate(names.tolist())}
    path_of = {plain_path(name): row for name, row in row_of.items()}
    lookup = by_stem(path_of)
    listed = np.zeros(len(names), bool)
    unknown: list[str] = []
    several: list[str] = []
    for name in dict.fromkeys(test_list):
        exact = row_of.get(name)
        rows = [path_of[path] for path in fitting(name, lookup)] if exact is None else [exact]
        listed[rows] = len(rows) == 1
        if not rows:
            unknown.append(name)
        elif len(rows) > 1:
            several.append(
                f"test list: {name!r} fits {len(rows)} images, such as {str(names[rows[0]])!r}; "
                "write it as the label table does"
            )
    return listed, unknown, several
