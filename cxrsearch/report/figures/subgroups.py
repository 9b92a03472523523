"""The same figures by sex, age band, view or any column, and what sets a group apart."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from cxrsearch.data.about import AGE_COLUMNS

from .discrimination import Estimates
from .estimate import Estimate, minus, undefined
from .figure import Figure
from .intervals import COVERED, Z
from .operating import ChosenThresholds
from .ranks import ranked
from .sample import Flags, JudgedSample
from .shares import share_of

SMALLEST_GROUP = 10
"""Patients with a positive, and with a negative, that a group and its rest need to be judged."""

GROUPS_AT_MOST = 20
"""Groups of a column that are judged: the largest."""

AGE_BANDS = ((0, 18), (18, 40), (40, 60), (60, 80), (80, 121))
"""Ages in years, from and below."""

AGE_GROUPED = {"group", "groups", "band", "bands", "category", "class", "code", "quartile"}
"""Words beside "age" of columns that are no years."""

BY_GROUP = ("auroc", "average_precision", "sensitivity", "specificity")
"""Figures of each group, each with its difference from the rest."""


def grouped(name: str, values: NDArray[Any]) -> NDArray[np.str_]:
    """What a column says of each image, as groups.

    Numbers become bands: an age (see `is_age`; ``058Y`` and ``011M`` are years and months) those
    of `AGE_BANDS`, any other with more than ten values its quarters.

    Args:
        name: of the column.
        values: (n,) of str; "" where nothing is known.
    """
    said = np.array([str(value).strip() for value in values], dtype=object)
    told = said[said != ""]
    numbers = np.array([_number(one) for one in said])
    numeric = len(told) > 0 and np.isfinite(numbers).sum() >= 0.9 * len(told)
    if numeric and is_age(name):
        bands = [(f"{low}-{high - 1}" if high < 121 else f"{low}+") for low, high in AGE_BANDS]
        found = np.full(len(said), "", dtype=object)
        for band, (low, high) in zip(bands, AGE_BANDS, strict=True):
            found[(numbers >= low) & (numbers < high)] = band
        return found.astype(str)
    if numeric and len(np.unique(told)) > 10:
        edges = np.unique(np.nanquantile(numbers, [0, 0.25, 0.5, 0.75, 1]))
        place = np.clip(np.searchsorted(edges, numbers, "right"), 1, max(1, len(edges) - 1))
        names = [f"{a:g} to {b:g}" for a, b in pairwise(edges)]
        names = names or [f"{edges[0]:g}"]
        return np.array(
            [names[i - 1] if math.isfinite(x) else "" for i, x in zip(place, numbers, strict=True)]
        )
    return said.astype(str)


def is_age(name: str) -> bool:
    """Whether a column is called an age: ``Patient Age``, ``PatientAge``, ``age_years``.

    The word must stand alone, as in no ``Stage`` or ``Voltage``; an age that is in groups already
    (``age_group``) is none.
    """
    told = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    return bool(told & {"age", "ages", *AGE_COLUMNS}) and not told & AGE_GROUPED


def _number(text: str) -> float:
    unit = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
    scale = unit.get(text[-1:].upper(), 0.0) if len(text) > 1 else 0.0
    try:
        return float(text[:-1]) * scale if scale else float(text)
    except ValueError:
        return math.nan


def subgroups_of(
    sample: JudgedSample, thresholds: ChosenThresholds, groups: Mapping[str, NDArray[Any]]
) -> dict[str, Any]:
    """Figures of every group of every column, and their differences from the rest.

    Intervals of the differences hold together, for all groups and labels of a column and figure:
    their half width is that of the largest studentised difference over the draws (Hothorn, Bretz &
    Westfall, Biom J 2008; Romano & Wolf, Econometrica 2005). The difference in sensitivity at the
    operating point is what equal opportunity asks about (Hardt et al., NeurIPS 2016).

    Args:
        sample: the images.
        thresholds: the operating points.
        groups: column -> (n,) of str; "" is no group.

    Returns:
        column -> ``groups`` (group -> ``n``, ``patients`` and label -> figures, of which
        ``auroc_difference`` and the like are from the rest), ``unknown`` images, groups
        ``left_out``, ``smallest`` and, by figure, ``half_width`` in standard errors.
    """
    return {
        column: _column(sample, thresholds, grouped(column, np.asarray(values)))
        for column, values in groups.items()
    }


def _column(
    sample: JudgedSample, thresholds: ChosenThresholds, groups: NDArray[np.str_]
) -> dict[str, Any]:
    names, counts = np.unique(groups[groups != ""], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    kept = sorted(names[order[:GROUPS_AT_MOST]].tolist(), key=_in_order)
    pairs: dict[tuple[str, str, str], tuple[Estimate, Estimate]] = {}
    known = groups != ""
    for group in kept:
        inside = groups == group
        own, rest = sample.among(inside), sample.among(known & ~inside)
        for column, label in enumerate(sample.label_names):
            first, second = _of(own, column, thresholds), _of(rest, column, thresholds)
            small = _too_small(own, column, "group") or _too_small(rest, column, "rest")
            for figure in BY_GROUP:
                a, b = first[figure], second[figure]
                if small is not None:
                    a = undefined(small, a.n, a.positives, sample.draws.resamples)
                pairs[group, label, figure] = a, b
    wide = {
        figure: simultaneous([pair for key, pair in pairs.items() if key[2] == figure])
        for figure in BY_GROUP
    }
    found: dict[str, Any] = {}
    for group in kept:
        inside = groups == group
        found[group] = {
            "n": int(inside.sum()),
            "patients": sample.patients_with(inside),
            "labels": {label: {} for label in sample.label_names},
        }
    for (group, label, figure), (a, b) in pairs.items():
        at = thresholds.chosen_on if figure in ("sensitivity", "specificity") else None
        into = found[group]["labels"][label]
        into[figure] = a.figure(sample.part, at).to_json()
        apart: Figure = minus(a, b, sample.part, at, z=wide[figure])
        into[f"{figure}_difference"] = apart.to_json()
    return {
        "groups": found,
        "unknown": int((~known).sum()),
        "left_out": names[order[GROUPS_AT_MOST:]].tolist(),
        "smallest": SMALLEST_GROUP,
        "half_width": wide,
    }


def _in_order(name: str) -> tuple[float, str]:
    head = name.split("-")[0].split(" ")[0].rstrip("+")
    number = _number(head) if head else math.nan
    return (number if math.isfinite(number) else math.inf), name


def _too_small(sample: JudgedSample, column: int, which: str) -> str | None:
    for side, word in ((sample.there, "positive"), (sample.away, "negative")):
        patients = sample.patients_with(side[:, column])
        if patients < SMALLEST_GROUP:
            return (
                f"{patients} patients of the {which} have a {word} image; "
                f"{SMALLEST_GROUP} are the least that is judged"
            )
    return None


def _of(sample: JudgedSample, column: int, thresholds: ChosenThresholds) -> Estimates:
    there, away = sample.there[:, column], sample.away[:, column]
    pair = ranked(there, away, sample.scores[:, column], sample.draws)
    value = thresholds.chosen.values[column]
    if not math.isfinite(value):
        n, positives = int((there | away).sum()), int(there.sum())
        why = f"no threshold: {thresholds.chosen.reasons[column]}"
        none = undefined(why, n, positives, sample.draws.resamples)
        return dict(zip(BY_GROUP, (*pair, none, none), strict=True))
    called: Flags = np.asarray(sample.scores[:, column] >= value)
    sensitivity = share_of(called, there, sample.draws, "no positive image", there)
    specificity = share_of(~called, away, sample.draws, "no negative image", there)
    return dict(zip(BY_GROUP, (*pair, sensitivity, specificity), strict=True))


def simultaneous(pairs: list[tuple[Estimate, Estimate]]) -> float:
    """Half width, in standard errors, at which intervals of all differences hold together."""
    studentised = []
    for first, second in pairs:
        if not (first.defined and second.defined):
            continue
        apart = first.draws - second.draws
        spread = float(np.nanstd(apart)) if np.isfinite(apart).any() else 0.0
        if spread > 0:
            studentised.append(np.abs(np.nan_to_num((apart - np.nanmean(apart)) / spread)))
    if not studentised:
        return Z
    largest = np.max(studentised, axis=0)
    # The draws' own quantile is uneven in its tail: at least one difference alone, at most all.
    most = float(norm.isf((1 - COVERED) / 2 / len(studentised)))
    return float(np.clip(np.quantile(largest, COVERED), Z, most))
