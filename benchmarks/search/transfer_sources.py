"""What the warm searches of `transfer` start from: earlier studies of several kinds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any
from zlib import crc32

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from search.genetic import GeneticSampler
from search.space.unit import from_unit, to_unit

from .problem import Params, Scores
from .problems import LCBENCH, problem

EARLIER_TRIALS = 100
EARLIER_SEEDS = 4
Score = Callable[[Params], Scores]


def searched(score: Score, seed: int, trials: int, sampler: Any = None) -> optuna.Study:
    """A genetic search that maximises the observed score; its trials keep the true one."""
    study = optuna.create_study(direction="maximize", sampler=sampler or genetic(seed))
    for _ in range(trials):
        trial = study.ask(LCBENCH)
        observed, true = score(trial.params)
        trial.set_user_attr("true", true)
        study.tell(trial, observed)
    return study


def genetic(seed: int) -> GeneticSampler:
    """The sampler under test."""
    return GeneticSampler(seed=seed, space=LCBENCH)


def task_score(task: str) -> Score:
    """Observed and true score of an LCBench task."""
    rng = np.random.default_rng(0)  # LCBench has no noise
    return lambda params: problem(f"lcbench-{task}").evaluate(params, rng)


@cache
def _other_task(task: str, seed: int) -> optuna.Study:
    return searched(task_score(task), 1000 + seed, EARLIER_TRIALS)


@cache
def _opposed(task: str, seed: int) -> optuna.Study:
    """The same task, searched for its worst."""
    score = task_score(task)
    return searched(lambda p: (-score(p)[0], -score(p)[1]), 2000 + seed, EARLIER_TRIALS)


@cache
def _far_off(seed: int) -> optuna.Study:
    """A bowl over the same genes, its bottom at a drawn place."""
    rng = np.random.default_rng(seed)
    bottom = {name: float(rng.random()) for name in LCBENCH}

    def score(params: Params) -> Scores:
        value = -sum((to_unit(d, params[n]) - bottom[n]) ** 2 for n, d in LCBENCH.items())
        return value, value

    return searched(score, 3000 + seed, EARLIER_TRIALS)


@cache
def _scrambled(seed: int) -> optuna.Study:
    """Random configurations with random scores."""
    rng = np.random.default_rng(seed)
    sampler = optuna.samplers.RandomSampler(seed=seed)
    return searched(lambda p: (float(rng.random()), 0.0), seed, EARLIER_TRIALS, sampler)


@cache
def _other_space(task: str, seed: int) -> optuna.Study:
    """The same task with two genes fixed and learning rates of the lower half only."""
    fixed = {name: from_unit(LCBENCH[name], 0.5) for name in ("momentum", "num_layers")}
    space: dict[str, BaseDistribution] = {n: d for n, d in LCBENCH.items() if n not in fixed}
    space["learning_rate"] = FloatDistribution(1e-4, 3e-3, log=True)
    score = task_score(task)
    study = optuna.create_study(
        direction="maximize", sampler=GeneticSampler(seed=4000 + seed, space=space)
    )
    for _ in range(EARLIER_TRIALS):
        trial = study.ask(space)
        study.tell(trial, score({**fixed, **trial.params})[0])
    return study


def _others(count: int) -> Callable[[str, int, tuple[str, ...]], list[optuna.Study]]:
    def studies(task: str, seed: int, tasks: tuple[str, ...]) -> list[optuna.Study]:
        rng = Random(f"{task} {seed} {count}")
        drawn = rng.sample([t for t in tasks if t != task], count)
        return [_other_task(t, rng.randrange(EARLIER_SEEDS)) for t in drawn]

    return studies


KINDS: dict[str, Callable[[str, int, tuple[str, ...]], list[optuna.Study]]] = {
    "same task, other space": lambda task, seed, _: [_other_space(task, seed % EARLIER_SEEDS)],
    "1 other task": _others(1),
    "3 other tasks": _others(3),
    "7 other tasks": _others(7),
    "unrelated: random scores": lambda task, seed, _: [_scrambled(_drawn(task, seed))],
    "unrelated: 3 bowls": lambda task, seed, _: [_far_off(_drawn(task, seed, k)) for k in range(3)],
    "opposed: the worst of the task": lambda task, seed, _: [_opposed(task, seed % EARLIER_SEEDS)],
}
"""What a warm search starts from, by name: ``(task, seed, tasks of the half) -> studies``."""


def _drawn(*parts: Any) -> int:
    return crc32(repr(parts).encode())
