"""AUROC of 14 diseases: this project's against scikit-learn's, side by side.

    python -m benchmarks.metrics [LOGITS.npz] [--repeats 15]

Prints the median time of each on the same scores in the same run, their ratio, and the
largest difference; and the bootstrap beside one made of scikit-learn's AUROC, of which a few
resamples are timed. Without a file it makes 12,607 x 14 scores up. A file holds ``labels``
(n, 14), ``patient`` (n,), and any number of (n, 14) arrays of scores, of which the first is
used. Scores are timed as they are, and as float32 with distinct values, since half
precision takes a faster way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from cxrsearch.learn.metrics import auroc, bootstrap

from .measure import Spread, interleave, ratios

Array = np.ndarray[Any, Any]

RESAMPLES = 1000


def synthetic(n: int = 12_607, seed: int = 0) -> tuple[Array, Array, Array]:
    """Labels at NIH's rates, patients with two images on average, scores of AUROC near 0.76."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 14)) < np.geomspace(0.18, 0.002, 14)).astype(np.uint8)
    scores = (rng.normal(size=(n, 14)) + labels).astype(np.float16)
    return labels, scores, rng.integers(n // 2, size=n)


def read(path: Path) -> tuple[Array, Array, Array]:
    """Labels, the first array of scores, and patients of a file."""
    with np.load(path) as arrays:
        names = [k for k in arrays.files if k not in ("labels", "patient")]
        names = [k for k in names if arrays[k].shape == arrays["labels"].shape]
        if not names:
            raise SystemExit(f"{path}: no scores of the shape of labels")
        return arrays["labels"], arrays[names[0]], arrays["patient"]


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Comparison:
    """Ours beside scikit-learn's.

    Args:
        seconds: ours and theirs, one a round each.
        difference: the largest between the values; NaN where they are random.
    """

    seconds: tuple[list[float], list[float]]
    difference: float

    @property
    def ratio(self) -> Spread:
        """How much faster ours is."""
        return ratios(self.seconds[1], self.seconds[0])


def against(labels: Array, scores: Array, repeats: int) -> Comparison:
    """Time both in turns, so that a slow moment of the machine meets both."""
    judged = (labels.min(axis=0) == 0) & (labels.max(axis=0) == 1)
    labels, scores = labels[:, judged], np.ascontiguousarray(scores[:, judged])
    calls: dict[str, Callable[[], Any]] = {
        "ours": lambda: auroc(labels, scores),
        "theirs": lambda: roc_auc_score(labels, scores, average=None),
    }
    error = float(abs(calls["ours"]() - calls["theirs"]()).max())
    took = interleave({k: lambda c=c: seconds(c) for k, c in calls.items()}, repeats)  # type: ignore[misc]
    return Comparison((took["ours"], took["theirs"]), error)


def naive_bootstrap(
    labels: Array, scores: Array, patients: Array, resamples: int, rounds: int
) -> Comparison:
    """`RESAMPLES` resamples of patients with ours, and with a loop over scikit-learn's AUROC.

    Args:
        labels: (n, 14).
        scores: (n, 14).
        patients: (n,).
        resamples: of the loop that are timed; the rest is extrapolated.
        rounds: of both.
    """
    rows = [np.flatnonzero(patients == who) for who in np.unique(patients)]
    rng = np.random.default_rng(0)

    def loop() -> None:
        for _ in range(resamples):
            drawn = np.concatenate([rows[i] for i in rng.integers(len(rows), size=len(rows))])
            truth, given = labels[drawn], scores[drawn]
            both = (truth.min(axis=0) == 0) & (truth.max(axis=0) == 1)
            roc_auc_score(truth[:, both], given[:, both], average=None)

    calls = {
        "ours": lambda: seconds(lambda: bootstrap(labels, scores, patients, RESAMPLES)),
        "theirs": lambda: seconds(loop) * RESAMPLES / resamples,
    }
    took = interleave(calls, rounds)
    return Comparison((took["ours"], took["theirs"]), float("nan"))


def show(name: str, labels: Array, scores: Array, repeats: int) -> None:
    """One line: both times, their ratio, the largest difference."""
    found = against(labels, scores, repeats)
    ours, theirs = (1000 * Spread.of(column).median for column in found.seconds)
    print(
        f"{name:<22} ours {ours:7.2f} ms   scikit-learn {theirs:7.2f} ms   "
        f"ratio {found.ratio.median:5.1f}   largest difference {found.difference:.1e}"
    )


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    labels, scores, patients = read(options.file) if options.file else synthetic()
    print(f"{labels.shape[0]} x {labels.shape[1]}, medians of {options.repeats}")
    show(f"as it is ({scores.dtype})", labels, scores, options.repeats)
    distinct = scores + np.random.default_rng(0).uniform(0, 1e-3, scores.shape)
    show("distinct, float32", labels, distinct.astype(np.float32), options.repeats)
    show("distinct, float64", labels, distinct.astype(np.float64), options.repeats)
    found = naive_bootstrap(labels, scores, patients, 5, 1)
    print(
        f"bootstrap, {RESAMPLES} resamples of patients: {found.seconds[0][0]:.2f} s, "
        f"{found.ratio.median:.0f} times as fast as scikit-learn's AUROC in a loop"
    )


if __name__ == "__main__":
    main()
