"""How many images go through a network at once, and what is said where that is not the batch."""

from __future__ import annotations

import torch
from torch import nn

from cxrsearch.learn import device as devices
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.recompute import recompute


def choose_micro(
    model: nn.Module,
    recipe: Recipe,
    device: torch.device,
    given: int | None,
    share: float,
    smallest: int,
) -> tuple[int, tuple[str, ...]]:
    """Images that go through ``model`` at once, and notes on it.

    Where memory allows less than wanted, layers of ``model`` that can compute again what they
    would keep do so from then on.

    Args:
        model: the network, on the CPU.
        recipe: gives input size and batch size.
        device: where it will run.
        given: so many; None: as memory allows.
        share: of the free memory that may be used.
        smallest: images that have to go through together.
    """

    def fit() -> int:
        return devices.micro_batch(model, recipe.input_size, recipe.batch_size, device, share)

    notes: tuple[str, ...] = ()
    wanted, found = given or recipe.batch_size, fit()
    if found < wanted and recompute(model):
        notes += ("memory is short: dense blocks are computed again for the gradients",)
        found = fit()
    chosen = max(smallest, given or found)
    if given is None and smallest > 1 and chosen < wanted:
        notes += (
            f"memory allows {chosen} of {wanted} images at once: batch normalisation is over those",
        )
    return chosen, notes
