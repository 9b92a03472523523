"""What is wrong with a space's file, collected, so that all of it is said at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .values import near, show


@dataclass
class Problems:
    """What is wrong with a file, collected: ``FILE: gene: what; way out``."""

    source: str
    found: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        """Note a problem of ``where``, a gene or a part of the file."""
        self.found.append(f"{self.source}: {where}: {what}" if where else f"{self.source}: {what}")


def unknown_keys(problems: Problems, where: str, given: Mapping[Any, Any], keys: Any) -> None:
    """Note every key of ``given`` that is none of ``keys``."""
    for key in given:
        if key not in keys:
            hint = near(key, keys) or f"; one of {', '.join(keys)}"
            problems.add(where, f"unknown key {show(key)}{hint}")
