"""Which files are the same, byte by byte, whatever they are called."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .dataset import CONTENT_BYTES, file_content
from .errors import ImageError
from .formats import opened

SAMPLED_BYTES = 4096
"""Bytes from the middle of a file by which most files of one size are told apart."""


def without_copies(
    names: Sequence[str], paths: Mapping[str, Path], others: Iterable[Path]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Images without those whose file is one of ``others``, and a note on how many these were.

    Only files of the same size are looked into, and only those read as a whole that have the same
    bytes in their middle. What cannot be read is not a copy.

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
    pieces: dict[int, dict[bytes, list[Path]]] = {}
    wholes: dict[tuple[int, bytes], set[bytes]] = {}

    def is_copy(path: Path) -> bool:
        # By size, piece and content: uncompressed files are all of one size, and black in places.
        size = _size(path)
        if size not in sizes:
            return False
        if size not in pieces:
            pieces[size] = _by_piece(sizes[size])
        piece = _piece(path)
        if not piece or piece not in pieces[size]:
            return False
        if (size, piece) not in wholes:
            wholes[size, piece] = {_whole(other) for other in pieces[size][piece]} - {b""}
        return _whole(path) in wholes[size, piece]

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


def _by_piece(paths: Iterable[Path]) -> dict[bytes, list[Path]]:
    found: dict[bytes, list[Path]] = defaultdict(list)
    for path in paths:
        found[_piece(path)].append(path)
    return found


def _piece(path: Path) -> bytes:
    """A digest of some bytes out of the middle; none where they cannot be read."""
    try:
        with opened(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, (size - SAMPLED_BYTES) // 2))
            return hashlib.sha256(file.read(SAMPLED_BYTES)).digest()[:CONTENT_BYTES]
    except (OSError, ImageError):
        return b""


def _whole(path: Path) -> bytes:
    try:
        return file_content(path)
    except (OSError, ImageError):
        return b""
