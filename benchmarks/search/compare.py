"""From cells to the figures of the report: plain dictionaries, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import stats
from .cells import BUDGETS, Cell, Key
from .fingerprint import fingerprint
from .situations.situation import SITUATIONS, problem, situation_of
from .stats import Array

Cells = Mapping[str, Mapping[Key, Cell]]
"""Sampler -> (problem, seed) -> cell."""
OURS = "genetic"
Rule = Callable[[Cell, int], float | None]
"""``(cell, budget)`` -> true score of what is chosen after so many trials; None: not known."""


def by_observed(cell: Cell, budget: int) -> float | None:
    """The trial with the highest observed score."""
    return stats.chosen(cell.best, budget) if cell.trials >= budget else None


def by_recommendation(cell: Cell, budget: int) -> float | None:
    """The trial that the product recommends, by today's rule."""
    place = BUDGETS.index(budget)
    known = len(cell.recommended) > place and cell.rule == fingerprint("expectation", "finalists")
    return cell.recommended[place] if known else None


@dataclass(frozen=True)
class Shared:
    """The cells of several samplers in all of which a choice after ``budget`` trials is known.

    Args:
        samplers: the columns.
        keys: (problem, seed) of the rows.
        problems: the problem's number of each row.
        true: true scores of the chosen configurations, shape (cells, samplers).
        regret: the same as normalised regret.
    """

    samplers: tuple[str, ...]
    keys: tuple[Key, ...]
    problems: NDArray[np.int_]
    true: Array
    regret: Array


def shared(cells: Cells, samplers: Sequence[str], budget: int, rule: Rule = by_observed) -> Shared:
    """What ``samplers`` share at ``budget``; those without a cell of that many trials drop out."""
    full: dict[str, dict[Key, float]] = {
        name: {
            key: score
            for key, cell in cells[name].items()
            if (score := rule(cell, budget)) is not None
        }
        for name in samplers
    }
    names = tuple(name for name in samplers if full[name])
    keys = tuple(sorted(set.intersection(*(set(full[name]) for name in names)))) if names else ()
    true = np.array([[full[name][key] for name in names] for key in keys])
    true = true.reshape(len(keys), len(names))
    number = {name: k for k, name in enumerate(sorted({key[0] for key in keys}))}
    regret = np.array(
        [[problem(key[0]).regret(v) for v in row] for key, row in zip(keys, true, strict=True)]
    ).reshape(true.shape)
    return Shared(names, keys, np.array([number[k[0]] for k in keys], np.int_), true, regret)


def standing(part: Shared) -> dict[str, Any]:
    """Mean rank and regret of each sampler, with intervals and what tells them apart."""
    if not part.keys:
        return {"cells": 0, "problems": 0, "samplers": {}}
    rank, base = stats.ranks(part.true), stats.weights(part.problems)
    boot = stats.bootstrap(part.problems)
    means, ranks, regrets = base @ rank, boot @ rank, boot @ part.regret
    found: dict[str, Any] = {
        name: {
            "rank": float(means[k]),
            "rank_interval": stats.interval(ranks[:, k]),
            "regret": float(base @ part.regret[:, k]),
            "regret_interval": stats.interval(regrets[:, k]),
        }
        for k, name in enumerate(part.samplers)
    }
    averages = stats.means_by_problem(part.regret, part.problems)
    return {
        "cells": len(part.keys),
        "problems": len(averages),
        "samplers": dict(sorted(found.items(), key=lambda item: item[1]["rank"])),
        "friedman_p": stats.friedman(averages),
        "critical_difference": stats.critical_difference(len(part.samplers), len(averages)),
        "problem_ranks": dict(
            zip(part.samplers, stats.ranks(-averages).mean(axis=0).tolist(), strict=True)
        ),
    }


def by_problem(part: Shared) -> dict[str, dict[str, float]]:
    """Mean regret over the seeds: problem -> sampler -> regret."""
    if not part.keys:
        return {}
    names = sorted({key[0] for key in part.keys})
    rows = stats.means_by_problem(part.regret, part.problems)
    return {
        name: dict(zip(part.samplers, row.tolist(), strict=True))
        for name, row in zip(names, rows, strict=True)
    }


def against(cells: Cells, budget: int) -> dict[str, Any]:
    """Our sampler against each other one, on the cells that the two share.

    ``beaten`` says that the other is significantly better at 5%: by Wilcoxon's test over
    the problems' mean regrets or by the bootstrap of our win rate, each after Holm's
    correction over the samplers; ``beats`` is the same the other way round.
    """
    found: dict[str, Any] = {}
    if OURS not in cells:
        return found
    for name in cells:
        pair = shared(cells, [OURS, name], budget)
        if name == OURS or len(pair.samplers) < 2 or not pair.keys:
            continue
        boot, base = stats.bootstrap(pair.problems), stats.weights(pair.problems)
        wins = stats.win_rates(pair.true[:, 0], pair.true[:, 1])
        ours, theirs = pair.regret.T
        averages = stats.means_by_problem(pair.regret, pair.problems)
        value, low, high = stats.ratio(ours, theirs, pair.problems, boot)
        found[name] = {
            "cells": len(pair.keys),
            "problems": len(averages),
            "regret": float(base @ ours),
            "their_regret": float(base @ theirs),
            "ratio": value,
            "ratio_interval": (low, high),
            "win_rate": float(base @ wins),
            "win_interval": stats.interval(boot @ wins),
            "p_regret": stats.wilcoxon(averages[:, 0], averages[:, 1]),
            "p_win": stats.two_sided(boot @ wins, 0.5),
        }
    for kind in ("p_regret", "p_win"):
        adjusted = stats.holm([row[kind] for row in found.values()])
        for row, p in zip(found.values(), adjusted, strict=True):
            row[kind] = p
    for row in found.values():
        by_regret, by_wins = row["p_regret"] < 0.05, row["p_win"] < 0.05
        worse, fewer = row["regret"] > row["their_regret"], row["win_rate"] < 0.5
        row["beaten"] = (by_regret and worse) or (by_wins and fewer)
        row["beats"] = (by_regret and not worse) or (by_wins and not fewer)
    return found


def groups(cells: Cells, budget: int) -> dict[str, dict[str, Any]]:
    """Our regret over each other's, on quiet and on noisy problems and in each situation.

    Returns:
        group -> sampler -> ``cells``, ``ratio`` and ``ratio_interval``; groups that have cells.
    """
    members: dict[str, Callable[[str], bool]] = {
        "quiet": lambda name: not problem(name).noisy,
        "noisy": lambda name: problem(name).noisy,
        **{s: (lambda name, s=s: situation_of(name) == s) for s in SITUATIONS},
    }
    found = {}
    for group, holds in members.items():
        mine = {n: {k: c for k, c in own.items() if holds(k[0])} for n, own in cells.items()}
        rows = {
            name: row
            for name in mine
            if name != OURS and OURS in mine
            if (row := _over(shared(mine, [OURS, name], budget)))
        }
        if rows:
            found[group] = rows
    return found


def _over(pair: Shared) -> dict[str, Any]:
    """The ratio of the first one's mean regret to the second's; nothing where they share none."""
    if len(pair.samplers) < 2 or not pair.keys:
        return {}
    boot = stats.bootstrap(pair.problems)
    value, low, high = stats.ratio(*pair.regret.T, pair.problems, boot)
    return {"cells": len(pair.keys), "ratio": value, "ratio_interval": (low, high)}


def choices(cells: Cells, budget: int) -> dict[str, dict[str, Any]]:
    """What the product's recommendation is worth beside the choice by observed score.

    Returns:
        sampler -> ``recommended`` and ``observed``, mean regrets of the two on the same cells;
        ``over``, the ratio of them; ``ours``, our sampler's regret over this one's, both by
        recommendation. The last two are as in `groups`.
    """
    found = {}
    for name, own in cells.items():
        known = {k: c for k, c in own.items() if by_recommendation(c, budget) is not None}
        if not known:
            continue
        part = shared({name: known}, [name], budget, by_recommendation)
        seen = shared({name: known}, [name], budget)
        regret = np.hstack([part.regret, seen.regret])
        means = stats.weights(part.problems) @ regret
        peer = name != OURS and OURS in cells
        found[name] = {
            "recommended": float(means[0]),
            "observed": float(means[1]),
            "over": _over(replace(part, samplers=("recommended", "observed"), regret=regret)),
            "ours": _over(shared(cells, [OURS, name], budget, by_recommendation)) if peer else {},
        }
    return found


def best_peer(rows: Mapping[str, Any]) -> str | None:
    """The peer whose regret is the smallest multiple of ours; variants of ours don't count."""
    peers = {name: row["ratio"] for name, row in rows.items() if name.partition(":")[0] != OURS}
    return max((n for n in peers if peers[n] == peers[n]), key=lambda n: peers[n], default=None)


def to_random(cells: Cells) -> dict[str, Any]:
    """Trials until random search's result after 200 trials is reached.

    The target of a problem is the mean over the seeds of the true score that random's chosen
    configuration has after 200 trials; a run reaches it at the first budget at which its own
    chosen configuration is as good. Only problems where random still improves between 25
    and 200 trials count, by more than two standard errors over its seeds.
    """
    first, last = BUDGETS[0], BUDGETS[-1]
    seeds: dict[str, list[Cell]] = {}
    for cell in cells.get("random", {}).values():
        if cell.trials >= last:
            seeds.setdefault(cell.problem, []).append(cell)
    targets: dict[str, float] = {}
    for name, runs in sorted(seeds.items()):
        early = np.array([stats.chosen(run.best, first) for run in runs])
        late = np.array([stats.chosen(run.best, last) for run in runs])
        if stats.still_improves(early, late):
            targets[name] = float(late.mean())
    found = {}
    for name, mine in cells.items():
        by_problem: dict[str, list[float]] = {}
        for cell in mine.values():
            if cell.problem in targets:
                needed = stats.reached(cell.best, targets[cell.problem])
                by_problem.setdefault(cell.problem, []).append(needed)
        runs_ = [value for values in by_problem.values() for value in values]
        if runs_:
            found[name] = {
                "median": stats.median(runs_),
                "fraction": stats.median(runs_) / last,
                "never": float(np.mean(np.isinf(runs_))),
                "runs": len(runs_),
                "trials": max(cell.trials for cell in mine.values()),
                "problems": {key: stats.median(values) for key, values in by_problem.items()},
            }
    ordered = dict(sorted(found.items(), key=lambda item: item[1]["median"]))
    left_out = sorted(set(seeds) - set(targets))
    return {"problems": list(targets), "left_out": left_out, "samplers": ordered}


def costs(cells: Cells) -> dict[str, Any]:
    """Seconds of ask and tell: a trial's median and 95th percentile, medians over the cells."""
    return {
        name: {
            "median": float(np.median([cell.ask_tell[0] for cell in mine.values()])),
            "p95": float(np.median([cell.ask_tell[1] for cell in mine.values()])),
            "total": {
                str(budget): float(np.median(totals))
                for k, budget in enumerate(BUDGETS)
                if (totals := [c.seconds[k] for c in mine.values() if len(c.seconds) > k])
            },
        }
        for name, mine in cells.items()
    }


def compare(cells: Cells, stale: Mapping[str, int]) -> dict[str, Any]:
    """Everything the report shows.

    Args:
        cells: of all samplers.
        stale: number of cells of each sampler that are of another version.
    """
    fast = [name for name, mine in cells.items() if not any(c.slow for c in mine.values())]
    budgets = [b for b in BUDGETS if any(c.trials >= b for m in cells.values() for c in m.values())]
    return {
        "samplers": {
            name: {
                "cells": len(mine),
                "stale": stale.get(name, 0),
                "slow": name not in fast,
                "trials": max(cell.trials for cell in mine.values()),
                "versions": sorted({cell.version for cell in mine.values()}),
            }
            for name, mine in cells.items()
        },
        "all": {str(b): standing(shared(cells, list(cells), b)) for b in budgets},
        "fast": {str(b): standing(shared(cells, fast, b)) for b in budgets},
        "problems": {str(b): by_problem(shared(cells, list(cells), b)) for b in budgets},
        "against": {str(b): against(cells, b) for b in budgets},
        "groups": {str(b): groups(cells, b) for b in budgets},
        "choices": {str(b): choices(cells, b) for b in budgets},
        "to_random": to_random(cells),
        "ask_tell": costs(cells),
    }
