"""How near reported values are to true ones, over repetitions of one situation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from search.files import write_text
from search.optimism import Corrected, corrected

from .alternatives import Reported, bootstrapped, observed

OURS = "corrected"
MOST_BIAS = 0.10
COVERAGE = (0.93, 0.97)
_RESAMPLES = 1000
_FOR_LUCK = 20  # models that tell how far the patients flatter all, where there are many


@dataclass(frozen=True)
class Repetition:
    """One choice of a best model, and what was said of it.

    Args:
        true: the chosen model's value on the population.
        naive: its value on the patients by which it was chosen.
        best: the best true value of any model; NaN where not known.
        luck: by how much the patients flatter all models alike: the mean over models, or some of
            them, of observed less true value. Its own mean is 0. NaN where not known.
        methods: what each method reports.
    """

    true: float
    naive: float
    best: float
    luck: float
    methods: Mapping[str, Reported]


def repetition(
    scores: np.ndarray,
    labels: np.ndarray,
    patients: np.ndarray,
    true: np.ndarray,
    draws: int,
    alternatives: int = 0,
    seed: int = 0,
) -> Repetition:
    """Choose among models whose true values are known, and report.

    Args:
        scores: (models, n, k).
        labels: (n, k) of 0 and 1.
        patients: (n,).
        true: (models, k) the true AUROC of each label.
        draws: of the correction.
        alternatives: draws of the methods not taken; 0: leave them out.
        seed: of the draws.
    """
    defined = np.array([0 < column.sum() < len(column) for column in labels.T])
    means = true[:, defined].mean(axis=1)
    some = slice(None, None, max(1, len(scores) // _FOR_LUCK))
    seen = observed(scores[some][:, :, defined], labels[:, defined])
    found = corrected(scores, labels, patients, draws, seed)
    methods = {OURS: reported(found)}
    if alternatives:
        methods |= bootstrapped(
            scores[:, :, defined], labels[:, defined], patients, alternatives, seed
        )
    return Repetition(
        float(means[found.chosen]),
        found.naive,
        float(means.max()),
        float((seen - means[some]).mean()),
        methods,
    )


def reported(found: Corrected) -> Reported:
    """The product's own method."""
    return Reported(found.corrected, found.low, found.high)


@dataclass(frozen=True)
class Finding:
    """How one method did in one situation.

    Args:
        situation: which.
        method: whose figures.
        repetitions: how many.
        flattery: mean of naive less true value.
        share: mean of reported less true value, over that.
        share_interval: of 95%, by resampling repetitions.
        sharper: the same with each repetition's luck taken off both; NaN where not known.
        sharper_interval: of 95%.
        coverage: share of repetitions whose interval holds the true value.
        coverage_interval: of 95% (Wilson).
        width: the intervals' mean width.
    """

    situation: str
    method: str
    repetitions: int
    flattery: float
    share: float
    share_interval: tuple[float, float]
    sharper: float
    sharper_interval: tuple[float, float]
    coverage: float
    coverage_interval: tuple[float, float]
    width: float

    @property
    def holds(self) -> bool:
        """Whether both targets are met."""
        return abs(self.share) <= MOST_BIAS and COVERAGE[0] <= self.coverage <= COVERAGE[1]


def findings(situation: str, repetitions: Sequence[Repetition]) -> list[Finding]:
    """Each method's, over the repetitions in which it was asked."""
    names = dict.fromkeys(name for each in repetitions for name in each.methods)
    return [_finding(situation, name, repetitions) for name in names]


def _finding(situation: str, method: str, repetitions: Sequence[Repetition]) -> Finding:
    asked = [each for each in repetitions if method in each.methods]
    said = [each.methods[method] for each in asked]
    true = np.array([each.true for each in asked])
    naive = np.array([each.naive for each in asked]) - true
    error = np.array([each.value for each in said]) - true
    luck = np.array([each.luck for each in asked])
    inside = [one.low <= each.true <= one.high for one, each in zip(said, asked, strict=True)]
    share, ends = _ratio(error, naive)
    sharper, sharper_ends = _ratio(error - luck, naive - luck)
    return Finding(
        situation, method, len(asked), float(naive.mean()), share, ends, sharper, sharper_ends,
        float(np.mean(inside)), _wilson(sum(inside), len(inside)),
        float(np.mean([one.high - one.low for one in said])),
    )  # fmt: skip


def _ratio(above: np.ndarray, below: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The ratio of two means and its 95% interval over resampled repetitions."""
    rows = np.random.default_rng(0).integers(len(above), size=(_RESAMPLES, len(above)))
    drawn = above[rows].mean(axis=1) / below[rows].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(above.mean() / below.mean()), (float(low), float(high))


def _wilson(hits: int, count: int) -> tuple[float, float]:
    z, p = 1.96, hits / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    reach = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return middle - reach, middle + reach


def show(console: Console, title: str, found: Sequence[Finding]) -> None:
    """The findings as a table, and which of ours miss a target by how much."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(
        ("", "method", "repetitions", "naive - true", "share of it left", "luck taken off",
         "coverage", "width")
    ):  # fmt: skip
        table.add_column(column, justify="right" if number > 1 else "left")
    before = None
    for each in found:
        table.add_row(
            each.situation if each.situation != before else "",
            each.method,
            f"{each.repetitions:,}",
            f"{each.flattery:.4f}",
            _with(each.share, each.share_interval),
            "-" if math.isnan(each.sharper) else _with(each.sharper, each.sharper_interval),
            f"{each.coverage:.1%} ({each.coverage_interval[0]:.1%} to "
            f"{each.coverage_interval[1]:.1%})",
            f"{each.width:.3f}",
        )
        before = each.situation
    console.print(table)
    ours = [each for each in found if each.method == OURS]
    for each in ours:
        if not each.holds:
            console.print(
                f"missed: {each.situation}: share {each.share:+.3f} (at most {MOST_BIAS}), "
                f"coverage {each.coverage:.1%} ({COVERAGE[0]:.0%} to {COVERAGE[1]:.0%})"
            )
    if ours:
        console.print(f"{sum(each.holds for each in ours)} of {len(ours)} situations hold")


def _with(value: float, ends: tuple[float, float]) -> str:
    return f"{value:+.3f} ({ends[0]:+.3f} to {ends[1]:+.3f})"


def keep(out: Path, command: str, settings: Mapping[str, object], found: Sequence[Finding]) -> None:
    """The findings as JSON."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in asdict(each).items()
        }
        for each in found
    ]
    text = json.dumps({"settings": dict(settings), "findings": rows}, indent=1, default=str)
    write_text(out / f"{command}.json", text)
