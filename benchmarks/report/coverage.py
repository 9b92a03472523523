"""How often the report's 95% intervals hold the truth, on drawn patients whose truth is known.

    python -m benchmarks.report.coverage [--images 300 1500] [--times 1000]

Images are two a patient on average and alike within them, labels of 3%, 8%, 15% and 30%. Thresholds
are chosen for a sensitivity of 0.9 on a validation part as large as the test part. Truth is what
400,000 images give. Goal: 93% to 97%; what is outside it is marked with ``*``. In brackets is the
plain percentile bootstrap over the same patients, where there is one.
"""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from cxrsearch.model.rules import parse_rule
from cxrsearch.report.figures.calibration import binned, calibration_of, logistic
from cxrsearch.report.figures.comparison import Beside, compared
from cxrsearch.report.figures.decisions import benefits
from cxrsearch.report.figures.discrimination import discriminate
from cxrsearch.report.figures.estimate import Estimate
from cxrsearch.report.figures.operating import operating_points, thresholds_of
from cxrsearch.report.figures.ranks import ranks
from cxrsearch.report.figures.sample import sample_of
from cxrsearch.report.figures.subgroups import BY_GROUP, subgroups_of

from .simulated import GROUPS, LABELS, Array, Drawn, Population, draw

GOAL = (0.93, 0.97)
PREVALENCE = 0.02
RULE = "sensitivity=0.9"
Row = tuple[str, str]
Ends = tuple[float | None, float | None]


def fixed_truth(drawn: Drawn, people: list[Population]) -> dict[Row, float]:
    """What does not depend on a sample's thresholds or bins."""
    from scipy.special import logit

    found: dict[Row, float] = {}
    for column, (label, person) in enumerate(zip(LABELS, people, strict=True)):
        positive = drawn.marks[:, column] == 1
        own, other = (ranks(positive, s[:, column]) for s in (drawn.scores, drawn.other))
        brier = float(((drawn.scores[:, column] - positive) ** 2).mean())
        spread = person.prevalence * (1 - person.prevalence)
        few = slice(0, 200_000)
        z = logit(drawn.scores[few, column])
        y = positive[few].astype(float)
        line = logistic(np.stack([z, np.ones_like(z)], 1), y, 0 * z)
        large = logistic(np.ones((len(z), 1)), y, z)
        assert line is not None
        assert large is not None
        sensitivity, lead = person.against_reader()
        found |= {
            (name, label): value
            for name, value in {
                "auroc": own.auroc, "average_precision": own.precision,
                "prevalence": person.prevalence,
                "auroc_difference": own.auroc - other.auroc,
                "average_precision_difference": own.precision - other.precision,
                "brier": brier, "brier_uncertainty": spread, "brier_skill": 1 - brier / spread,
                "calibration_slope": float(line[0][0]), "calibration_intercept": float(line[0][1]),
                "calibration_in_the_large": float(large[0][0]),
                "threshold": person.quantile(0.9),
                "net_benefit": person.net_benefit(person.prevalence),
                "sensitivity_at_readers": sensitivity, "lead_over_reader": lead,
            }.items()
        }  # fmt: skip
    for name in ("auroc", "average_precision"):
        found[f"mean {name}", "all"] = float(np.mean([found[name, label] for label in LABELS]))
        apart = [found[f"{name}_difference", label] for label in LABELS]
        found[f"mean {name}_difference", "all"] = float(np.mean(apart))
    flat = ranks(drawn.marks.ravel() == 1, drawn.scores.ravel())
    found["micro auroc", "all"], found["micro average_precision", "all"] = flat[:2]
    return found


def percentile(one: Estimate) -> Ends:
    """The bootstrap's own ends."""
    some = one.draws[np.isfinite(one.draws)]
    return (*np.quantile(some, [0.025, 0.975]),) if len(some) else (None, None)  # type: ignore[return-value]


def once(
    n: int,
    rng: np.random.Generator,
    truth: dict[Row, float],
    people: list[Population],
    resamples: int,
) -> Iterator[tuple[Row, float, Ends, Ends | None]]:
    """The truth, the interval and the percentile bootstrap's, of each figure of one sample."""
    drawn, validation = draw(n, rng), draw(n, rng)
    seed = int(rng.integers(1 << 30))
    sample = sample_of(drawn.judged("test"), resamples, seed)
    thresholds = thresholds_of(
        parse_rule(RULE), sample_of(validation.judged("validation"), resamples, seed + 1), 4
    )
    told = discriminate(sample, range(4))
    for name in ("auroc", "average_precision"):
        yield (
            (f"mean {name}", "all"),
            truth[f"mean {name}", "all"],
            told.mean[name].ends(),
            (percentile(told.mean[name])),
        )
        yield (
            (f"micro {name}", "all"),
            truth[f"micro {name}", "all"],
            told.micro[name].ends(),
            (percentile(told.micro[name])),
        )
    points = operating_points(sample, thresholds, PREVALENCE)
    for column, label in enumerate(LABELS):
        for name, one in told.labels[label].items():
            yield (name, label), truth[name, label], one.ends(), percentile(one)
        low, high = thresholds.ends[column]
        yield ("threshold", label), truth["threshold", label], (low, high), None
        value = float(thresholds.chosen.values[column])
        if math.isfinite(value):
            here = people[column].at(value, PREVALENCE)
            for name, one in points[label].items():
                yield (name, label), here[name], one.ends(), percentile(one)
        scores = sample.scores[:, column]
        here = people[column].by_bins(binned(sample, column, scores).edges)
        for name, one in calibration_of(sample, column, scores).items():
            if name != "ece_plain":
                plain = percentile(one) if np.isfinite(one.draws).any() else None
                yield (name, label), here.get(name, truth.get((name, label), 0)), one.ends(), plain
        edge = people[column].prevalence
        one = benefits(sample, column, scores, np.array([edge]))[0]
        yield ("net_benefit", label), truth["net_benefit", label], one.ends(), percentile(one)
    yield from _paired(sample, drawn, truth)
    yield from _groups(sample, thresholds, drawn, people)


def _paired(sample, drawn: Drawn, truth: dict[Row, float]):  # type: ignore[no-untyped-def]
    told = compared(sample, Beside("other", drawn.other), [0, 1, 2, 3])
    for name in ("auroc_difference", "average_precision_difference"):
        for label in LABELS:
            found = told["labels"][label][name]
            yield (name, label), truth[name, label], (found["low"], found["high"]), None
        found = told["mean"][name]
        yield (f"mean {name}", "all"), truth[f"mean {name}", "all"], (
            found["low"], found["high"]
        ), None  # fmt: skip
    told = compared(sample, Beside("reader", drawn.reader), [0, 1, 2, 3])
    for label in LABELS:
        for row, name in (
            ("sensitivity_at_readers", "sensitivity"),
            ("lead_over_reader", "sensitivity_difference"),
        ):
            found = told["labels"][label].get(name, {"low": None, "high": None})
            yield (row, label), truth[row, label], (found["low"], found["high"]), None


def _groups(sample, thresholds, drawn: Drawn, people: list[Population]):  # type: ignore[no-untyped-def]
    """Whether all differences of groups hold the truth, 0, at once."""
    told = subgroups_of(sample, thresholds, {"group": drawn.groups})["group"]["groups"]
    for name in BY_GROUP:
        ends = [
            (each[f"{name}_difference"]["low"], each[f"{name}_difference"]["high"])
            for group in GROUPS if group in told
            for each in told[group]["labels"].values()
        ]  # fmt: skip
        judged = [(low, high) for low, high in ends if low is not None]
        if judged:
            worst = max(low for low, _ in judged), min(high for _, high in judged)
            yield (f"all groups: {name}", "all"), 0.0, worst, None


def covers(truth: float, ends: Ends) -> float:
    """1 where the ends hold the truth, 0 where not, NaN where there are none."""
    low, high = ends
    if low is None or high is None or not math.isfinite(low + high):
        return math.nan
    return float(low - 1e-12 <= truth <= high + 1e-12)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[300, 1500])
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so long")
    asked = parser.parse_args()
    big = draw(400_000, np.random.default_rng(1))
    people = [Population(big, column) for column in range(4)]
    truth = fixed_truth(big, people)
    for n in asked.images:
        ours: dict[Row, list[float]] = defaultdict(list)
        plain: dict[Row, list[float]] = defaultdict(list)
        width: dict[Row, list[float]] = defaultdict(list)
        start, done = time.monotonic(), 0
        while done < asked.times and time.monotonic() - start < asked.seconds:
            rng = np.random.default_rng([n, done])
            for row, true, ends, beside in once(n, rng, truth, people, asked.resamples):
                ours[row].append(covers(true, ends))
                if ends[0] is not None and ends[1] is not None:
                    width[row].append(ends[1] - ends[0])
                if beside is not None:
                    plain[row].append(covers(true, beside))
            done += 1
        print(f"\n{n} images, {done} times")
        print(table(ours, plain, width, done))


def table(
    ours: dict[Row, list[float]],
    plain: dict[Row, list[float]],
    width: dict[Row, list[float]],
    times: int,
) -> str:
    """Coverage by figure and prevalence, ``*`` outside the goal; (of the plain bootstrap)."""
    names = list(dict.fromkeys(name for name, _ in ours))
    lines = [f"{'figure':32}" + "".join(f"{label:>16}" for label in (*LABELS, "all"))]
    inside = cells = 0
    for name in names:
        line = f"{name:32}"
        for label in (*LABELS, "all"):
            found = np.array(ours.get((name, label), []))
            some = found[~np.isnan(found)]
            if not len(some):
                line += f"{'':>16}"
                continue
            cover = some.mean()
            good = GOAL[0] <= round(cover, 3) <= GOAL[1]
            inside, cells = inside + good, cells + 1
            beside = np.array(plain.get((name, label), []))
            said = f"{cover:.1%}{' ' if good else '*'}"
            if len(beside):
                said += f"({np.nanmean(beside):.0%})"
            line += f"{said:>16}"
        lines.append(line)
    error = 1.96 * math.sqrt(0.95 * 0.05 / max(1, times))
    lines.append(f"{inside} of {cells} cells within {GOAL[0]:.0%} to {GOAL[1]:.0%}; ")
    lines[-1] += f"a cell's own 95% interval is +-{error:.1%}"
    return "\n".join(lines)


if __name__ == "__main__":
    main()


__all__ = ["Array", "covers", "main", "once"]
