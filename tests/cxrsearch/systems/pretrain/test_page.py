from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import save_arrays
from cxrsearch.systems.pretrain.page import (
    GAP,
    facts,
    loss_figure,
    pretraining_html,
    pretraining_page,
    tiled,
)

RECORD: dict[str, Any] = {
    "method": "autoencoder", "model": "densenet121", "losses": [0.2, 0.1], "seconds": [1.0, 2.0],
    "images": 1234, "unlabelled": 200, "split": "s",
    "held_out": {"images": 8, "error": 0.01, "error_of_mean": 0.04, "explained": 0.75},
    "notes": ["<script>alert(1)</script>"],
}  # fmt: skip
VIEWS = {"images": 8, "spread": 0.6, "rank": 42.4, "dimensions": 1024}


def folder_of(folder: Path, **changes: Any) -> Path:
    record = {**RECORD, **changes}
    pictures = np.zeros((2, 40, 40), np.uint8)
    other = {"drawings": pictures + 9}
    if record["method"] == "contrastive":
        other = {"nearest": np.zeros((2, 4, 40, 40), np.uint8)}
    folder.mkdir()
    save_arrays(folder / "samples.npz", originals=pictures, **other)
    (folder / "pretraining.json").write_text(json.dumps(record))
    return folder


def test_the_page_is_one_offline_file_with_loss_pictures_and_notes(tmp_path: Path) -> None:
    path = pretraining_page(folder_of(tmp_path / "ae"))
    page = path.read_text()
    assert path.name == "pretraining.html"
    assert "data:image/png;base64," in page
    assert "75.0%" in page
    assert "1,234" in page
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_views_are_told_by_spread_rank_and_neighbours(tmp_path: Path) -> None:
    page = pretraining_html(folder_of(tmp_path / "v", method="contrastive", held_out=VIEWS), 0.0)
    assert "Nearest neighbours" in page
    assert "of 1024 directions used" in page


def test_the_figures_are_those_of_the_record() -> None:
    assert [fact.value for fact in facts(RECORD)] == ["1,234", "2", "0.1", "75.0%"]
    assert facts({**RECORD, "method": "contrastive", "held_out": VIEWS})[-1].value == "42"
    worse = {**RECORD["held_out"], "explained": -166.2}
    assert facts({**RECORD, "held_out": worse})[-1].value == "nothing"
    figure = loss_figure(RECORD["losses"])
    assert list(figure.data[0].x) == [1, 2]
    assert list(figure.data[0].y) == [0.2, 0.1]


def test_small_pictures_are_enlarged_and_stand_in_rows() -> None:
    one, other = np.zeros((48, 72), np.uint8), np.full((48, 72), 200, np.uint8)
    out = tiled([[one, other], [other, one]])
    assert out.shape == (2 * 96 + GAP, 2 * 144 + GAP)
    assert out[0, 0] == 0
    assert out[0, -1] == 200
    assert out[97, 0] == 255


def test_what_is_no_pretraining_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished pre-training here"):
        pretraining_page(tmp_path)
    (tmp_path / "pretraining.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        pretraining_page(tmp_path)
