"""Whether a model says something at all, and the right way round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrsearch.data.labels.names import some_names
from search.reading import number

from .check import DOUBTFUL, FALSE, NOTED, Check

CONSTANT = "constant"
BELOW_CHANCE = "below chance"
SAME_LOGITS = 1e-5
"""Spread of logits up to which they are one number: what a float32 network rounds to."""
NEARLY = 1e-2
"""Spread of logits below which a model says next to nothing: no probability moves by more than a
quarter of a percentage point."""
FEW_VALUES = 0.02
"""Distinct scores as a share of the images below which these are nearly all alike."""
IMAGES_FROM = 20
"""Images from which a share of them says something."""


def constant_check(scores: np.ndarray, label_names: Sequence[str], part: str) -> Check:
    """Whether a model says the same of every image, or nearly.

    Args:
        scores: (n, k) probabilities.
        label_names: (k,).
        part: of which images.
    """
    if len(scores) < 2:
        return Check(CONSTANT, NOTED, f"{part}: too few images to tell whether the scores differ")
    spread = spreads(scores)
    distinct = [len(np.unique(column)) for column in scores.T]
    few = np.array(distinct) <= max(2, FEW_VALUES * len(scores))
    flat = _ranges(scores) <= SAME_LOGITS
    nearly = ~flat & ((spread < NEARLY) | (few & (len(scores) >= IMAGES_FROM)))
    evidence = {
        "part": part, "images": len(scores), "spread": _named(label_names, spread),
        "distinct": dict(zip(label_names, distinct, strict=True)),
    }  # fmt: skip
    if flat.all():
        return Check(
            CONSTANT, FALSE,
            f"{part}: the model says the same of all {len(scores)} images (its logits differ by "
            f"{_ranges(scores).max():.1g} at most), so no figure of it is about the images; look "
            "at its weights, its learning rate and the pictures that reach it",
            evidence,
        )  # fmt: skip
    if flat.any() or nearly.any():
        same = [name for name, yes in zip(label_names, flat, strict=True) if yes]
        close = [name for name, yes in zip(label_names, nearly, strict=True) if yes]
        said = [f"the same of every image for {some_names(same)}"] if same else []
        if close:
            least = min(spread[label_names.index(name)] for name in close)
            said.append(
                f"nearly the same for {some_names(close)} (logits spread over {least:.2g}, "
                f"{min(distinct[label_names.index(n)] for n in close)} distinct scores at least)"
            )
        return Check(
            CONSTANT, DOUBTFUL,
            f"{part}: the model says {' and '.join(said)}; an AUROC there is of noise. Train "
            "longer, or at a higher learning rate",
            evidence,
        )  # fmt: skip
    return Check(
        CONSTANT, NOTED,
        f"{part}: scores differ between images; the narrowest logits are those of "
        f"{label_names[int(spread.argmin())]}, spread over {spread.min():.2g}",
        evidence,
    )  # fmt: skip


def spreads(scores: np.ndarray) -> np.ndarray:
    """(k,) from the 2.5th to the 97.5th percentile of the logits of each column of (n, k)."""
    if not len(scores):
        return np.zeros(scores.shape[1])
    low, high = np.percentile(_logits(scores), (2.5, 97.5), axis=0)
    found: np.ndarray = high - low
    return found


def _ranges(scores: np.ndarray) -> np.ndarray:
    """(k,) from the least to the greatest logit."""
    found: np.ndarray = np.ptp(_logits(scores), axis=0)
    return found


def _logits(scores: np.ndarray) -> np.ndarray:
    inside = np.clip(scores.astype(float), 1e-12, 1 - 1e-12)
    found: np.ndarray = np.log(inside) - np.log1p(-inside)
    return found


def below_chance_check(
    part: str,
    intervals: Mapping[str, Any],
    mean_interval: Sequence[Any] | None,
    values: Mapping[str, Any] | None = None,
) -> Check:
    """Whether an AUROC's interval lies below one half: labels the wrong way round?

    Args:
        part: of which images.
        intervals: label -> the two ends of its 95% interval, or None.
        mean_interval: of the mean; None where there is none.
        values: label -> AUROC, for the sentence.
    """
    told = {name: ends for name, ends in intervals.items() if _ends(ends)}
    under = {name: list(ends) for name, ends in told.items() if ends[1] < 0.5}
    mean_under = _ends(mean_interval) and mean_interval[1] < 0.5  # type: ignore[index]
    evidence: dict[str, Any] = {
        "part": part, "labels": len(told), "below": under,
        "mean": list(mean_interval) if _ends(mean_interval) and mean_interval else None,
    }  # fmt: skip
    if not told and not _ends(mean_interval):
        return Check(BELOW_CHANCE, NOTED, f"{part}: no AUROC has an interval", evidence)
    if not under and not mean_under:
        return Check(
            BELOW_CHANCE, NOTED,
            f"{part}: no AUROC's interval lies below 0.5, of {len(told)} labels",
            evidence,
        )  # fmt: skip
    said = []
    if mean_under and mean_interval:
        said.append(f"the mean ({mean_interval[0]:.3f} to {mean_interval[1]:.3f})")
    for name, ends in under.items():
        value = number((values or {}).get(name))
        shown = "" if value is None else f"{value:.3f}, "
        said.append(f"{name} ({shown}{ends[0]:.3f} to {ends[1]:.3f})")
    by_chance = 0.025 * len(told)
    luck = (
        "" if mean_under else f" Of {len(told)} labels, chance alone does that to {by_chance:.1g}."
    )
    return Check(
        BELOW_CHANCE, DOUBTFUL,
        f"{part}: the AUROC's interval lies below 0.5 for {', '.join(said)}: worse than guessing. "
        f"Are the marks, or the columns, the wrong way round?{'' if mean_under else luck}",
        evidence,
    )  # fmt: skip


def _ends(ends: Any) -> bool:
    """Whether ``ends`` are the two ends of an interval."""
    return isinstance(ends, list | tuple) and len(ends) == 2 and None not in map(number, ends)


def _named(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}
