"""A recipe's network: built from `NETWORKS`, its first blocks frozen, its weights loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, Self, TypeVar

import torch
from torch import Tensor, nn

from cxrsearch.errors import InputError
from cxrsearch.learn.registry import taken

from . import timm_networks
from .architectures import NETWORKS, TIMM, Cut, NetworkParts, size_of
from .weights.asked import IMAGENET, RANDOM, start_of, start_problem
from .weights.fitting import Taken, fit, starting_weights
from .weights.places import download_weights, find_weights, missing_problem
from .weights.reading import WeightsFile, read_weights, some_of
from .weights.renaming import Target
from .weights.report import Loaded

M = TypeVar("M", bound=nn.Module)


class Wanted(Protocol):
    """What a network is built from: a recipe, with the genes that the network takes besides."""

    @property
    def model(self) -> str:
        """A name out of `NETWORKS`, or ``timm:`` and one of timm's."""

    @property
    def input_size(self) -> int | str:
        """A side, or ``"HxW"``."""

    @property
    def init(self) -> str:
        """Starting weights; see `weights.asked.start_of`."""

    @property
    def freeze(self) -> int:
        """Blocks to freeze."""


class Network(nn.Module):
    """A network with some of its first blocks frozen: (b, 1, H, W) in [0, 1] -> (b, k) logits.

    Frozen blocks get no gradient and keep their batch normalisation at its stored
    statistics, in training too.

    Args:
        parts: the network.
        freeze: how many blocks to freeze; more than there are freezes all of them.

    Attributes:
        net: torchvision's module, with torchvision's parameter names.
        blocks: its stages from the input on, as `NetworkParts` has them.
        stem: name of the `GreyStem` in it.
        head: name of what turns features into logits in it.
        notes: what was loaded of the starting weights, and what was not, for people.
        last: name inside ``net`` of the layer that gives the logits.
        from_head: how many stages each parameter, by its name, is away from the head: 0 in the
            head, 1 in the last block; what is in neither goes with the parameter before it.
        head_given: whether starting weights brought that layer.
    """

    def __init__(self, parts: NetworkParts, freeze: int = 0) -> None:
        super().__init__()
        self.net = parts.net
        self.stem, self.head = parts.stem, parts.head
        # Tuples and lists, so that the modules are not registered a second time.
        self.blocks = parts.blocks
        self._norm = parts.mean, parts.std
        self._features, self._cut = parts.features, parts.cut
        self.notes = parts.notes
        self.last = _last_layer(parts)
        self.from_head = {f"net.{name}": far for name, far in _stages(parts).items()}
        self.head_given = False
        self._frozen = tuple(module for block in parts.blocks[:freeze] for module in block)
        for module in self._frozen:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Training or evaluation mode; frozen blocks stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def in_head(self, name: str) -> bool:
        """Whether a tensor of ``net`` belongs to the head, which alone need not fit a file."""
        return name.startswith(f"{self.head}.")

    @property
    def target(self) -> Target:
        """What starting weights are held against."""
        norms = (m for m in self.net.modules() if isinstance(m, nn.BatchNorm2d))
        eps = next((norm.eps for norm in norms), None)
        children = tuple(name for name, _ in self.net.named_children())
        patches = getattr(self.net, "patch_embed", None)
        grid = getattr(patches, "grid_size", None)
        return Target(self.net.state_dict(), self.stem, self.head, children, *self._norm, eps, grid)

    def forward(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) grey in [0, 1] -> (b, n_classes) logits."""
        logits: Tensor = self.net(grey)
        return logits

    @torch.no_grad()
    def start_at(self, logits: Tensor) -> None:
        """Let the biases of the last layer be ``logits`` (k,); a head that was given keeps its own.

        Its weights stay, so that an image's first logits scatter around these.
        """
        bias = getattr(self.net.get_submodule(self.last), "bias", None)
        if not self.head_given and isinstance(bias, Tensor):
            bias.copy_(logits)

    def features(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) grey in [0, 1] -> (b, channels, h, w) maps, which the head pools."""
        return self._features(self.net, grey)

    def cut(self, grey: Tensor) -> Cut:
        """The network in two for some images, in evaluation mode; see `Cut`."""
        if self._cut is not None:
            return self._cut(self.net, grey)
        head = self.net.get_submodule(self.head)
        return Cut(self.features(grey), lambda maps: maps, lambda maps: head(maps.mean((2, 3))))


def _last_layer(parts: NetworkParts) -> str:
    """Name of the last layer with weights in the head."""
    weighed = [
        name
        for name, module in parts.net.named_modules()
        if f"{name}.".startswith(f"{parts.head}.") and "weight" in module._parameters
    ]
    return str(weighed[-1])


def _stages(parts: NetworkParts) -> dict[str, int]:
    """Stages between each parameter of the network and its head."""
    block_of = {
        id(parameter): number
        for number, block in enumerate(parts.blocks)
        for module in block
        for parameter in module.parameters()
    }
    away, now = dict[str, int](), len(parts.blocks)
    for name, parameter in parts.net.named_parameters():
        if name.startswith(f"{parts.head}."):
            away[name] = 0
            continue
        if id(parameter) in block_of:
            now = len(parts.blocks) - block_of[id(parameter)]
        away[name] = now
    return away


def build_model(
    recipe: Wanted,
    weights_dir: Path | None = None,
    *,
    n_classes: int,
    labels: Sequence[str] = (),
    download: bool = False,
) -> Network:
    """The network of a recipe, on the CPU, in channels_last and in training mode.

    With ``init: none`` the weights are torchvision's own random start (from torch's global
    generator), the stem folded from its three-channel start.

    Args:
        recipe: genes ``model``, ``init``, ``freeze`` and those that the network takes.
        weights_dir: folder with torchvision's weight files; torch.hub's own by default.
        n_classes: logits, one a label.
        labels: (n_classes,) what they are of, so that no head of other labels is taken over.
        download: allow fetching ImageNet weights that are not there.

    Raises:
        InputError: where starting weights are missing, damaged or of another network.
    """
    model = _network(recipe, n_classes)
    if recipe.init != RANDOM:
        start = start_of(recipe.init)
        if download and start.source == IMAGENET:
            download_weights(recipe.model, weights_dir)
        found = _start(model, recipe, weights_dir, labels)
        model.net.load_state_dict(found.tensors, strict=False)
        model.notes += tuple(found.loaded.lines)
        model.head_given = f"{model.last}.weight" in found.tensors
    return in_channels_last(model).train()


def in_channels_last(module: M) -> M:
    """``module``, in place, its filters of images in channels_last.

    ``Module.to`` would do so, but stops at filters of another number of dimensions, as of the
    convolution over positions of a lambda layer.
    """
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return module


def builder_of(name: str) -> Callable[..., NetworkParts]:
    """What builds the network ``name``, as in `NETWORKS`; of timm's too."""
    if name.startswith(TIMM):
        return partial(timm_networks.timm_network, name.removeprefix(TIMM))
    return NETWORKS[name]


def _network(recipe: Wanted, n_classes: int) -> Network:
    build = builder_of(recipe.model)
    return Network(build(n_classes, **taken(build, recipe)), recipe.freeze)


def _start(
    model: Network,
    recipe: Wanted,
    weights_dir: Path | None,
    labels: Sequence[str] = (),
    like: Wanted | None = None,
) -> Taken:
    if problem := start_problem(recipe.init):
        raise InputError(problem)
    start = start_of(recipe.init)
    path = find_weights(start.source, recipe.model, weights_dir)
    if like is not None:
        file = _file_of(like, path)
    elif path.exists():
        file = read_weights(path)
    else:
        raise InputError(missing_problem(start.source, recipe.model, path))
    found = starting_weights(model.target, file, labels, start.partial)
    if start.frozen and (gone := _random_before_logits(model, found)):
        raise InputError(
            f"init {recipe.init}: {path} lacks layers of the head that come before its last "
            f"({some_of(gone)}), and features of random ones say little; take a file that has "
            "them, or vgg_head: pooled"
        )
    return found


def _file_of(like: Wanted, path: Path) -> WeightsFile:
    """What ``path`` is going to hold: weights of the network of ``like``, here as they begin."""
    state = _network(like, n_classes=2).net.state_dict()
    return WeightsFile(path, {"": state}, (), sum(value.nbytes for value in state.values()))


def _random_before_logits(model: Network, found: Taken) -> list[str]:
    """Tensors of the head, but for its last layer, that a file does not have."""
    head = [name for name in model.net.state_dict() if model.in_head(name)]
    last = head[-1].rpartition(".")[0] if head else ""
    return [n for n in head if n.rpartition(".")[0] != last and n not in found.tensors]


def network_problem(recipe: Wanted) -> str | None:
    """Why the recipe's network cannot be had or cannot take its images, or None.

    torchvision's networks take all sizes from 32 pixels on. One of timm's is built without content
    and given two images of the recipe's size, so that no trial finds out later.

    Args:
        recipe: genes ``model`` and those that the network takes, ``input_size`` among them.
    """
    if not recipe.model.startswith(TIMM):
        return None
    height, width = size_of(recipe.input_size)
    seen: list[tuple[int, ...]] = []
    try:
        with torch.device("meta"):
            network, grey = _network(recipe, 2), torch.empty(2, 1, height, width)
            network.net.get_submodule(network.stem).register_forward_pre_hook(
                lambda stem, given: seen.append(tuple(given[0].shape))
            )
            shapes = [tuple(network.train(mode)(grey).shape) for mode in (True, False)]
            network.features(grey)
    except InputError as error:
        return "; ".join(error.problems)
    except Exception as error:  # networks refuse in many ways
        why = timm_networks.first_line(error)
    else:
        if shapes != [(2, 2), (2, 2)]:
            why = f"it gives {shapes[0]} for two images and two labels"
        elif set(seen) != {tuple(grey.shape)}:
            # Zeros that are added before the stem are black, where three channels have their mean.
            why = "it changes their size before its first convolution"
        else:
            return None
    return (
        f"model: {recipe.model} does not take images of {height}x{width} ({why}); choose another "
        "input_size or another network"
    )


def weights_problem(
    recipe: Wanted, weights_dir: Path | None = None, like: Wanted | None = None
) -> str | None:
    """Why the recipe's ``init`` cannot be used for its ``model``, or None. Downloads nothing.

    Reads the file and holds it against the network, so that no trial finds out later.

    Args:
        recipe: genes ``model``, ``init`` and those that the network takes.
        weights_dir: folder with ImageNet's weight files; torch.hub's own by default.
        like: where the file is still to be made, a network such as it will hold.
    """
    if recipe.init == RANDOM:
        return None
    try:
        _start(_shapes(recipe), recipe, weights_dir, like=like)
    except InputError as error:
        return "; ".join(error.problems)
    return None


def held_against(recipe: Wanted, file: WeightsFile, partial: bool = False) -> Loaded:
    """How the network of ``recipe`` would begin with ``file``; ``partial``: with whatever fits.

    Raises:
        InputError: where what fits cannot be a weight, or could be any of several.
    """
    return fit(_shapes(recipe).target, file, partial=partial).loaded


def _shapes(recipe: Wanted) -> Network:
    """The recipe's network without numbers, which costs no memory; a head need not fit."""
    with torch.device("meta"):
        return _network(recipe, 1)
