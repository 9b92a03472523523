"""How are a few good models best weighted by few patients?

    python -m experiments.equal_weights fit_half.npz

Draws some of the models in a file of logits (as `cxrsearch ensemble` takes it) and some patients,
puts the best five by these patients together in several ways, and judges on the other patients.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from cxrsearch.learn.ensemble import Saved, fit, read_predictions
from cxrsearch.learn.metrics import auroc, mean_auroc

WAYS = (
    ("single", "probability"),
    ("uniform", "probability"),
    ("uniform", "logit"),
    ("uniform", "rank"),
    ("greedy", "probability"),
    ("stacking", "probability"),
)


def measure(
    saved: Saved, draws: int = 12, patients: int = 300, models: int = 16, most: int = 5
) -> dict[tuple[str, str], np.ndarray]:
    """(draws,) mean AUROC on the other patients, by method and what is averaged."""
    rng, people = np.random.default_rng(0), np.unique(saved.patients)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(draws):
        fitted = np.isin(saved.patients, rng.permutation(people)[:patients])
        pool = saved.scores[rng.choice(len(saved.scores), models, replace=False)]
        for method, averaging in WAYS:
            ensemble = fit(
                pool[:, fitted], saved.labels[fitted], saved.patients[fitted], method,
                averaging=averaging, most=most,
            )  # fmt: skip
            scores = ensemble.apply(pool[:, ~fitted])
            found[method, averaging].append(mean_auroc(auroc(saved.labels[~fitted], scores)))
    return {way: np.array(values) for way, values in found.items()}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logits", type=Path)
    parser.add_argument("--draws", type=int, default=12)
    given = parser.parse_args()
    found = measure(read_predictions(given.logits), given.draws)
    single = found[WAYS[0]]
    for (method, averaging), values in found.items():
        gain = values - single
        print(f"{method:9} {averaging:12} {values.mean():.4f}  over the best single "
              f"{gain.mean():+.4f} (sd {gain.std():.4f})")  # fmt: skip


if __name__ == "__main__":
    main()
