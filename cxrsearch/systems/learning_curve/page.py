"""The page of a learning curve, and what a terminal shows of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from cxrsearch.show.notes import Fact
from cxrsearch.show.page import render, write_page
from cxrsearch.show.panels.labels import readable
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import BEST_COLOUR, QUIET, STYLES, faded, figure, score

CURVE_TEMPLATE = "learning_curve.html"


def write_curve_page(record: Mapping[str, Any], out: Path) -> Path:
    """Write the page of a curve's record to ``out``; it works offline."""
    return write_page(out, curve_html(record))


def curve_html(record: Mapping[str, Any]) -> str:
    """The page's text."""
    return render(
        CURVE_TEMPLATE,
        folder=Path(__file__).parent,
        title=f"Would more labels help? {record['name']}",
        sentence=record["sentence"],
        facts_list=_facts(record),
        written=record["written"].replace("T", " ").replace("+00:00", " UTC"),
        sections=[
            Section("curve", "Curve", "Mean AUROC by patients", [
                Panel("", curve_figure(record), caption=_caption(record))])
        ],
        by_share=_by_share(record),
        by_label=_by_label(record),
        notes=_notes(record),
    )  # fmt: skip


def curve_text(record: Mapping[str, Any]) -> str:
    """What a terminal shows."""
    lines = [
        f"{row['patients']:>7,} patients ({row['share']:.0%}): {_value(row['auroc'])}"
        for row in record["shares"]
    ]
    for times, found in record["predictions"].items():
        lines.append(
            f"{found['patients']:>7,} patients ({times}x), by the curve: {_value(found['auroc'])}, "
            f"gain {_signed(found['gain'])}"
        )
    return "\n".join([*lines, record["sentence"]])


def curve_figure(record: Mapping[str, Any]) -> go.Figure:
    """Trainings, means of the shares with intervals, and the curve with its band beyond them."""
    fig, curve, every = figure(460), record["curve"]["points"], record["patients"]
    x = [p["patients"] for p in curve]
    fig.add_scatter(
        x=[*x, *reversed(x)],
        y=[*(p["high"] for p in curve), *(p["low"] for p in reversed(curve))],
        fill="toself", fillcolor=faded(BEST_COLOUR, 0.16), line={"width": 0}, mode="lines",
        name="95% interval of the curve", hoverinfo="skip",
    )  # fmt: skip
    most = max(row["patients"] for row in record["shares"])
    parts = (
        ("fitted curve", [p for p in curve if p["patients"] <= most * 1.05], "solid"),
        ("foretold", [p for p in curve if p["patients"] >= most * 0.95], "dash"),
    )
    for name, points, dash in parts:
        fig.add_scatter(
            x=[p["patients"] for p in points], y=[p["value"] for p in points], name=name,
            mode="lines", line={"color": BEST_COLOUR, "width": 2.5, "dash": dash},
            text=[f"{p['value']:.3f} ({p['low']:.3f} to {p['high']:.3f})" for p in points],
            hovertemplate="%{x:,.0f} patients: %{text}<extra></extra>",
        )  # fmt: skip
    trained = [t for t in record["trainings"] if t["value"] is not None]
    fig.add_scatter(
        x=[t["patients"] for t in trained], y=[t["value"] for t in trained], name="a training",
        mode="markers", marker={"color": QUIET, "size": 6},
        hovertemplate="%{x:,} patients: %{y:.3f}<extra>a training</extra>",
    )  # fmt: skip
    shares = record["shares"]
    values = [row["auroc"]["value"] for row in shares]
    fig.add_scatter(
        x=[row["patients"] for row in shares], y=values, name="mean of a share", mode="markers",
        marker={"color": STYLES["complete"].colour, "size": 9},
        error_y={
            "type": "data", "symmetric": False, "thickness": 1.6, "width": 4,
            "array": [row["auroc"]["high"] - v for row, v in zip(shares, values, strict=True)],
            "arrayminus": [v - row["auroc"]["low"] for row, v in zip(shares, values, strict=True)],
        },
        text=[_value(row["auroc"]) for row in shares],
        hovertemplate="%{x:,} patients: %{text}<extra></extra>",
    )  # fmt: skip
    ahead = list(record["predictions"].values())
    fig.add_scatter(
        x=[found["patients"] for found in ahead],
        y=[found["auroc"]["value"] for found in ahead],
        name="2x and 4x the patients", mode="markers",
        marker={"color": BEST_COLOUR, "size": 10, "symbol": "diamond-open"},
        text=[f"{_value(found['auroc'])}, gain {_signed(found['gain'])}" for found in ahead],
        hovertemplate="%{x:,} patients: %{text}<extra></extra>",
    )  # fmt: skip
    ticks = sorted({row["patients"] for row in shares} | {f["patients"] for f in ahead} | {every})
    fig.update_xaxes(
        title_text="patients with labels", type="log", tickvals=ticks,
        ticktext=[f"{n:,}" for n in ticks],
    )  # fmt: skip
    fig.update_yaxes(title_text="mean AUROC, validation")
    return fig


def _caption(record: Mapping[str, Any]) -> str:
    on, every = record["judged_on"], f"{record['patients']:,} patients"
    return (
        f"Judged on the {on['part']} part ({on['images']:,} images of {on['patients']:,} "
        "patients). Bars and band: 95% intervals, over validation patients and over trainings. "
        f"Beyond {every} nothing was trained: there the curve is all there is."
    )


def _facts(record: Mapping[str, Any]) -> list[Fact]:
    last, check = record["shares"][-1], record["check"]
    off = check["difference"]
    return [
        Fact(
            f"{last['patients']:,} patients, validation AUROC", _value(last["auroc"]),
            f"{last['share']:.0%} of the training part's, trial {record['trial']}'s recipe",
        ),
        *(
            Fact(f"{times}x the patients", _signed(found["gain"]),
                 f"gain of mean AUROC by the curve, to {_value(found['auroc'])}")
            for times, found in record["predictions"].items()
        ),
        Fact(
            "Foretelling the largest share", f"{check['foretold']:.3f}",
            f"by the smaller ones; {check['seen']:.3f} was seen, {_signed(off)} from it: "
            + ("the curve fits" if check["fits"] else "the curve does not fit"),
        ),
    ]  # fmt: skip


def _by_share(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of the shares."""
    lines = []
    for row in record["shares"]:
        images = row["images"]
        few = f"{min(images):,}" + (f" to {max(images):,}" if max(images) > min(images) else "")
        each = [t for t in record["trainings"] if t["share"] == row["share"]]
        gone = sorted({name for t in each for name in t["not_learnt"]})
        lines.append([
            f"{row['share']:.0%}", f"{row['patients']:,}", few, _value(row["auroc"]),
            ", ".join("–" if t["value"] is None else f"{t['value']:.3f}" for t in each),
            ", ".join(map(readable, gone)) or "none",
        ])  # fmt: skip
    heads = [
        "share", "patients", "images", "mean AUROC", "trainings",
        "labels without a positive or negative in a repeat",
    ]  # fmt: skip
    return heads, lines


def _by_label(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of the labels."""
    heads = [
        "label", "positives, training", "positives, validation",
        *(f"{row['patients']:,}" for row in record["shares"]), "2x would add",
    ]  # fmt: skip
    lines = [
        [
            readable(name), f"{found['train_positives']:,}", f"{found['gain']['positives']:,}",
            *(_value(one) for one in found["auroc"]),
            found["gain"].get("reason") or _signed(found["gain"]),
        ]
        for name, found in record["labels"].items()
    ]  # fmt: skip
    return heads, lines


def _notes(record: Mapping[str, Any]) -> list[str]:
    curve, asked = record["curve"], record["asked"]
    chosen = record["selected_from"]
    return [
        f"Each training takes {record['image_steps']:,} image-steps, as many for a few patients as "
        "for all: an epoch draws as many images whatever the share, each the more often. So the "
        "curve shows what labels add, and not what longer training adds; with more patients "
        "longer training may add more.",
        "Trainings are judged on the validation part, which also chose each training's best epoch"
        + (f", and the recipe among {chosen} trials" if chosen > 1 else "")
        + ": the level flatters. The recipe was chosen for all patients, so small shares may do "
        "better with another, and the curve be flatter. The test part was not looked at.",
        f"{asked['repeats']} repeats, each with patients and seeds of its own; within a repeat the "
        "smaller shares lie in the larger ones.",
        f"Curve: {curve['formula']} with a = {curve['a']:.3f}, b = {curve['b']:.3f}, "
        f"c = {curve['c']:.2f}, unit = {curve['unit']:,.0f} patients. Its interval supposes that "
        "the shape is right and that further patients are like these.",
        "Intervals of labels are each by itself; some of many are wide of the mark by chance.",
        *record["notes"],
    ]


def _value(found: Mapping[str, Any]) -> str:
    ends = (found["low"], found["high"])
    return score(found["value"], None if None in ends else ends)


def _signed(found: Mapping[str, Any]) -> str:
    return f"{found['value']:+.3f} ({found['low']:.3f} to {found['high']:.3f})"
