"""Dense layers that keep their inputs only and compute again what the backward pass needs.

A dense layer normalises all features before it, so what a block keeps for the backward pass
grows with the square of its depth; computed again it grows with the depth alone (Pleiss et
al., "Memory-Efficient Implementation of DenseNets", 2017). A forward pass of the block is
the price. Unlike torchvision's ``memory_efficient`` the second pass leaves the running
statistics of batch normalisation alone, so the training is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from types import MethodType
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from cxrsearch.learn.networks.torchvision_import import models as vision_models

_DenseLayer: Any = vision_models.densenet._DenseLayer


def recompute(model: nn.Module) -> bool:
    """Make the dense layers of ``model`` that are trained compute again; False where it has none.

    Parameters, buffers and their names stay.
    """
    layers = [m for m in model.modules() if isinstance(m, _DenseLayer)]
    trained = [m for m in layers if any(p.requires_grad for p in m.parameters())]
    for layer in trained:
        if not recomputes(layer):
            layer.forward = MethodType(_again, layer)  # a copy's is the copy's own
    return bool(trained)


def recomputes(module: nn.Module) -> bool:
    """Whether ``module`` is a layer that computes again."""
    return "forward" in vars(module)


def _again(layer: nn.Module, features: Any) -> Any:
    norms = [m for m in layer.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    return checkpoint(
        partial(type(layer).forward, layer),
        list(features),  # the block's own list grows
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), _unmoved(norms)),
    )


@contextmanager
def _unmoved(norms: list[Any]) -> Iterator[None]:
    """Inside, batch normalisation doesn't follow its running statistics."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked -= 1  # the pass counts itself
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
