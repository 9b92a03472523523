"""Does the interval of a learning curve's gain hold the truth, and how wide is it?

Drawn validation patients, scored by drawn trainings: AUROC follows a known curve of the number of
training patients, trainings of a share differ by a known spread, and patients that are hard for one
training are hard for all. Each simulation fits the curve as `cxrsearch learning-curve` does and
asks whether its interval of what twice and four times as many patients add holds the truth. Beside
it, on the same figures: plain nonlinear least squares through the means of the shares, with the
interval that the covariance of its parameters gives.

    python -m benchmarks.learning_curve --simulations 300

A truth that is flat has no power law of its own (any c fits), which is the hardest case.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.stats import norm, t

from cxrsearch.learn.metrics import auroc, resampled
from cxrsearch.systems.learning_curve.job import CURVE_REPEATS, CURVE_SHARES
from cxrsearch.systems.learning_curve.power_law import fit_with_interval

PATIENTS = 1000
PREVALENCE, ALIKE = 0.2, 0.8
"""Share of positives; share of a score's noise that all trainings have in common."""


class CurveTruth(NamedTuple):
    """AUROC(n) = a - b * (n / PATIENTS)^-c."""

    a: float
    b: float
    c: float

    def at(self, n: float) -> float:
        """Of n patients."""
        return self.a - self.b * (n / PATIENTS) ** -self.c

    def gain(self, times: float) -> float:
        """What so many times the patients add."""
        return self.at(times * PATIENTS) - self.at(PATIENTS)


TRUTHS = {
    "steep": CurveTruth(0.85, 0.08, 0.5),
    "slow": CurveTruth(0.90, 0.15, 0.25),
    "nearly there": CurveTruth(0.75, 0.02, 0.5),
    "flat": CurveTruth(0.75, 0.0, 0.5),
}


def simulated(
    truth: CurveTruth, repeats: int, val: int, spread: float, seed: int, resamples: int
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC (s, r) of trainings, and (d, s) mean AUROC under resamples of the patients."""
    rng = np.random.default_rng([seed, 7])
    ill = rng.random((val, 1)) < PREVALENCE
    common = rng.standard_normal((val, 1)) * np.sqrt(ALIKE)
    values = np.zeros((len(CURVE_SHARES), repeats))
    drawn = np.zeros((resamples, len(CURVE_SHARES)))
    for s, share in enumerate(CURVE_SHARES):
        for r in range(repeats):
            level = truth.at(share * PATIENTS) + rng.normal(0, spread * share**-0.3)
            apart = np.sqrt(2) * norm.ppf(np.clip(level, 0.01, 0.99))
            scores = apart * ill + common + rng.standard_normal((val, 1)) * np.sqrt(1 - ALIKE)
            values[s, r] = auroc(ill.astype(np.uint8), scores)[0]
            each = resampled(ill.astype(np.uint8), scores, np.arange(val), resamples, seed)
            drawn[:, s] += each[:, 0] / repeats
    return values, drawn


def plain_gain(values: np.ndarray, times: float) -> tuple[float, float, float] | None:
    """The same by plain least squares through the means; None where that comes to no interval."""

    def curve(n: np.ndarray, a: float, b: float, c: float) -> np.ndarray:
        return np.asarray(a - b * n**-c)

    n = np.asarray(CURVE_SHARES)
    with warnings.catch_warnings():
        warnings.simplefilter("error", OptimizeWarning)
        try:
            found, covariance = curve_fit(curve, n, values.mean(axis=1), p0=(0.8, 0.05, 0.5))
        except (RuntimeError, OptimizeWarning):
            return None
    b, c = found[1], found[2]
    gain = b * (1 - times**-c)
    slope = np.array([0.0, 1 - times**-c, b * times**-c * np.log(times)])
    reach = t.ppf(0.975, len(n) - 3) * np.sqrt(slope @ covariance @ slope)
    return gain, gain - reach, gain + reach


def main(words: Sequence[str] | None = None) -> None:
    """Simulate, and print coverage and width."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--simulations", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=CURVE_REPEATS)
    parser.add_argument("--val", type=int, default=300, help="validation patients")
    parser.add_argument("--spread", type=float, default=0.01, help="sd of a training with all")
    parser.add_argument("--resamples", type=int, default=300)
    args = parser.parse_args(words)
    begin = time.perf_counter()
    print(
        f"{args.simulations} simulations each, {args.repeats} repeats of {len(CURVE_SHARES)} "
        f"shares, {args.val} validation patients, spread of a training {args.spread:g}\n"
        "truth          times   gain     ours: covers (+- 1 se)  width   plain: covers  width"
    )
    for name, truth in TRUTHS.items():
        ours: dict[int, list[tuple[bool, float]]] = {2: [], 4: []}
        plain: dict[int, list[tuple[bool, float]]] = {2: [], 4: []}
        for seed in range(args.simulations):
            values, drawn = simulated(
                truth, args.repeats, args.val, args.spread, seed, args.resamples
            )
            fit = fit_with_interval(np.asarray(CURVE_SHARES) * PATIENTS, values, drawn, seed=seed)
            for times in (2, 4):
                wanted = truth.gain(times)
                _, low, high = fit.gain(times * PATIENTS, PATIENTS)
                ours[times].append((low <= wanted <= high, high - low))
                found = plain_gain(values, times)
                if found is not None:
                    plain[times].append((found[1] <= wanted <= found[2], found[2] - found[1]))
        for times in (2, 4):
            share, width = np.mean(ours[times], axis=0)[0], np.median(ours[times], axis=0)[1]
            error = np.sqrt(share * (1 - share) / args.simulations)
            kept = len(plain[times])
            theirs = np.mean(plain[times], axis=0)[0] if kept else float("nan")
            theirs_width = np.median(plain[times], axis=0)[1] if kept else float("nan")
            print(
                f"{name:<14} {times:>4}x  {truth.gain(times):+.4f}   {share:6.1%} +- {error:.1%}"
                f"         {width:.4f}   {theirs:6.1%} of {kept:<4} {theirs_width:.4f}"
            )
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
