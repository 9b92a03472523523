"""Which files are the same, byte by byte, whatever they are called."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .dataset import file_content

PIECE = 4096
"""Bytes from the middle of a file by which most files of one size are told apart."""


def without_copies(
    names: Sequence[str], paths: Mapping[str, Path], others: Iterable[Path]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Images without those whose file is one of ``others``, and a note on how many these were.

    Only files of the same size are looked into, and only those read as a whole that have the same
    bytes in their middle. What cannot be read is no copy.

    Args:
        names: of images without a label.
        paths: name -> file.
        others: files of the labelled ones; not asked where there are no ``names``.
    """
    if not names:
        return (), ()
    sizes: dict[int, list[Path]] = defaultdict(list)
    for path in others:
        sizes[_size(path)].append(path)
    pieces: dict[Path, bytes] = {}
    wholes: dict[Path, bytes] = {}

    def is_copy(path: Path) -> bool:
        same = sizes.get(_size(path), ())
        if not same:
            return False
        own = _piece(path)
        for other in same:
            if other not in pieces:
                pieces[other] = _piece(other)
            if own and pieces[other] == own and _whole(path, wholes) == _whole(other, wholes):
                return bool(wholes[path])
        return False

    kept = tuple(name for name in names if not is_copy(paths[name]))
    left = len(names) - len(kept)
    if not left:
        return kept, ()
    what = "1 image without a label is" if left == 1 else f"{left:,} images without a label are"
    return kept, (f"{what} the very file of a labelled one, and left out",)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116
    except OSError:
        return -1


def _piece(path: Path) -> bytes:
    """Some bytes out of the middle; none where they cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, (size - PIECE) // 2))
            return file.read(PIECE)
    except OSError:
        return b""


def _whole(path: Path, known: dict[Path, bytes]) -> bytes:
    if path not in known:
        try:
            known[path] = file_content(path)
        except OSError:
            known[path] = b""
    return known[path]
