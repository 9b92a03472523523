"""The parts of a search space and how they hang together: conditions, fixed values, points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from .gene import Gene, Limits, read_distribution
from .gene_prior import read_prior
from .problems import Problems, unknown_keys
from .values import coerce, is_scalar, limit_problem, near, place, same, show

SPACE_KEYS = ("name", "description", "genes", "fixed", "points")
LONGEST_NAME = 100


@dataclass(frozen=True)
class Point:
    """A known-good point: parameters that somebody has had success with."""

    name: str
    params: Mapping[str, Any]


@dataclass
class SpaceParts:
    """All of a space. Genes stand parents first."""

    name: str
    description: str = ""
    genes: dict[str, Gene] = field(default_factory=dict)
    fixed: dict[str, Any] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)


def is_active(
    gene: Gene,
    genes: Mapping[str, Gene],
    fixed: Mapping[str, Any],
    params: Mapping[str, Any],
) -> bool:
    """Whether ``gene`` exists, by ``params`` of the genes before it that exist."""
    for parent, values in gene.when.items():
        given = params if parent in genes else fixed
        if parent not in given or not any(same(given[parent], value) for value in values):
            return False
    return True


def read_parts(
    data: Any, source: str, known: Mapping[str, Limits] | None
) -> tuple[SpaceParts | None, list[str]]:
    """The parts of a space and every problem there is with them."""
    problems = Problems(source)
    if not isinstance(data, Mapping):
        what = "is empty" if data is None else f"is {show(data)}, not a mapping"
        problems.add("", f"{what}; write at least genes: {{NAME: {{low: ..., high: ...}}}}")
        return None, problems.found
    unknown_keys(problems, "", data, SPACE_KEYS)
    parts = SpaceParts(_text(data, "name", PurePath(source).stem or "space", problems))
    parts.description = _text(data, "description", "", problems)
    parts.fixed = _read_fixed(data.get("fixed"), known, problems)
    entries = _entries(data, known, parts.fixed, problems)
    genes: dict[str, Gene] = {}
    broken: set[str] = set()
    for name, entry in entries.items():
        dist = read_distribution(name, entry, (known or {}).get(name), problems)
        if dist is None:
            broken.add(name)
        else:
            genes[name] = Gene(name, dist)
    genes = {
        name: Gene(
            name,
            gene.distribution,
            _read_when(name, entries[name], genes, parts.fixed, broken, problems),
            read_prior(name, entries[name].get("prior"), gene.distribution, problems),
        )
        for name, gene in genes.items()
    }
    parts.genes = _parents_first(genes, problems)
    if not problems.found:
        parts.points = _read_points(data.get("points"), parts, problems)
    elif not isinstance(data.get("points"), list | None):
        problems.add("points", f"is {show(data['points'])}; write a list")
    return parts, problems.found


def _text(data: Mapping[Any, Any], key: str, default: str, problems: Problems) -> str:
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or (key == "name" and not _is_name(value)):
        problems.add(key, f"is {show(value)}; write a short text")
        return default
    return value


def _is_name(value: Any) -> bool:
    return (
        isinstance(value, str)
        and value.isprintable()
        and value == value.strip()
        and 0 < len(value) <= LONGEST_NAME
    )


def _name_problem(name: Any, known: Mapping[str, Limits] | None) -> str | None:
    if isinstance(name, bool):
        return "is no name; YAML reads on, off, yes and no as true and false: quote it"
    if not _is_name(name):
        return f"is no name; write a text of 1 to {LONGEST_NAME} printable characters"
    if known is not None and name not in known:
        return f"unknown gene{near(name, known) or '; see the list of genes'}"
    return None


def _entries(
    data: Mapping[Any, Any],
    known: Mapping[str, Limits] | None,
    fixed: Mapping[str, Any],
    problems: Problems,
) -> dict[str, Any]:
    given = data.get("genes")
    if not isinstance(given, Mapping) or not given:
        what = "is missing or empty" if not given else f"is {show(given)}"
        problems.add("genes", f"{what}; give at least one: NAME: {{low: ..., high: ...}}")
        return {}
    entries: dict[str, Any] = {}
    for name, entry in given.items():
        problem = _name_problem(name, known)
        if problem:
            problems.add(show(name), problem)
            continue
        if name in fixed:
            problems.add(name, "is a gene and fixed; keep one of the two")
        entries[name] = entry
    return entries


def _read_fixed(
    given: Any, known: Mapping[str, Limits] | None, problems: Problems
) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        problems.add("fixed", f"is {show(given)}; write NAME: VALUE")
        return {}
    fixed: dict[str, Any] = {}
    for name, value in given.items():
        limits = (known or {}).get(name) if isinstance(name, str) else None
        value = coerce(value, limits)
        plain = is_scalar(value) or (isinstance(value, list) and all(map(is_scalar, value)))
        problem = _name_problem(name, known)
        if problem is None and not plain:
            problem = (
                f"is fixed to {show(value)}; give a finite number, text, truth or list of them"
            )
        problem = problem or limit_problem(value, limits)
        if problem:
            problems.add(show(name), f"(fixed) {problem}")
        if _is_name(name):
            fixed[name] = value if plain else None
    return fixed


def _read_when(
    name: str,
    entry: Mapping[str, Any],
    genes: Mapping[str, Gene],
    fixed: Mapping[str, Any],
    broken: set[str],
    problems: Problems,
) -> dict[str, tuple[Any, ...]]:
    given = entry.get("when")
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        problems.add(name, f"when is {show(given)}; write when: {{GENE: VALUE}}")
        return {}
    when: dict[str, tuple[Any, ...]] = {}
    for parent, wanted in given.items():
        values = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
        if not values:
            problems.add(name, f"when {show(parent)} has no value; give at least one")
        elif parent in genes:
            when[parent] = _wanted(name, parent, values, genes[parent], problems)
        elif isinstance(parent, str) and parent in fixed:
            bad = [value for value in values if not is_scalar(value)]
            for value in bad:
                problems.add(name, f"when {parent} is {show(value)}; give a plain value")
            when[parent] = tuple(place_like(fixed[parent], v) for v in values if v not in bad)
        elif parent not in broken:
            hint = near(parent, [*genes, *fixed]) or "; it is neither a gene nor fixed"
            problems.add(name, f"when names {show(parent)}, which is unknown{hint}")
    return when


def place_like(fixed: Any, value: Any) -> Any:
    """``value``, made a number where the fixed value is one and ``value`` spells one."""
    is_number = isinstance(fixed, int | float) and not isinstance(fixed, bool)
    return coerce(value, {"type": "float"}) if is_number else value


def _wanted(
    name: str, parent: str, values: list[Any], gene: Gene, problems: Problems
) -> tuple[Any, ...]:
    found = []
    for value in values:
        wanted, problem = place(gene.distribution, value)
        if problem:
            problems.add(
                name, f"when {parent} is {show(value)}, but {problem}; correct one of them"
            )
        found.append(wanted)
    return tuple(found)


def _parents_first(genes: dict[str, Gene], problems: Problems) -> dict[str, Gene]:
    """The genes in file order, but after those that their conditions name."""
    ordered: dict[str, Gene] = {}
    left = dict(genes)
    while left:
        ready = [
            name
            for name, gene in left.items()
            if all(parent in ordered or parent not in genes for parent in gene.when)
        ]
        if not ready:
            problems.add(", ".join(_circle(left)), "conditions go in a circle; take one `when` out")
            return {**ordered, **left}
        ordered[ready[0]] = left.pop(ready[0])
    return ordered


def _circle(genes: Mapping[str, Gene]) -> list[str]:
    """The names of one circle of conditions among ``genes``, each of which has one above it."""
    path = [next(iter(genes))]
    while True:
        parent = next(parent for parent in genes[path[-1]].when if parent in genes)
        if parent in path:
            return path[path.index(parent) :]
        path.append(parent)


def _read_points(given: Any, parts: SpaceParts, problems: Problems) -> list[Point]:
    if given is None:
        return []
    if not isinstance(given, list | tuple):
        problems.add("points", f"is {show(given)}; write a list")
        return []
    points: list[Point] = []
    for index, entry in enumerate(given, start=1):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("params"), Mapping):
            problems.add(f"point {index}", "write {name: NAME, params: {GENE: VALUE}}")
            continue
        name = entry.get("name", f"point {index}")
        where = f"point {show(name)}"
        unknown_keys(problems, where, entry, ("name", "params"))
        if not _is_name(name):
            problems.add(where, "is no name; write a short text")
            continue
        params = _read_params(where, entry["params"], parts, problems)
        for other in points:
            if other.name == name:
                problems.add(where, "the name is there twice; give another")
            elif other.params == params:
                problems.add(where, f"is the same as {other.name}; keep one of them")
        points.append(Point(name, params))
    return points


def _read_params(
    where: str, given: Mapping[Any, Any], parts: SpaceParts, problems: Problems
) -> dict[str, Any]:
    placed: dict[str, Any] = {}
    for name, value in given.items():
        if name in parts.genes:
            placed[name], problem = place(parts.genes[name].distribution, value)
            if problem:
                problems.add(where, f"{name}: {problem}; correct it, or widen the gene")
        elif isinstance(name, str) and name in parts.fixed:
            if not same(place_like(parts.fixed[name], value), parts.fixed[name]):
                problems.add(where, f"{name} is fixed to {show(parts.fixed[name])}; leave it out")
        else:
            hint = near(name, parts.genes) or "; leave it out, or make it a gene"
            problems.add(where, f"{show(name)} is no gene of this space{hint}")
    existing: dict[str, Any] = {}
    for name, gene in parts.genes.items():
        active = is_active(gene, parts.genes, parts.fixed, existing)
        if active and name in placed:
            existing[name] = placed[name]
        elif active:
            problems.add(where, f"{name} is missing; add it")
        elif name in placed:
            problems.add(where, f"{name} is not active here (its `when` fails); leave it out")
    return existing
