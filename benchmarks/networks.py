"""Parameters, operations and training time of each network, beside DenseNet121's.

    python -m benchmarks.networks --size 64 --networks resnet18 timm:tf_efficientnet_lite0

Times are of whole training steps on random pictures, on one thread, each as a ratio to
DenseNet121's in the same round; operations are counted on shapes.
"""

from __future__ import annotations

import argparse

import torch

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.cost.recipe_kinds import image_flops, kind_of
from cxrsearch.study.cost.stopwatch_process import Stopwatch

from .measure import interleave, ratios

CLASSES = 14

BASE = "densenet121"


def million_parameters(recipe: Recipe) -> float:
    """Weights of the recipe's network, in millions."""
    with torch.device("meta"):
        network = build_model(recipe, n_classes=CLASSES)
    return sum(p.numel() for p in network.parameters()) / 1e6


def main() -> None:
    """Count, time and print a row a network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--size", type=int, default=64, help="side of the images")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each timing")
    parser.add_argument("--rounds", type=int, default=3, help="0: nothing is timed")
    given = parser.parse_args()
    names = dict.fromkeys([BASE, *given.networks])
    recipes = {
        name: Recipe(model=name, vgg_head="pooled", input_size=given.size, batch_size=given.batch)
        for name in names
    }
    compute = ComputeOptions("cpu", threads=1)

    def seconds(recipe: Recipe) -> float:
        watch = Stopwatch(recipe, compute, CLASSES)
        try:
            return watch.run(given.seconds)
        finally:
            watch.close()

    torch.set_num_threads(1)
    calls = {name: lambda r=recipe: seconds(r) for name, recipe in recipes.items()}
    times = interleave(calls, given.rounds)
    base = image_flops(kind_of(recipes[BASE]))
    print(f"{given.size} px, one thread; time and operations beside {BASE}")
    print(f"{'network':>28}{'million weights':>17}{'operations':>12}  time")
    for name, recipe in recipes.items():
        share = image_flops(kind_of(recipe)) / base
        spread = ratios(times[name], times[BASE]).text() if given.rounds else ""
        print(f"{name:>28}{million_parameters(recipe):>17.1f}{share:>12.2f}  {spread}")


if __name__ == "__main__":
    main()
