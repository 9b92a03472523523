"""Parts of the page that are tables of their own: comparison, subgroups, heat maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxrsearch.show.panels.labels import readable
from cxrsearch.show.section import Panel

from .plots import groups_figure
from .words import cell, percent, shown_name, table_of, why_none

GROUP_FIGURES = (
    "auroc", "auroc_difference", "sensitivity", "sensitivity_difference", "specificity",
    "specificity_difference",
)  # fmt: skip
"""Figures of a subgroup that the page's table has."""

SENTENCES_AT_MOST = 8

CASE_WORDS = {
    "wrong": "Wrong by the operating threshold",
    "right": "Right by the operating threshold",
    "no_threshold": "Highest and lowest scores; without a threshold none is right or wrong",
}
"""Headings of pictures, by the kind of their case."""


def against_table(content: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison with another, for the page; empty where there is none."""
    found = content["against"]
    if not found:
        return {}
    rows = {"labels": found.get("labels") or {}, "mean": found.get("mean") or {}}
    names = dict.fromkeys(name for figures in rows["labels"].values() for name in figures)
    table = table_of(rows, list(names))
    who = "Another model" if found["kind"] == "model" else "A table"
    head = f"{who}, {found['name']}, on {found['images']:,} of these images."
    mean = rows["mean"].get("auroc_difference")
    if mean:
        head += f" Difference of the mean AUROC (this model less the other, paired): {cell(mean)}."
        if mean["low"] is not None and mean["high"] is not None:
            sure = mean["low"] > 0 or mean["high"] < 0
            head += " One is surely the better." if sure else " Neither is surely the better."
    return {**table, "head": head, "notes": found.get("notes") or []}


def group_panels(content: Mapping[str, Any]) -> list[Panel]:
    """A plot a column: how far each group is from the rest."""
    panels = []
    for column, found in (content.get("subgroups") or {}).items():
        if _judged_groups(found):
            panels.append(
                Panel(
                    readable(column),
                    groups_figure(found["groups"]),
                    caption="AUROC of the group less that of all other images of a known group. "
                    "Intervals hold together over all groups and labels of the column "
                    "(simultaneous, 95%).",
                )
            )
        else:
            panels.append(
                Panel(readable(column), sentence=f"By {readable(column)}: no group can be judged. "
                      f"{_smallest(found)}")
            )  # fmt: skip
    why = content.get("file_groups") or "their files were not looked at"
    return panels or [Panel("", sentence=f"The data name no groups, and by files: {why}.")]


def _judged_groups(found: Mapping[str, Any]) -> bool:
    return any(
        (figures.get("auroc_difference") or {}).get("value") is not None
        for group in found["groups"].values()
        for figures in group["labels"].values()
    )


def _smallest(found: Mapping[str, Any]) -> str:
    return (
        f"A group is judged where it and its rest have {found['smallest']} patients with a "
        "positive image, and as many with a negative one."
    )


def group_sentences(content: Mapping[str, Any]) -> list[str]:
    """The groups that are surely apart from the rest."""
    apart = []
    for column, found in (content.get("subgroups") or {}).items():
        for name, group in found["groups"].items():
            for label, figures in group["labels"].items():
                for key, what in (("auroc", "AUROC"), ("sensitivity", "sensitivity")):
                    one = figures.get(f"{key}_difference") or {}
                    low, high = one.get("low"), one.get("high")
                    if low is None or high is None or low <= 0 <= high:
                        continue
                    side = "above" if one["value"] > 0 else "below"
                    apart.append(
                        (abs(one["value"]), f"{readable(label)}, {readable(column)} {name}: {what} "
                         f"{cell(figures[key])}, {abs(one['value']):.3f} {side} the rest.")
                    )  # fmt: skip
    apart.sort(key=lambda one: -one[0])
    if not apart:
        return ["No group that can be judged is surely apart from the rest."]
    shown = [sentence for _, sentence in apart[:SENTENCES_AT_MOST]]
    more = len(apart) - SENTENCES_AT_MOST
    return ["Surely apart from the rest:", *shown, *([f"And {more} more."] if more > 0 else [])]


def group_tables(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every figure of every group, for the page."""
    tables = []
    for column, found in (content.get("subgroups") or {}).items():
        rows = []
        for name, group in found["groups"].items():
            for label, figures in group["labels"].items():
                first = figures.get("auroc") or next(iter(figures.values()))
                rows.append(
                    {
                        "group": f"{name} ({group['patients']:,} patients)",
                        "label": readable(label),
                        "n": f"{first['n']:,}",
                        "positives": f"{first['positives']:,}",
                        "cells": [
                            {"text": cell(figures.get(f)), "why": why_none(figures.get(f))}
                            for f in GROUP_FIGURES
                        ],
                    }
                )
        unknown = f" {found['unknown']:,} images are of no known group." if found["unknown"] else ""
        left = f" Left out, the smallest: {', '.join(found['left_out'])}." * bool(found["left_out"])
        tables.append(
            {
                "name": readable(column),
                "heads": [shown_name(name) for name in GROUP_FIGURES],
                "rows": rows,
                "note": f"{_smallest(found)} Differences are from all other images of a known "
                f"group.{unknown}{left}",
            }
        )
    return tables


def origin_table(content: Mapping[str, Any]) -> dict[str, Any]:
    """How well properties of files alone tell each label, beside the model, for the page."""
    origin = content.get("origin") or {}
    rows = {
        label: {
            **{name: one["auroc"] for name, one in found.items()},
            "this model": content["labels"].get(label, {}).get("auroc"),
        }
        for label, found in (origin.get("labels") or {}).items()
        if found
    }
    rows = {label: {k: v for k, v in one.items() if v} for label, one in rows.items()}
    names = dict.fromkeys(name for one in rows.values() for name in one)
    last = [name for name in names if name != "this model"]
    return {
        **table_of({"labels": rows}, [*last, "this model"], ()),
        "reason": str(origin.get("reason") or ""),
        "note": str(origin.get("note") or ""),
    }


def map_rows(content: Mapping[str, Any]) -> dict[str, Any]:
    """Pictures and figures of where the network looks, for the page."""
    maps = content.get("maps")
    nothing: dict[str, Any] = {
        "reason": "", "sentences": [], "means": [], "placed": False, "cases": {}, "notes": [],
        "table": {"heads": [], "rows": []},
    }  # fmt: skip
    if not maps:
        return {**nothing, "reason": "No heat maps were drawn."}
    if "reason" in maps:
        return {**nothing, "reason": f"No heat maps: {maps['reason']}"}
    means, off = [], []
    for name, label in maps["labels"].items():
        for kind, words in (("positives", "positives"), ("all", "all images")):
            one = (label.get("mean") or {}).get(kind)
            if one:
                where = f"strongest {one['place']}" + ("" if one["on_chest"] else ", off the chest")
                if one["place"] is None:
                    where = "the same everywhere"
                means.append({"file": one["file"], "title": f"{readable(name)}, {words}",
                              "note": f"{_images(one['images'])}; {where}"})  # fmt: skip
        if label.get("outside_more_than_chance"):
            off.append(f"{readable(name)} {percent(label['outside'])}")
    cases: dict[str, list[dict[str, str]]] = {}
    for one in maps["cases"]:
        title = f"{readable(one['label'])}: {one['score']:.2f}, marked {one['mark']:g}"
        words = CASE_WORDS.get(one["kind"], str(one["kind"]).replace("_", " "))
        cases.setdefault(words, []).append(
            {"file": one["file"], "title": title, "note": f"{one['what']}: {one['image']}"}
        )
    figures = dict.fromkeys(
        key for label in maps["labels"].values() for key, value in label.items()
        if isinstance(value, Mapping) and "value" in value
    )  # fmt: skip
    return {
        **nothing,
        "sentences": _looking_sentences(maps, off),
        "means": means,
        "placed": any(
            one and one["place"] is not None
            for label in maps["labels"].values()
            for one in (label.get("mean") or {}).values()
        ),
        "cases": cases,
        "notes": maps.get("notes") or [],
        "table": table_of({"labels": maps["labels"]}, list(figures), ()),
    }


def _images(count: int) -> str:
    return f"{count:,} image{'s' * (count != 1)}"


def _looking_sentences(maps: Mapping[str, Any], off: list[str]) -> list[str]:
    """Whether the network looks at the chest; of maps without places why that is not known."""
    if maps.get("no_place"):
        return [f"These maps cannot show where the network looks: {maps['no_place']}."]
    coarse = [maps["coarse"]] if maps.get("coarse") else []
    if off:
        return [
            *coarse,
            "More of the map lies outside the chest's window than of a map without places: "
            f"{', '.join(off)}. The network may see something else than the disease there.",
        ]
    if any(label.get("outside_more_than_chance") is not None for label in maps["labels"].values()):
        return [
            *coarse,
            "No label's map surely lies more outside the chest's window than by chance.",
        ]
    return coarse
