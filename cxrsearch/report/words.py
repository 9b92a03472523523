"""A report's figures as text: numbers with intervals, and sentences that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxrsearch.show.panels.labels import readable
from cxrsearch.systems.eda.origin import FILE_NAME

from .tables import counts_of

DASH = "–"

NAMES_SHOWN = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "prevalence": "prevalence",
    "threshold": "threshold",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "ppv_at_prevalence": "PPV at the given prevalence",
    "npv_at_prevalence": "NPV at the given prevalence",
    "f1": "F1",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "brier": "Brier score",
    "brier_skill": "Brier skill",
    "calibration_slope": "slope",
    "calibration_intercept": "intercept",
    "ece": "expected calibration error",
}
"""What figures are called on the page, by their name in JSON."""


def shown_name(name: str) -> str:
    """What a figure is called on the page."""
    for head in ("recalibrated_", "cross_fitted_"):
        if name.startswith(head):
            return shown_name(name.removeprefix(head))
    return NAMES_SHOWN.get(name, name.replace("_", " "))


def cell(figure: Mapping[str, Any] | None, digits: int = 3) -> str:
    """``0.712 (0.650 to 0.771)``; a dash where there is no value."""
    if figure is None or figure.get("value") is None:
        return DASH
    value = f"{figure['value']:.{digits}f}"
    if figure.get("low") is None or figure.get("high") is None:
        return value
    return f"{value} ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"


def percent(figure: Mapping[str, Any] | None) -> str:
    """The same in per cent, for shares."""
    if figure is None or figure.get("value") is None:
        return DASH
    value = f"{figure['value']:.0%}"
    if figure.get("low") is None or figure.get("high") is None:
        return value
    return f"{value} ({figure['low']:.0%} to {figure['high']:.0%})"


def why_none(figure: Mapping[str, Any] | None) -> str:
    """The reason of a figure that lacks something; empty where it lacks nothing."""
    return "" if figure is None else str(figure.get("reason") or "")


def part_in_words(content: Mapping[str, Any]) -> str:
    """What the figures are measured on."""
    count = f"{content['images']:,} images of {content['patients']:,} patients"
    if content["part"] == "test":
        return f"the test part, {count}, by which nothing was chosen"
    return f"external data, {count}, by which nothing was chosen"


def worth_sentences(content: Mapping[str, Any]) -> list[str]:
    """What the model is worth, over all images and among the sick."""
    found = [f"Judged on {part_in_words(content)}."]
    mean = content["mean"].get("auroc")
    if mean and mean["value"] is not None:
        over = len(content["objective"])
        labels = f"the mean over {over} labels" if over > 1 else f"of {_label(content)}"
        found.append(f"AUROC {cell(mean)}, {labels}.")
    mix = content.get("case_mix") or {}
    sick = (mix.get("mean") or {}).get("auroc")
    if mean and sick and mean["value"] is not None and sick["value"] is not None:
        found.append(
            f"Among the {mix.get('images', sick['n']):,} images with a finding alone it is "
            f"{cell(sick)}: {_case_mix_meaning(mean['value'], sick['value'])}"
        )
    looks = content["looks"]
    found.append(
        "This is the first look at these images."
        if looks == 1
        else f"This is look number {looks} at these images; what was chosen by earlier looks "
        "flatters."
    )
    return found


def _label(content: Mapping[str, Any]) -> str:
    return readable(content["objective"][0]) if content["objective"] else "no label"


def _case_mix_meaning(every: float, sick: float) -> str:
    """What the difference between both case mixes says."""
    if every - sick > 0.02:
        return (
            "telling a disease from health is easier than telling it from other diseases. Which of "
            "both figures holds depends on who will be X-rayed."
        )
    if sick - every > 0.02:
        return "among the sick the model does better; see which labels go together."
    return "about the same, so the figure does not hang on how many are healthy."


def operating_sentences(content: Mapping[str, Any]) -> list[str]:
    """How thresholds were chosen, and what may be expected of them."""
    at = content["operating"]
    if at["chosen_on"] is None and not str(at["rule"]).startswith("threshold"):
        return [f"No operating point: {at.get('reason') or 'nothing to choose by'}."]
    if at["chosen_on"] is None:
        return [f"Every label has the same given threshold ({at['rule']}), chosen on no image."]
    found = [
        f"Thresholds by {rule_in_words(at['rule'])}, chosen on {at['images']:,} validation images "
        f"of {at['patients']:,} patients, and judged on {part_in_words(content)}.",
        *([f"The validation scores are of {at['of']}."] if at["of"] else []),
    ]
    missed = _missed(content, str(at["rule"]))
    return [*found, *([missed] if missed else [])]


def rule_in_words(rule: str) -> str:
    """A rule for thresholds as people say it."""
    name, _, number = rule.partition("=")
    if name in ("sensitivity", "specificity"):
        return f"a wanted {name} of {float(number):.0%}"
    return "Youden's index (sensitivity + specificity)" if name == "youden" else f"hand ({rule})"


def _missed(content: Mapping[str, Any], rule: str) -> str:
    """Which labels surely miss the wanted share on the images that are judged."""
    name, _, number = rule.partition("=")
    if name not in ("sensitivity", "specificity"):
        return ""
    missed = [
        f"{readable(label)} {cell(figures[name])}"
        for label, figures in content["labels"].items()
        if (figures.get(name) or {}).get("high") is not None
        and figures[name]["high"] < float(number)
    ]
    if not missed:
        return f"No label's interval lies below the wanted {float(number):.0%}."
    return f"Surely below the wanted {float(number):.0%} here: {', '.join(missed)}."


def calibration_sentences(content: Mapping[str, Any]) -> list[str]:
    """Whether probabilities can be believed, and whether recalibration helps."""
    off, told = [], 0
    better: dict[str, list[bool]] = {"recalibrated_ece": [], "cross_fitted_ece": []}
    for label, figures in content["labels"].items():
        own = figures.get("ece") or {}
        slope = figures.get("calibration_slope") or {}
        if slope.get("low") is None or slope.get("high") is None:
            continue
        told += 1
        if not slope["low"] <= 1 <= slope["high"]:
            off.append(f"{readable(label)} ({cell(slope, 2)})")
        for name, smaller in better.items():
            again = figures.get(name) or {}
            if own.get("value") is not None and again.get("value") is not None:
                smaller.append(again["value"] < own["value"])
    found = [
        "Calibrated means: of the images with a probability of 0.3, three in ten are positive."
    ]
    if not told:
        return found
    if off:
        found.append(
            "A slope below 1 says that probabilities are too extreme, above 1 that they are not "
            f"extreme enough. Surely not 1: {', '.join(off)}."
        )
    else:
        found.append("No label's slope is surely other than 1.")
    if smaller := better["recalibrated_ece"]:
        found.append(
            f"Recalibrated on validation, the expected calibration error is smaller in "
            f"{sum(smaller)} of {len(smaller)} labels; `cxrsearch predict --calibrated` writes "
            "these probabilities."
        )
    if smaller := better["cross_fitted_ece"]:
        found.append(
            "Recalibrated on these images, each patient's by what was fitted to the others, the "
            f"expected calibration error is smaller in {sum(smaller)} of {len(smaller)} labels: "
            "what recalibrating here would bring."
        )
    return found


def origin_sentences(content: Mapping[str, Any]) -> dict[str, str]:
    """Label -> how surely the files alone tell it, beside what the model reaches."""
    by_label: dict[str, list[Mapping[str, Any]]] = {}
    for one in (content.get("origin") or {}).get("told", []):
        by_label.setdefault(one["label"], []).append(one)
    found = {}
    for label, told in by_label.items():
        own = content["labels"].get(label, {}).get("auroc")
        told = sorted(told, key=lambda one: one["property"] == FILE_NAME)
        names = [one["property"] for one in told]
        means = (
            "No network sees that, so it is no shortcut by itself; but its images probably come "
            "from elsewhere than the others: see whether they look otherwise, too"
            if names == [FILE_NAME]
            else "Its images probably come from elsewhere than the others, and the model may tell "
            "the source, not the disease; judge it on images of one source"
        )
        others = f" (and by {', '.join(names[1:])})" if names[1:] else ""
        found[label] = (
            f"{readable(label)} is told by the {names[0]} of its files alone{others}: AUROC "
            f"{cell(told[0]['auroc'])}, where the model has {cell(own)} on the same "
            f"{told[0]['auroc']['n']:,} images. {means}"
        )
    return found


def table_of(
    content: Mapping[str, Any], names: Sequence[str], more: Sequence[str] = ("mean",)
) -> dict[str, Any]:
    """A table with a row a label and a column a figure, for the page.

    Args:
        content: of ``report.json``.
        names: of the figures; those that no label has are left out.
        more: further rows: ``mean``, ``macro``, ``micro``.
    """
    rows = {**content["labels"], **{name: content.get(name) or {} for name in more}}
    there = [name for name in names if any(name in figures for figures in rows.values())]
    lines = []
    for label, figures in rows.items():
        if not any(name in figures for name in there):
            continue
        images, positives = counts_of(figures)
        lines.append(
            {
                "name": readable(label),
                "total": label in more,
                "n": f"{images:,} marks" if label == "micro" and "micro" in more else f"{images:,}",
                "positives": f"{positives:,}",
                "cells": [
                    {"text": cell(figures.get(name)), "why": why_none(figures.get(name))}
                    for name in there
                ],
            }
        )
    return {"heads": [shown_name(name) for name in there], "rows": lines}
