"""A search space: named genes with ranges, conditions, fixed values and known-good points.

Spaces are YAML files (see the shipped ones in ``spaces/``)::

    name: quick
    description: one paragraph
    genes:
      model: {choices: [densenet121, vgg16]}
      lr: {low: 1.0e-4, high: 1.0e-2, log: true}
      crop: {type: int, low: 640, high: 1024, step: 64}
      dropout: {low: 0.0, high: 0.5, when: {model: vgg16}}
      momentum: {low: 0.8, high: 0.99, prior: {centre: 0.9, width: 0.03}}
    fixed:
      optimizer: adamw
    points:
      - {name: by-hand, params: {model: densenet121, lr: 1.0e-3, crop: 1024}}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from search.errors import SpaceError
from search.reading import FileError, read_yaml

from .conditions import Condition, Genes
from .gene import Gene
from .gene_prior import GenePrior
from .reading import Point, SpaceParts, is_active, read_parts
from .unit import from_unit, to_unit
from .values import same

__all__ = ["Gene", "Point", "SearchSpace", "read_space_file"]


MOST_SPACE_BYTES = 100_000
"""A space's file may have; the shipped ones have three thousand."""

PROBLEMS_NAMED = 50
"""Problems of one space that are named at most."""


class SearchSpace:
    """What is searched. Made by `load` or `from_dict`, which check everything.

    Attributes:
        name: the space's name.
        description: one paragraph for people.
        genes: by name, parents before the genes whose conditions name them.
        fixed: constants that every trial gets.
        points: known-good points, the first trials of a search.
    """

    def __init__(self, parts: SpaceParts) -> None:
        self.name = parts.name
        self.description = parts.description
        self.genes: dict[str, Gene] = parts.genes
        self.fixed: dict[str, Any] = parts.fixed
        self.points: list[Point] = parts.points

    @classmethod
    def load(cls, path: Path, known: Mapping[str, Mapping[str, Any]] | None = None) -> SearchSpace:
        """The space in the YAML file ``path``.

        Args:
            path: the file.
            known: the genes that there are, each with its limits (``type``, ``low``,
                ``high``, ``above``, ``choices``, ``size``, ``text``); ``None``: any gene.

        Raises:
            SpaceError: with all problems, one message each.
        """
        return cls.from_dict(read_space_file(path), str(path), known)

    @classmethod
    def from_dict(
        cls,
        data: Any,
        source: str = "the space",
        known: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> SearchSpace:
        """The space that ``data`` describes; ``source`` is named in messages. See `load`."""
        parts, problems = read_parts(data, source, known)
        if problems or parts is None:
            more = len(problems) - PROBLEMS_NAMED
            raise SpaceError(
                [
                    *problems[:PROBLEMS_NAMED],
                    *([f"{source}: and {more:,} more problems"] if more > 0 else []),
                ]
            )
        return cls(parts)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` makes the same space of it."""
        return {
            "name": self.name,
            "description": self.description,
            "genes": {name: gene.to_dict() for name, gene in self.genes.items()},
            "fixed": dict(self.fixed),
            "points": [{"name": p.name, "params": dict(p.params)} for p in self.points],
        }

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of all but the description."""
        content = {k: v for k, v in self.to_dict().items() if k != "description"}
        text = json.dumps(content, sort_keys=True, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def distributions(self) -> Genes:
        """Every gene's distribution by name, with the conditions and the priors."""
        found = {name: gene.distribution for name, gene in self.genes.items()}
        stated = {name: self._condition(gene) for name, gene in self.genes.items()}
        return Genes(
            found,
            {name: rule for name, rule in stated.items() if rule is not None},
            self.priors,
        )

    @property
    def priors(self) -> dict[str, GenePrior]:
        """The priors of the genes that have one, by gene."""
        return {name: g.prior for name, g in self.genes.items() if g.prior is not None}

    def _condition(self, gene: Gene) -> Condition | None:
        """When ``gene`` exists. Of a fixed parent it is known whether its part ever holds."""
        rule = None
        for parent, values in gene.when.items():
            if parent in self.genes:
                rule = Condition(parent, frozenset(values), rule)
            elif not any(same(self.fixed[parent], value) for value in values):
                rule = Condition(parent, frozenset(), rule)
        return rule

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """A trial's parameters: the active genes, parents first, and the fixed values."""
        params: dict[str, Any] = {}
        for gene in self.genes.values():
            if is_active(gene, self.genes, self.fixed, params):
                params[gene.name] = _suggest(trial, gene)
        return {**self.fixed, **params}

    def active(self, params: Mapping[str, Any]) -> set[str]:
        """The genes that exist where the others are as in ``params``.

        A value of a gene that does not exist itself counts for nothing, so a condition on
        it does not hold.
        """
        existing: dict[str, Any] = {}
        found: set[str] = set()
        for name, gene in self.genes.items():
            if is_active(gene, self.genes, self.fixed, existing):
                found.add(name)
                if name in params:
                    existing[name] = params[name]
        return found

    def encode(self, params: Mapping[str, Any]) -> npt.NDArray[np.float64]:
        """``params`` in the unit cube: ``(n_genes,)`` in [0, 1], NaN where inactive.

        Raises:
            ValueError: where an active gene is missing, or a value is none of its gene's.
        """
        active = self.active(params)
        unit = np.full(len(self.genes), np.nan)
        for index, (name, gene) in enumerate(self.genes.items()):
            if name not in active:
                continue
            if name not in params:
                raise ValueError(f"the active gene {name!r} has no value")
            unit[index] = to_unit(gene.distribution, params[name])
        return unit

    def decode(self, unit: npt.NDArray[np.float64]) -> dict[str, Any]:
        """The active genes at ``unit``, ``(n_genes,)`` in [0, 1]. NaN is taken for 0.5."""
        params: dict[str, Any] = {}
        for gene, value in zip(self.genes.values(), np.asarray(unit, dtype=float), strict=True):
            if is_active(gene, self.genes, self.fixed, params):
                at = 0.5 if np.isnan(value) else float(np.clip(value, 0.0, 1.0))
                params[gene.name] = from_unit(gene.distribution, at)
        return params


def read_space_file(path: Path) -> Any:
    """What the YAML file ``path`` says of a space, unchecked, for `SearchSpace.from_dict`.

    Raises:
        SpaceError: where it cannot be read.
    """
    try:
        return read_yaml(path, "the search space", MOST_SPACE_BYTES)
    except FileNotFoundError:
        raise SpaceError(f"{path}: there is no such file") from None
    except FileError as error:
        raise SpaceError(error.problems) from None


def _suggest(trial: BaseTrial, gene: Gene) -> Any:
    dist = gene.distribution
    if isinstance(dist, CategoricalDistribution):
        return trial.suggest_categorical(gene.name, dist.choices)
    if isinstance(dist, IntDistribution):
        return trial.suggest_int(gene.name, dist.low, dist.high, step=dist.step, log=dist.log)
    assert isinstance(dist, FloatDistribution)
    return trial.suggest_float(gene.name, dist.low, dist.high, step=dist.step, log=dist.log)
