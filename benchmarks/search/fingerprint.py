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
    """A module of `search`: its top-level definitions, and what it imports from the package."""

    defined: dict[str, list[ast.stmt]]
    imported: dict[str, tuple[str, str]]


@cache
def fingerprint(module: str, name: str, folder: Path = FOLDER) -> str:
    """Of a definition and of all that it uses within the package, however far away.

    Taken from the code alone: neither comments and docstrings, nor what the sampler does not use,
    nor the files that definitions lie in make cells stale.

    Args:
        module: within the package, with dots, as ``genetic.sampler``.
        name: of a definition in it, or of one that it imports.
        folder: of the package.
    """
    waiting, seen, found = [(module, name)], set(), set()
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        here = _module(folder, place[0])
        # A module taken as a whole (``from . import x``) uses all that it defines.
        if place[1] == "*":
            waiting += [(place[0], each) for each in here.defined]
        elif place[1] in here.imported:
            waiting.append(here.imported[place[1]])
        else:
            nodes = here.defined.get(place[1], [])
            found.update((place[1], _bare(node)) for node in nodes)
            parts = [part for node in nodes for part in ast.walk(node)]
            waiting += [(place[0], part.id) for part in parts if isinstance(part, ast.Name)]
    text = "\n".join(f"{name} {code}" for name, code in sorted(found))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _file(folder: Path, module: str) -> Path | None:
    """The file of a module of the package; None where there is no such module."""
    path = folder.joinpath(*module.split(".")) if module else folder
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


@cache
def _module(folder: Path, name: str) -> Module:
    path, found = _file(folder, name), Module({}, {})
    if path is None:
        return found
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    for node in ast.walk(tree):
        # Also imports inside functions.
        if isinstance(node, ast.ImportFrom):
            source = _within(node, [part for part in package if part], folder.name)
            for alias in node.names if source is not None else ():
                inner = ".".join(filter(None, (source, alias.name)))
                target = (inner, "*") if _file(folder, inner) else (source, alias.name)
                found.imported[alias.asname or alias.name] = target
    for statement in tree.body:
        for each in _names(statement):
            found.defined.setdefault(each, []).append(statement)
    return found


def _within(node: ast.ImportFrom, package: list[str], root: str) -> str | None:
    """What an import names, from the root of the package on; None for what lies outside."""
    given = node.module.split(".") if node.module else []
    if node.level:
        return ".".join([*package[: len(package) - node.level + 1], *given])
    return ".".join(given[1:]) if given[0] == root else None


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return [p.id for target in targets for p in ast.walk(target) if isinstance(p, ast.Name)]
    return []


def _bare(node: ast.stmt) -> str:
    """The code of ``node`` without comments, docstrings and imports, in one format."""
    copy = ast.parse(ast.unparse(node)).body[0]
    for part in ast.walk(copy):
        if isinstance(part, ast.FunctionDef | ast.ClassDef):
            part.body = [each for each in part.body if not _is_aside(each)] or [ast.Pass()]
    return ast.unparse(copy)


def _is_aside(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return True
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
