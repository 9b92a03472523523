"""All figures of a report as JSON, out of plain arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrsearch.model.rules import OperatingRule, parse_rule
from search.seeds import derive

from .calibration import CALIBRATION, calibration_of, reliability_points
from .comparison import Beside, compared
from .decisions import decision_points, net_benefit_at
from .discrimination import (
    Estimates,
    averaged,
    discriminate,
    precision_recall_points,
    roc_points,
    with_a_finding,
)
from .estimate import undefined
from .operating import (
    AT_THRESHOLD,
    ChosenThresholds,
    operating_points,
    thresholds_of,
)
from .recalibration import cross_fitted, line_of, put_right, recalibrated
from .sample import JudgedLike, JudgedSample, sample_of
from .subgroups import subgroups_of

PutRight = tuple[np.ndarray, tuple[str | None, ...]]
"""Recalibrated probabilities, (n, k), and why a label has none."""


def figures_of(
    judged: JudgedLike,
    validation: JudgedLike | None,
    *,
    rule: str | OperatingRule,
    prevalence: float | None = None,
    groups: Mapping[str, np.ndarray] | None = None,
    against: Beside | None = None,
    objective: Sequence[str] | None = None,
    kept: ChosenThresholds | None = None,
    resamples: int = 1000,
    seed: int,
) -> dict[str, Any]:
    """Every figure of a report, as ``report.json`` holds them.

    Args:
        judged: the images that nothing was chosen by.
        validation: those by which thresholds are chosen and recalibration is fitted, the same
            labels in the same order; None where they are not known.
        rule: for thresholds, such as ``sensitivity=0.9``.
        prevalence: at which predictive values are wished as well.
        groups: column -> (n,) what it says of each image, "" where it is not known.
        against: a second model or a reader, over the same images and labels.
        objective: the labels that the mean is over; None: all.
        kept: thresholds that were chosen before; None: they are chosen by ``validation``.
        resamples: of the patients.
        seed: of everything that is drawn.

    Raises:
        InputError: where ``rule`` cannot be read.
        ValueError: where arrays do not fit.
    """
    rule = parse_rule(rule) if isinstance(rule, str) else rule
    if prevalence is not None and not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be between 0 and 1, got {prevalence}")
    _check(judged, validation, groups)
    sample = sample_of(judged, resamples, derive(seed, "patients"))
    chosen_by = (
        None if validation is None
        else sample_of(validation, resamples, derive(seed, "validation"))
    )  # fmt: skip
    right = recalibrated(sample, chosen_by) if chosen_by else None
    again = cross_fitted(sample, seed) if sample.part == "external" else None
    names = list(sample.label_names)
    wanted = [name for name in names if objective is None or name in objective]
    places = [names.index(name) for name in wanted]
    thresholds = kept or thresholds_of(rule, chosen_by, len(names))
    told = discriminate(sample, places)
    judged_at = operating_points(sample, thresholds, prevalence)
    return {
        "part": sample.part,
        "images": sample.n,
        "patients": sample.draws.patients,
        "label_names": names,
        "objective": wanted,
        "rule": str(rule),
        "prevalence": prevalence,
        "resamples": resamples,
        "level": 0.95,
        "labels": {
            name: _figures(told.labels[name], sample)
            | {"threshold": thresholds.figure(column).to_json()}
            | _figures(judged_at[name], sample, thresholds.chosen_on)
            | _worth(sample, column, thresholds, chosen_by)
            | _believed(sample, column, right, again)
            for column, name in enumerate(names)
        },
        "mean": _figures(told.mean, sample)
        | _figures(averaged(sample, judged_at, wanted, AT_THRESHOLD), sample, thresholds.chosen_on),
        "macro": _figures(told.macro, sample)
        | _figures(averaged(sample, judged_at, names, AT_THRESHOLD), sample, thresholds.chosen_on),
        "micro": _figures(told.micro, sample),
        "case_mix": _case_mix(sample, places),
        "curves": _curves(sample, right),
        "subgroups": subgroups_of(sample, thresholds, groups or {}),
        "against": compared(sample, against, places) if against else None,
    }


def _check(
    judged: JudgedLike, validation: JudgedLike | None, groups: Mapping[str, np.ndarray] | None
) -> None:
    """ValueError where labels or groups are not those of the judged images."""
    if validation is not None and tuple(validation.label_names) != tuple(judged.label_names):
        raise ValueError(
            f"validation has labels {validation.label_names}, judged are {judged.label_names}"
        )
    for column, values in (groups or {}).items():
        if len(values) != len(judged.marks):
            raise ValueError(f"{column}: {len(values)} values of {len(judged.marks)} images")


def _figures(
    found: Estimates, sample: JudgedSample, chosen_on: str | None = None
) -> dict[str, Any]:
    return {name: one.figure(sample.part, chosen_on).to_json() for name, one in found.items()}


def _case_mix(sample: JudgedSample, objective: Sequence[int]) -> dict[str, Any]:
    """Discrimination among images with a finding only."""
    sick = with_a_finding(sample)
    told = discriminate(sick, objective)
    return {
        "images": int(sample.there.any(axis=1).sum()),
        "labels": {name: _figures(found, sample) for name, found in told.labels.items()},
        "mean": _figures(told.mean, sample),
        "macro": _figures(told.macro, sample),
        "micro": _figures(told.micro, sample),
    }


def _worth(
    sample: JudgedSample, column: int, thresholds: ChosenThresholds, fitted: JudgedSample | None
) -> dict[str, Any]:
    """Net benefit at the operating point, read as the probability that validation gives it."""
    threshold = float(thresholds.chosen.values[column])
    line = None if fitted is None else line_of(fitted, column)[0]
    probability = float(put_right(np.array([threshold]), *line)[0]) if line else threshold
    reason = thresholds.chosen.reasons[column]
    why = None if reason is None else f"no threshold: {reason}"
    found = net_benefit_at(sample, column, threshold, probability, why)
    return _figures(found, sample, thresholds.chosen_on if line is None else "validation")


def _believed(
    sample: JudgedSample, column: int, right: PutRight | None, again: PutRight | None
) -> dict[str, Any]:
    """Figures of calibration: as it is, recalibrated on validation, and crosswise on these."""
    found = _figures(calibration_of(sample, column, sample.scores[:, column]), sample)
    for head, moved, chosen_on in (
        ("recalibrated", right, "validation"), ("cross_fitted", again, sample.part),
    ):  # fmt: skip
        if moved is None:
            continue
        probabilities, reasons = moved
        reason = reasons[column]
        if reason is None:
            told = calibration_of(sample, column, probabilities[:, column])
        else:
            there, away = sample.there[:, column], sample.away[:, column]
            counts = int((there | away).sum()), int(there.sum())
            told = dict.fromkeys(CALIBRATION, undefined(reason, *counts))
        found |= {
            f"{head}_{name}": figure for name, figure in _figures(told, sample, chosen_on).items()
        }
    return found


def _curves(sample: JudgedSample, right: PutRight | None) -> dict[str, Any]:
    """Points for plots, by curve and label."""
    found: dict[str, dict[str, Any]] = {
        name: {}
        for name in (
            "roc", "precision_recall", "reliability", "decision", "recalibrated_reliability",
            "recalibrated_decision",
        )
    }  # fmt: skip
    for column, name in enumerate(sample.label_names):
        scores = sample.scores[:, column]
        found["roc"][name] = roc_points(sample, column)
        found["precision_recall"][name] = precision_recall_points(sample, column)
        found["reliability"][name] = reliability_points(sample, column, scores)
        found["decision"][name] = decision_points(sample, column, scores)
        if right is not None and right[1][column] is None:
            moved = right[0][:, column]
            found["recalibrated_reliability"][name] = reliability_points(sample, column, moved)
            found["recalibrated_decision"][name] = decision_points(sample, column, moved)
    return found
