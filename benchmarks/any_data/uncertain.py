"""Which policy for uncertain marks wins where: CheXpert's table, and images whose truth is known.

The table's marks are the real ones. Images show what is marked as present; an uncertain mark is
drawn by the world: in one most of them are positives in truth, in the other they are noise, drawn
as often as positives are among the marks that are certain. A search goes through the gene
``uncertain``, and each policy's model is judged by the truth of test images, all marks known.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np

import cxrsearch

from .drawing import Picture, draw_pictures
from .judging import by_label, scores_by_truth, searched
from .small import small_networks
from .sources import read_rows

LABELS = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")
"""Those with many uncertain marks that are drawn plainly."""

POLICIES = ("ignore", "positive", "negative", "soft")
WORLDS = {"mostly positive": 0.9, "noise": None}
"""World -> the share of uncertain marks that are positives; None: as among the certain ones."""

SPACE = """\
name: uncertain
genes:
  uncertain: {{choices: [ignore, positive, negative, soft]}}
fixed: {{model: densenet121, lr: 0.003, epochs: {epochs}, input_size: 64, batch_size: 32,
        schedule: onecycle}}
points:
  - {{name: ignore, params: {{uncertain: ignore}}}}
  - {{name: positive, params: {{uncertain: positive}}}}
  - {{name: negative, params: {{uncertain: negative}}}}
  - {{name: soft, params: {{uncertain: soft}}}}
"""

DESCRIPTION = """\
images: .
table: train.csv
format: chexpert
columns: {image: Path, split: part}
split: column
labels: [Cardiomegaly, Edema, Consolidation, Atelectasis, Pleural Effusion]
blank: negative
"""


def world(folder: Path, table: Path, share: float | None, seed: int = 0) -> dict[str, np.ndarray]:
    """CheXpert's frontal images, drawn, below ``folder``; the truth of the test part's.

    A third of the patients is the test part, a sixth validation.
    """
    header, rows = read_rows(table)
    rows = [row for row in rows if row[header.index("Frontal/Lateral")] == "Frontal"]
    at = {label: header.index(label) for label in LABELS}
    certain = {
        label: np.mean([row[i] == "1.0" for row in rows if row[i] != "-1.0"])
        for label, i in at.items()
    }
    rng = random.Random(seed)
    lines, pictures, truth = [], [], {}
    for row in rows:
        there = frozenset(
            label
            for label, i in at.items()
            if row[i] == "1.0" or (row[i] == "-1.0" and rng.random() < (share or certain[label]))
        )
        patient = row[0].split("/")[2]
        number = int(patient.removeprefix("patient"))
        part = ("test", "val", "train", "train", "test", "train")[number % 6]
        file = row[0].partition("/")[2]
        lines.append([file, *row[1:], part])
        pictures.append(Picture(file, patient, there))
        if part == "test":
            truth[file] = np.array([label in there for label in LABELS], np.uint8)
    draw_pictures(folder, pictures, side=64, seed=seed)
    with (folder / "train.csv").open("w", newline="", encoding="utf-8") as written:
        csv.writer(written).writerows([[*header, "part"], *lines])
    (folder / "dataset.yaml").write_text(DESCRIPTION, encoding="utf-8")
    return truth


def run(table: Path, home: Path, seeds: int, epochs: int) -> list[str]:
    """The lines to print."""
    space = home / "space.yaml"
    space.write_text(SPACE.format(epochs=epochs), encoding="utf-8")
    lines: list[str] = []
    for number, (name, share) in enumerate(WORLDS.items()):
        data = home / f"world-{number}"
        truth = world(data, table, share)
        found: dict[str, list[np.ndarray]] = {policy: [] for policy in POLICIES}
        chosen: list[str] = []
        with small_networks():
            for seed in range(seeds):
                study = home / f"study-{number}-{seed}"
                searched(data, space, study, home / "cache", len(POLICIES), seed)
                chosen.append(cxrsearch.status(study)["best"]["params"]["uncertain"])
                for trial, policy in enumerate(POLICIES):
                    model = home / f"model-{number}-{seed}-{trial}"
                    cxrsearch.train(study, model, trial=trial, cache=str(home / "cache"))
                    _, known, scores = scores_by_truth(model, data, truth, LABELS)
                    found[policy].append(by_label(known, scores))
        lines += shown(name, found, chosen, len(truth))
    return lines


def shown(
    world: str, found: dict[str, list[np.ndarray]], chosen: list[str], images: int
) -> list[str]:
    """A table of one world: AUROC by policy, over seeds, on the truth of the test part."""
    lines = [
        "",
        f"uncertain marks are {world}: AUROC by the truth of {images} test images",
        f"{'policy':10}{'mean (smallest to largest)':>30}" + "".join(f"{n:>18}" for n in LABELS),
    ]
    means = {}
    for policy, values in found.items():
        each = np.array(values)
        over = each.mean(axis=1)
        means[policy] = over.mean()
        text = f"{over.mean():.3f} ({over.min():.3f} to {over.max():.3f})"
        lines.append(
            f"{policy:10}{text:>30}" + "".join(f"{value:18.3f}" for value in each.mean(axis=0))
        )
    best = max(means, key=lambda policy: means[policy])
    lines.append(f"best by the truth: {best}; chosen by each search: {', '.join(chosen)}")
    return lines
