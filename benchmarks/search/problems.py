"""The problems that samplers are compared on; half for tuning, half for judging only."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution

from .problem import Params, Problem, Scores
from .synthetic import JUDGE, TUNE, make

DATA = Path(
    os.environ.get("HPO_BENCHMARKS", Path(__file__).parents[3] / "shared" / "hpo-benchmarks")
).resolve()
"""Where ``lcbench/`` (the ONNX surrogate) and ``hpobench-nn/`` (the tables) lie."""

TUNE_TASKS = ("3945", "126025", "146212", "167152", "167181", "168329", "168908", "189865")
JUDGE_TASKS = ("7593", "126026", "167104", "167161", "167185", "168330", "168910", "189873")
"""LCBench tasks by OpenML number. Of the other 19 six were used beside the tuning half when the
sampler's settings were chosen (34539, 167149, 167184, 168331, 168868, 189905); the rest are looked
at by nobody.
"""
TUNE_TABLES = ("kc1",)
JUDGE_TABLES = ("credit_g", "vehicle")


@dataclass(frozen=True)
class Curve:
    """One training run of LCBench.

    Args:
        seconds: since its start at the end of each epoch, shape (epochs,).
        validation: balanced accuracy in percent after each epoch, shape (epochs,).
        test: the same on the test part, shape (epochs,).
    """

    seconds: np.ndarray
    validation: np.ndarray
    test: np.ndarray


LCBENCH: dict[str, BaseDistribution] = {
    "batch_size": IntDistribution(16, 512, log=True),
    "learning_rate": FloatDistribution(1e-4, 0.1, log=True),
    "momentum": FloatDistribution(0.1, 0.99),
    "weight_decay": FloatDistribution(1e-5, 0.1),
    "num_layers": IntDistribution(1, 5),
    "max_units": IntDistribution(64, 1024, log=True),
    "max_dropout": FloatDistribution(0.0, 1.0),
}
"""The genes of LCBench, in the order in which its surrogate takes them after the epoch."""
EPOCHS = 52


@cache
def _session() -> tuple[Any, dict[str, int]]:
    import onnxruntime

    folder = DATA / "lcbench"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
    return session, json.loads((folder / "encoding.json").read_text())["OpenML_task_id"]


def lcbench_outputs(task: str, configurations: list[Params], epochs: list[int]) -> np.ndarray:
    """The surrogate's outputs, shape (configurations, epochs, 6), see DESIGN for the columns."""
    session, codes = _session()
    rows = [
        [e, *(float(params[name]) for name in LCBENCH)] for params in configurations for e in epochs
    ]
    inputs = {
        "x_cat": np.full((len(rows), 1), codes[task], np.int32),
        "x_cont": np.asarray(rows, np.float32),
    }
    found = np.asarray(session.run(None, inputs)[0], np.float64)
    return found.reshape(len(configurations), len(epochs), 6)


def lcbench_curve(task: str, params: Params) -> Curve:
    """All 52 epochs of one configuration. ``seconds`` never falls."""
    out = lcbench_outputs(task, [params], list(range(1, EPOCHS + 1)))[0]
    return Curve(np.maximum.accumulate(np.maximum(out[:, 0], 1e-3)), out[:, 3], out[:, 5])


def _lcbench(task: str) -> Problem:
    def score(params: Params, rng: np.random.Generator) -> Scores:
        out = lcbench_outputs(task, [params], [EPOCHS])[0, 0]
        return float(out[3]), float(out[5])

    name = f"lcbench-{task}"
    best, typical = _reference(name)
    return Problem(name, LCBENCH, score, best, typical)


@cache
def _table(name: str) -> tuple[dict[str, list[float]], np.ndarray]:
    folder = DATA / "hpobench-nn"
    space = json.loads((folder / "space.json").read_text())["search_space"]
    return space, np.load(folder / f"{name}.npz")["values"].astype(np.float64)


def _hpobench(table: str, depth: int | None = None) -> Problem:
    """A table, or the part of it with networks of ``depth`` hidden layers."""
    space, values = _table(table)
    if depth is not None:
        values = values.take(space["depth"].index(depth), axis=list(space).index("depth"))
        space = {name: levels for name, levels in space.items() if name != "depth"}
    means = values.mean(axis=-1)

    def score(params: Params, rng: np.random.Generator) -> Scores:
        place = tuple(params[name] for name in space)
        return float(values[place][rng.integers(values.shape[-1])]), float(means[place])

    # Numbers on a grid: the index is the gene, so that every sampler sees an ordered one.
    genes = {name: IntDistribution(0, len(levels) - 1) for name, levels in space.items()}
    return Problem(
        f"hpobench-{table}" + (f"-depth{depth}" if depth else ""),
        genes,
        score,
        float(means.max()),
        float(np.median(means)),
        noisy=True,
    )


REFERENCE = Path(__file__).with_name("reference.json")
"""Best and typical true scores of the LCBench tasks; made by `reference.py`."""


@cache
def _references() -> dict[str, list[float]]:
    found: dict[str, list[float]] = json.loads(REFERENCE.read_text())
    return found


def _reference(name: str) -> tuple[float, float]:
    best, typical = _references()[name]
    return best, typical


def half(which: str) -> dict[str, Callable[[], Problem]]:
    """The problems of a half, ``"tune"`` or ``"judge"``: name -> a function that makes it."""
    tasks, tables, drawn = {
        "tune": (TUNE_TASKS, TUNE_TABLES, TUNE),
        "judge": (JUDGE_TASKS, JUDGE_TABLES, JUDGE),
    }[which]
    found: dict[str, Callable[[], Problem]] = {}
    found |= {f"lcbench-{task}": (lambda t=task: _lcbench(t)) for task in tasks}
    found |= {f"hpobench-{table}": (lambda t=table: _hpobench(t)) for table in tables}
    found |= {name: (lambda n=name: make(n)) for name in drawn}
    return found


DEPTHS = (1, 2, 3)
"""Hidden layers of a table's networks."""


@cache
def problem(name: str) -> Problem:
    """The problem of this name, of either half; ``hpobench-kc1-depth2`` is a part of a table."""
    table, _, depth = name.removeprefix("hpobench-").rpartition("-depth")
    if table in (*TUNE_TABLES, *JUDGE_TABLES) and depth in map(str, DEPTHS):
        return _hpobench(table, int(depth))
    return {**half("tune"), **half("judge")}[name]()
