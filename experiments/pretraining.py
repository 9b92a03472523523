"""What starting weights are worth: short trainings from each, on the validation part alone.

    cxrsearch pretrain autoencoder --data my-xrays --out scratch/ae --input-size 64
    cxrsearch pretrain contrastive --data my-xrays --out scratch/views --input-size 64
    python -m experiments.pretraining --data my-xrays --input-size 64 \\
        --init autoencoder=scratch/ae/weights.safetensors \\
        --init contrastive=scratch/views/weights.safetensors

A seed chooses the images of the training part that are used (``--images``), the head and the order;
each seed trains from every init on the same images, so differences to ``none`` are paired. Two
trainings each: ``fine-tuned``, all weights, and ``probe``, the head alone on frozen features. The
value is the best epoch's mean AUROC on the whole validation part, as a trial's is: it is selected
there, from as many epochs for each. The pre-training itself is one draw: more seeds here say
nothing of another one.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.train import train
from cxrsearch.study.settings import Settings
from cxrsearch.systems.pretrain.command import read_pool
from search.seeds import derive

ALL_BLOCKS = 5


def value_of(recipe: Recipe, data: TrainData, seed: int, compute: ComputeOptions) -> float:
    """The mean AUROC that a training comes to, as a trial's."""
    folder = Path(tempfile.mkdtemp(prefix="pretraining-"))
    running = train(recipe, data, seed=seed, folder=folder, compute=compute, resamples=1)
    try:
        while True:
            next(running)
    except StopIteration as stop:
        return float(stop.value.value)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def recipes(
    inits: dict[str, str], epochs: int, probe_epochs: int, size: str, lr: float
) -> dict[str, dict[str, Recipe]]:
    """Kind of training -> init -> recipe."""
    base = Recipe(input_size=size, batch_size=16, schedule="onecycle")
    tuned = replace(base, epochs=epochs, lr=lr)
    # Nothing of the network moves, so the head can take larger steps.
    probe = replace(base, epochs=probe_epochs, lr=10 * lr, freeze=ALL_BLOCKS)
    kinds = {"fine-tuned": tuned, "probe": probe}
    return {
        kind: {name: replace(made, init=path) for name, path in inits.items()}
        for kind, made in kinds.items()
        if made.epochs > 0
    }


def describe(values: dict[str, Sequence[float]]) -> list[str]:
    """A line an init: mean, and the paired differences to the first."""
    first, *_ = values
    lines = []
    for name, found in values.items():
        pairs = [a - b for a, b in zip(found, values[first], strict=True)]
        spread = f" +- {statistics.stdev(pairs):.4f} (sd)" if len(pairs) > 1 else ""
        each = " ".join(f"{pair:+.4f}" for pair in pairs)
        gain = f"{statistics.mean(pairs):+.4f}{spread}  each: {each}" if name != first else ""
        lines.append(f"  {name:<14}{statistics.mean(found):.4f}  {gain}".rstrip())
    return lines


def main() -> None:
    """Parse, train from every init over the seeds, print means and paired differences."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", default="phantom")
    parser.add_argument("--phantom-images", type=int, default=600)
    parser.add_argument("--init", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--input-size", default="64")
    parser.add_argument("--images", type=int, default=400, help="of the training part, a seed")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--probe-epochs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split-seed", type=int, default=0, help="--seed of the pre-training")
    parser.add_argument("--cache")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    inits = {"none": "none", **dict(each.split("=", 1) for each in args.init)}
    data, labelled = _data(args)
    print(
        f"{len(labelled)} labelled training images, {min(args.images, len(labelled))} of them a "
        f"seed; {len(data.val)} validation images; {args.input_size} pixels; {args.seeds} seeds"
    )
    kinds = recipes(inits, args.epochs, args.probe_epochs, args.input_size, args.lr)
    for kind, made in kinds.items():
        values: dict[str, list[float]] = {name: [] for name in inits}
        for seed in range(args.seeds):
            rng = np.random.default_rng([derive(args.split_seed, "pretraining"), seed])
            few = np.sort(rng.permutation(labelled)[: args.images])
            for name, recipe in made.items():
                compute = ComputeOptions(args.device, args.threads)
                value = value_of(recipe, replace(data, train=few), seed, compute)
                values[name].append(value)
                print(f"# {kind} seed {seed} {name}: {value:.4f}", flush=True)
        print(f"{kind}, {next(iter(made.values())).epochs} epochs: mean AUROC, less that of none")
        print("\n".join(describe(dict(values))))


def _data(args: Any) -> tuple[TrainData, np.ndarray]:
    """The data as the pre-training saw them, and the labelled rows of the training part."""
    from cxrsearch.systems.pretrain.run import PretrainPlan

    settings = Settings(
        data=args.data, seed=args.split_seed, cache=args.cache, phantom_images=args.phantom_images
    )
    pool = read_pool(settings.with_absolute_paths(), PretrainPlan(input_size=args.input_size))
    rows = pool.data.train
    return pool.data, rows[: len(rows) - pool.unlabelled]


if __name__ == "__main__":
    main()
