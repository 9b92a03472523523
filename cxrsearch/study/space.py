"""A search space as X-rays need it: found by name, checked against the genes and this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import spaces
from cxrsearch.data.labels.names import some_names
from cxrsearch.errors import InputError
from cxrsearch.learn.networks.weights.asked import RANDOM, placed, start_of
from cxrsearch.learn.recipe import (
    RATIO_PREFIX,
    Recipe,
    gene_limits_with,
    network_genes,
    size_of,
)
from search.errors import did_you_mean
from search.reading import FileError, parse_yaml
from search.space import SearchSpace, read_space_file
from search.space.values import coerce, limit_problem

from .label_genes import BESIDE, DOUBTS, EVERY_RATIO, AtHand, optional_genes, read_space
from .settings import Settings


def space_path(name: str) -> Path:
    """Where a space lies: a path as it is, or the shipped one of that name.

    Raises:
        InputError: where it is neither.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return path
    shipped = shipped_spaces()
    if name in shipped:
        return shipped[name]
    raise InputError(
        f"--space {name}: no such file, and none of the shipped spaces "
        f"({', '.join(shipped)}){did_you_mean(name, shipped)}"
    )


def shipped_spaces() -> dict[str, Path]:
    """The spaces that come with the package, by name."""
    folder = Path(str(spaces.__file__)).parent
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_space(settings: Settings, at_hand: AtHand | None = None) -> tuple[SearchSpace, list[str]]:
    """The space of ``settings`` without the starting weights that cannot be had, and notes.

    Args:
        settings: name the space.
        at_hand: the data; None: they are not read yet, see `read_space`.

    Raises:
        SpaceError: where the file is wrong.
        InputError: where no starting weights are left.
    """
    path = space_path(settings.space or "quick")
    space, said = fixed_to(read_space(path, at_hand), genes_here(settings.genes))
    check_networks(space)
    found, notes = without_missing_weights(space, settings)
    notes = [*said, *notes]
    gone = [gene for gene in optional_genes(read_space_file(path)) if gene not in space.genes]
    if ratios := [gene for gene in gone if gene not in (DOUBTS, BESIDE)]:
        notes = [f"not searched, as the data have no such label: {', '.join(ratios)}", *notes]
    return found, notes


MOST_SHOWN = 80
"""Characters of what was given that a message repeats."""


def read_genes(given: Sequence[str]) -> dict[str, Any]:
    """Genes and their values out of ``gene=value`` texts; of two for one gene the later counts.

    Which labels there are, and so draw weights, is for `for_labels`.

    Raises:
        InputError: naming each unknown gene, and each value outside a gene's limits.
    """
    named = [text.partition("=")[0].strip() for text in given]
    limits, problems = gene_limits_with(named), []
    found: dict[str, Any] = {}
    for text in given:
        gene, sign, spelt = (part.strip() for part in text.partition("="))
        text = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."
        if not sign or not spelt:
            problems.append(f"--set {text}: write GENE=VALUE, such as init=none")
        elif gene not in limits:
            problems.append(
                f"--set {text}: unknown gene {gene!r}"
                f"{did_you_mean(gene, limits) or '; `cxrsearch spaces full` explains them'}"
            )
        else:
            found[gene] = coerce(_value(spelt, limits[gene]), limits[gene])
            if problem := limit_problem(found[gene], limits[gene]):
                problems.append(f"--set {text}: {problem}")
    if problems:
        raise InputError(problems)
    return found


def genes_here(given: Sequence[str]) -> dict[str, Any]:
    """`read_genes`, with the path of starting weights from where the user is."""
    found = read_genes(given)
    if "init" in found:
        found["init"] = placed(found["init"], Path.cwd())
    return found


def _value(spelt: str, limits: Mapping[str, Any]) -> Any:
    """A value as YAML reads it; texts stay as they are written."""
    if limits["type"] == "str" or limits.get("text"):
        return spelt
    try:
        return parse_yaml(spelt, spelt)
    except FileError:
        return spelt


def fixed_to(space: SearchSpace, values: Mapping[str, Any]) -> tuple[SearchSpace, list[str]]:
    """``space`` with some genes fixed, and a note on the known-good points that this leaves out.

    A gene whose condition cannot hold any more goes. Of points that are the same then one stays.

    Args:
        space: as loaded.
        values: of genes, searched before or fixed otherwise or not named at all.

    Raises:
        InputError: where nothing is left to search.
    """
    if not values:
        return space, []
    plain: dict[str, Any] = space.to_dict()
    fixed = {**plain["fixed"], **values}
    genes = {name: gene for name, gene in plain["genes"].items() if name not in values}
    while gone := [name for name, gene in genes.items() if not may_act(gene, genes, fixed)]:
        genes = {name: gene for name, gene in genes.items() if name not in gone}
    if not genes:
        raise InputError(
            f"--set: nothing is left to search in {space.name}; use `cxrsearch train --recipe` to "
            "train one recipe"
        )
    known = gene_limits_with((*genes, *fixed))
    alone = SearchSpace.from_dict({**plain, "genes": genes, "fixed": fixed, "points": []},
                                  space.name, known=known)  # fmt: skip
    points: list[dict[str, Any]] = []
    incomplete = []
    for point in space.points:
        params = {name: value for name, value in point.params.items() if name in genes}
        active = alone.active(params)
        params = {name: value for name, value in params.items() if name in active}
        if active - params.keys():
            incomplete.append(point.name)
        elif all(params != other["params"] for other in points):
            points.append({"name": point.name, "params": params})
    notes = []
    if incomplete:
        notes.append(f"known-good points that --set leaves incomplete: {', '.join(incomplete)}")
    plain |= {"genes": genes, "fixed": fixed, "points": points}
    return SearchSpace.from_dict(plain, space.name, known=known), notes


def may_act(gene: Mapping[str, Any], genes: Mapping[str, Any], fixed: Mapping[str, Any]) -> bool:
    """Whether all conditions of ``gene`` can hold."""
    conditions = (gene.get("when") or {}).items()
    return all(name in genes or fixed.get(name) in _as_list(wanted) for name, wanted in conditions)


def check_networks(space: SearchSpace) -> None:
    """Raise where a network of ``space`` cannot be had, or cannot take images of its sizes.

    Raises:
        InputError: naming each.
    """
    from cxrsearch.learn.networks.models import network_problem

    gene = space.genes.get("input_size")
    sized = gene.when.get("model") if gene else None
    problems: dict[str, None] = {}
    for model in gene_values(space, "model", Recipe.model):
        searched = sized is None or model in sized
        values = gene_values(space, "input_size", Recipe.input_size)
        for size in values if searched else [Recipe.input_size]:
            if problem := network_problem(Recipe(model=model, input_size=size)):
                problems[f"{space.name}: {problem}"] = None
    if problems:
        raise InputError(list(problems))


def without_missing_weights(
    space: SearchSpace, settings: Settings
) -> tuple[SearchSpace, list[str]]:
    """Leave out choices and points whose weights cannot be had on this machine, with notes.

    Raises:
        InputError: where a file of the user's does not fit each network that would begin with it,
            naming all such, or where no starting weights are left.
    """
    from .starting.drawn import starting_problem

    folder = settings.weights_dir
    problems: dict[str, list[str]] = {}
    unfit: list[str] = []
    for init, recipes in starting_recipes(space).items():
        wrong = {recipe.model: p for recipe in recipes if (p := starting_problem(recipe, folder))}
        if wrong and start_of(init).file is not None:
            unfit += [*wrong.values(), *_way_out(init, recipes, wrong)]
        elif wrong:
            problems[init] = list(wrong.values())
    if unfit:
        raise InputError(list(dict.fromkeys(unfit)))
    if not problems:
        return space, []
    missing = [message for found in problems.values() for message in found]
    plain: dict[str, Any] = space.to_dict()
    gene = plain["genes"].get("init")
    left = [c for c in gene["choices"] if c not in problems] if gene else []
    if not left:
        raise InputError([*missing, f"{space.name}: no starting weights are left; add init: none"])
    plain["points"] = [p for p in plain["points"] if p["params"].get("init") not in problems]
    dropped = len(space.points) - len(plain["points"])
    _fix_init(plain, left)
    notes = [*missing, f"left out for want of weights: init {', '.join(problems)}"]
    if dropped:
        notes[-1] += f" and {dropped} known-good point{'s' * (dropped > 1)}"
    known = gene_limits_with((*plain["genes"], *plain["fixed"]))
    return SearchSpace.from_dict(plain, space.name, known=known), notes


def starting_recipes(space: SearchSpace) -> dict[str, list[Recipe]]:
    """For each value of ``init`` in ``space``, a recipe of each network that can begin with it.

    Which that are follows from the conditions under which ``init`` and ``model`` are searched.
    """
    found: dict[str, list[Recipe]] = {}
    fixed = {name: space.fixed[name] for name in network_genes() if name in space.fixed}
    sizes = gene_values(space, "input_size", Recipe.input_size)
    for init in gene_values(space, "init", Recipe.init):
        found[init] = [
            replace(Recipe(**fixed), model=model, init=init, input_size=size)
            for model in gene_values(space, "model", Recipe.model)
            if _together(space, "init", init, "model", model)
            and _together(space, "model", model, "init", init)
            for size in (sizes if ":" in model else sizes[:1])  # of torchvision's any size will do
        ]
    return found


def _together(space: SearchSpace, gene: str, value: Any, parent: str, its: Any) -> bool:
    """Whether ``gene`` can have its ``value`` where ``parent`` has ``its``."""
    wanted = space.genes[gene].when.get(parent) if gene in space.genes else None
    return wanted is None or its in _as_list(wanted)


def _way_out(init: str, recipes: Sequence[Recipe], wrong: Mapping[str, str]) -> list[str]:
    """What to write where only some networks of a space can begin with ``init``."""
    fits = list(dict.fromkeys(r.model for r in recipes if r.model not in wrong))
    if not fits:
        return []
    models = fits[0] if len(fits) == 1 else f"[{', '.join(fits)}]"
    return [
        f"init {init}: fits {', '.join(fits)} and not {', '.join(wrong)}, which the space searches "
        "too; let init have it with those alone: "
        f"init: {{choices: [none, {init}], when: {{model: {models}}}}}"
    ]


def recipes_of(space: SearchSpace) -> list[Recipe]:
    """All of `starting_recipes`."""
    return [recipe for recipes in starting_recipes(space).values() for recipe in recipes]


def weights_used(space: SearchSpace, settings: Settings) -> dict[str, str]:
    """The files of starting weights that trials of ``space`` begin with, and their digests."""
    from cxrsearch.learn.networks.weights.places import find_weights
    from cxrsearch.learn.networks.weights.reading import file_digest

    folder = Path(settings.weights_dir) if settings.weights_dir else None
    files = {
        find_weights(source, recipe.model, folder)
        for init, recipes in starting_recipes(space).items()
        if (source := start_of(init).source) != RANDOM
        for recipe in recipes
    }
    return {str(file): file_digest(file) for file in sorted(files) if file.is_file()}


def _fix_init(plain: dict[str, Any], left: list[str]) -> None:
    """Keep ``left`` of the init choices; a gene with one value left becomes fixed."""
    if len(left) > 1:
        gene = plain["genes"]["init"]
        if "prior" in gene:  # a weight for each choice
            pairs = zip(gene["choices"], gene["prior"], strict=True)
            gene["prior"] = [weight for choice, weight in pairs if choice in left]
        gene["choices"] = left
        return
    conditional = plain["genes"].pop("init").get("when")
    if conditional is None or left[0] != Recipe.init:
        plain["fixed"]["init"] = left[0]
    # A gene that hung on a value of init which is gone can never be active again.
    gone = {
        name
        for name, spec in plain["genes"].items()
        if "init" in spec.get("when", {}) and left[0] not in _as_list(spec["when"]["init"])
    }
    for name in gone:
        del plain["genes"][name]
    for spec in plain["genes"].values():
        spec.get("when", {}).pop("init", None)
    for point in plain["points"]:
        point["params"] = {k: v for k, v in point["params"].items() if k not in gone | {"init"}}


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def gene_values(space: SearchSpace, gene: str, default: Any) -> list[Any]:
    """The values that ``gene`` can take in ``space``: its choices or ends, or what is fixed."""
    if gene not in space.genes:
        return [space.fixed.get(gene, default)]
    distribution: Any = space.genes[gene].distribution
    if hasattr(distribution, "choices"):
        return list(distribution.choices)
    return [distribution.low, distribution.high]


MANY_RATIOS = 40
"""Draw weights that a search can hardly tell apart."""


def idle_genes(space: SearchSpace, at_hand: AtHand) -> list[str]:
    """Notes where genes are searched that cannot act, or too many to tell what they do."""
    notes = []
    if DOUBTS in space.genes and not at_hand.policies:
        notes.append(
            f"{DOUBTS} cannot act, as the data have no uncertain marks; say optional: true of it"
        )
    ratios = [gene for gene in space.genes if gene.startswith(RATIO_PREFIX)]
    if len(ratios) > MANY_RATIOS:
        notes.append(
            f"{len(ratios)} draw weights are searched, one a label: few trials cannot tell them "
            f"apart; to search some alone, name them in the place of {EVERY_RATIO}"
        )
    return notes + _idle_weights(space)


def gene_prior_notes(sampler: str, space: SearchSpace) -> list[str]:
    """A note where genes of ``space`` have priors that ``sampler`` makes nothing of."""
    from search.samplers import SAMPLERS  # slow to load

    if not space.priors or SAMPLERS[sampler].priors:
        return []
    able = ", ".join(name for name, entry in SAMPLERS.items() if entry.priors)
    return [
        f"the priors of {some_names(list(space.priors))} count for nothing, as sampler {sampler} "
        f"takes none; use one that does ({able}), or leave them out"
    ]


def _idle_weights(space: SearchSpace) -> list[str]:
    """A note where draw weights are searched while every image is drawn."""
    weights = [g for g in space.genes if g == "balance" or g.startswith(RATIO_PREFIX)]
    if not weights or min(gene_values(space, "train_seed", Recipe.train_seed)) < 1:
        return []
    return [
        f"{some_names(weights)} cannot act while train_seed is 1, as every image is drawn once an "
        "epoch; let train_seed go below 1, or leave them out"
    ]


def frame_for(space: SearchSpace, source_side: int) -> int:
    """`frame_of` the input sizes and crops of ``space``."""
    sizes = gene_values(space, "input_size", Recipe.input_size)
    return frame_of(sizes, gene_values(space, "crop", Recipe.crop), source_side)


def frame_of(
    input_sizes: Sequence[int | str], crop_windows: Sequence[int | str], source_side: int
) -> int:
    """Side of the cached images: enough for the largest input from the smallest crop.

    A multiple of 32, so that studies with similar spaces share one cache; never above the
    source's own side, or 1024.
    """
    need = max(
        side * 1024 / window
        for size in input_sizes
        for crop in crop_windows
        for side, window in zip(size_of(size), size_of(crop), strict=True)
    )
    return min(math.ceil(need / 32) * 32, max(32, source_side), 1024)
