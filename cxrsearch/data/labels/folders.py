"""Labels without a table: folders called like classes, and names of files that say them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cxrsearch.data.description import LabelFrom

from .cells import Cells, of_files
from .columns import part_of, plain

IMAGE_PATH, CLASS_FOLDER = "image", "folder"
"""Columns of what is told from paths."""
MOST_CLASSES = 100
_MASKS = re.compile(r".*masks?|segmentations?|annotations?")
"""Folders, as `plain` writes them, of pictures that are no X-rays."""
_NO_CLASS = re.compile(
    r"(images?|imgs?|pics?|pictures?|data|dataset|dicoms?|pngs?|jpe?gs?|files?|raw|batch|part|"
    r"unlabell?ed|originals?|external|extra|new|old|all|others?|misc|(patient|subject|study|p|s))?\d*"
)
"""Folders, as `plain` writes them, that are no classes."""
_KNOWN_NAMES = {
    r"^(?:CHNCXR|MCUCXR)_\d+_([01])\b": "Tuberculosis",
}
"""What the names of files of known data sets say: a pattern, whose group is a mark, and the label.
Those of Shenzhen and Montgomery (Jaeger et al., 2014) end in 1 where there is tuberculosis."""
_MOST = 0.9


class Classes(NamedTuple):
    """Images in folders of classes.

    Args:
        level: how deep these folders lie.
        names: what they are called.
        inside: the files in them.
        masks: files in them that are masks.
        given: whether a level above says which part an image belongs to.
    """

    level: int
    names: tuple[str, ...]
    inside: tuple[str, ...]
    masks: tuple[str, ...]
    given: bool


def classes_in(files: Sequence[str]) -> Classes | None:
    """The classes that the folders of ``files``, paths with ``/``, are called after, or None.

    That is the first level with several folders that are not called train, val or test.
    """
    masks = tuple(file for file in files if any(_MASKS.fullmatch(plain(f)) for f in _folders(file)))
    left = set(masks)
    pictures = [file for file in files if file not in left]
    paths = [_folders(file) for file in pictures]
    given = False
    for level in range(max(map(len, paths), default=0)):
        names = Counter(path[level] for path in paths if len(path) > level)
        parts = [part_of(name) for name in names]
        if all(parts):
            given = given or len(set(parts)) > 1
            continue
        if len(names) == 1:
            continue
        if len(names) > MOST_CLASSES or any(_NO_CLASS.fullmatch(plain(name)) for name in names):
            return None
        inside = tuple(
            file for file, path in zip(pictures, paths, strict=True) if len(path) > level
        )
        return Classes(level, tuple(sorted(names)), inside, masks, given)
    return None


def class_cells(folder: Path, files: Sequence[str]) -> tuple[Cells, Classes] | None:
    """Images and their class folders as a table."""
    classes = classes_in(files)
    if classes is None:
        return None
    column = [_folders(file)[classes.level] for file in classes.inside]
    return of_files(folder, {IMAGE_PATH: classes.inside, CLASS_FOLDER: column}), classes


def empty_classes(folder: Path, classes: Classes) -> list[str]:
    """The folders beside those of classes in which no image lies."""
    parents = {"/".join(_folders(file)[: classes.level]) for file in classes.inside}
    return sorted(
        place.relative_to(folder).as_posix()
        for parent in parents
        for place in (folder / parent).iterdir()
        if place.is_dir()
        and not place.name.startswith((".", "__"))
        and not _MASKS.fullmatch(plain(place.name))
        and place.name not in classes.names
    )


def labels_in_names(files: Sequence[str]) -> tuple[LabelFrom, ...]:
    """The labels that the names of ``files`` are known to say; empty where they say none."""
    names = [file.rpartition("/")[2] for file in files]
    for regex, label in _KNOWN_NAMES.items():
        hits = sum(bool(re.search(regex, name)) for name in names)
        if names and hits >= _MOST * len(names):
            return (LabelFrom(label, regex),)
    return ()


def _folders(file: str) -> list[str]:
    return file.split("/")[:-1]
