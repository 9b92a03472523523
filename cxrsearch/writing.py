"""Files that a user names to write: whether they can be, before any minute is spent."""

from __future__ import annotations

import re
from pathlib import Path

from .data.files import check_place
from .errors import InputError

PAGE = re.compile(
    rb"<!doctype html>.{,200}Content-Security-Policy[^>]{,30}default-src 'none'",
    re.IGNORECASE | re.DOTALL,
)
"""How our pages begin: unlike others they may load nothing."""

LOOKED_AT = 1 << 16
"""Bytes at the beginning of a file that it is known by."""


def check_file(out: Path, example: str, *own: re.Pattern[bytes]) -> None:
    """Check that ``out`` can be written, and that nothing else would be lost by it.

    Args:
        out: the file.
        example: a file name of the kind, for the message.
        own: what a file of ours begins with; one that begins otherwise is not written over.

    Raises:
        InputError: where ``out`` is a folder or somebody else's file, or cannot be written.
    """
    if out.is_dir():
        raise InputError(f"--out {out}: a folder; name a file, such as {out / example}")
    check_place(out)
    check_own(out, *own)


def check_own(out: Path, *own: re.Pattern[bytes]) -> None:
    """Refuse to write over a file that does not begin with one of ``own``.

    Raises:
        InputError: where ``out`` is such a file.
    """
    if not out.is_file():
        return
    with out.open("rb") as file:
        start = file.read(LOOKED_AT)
    if start and not any(pattern.match(start) for pattern in own):
        raise InputError(
            f"--out {out}: holds something else, which would be lost; name another file"
        )
