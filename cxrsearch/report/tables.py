"""A report's figures as CSV tables, for those who draw their own plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cxrsearch.data.labels.table_text import number_cell, text_cell
from cxrsearch.model.predict import write_csv

FIGURE_KEYS = ("value", "low", "high", "n", "positives", "part", "chosen_on", "reason")
"""What is said of a figure, in the order of a table's columns."""

WIDE_TABLES = {
    "labels.csv": ("auroc", "average_precision", "prevalence"),
    "operating_points.csv": (
        "threshold", "sensitivity", "specificity", "ppv", "npv", "ppv_at_prevalence",
        "npv_at_prevalence", "f1", "balanced_accuracy", "accuracy",
    ),
    "calibration.csv": (
        "brier", "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_skill",
        "calibration_slope", "calibration_intercept", "calibration_in_the_large", "ece",
        "recalibrated_brier", "recalibrated_brier_skill", "recalibrated_calibration_slope",
        "recalibrated_calibration_intercept", "recalibrated_ece",
        "cross_fitted_brier", "cross_fitted_brier_skill", "cross_fitted_calibration_slope",
        "cross_fitted_calibration_intercept", "cross_fitted_ece",
    ),
}  # fmt: skip
"""Tables with a row a label, and the figures that each has where the report has them. Means are in
those that have figures of them; counts of ``micro`` are of marks, all others of images."""

EVERYTHING = "figures.csv"
"""The table of every figure, a row each."""


def is_figure(value: Any) -> bool:
    """Whether ``value`` is a figure of a report as JSON."""
    return isinstance(value, Mapping) and {"value", "low", "high", "n", "part"} <= set(value)


def figures_in(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every figure in ``content`` with the keys that lead to it."""
    if is_figure(content):
        yield path, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from figures_in(value, (*path, str(key)))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from figures_in(value, (*path, str(place)))


def write_tables(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """Write the tables of a report into ``folder``.

    Args:
        folder: the report's.
        content: of ``report.json``.

    Returns:
        the files' names.
    """
    rows = {**content["labels"], **{n: content[n] for n in ("mean", "macro", "micro")}}
    made = []
    for file, wanted in WIDE_TABLES.items():
        there = [name for name in wanted if any(name in figures for figures in rows.values())]
        if there:
            _wide(folder / file, rows, there)
            made.append(file)
    every = list(figures_in(content))
    deep = max((len(path) for path, _ in every), default=1)
    write_csv(
        folder / EVERYTHING,
        (*(f"key_{level + 1}" for level in range(deep)), *FIGURE_KEYS),
        (
            [*map(text_cell, path), *[""] * (deep - len(path)), *_cells(figure)]
            for path, figure in every
        ),
    )
    subgroups = list(figures_in(content.get("subgroups", {})))
    if subgroups:
        deep = max(len(path) for path, _ in subgroups)
        write_csv(
            folder / "subgroups.csv",
            (*(f"key_{level + 1}" for level in range(deep)), *FIGURE_KEYS),
            (
                [*map(text_cell, path), *[""] * (deep - len(path)), *_cells(figure)]
                for path, figure in subgroups
            ),
        )
        made.append("subgroups.csv")
    return [*made, EVERYTHING]


def counts_of(figures: Mapping[str, Mapping[str, Any]]) -> tuple[int, int]:
    """Images that a label is judged on, and the positive ones among them.

    Those of its AUROC, or else of the figure over most images: a sensitivity is over positives
    alone, and a threshold's images are those that it was chosen by.

    Args:
        figures: of a label, by name; what else lies there, as a map's files, does not count.
    """
    there = {n: one for n, one in figures.items() if isinstance(one, Mapping) and "n" in one}
    judged = [one for name, one in there.items() if name != "threshold"]
    most = there.get("auroc") or max(judged or there.values(), key=lambda one: int(one["n"]))
    return int(most["n"]), int(most["positives"])


def _wide(path: Path, rows: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> None:
    head = ["label", "n", "positives"]
    for name in names:
        head += [name, f"{name}_low", f"{name}_high"]
    lines = []
    for label, figures in rows.items():
        if not any(name in figures for name in names):
            continue  # a mean that there is none of
        line = [text_cell(label), *map(str, counts_of(figures))]
        for name in names:
            figure = figures.get(name) or {}
            line += [_number(figure.get(key)) for key in ("value", "low", "high")]
        lines.append(line)
    write_csv(path, head, lines)


def _number(value: Any) -> str:
    return "" if value is None else number_cell(value)


def _cells(figure: Mapping[str, Any]) -> list[str]:
    texts = [figure.get(key) for key in FIGURE_KEYS]
    return [
        "" if value is None else text_cell(value) if isinstance(value, str) else number_cell(value)
        for value in texts
    ]
