"""The chunks of a PNG: whether they are whole and sound, and what they say of the values.

Pillow leaves out the sums of the pixels' last chunk and of all behind it; damage there would be a
picture that is wrong in its lower part. So the sums of all chunks are checked before.
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from cxrsearch.data.errors import ImageError

_SIGNATURE = 8
_CHUNK = struct.Struct(">I4s")


class Header(NamedTuple):
    """What a PNG says of its values.

    Args:
        depth: bits of a value.
        colours: channels that are no alpha: 1 or 3.
        significant: the most bits of any channel that mean something, by its sBIT; None where
            there is none, or one that the format does not allow.
    """

    depth: int
    colours: int
    significant: int | None


def check(data: bytes) -> Header:
    """Walk over the chunks of a PNG file.

    Raises:
        ImageError: where a chunk's sum is wrong, or the end is missing.
    """
    view = memoryview(data)
    place, depth, colours, significant = _SIGNATURE, 8, 1, None
    pixels = False
    while place + 12 <= len(data):
        length, kind = _CHUNK.unpack_from(data, place)
        end = place + 12 + length
        if end > len(data):
            break
        body = view[place + 8 : end - 4]
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise ImageError(f"damaged: the checksum of its part {_text(kind)} is wrong")
        if place == _SIGNATURE:
            if kind != b"IHDR" or length != 13:
                raise ImageError("damaged: it does not begin with a header")
            depth, colours = body[8], 3 if body[9] & 2 else 1
        elif kind == b"sBIT" and 1 <= length <= 4:
            most = max(body[:colours])
            significant = most if 1 <= most <= depth else None
        elif kind == b"IDAT":
            pixels = True
        elif kind == b"IEND":
            if not pixels:
                raise ImageError("damaged: no pixels in it")
            return Header(depth, colours, significant)
        place = end
    raise ImageError("truncated or damaged: its end is missing")


def _text(kind: bytes) -> str:
    return "".join(chr(byte) if 32 < byte < 127 else "?" for byte in kind)
