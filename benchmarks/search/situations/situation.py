"""Situations, and the problems in them: ``PROBLEM+SITUATION`` is a problem of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution, IntDistribution

from benchmarks.search import problems
from benchmarks.search.fingerprint import fingerprint
from benchmarks.search.problem import Params, Problem, Scores, noise
from benchmarks.search.problems import DEPTHS, EPOCHS, lcbench_curve
from benchmarks.search.replay import Training
from search.space import SearchSpace
from search.space.gene import Gene
from search.trials.halving import Halving, default_halving

from . import drawing

KILLED = 0.1
"""Share of the trials that the machine ends, somewhere on their way."""
LENGTH = "length"
"""The gene that holds a trial's number of epochs, where trials differ."""
SHORTEST = EPOCHS // 4


@dataclass(frozen=True)
class Situation:
    """What a search meets beside its problem.

    Args:
        points: draws its known-good points.
        failures: whether recipes run out of memory, and the machine ends trials.
        noise: whether scores are noisy, by the spread of the best tenth of recipes.
        halving: whether trials report every epoch, and the product stops them early.
        lengths: whether trials have different numbers of epochs, by a gene.
    """

    points: Callable[[Problem, np.random.Generator], list[drawing.Drawn]] | None = None
    failures: bool = False
    noise: bool = False
    halving: bool = False
    lengths: bool = False


SITUATIONS = {
    "copies": Situation(points=drawing.copies),
    "misleading": Situation(points=drawing.misleading),
    "failures": Situation(failures=True),
    "noise": Situation(noise=True),
    "seeds": Situation(),
    "halving": Situation(halving=True),
    "lengths": Situation(halving=True, lengths=True),
    "all": Situation(drawing.copies, failures=True, noise=True, halving=True),
}
"""By name. ``seeds`` is a table of real trainings as it is, whose seeds are noise enough."""

MIXED = {
    "tune": ("lcbench-3945", "lcbench-168329", "hpobench-kc1", "rastrigin-mixed", "models-two"),
    "judge": (
        "lcbench-7593", "lcbench-167104", "hpobench-credit_g", "griewank-mixed", "models-three",
    ),
}  # fmt: skip
"""One of each kind, for what any problem may have."""
CELLS = {
    "tune": {
        **dict.fromkeys(("copies", "misleading", "failures"), MIXED["tune"]),
        "noise": ("lcbench-126025", "models-two"),
        "seeds": tuple(f"hpobench-kc1-depth{depth}" for depth in DEPTHS),
        "halving": ("lcbench-126025", "lcbench-146212", "lcbench-167181", "lcbench-168908"),
        "lengths": ("lcbench-3945", "lcbench-168329"),
        "all": ("lcbench-126025", "lcbench-168908"),
    },
    "judge": {
        **dict.fromkeys(("copies", "misleading", "failures"), MIXED["judge"]),
        "noise": ("lcbench-126026", "models-three"),
        "seeds": tuple(
            f"hpobench-{table}-depth{depth}" for table in ("credit_g", "vehicle")
            for depth in DEPTHS
        ),
        "halving": ("lcbench-126026", "lcbench-167161", "lcbench-167185", "lcbench-168330"),
        "lengths": ("lcbench-168910", "lcbench-189873"),
        "all": ("lcbench-167161", "lcbench-168330"),
    },
}  # fmt: skip
"""The problems of each situation, by half. Most of the noisy ones are tables."""


@dataclass(frozen=True)
class Situated(Problem):
    """A problem in a situation. What is drawn for it comes from its name, points from the seed too.

    Args:
        base: the problem.
        situation: in which.
        whole: ``(active params, generator) -> training`` that nothing ends early.
        fails: whether a recipe runs out of memory.
    """

    base: Problem = field(kw_only=True)
    situation: Situation = field(kw_only=True)
    whole: Callable[[Params, np.random.Generator], Training] = field(kw_only=True)
    fails: Callable[[Params], bool] = field(kw_only=True)

    @property
    def halving(self) -> Halving | None:
        """Who is stopped early: what the product does by default."""
        here = self.situation
        return default_halving(EPOCHS, length=self.length) if here.halving else None

    def space(self, seed: int) -> SearchSpace:
        """The search space of a user, with the known-good points of the search ``seed``."""
        draw = self.situation.points
        rng = np.random.default_rng([crc32(self.name.encode()), seed, 1])
        points = draw(self.base, rng) if draw else []
        return space_of(self, [self.base.active(params) for params in points])

    def train(self, params: Params, seed: int, number: int) -> Training:
        """How trial ``number`` of the search ``seed`` goes, if nobody stops it."""
        found = self.whole(self.active(params), noise(self.name, seed, number))
        if self.fails(params):
            return found._replace(reports=(), failure="out of memory")
        rng = np.random.default_rng([crc32(self.name.encode()), seed, number, 2])
        if self.situation.failures and rng.random() < KILLED:
            left = found.reports[: int(rng.random() * len(found.reports))]
            return found._replace(reports=left, failure="killed")
        return found

    def signature(self) -> str:
        """What the cells of this problem rest on, beside its genes and scores."""
        rng = np.random.default_rng(0)
        trainings = [self.train(self.random(rng), 0, number) for number in range(20)]
        rules = [
            fingerprint("trials.halving", "goes_on"), fingerprint("trials.pausing", "promotable"),
        ]  # fmt: skip
        return repr((self.space(0).fingerprint, trainings, self.halving, rules))


def space_of(problem: Problem, points: list[drawing.Drawn]) -> SearchSpace:
    """The genes of ``problem`` as a search space, with known-good points."""
    genes = {}
    for name, dist in problem.distributions.items():
        parent, values = problem.conditions.get(name, (None, ()))
        genes[name] = Gene(name, dist, {parent: values} if parent else {}).to_dict()
    named = [{"name": f"point {k}", "params": params} for k, params in enumerate(points, 1)]
    return SearchSpace.from_dict({"genes": genes, "points": named}, problem.name)


def half(which: str) -> list[str]:
    """The names of the problems in situations of a half, ``"tune"`` or ``"judge"``."""
    return [f"{base}+{name}" for name, bases in CELLS[which].items() for base in bases]


@cache
def problem(name: str) -> Problem:
    """The problem ``name`` of either half, plain or in a situation."""
    base, plus, situation = name.partition("+")
    found = problems.problem(base)
    return situated(found, situation) if plus else found


def situation_of(name: str) -> str:
    """The situation of the problem ``name``; ``""`` for a plain one."""
    return name.partition("+")[2]


def situated(base: Problem, name: str) -> Situated:
    """The problem ``base`` in the situation ``name``."""
    here, full = SITUATIONS[name], f"{base.name}+{name}"
    rng = np.random.default_rng(crc32(full.encode()))
    sd = drawing.spread(base, rng) if here.noise else 0.0
    fails = drawing.failing(base, rng) if here.failures else _never
    curved = partial(_curved, base.name.removeprefix("lcbench-"), sd)
    whole = curved if here.halving else partial(_ended, base, sd)
    genes: dict[str, BaseDistribution] = dict(base.distributions)
    if here.lengths:
        genes[LENGTH] = IntDistribution(SHORTEST, EPOCHS)

    def score(params: Params, rng: np.random.Generator) -> Scores:
        found = whole(params, rng)
        return found.value, found.true

    found = Situated(
        full,
        genes,
        score,
        base.best,
        base.typical,
        base.conditions,
        base.noisy or here.noise,
        length=LENGTH if here.lengths else None,
        base=base,
        situation=here,
        whole=whole,
        fails=fails,
    )
    return replace(found, told=space_of(found, []).distributions())


def _never(params: Params) -> bool:
    return False


def _ended(base: Problem, sd: float, params: Params, rng: np.random.Generator) -> Training:
    observed, true = base.evaluate(params, rng)
    return Training((), observed + sd * float(rng.normal()), true)


def _curved(task: str, sd: float, params: Params, rng: np.random.Generator) -> Training:
    curve = lcbench_curve(task, params)
    epochs = int(params.get(LENGTH, EPOCHS))
    seen = shortened(curve.validation, epochs)
    seen = seen + sd * rng.normal(size=epochs)
    return Training(seen.tolist(), float(seen[-1]), float(curve.test[epochs - 1]))


def shortened(curve: np.ndarray, epochs: int) -> np.ndarray:
    """A training curve as a schedule of fewer epochs would have it, shape (epochs,).

    A model, since LCBench has one schedule only: the short training goes through the same phases
    as the long one and ends where the long one stands after as many epochs.

    Args:
        curve: of the long training, by epoch.
        epochs: of the short one.
    """
    share = np.arange(1, epochs + 1) / epochs
    phases = np.interp(share * len(curve), np.arange(1, len(curve) + 1), curve)
    return np.asarray(phases - (curve[-1] - curve[epochs - 1]) * share, np.float64)
