"""Run a study's trials on Ray Tune; see `search.tune.run`.

Names are loaded when they are first used: a worker imports this package too, and needs neither
driver nor samplers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .cluster import Resources
    from .driver import Usage
    from .run import run_tune

_HOMES = {"Resources": "cluster", "Usage": "driver", "run_tune": "run"}
"""The module of each name."""

__all__ = ["Resources", "Usage", "run_tune"]

if not TYPE_CHECKING:  # a type checker would take every name for known

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
