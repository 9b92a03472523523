"""Problems of two objectives: what a recipe scores against what it costs.

LCBench's tasks (balanced accuracy on validation against the logarithm of the seconds of 52
epochs), and test functions from the literature (Zitzler, Deb and Thiele, "Comparison of
Multiobjective Evolutionary Algorithms", 2000; Deb et al., "Scalable Test Problems for
Evolutionary Multiobjective Optimization", 2005) over mixed and conditional genes. None has noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search.space.unit import from_unit, to_unit

from .problem import Params
from .problems import EPOCHS, JUDGE_TASKS, LCBENCH, TUNE_TASKS, lcbench_outputs

DRAWS = 1000
"""Random configurations whose worst values are the reference point of a problem."""
MIXED: dict[str, BaseDistribution] = {
    "trade": FloatDistribution(0.0, 1.0),
    "rate": FloatDistribution(1e-5, 1e-1, log=True),
    "decay": FloatDistribution(1e-6, 1e-2, log=True),
    "depth": IntDistribution(1, 9),
    "width": IntDistribution(8, 512, log=True),
    "shift": FloatDistribution(-1.0, 2.0),
    "kind": CategoricalDistribution(["a", "b", "c", "d"]),
}
MODELS: dict[str, BaseDistribution] = {
    "trade": FloatDistribution(0.0, 1.0),
    "model": CategoricalDistribution(["one", "two"]),
    "one_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "one_depth": IntDistribution(1, 6),
    "two_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "two_width": IntDistribution(8, 512, log=True),
    "two_shift": FloatDistribution(-1.0, 2.0),
}
Values = tuple[float, float]


@dataclass(frozen=True)
class FrontProblem:
    """One problem of two objectives.

    Args:
        name: unique.
        distributions: the genes by name, parents before the genes that depend on them.
        values: what a configuration's active genes come to.
        directions: of the two values.
        conditions: ``gene -> (parent, values of the parent that switch it on)``.
    """

    name: str
    distributions: Mapping[str, BaseDistribution]
    values: Callable[[Params], Values]
    directions: tuple[str, str] = ("minimize", "minimize")
    conditions: Mapping[str, tuple[str, tuple[Any, ...]]] = field(default_factory=dict)

    def random(self, rng: np.random.Generator) -> dict[str, Any]:
        """The active genes of a configuration drawn uniformly."""
        params: dict[str, Any] = {}
        for name, dist in self.distributions.items():
            parent, on = self.conditions.get(name, (None, ()))
            value = from_unit(dist, rng.random())
            if parent is None or params.get(parent) in on:
                params[name] = value
        return params


def _lcbench(task: str) -> FrontProblem:
    def values(params: Params) -> Values:
        out = lcbench_outputs(task, [dict(params)], [EPOCHS])[0, 0]
        return float(out[3]), math.log(max(float(out[0]), 1e-3))

    return FrontProblem(f"lcbench-{task}", LCBENCH, values, ("maximize", "minimize"))


def zdt1(trade: float, g: float) -> float:
    """Convex front."""
    return g * (1 - math.sqrt(trade / g))


def zdt2(trade: float, g: float) -> float:
    """Concave front."""
    return g * (1 - (trade / g) ** 2)


def zdt3(trade: float, g: float) -> float:
    """Front in five pieces."""
    return g * (1 - math.sqrt(trade / g) - trade / g * math.sin(10 * math.pi * trade))


def _zdt(
    name: str, genes: Mapping[str, BaseDistribution], shape: Callable[[float, float], float]
) -> FrontProblem:
    far, conditions = _distance(name, genes)

    def values(params: Params) -> Values:
        trade = float(params["trade"])
        return trade, shape(trade, 1 + 9 * far(params))

    return FrontProblem(name, genes, values, conditions=conditions)


def _dtlz2(name: str, genes: Mapping[str, BaseDistribution]) -> FrontProblem:
    """A quarter of a circle."""
    far, conditions = _distance(name, genes)

    def values(params: Params) -> Values:
        angle, radius = float(params["trade"]) * math.pi / 2, 1 + 4 * far(params)
        return radius * math.cos(angle), radius * math.sin(angle)

    return FrontProblem(name, genes, values, conditions=conditions)


Conditions = dict[str, tuple[str, tuple[Any, ...]]]


def _distance(
    name: str, genes: Mapping[str, BaseDistribution]
) -> tuple[Callable[[Params], float], Conditions]:
    """How far a configuration's other genes lie from the front, 0 to about 1, and conditions."""
    rng = np.random.default_rng(crc32(name.encode()))
    best = {n: float(rng.uniform(0.15, 0.85)) for n in genes}
    costs = {
        n: dict(zip(d.choices, np.append(0.0, rng.uniform(0.1, 0.6, len(d.choices))), strict=False))
        for n, d in genes.items()
        if isinstance(d, CategoricalDistribution)
    }
    models = genes["model"].choices if "model" in genes else ()  # type: ignore[attr-defined]
    conditions = {n: ("model", (m,)) for m in models for n in genes if n.startswith(f"{m}_")}

    def far(params: Params) -> float:
        parts = [
            costs[n][v] if n in costs else abs(to_unit(genes[n], v) - best[n])
            for n, v in params.items()
            if n != "trade"
        ]
        return float(np.mean(parts))

    return far, conditions


DRAWN: dict[str, Callable[[], FrontProblem]] = {
    "zdt1-mixed": lambda: _zdt("zdt1-mixed", MIXED, zdt1),
    "zdt2-models": lambda: _zdt("zdt2-models", MODELS, zdt2),
    "zdt3-mixed": lambda: _zdt("zdt3-mixed", MIXED, zdt3),
    "dtlz2-models": lambda: _dtlz2("dtlz2-models", MODELS),
}
HALVES = {
    "tune": [*(f"lcbench-{task}" for task in TUNE_TASKS), "zdt1-mixed", "zdt2-models"],
    "judge": [*(f"lcbench-{task}" for task in JUDGE_TASKS), "zdt3-mixed", "dtlz2-models"],
}
"""Names of the problems to tune on, and of those for judging only."""


@cache
def front_problem(name: str) -> FrontProblem:
    """The problem of this name."""
    return DRAWN[name]() if name in DRAWN else _lcbench(name.removeprefix("lcbench-"))


@cache
def reference(name: str) -> tuple[float, ...]:
    """The worst value of each objective over random configurations: where volumes end."""
    problem, rng = front_problem(name), np.random.default_rng(crc32(name.encode()))
    drawn = np.array([problem.values(problem.random(rng)) for _ in range(DRAWS)])
    ends = [
        column.min() if way == "maximize" else column.max()
        for column, way in zip(drawn.T, problem.directions, strict=True)
    ]
    return tuple(float(end) for end in ends)
