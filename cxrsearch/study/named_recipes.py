"""Recipes by name: the known-good points of the shipped spaces, and of anybody's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from cxrsearch.errors import InputError, attempt
from cxrsearch.learn.recipe import (
    RATIO_PREFIX,
    Recipe,
    effective,
    gene_limits_with,
    ratio_genes,
)
from search.errors import did_you_mean

from .label_genes import EVERY_RATIO, read_space, unknown_ratio
from .space import genes_here, shipped_spaces, space_path


class Named(NamedTuple):
    """A recipe, what it is called, and what the user should know about it."""

    name: str
    recipe: Recipe
    notes: tuple[str, ...] = ()


def find_recipe(name: str, given: Sequence[str] = ()) -> Named:
    """The recipe of a known-good point, with some of its genes set otherwise.

    Args:
        name: of a point of the shipped spaces (``report-densenet121``), with the space in front
            where several have one of that name (``quick:plain-densenet121``), or a file in its
            place (``my.yaml:first``).
        given: ``gene=value``, as ``init=none`` or ``input_size=96x128``.

    Raises:
        InputError: naming everything that is wrong.
    """
    problems: list[str] = []
    params = attempt(lambda: _point(name), problems)
    changed = attempt(lambda: genes_here(given), problems)
    if params is None or changed is None:
        raise InputError(problems)
    recipe = Recipe.from_params({**params, **changed})
    label = name + "".join(f", {gene} {value}" for gene, value in changed.items())
    return Named(label, recipe, tuple(_idle(recipe, changed)))


def for_labels(recipe: Recipe, labels: Sequence[str]) -> Recipe:
    """``recipe`` with its draw weights those of the data's ``labels``, ``ratio_*`` spelt out.

    Raises:
        InputError: naming each draw weight of a label that the data do not have.
    """
    weights = {RATIO_PREFIX + name: weight for name, weight in recipe.ratios}
    known = ratio_genes(labels)
    problems = [
        f"--recipe: {unknown_ratio(name, labels, f'by --set {name}=1')}"
        for name in weights
        if name not in known and name != EVERY_RATIO
    ]
    if problems:
        raise InputError(problems)
    every = weights.pop(EVERY_RATIO, 1.0)
    spelt_out = {name: weights.get(name, every) for name in known}
    return replace(recipe, ratios=Recipe.from_params(spelt_out).ratios)


def known_recipes() -> list[str]:
    """The names of all points of the shipped spaces, with their space where it is needed."""
    points = list(_shipped_points())
    names = [point for _, point, _ in points]
    return [p if names.count(p) == 1 else f"{space}:{p}" for space, p, _ in points]


def _point(name: str) -> dict[str, Any]:
    """The genes of the point that ``name`` means, fixed ones included."""
    place, sign, point = name.rpartition(":")
    if sign:
        space = read_space(_path_of(place))
        found = {p.name: {**space.fixed, **p.params} for p in space.points}
        if point in found:
            return found[point]
        raise InputError(
            f"--recipe {name}: {place} has no known-good point {point!r}; it has "
            f"{', '.join(found) or 'none'}{did_you_mean(point, found)}"
        )
    fitting = {space: params for space, p, params in _shipped_points() if p == name}
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        choices = ", ".join(f"{space}:{name}" for space in fitting)
        raise InputError(f"--recipe {name}: several spaces have it; write one of {choices}")
    known = known_recipes()
    raise InputError(
        f"--recipe {name}: no such recipe; there are {', '.join(known)}, and the known-good points "
        f"of your own spaces as FILE.yaml:NAME{did_you_mean(name, known)}"
    )


def _path_of(place: str) -> Any:
    try:
        return space_path(place)
    except InputError as error:
        raise InputError([p.replace("--space", "--recipe") for p in error.problems]) from None


def _shipped_points() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Space, name and genes of each shipped point."""
    for name, path in shipped_spaces().items():
        space = read_space(path)
        for point in space.points:
            yield name, point.name, {**space.fixed, **point.params}


def _idle(recipe: Recipe, changed: Mapping[str, Any]) -> list[str]:
    """A note on each gene that was set and cannot act beside the others."""
    acting, limits = effective(recipe), gene_limits_with(changed)
    notes = []
    for gene, value in changed.items():
        if gene.startswith(RATIO_PREFIX):
            idle = recipe.ratios != acting.ratios
        else:
            idle = getattr(acting, gene) != getattr(recipe, gene)
        if idle:
            needs = ", ".join(f"{k} {v}" for k, v in limits[gene].get("acts", {}).items())
            needs = needs or ("train_seed below 1" if recipe.train_seed >= 1 else "other genes")
            notes.append(f"--set {gene}={value} changes nothing here: it needs {needs}")
    return notes
