"""What each gene of images costs on the CPU: ``-m benchmarks.augmentation``.

A batch is what a step of training takes: pixels gathered from memory, augmented and mixed. Each
gene is set alone and takes turns with the plain batch; a ratio is formed within each round. Beside
it stands what it adds to a whole step of training, in percent of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from cxrsearch.learn.augment.batch import Augment
from cxrsearch.learn.augment.frames import shrunk
from cxrsearch.learn.augment.mixing import Mixing
from cxrsearch.learn.augment.sizes import size_at
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.recipe import Recipe

LABELS, IMAGES = 14, 256

GENES: dict[str, dict[str, Any]] = {
    "plain, again": {},
    "the report's ranges": {
        "rotation": 10.0, "width_shift": 0.05, "height_shift": 0.05, "shear": 0.04, "zoom": 0.04,
        "horizontal_flip": True,
    },
    "brightness and contrast": {"brightness": 0.2, "contrast": 0.2},
    "erasing": {"erasing": 0.5},
    "trivial": {"trivial": 0.5},
    "mixup": {"mix": "mixup"},
    "cutmix": {"mix": "cutmix"},
    "mosaic": {"mix": "mosaic"},
    "made smaller (start_size 0.5)": {"start_size": 0.5, "epochs": 10},
}  # fmt: skip
"""What is set, by what it is called."""


def batch_of(
    recipe: Recipe, pixels: torch.Tensor, batch: int
) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
    """A function that makes a batch as `Learner` does in its first epoch."""
    augment, mixing, size = Augment(recipe), Mixing(recipe), size_at(recipe, 1)
    generator = torch.Generator().manual_seed(1)
    targets = (torch.rand((len(pixels), LABELS), generator=generator) < 0.2).float()

    def make() -> tuple[torch.Tensor, torch.Tensor]:
        index = torch.randint(len(pixels), (batch,))
        images = augment(shrunk(pixels.index_select(0, index), size), generator)
        return mixing(images, targets[index], generator)

    return make


def step_of(recipe: Recipe, pixels: torch.Tensor, threads: int) -> Callable[[], object]:
    """A function that takes a step of training on a plain batch."""
    rows, none = np.arange(len(pixels)), np.zeros(0, np.int64)
    marks = (np.random.default_rng(0).random((len(pixels), LABELS)) < 0.2).astype(np.uint8)
    names = tuple(map(str, range(LABELS)))
    data = TrainData(
        images=pixels.numpy(), names=rows.astype(str), labels=marks, label_names=names,
        patients=rows.astype(str), train=rows, val=none, val_seed=none, split="",
        columns=tuple(range(LABELS)), learnt=tuple(range(LABELS)),
    )  # fmt: skip
    learner = Learner(recipe, data, seed=0, compute=ComputeOptions("cpu", threads=threads))
    index, generator = torch.arange(recipe.batch_size), torch.Generator().manual_seed(1)
    return lambda: learner.step(*learner.batch(pixels[: len(index)], index, generator))


def seconds(call: Callable[[], object], times: int) -> float:
    """Of one of ``times`` calls."""
    begin = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begin) / times


def main() -> None:
    """Print a line for each gene: ratio to the plain batch, range, share of a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="resnet18")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=1)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    shape = (IMAGES, asked.size, asked.size)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    plain = Recipe(model=asked.network, input_size=asked.size, batch_size=asked.batch)
    step = step_of(plain, pixels, asked.threads)
    step()
    whole = statistics.median(seconds(step, 1) for _ in range(5))
    base = batch_of(plain, pixels, asked.batch)
    print(f"{asked.network} at {asked.size}, batches of {asked.batch}, {asked.threads} thread(s)")
    for name, genes in GENES.items():
        made = batch_of(Recipe(**{"input_size": asked.size, **genes}), pixels, asked.batch)
        ratios, added = [], []
        for turn in range(asked.rounds + 1):
            pair = (base, made) if turn % 2 else (made, base)
            took = {call: seconds(call, 5) for call in pair}
            if turn:
                ratios.append(took[made] / took[base])
                added.append((took[made] - took[base]) / whole)
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"{name}: {middle:.2f} of a plain batch (quartiles {low:.2f} to {high:.2f}, "
            f"{asked.rounds} rounds); {statistics.median(added):+.2%} of a step"
        )


if __name__ == "__main__":
    main()
