"""What it costs to keep what a network says after each epoch, and what half precision changes.

    python -m benchmarks.epoch_scores --data ../shared/nih-small
    python -m benchmarks.epoch_scores --data DIR --model vgg16 --input-size 128 --epochs 20

Trains one recipe, then prints, with the smallest and the largest over epochs or rounds:

- bytes of the trial's epochs.npz, and as a share of its best.safetensors;
- seconds of writing the file of all epochs, as a share of an epoch's: more than any one write
  takes, and a trial writes with its checkpoints and at its end;
- how far the mean AUROC by the file is from that by the probabilities themselves, beside what the
  same logits in float16 come to without their medians taken off, and as a share of the
  patients' standard error.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from cxrsearch.data.pixels.cache import default_cache_root, open_cache
from cxrsearch.data.read import read_dataset
from cxrsearch.data.splits import make_splits
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData, make_data
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import Labels
from cxrsearch.learn.saved.epoch_scores import (
    EPOCH_SCORES,
    EpochScores,
    HalfLogits,
    read_epoch_scores,
    save_epoch_scores,
)
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.learn.train import CURVE, train
from search.optimism import influence
from search.reading import read_json

from .measure import ROUNDS, Spread, ratios


def main() -> None:
    """Parse, train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="labelled X-rays, as for cxrsearch ga")
    parser.add_argument("--model", default="densenet121")
    parser.add_argument("--input-size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="writes that are timed")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    data = _data(given.data, given.input_size)
    recipe = Recipe(
        model=given.model, input_size=given.input_size, epochs=given.epochs, lr=given.lr
    )
    print(
        f"{given.model} at {given.input_size}, {len(data.train):,} images in training, "
        f"{len(data.val_seed):,} that score epochs, {len(data.label_names)} labels, "
        f"{given.epochs} epochs"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compute = ComputeOptions(threads=given.threads)
        for _ in train(recipe, data, seed=0, folder=folder, compute=compute, resamples=20):
            pass
        found = read_epoch_scores(folder)
        assert found is not None
        curve = read_json(folder / CURVE)
        _size(folder, given.epochs)
        _writing(folder, found, [record["seconds"] for record in curve], given.rounds)
        _rounding(data, found, [record["value"] for record in curve])


def _data(place: str, side: int) -> TrainData:
    dataset = read_dataset(place)
    splits = make_splits(dataset.names, dataset.labels, dataset.patients, seed=0)
    cache = open_cache(dataset, side, root=default_cache_root())
    return make_data(cache, Labels.of(dataset), splits)


def _size(folder: Path, epochs: int) -> None:
    size, weights = ((folder / name).stat().st_size for name in (EPOCH_SCORES, BEST))
    print(
        f"bytes a trial: {size:,}, {size / epochs:,.0f} an epoch; over {BEST} of {weights:,}: "
        f"{size / weights:.4f}, at 20 epochs {20 * size / epochs / weights:.4f}"
    )


def _writing(folder: Path, found: EpochScores, epochs: list[float], rounds: int) -> None:
    """Time the file of all epochs, and hold it against epochs as often."""
    kept = {
        int(number): HalfLogits(found.scores[at], found.centres[at])
        for at, number in enumerate(found.epochs)
    }
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        save_epoch_scores(folder, found.names, kept)
        took.append(time.perf_counter() - start)
    later = epochs[1:] or epochs  # the first builds the model
    each = [later[i % len(later)] for i in range(rounds)]
    print(
        f"seconds a write: {Spread.of(took).text(4)}; over an epoch of {Spread.of(each).text(1)}: "
        f"{ratios(took, each).text(5)}"
    )


def _rounding(data: TrainData, found: EpochScores, values: list[float]) -> None:
    """Compare AUROC by the file with that of the curve, epoch by epoch."""
    labels, patients = data.labels[data.val_seed], data.patients[data.val_seed]
    kept, plain, shares = [], [], []
    for number, scores, value in zip(found.epochs, found.scores, values, strict=True):
        whole = found.logits(int(number))
        kept.append(abs(mean_auroc(auroc(labels, scores)) - value))
        plain.append(abs(mean_auroc(auroc(labels, whole.astype(np.float16))) - value))
        psi = influence(labels, whole, patients).psi
        shares.append(kept[-1] / float(np.sqrt(np.square(psi).sum())))
    print(
        f"mean AUROC by the file less that by probabilities: {Spread.of(kept).text(6)}, without "
        f"medians {Spread.of(plain).text(6)}; over the patients' standard error "
        f"{Spread.of(shares).text(5)}"
    )


if __name__ == "__main__":
    main()
