"""timm's networks as ours: a one-channel stem, logits of ours, stages, and maps.

timm is imported where one of its networks is built, and never asked for weights, so that nothing
is fetched. What it says of its networks (first convolution, classifier, normalisation, groups of
layers) is held against the network itself: one that does not fit is refused with the reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from cxrsearch.data.labels.names import some_names
from cxrsearch.errors import InputError
from search.errors import did_you_mean

from .architectures import BLOCKS, Cut, NetworkParts, size_of
from .head import last_layer
from .stem import GreyStem

STEMS = {"Conv2d": False, "Conv2dSame": True}
"""Convolutions that a grey stem can stand for, and whether they pad by the size of the image."""

MOST_WHOLE = 2
"""Tokens for the whole image, a class and a distillation, of a network that does not say them."""

_ROW = re.compile(r"\w+\.\d+")  # a module in a row, in a parameter's name


def timm_network(
    name: str, n_classes: int, *, dropout: float, drop_path: float, input_size: int | str
) -> NetworkParts:
    """The network that timm calls ``name`` (Wightman, "PyTorch Image Models", 2019).

    Blocks are timm's groups of layers, the stem first and the others in four parts. Where a network
    is made for one size of image, that is ``input_size``.

    Args:
        name: of the network, with or without the tag of its weights after a dot.
        n_classes: logits.
        dropout: before the last layer.
        drop_path: timm's ``drop_path_rate``; where the network takes none, that is noted.
        input_size: a side or ``"HxW"``.

    Raises:
        InputError: where timm is not installed or has no such network, or it is none of images in
            one channel that ends in a linear layer.
    """
    timm = _timm(name)
    net, notes = _with_depth(timm, name, n_classes, size_of(input_size), drop_path)
    known = net.pretrained_cfg
    stem, head = known.get("first_conv"), known.get("classifier")
    conv, layer = _module(net, stem), _module(net, head)
    problems = []
    if type(conv).__name__ not in STEMS or conv.in_channels != 3 or conv.groups != 1:
        problems.append(
            f"its first layer ({_called(stem, conv)}) is no plain convolution of three channels, "
            "for which one of grey images could stand"
        )
    if not isinstance(layer, nn.Linear):
        problems.append(f"its classifier ({_called(head, layer)}) is no single linear layer")
    if len(known["mean"]) != 3 or len(known["std"]) != 3:
        problems.append("its weights are not of images in three channels")
    if problems:
        raise InputError([f"model: timm:{name}: {problem}" for problem in problems])
    mean: Any = tuple(map(float, known["mean"]))
    std: Any = tuple(map(float, known["std"]))
    net.set_submodule(stem, GreyStem(conv, mean, std, STEMS[type(conv).__name__]))
    net.set_submodule(head, last_layer(layer.in_features, n_classes, dropout))
    blocks = _blocks(timm, net, head)
    return NetworkParts(net, blocks, stem, maps_of, head, mean, std, notes, cut_of)


def _timm(name: str) -> Any:
    """timm, where it has a network called ``name``."""
    from . import torchvision_import  # noqa: F401  (timm imports torchvision)

    try:
        import timm
    except ImportError as error:
        raise InputError(
            f"model: timm:{name} needs timm, which cannot be imported here ({error}); pip install "
            "'cxrsearch[timm]'"
        ) from error
    kind, dot, _ = name.partition(".")
    if not timm.is_model(kind):
        raise InputError(
            f"model: timm has no network {kind!r}{did_you_mean(kind, timm.list_models())}; "
            f"timm.list_models() names those of version {timm.__version__}"
        )
    tagged = timm.models.get_arch_pretrained_cfgs(kind) if dot else {name: None}
    if name not in tagged:
        known = f"; those of {kind} are {some_names(list(tagged))}" if tagged else ""
        raise InputError(
            f"model: timm has no weights called {name!r}{did_you_mean(name, tagged)}{known}; "
            f"timm:{kind} is the network without any"
        )
    return timm


def _with_depth(
    timm: Any, name: str, n_classes: int, size: tuple[int, int], drop_path: float
) -> tuple[Any, tuple[str, ...]]:
    """The network, with stochastic depth where it knows it, and a note where it does not."""
    if not drop_path:
        return _created(timm, name, n_classes, size), ()
    try:
        return _created(timm, name, n_classes, size, drop_path_rate=drop_path), ()
    except InputError:
        net = _created(timm, name, n_classes, size)  # which says what else is wrong
    return net, (f"drop_path does nothing: timm:{name} takes no drop_path_rate",)


def _created(timm: Any, name: str, n_classes: int, size: tuple[int, int], **further: float) -> Any:
    """The network with a random start, for images of ``size`` where it has to know."""
    try:
        known = timm.get_pretrained_cfg(name)
        for options in _options(size, known is not None and known.fixed_input_size):
            try:
                return timm.create_model(
                    name, num_classes=n_classes, pretrained=False, **options, **further
                )
            except TypeError as error:
                if "unexpected keyword argument" not in str(error):
                    raise
        raise TypeError("its function takes none of timm's usual arguments")
    except MemoryError:
        raise
    except Exception as error:  # timm refuses in many ways
        raise InputError(
            f"model: timm:{name} cannot be had for input_size {size[0]}x{size[1]} "
            f"({first_line(error)}); choose another size or another network"
        ) from error


def _options(size: tuple[int, int], fixed: bool) -> Iterator[dict[str, Any]]:
    """Arguments about the size of images, the most flexible first."""
    if fixed:
        yield {"img_size": size, "dynamic_img_size": True}
        yield {"img_size": size, "strict_img_size": False}
        yield {"img_size": size}
    yield {}


def first_line(error: Exception) -> str:
    """What an error says first, fit for a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _module(net: nn.Module, name: Any) -> Any:
    """The module called ``name``; None where there is none, or it is no one name."""
    try:
        return net.get_submodule(name) if isinstance(name, str) and name else None
    except AttributeError:
        return None


def _called(name: Any, module: Any) -> str:
    if module is None:
        return "none" if not name else ", ".join([name] if isinstance(name, str) else name)
    return f"{name}, {type(module).__name__}"


def _blocks(timm: Any, net: Any, head: str) -> list[list[nn.Module]]:
    """Modules by stage, from the input on; the head is of none."""
    for coarse in (True, False):
        try:
            groups = _groups(timm, net, coarse)
        except (AssertionError, NotImplementedError):
            if not coarse:
                raise
            continue  # networks that know no coarse groups say so thus
        # What timm counts with the classifier, such as a norm before it, ends the last stage.
        last = groups[f"{head}.weight"] - 1
        body = {k: min(g, last) for k, g in groups.items() if not k.startswith(f"{head}.")}
        order = sorted(set(body.values()))
        if len(order) >= BLOCKS:
            break
    parts = [order[:1], *(part.tolist() for part in np.array_split(order[1:], BLOCKS - 1))]
    numbers = {group: number for number, part in enumerate(parts) for group in part}
    blocks: list[list[nn.Module]] = [[] for _ in parts]
    for number, module in _whole(net, {k: numbers[group] for k, group in body.items()}):
        blocks[number].append(module)
    return [modules for modules in blocks if modules]


def _groups(timm: Any, net: Any, coarse: bool) -> dict[str, int]:
    """Numbers of the groups of layers that timm sees, by the names of parameters.

    Where it sees none, modules count, and those in a row each by itself.
    """
    if hasattr(net, "group_matcher"):
        matcher = net.group_matcher(coarse=coarse)
        found: dict[str, int] = timm.models.group_parameters(net, matcher, reverse=True)
        return found
    part = {name: _ROW.match(name) for name, _ in net.named_parameters()}
    within = {name: row.group() if row else name.partition(".")[0] for name, row in part.items()}
    number = {place: n for n, place in enumerate(dict.fromkeys(within.values()))}
    return {name: number[place] for name, place in within.items()}


def _whole(
    module: nn.Module, block: Mapping[str, int], prefix: str = ""
) -> Iterator[tuple[int, nn.Module]]:
    """The largest modules whose parameters are all of one block, with its number.

    A parameter beside such modules, as a class token is, comes in a list of its own.
    """
    for name, child in module.named_children():
        inside = f"{prefix}{name}."
        found = {block.get(f"{inside}{key}") for key, _ in child.named_parameters()}
        if len(found) > 1:
            yield from _whole(child, block, inside)
        elif (number := found.pop() if found else None) is not None:
            yield number, child
    for name, parameter in module.named_parameters(recurse=False):
        if f"{prefix}{name}" in block:
            yield block[f"{prefix}{name}"], nn.ParameterList([parameter])


def maps_of(net: Any, grey: Tensor) -> Tensor:
    """(b, 1, H, W) grey -> (b, channels, h, w): what a network of timm's says of each place.

    Tokens of patches are laid out as the patches lie; those that stand for the whole image are
    left out.

    Raises:
        ValueError: where they are no such thing.
    """
    return _laid_out(net, net.forward_features(grey), grey.shape)


def _laid_out(net: Any, found: Any, image: Sequence[int], places: int | None = None) -> Tensor:
    """What a layer gave as (b, channels, h, w).

    Args:
        net: the network.
        found: what the layer gave.
        image: (b, 1, H, W), the shape of the images.
        places: tokens that are of a place, the last ones; None: as the network says.

    Raises:
        ValueError: where it is no such thing.
    """
    width = net.num_features
    if isinstance(found, Tensor) and found.ndim == 4 and found.shape[1] == width:
        return found
    if isinstance(found, Tensor) and found.ndim == 4 and found.shape[3] == width:
        return found.permute(0, 3, 1, 2)
    if not isinstance(found, Tensor) or found.ndim != 3 or found.shape[2] != width:
        raise ValueError("its last layers give no maps")
    aspect = image[2] / image[3]
    whole = _prefix_of(net, found.shape[1], aspect) if places is None else found.shape[1] - places
    tokens = found[:, whole:].transpose(1, 2)
    if not tokens.shape[2]:
        raise ValueError("its last layers give no maps: what they give is of the whole image")
    rows, columns = _grid(tokens.shape[2], aspect)
    return tokens.reshape(*tokens.shape[:2], rows, columns)


def cut_of(net: Any, grey: Tensor) -> Cut:
    """A network of timm's in two: before its head, or, where the head reads a token that stands
    for the whole image, before the last block, which is where that token still looks at places.

    Raises:
        ValueError: where its last layers give no maps.
    """
    found = net.forward_features(grey)
    maps = _laid_out(net, found, grey.shape)
    blocks = getattr(net, "blocks", None)
    if getattr(net, "global_pool", "") != "token" or not blocks or not hasattr(blocks[-1], "attn"):
        return Cut(found, lambda raw: _laid_out(net, raw, grey.shape), net.forward_head)
    given: list[Tensor] = []
    hook = blocks[-1].register_forward_pre_hook(lambda block, args: given.append(args[0]))
    try:
        net.forward_features(grey)
    finally:
        hook.remove()

    def logits(raw: Tensor) -> Tensor:
        instead = blocks[-1].register_forward_pre_hook(lambda block, args: (raw, *args[1:]))
        try:
            out: Tensor = net(grey)
        finally:
            instead.remove()
        return out

    count = maps.shape[2] * maps.shape[3]
    return Cut(given[0], lambda raw: _laid_out(net, raw, grey.shape, count), logits)


def _prefix_of(net: Any, count: int, aspect: float) -> int:
    """How many of ``count`` tokens stand for the whole image; they come first.

    Where the network does not say it, it is seen by those that are left: these lie as the image.
    """
    said: int | None = getattr(net, "num_prefix_tokens", None)
    if said is not None:
        return said
    usual = int(getattr(net, "cls_token", None) is not None)
    tried: list[int] = [usual, *range(MOST_WHOLE + 1)] if count > usual else []
    like = (n for n in tried if count > n and _lies_as(count - n, aspect))
    return next(like, usual)


def _lies_as(count: int, aspect: float) -> bool:
    """Whether ``count`` places make a grid of about this ratio."""
    return abs(_grid(count, aspect)[0] - math.sqrt(count * aspect)) < 1


def _grid(count: int, aspect: float) -> tuple[int, int]:
    """Rows and columns that make ``count`` and come nearest to ``aspect``, their ratio."""
    rows = [n for n in range(1, count + 1) if count % n == 0]
    best = min(rows, key=lambda n: abs(math.log(n * n / count / aspect)))
    return best, count // best
