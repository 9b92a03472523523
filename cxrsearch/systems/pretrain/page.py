"""The page of a pre-training: its loss, and what it makes of images that it was not trained on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from cxrsearch.model.pretrain_record import SAMPLES, read_record
from cxrsearch.show.clock import duration
from cxrsearch.show.notes import moment
from cxrsearch.show.page import render, write_page
from cxrsearch.show.picture import data_uri
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import STYLES, counted, figure

from .run import PRETRAIN_METHODS

PRETRAIN_PAGE = "pretraining.html"
GAP, TILE = 4, 144
"""Pixels between pictures of the sheet, and the least side of one."""


class PretrainFact(NamedTuple):
    """A figure of the headline."""

    label: str
    value: str
    note: str = ""


def pretraining_page(folder: Path) -> Path:
    """Write the page of the finished pre-training in ``folder`` and return its path.

    Raises:
        InputError: where there is none.
    """
    return write_page(folder / PRETRAIN_PAGE, pretraining_html(folder, time.time()))


def pretraining_html(folder: Path, now: float) -> str:
    """The page's text. ``now``: seconds since 1970."""
    record = read_record(folder)
    method = PRETRAIN_METHODS[record["method"]]
    return render(
        PRETRAIN_PAGE,
        folder=Path(__file__).parent,
        title=f"{record['method']} · {record['model']}",
        facts_list=facts(record),
        sections=[Section("loss", "Loss", "Training loss", [_loss_panel(record)])],
        sheet=data_uri(sheet(folder, record["method"])),
        sheet_title=method.sheet_title,
        sheet_caption=method.sheet_caption,
        notes=record["notes"],
        written=moment(now),
    )


def pretraining_text(folder: Path) -> str:
    """What the command prints in the end."""
    return "; ".join(
        f"{fact.label.lower()}: {fact.value}" + (f" ({fact.note})" if fact.note else "")
        for fact in facts(read_record(folder))
    )


def facts(record: Mapping[str, Any]) -> list[PretrainFact]:
    """The figures that say how it went."""
    losses, held = record["losses"], record["held_out"]
    seen = f"{record['unlabelled']:,} of them unlabelled"
    found = [
        PretrainFact("Images", f"{record['images']:,}", seen),
        PretrainFact("Epochs", f"{len(losses)}", duration(sum(record["seconds"]))),
        PretrainFact("Loss", f"{losses[-1]:.4g}", f"{losses[0]:.4g} in the first epoch"),
    ]
    return [
        *found,
        *(PretrainFact(*fact) for fact in PRETRAIN_METHODS[record["method"]].facts(held)),
    ]


def _loss_panel(record: Mapping[str, Any]) -> Panel:
    figure = loss_figure(record["losses"])
    return Panel("", figure, caption=PRETRAIN_METHODS[record["method"]].meaning)


def loss_figure(losses: list[float]) -> go.Figure:
    """Loss by epoch, on a log scale."""
    epochs = list(range(1, len(losses) + 1))
    fig = figure(360, showlegend=False)
    fig.add_scatter(
        x=epochs,
        y=losses,
        mode="lines+markers" if len(losses) < 60 else "lines",
        line={"color": STYLES["complete"].colour, "width": 2.5},
        hovertemplate="epoch %{x}: %{y:.5g}<extra></extra>",
    )
    fig.update_xaxes(title_text="epoch", **counted(epochs))
    fig.update_yaxes(title_text="training loss", type="log")
    return fig


def sheet(folder: Path, method: str) -> np.ndarray:
    """The pictures of a pre-training side by side, (height, width) uint8."""
    return tiled(PRETRAIN_METHODS[method].sheet(folder / SAMPLES))


def tiled(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Pictures of one size in rows, small ones enlarged, with white between them."""
    scale = max(1, -(-TILE // max(rows[0][0].shape)))
    height, width = (side * scale for side in rows[0][0].shape)
    across = max(len(row) for row in rows)
    out = np.full((len(rows) * (height + GAP) - GAP, across * (width + GAP) - GAP), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + GAP), j * (width + GAP)
            out[top : top + height, left : left + width] = np.kron(
                picture, np.ones((scale, scale), np.uint8)
            )
    return out
