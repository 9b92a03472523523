"""How often `cxrsearch ablate` would call an arm better or worse that is neither.

    python -m experiments.verdict --verdicts 200

Scores are drawn, not trained: all arms see one signal in the same noise, and each training adds
noise of its own, to every image and to how well it tells each disease. No arm is better than
another, so whatever is called so is an error. Printed for several numbers of seeds: the share of
verdicts with an error by the intervals for all arms together, by each arm's own, and of arms by
their own.
"""

from __future__ import annotations

import argparse

import numpy as np

from cxrsearch.equal_compute.judging import Judged, judge_arms

PATIENTS, IMAGES, SHARE = 80, 160, 0.25
SIGNAL, OWN_NOISE, LUCK = 0.8, 0.6, 0.15
COLUMNS = (0, 1, 2, 3, 4)


def verdict(seeds: int, arms: int, resamples: int, number: int) -> list[Judged]:
    """One verdict over arms that do not differ; the baseline left out."""
    rng = np.random.default_rng([number, seeds])
    labels = (rng.random((IMAGES, 14)) < SHARE).astype(np.uint8)
    patients = np.array([f"p{i % PATIENTS}" for i in range(IMAGES)])
    seen = SIGNAL * labels + rng.normal(size=labels.shape)

    def training() -> np.ndarray:
        luck = LUCK * rng.normal(size=14) * labels
        return (seen + OWN_NOISE * rng.normal(size=labels.shape) + luck).astype(np.float32)

    scores = {str(arm): {r: training() for r in range(seeds)} for arm in range(arms + 1)}
    found = judge_arms(labels, patients, scores, COLUMNS, "0", resamples, number)
    return [found[str(arm)] for arm in range(1, arms + 1)]


def beside_zero(ends: tuple[float, float]) -> bool:
    """Whether an interval excludes 0."""
    return not ends[0] <= 0 <= ends[1]


def main() -> None:
    """Print a line for each number of seeds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--verdicts", type=int, default=100)
    parser.add_argument("--arms", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--resamples", type=int, default=300)
    given = parser.parse_args()
    print(f"{given.verdicts} verdicts on {given.arms} arms that do not differ; errors wanted: 5%")
    for seeds in given.seeds:
        every = [verdict(seeds, given.arms, given.resamples, i) for i in range(given.verdicts)]
        joint = np.mean([any(beside_zero(a.simultaneous) for a in arms) for arms in every])
        own = np.mean([any(beside_zero(a.own) for a in arms) for arms in every])
        single = np.mean([beside_zero(a.own) for arms in every for a in arms])
        print(
            f"{seeds} seeds: {joint:.3f} by the intervals for all arms together, {own:.3f} by "
            f"their own, {single:.3f} of the arms by their own"
        )


if __name__ == "__main__":
    main()
