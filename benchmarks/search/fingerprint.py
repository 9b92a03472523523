"""Names the code of our sampler: cells made by other code than today's are stale."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import search

FOLDER = Path(search.__file__).parent


class Module(NamedTuple):
    """A module of `search`: its top-level definitions, and what it imports from its siblings."""

    defined: dict[str, list[ast.stmt]]
    imported: dict[str, tuple[str, str]]


@cache
def fingerprint(module: str, name: str, folder: Path = FOLDER) -> str:
    """Of a definition and of all that it uses within the package, however far away.

    Taken from the code without docstrings, so that neither comments nor what the sampler
    does not use make cells stale.
    """
    waiting, found = [(module, name)], {}
    while waiting:
        place = waiting.pop()
        if place in found:
            continue
        here = _module(folder, place[0])
        if place[1] in here.imported:
            waiting.append(here.imported[place[1]])
            continue
        # A module taken as a whole (``from . import x``) uses all that it defines.
        names = here.defined if place[1] == "*" else {place[1]} & here.defined.keys()
        nodes = [node for each in sorted(names) for node in here.defined[each]]
        found[place] = "\n".join(_bare(node) for node in nodes)
        used = {part.id for node in nodes for part in ast.walk(node) if isinstance(part, ast.Name)}
        waiting += [(place[0], each) for each in sorted(used)]
    text = "\n".join(f"{place} {code}" for place, code in sorted(found.items()) if code)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def _module(folder: Path, name: str) -> Module:
    path = folder / f"{name}.py"
    if not path.exists():
        return Module({}, {})
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = Module({}, {})
    for node in ast.walk(tree):
        # Also imports inside functions.
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            for alias in node.names:
                target = (node.module, alias.name) if node.module else (alias.name, "*")
                found.imported[alias.asname or alias.name] = target
    for statement in tree.body:
        for name in _names(statement):
            found.defined.setdefault(name, []).append(statement)
    return found


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [p.id for target in targets for p in ast.walk(target) if isinstance(p, ast.Name)]
    return []


def _bare(node: ast.stmt) -> str:
    """The code of ``node`` without comments and docstrings, in one format."""
    copy = ast.parse(ast.unparse(node)).body[0]
    for part in ast.walk(copy):
        if isinstance(part, ast.FunctionDef | ast.ClassDef):
            part.body = [each for each in part.body if not _is_text(each)] or [ast.Pass()]
    return ast.unparse(copy)


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
