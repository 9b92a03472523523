"""The image formats that are read, in one place: how their files are named and how they begin.

A name only says which files are looked for; what a file is, its first bytes say. A DICOM file may
lack the 128 free bytes and the ``DICM`` behind them, so there the name counts too.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path

from .errors import ImageError

HEAD_BYTES = 132
"""So many bytes tell what a file is."""
MOST_IMAGE_BYTES = 512 << 20
"""A longer file is not a single X-ray: uncompressed ones take up to 200 MB."""


@dataclass(frozen=True)
class Format:
    """One format of images.

    Args:
        name: for people.
        suffixes: of its files, in lower case.
        start: matches the first `HEAD_BYTES` bytes of its files.
    """

    name: str
    suffixes: tuple[str, ...]
    start: re.Pattern[bytes] = field(repr=False)


def _format(name: str, suffixes: str, start: bytes) -> Format:
    return Format(name, tuple(suffixes.split()), re.compile(start, re.DOTALL))


PNG = _format("PNG", ".png", rb"\x89PNG\r\n\x1a\n")
DICOM = _format("DICOM", ".dcm .dicom", rb".{128}DICM")
JPEG = _format("JPEG", ".jpg .jpeg .jpe .jfif", rb"\xff\xd8\xff")
TIFF = _format("TIFF", ".tif .tiff", rb"II\*\0|MM\0\*|II\+\0|MM\0\+")
BMP = _format("BMP", ".bmp", rb"BM")
WEBP = _format("WebP", ".webp", rb"RIFF....WEBP")
GIF = _format("GIF", ".gif", rb"GIF8[79]a")

FORMATS = (PNG, DICOM, JPEG, TIFF, BMP, WEBP, GIF)
"""All that are read; of two files of one name the earlier format is taken."""
SUFFIXES = tuple(suffix for one in FORMATS for suffix in one.suffixes)
FORMAT_NAMES = f"{', '.join(one.name for one in FORMATS[:-1])} or {FORMATS[-1].name}"
"""For messages."""
UNREAD = (
    ".jp2",
    ".j2k",
    ".j2c",
    ".jpf",
    ".jpx",
    ".jxl",
    ".jxr",
    ".heic",
    ".heif",
    ".avif",
    ".nii",
    ".nii.gz",
    ".nrrd",
    ".nhdr",
    ".mha",
    ".mhd",
    ".hdr",
    ".img",
    ".ima",
    ".dic",
    ".npy",
    ".npz",
    ".h5",
    ".hdf5",
    ".pgm",
    ".ppm",
    ".pnm",
    ".pbm",
    ".pfm",
    ".tga",
    ".exr",
    ".svg",
    ".pdf",
    ".psd",
    ".raw",
    ".dng",
    ".ico",
    ".pcx",
    ".sgi",
    ".xcf",
    ".eps",
)
"""Suffixes of files that hold images which are not read, so that this can be said."""


def told_by(head: bytes, name: str = "") -> Format | None:
    """The format of a file that begins with ``head``; ``name`` counts for DICOM alone."""
    found = next((one for one in FORMATS if one.start.match(head)), None)
    return DICOM if found is None and head and name.lower().endswith(DICOM.suffixes) else found


def format_of(path: Path) -> Format:
    """The format of a file, by its first bytes.

    Raises:
        ImageError: where it cannot be read, is empty, or is none of `FORMATS`.
    """
    with opened(path) as file:
        head = _read(file, HEAD_BYTES)
    if not head:
        raise ImageError("the file is empty")
    found = told_by(head, path.name)
    if found is None:
        raise ImageError(f"not a {FORMAT_NAMES} file")
    return found


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A regular file, open for reading. Nothing is waited for: a pipe is refused.

    Raises:
        ImageError: where it cannot be read, is something else, or longer than `MOST_IMAGE_BYTES`.
    """
    try:
        # Asked first: to open a device may do something. Opened without waiting: it may change.
        _check_regular(path.stat())
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror})") from None
    except ValueError as error:  # a name that no file can have
        raise ImageError(f"cannot be read ({error})") from None
    with file:
        _check_regular(os.fstat(file.fileno()))
        yield file


def content(path: Path) -> bytes:
    """All of a regular file. Raises `ImageError`, as `opened`."""
    with opened(path) as file:
        return _read(file, MOST_IMAGE_BYTES)


def _read(file: BufferedReader, most: int) -> bytes:
    try:
        return file.read(most)
    except OSError as error:  # such as a disk's or a network's
        raise ImageError(f"cannot be read ({error.strerror})") from None


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise ImageError(f"cannot be read ({kind}, not a file)")
    if status.st_size > MOST_IMAGE_BYTES:
        raise ImageError(
            f"{status.st_size:,} bytes are more than the {MOST_IMAGE_BYTES:,} allowed for an image"
        )
