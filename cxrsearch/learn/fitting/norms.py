"""Statistics of batch normalisation, measured for weights that no step has left behind.

Averaged weights were never trained: the running statistics of the weights they were averaged from
do not fit them, and an average of those statistics lags. A pass over training images measures
what fits (Izmailov et al., UAI 2018, section 3.2, "batch normalization").
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

TYPICAL_IMAGES = 256
"""Images that statistics are measured on: as good as all 1,229 of a small set, and cheap."""


@torch.no_grad()
def measure_norms(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the running statistics of ``model`` to the means over ``batches``.

    Layers that training leaves alone (of frozen blocks) keep theirs. Nothing else changes, and
    nothing is drawn: dropout is off. The model is left in evaluation mode.

    Args:
        model: with its weights in place.
        batches: (b, 1, H, W) images in [0, 1], all about as many, where the model is.
    """
    model.train()
    kinds = nn.modules.batchnorm._BatchNorm
    norms = [m for m in model.modules() if isinstance(m, kinds) and m.training]
    model.eval()
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    try:
        for number, images in enumerate(batches if norms else (), start=1):
            for norm in norms:  # torch's own mean over batches would ask the device how many
                norm.momentum = 1 / number
            model(images.contiguous(memory_format=torch.channels_last))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()
