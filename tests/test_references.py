"""Names of ours in backticks, in docstrings, comments and docs, are of things that exist."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOPS = ("search", "cxrsearch", "benchmarks", "experiments")
NAME = re.compile(rf"`((?:{'|'.join(TOPS)})(?:\.\w+)+)(?:\(\))?`")
FILES = sorted(
    path.relative_to(ROOT)
    for pattern in (*(f"{top}/**/*.py" for top in TOPS), "docs/**/*.md", "*.md")
    for path in ROOT.glob(pattern)
)
SUFFIXES = ("py", "md", "html", "yaml", "json", "db")


def exists(name: str) -> bool:
    """Whether ``name`` is a module, or something in one: also a field of a class."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.util.find_spec(".".join(parts[:count]))
        except ImportError:
            continue
        if found is None:
            continue
        if count == len(parts):
            return True
        thing: object = importlib.import_module(".".join(parts[:count]))
        for part in parts[count:]:
            if part in getattr(thing, "__annotations__", {}):
                return True
            if not hasattr(thing, part):
                return False
            thing = getattr(thing, part)
        return True
    return False


def test_every_dotted_name_in_backticks_exists() -> None:
    pytest.importorskip("torch")
    stale = {
        f"{path}: {name}"
        for path in FILES
        for name in NAME.findall((ROOT / path).read_text(encoding="utf-8"))
        if name.rpartition(".")[2] not in SUFFIXES and not exists(name)
    }
    assert stale == set()


@pytest.mark.parametrize("name", ["search.warm", "search.study.Study.nothing", "search.nobody.X"])
def test_a_name_that_is_gone_is_noticed(name: str) -> None:
    assert not exists(name)
