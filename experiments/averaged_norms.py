"""Which statistics of batch normalisation fit averaged weights: averaged alike, or measured?

    python -m experiments.averaged_norms --data DIR

One training a seed; after each epoch the very same averaged weights are scored on the validation
part with either, so that nothing else differs. Prints a line an epoch with the mean AUROC of the
weights as they are, of the averaged ones with averaged statistics, and with statistics measured on
so many training images (0: all of them), as they are or augmented.
"""

from __future__ import annotations

import argparse
import tempfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cxrsearch.learn.augment.frames import to_float
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import Pixels, TrainData, even_slices, make_data
from cxrsearch.learn.fitting.norms import TYPICAL_IMAGES, measure_norms
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import Labels
from cxrsearch.study.named_recipes import Named
from cxrsearch.study.one_recipe import prepare_recipe
from cxrsearch.study.settings import TrainingRequest

MEASURED = {
    f"{TYPICAL_IMAGES} images": (TYPICAL_IMAGES, False),
    "all": (0, False),
    "all, augmented": (0, True),
}


def data_of(folder: str, recipe: Recipe) -> TrainData:
    """The images below ``folder``, split as for a training of ``recipe``."""
    with tempfile.TemporaryDirectory() as work:
        ready = prepare_recipe(Named("", recipe), TrainingRequest(data=folder), Path(work) / "m")
    return make_data(ready.parts.cache, Labels.of(ready.parts.dataset), ready.parts.splits)


def measured(learner: Learner, network: nn.Module, count: int, augmented: bool) -> nn.Module:
    """A copy of ``network`` with statistics of ``count`` training images."""
    network, generator = deepcopy(network), torch.Generator().manual_seed(1)
    rows = np.random.default_rng(learner.seed).permutation(len(learner.marks))
    rows = rows[: count or len(rows)]
    batches = learner.pixels.batches(rows, even_slices(len(rows), 32))
    measure_norms(
        network,
        (learner.augment(b, generator) if augmented else to_float(b) for b, _ in batches),
    )
    return network


def value(data: TrainData, pixels: Pixels, network: nn.Module) -> float:
    """Mean AUROC of ``network`` on the validation part."""
    network.eval()
    with torch.inference_mode():
        batches = pixels.batches(np.arange(len(pixels)), even_slices(len(pixels), 64))
        logits = [
            network(to_float(b).contiguous(memory_format=torch.channels_last)) for b, _ in batches
        ]
    found = auroc(data.labels[data.val], torch.sigmoid(torch.cat(logits)).numpy())
    return mean_auroc(found[list(data.columns)])


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="X-rays with a label table")
    parser.add_argument("--model", default="densenet121")
    parser.add_argument("--side", type=int, default=64, help="of the input")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    recipe = Recipe(
        model=given.model, input_size=given.side, epochs=given.epochs, ema=0.99, rotation=10.0,
        width_shift=0.05, height_shift=0.05, horizontal_flip=True,
    )  # fmt: skip
    data = data_of(given.data, recipe)
    print("seed epoch  as is  averaged  " + "  ".join(MEASURED))
    for seed in given.seeds:
        learner = Learner(recipe, data, seed=seed, compute=ComputeOptions("cpu"))
        pixels = Pixels(data, data.val, recipe, learner.device)
        for epoch in range(1, given.epochs + 1):
            learner.epoch(epoch)
            assert learner.average is not None
            averaged = learner.average.network(deepcopy(learner.model))
            networks = [deepcopy(learner.model), averaged]
            networks += [measured(learner, averaged, *how) for how in MEASURED.values()]
            figures = (f"{value(data, pixels, network):.4f}" for network in networks)
            print(seed, epoch, *figures, sep="  ", flush=True)


if __name__ == "__main__":
    main()
