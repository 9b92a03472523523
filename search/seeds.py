"""Seeds that follow from names and numbers, the same on every machine and in every version."""

from __future__ import annotations

import hashlib
import json
import threading

SOBOL = threading.Lock()
"""SciPy fills a table for Sobol sequences, one for all threads, without a lock at first use."""


def derive(*parts: str | int | float | bool | None) -> int:
    """A seed in ``[0, 2**31)`` that depends on ``parts`` and on nothing else.

    ``derive(1, "sampler", 7)`` and ``derive(1, "sampler", 8)`` are unrelated; ``1`` and
    ``"1"`` are different parts.
    """
    text = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") & 0x7FFF_FFFF
