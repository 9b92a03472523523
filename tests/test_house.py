"""Rooms stay small and each is described; contracts hold that none is in a circle."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEAN, MOST = 10.0, 20
"""Files of Python a folder: on average, and at the most."""


def folders() -> Counter[str]:
    """The number of Python files in each folder of the product."""
    files = [f for top in ("search", "cxrsearch") for f in (ROOT / top).rglob("*.py")]
    return Counter(str(file.parent.relative_to(ROOT)) for file in files)


def test_a_folder_holds_about_ten_files() -> None:
    found = folders()
    mean = found.total() / len(found)
    print(
        f"{len(found)} folders, {found.total()} files, {mean:.1f} a folder, {max(found.values())}"
    )
    assert mean <= MEAN
    assert {name: count for name, count in found.items() if count > MOST} == {}


def test_the_house_is_described_folder_by_folder() -> None:
    described = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
    assert [name for name in folders() if f"`{name}/`" not in described] == []


def test_circles_are_forbidden_everywhere() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    contracts = linter["importlinter"]["contracts"]
    acyclic = next(c for c in contracts if c["type"] == "acyclic_siblings")
    assert {"search", "cxrsearch", "benchmarks", "experiments"} <= set(acyclic["ancestors"])


def test_decisions_are_narrow_enough_to_read_and_each_page_is_in_the_index() -> None:
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in pages:
        lines = page.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if len(line) > 100] == [], page.name
        assert page.name == "README.md" or f"({page.name})" in index
