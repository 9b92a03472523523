"""The report as one offline page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrsearch.show.notes import Fact
from cxrsearch.show.page import render, write_page
from cxrsearch.show.panels.labels import readable
from cxrsearch.show.picture import png_uri
from cxrsearch.show.section import Panel, Section

from .parts import (
    against_table,
    group_panels,
    group_sentences,
    group_tables,
    map_rows,
    origin_table,
)
from .plots import auroc_figure, curves_figure, decision_figure, reliability_figure
from .words import (
    calibration_sentences,
    operating_sentences,
    table_of,
    worth_sentences,
)

SERIOUS_LEVELS = ("false", "doubtful")
"""Levels of checks that stand on top of the page."""

LEVEL_WORDS = {
    "false": "makes a figure false",
    "doubtful": "to be looked at",
    "note": "looked at",
}
"""What a check's level means."""

CALIBRATION_SHOWN = (
    "brier", "brier_skill", "calibration_slope", "calibration_intercept", "ece",
)  # fmt: skip
"""Figures of calibration that the page's table has; the JSON has more."""

CURVES_SHOWN = 20
"""Labels that a plot of curves shows; tables have all."""


def report_page(content: Mapping[str, Any], pictures: Path, out: Path, methods: str = "") -> Path:
    """Write the page.

    Args:
        content: of ``report.json``.
        pictures: the folder that its pictures' files are in.
        out: the HTML file.
        methods: the methods section, as Markdown.
    """
    return write_page(out, report_html(content, pictures, methods))


def report_html(content: Mapping[str, Any], pictures: Path, methods: str = "") -> str:
    """The page's text; see `report_page`."""
    return render(
        "report.html",
        folder=Path(__file__).parent,
        title=content["model_name"],
        data_name=Path(content["data"]).name or content["data"],
        content=content,
        facts_list=facts(content),
        sections=sections(content, methods),
        grave=[check for check in content["checks"] if check["level"] in SERIOUS_LEVELS],
        level_words=LEVEL_WORDS,
        tables={
            "worth": table_of(
                content, ("auroc", "average_precision", "prevalence"), ("mean", "macro", "micro")
            ),
            "operating": table_of(
                content,
                ("threshold", "sensitivity", "specificity", "ppv", "npv", "ppv_at_prevalence",
                 "npv_at_prevalence", "f1"),
            ),
            "calibration": table_of(content, CALIBRATION_SHOWN, ()),
            "recalibrated": table_of(
                content, [f"recalibrated_{name}" for name in CALIBRATION_SHOWN], ()
            ),
            "cross_fitted": table_of(
                content, [f"cross_fitted_{name}" for name in CALIBRATION_SHOWN], ()
            ),
        },
        compared=against_table(content),
        groups=group_tables(content),
        looks=map_rows(content),
        origin=origin_table(content),
        holds=private_in_words(content),
        no_doubt=no_doubt_in_words(content),
        uri=lambda file: _uri(pictures / file),
        readable=readable,
        methods=methods,
    )  # fmt: skip


def private_in_words(content: Mapping[str, Any]) -> str:
    """What of patients the page holds; empty where it holds nothing of them."""
    maps, doubts = content.get("maps") or {}, content.get("doubts") or {}
    shown = [one for label in doubts.get("labels", {}).values() for one in label["shown"]]
    if maps.get("cases") or maps.get("labels") or any(one["file"] for one in shown):
        return "images of patients and names of files"
    return "names of files" if shown or doubts.get("alike") else ""


def no_doubt_in_words(content: Mapping[str, Any]) -> str:
    """What is said where no doubt is shown."""
    labels = (content.get("doubts") or {}).get("labels", {}).values()
    told = [label["in_doubt"] is not None for label in labels]
    if not any(told):
        reasons = sorted({str(label["reason"]) for label in labels if label.get("reason")})
        return "No label could be judged" + (f": {'; '.join(reasons)}." if reasons else ".")
    few = "" if all(told) else f" {told.count(False)} of {len(told)} labels could not be judged."
    return f"No mark is in doubt.{few}"


def _uri(path: Path) -> str:
    """A picture's file as it stands in the page; empty where it is not there."""
    return png_uri(path.read_bytes()) if path.is_file() else ""


def facts(content: Mapping[str, Any]) -> list[Fact]:
    """The figures on top of the page."""
    grave = [check for check in content["checks"] if check["level"] in SERIOUS_LEVELS]
    false = sum(check["level"] == "false" for check in grave)
    mean, sick = content["mean"].get("auroc"), (content["case_mix"].get("mean") or {}).get("auroc")
    over = "external data" if content["part"] == "external" else "test part"
    found = [
        _figure_fact(f"Mean AUROC, {over}", mean),
        _figure_fact("Among images with a finding", sick),
        Fact("Images", f"{content['images']:,}", f"of {content['patients']:,} patients"),
        Fact("Looks", str(content["looks"]), "at these images so far, this one among them"),
        Fact(
            "Checks",
            str(len(grave)) if grave else "none",
            (f"{false} of them make a figure false" if false else "to be looked at")
            if grave
            else "nothing stands out",
        ),
    ]
    return found


def _figure_fact(label: str, figure: Mapping[str, Any] | None) -> Fact:
    if figure is None or figure["value"] is None:
        return Fact(label, "–", str((figure or {}).get("reason") or "not defined"))
    note = "no interval"
    if figure["low"] is not None and figure["high"] is not None:
        note = f"95% interval {figure['low']:.3f} to {figure['high']:.3f}, over patients"
    return Fact(label, f"{figure['value']:.3f}", note)


def sections(content: Mapping[str, Any], methods: str) -> list[Section]:
    """Every part of the page, in reading order; the template fills those without plots."""
    grave = any(check["level"] in SERIOUS_LEVELS for check in content["checks"])
    checks = Section("checks", "Checks", "Checks")
    found = [
        Section("worth", "Worth", "What it is worth", _worth(content),
                lead="\n".join(worth_sentences(content))),
        Section("operating", "Operating points", "Operating points", _decisions(content),
                lead="\n".join(operating_sentences(content))),
        Section("calibration", "Calibration", "Calibration", _reliability(content),
                lead="\n".join(calibration_sentences(content))),
        Section("subgroups", "Subgroups", "Subgroups", group_panels(content),
                lead="\n".join(group_sentences(content))),
        *([Section("against", "Compared", "Compared with another")] if content["against"] else []),
        Section("maps", "Where it looks", "Where it looks"),
        Section("doubts", "Doubts", "Doubts"),
        *([] if grave else [checks]),
        Section("methods", "Methods", "Methods and provenance"),
    ]  # fmt: skip
    return [*([checks] if grave else []), *found]


def _worth(content: Mapping[str, Any]) -> list[Panel]:
    curves = content["curves"]
    shown = _shown(content)
    more = len(content["labels"]) - len(shown)
    few = f" Shown are {len(shown)} labels of {more + len(shown)}." if more > 0 else ""

    def of(kind: str) -> dict[str, Any]:
        return {name: curves[kind].get(name, {}) for name in shown}

    return [
        Panel("AUROC", auroc_figure(content), caption="The share of pairs of a positive and a "
              "negative image in which the positive one scores higher; 0.5 is chance."),
        Panel("ROC curves", curves_figure(of("roc"), ("1 - specificity", "sensitivity"),
              diagonal=True), caption=f"Whatever the threshold.{few}"),
        Panel("precision and recall", curves_figure(of("precision_recall"), ("recall (sensitivity)",
              "precision (PPV)")), caption="Precision hangs on how common the label is; a model "
              f"that knows nothing has the prevalence everywhere.{few}"),
    ]  # fmt: skip


def _shown(content: Mapping[str, Any]) -> list[str]:
    """The labels that plots show: those with the most positives."""
    labels = content["labels"]

    def positives(name: str) -> int:
        return int((labels[name].get("auroc") or {}).get("positives") or 0)

    most = sorted(labels, key=lambda name: -positives(name))[:CURVES_SHOWN]
    return [name for name in labels if name in most]


def _decisions(content: Mapping[str, Any]) -> list[Panel]:
    curves = content["curves"].get("decision") or {}
    return [
        Panel(
            readable(name),
            decision_figure(name, curves[name]),
            caption="Decision curve: true positives less false ones, weighed by what treating a "
            "healthy one costs, per image (Vickers and Elkin 2006). Worth using where the model is "
            "above both other lines.",
        )
        for name in _shown(content)
        if (curves.get(name) or {}).get("x")
    ] or [Panel("", sentence="No decision curve: no mark is known.")]


def _reliability(content: Mapping[str, Any]) -> list[Panel]:
    kinds = {"as it is": "reliability", "recalibrated on validation": "recalibrated_reliability"}
    panels = []
    for name in _shown(content):
        series = {
            words: (content["curves"].get(kind) or {}).get(name) or {}
            for words, kind in kinds.items()
        }
        if any(points.get("x") for points in series.values()):
            panels.append(
                Panel(readable(name), reliability_figure(series),
                      caption="On the dotted line a probability is as good as it says.")
            )  # fmt: skip
    return panels or [Panel("", sentence="No reliability diagram.")]
