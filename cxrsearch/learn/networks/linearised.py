"""What each place of an image adds to a logit: class activation maps of any network here.

Where the head is a linear layer on the mean of the last maps A, the class activation map of label k
(Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016) is the sum over
channels of W_kc A_c, and its mean and the bias are the logit. Other heads have more between the
two: layers with activations (VGG16, MobileNetV3), a layer norm (ConvNeXt), attention to a token
(ViT). There the head is made linear at the image itself: the factor by which each activation
multiplies what it is given, the deviation that a norm divides by, and the weights of attention stay
at the value that they have for this image. What is left is an affine function of A that gives the
very same logits, as a network of ReLUs is by nature (for norms and attention: Ali et al., "XAI for
Transformers: Better Explanations through Conservative Propagation", ICML 2022). Its gradient times
A, summed over channels, is the map. With ReLUs alone this is HiResCAM (Draelos & Carin 2020), and
with a linear head it is the class activation map itself.

In every case the mean of the map and what comes from no place (biases, and tokens of the whole
image) are the logit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .models import Network

GATED_BY_INPUT = frozenset(
    ("celu", "elu", "gelu", "hardswish", "hardtanh", "leaky_relu", "mish", "relu6", "selu", "silu",
     "tanh")
)  # fmt: skip
"""Activations f with f(0) = 0 that are no ReLU: f(x) = x g(x), and g is kept."""

KEPT_FACTORS = frozenset(("hardsigmoid", "sigmoid", "softmax"))
"""What gives factors of something else: kept as they are."""


class FrozenGates(TorchFunctionMode):
    """Within it what is computed is an affine function of its input with the same value.

    Factors of activations, deviations of norms and weights of attention count as constants.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call ``func`` with its non-linear factors detached."""
        kwargs, name = kwargs or {}, getattr(func, "__name__", "").rstrip("_")
        if name in GATED_BY_INPUT:
            given = args[0]
            out = func(given.detach().clone(), *args[1:], **kwargs)
            return given * torch.where(given == 0, 0, out / given).detach()
        if name in KEPT_FACTORS:
            return func(*args, **kwargs).detach()
        if name == "layer_norm":
            return _layer_norm(*args, **kwargs)
        if name == "rms_norm":
            return _rms_norm(*args, **kwargs)
        if name == "group_norm":
            return _group_norm(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            query, key, *others = args
            return func(query.detach(), key.detach(), *others, **kwargs)
        return func(*args, **kwargs)


def _layer_norm(
    given: Tensor,
    shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    axes = tuple(range(-len(shape), 0))
    away = given - given.mean(axes, keepdim=True)
    out = away * (away.square().mean(axes, keepdim=True) + eps).rsqrt().detach()
    return _scaled(out, weight, bias)


def _rms_norm(
    given: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    axes = tuple(range(-len(shape), 0))
    least = torch.finfo(given.dtype).eps if eps is None else eps
    return _scaled(
        given * (given.square().mean(axes, keepdim=True) + least).rsqrt().detach(), weight
    )


def _group_norm(
    given: Tensor,
    groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    rows = given.reshape(given.shape[0], groups, -1)
    out = _layer_norm(rows, rows.shape[2:], eps=eps).reshape(given.shape)
    wide = (-1, *(1,) * (given.ndim - 2))
    return _scaled(
        out,
        None if weight is None else weight.reshape(wide),
        None if bias is None else bias.reshape(wide),
    )


def _scaled(out: Tensor, weight: Tensor | None, bias: Tensor | None = None) -> Tensor:
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


class Placed(NamedTuple):
    """What places and the rest add to logits.

    Args:
        maps: (b, k, h, w) float32; the mean over h and w is what all places add.
        elsewhere: (b, k) what comes from no place: biases, and tokens of the whole image. With the
            mean of the map it makes the logit.
        logits: (b, k).
    """

    maps: Tensor
    elsewhere: Tensor
    logits: Tensor


def placed(network: Network, grey: Tensor, columns: Sequence[int] | None = None) -> Placed:
    """The class activation maps of some images, in float32.

    Args:
        network: in evaluation mode.
        grey: (b, 1, H, W) in [0, 1], on its device.
        columns: k of its labels; None: all.

    Raises:
        ValueError: where the network is in training mode, or its last layers give no maps.
    """
    if network.training:
        raise ValueError("the network is in training mode, where a logit depends on the batch")
    with torch.no_grad():
        first, to_maps, to_logits = network.cut(grey)
    raw = first.detach().requires_grad_(True)
    with torch.enable_grad(), FrozenGates():
        every = to_logits(raw)
        wanted = list(range(every.shape[1])) if columns is None else list(columns)
        maps = []
        for column in wanted:
            (slope,) = torch.autograd.grad(every[:, column].sum(), raw, retain_graph=True)
            maps.append(to_maps(raw.detach() * slope).sum(1))
    logits = every.detach()[:, wanted].float()
    found = torch.stack(maps, 1).detach().float()
    found = found * (found.shape[2] * found.shape[3])
    return Placed(found, logits - found.mean((2, 3)), logits)


def is_plain(network: Network, found: Placed, columns: Sequence[int] | None = None) -> bool:
    """Whether the maps are class activation maps as first defined: the rest is the bias alone.

    It is so where the head is linear after global average pooling.

    Args:
        network: what they are of.
        found: some images' maps.
        columns: as of `placed`.
    """
    bias = network.net.get_submodule(network.last).bias
    if not isinstance(bias, Tensor):
        return False
    own = bias.detach().to(found.elsewhere)
    own = own if columns is None else own[list(columns)]
    size = 1 + found.logits.abs().max() + found.maps.abs().mean()
    return bool((found.elsewhere - own).abs().max() <= 1e-4 * size)
