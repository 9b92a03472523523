"""Dense blocks that find the statistics of a feature once, and not in every layer after it.

Each layer of a dense block normalises all features before it anew, and so does the layer that
follows the block; in training their means and variances over the batch are the same every time.
What is computed is the same but for roundings, the running statistics included.

The product does without: on a CPU this was slower at 64 pixels (0.91 of the speed of torchvision's
blocks) and hardly faster at 128 (1.03), and on a GPU it takes torch's own kernel in the place of
cuDNN's. ``gpu --steps norms`` says what it gains there.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cxrsearch.learn.networks.torchvision_import import models as vision_models

_densenet: Any = vision_models.densenet

STATISTICS = "statistics"
"""The attribute of a tensor that holds mean and inverse deviation of its channels."""


def share_statistics(model: nn.Module) -> bool:
    """Make the dense blocks of ``model`` find statistics once; False where it has none.

    Parameters, buffers and their names stay.
    """
    blocks = [m for m in model.modules() if type(m) is _densenet._DenseBlock]
    for block in blocks:
        block.__class__ = KnowingBlock
        for layer in block.values():
            layer.__class__ = KnowingLayer
            layer.norm1.__class__ = KnowingNorm
    if blocks:
        for module in model.modules():
            if isinstance(module, _densenet._Transition):
                module.norm.__class__ = KnowingNorm
            elif isinstance(module, _densenet.DenseNet):
                module.features.norm5.__class__ = KnowingNorm
    return bool(blocks)


def statistics_of(features: Tensor) -> Tensor:
    """(2, c) mean and inverse deviation of (b, c, H, W) ``features`` over the batch, found once."""
    found = getattr(features, STATISTICS, None)
    if found is None:
        with torch.no_grad():
            _, mean, inverse = torch.native_batch_norm(
                features.detach(), None, None, None, None, True, 0.0, KnowingNorm.EPS
            )
            found = torch.stack([mean, inverse])
        setattr(features, STATISTICS, found)
    return found


def together(features: list[Tensor]) -> Tensor:
    """``features`` one after another along the channels, with what is known of them."""
    whole = torch.cat(features, 1)
    setattr(whole, STATISTICS, torch.cat([statistics_of(each) for each in features], 1))
    return whole


class KnowingBlock(_densenet._DenseBlock):  # type: ignore[misc]
    """torchvision's dense block, whose output carries its statistics."""

    def forward(self, init_features: Tensor) -> Tensor:
        """(b, c, H, W) -> (b, c + layers * growth, H, W)."""
        if not self.training:
            out: Tensor = super().forward(init_features)
            return out
        features = [init_features]
        for layer in self.values():
            features.append(layer(features))
        return together(features)


class KnowingLayer(_densenet._DenseLayer):  # type: ignore[misc]
    """torchvision's dense layer, which normalises by what is known of its features."""

    def bn_function(self, inputs: list[Tensor]) -> Tensor:
        """The bottleneck of all features before the layer."""
        whole = together(inputs) if self.training else torch.cat(inputs, 1)
        out: Tensor = self.conv1(self.relu1(self.norm1(whole)))
        return out


class KnowingNorm(nn.BatchNorm2d):
    """Batch normalisation by statistics that its input carries, where it does."""

    EPS = 1e-5

    def forward(self, input: Tensor) -> Tensor:
        """(b, c, H, W), normalised over the batch in training."""
        known = getattr(input, STATISTICS, None)
        if known is None or not self.training or self.eps != self.EPS:
            return super().forward(input)
        self._follow(known, input.numel() // input.shape[1])
        out: Tensor = _Normalised.apply(input, self.weight, self.bias, known, self.eps)  # type: ignore[no-untyped-call]
        return out

    @torch.no_grad()
    def _follow(self, known: Tensor, count: int) -> None:
        """Take the batch's mean and unbiased variance into the running ones."""
        assert self.momentum is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        variance = _variance(known[1], self.eps) * (count / max(1, count - 1))
        self.running_mean.lerp_(known[0], self.momentum)
        self.running_var.lerp_(variance, self.momentum)


class _Normalised(torch.autograd.Function):
    """Batch normalisation whose statistics were found before: its backward pass is torch's own."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, known: Tensor, eps: float) -> Tensor:  # noqa: E501  # fmt: skip
        mean, inverse = known
        ctx.save_for_backward(features, weight, known)
        ctx.eps = eps
        variance = _variance(inverse, eps)
        return torch.native_batch_norm(features, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> Any:
        features, weight, known = ctx.saved_tensors
        mean, inverse = known
        found = torch.ops.aten.native_batch_norm_backward(
            above[0], features, weight, None, None, mean, inverse, True, ctx.eps,
            list(ctx.needs_input_grad[:3]),
        )  # fmt: skip
        return (*found, None, None)


def _variance(inverse: Tensor, eps: float) -> Tensor:
    """From 1 / sqrt(variance + eps)."""
    return inverse.pow(-2).sub_(eps).clamp_(min=0.0)
