"""The systems of the report, a folder each: its parts, its page, its command and its arm.

A new one is its folder and a line in `SYSTEMS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

COMMAND = "cli"
"""The module with ``COMMANDS``: by the words that are typed, such as ``pretrain gan``."""

ARM = "arm"
"""The module with ``ARMS``: what the ablation compares with its baseline, by name."""

SYSTEMS: dict[str, tuple[str, ...]] = {
    "eda": (COMMAND,),
    "augment": (COMMAND,),
    "pretrain": (COMMAND, ARM),
    "gan": (COMMAND, ARM),
    "self_training": (COMMAND, ARM),
    "per_disease": (ARM,),
    "ensemble": (COMMAND, ARM),
    "learning_curve": (COMMAND,),
}
"""Every system by its folder, with the modules by which others know it.

In this order the ablation shows and trains their arms."""


def modules(kind: str) -> Iterator[Any]:
    """The modules ``kind`` of the systems that have one, loaded now."""
    for name, kinds in SYSTEMS.items():
        if kind in kinds:
            yield import_module(f"{__name__}.{name}.{kind}")
