"""A finding about figures: a sentence with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from cxrsearch.errors import InputError

Level = Literal["false", "doubtful", "note"]
FALSE: Level = "false"
DOUBTFUL: Level = "doubtful"
NOTED: Level = "note"
CHECK_LEVELS: tuple[Level, ...] = get_args(Level)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: what was looked at, such as ``inverted``; see docs/checks.md.
        level: ``false`` where a figure is not what it says it is; ``doubtful`` where it may not
            be, and a person must look; ``note`` where nothing is wrong, or it could not be told.
        sentence: what was found, with its numbers and the way out.
        evidence: the numbers, JSON-able.
    """

    name: str
    level: Level
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a level that is none."""
        if self.level not in CHECK_LEVELS:
            raise ValueError(f"level {self.level!r} is none of {', '.join(CHECK_LEVELS)}")

    def to_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "name": self.name, "level": self.level, "sentence": self.sentence,
            "evidence": dict(self.evidence),
        }  # fmt: skip

    @property
    def line(self) -> str:
        """For a terminal."""
        return f"{self.level}: {self.sentence}"


def by_gravity(checks: Iterable[Check]) -> list[Check]:
    """The gravest first, otherwise in their order."""
    return sorted(checks, key=lambda check: CHECK_LEVELS.index(check.level))


def grave(checks: Iterable[Check]) -> list[Check]:
    """Those that a person must look at: false and doubtful ones, the gravest first."""
    return [check for check in by_gravity(checks) if check.level != NOTED]


def refuse_false(checks: Iterable[Mapping[str, Any]]) -> None:
    """End a command whose figures are false, once they and the reason have been written.

    Args:
        checks: as `Check.to_json` gives them.

    Raises:
        InputError: naming each check that makes a figure false.
    """
    false = [check for check in checks if check["level"] == FALSE]
    if false:
        raise InputError(
            [f"the figures above are not to be used: {check['sentence']}" for check in false]
        )
