"""The problems: tables of real trainings, their seeds as noise, and LCBench with drawn noise."""

from __future__ import annotations

from functools import cache

import numpy as np

from benchmarks.search import problems as known
from benchmarks.search.problem import Params, Problem, Scores
from benchmarks.search.problems import EPOCHS, JUDGE_TASKS, LCBENCH, TUNE_TASKS, lcbench_outputs

TABLES = ("hpobench-kc1", "hpobench-credit_g", "hpobench-vehicle")
KINDS = {"noisy": 1.0, "loud": 3.0, "quiet": 0.0}
"""Drawn noise, in units of the spread among the best tenth."""
TEST = 5
"""The surrogate's column that is scored: balanced accuracy on the test part, in percent."""
DRAWN = 2_000
"""Random configurations from which the size of the noise is read."""
TENTH = 10


def names(part: str) -> list[str]:
    """The problems of a part: ``tables``, or LCBench as ``noisy``, ``loud`` or ``quiet``."""
    if part == "tables":
        return list(TABLES)
    return [f"{part}-{task}" for task in (*TUNE_TASKS, *JUDGE_TASKS)]


@cache
def problem(name: str) -> Problem:
    """The problem of this name.

    ``hpobench-*``: an evaluation scores what one of five real trainings did, drawn; true is their
    mean. ``noisy-TASK``: LCBench's balanced accuracy after the last epoch, to which an evaluation
    adds Gaussian noise as large as the spread among the best tenth of random configurations.
    ``loud-TASK``: three times that.
    ``quiet-TASK``: no noise.
    """
    if name in TABLES:
        return known.problem(name)
    kind, _, task = name.partition("-")
    best, typical = known._reference(f"lcbench-{task}")
    size = KINDS[kind] * spread(task)

    def score(params: Params, rng: np.random.Generator) -> Scores:
        true = float(lcbench_outputs(task, [params], [EPOCHS])[0, 0, TEST])
        return true + size * float(rng.normal()), true

    return Problem(name, LCBENCH, score, best, typical, noisy=size > 0)


def seeds_of(name: str, params: Params) -> np.ndarray:
    """What the five trainings of a table's configuration scored, shape (5,)."""
    space, values = known._table(name.partition("-")[2])
    found: np.ndarray = values[tuple(params[gene] for gene in space)]
    return found


def spread(task: str) -> float:
    """Standard deviation of the true score among the best tenth of random configurations."""
    plain = Problem("", LCBENCH, lambda params, rng: (0.0, 0.0), 1.0, 0.0)
    rng = np.random.default_rng(int(task))
    found: list[Params] = [plain.random(rng) for _ in range(DRAWN)]
    scores = np.sort(lcbench_outputs(task, found, [EPOCHS])[:, 0, TEST])
    return float(scores[-DRAWN // TENTH :].std())
