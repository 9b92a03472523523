"""Parts that data come with: lists of names beside them, or folders called train, val and test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxrsearch.data.files import by_stem, fitting, plain_path
from cxrsearch.data.labels.columns import part_of
from cxrsearch.data.labels.csv_rows import read_lines
from cxrsearch.errors import InputError

LISTS = {"train_val_list.txt": "", "train_list.txt": "train", "val_list.txt": "val",
         "test_list.txt": "test"}  # fmt: skip
"""Lists of images that make a split, and the part of each: NIH draw no validation part."""


def lists_in(folders: Sequence[Path]) -> dict[Path, str]:
    """The lists of a split that lie in the first of ``folders`` with a test list: each's part."""
    for folder in folders:
        there = {folder / name: part for name, part in LISTS.items() if (folder / name).is_file()}
        if "test" in there.values():
            return there
    return {}


def read_names(path: Path) -> list[str]:
    """Names of images, one a line, each once.

    Raises:
        InputError: where the file cannot be read or holds no name.
    """
    names = [line.strip() for line in read_lines(path)]
    names = list(dict.fromkeys(name for name in names if name))
    if not names:
        raise InputError(f"{path}: no image names in it; write one name a line")
    return names


def parts_by_lists(
    names: Sequence[str], lists: dict[Path, str]
) -> tuple[np.ndarray | None, list[str]]:
    """The part of each image by lists, ``(n,)`` "train", "val", "test" or ""; and notes.

    None where no image is on the test list.

    Raises:
        InputError: where an image is on lists of two parts.
    """
    lookup = by_stem({plain_path(name): None for name in names})
    row_of = {plain_path(name): row for row, name in enumerate(names)}
    parts = np.full(len(names), "", "<U5")
    by = np.full(len(names), -1)
    problems: list[str] = []
    for place, (path, part) in enumerate(lists.items()):
        for name in read_names(path):
            for row in (row_of[file] for file in fitting(name, lookup)):
                if by[row] >= 0 and by[row] != place and len(problems) < 10:
                    other = list(lists)[by[row]].name
                    problems.append(f"{path}: {name!r} is in {other} too; keep it in one of them")
                parts[row], by[row] = part, place
    if problems:
        raise InputError(problems)
    called = " and ".join(path.name for path in lists)
    if not (parts == "test").any():
        return None, [f"{called}: none of the images is on the test list, so the parts are drawn"]
    beside = int((by < 0).sum())
    notes = [
        f"the split is that of {called}: {int((parts == 'test').sum()):,} images are the test part"
    ]
    if beside:
        notes.append(f"{beside:,} images are on none of {called}; they are with those to train on")
    return parts, notes


def parts_by_folders(files: Sequence[str]) -> np.ndarray | None:
    """The part of each image by the folders in its path, ``(n,)``; None where these say none.

    The first level counts at which every path has a folder that is called like a part, and at
    least two parts are there.
    """
    folders = [file.split("/")[:-1] for file in files]
    for level in range(min(map(len, folders), default=0)):
        parts = [part_of(path[level]) for path in folders]
        if all(parts) and len(set(parts)) > 1:
            return np.array(parts, "<U5")
    return None
