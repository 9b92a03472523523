"""Where searches are run from a program; see `cxrsearch.study.experiment`."""

from __future__ import annotations

from .study.experiment import resume, search

__all__ = ["resume", "search"]
