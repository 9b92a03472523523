"""Could the output of frozen blocks be computed once a trial? How often, what it saves and takes.

    python -m experiments.frozen

What frozen blocks make of an image never changes while nothing augments it. Prints, for each
network and number of frozen blocks, the share of a training step's arithmetic that lies in
them (counted, on no device; they have no backward pass as it is), the bytes of what they put
out for an image beside the image's own, and the share of the recipes drawn from each shipped
space that freeze something and augment nothing.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.augment.batch import Augment
from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.label_genes import AtHand, read_space
from cxrsearch.study.projection import sample_recipes
from cxrsearch.study.space import shipped_spaces
from search.space import SearchSpace

BATCH = 32
DRAWN = 2000


class Reached(Exception):  # noqa: N818 - the way out, not an error
    """The last frozen module has put something out."""


def step(model: str, freeze: int, size: int) -> tuple[float, float]:
    """The frozen part's share of a training step's FLOPs, and the bytes that it puts out an image.

    Args:
        model: a name out of `NETWORKS`.
        freeze: blocks; at least 1.
        size: side of the input.
    """
    with torch.device("meta"):  # shapes only
        network: Any = build_model(
            Recipe(model=model, vgg_head="pooled", freeze=freeze), n_classes=14
        )
        images = torch.empty(BATCH, 1, size, size)
    with FlopCounterMode(display=False) as whole:
        network(images).sum().backward()
    put_out: list[int] = []

    def stop(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        put_out.append(output.numel())
        raise Reached

    network._frozen[-1].register_forward_hook(stop)
    with FlopCounterMode(display=False) as frozen, contextlib.suppress(Reached):
        network(images)
    return frozen.get_total_flops() / whole.get_total_flops(), 4 * put_out[0] / BATCH


def allowed(space: SearchSpace) -> float:
    """Share of the recipes drawn from ``space`` that freeze something and augment nothing."""
    recipes = sample_recipes(space, DRAWN)
    return sum(r.freeze > 0 and not Augment(r).active for r in recipes) / len(recipes)


def main() -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    size = parser.parse_args().size
    print(
        f"{'network':>14}{'frozen blocks':>15}{'of a step':>11}{'bytes an image':>16}{'x image':>9}"
    )
    for model in NETWORKS:
        for freeze in range(1, 6):
            share, bytes_each = step(model, freeze, size)
            print(
                f"{model:>14}{freeze:>15}{share:>11.1%}{bytes_each:>16,.0f}"
                f"{bytes_each / size**2:>9.1f}"
            )
    print(f"\nof {DRAWN} recipes drawn from each space freeze something and augment nothing:")
    for name, path in shipped_spaces().items():
        print(f"{name:>14}{allowed(read_space(path, AtHand(DISEASES))):>11.2%}")


if __name__ == "__main__":
    main()
