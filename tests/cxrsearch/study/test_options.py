from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cxrsearch.fields import Record, option
from cxrsearch.study.options import in_groups, options


@dataclass(frozen=True)
class _Asked(Record):
    rows: int = option(3, "Rows at most.", group="some")
    cores: float | str = option("auto", "Cores.", group="some", metavar="N|auto", word="auto")
    crop: int | str = option(1024, "Window.", group="some")
    kind: str = option("steady", "Which kind.", group="some", choices=("steady", "bold"))
    again: bool = option(True, "Once more.", group="some")
    earlier: list[str] = option(list, "Folders.", group="some", name="from")
    hidden: str | None = option(None, "Of another group.", group="other")


def _run(*words: str) -> tuple[str, dict[str, Any]]:
    found: dict[str, Any] = {}

    @click.command()
    @options(in_groups(_Asked, "some"))
    def command(**given: Any) -> None:
        found.update(given)

    return CliRunner().invoke(command, words).output, found


def test_fields_are_options_with_their_types_and_defaults() -> None:
    assert _run()[1] == {
        "rows": 3, "cores": "auto", "crop": 1024, "kind": "steady", "again": True, "earlier": (),
    }  # fmt: skip
    given = ("--rows", "4", "--cores", "2.5", "--crop", "600x800", "--kind", "bold", "--no-again",
             "--from", "a", "--from", "b")  # fmt: skip
    assert _run(*given)[1] == {
        "rows": 4, "cores": 2.5, "crop": "600x800", "kind": "bold", "again": False,
        "earlier": ("a", "b"),
    }  # fmt: skip


def test_the_help_is_the_fields_in_their_order() -> None:
    said = _run("--help")[0]
    for part in ("Rows at most.  [default: 3]", "--cores N|auto", "[steady|bold]", "--no-again"):
        assert part in said
    assert said.index("--rows") < said.index("--cores") < said.index("--from")
    assert "--hidden" not in said


@pytest.mark.parametrize("odd", [("--kind", "shy"), ("--cores", "many"), ("--rows", "half")])
def test_what_cannot_be_read_is_refused(odd: tuple[str, str]) -> None:
    said, found = _run(*odd)
    assert "Invalid value" in said
    assert not found
