"""Mixtures of a batch: images by a mix of `cxrsearch.learn.mixes`, and their targets by share.

A part is asked for what is known of it and no more: a mark that is known for a share s of the
picture weighs s times what it weighs alone. With w the weights of a label's marks in the parts (0
where it is not known) and t the marks, the mixture's weight is W = sum s w, and its mark
T = sum s w t / W. For a loss that is linear in its targets, as all of `cxrsearch.learn.losses` are,
W loss(z, T) is the sum of s w loss(z, t) over the parts (Zhang et al. compute it so). So the
mixture is known only as far as its parts are, and a mark's weight is what it was on average over an
epoch: the steps are as long as without a mix.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cxrsearch.learn.mixes import MIX_DRAWS, MIXES
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.registry import taken

from .draws import beside


class Mixing:
    """What a recipe makes of a whole batch, on whatever device it is.

    Args:
        recipe: the gene ``mix`` and those that it takes.

    Attributes:
        active: whether anything is done at all.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.active = recipe.mix in MIXES
        if self.active:
            self._mix = MIXES[recipe.mix]
            self._genes = taken(self._mix, recipe)

    def __call__(
        self, images: Tensor, targets: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Mix each image with those that follow it.

        The same numbers are drawn whatever the mix, from a stream beside the epoch's: all else is
        drawn as without one.

        Args:
            images: (b, 1, H, W), in random order.
            targets: (b, k), or (b, 2r, k) with a weight after each, as for `mixed_targets`.
            generator: of the epoch, on the images' device.

        Returns:
            both, as they came in where there is no mix.
        """
        if not self.active:
            return images, targets
        own = beside(generator, "mix")
        draws = torch.rand((MIX_DRAWS, len(images)), generator=own, device=own.device)
        weights = self._mix(draws, images.shape[-2:], **self._genes)
        mixed = weights[0] * images
        for place in range(1, len(weights)):
            mixed = mixed + weights[place] * images.roll(-place, 0)
        return mixed, mixed_targets(targets, weights.mean(dim=(2, 3, 4)))


def mixed_targets(targets: Tensor, shares: Tensor) -> Tensor:
    """Targets of mixtures, as the module's text has it.

    Args:
        targets: (b, k) in [0, 1], or (b, 2r, k): r of them, each followed by its weights.
        shares: (p, b) of the image itself (first) and of those after it in the batch.

    Returns:
        of the same shape, and in [0, 1] as before.
    """
    spread = shares[:, :, None]
    whole = _sum(spread, torch.ones_like(targets if targets.ndim == 2 else targets[:, 0]))
    if targets.ndim == 2:
        return _sum(spread, targets) / whole
    rows = []
    for target, weight in zip(targets[:, ::2].unbind(1), targets[:, 1::2].unbind(1), strict=True):
        known = _sum(spread, weight)
        rows += [_sum(spread, weight * target) / known.clamp(min=_TINY), known / whole]
    return torch.stack(rows, dim=1)


_TINY = 1e-30  # where no part knows a mark, its weight is 0 whatever it is said to be


def _sum(shares: Tensor, values: Tensor) -> Tensor:
    """The sum over the parts of a mixture of (b, k) ``values``, by share."""
    total = shares[0] * values
    for place in range(1, len(shares)):
        total = total + shares[place] * values.roll(-place, 0)
    return total
