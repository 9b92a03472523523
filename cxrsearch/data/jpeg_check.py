"""Whether a JPEG's data are whole, which Pillow does not say.

libjpeg fills what is missing or senseless with grey, and only warns; Pillow drops its warnings.
libjpeg-turbo's own interface, which kornia-rs calls, takes them for errors. A JPEG has no
checksums, so that much damage cannot be told from a picture at all.
"""

from __future__ import annotations

from .errors import ImageError

try:
    from kornia_rs.io import decode_image_jpegturbo as _decode
except ImportError:  # without it the check is left out
    _decode = None

MOST_SCANS = 100
"""A progressive JPEG has about ten. Each takes the time of a whole picture."""
_SCAN, _END = b"\xff\xda", b"\xff\xd9"


def check_scans(data: bytes) -> None:
    """Refuse a file that is made to take time. Raises `ImageError`."""
    if (count := data.count(_SCAN)) > MOST_SCANS:
        raise ImageError(f"{count:,} scans are more than the {MOST_SCANS} allowed in a JPEG")


def check_whole(data: bytes) -> None:
    """Refuse a grey or three-coloured JPEG whose data are damaged or end too early.

    Raises:
        ImageError: with the way out.
    """
    if _decode is None or _decodes(data) or _decodes(_tidy(data)):
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


def _tidy(data: bytes) -> bytes:
    """Without what is harmless, but would be warned of: zeros before the end, or no end."""
    last = data.rfind(_END)
    body = data if last < 0 else data[:last]
    bare = body.rstrip(b"\0")
    return bare + (b"\0" if bare.endswith(b"\xff") and len(bare) < len(body) else b"") + _END
