"""Times as people read them."""

from __future__ import annotations

QUIET_SECONDS = 60.0
"""Where output is no terminal, a sign of life at least this often while trials run."""


def clock(seconds: float) -> str:
    """``75`` becomes ``1:15``, ``7300`` becomes ``2:01:40``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
