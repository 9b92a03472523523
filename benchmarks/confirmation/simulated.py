"""Simulated reruns, of which the truth is known: does an interval hold it as often as it says?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

from benchmarks.search.tables import Grid
from search.confirm.race import next_rerun, surely_worse
from search.confirm.reruns import Rerun
from search.confirm.result import Parts, confirmed


@dataclass(frozen=True)
class World:
    """Finalists whose scores have the luck of patients, splits and seeds.

    Args:
        worth: of each finalist on new patients.
        seeds: standard deviation of a training's luck.
        splits: of a round's, the same for all finalists.
        patients: in train + validation.
        judged: of them, in a round's validation part.
        common: standard deviation over patients of how hard one is for every finalist.
        own: of how hard it is for one finalist beyond that.
    """

    worth: tuple[float, ...] = (0.70, 0.70, 0.69, 0.66)
    seeds: float = 0.01
    splits: float = 0.004
    patients: int = 400
    judged: int = 80
    common: float = 0.2
    own: float = 0.1

    @property
    def doubt(self) -> float:
        """Standard error over patients of the difference of two finalists in a round."""
        return math.sqrt(2 * self.own**2 / self.judged)


@dataclass(frozen=True)
class Seen:
    """What one simulated confirmation came to.

    Args:
        away: its value minus the chosen one's worth.
        held: whether the interval holds the chosen one's worth.
        together: whether all intervals of differences hold theirs.
        width: of the interval.
        dropped: whether the race dropped the truly best at some time.
        lost: how much worse the chosen one is than the best.
    """

    away: float
    held: bool
    together: bool
    width: float
    dropped: bool
    lost: float


def confirm(world: World, total: int, known: bool, rng: np.random.Generator) -> Seen:
    """One confirmation of ``total`` reruns.

    Args:
        world: what is true.
        total: reruns.
        known: whether race and result know what the patients add.
        rng: where all luck comes from.
    """
    count = len(world.worth)
    common = rng.normal(0, world.common, world.patients)
    own = rng.normal(0, world.own, (count, world.patients))
    rounds = [rng.permutation(world.patients)[: world.judged] for _ in range(total)]
    easy = rng.normal(0, world.splits, total)
    psi: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    done: list[Rerun] = []
    doubt = (lambda a, b: world.doubt) if known else None
    best = int(np.argmax(world.worth))
    dropped = False
    while pair := next_rerun(range(count), done, total, doubt):
        n, r = pair
        each = (common + own[n])[rounds[r]]
        value = world.worth[n] + each.mean() + easy[r] + rng.normal(0, world.seeds)
        psi[len(done)] = rounds[r], (each - each.mean()) / world.judged
        done.append(Rerun(len(done), n, r, float(value)))
        dropped = dropped or best in surely_worse(range(count), done, doubt)
    parts: Parts = lambda rerun, step: psi[rerun.number]  # noqa: E731
    found = confirmed(range(count), done, parts if known else None, world.judged / world.patients)
    assert found is not None
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    truth = world.worth[found.number]
    together = all(
        low <= truth - world.worth[other] <= high
        for other, (_, low, high) in found.differences.items()
    )
    return Seen(
        found.value - truth, found.low <= truth <= found.high, together, found.high - found.low,
        dropped, max(world.worth) - truth,
    )  # fmt: skip


def table(runs: int) -> Grid:
    """Coverage over seeds' luck, numbers of reruns, and whether the patients are known."""
    rows = [
        [
            f"{seeds:g}", str(total), "yes" if known else "no", *_summary(
                [confirm(World(seeds=seeds), total, known, _rng(seeds, total, run))
                 for run in range(runs)]
            ),
        ]
        for seeds, total, known in _settings()
    ]  # fmt: skip
    columns = (
        "luck of a seed", "reruns", "patients known", "value minus truth", "95% interval holds",
        "differences hold", "width", "best dropped", "lost",
    )  # fmt: skip
    return Grid(f"Simulated confirmations, {runs} each", columns, rows)


def _settings() -> Iterator[tuple[float, int, bool]]:
    yield from product((0.002, 0.01, 0.03), (10, 20), (True, False))


def _rng(seeds: float, total: int, run: int) -> np.random.Generator:
    return np.random.default_rng([round(1e4 * seeds), total, run])


def _summary(seen: list[Seen]) -> list[str]:
    def share(values: list[bool]) -> str:
        mean = float(np.mean(values))
        return f"{mean:.1%} +- {1.96 * math.sqrt(mean * (1 - mean) / len(values)):.1%}"

    away = [one.away for one in seen]
    return [
        f"{np.mean(away):.4f} +- {1.96 * np.std(away) / math.sqrt(len(away)):.4f}",
        share([one.held for one in seen]),
        share([one.together for one in seen]),
        f"{np.mean([one.width for one in seen]):.4f}",
        f"{np.mean([one.dropped for one in seen]):.1%}",
        f"{np.mean([one.lost for one in seen]):.4f}",
    ]
