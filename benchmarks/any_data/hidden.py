"""NIH's labels with some marks hidden: a search on them beside one on all, judged by all marks."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

import cxrsearch
from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.metrics import mean_auroc, resampled

from .judging import by_label, scores_by_truth, searched
from .small import small_networks
from .sources import read_rows

SPACE = """\
name: hidden
genes:
  lr: {{low: 1.0e-3, high: 6.0e-3, log: true}}
  train_seed: {{low: 0.6, high: 1.0, step: 0.1}}
  rotation: {{low: 0.0, high: 10.0}}
fixed: {{model: densenet121, epochs: {epochs}, input_size: 64, batch_size: 32,
        schedule: onecycle}}
"""


def write(data: Path, folder: Path, images: int, share: float, seed: int) -> dict[str, np.ndarray]:
    """A one-hot table of NIH's marks with a share of them blank; the test part's whole truth."""
    _, rows = read_rows(data / "Data_Entry_2017.csv")
    there = {path.name for path in (data / "images").iterdir()}
    rows = [row for row in rows if row[0] in there][:images]
    rng = np.random.default_rng(seed)
    lines, truth = [], {}
    for row in rows:
        marks = np.array([name in row[1].split("|") for name in DISEASES], np.uint8)
        part = ("test", "val", "train", "train", "test", "train")[int(row[3]) % 6]
        blank = rng.random(len(DISEASES)) < share
        cells = ["" if gone else mark for gone, mark in zip(blank, marks, strict=True)]
        lines.append([row[0], row[3], part, *cells])
        if part == "test":
            truth[row[0]] = marks
    folder.mkdir(parents=True)
    with (folder / "marks.csv").open("w", newline="", encoding="utf-8") as written:
        csv.writer(written).writerows([["image", "patient", "split", *DISEASES], *lines])
    (folder / "dataset.yaml").write_text(
        f"images: {data / 'images'}\ntable: marks.csv\nformat: one-hot\nblank: ignore\n"
        "columns: {image: image, patient: patient, split: split}\nsplit: column\n",
        encoding="utf-8",
    )
    return truth


def run(data: Path, home: Path, count: int, trials: int, epochs: int, share: float) -> list[str]:
    """The lines to print."""
    space = home / "space.yaml"
    space.write_text(SPACE.format(epochs=epochs), encoding="utf-8")
    draws, lines = {}, []
    for name, hidden in (("all known", 0.0), (f"{share:.0%} hidden", share)):
        folder = home / name.replace(" ", "-").replace("%", "")
        truth = write(data, folder, count, hidden, seed=0)
        with small_networks():
            study = searched(folder, space, folder / "study", home / "cache", trials, 0)
            cxrsearch.train(study, folder / "model", cache=str(home / "cache"))
            model, images = folder / "model", data / "images"
            names, known, scores = scores_by_truth(model, images, truth, DISEASES)
        best = cxrsearch.status(study)["best"]
        patients = [image.split("_")[0] for image in names]
        each = np.array([mean_auroc(row) for row in resampled(known, scores, patients)])
        draws[name] = each
        low, high = np.percentile(each, [2.5, 97.5])
        lines.append(
            f"{name:14}validation {best['value']:.3f}; test, by all marks of {len(names)} images: "
            f"{mean_auroc(by_label(known, scores)):.3f} ({low:.3f} to {high:.3f})"
        )
    whole, part = draws.values()
    low, high = np.percentile(part - whole, [2.5, 97.5])
    lines.append(f"difference: {np.mean(part - whole):+.3f} ({low:+.3f} to {high:+.3f})")
    return lines
