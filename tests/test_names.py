"""A name stands for one thing: no public class or constant is defined twice."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

SHARED = {
    "Array", "Floats", "Interval", "Space", "T",  # aliases and variables of types
    "ARM", "ARMS", "COMMANDS",  # what a system's folder offers to its registry
    "AUTO", "PHANTOM", "PRECISIONS", "SCHEMES",  # what a user writes, in the layer that reads it
}  # fmt: skip
"""Names that mean the same wherever they are defined."""


def defined(tree: ast.Module) -> Iterator[str]:
    """The public classes and constants at the top of a module."""
    for node in tree.body:
        names: list[str] = []
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        yield from (name for name in names if name[0].isupper())


def places() -> dict[str, list[str]]:
    """The modules that define each name, where there are several."""
    found = defaultdict(set)
    for top in ("search", "cxrsearch"):
        for path in sorted((ROOT / top).rglob("*.py")):
            for name in defined(ast.parse(path.read_text(encoding="utf-8"))):
                found[name].add(str(path.relative_to(ROOT)))
    return {name: sorted(where) for name, where in found.items() if len(where) > 1}


def test_no_class_or_constant_has_the_name_of_another() -> None:
    found = places()
    assert {name: found[name] for name in set(found) - SHARED} == {}
