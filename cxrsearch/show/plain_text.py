"""Tables as plain lines, for a terminal or a log file."""

from __future__ import annotations

from typing import Any

from rich.console import Console

WIDTH = 100


def to_text(renderable: Any, width: int = WIDTH) -> str:
    """A rich table or text as plain lines."""
    console = Console(width=width, no_color=True, highlight=False)
    with console.capture() as capture:
        console.print(renderable, end="")
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
