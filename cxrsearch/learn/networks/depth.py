"""Stochastic depth for networks with residual branches that come without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class DroppedBranch:
    """A hook by which a residual branch puts out nothing for some images, in training only.

    What is kept is scaled up, so that its mean stays.

    Args:
        rate: share of the images.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, module: nn.Module, given: Any, output: Tensor) -> Tensor:
        """(b, ...) what the branch put out -> the same with some images' zeroed."""
        if not module.training:
            return output
        kept = 1 - self.rate
        noise = output.new_empty(len(output), *(1,) * (output.ndim - 1)).bernoulli_(kept)
        return output * noise.div_(kept)


def drop_branches(branches: Sequence[nn.Module], rate: float) -> None:
    """Let each of ``branches`` be dropped, the deeper the oftener (Huang et al., ECCV 2016).

    The l-th of L with probability l / L * ``rate`` (their eq. 4), image by image.

    Args:
        branches: modules whose output is added to a block's input, from the input on.
        rate: of the last; 0: nothing changes.
    """
    for number, branch in enumerate(branches, start=1):
        if rate > 0:
            branch.register_forward_hook(DroppedBranch(rate * number / len(branches)))
