"""Writes reference.json: the best and the typical true score of each LCBench task.

The best is the highest test balanced accuracy among 40,000 random configurations and the
neighbours that a hill climb from the best 200 of them finds. Run once:
``python -m benchmarks.search.reference``.
"""

from __future__ import annotations

import json

import numpy as np

from search.space.unit import from_unit

from .problems import EPOCHS, JUDGE_TASKS, LCBENCH, REFERENCE, TUNE_TASKS, lcbench_outputs


def scores(task: str, units: np.ndarray) -> np.ndarray:
    """True scores of configurations given in the unit cube, shape (n,)."""
    found = []
    for part in np.array_split(units, max(1, len(units) // 5000)):
        rows = [
            {n: from_unit(d, float(u)) for (n, d), u in zip(LCBENCH.items(), row, strict=True)}
            for row in part
        ]
        found.append(lcbench_outputs(task, rows, [EPOCHS])[:, 0, 5])
    return np.concatenate(found)


def reference(task: str) -> tuple[float, float]:
    """(best, median) true score."""
    rng = np.random.default_rng(int(task))
    units = rng.random((40_000, len(LCBENCH)))
    values = scores(task, units)
    typical, step = float(np.median(values)), 0.2
    order = np.argsort(values)[::-1][:200]
    top, best = units[order], values[order]
    while step > 0.004:
        near = top[:, None] + rng.normal(0, step, (len(top), 40, top.shape[1]))
        # The ends of a range are where many of the best recipes lie.
        ends = np.where(rng.random(near.shape) < 0.15, np.round(near), near)
        masked = np.where(rng.random(near.shape) < 0.4, np.clip(ends, 0, 1), top[:, None])
        found = scores(task, masked.reshape(-1, top.shape[1])).reshape(len(top), -1)
        better = found.max(axis=1) > best
        pick = found.argmax(axis=1)
        top[better] = masked[better, pick[better]]
        best[better] = found.max(axis=1)[better]
        step *= 0.9
    return float(best.max()), typical


def main() -> None:
    """All tasks of both halves."""
    # Only these two numbers a task are kept: they scale the regret and steer nothing.
    found = {f"lcbench-{task}": reference(task) for task in (*TUNE_TASKS, *JUDGE_TASKS)}
    REFERENCE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
