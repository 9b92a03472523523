"""What tests of networks share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cxrsearch.learn.networks.linearised import FrozenGates
from cxrsearch.learn.networks.models import Network


@pytest.fixture
def of_biases() -> Callable[[Network, Tensor], Tensor]:
    """A network's logits without what places add: (b, 3), of biases and of whole-image tokens."""

    def summed(network: Network, grey: Tensor) -> Tensor:
        """(b, k) what biases and tokens of the whole image add to the logits, summed one by one."""
        first, maps, logits = network.cut(grey)
        raw = first.detach().requires_grad_(True)
        biases = [
            p.requires_grad_() for n, p in network.net.named_parameters() if n.endswith("bias")
        ]
        found = torch.zeros(len(grey), 3)
        for image in range(len(grey)):
            for column in range(3):
                with FrozenGates():
                    out = logits(raw)[image, column]
                slopes = torch.autograd.grad(out, [raw, *biases], allow_unused=True)
                parts = [
                    (slope * bias.detach()).sum()
                    for slope, bias in zip(slopes[1:], biases, strict=True)
                    if slope is not None
                ]
                whole = raw.detach() * slopes[0]
                tokens = (whole.sum() - maps(whole).sum()) if raw.ndim == 3 else torch.zeros(())
                found[image, column] = torch.stack([*parts, tokens]).sum()
        return found

    return summed
