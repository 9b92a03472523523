"""Whether a JPEG's data are whole, which Pillow does not say.

libjpeg fills what is missing or senseless with grey, and only warns; Pillow drops its warnings.
libjpeg-turbo's own interface, which kornia-rs calls, takes them for errors. A JPEG has no
checksums, so that much damage cannot be told from a picture at all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from cxrsearch.data.errors import ImageError

try:
    from kornia_rs.io import decode_image_jpegturbo as _decode
except ImportError:  # without it the check is left out
    _decode = None

MOST_SCANS = 100
"""A progressive JPEG has about ten. Each takes the time of a whole picture."""
_SCAN, _END = b"\xff\xda", b"\xff\xd9"


class Frame(NamedTuple):
    """What a JPEG's frame header says; ``ordinary`` where it is neither lossless nor JPEG-LS."""

    bits: int
    height: int
    width: int
    channels: int
    ordinary: bool


def frame_header(data: bytes) -> Frame | None:
    """The first frame header of a JPEG or JPEG-LS stream; None where there is none."""
    place = 2
    while place + 10 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # filling
            place += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            return Frame(bits, height, width, channels, marker in (0xC0, 0xC1, 0xC2))
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def check_scans(data: bytes) -> None:
    """Refuse a file that is made to take time. Raises `ImageError`."""
    if (count := data.count(_SCAN)) > MOST_SCANS:
        raise ImageError(f"{count:,} scans are more than the {MOST_SCANS} allowed in a JPEG")


def check_whole(data: bytes) -> None:
    """Refuse a grey or three-coloured JPEG whose data are damaged or end too early.

    Raises:
        ImageError: with the way out.
    """
    if _decode is None or _decodes(data) or any(map(_decodes, _tidied(data))):
        return
    raise ImageError(
        "truncated or damaged: its compressed data are not whole; if a viewer shows it well, "
        "save it anew there"
    )


def _decodes(data: bytes) -> bool:
    try:
        _decode(data, "mono")
    except Exception:  # it has no class of its own, and one sentence for all
        return False
    return True


def _tidied(data: bytes) -> Iterator[bytes]:
    """Without what is harmless, but would be warned of: zeros before the end, or no end.

    The last zeros may belong to the data, so several ways are tried.
    """
    last = data.rfind(_END)
    body = data if last < 0 else data[:last]
    bare = body.rstrip(b"\0")
    for kept in range(min(len(body) - len(bare), 3) + 1):
        yield bare + bytes(kept) + _END
