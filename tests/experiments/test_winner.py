"""The plain script that a search's winner is held against, and the comparison."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom
from experiments.winner.__main__ import report, table_scores
from experiments.winner.plain import Setting, probabilities, read_xrays, train_plainly


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn X-rays in NIH's format."""
    place = tmp_path_factory.mktemp("xrays")
    write_phantom(place, phantom_dataset(50, 0, seed=1), side=64)
    return place


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_the_plain_script_trains_within_its_time(folder: Path, mixup: float) -> None:
    xrays = read_xrays(folder)
    files = [each[0] for each in xrays.values()]
    marks = np.array([each[1] for each in xrays.values()])
    setting = Setting("resnet18", size=32, mixup=mixup, ema=0.9 * bool(mixup), epochs=2)
    net, epochs = train_plainly(files, marks, setting, 60.0, seed=0)
    assert epochs == 2
    found = probabilities(net, files, 32)
    assert found.shape == (50, 14)
    assert np.isfinite(found).all()
    assert found.std(axis=0).min() > 0
    again, _ = train_plainly(files, marks, setting, 60.0, seed=0)
    torch.testing.assert_close(found, probabilities(again, files, 32))


def write_scores(path: Path, names: list[str], scores: np.ndarray) -> None:
    """A table as ``cxrsearch predict`` writes it."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "label", "probability"])
        for name, row in zip(names, scores, strict=True):
            table.writerows(
                [name, label, value] for label, value in zip(DISEASES, row, strict=True)
            )


def test_the_report_pairs_patients_and_seeds(folder: Path, tmp_path: Path) -> None:
    xrays = read_xrays(folder)
    names = list(xrays)
    truth = np.array([xrays[name][1] for name in names], np.float32)
    rng = np.random.default_rng(0)
    for seed in range(3):
        place = tmp_path / f"cpu-30m-seed{seed}"
        (place / "study").mkdir(parents=True)
        (place / "study" / "splits.json").write_text(json.dumps({"test": names}))
        (place / "done.json").write_text("{}")
        noise = rng.normal(size=truth.shape)
        write_scores(place / "single.csv", names, truth + noise)
        write_scores(place / "ensemble.csv", names, truth + 0.1 * noise)
        write_scores(place / "retrained.csv", names, truth + 0.1 * noise)
        np.savez(place / "plain-one.npz", scores=truth + noise, epochs=1)
    report(argparse.Namespace(data=folder, out=tmp_path, space="cpu", minutes=30, resamples=50))
    rows = json.loads((tmp_path / "cpu-30m.json").read_text())
    assert rows["plain-one"]["single"]["difference"] == pytest.approx(0, abs=1e-6)
    assert rows["plain-one"]["single"]["interval"] == pytest.approx([0, 0], abs=1e-6)
    low, high = rows["plain-one"]["ensemble"]["interval"]
    assert 0 < low < rows["plain-one"]["ensemble"]["difference"] < high


def test_scores_are_read_by_name_in_the_order_asked_for(tmp_path: Path) -> None:
    scores = np.arange(28, dtype=np.float32).reshape(2, 14)
    write_scores(tmp_path / "p.csv", ["a", "b"], scores)
    np.testing.assert_array_equal(table_scores(tmp_path / "p.csv", ["b", "a"]), scores[::-1])
