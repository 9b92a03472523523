"""The page of a GAN: its figures, its warnings, what is escaped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.data.generated import png
from cxrsearch.errors import InputError
from cxrsearch.systems.gan import page
from cxrsearch.systems.gan.page import (
    distance_figure,
    gan_html,
    gan_page,
    losses_figure,
    read_gan,
    warnings,
)
from search.errors import SearchError


def write(folder: Path, suspects: float = 0.0, kid: float = 0.02) -> Path:
    curve = [
        {"epoch": n, "discriminator": None if n == 0 else 0.7, "generator": None if n == 0 else 0.8,
         "kid": value, "interval": None if value is None else [value - 0.01, value + 0.01],
         "images": 50 * n, "seconds": 1.0}
        for n, value in enumerate([0.5, None, 0.2, -0.001])
    ]  # fmt: skip
    distances = {name: {"kid": value, "interval": [value, value]}
                 for name, value in (("noise", 9.0), ("mean image", 0.9), ("gaussian", 0.1),
                                     ("held-out", 0.001))}  # fmt: skip
    judged = {
        "epoch": 3, "looks": 3, "images": 500, "kid": kid, "interval": [0.01, 0.03],
        "copies": {"suspects": suspects, "copies": suspects > 0.05,
                   "pixels": [9.0, 12.0, 10.0, 14.0], "features": [0.1, 0.2, 0.1, 0.3]},
        "notes": ["a note of the training"],
    }  # fmt: skip
    card = {
        "settings": {"size": 64, "epochs": 3, "seed": 0, "batch_size": 32, "lr": 0.001,
                     "precision": "auto"},
        "data": {"data": "<b>mine</b>", "data_fingerprint": "f" * 16, "split": "5" * 16,
                 "images": 50, "unlabelled": 10, "notes": ["<script>x</script>"]},
        "created": "2026-01-01T00:00:00+00:00",
        "versions": {"cxrsearch": "0.1.0"},
    }  # fmt: skip
    values: dict[str, Any] = {"gan": card, "curve": curve, "judged": judged,
                              "references": {"features": "", "distances": distances}}  # fmt: skip
    for name, value in values.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    (folder / "samples").mkdir()
    for epoch in (0, 2, 3):
        picture = np.full((128, 128), 40 * epoch, np.uint8)
        (folder / "samples" / f"{epoch:05d}.png").write_bytes(png(picture))
    (folder / "pairs.png").write_bytes(png(np.zeros((128, 640), np.uint8)))
    return folder


def test_the_page_shows_what_was_found_and_nothing_of_it_is_markup(tmp_path: Path) -> None:
    text = gan_html(read_gan(write(tmp_path)), 0.0)
    assert text.count('<figure><img src="data:image/png;base64,') == 3
    assert text.count('<img class="pairs-picture" src="data:image/png;base64,') == 1
    assert "epoch 3, the best" in text
    assert "0.0% of 500 fresh images" in text
    assert "<b>mine" not in text
    assert "<script>x" not in text
    assert "Content-Security-Policy" in text
    assert gan_page(tmp_path) == tmp_path / "gan.html"


def test_distances_stand_beside_those_of_baselines(tmp_path: Path) -> None:
    figure = distance_figure(read_gan(write(tmp_path)))
    lines = {trace.name: trace for trace in figure.data if trace.name}
    names = ["generated", "noise 9", "mean image 0.9", "gaussian 0.1", "held-out 0.001"]
    assert list(lines) == names
    assert lines["noise 9"].y == (9.0, 9.0)
    assert lines["gaussian 0.1"].y == (0.1, 0.1)
    assert list(lines["generated"].x) == [0, 2, 3]
    assert lines["generated"].y[:2] == (0.5, 0.2)
    assert lines["generated"].y[2] > 0  # below 0 has no place on a logarithmic axis
    assert "-0.001" in lines["generated"].text[2]
    losses = losses_figure(read_gan(tmp_path))
    assert [list(trace.x) for trace in losses.data] == [[1, 2, 3], [1, 2, 3]]


def test_what_is_far_off_is_drawn_at_the_upper_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "ROOM", 10.0)
    lines = {trace.name: trace for trace in distance_figure(read_gan(write(tmp_path))).data}
    assert lines["noise 9"].y == (5.0, 5.0)  # so that the rest is seen


def test_copying_and_a_lost_baseline_are_warned_of(tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    assert warnings(read_gan(write(tmp_path / "good"))) == []
    found = warnings(read_gan(write(tmp_path / "bad", suspects=0.4, kid=0.3)))
    assert len(found) == 2
    assert "copies its training images" in found[0]
    assert found[1].endswith("than: gaussian.")


def test_a_gan_in_training_has_a_page(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for name in ("curve", "judged", "references"):
        (folder / f"{name}.json").unlink()
    text = gan_html(read_gan(folder), 0.0)
    assert "Judged when the training has ended." in text
    assert "No distance has been measured yet." in text


def test_other_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no GAN"):
        read_gan(tmp_path)
    folder = write(tmp_path)
    (folder / "curve.json").write_text("[")
    with pytest.raises(SearchError, match=r"curve\.json: cannot be read"):
        read_gan(folder)
