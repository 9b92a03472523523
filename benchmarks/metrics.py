"""AUROC of 14 diseases: this project's against scikit-learn's, side by side.

    python -m benchmarks.metrics [LOGITS.npz] [--repeats 15]

Prints the median time of each on the same scores in the same run, their ratio, and the
largest difference. Without a file it makes 12,607 x 14 scores up. A file holds ``labels``
(n, 14), ``patient`` (n,), and any number of (n, 14) arrays of scores, of which the first is
used. Scores are timed as they are, and as float32 with distinct values, since half
precision takes a faster way.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from cxrsearch.learn.metrics import auroc, bootstrap

Array = np.ndarray[Any, Any]


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


def compare(name: str, labels: Array, scores: Array, repeats: int) -> None:
    """Time both in turns, so that a slow moment of the machine meets both."""
    judged = (labels.min(axis=0) == 0) & (labels.max(axis=0) == 1)
    labels, scores = labels[:, judged], np.ascontiguousarray(scores[:, judged])
    calls: list[Callable[[], Any]] = [
        lambda: auroc(labels, scores),
        lambda: roc_auc_score(labels, scores, average=None),
    ]
    error = abs(calls[0]() - calls[1]()).max()
    times = np.array([[seconds(call) for call in calls] for _ in range(repeats)])
    ours, theirs = (1000 * median(column) for column in times.T)
    print(
        f"{name:<22} ours {ours:7.2f} ms   scikit-learn {theirs:7.2f} ms   "
        f"ratio {theirs / ours:5.1f}   largest difference {error:.1e}"
    )


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    labels, scores, patients = read(options.file) if options.file else synthetic()
    print(f"{labels.shape[0]} x {labels.shape[1]}, medians of {options.repeats}")
    compare(f"as it is ({scores.dtype})", labels, scores, options.repeats)
    distinct = scores + np.random.default_rng(0).uniform(0, 1e-3, scores.shape)
    compare("distinct, float32", labels, distinct.astype(np.float32), options.repeats)
    compare("distinct, float64", labels, distinct.astype(np.float64), options.repeats)
    took = seconds(lambda: bootstrap(labels, scores, patients))
    print(f"bootstrap, 1000 resamples of patients: {took:.2f} s")


if __name__ == "__main__":
    main()
