"""What a classifier of our own sees in images: the numbers behind its last layer.

Distances between sets of images are between these features (see `cxrsearch.learn.kid`). The
field's usual ones, of an ImageNet network, say little of X-rays and would have to be fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrsearch.learn.augment import prepare, to_float
from cxrsearch.learn.data import even_slices
from cxrsearch.learn.models import DropoutLinear
from cxrsearch.learn.recipe import Recipe

AT_ONCE = 32
"""Images that go through the network together."""


@dataclass(frozen=True)
class Features:
    """A classifier as a source of features.

    Args:
        network: a `models.Network`, in evaluation mode on ``device``.
        recipe: gives its window and input size.
        device: where it computes.
        name: what it is, for people.
    """

    network: nn.Module
    recipe: Recipe
    device: torch.device
    name: str

    @torch.inference_mode()
    def of(
        self, images: np.ndarray, on_progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """The features of images of any one size, cut and resized as for a prediction.

        Computed in float32, so that they are the same whatever the training's precision.

        Args:
            images: (n, F, F) uint8.
            on_progress: called with how many are done, of how many.

        Returns:
            (n, d) float32.
        """
        found: list[Tensor] = []

        def keep(layer: nn.Module, given: tuple[Any, ...]) -> None:
            found.append(given[0].flatten(1).float().cpu())

        self.network.eval()
        handle = _last_layer(self.network).register_forward_pre_hook(keep)
        try:
            for piece in even_slices(len(images), AT_ONCE):
                rows = np.arange(piece.start, piece.stop)
                batch = prepare(images, rows, self.recipe.crop, self.recipe.input_size)
                grey = to_float(batch.to(self.device))
                self.network(grey.contiguous(memory_format=torch.channels_last))
                if on_progress is not None:
                    on_progress(piece.stop, len(images))
        finally:
            handle.remove()
        return torch.cat(found).numpy()


def _last_layer(network: nn.Module) -> nn.Module:
    """The layer that gives the logits."""
    return [module for module in network.modules() if isinstance(module, DropoutLinear)][-1]
