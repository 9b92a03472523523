"""The layer that turns features into logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DropoutLinear(nn.Linear):
    """A linear layer with dropout before it, under the parameter names of a plain one."""

    def __init__(self, n_in: int, n_out: int, dropout: float) -> None:
        super().__init__(n_in, n_out)
        self.dropout = dropout

    def forward(self, input: Tensor) -> Tensor:
        """(b, n_in) -> (b, n_out), in float32 also under autocast.

        bfloat16 has some 250 levels an octave: rounded to them, logits would tie.
        """
        where = input.device.type
        if where not in ("cpu", "cuda", "mps") or not torch.is_autocast_enabled(where):
            return super().forward(F.dropout(input, self.dropout, self.training))
        with torch.autocast(where, enabled=False):
            return super().forward(F.dropout(input.float(), self.dropout, self.training))


def layer_of_logits(network: nn.Module) -> DropoutLinear:
    """The layer of ``network`` that gives its logits."""
    return [module for module in network.modules() if isinstance(module, DropoutLinear)][-1]


def last_layer(n_in: int, n_classes: int, dropout: float) -> DropoutLinear:
    """``n_in`` features to ``n_classes`` logits, with biases of 0."""
    layer = DropoutLinear(n_in, n_classes, dropout)
    nn.init.zeros_(layer.bias)
    return layer
