"""Genes of a space that hang on the data: draw weights of its labels, and its uncertain marks.

A space is written once for any data set. ``ratio_*`` in it stands for the draw weight of each
label that the data have, and of No Finding. An entry that says ``optional: true`` is left out
where the data have no such label, no uncertain marks, or say neither age nor sex nor view. What
is searched, and what a study keeps, is the space with these settled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.data.about import NOTHING_SAID, about
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.description import POLICIES
from cxrsearch.learn.networks.weights.asked import placed
from cxrsearch.learn.recipe import (
    DESCRIBED,
    RATIO_PREFIX,
    gene_limits_with,
    new_defaults,
    ratio_genes,
)
from search.errors import SpaceError, did_you_mean
from search.space import SearchSpace, read_space_file

EVERY_RATIO = RATIO_PREFIX + "*"
"""In a space: the draw weights of all labels that are not named beside it, and of No Finding."""
INIT = "init"
OPTIONAL = "optional"
DOUBTS = "uncertain"
BESIDE = "auxiliary"


class AtHand(NamedTuple):
    """What a space must know of the data.

    Args:
        labels: their names.
        policies: what their uncertain marks count as, each once; empty where there are none.
        beside: what they say of age, sex and view; see `cxrsearch.data.about`.
    """

    labels: tuple[str, ...]
    policies: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> AtHand:
        """What it must know of ``dataset``."""
        doubts, beside = dataset.uncertain, about(dataset).names
        if doubts is None:
            return cls(dataset.label_names, beside=beside)
        taken = dataset.uncertain_as or (POLICIES[0],) * len(dataset.label_names)
        some = [taken[column] for column in np.flatnonzero(doubts.any(axis=0)).tolist()]
        return cls(dataset.label_names, tuple(dict.fromkeys(some)), beside)


def read_space(path: Path, at_hand: AtHand | None = None) -> SearchSpace:
    """The space in the file ``path``, for the data ``at_hand``.

    Without data everything is checked but which labels there are, and ``ratio_*`` stays as it is.

    Raises:
        SpaceError: with all problems, one message each.
    """
    plain, problems = settled(with_placed_weights(read_space_file(path), path.parent), at_hand)
    problems = [f"{path}: {problem}" for problem in problems]
    plain = _with_new_defaults(plain)
    try:
        space = SearchSpace.from_dict(plain, str(path), known_genes(plain))
    except SpaceError as error:
        raise SpaceError([*problems, *error.problems]) from None
    if problems:
        raise SpaceError(problems)
    return space


def _with_new_defaults(plain: Any) -> Any:
    """``plain`` with `new_defaults` fixed where it says nothing of their genes itself."""
    parts = (
        [plain.get(part, {}) for part in ("genes", "fixed")] if isinstance(plain, Mapping) else []
    )
    if not parts or not all(isinstance(part, Mapping) for part in parts):
        return plain  # whoever reads the space says what is wrong
    genes, fixed = parts
    fresh = {g: value for g, value in new_defaults().items() if g not in genes and g not in fixed}
    return {**plain, "fixed": {**fixed, **fresh}}


def with_placed_weights(plain: Any, folder: Path) -> Any:
    """What a space's file says, with the paths of starting weights in it absolute.

    A relative one is looked for beside the file, then where the user is.

    Args:
        plain: as read.
        folder: where the file lies.
    """

    def place(value: Any) -> Any:
        if isinstance(value, list):
            return [place(each) for each in value]
        return placed(value, folder, Path.cwd()) if isinstance(value, str) else value

    def within(found: Any, *keys: str) -> Any:
        """``found`` with what lies at ``keys`` placed; ``*``: at every key, or in every item.

        Of a mapping at the end, a prior's weights, the keys are.
        """
        if not keys and isinstance(found, Mapping):
            return {place(choice): weight for choice, weight in found.items()}
        if not keys:
            return place(found)
        key, *rest = keys
        if key == "*" and isinstance(found, list):
            return [within(each, *rest) for each in found]
        if not isinstance(found, Mapping):
            return found
        wanted = set(found) if key == "*" else {key}
        return {k: within(v, *rest) if k in wanted else v for k, v in found.items()}

    for keys in (
        ("genes", INIT, "choices"),
        ("genes", INIT, "prior"),
        ("genes", "*", "when", INIT),
        ("fixed", INIT),
        ("points", "*", "params", INIT),
    ):
        plain = within(plain, *keys)
    return plain


def known_genes(plain: Any) -> dict[str, dict[str, Any]]:
    """`gene_limits`, with whatever draw weights the space ``plain`` names."""
    parts = [plain.get(part) for part in ("genes", "fixed")] if isinstance(plain, Mapping) else []
    names = [name for part in parts if isinstance(part, Mapping) for name in part]
    found = gene_limits_with(name for name in names if isinstance(name, str))
    if EVERY_RATIO in found:
        found[EVERY_RATIO]["help"] = (
            "draw weight of images with each label of the data, a gene each, and of those with No "
            "Finding (train_seed below 1)"
        )
    return found


def optional_genes(plain: Any) -> list[str]:
    """The genes of a space's file that are left out where the data do not call for them."""
    genes = plain.get("genes") if isinstance(plain, Mapping) else None
    if not isinstance(genes, Mapping):
        return []
    return [n for n, gene in genes.items() if isinstance(gene, Mapping) and gene.get(OPTIONAL)]


def settled(plain: Any, at_hand: AtHand | None) -> tuple[Any, list[str]]:
    """What a space's file says, with the genes that hang on the data settled, and problems.

    Args:
        plain: as read.
        at_hand: the data; None: they are not known yet, so that nothing is left out.
    """
    if not isinstance(plain, Mapping) or not isinstance(plain.get("genes"), Mapping):
        return plain, []  # whoever reads the space says what is wrong
    problems = [
        problem
        for name, gene in plain["genes"].items()
        if isinstance(gene, Mapping) and OPTIONAL in gene
        if (problem := _optional_problem(str(name), gene[OPTIONAL]))
    ]
    gone = {
        name
        for name in optional_genes(plain)
        if at_hand is not None and not _called_for(str(name), at_hand)
    }
    genes = {
        name: {key: value for key, value in gene.items() if key != OPTIONAL}
        if isinstance(gene, Mapping)
        else gene
        for name, gene in plain["genes"].items()
        if name not in gone
    }
    found = _in_points({**plain, "genes": genes}, lambda params: _without(params, gone))
    if at_hand is None:
        return found, problems
    if not at_hand.beside and (BESIDE in genes or _fixed(found, BESIDE)):
        problems.append(f"{BESIDE}: {NOTHING_SAID}, leave it out, or say {OPTIONAL}: true")
    known = ratio_genes(at_hand.labels)
    for part in ("genes", "fixed"):
        if isinstance(some := found.get(part), Mapping):
            strange = [n for n in map(str, some) if n.startswith(RATIO_PREFIX) and n not in known]
            problems += [
                unknown_ratio(name, at_hand.labels, f"or say {OPTIONAL}: true")
                for name in strange
                if name != EVERY_RATIO
            ]
            found[part] = _spelt_out(some, known)
    found = _in_points(found, lambda params: _spelt_out(params, known))
    return _plain_policies(found, at_hand.policies), problems


def _fixed(plain: Mapping[str, Any], gene: str) -> Any:
    """What the space ``plain`` fixes ``gene`` to; None where it doesn't."""
    fixed = plain.get("fixed")
    return fixed.get(gene) if isinstance(fixed, Mapping) else None


def _optional_problem(name: str, value: Any) -> str | None:
    if not isinstance(value, bool):
        return f"{name}: {OPTIONAL} is {value!r}; write true or false"
    if (
        not value
        or name in (DOUBTS, BESIDE)
        or (name.startswith(RATIO_PREFIX) and name != EVERY_RATIO)
    ):
        return None
    return (
        f"{name}: {OPTIONAL} is for genes that hang on the data ({DOUBTS}, {BESIDE}, "
        f"{RATIO_PREFIX}LABEL); leave it out"
    )


def _called_for(name: str, at_hand: AtHand) -> bool:
    if name == DOUBTS:
        return bool(at_hand.policies)
    if name == BESIDE:
        return bool(at_hand.beside)
    return not name.startswith(RATIO_PREFIX) or name in ratio_genes(at_hand.labels)


def _without(params: Mapping[Any, Any], gone: Collection[Any]) -> dict[Any, Any]:
    return {name: value for name, value in params.items() if name not in gone}


def _spelt_out(part: Mapping[Any, Any], ratios: Iterable[str]) -> dict[Any, Any]:
    """``part`` with all of ``ratios`` that it does not name in the place of ``ratio_*``."""
    found: dict[Any, Any] = {}
    for name, value in part.items():
        some = [ratio for ratio in ratios if ratio not in part] if name == EVERY_RATIO else [name]
        found |= dict.fromkeys(some, value)
    return found


def _in_points(
    plain: dict[str, Any], change: Callable[[Mapping[Any, Any]], dict[Any, Any]]
) -> dict[str, Any]:
    """``plain`` with the parameters of its points changed, where they are well made."""
    if not isinstance(points := plain.get("points"), list):
        return plain
    changed = [
        {**point, "params": change(point["params"])}
        if isinstance(point, Mapping) and isinstance(point.get("params"), Mapping)
        else point
        for point in points
    ]
    return {**plain, "points": changed}


def unknown_ratio(name: str, labels: Sequence[str], way: str) -> str:
    """What is said of the gene ``name`` where the data do not have its label."""
    hint = did_you_mean(name, ratio_genes(labels))
    label = name.removeprefix(RATIO_PREFIX)
    return f"{name}: the data have no label {label!r}{hint or f'; leave it out, {way}'}"


def _plain_policies(plain: dict[str, Any], policies: Sequence[str]) -> dict[str, Any]:
    """``plain`` without the choice ``described`` where it is another name for one of the others."""
    gene = plain["genes"].get(DOUBTS)
    choices = gene.get("choices") if isinstance(gene, Mapping) else None
    if not isinstance(choices, list) or len(policies) != 1 or policies[0] not in choices:
        return plain
    if len(fewer := [choice for choice in choices if choice != DESCRIBED]) < 2:
        return plain
    meant, left = {DOUBTS: policies[0]}, {**gene, "choices": fewer}
    if "prior" in gene:
        left["prior"] = _without_described(gene["prior"], choices, policies[0])
    return _in_points(
        {**plain, "genes": {**plain["genes"], DOUBTS: left}},
        lambda params: {**params, **(meant if params.get(DOUBTS) == DESCRIBED else {})},
    )


def _without_described(prior: Any, choices: Sequence[Any], meant: str) -> Any:
    """A prior of the uncertain marks' policies where ``described`` is another name of ``meant``.

    What was said of ``described`` is said of ``meant``, where nothing else is.
    """
    if isinstance(prior, Mapping):
        found = {choice: weight for choice, weight in prior.items() if choice != DESCRIBED}
        return {meant: prior[DESCRIBED], **found} if DESCRIBED in prior else found
    if isinstance(prior, Sequence) and not isinstance(prior, str) and len(prior) == len(choices):
        return [
            weight for choice, weight in zip(choices, prior, strict=True) if choice != DESCRIBED
        ]
    return meant if prior == DESCRIBED else prior
