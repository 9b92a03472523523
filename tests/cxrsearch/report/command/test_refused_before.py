"""What cannot be used is refused before a look is counted."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.errors import InputError
from cxrsearch.report import against

BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--against", "image,{label}\n{image},often\n", "it must be from 0 to 1"),
        ("--against", "image,{label}\nno-such.png,1\n", "says nothing of the"),
        ("--boxes", BOXES + "{image},{label},1,2,x,4\n", "line 2"),
        ("--boxes", BOXES + "no-such.png,{label},1,2,3,4\n", "give a table of these images"),
    ],
)
def test_a_table_that_cannot_be_used_costs_no_look(
    winner: Path, content: dict[str, Any], made: Path, run: Callable[..., Any], tmp_path: Path,
    option: str, text: str, said: str,
) -> None:  # fmt: skip
    with (made / "doubts.csv").open() as file:
        image = next((row["image"] for row in csv.DictReader(file)), "none.png")
    table = tmp_path / "table.csv"
    table.write_text(text.format(label=content["label_names"][0], image=_judged(winner, image)))
    out = tmp_path / "out"
    code, _, error = run("report", winner, option, table, "--out", out, "--no-heat-maps")
    assert code == 2
    assert said in " ".join(error.split())
    assert not (winner / "looks.json").exists()
    assert not out.exists()


def _judged(winner: Path, other: str) -> str:
    """The name of an image of the test part."""
    import json

    found: list[str] = json.loads((winner / "splits.json").read_text()).get("test") or [other]
    return found[0]


def test_a_second_model_that_may_not_be_judged_costs_no_look(
    winner: Path, made: Path, run: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def trained_on(*args: Any, **options: Any) -> None:
        raise InputError("12 of its images were trained on")

    monkeypatch.setattr(against, "look_at", trained_on)
    second = made.parent / "same"
    code, _, error = run("report", winner, "--against", second, "--out", tmp_path / "out")
    assert code == 2
    assert f"--against {second}: 12 of its images were trained on" in " ".join(error.split())
    assert not (winner / "looks.json").exists()


def test_a_second_model_of_the_same_study_is_no_earlier_look(content: dict[str, Any]) -> None:
    (looks,) = [check for check in content["checks"] if check["name"] == "looks"]
    assert looks["evidence"]["looks_before"] == content["looks"] - 1
    assert content["against"]["looks"] == content["looks"] + 1
