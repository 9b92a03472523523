"""The networks: torchvision's architectures with 14 logits and a one-channel stem.

To add one: write a builder that returns a `Parts`, enter it in `MODELS`, and add its name
to the choices of `Recipe.model`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import Recipe

from . import weights as weight_files
from .stem import GreyStem
from .torchvision_import import models as vision_models

VGG16_STAGES = ((0, 5), (5, 10), (10, 17), (17, 24), (24, 31))
"""First and past-the-last layer of VGG16's five stages (Simonyan & Zisserman, table 1, D)."""


@dataclass
class Parts:
    """A network and what has to be known about it.

    Args:
        net: takes (b, 1, H, W) grey in [0, 1], gives (b, n_classes) logits.
        blocks: what ``freeze`` counts, from the input on.
        stem: name of the `GreyStem` inside ``net``.
        features: ``(net, grey) -> (b, channels, h, w)``, the maps that the head pools.
    """

    net: nn.Module
    blocks: list[list[nn.Module]]
    stem: str
    features: Callable[[Any, Tensor], Tensor]


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
        if where not in ("cpu", "cuda") or not torch.is_autocast_enabled(where):
            return super().forward(F.dropout(input, self.dropout, self.training))
        with torch.autocast(where, enabled=False):
            return super().forward(F.dropout(input.float(), self.dropout, self.training))


class Network(nn.Module):
    """A network with some of its first blocks frozen: (b, 1, H, W) in [0, 1] -> (b, 14) logits.

    Frozen blocks get no gradient and keep their batch normalisation at its stored
    statistics, in training too.

    Args:
        parts: the network.
        freeze: how many blocks to freeze; more than there are freezes all of them.

    Attributes:
        net: torchvision's module, with torchvision's parameter names.
        notes: what was left out of the starting weights, for people.
    """

    def __init__(self, parts: Parts, freeze: int = 0) -> None:
        super().__init__()
        self.net = parts.net
        self.stem = parts.stem
        self._features = parts.features
        self.notes: tuple[str, ...] = ()
        # A tuple, so that the modules are not registered a second time.
        self._frozen = tuple(module for block in parts.blocks[:freeze] for module in block)
        for module in self._frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; frozen blocks stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) grey in [0, 1] -> (b, n_classes) logits."""
        logits: Tensor = self.net(grey)
        return logits

    def features(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) grey in [0, 1] -> (b, channels, h, w) maps, which the head pools."""
        return self._features(self.net, grey)


def _densenet121(recipe: Recipe, n_classes: int) -> Parts:
    """DenseNet121 (Huang et al., CVPR 2017). Blocks: stem, then four dense blocks.

    Each dense block counts with the layer after it (transition, or the last norm).
    ``dropout`` acts before the last layer.
    """
    net: Any = vision_models.densenet121(weights=None)
    features = net.features
    features.conv0 = GreyStem(features.conv0)
    net.classifier = _last_layer(net.classifier.in_features, n_classes, recipe.dropout)
    after = (features.transition1, features.transition2, features.transition3, features.norm5)
    dense = [[getattr(features, f"denseblock{i}"), after[i - 1]] for i in range(1, 5)]
    blocks = [[features.conv0, features.norm0], *dense]
    return Parts(net, blocks, "features.conv0", lambda net, grey: F.relu(net.features(grey)))


def _vgg16(recipe: Recipe, n_classes: int) -> Parts:
    """VGG16 (Simonyan & Zisserman, ICLR 2015). Blocks: the five convolution stages.

    ``vgg_head: full`` keeps torchvision's three dense layers; ``dropout`` is then the rate
    of both dropouts between them, as torchvision's own argument of that name is.
    ``pooled`` is a global average pool, ``dropout``, and one layer.
    """
    net = (
        _vgg16_pooled(recipe, n_classes)
        if recipe.vgg_head == "pooled"
        else _vgg16_full(recipe, n_classes)
    )
    net.features[0] = GreyStem(net.features[0])
    blocks = [list(net.features[start:end]) for start, end in VGG16_STAGES]
    return Parts(net, blocks, "features.0", lambda net, grey: net.features(grey))


def _vgg16_full(recipe: Recipe, n_classes: int) -> Any:
    net: Any = vision_models.vgg16(weights=None, dropout=recipe.dropout)
    net.classifier[-1] = _last_layer(net.classifier[-1].in_features, n_classes, 0.0)
    return net


def _vgg16_pooled(recipe: Recipe, n_classes: int) -> Any:
    target = torch.get_default_device()
    with torch.device("meta"):  # drawing the 120 million weights of its head takes seconds
        net: Any = vision_models.vgg16(weights=None)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = _last_layer(512, n_classes, recipe.dropout)
    net.features.to_empty(device=target)
    for layer in net.features:  # as torchvision starts it
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return net


def _last_layer(n_in: int, n_classes: int, dropout: float) -> DropoutLinear:
    layer = DropoutLinear(n_in, n_classes, dropout)
    nn.init.zeros_(layer.bias)
    return layer


MODELS: dict[str, Callable[[Recipe, int], Parts]] = {
    "densenet121": _densenet121,
    "vgg16": _vgg16,
}
"""Builders by the names that `Recipe.model` allows."""


def build_model(
    recipe: Recipe,
    weights_dir: Path | None = None,
    *,
    n_classes: int = len(DISEASES),
    download: bool = False,
) -> Network:
    """The network of a recipe, on the CPU, in channels_last and in training mode.

    With ``init: none`` the weights are torchvision's own random start (from torch's global
    generator), the stem folded from its three-channel start.

    Args:
        recipe: genes ``model``, ``vgg_head``, ``init``, ``freeze``, ``dropout``.
        weights_dir: folder with torchvision's weight files; torch.hub's own by default.
        n_classes: logits.
        download: allow fetching ImageNet weights that are not there.

    Raises:
        InputError: where starting weights are missing, damaged or of another network.
    """
    model = Network(MODELS[recipe.model](recipe, n_classes), recipe.freeze)
    if recipe.init != "none":
        if download and recipe.init == "imagenet":
            weight_files.download_weights(recipe.model, weights_dir)
        state, notes = _start(model, recipe.init, recipe.model, weights_dir)
        model.net.load_state_dict(state, strict=False)
        model.notes = tuple(notes)
    return model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]


def _start(
    model: Network, init: str, name: str, weights_dir: Path | None
) -> tuple[dict[str, Tensor], list[str]]:
    path = weight_files.find_weights(init, name, weights_dir)
    if not path.is_file():
        raise InputError(weight_files.missing_problem(init, name, path))
    return weight_files.starting_weights(model.net.state_dict(), path, model.stem)


def weights_problem(init: str, model: str, weights_dir: Path | None = None) -> str | None:
    """Why ``init`` cannot be used for ``model``, or None. Downloads nothing.

    Reads the file and holds it against the network, so that no trial finds out later.

    Args:
        init: ``none``, ``imagenet`` or a path.
        model: a name out of `MODELS`.
        weights_dir: folder with torchvision's weight files; torch.hub's own by default.
    """
    if init == "none":
        return None
    try:
        with torch.device("meta"):  # shapes only: costs no memory
            network = Network(MODELS[model](Recipe(model=model, vgg_head="pooled"), len(DISEASES)))
        _start(network, init, model, weights_dir)
    except InputError as error:
        return "; ".join(error.problems)
    return None
