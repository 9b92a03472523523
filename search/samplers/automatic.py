"""Which of Optuna's samplers suits a search, by rules that rest on a benchmark.

The figures behind the rules are in docs/decisions/samplers.md; ``python -m benchmarks.search``
makes them again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

AUTO = "auto"
"""The name that asks for a choice."""

Range = tuple[float, float]
ANY: Range = (0, math.inf)


@dataclass(frozen=True)
class Rule:
    """When a sampler is chosen: where every figure lies in its range, both ends included.

    Args:
        sampler: a name out of `search.samplers.SAMPLERS`.
        reason: one sentence without its end, with ``{trials}``, ``{genes}``, ``{conditional}``,
            ``{workers}`` and ``{objectives}`` to be filled in.
        trials: the budget; one that is limited by time only counts as infinite.
        genes: genes in all.
        conditional: genes that exist under a condition only.
        workers: trials at once.
        objectives: scores that are sought at once.
        options: of the sampler, beyond its defaults.
    """

    sampler: str
    reason: str
    trials: Range = ANY
    genes: Range = ANY
    conditional: Range = ANY
    workers: Range = ANY
    objectives: Range = (1, 1)
    options: Mapping[str, Any] = field(default_factory=dict)


RULES: tuple[Rule, ...] = (
    Rule(
        "tpe",
        "{objectives} objectives: of Optuna's samplers that take several it needs the fewest "
        "trials",
        objectives=(2, math.inf),
    ),
    Rule(
        "qmc",
        "{trials} trials, {workers} of them at once: nothing is learnt before most are asked for, "
        "so they are spread evenly",
        workers=(16, math.inf),
        trials=(0, 50),
    ),
    Rule(
        "gp",
        "{trials} trials of {genes} genes that are always there: a Gaussian process learns most "
        "from few trials",
        trials=(0, 100),
        genes=(0, 30),
        conditional=(0, 0),
        workers=(0, 15),
    ),
    Rule(
        "cmaes",
        "{trials} trials of {genes} genes that are always there: an evolution strategy gains on "
        "models of the past with so many",
        trials=(1000, 1_000_000_000),
        conditional=(0, 0),
    ),
    Rule("tpe", "{trials} trials of {genes} genes, {conditional} of them under a condition"),
)
"""The first that applies is taken; the last always applies to one objective."""


@dataclass(frozen=True)
class Choice:
    """A sampler that was chosen.

    Args:
        sampler: its name.
        options: its options, beyond its defaults.
        reason: why, for people.
    """

    sampler: str
    options: Mapping[str, Any]
    reason: str


def choose(
    n_trials: int | None,
    n_genes: int,
    n_conditional: int = 0,
    workers: int = 1,
    objectives: int = 1,
    noisy: bool = True,
) -> Choice:
    """The sampler for a search, by the first of `RULES` that applies.

    Args:
        n_trials: the budget; None where time alone ends the search.
        n_genes: genes in all, at least 1.
        n_conditional: how many of them exist under a condition only.
        workers: trials at once, at least 1.
        objectives: scores that are sought at once, at least 1.
        noisy: whether the same genes may score differently when tried again.

    Raises:
        ValueError: a figure is out of its range.
    """
    least = {"n_genes": 1, "n_conditional": 0, "workers": 1, "objectives": 1, "n_trials": 1}
    given = locals()
    for name, low in least.items():
        if given[name] is not None and given[name] < low:
            raise ValueError(f"{name} must be at least {low}, got {given[name]}")
    figures = {
        "trials": math.inf if n_trials is None else n_trials,
        "genes": n_genes,
        "conditional": n_conditional,
        "workers": workers,
        "objectives": objectives,
    }
    rule = next(rule for rule in RULES if _applies(rule, figures))
    options = dict(rule.options)
    if rule.sampler == "gp" and not noisy:
        options["deterministic_objective"] = True
    shown = {**figures, "trials": "an open number of" if n_trials is None else n_trials}
    return Choice(rule.sampler, options, rule.reason.format(**shown))


def _applies(rule: Rule, figures: Mapping[str, float]) -> bool:
    return all(low <= figures[name] <= high for name, (low, high) in _ranges(rule).items())


def _ranges(rule: Rule) -> dict[str, Range]:
    return {
        "trials": rule.trials,
        "genes": rule.genes,
        "conditional": rule.conditional,
        "workers": rule.workers,
        "objectives": rule.objectives,
    }
