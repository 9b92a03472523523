"""The plain case of a PNG, 8-bit grey and nothing else to it, by a decoder faster than Pillow's.

NIH's images and most sets made for training are such files. Whatever is not, or is doubtful or
damaged, is left to Pillow, which reads it or says what is wrong. What is read here has sound
checksums in every chunk; Pillow gives the same grey levels.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

try:
    from kornia_rs.io import decode_image_png_u8 as _decode
except ImportError:  # a young library: without it, or with one that has moved on, Pillow reads
    _decode = None

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">IIBBBBB")
_CHUNK = struct.Struct(">I4s")
_GREY = (8, 0, 0, 0, 0)
"""Bits, colour type, compression, filters and interlacing of the plain case."""
_HARMLESS = {
    b"bKGD": 2, b"cHRM": 32, b"gAMA": 4, b"pHYs": 9, b"sBIT": 1, b"sRGB": 1, b"tIME": 7
}  # fmt: skip
"""Chunks, by their only valid length, that Pillow reads past in a grey picture."""
_NOTE = 1024
"""A text chunk (tEXt) of so many bytes at most is read past as well."""


def available() -> bool:
    """Whether the fast decoder is installed."""
    return _decode is not None


def read_plain(path: Path, most: int) -> np.ndarray | None:
    """The grey levels of a plain PNG of ``most`` pixels or fewer, ``(h, w)`` uint8.

    None for every other file, readable or not.
    """
    if _decode is None:
        return None
    try:
        with path.open("rb") as file:
            data = file.read(_CHUNK.size + len(_SIGNATURE) + _HEADER.size + 4)
            size = _size(data)
            if size is None or not 0 < size[0] * size[1] <= most:
                return None
            # A picture that cannot be packed takes its own size; no file need be longer.
            limit = size[0] * size[1] * 9 // 8 + (1 << 16)
            data += file.read(limit)
    except OSError:
        return None
    if len(data) >= limit or not _is_plain(data):
        return None
    try:
        return np.asarray(_decode(data, (size[1], size[0]), "mono"))[:, :, 0]
    except Exception:  # it has no classes of its own; Pillow will find the words
        return None


def _size(start: bytes) -> tuple[int, int] | None:
    """Width and height, where ``start`` is the start of a PNG of plain grey levels."""
    where = len(_SIGNATURE)
    if not start.startswith(_SIGNATURE + struct.pack(">I4s", _HEADER.size, b"IHDR")):
        return None
    if len(start) < where + _CHUNK.size + _HEADER.size + 4:
        return None
    width, height, *kind = _HEADER.unpack_from(start, where + _CHUNK.size)
    return (width, height) if tuple(kind) == _GREY else None


def _is_plain(data: bytes) -> bool:
    """Whether the chunks are the header, pixels in one run, the end, and harmless ones."""
    place, pixels = len(_SIGNATURE), "none yet"
    while place + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, place)
        end = place + 12 + length
        if end > len(data):
            return False
        if kind == b"IDAT":
            if pixels == "ended":
                return False
            pixels = "begun"  # the decoder checks the sum
        else:
            pixels = "ended" if pixels == "begun" else pixels
            (told,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(memoryview(data)[place + 4 : end - 4]) != told:
                return False
            if kind == b"IEND":
                return length == 0 and end == len(data) and pixels == "ended"
            first = kind == b"IHDR" and place == len(_SIGNATURE)
            if not first and not _is_harmless(kind, data[place + 8 : end - 4]):
                return False
        place = end
    return False


def _is_harmless(kind: bytes, content: bytes) -> bool:
    if kind == b"tEXt":
        # Pillow takes a turn of the camera from texts of such names.
        return len(content) <= _NOTE and b"exif" not in content and b"Orientation" not in content
    return len(content) == _HARMLESS.get(kind, -1)
