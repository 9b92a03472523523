"""Samplers of other libraries over the interface of `benchmarks.search.contenders`."""

from __future__ import annotations

from ..contenders import Entry

ENTRIES: dict[str, Entry] = {}
"""The peers by name."""
