"""The networks by name: torchvision's architectures with a one-channel stem and logits of ours.

To add one, write a function that returns `NetworkParts` and enter it in `NETWORKS`, under
torchvision's own name where torchvision has it: its ImageNet weights follow from that. Its
keyword-only arguments are the genes that it takes: the gene ``model`` gets its name as a choice,
and its genes act with it. Torch is imported where a network is built, so that a space is checked
without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

VGG16_STAGES = ((0, 5), (5, 10), (10, 17), (17, 24), (24, 31))
"""First and past-the-last layer of VGG16's five stages (Simonyan & Zisserman, table 1, D)."""


class Cut(NamedTuple):
    """A network in two: what it knows of each place, and how the logits come of that.

    Args:
        raw: (b, ...) what the first half puts out for some images.
        maps: ``raw``, or something of its shape -> (b, channels, h, w), as the places lie; what
            belongs to no place is left out.
        logits: ``raw`` -> (b, n_classes): the second half.
    """

    raw: Tensor
    maps: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class NetworkParts:
    """A network and what has to be known about it.

    Args:
        net: takes (b, 1, H, W) grey in [0, 1], gives (b, n_classes) logits.
        blocks: what ``freeze`` counts, from the input on.
        stem: name of the `GreyStem` inside ``net``.
        features: ``(net, grey) -> (b, channels, h, w)``, the maps that the head pools.
        head: name of the module inside ``net`` that turns features into logits; its weights alone
            need not fit where starting weights are loaded.
        mean: of red, green and blue, as its ImageNet weights expect them; the stem folds it.
        std: likewise, their deviations.
        notes: what of the recipe it does not do, for people.
        cut: ``(net, grey) -> Cut``, in evaluation mode; None: ``head`` takes the mean of
            ``features``.
    """

    net: nn.Module
    blocks: list[list[nn.Module]]
    stem: str
    features: Callable[[Any, Tensor], Tensor]
    head: str = "classifier"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    notes: tuple[str, ...] = ()
    cut: Callable[[Any, Tensor], Cut] | None = None


TIMM = "timm:"
"""What the names of timm's networks begin with; see `timm_networks`."""

TIMM_NAME = r"timm:[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?"
"""A network of timm's, with or without the tag of its weights."""

BLOCKS = 5
"""Blocks of every network: the gene ``freeze`` means about as much of each."""


def size_of(value: int | str) -> tuple[int, int]:
    """Height and width of a ``crop`` or ``input_size``: ``224`` or ``"600x800"``.

    Raises:
        ValueError: where it is neither.
    """
    parts = str(value).lower().split("x")
    if len(parts) > 2 or not all(part.strip().isdigit() and int(part) > 0 for part in parts):
        raise ValueError(f"{value!r} is not a size; write a side (224) or HEIGHTxWIDTH (600x800)")
    height, width = int(parts[0]), int(parts[-1])
    return height, width


def densenet121(n_classes: int, *, dropout: float) -> NetworkParts:
    """DenseNet121 (Huang et al., CVPR 2017). Blocks: stem, then four dense blocks.

    Each dense block counts with the layer after it (transition, or the last norm).
    ``dropout`` acts before the last layer, as it does in all networks but VGG16.
    """
    from torch.nn import functional as F

    net = _grey("densenet121", "features.conv0", "classifier", n_classes, dropout)
    features = net.features
    after = (features.transition1, features.transition2, features.transition3, features.norm5)
    dense = [[getattr(features, f"denseblock{i}"), after[i - 1]] for i in range(1, 5)]
    blocks = [[features.conv0, features.norm0], *dense]
    return NetworkParts(net, blocks, "features.conv0", lambda net, grey: F.relu(net.features(grey)))


def vgg16(n_classes: int, *, dropout: float, vgg_head: str) -> NetworkParts:
    """VGG16 (Simonyan & Zisserman, ICLR 2015). Blocks: the five convolution stages.

    ``vgg_head: full`` keeps torchvision's three dense layers; ``dropout`` is then the rate
    of both dropouts between them, as torchvision's own argument of that name is.
    ``pooled`` is a global average pool, ``dropout``, and one layer.
    """
    from .stem import GreyStem

    build = _vgg16_pooled if vgg_head == "pooled" else _vgg16_full
    net = build(n_classes, dropout)
    net.features[0] = GreyStem(net.features[0])
    blocks = [list(net.features[start:end]) for start, end in VGG16_STAGES]
    return NetworkParts(
        net, blocks, "features.0", lambda net, grey: net.features(grey), cut=_cut_before_pool
    )


def _vgg16_full(n_classes: int, dropout: float) -> Any:
    from .head import last_layer
    from .torchvision_import import models as vision_models

    net: Any = vision_models.vgg16(weights=None, dropout=dropout)
    net.classifier[-1] = last_layer(net.classifier[-1].in_features, n_classes, 0.0)
    return net


def _vgg16_pooled(n_classes: int, dropout: float) -> Any:
    import torch
    from torch import nn

    from .head import last_layer
    from .torchvision_import import models as vision_models

    target = torch.get_default_device()
    with torch.device("meta"):  # drawing the 120 million weights of its head takes seconds
        net: Any = vision_models.vgg16(weights=None)
    net.avgpool = nn.AdaptiveAvgPool2d(1)
    net.classifier = last_layer(512, n_classes, dropout)
    net.features.to_empty(device=target)
    for layer in net.features:  # as torchvision starts it
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return net


def _resnet(name: str, n_classes: int, dropout: float, drop_path: float) -> NetworkParts:
    from .depth import drop_branches

    net = _grey(name, "conv1", "fc", n_classes, dropout)
    blocks = [[net.conv1, net.bn1], [net.layer1], [net.layer2], [net.layer3], [net.layer4]]
    added = [block for (stage,) in blocks[1:] for block in stage]
    drop_branches([getattr(block, "bn3", block.bn2) for block in added], drop_path)
    return NetworkParts(net, blocks, "conv1", _resnet_features, "fc")


def _resnet_features(net: Any, grey: Tensor) -> Tensor:
    maps = net.maxpool(net.relu(net.bn1(net.conv1(grey))))
    found: Tensor = net.layer4(net.layer3(net.layer2(net.layer1(maps))))
    return found


def resnet18(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """ResNet18 (He et al., CVPR 2016). Blocks: stem, then the four stages."""
    return _resnet("resnet18", n_classes, dropout, drop_path)


def resnet34(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """ResNet34 (He et al., CVPR 2016). Blocks: stem, then the four stages."""
    return _resnet("resnet34", n_classes, dropout, drop_path)


def resnet50(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """ResNet50 (He et al., CVPR 2016; stride in the 3x3 layers). Blocks: stem, four stages."""
    return _resnet("resnet50", n_classes, dropout, drop_path)


def _in_stages(
    name: str,
    n_classes: int,
    dropout: float,
    head: str,
    ends: Sequence[int],
    options: Mapping[str, Any],
) -> NetworkParts:
    """A network whose ``features`` are a row of layers that begins with the stem.

    Args:
        name: torchvision's.
        n_classes: logits.
        dropout: before the last layer.
        head: name of the last layer, in ``classifier``; what lies before it there counts with the
            last block.
        ends: past the last of each block's layers.
        options: of torchvision's function.
    """
    stem = "features.0.0"
    net = _grey(name, stem, head, n_classes, dropout, options)
    starts = (0, *ends)
    blocks = [list(net.features[a:b]) for a, b in zip(starts, ends, strict=False)]
    blocks[-1] += net.classifier[: int(head.rpartition(".")[2])]
    return NetworkParts(
        net, blocks, stem, lambda net, grey: net.features(grey), head, cut=_cut_before_pool
    )


def _cut_before_pool(net: Any, grey: Tensor) -> Cut:
    """``features``, then ``avgpool`` and ``classifier``, as most of torchvision's networks are."""
    flat = not any(type(layer).__name__ == "Flatten" for layer in net.classifier.children())

    def logits(maps: Tensor) -> Tensor:
        pooled = net.avgpool(maps)
        found: Tensor = net.classifier(pooled.flatten(1) if flat else pooled)
        return found

    return Cut(net.features(grey), lambda maps: maps, logits)


def efficientnet_b0(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """EfficientNet-B0 (Tan & Le, ICML 2019). Blocks: by the size of their maps, 1/2 to 1/32."""
    ends, options = (2, 3, 4, 6, 9), {"dropout": 0.0, "stochastic_depth_prob": drop_path}
    return _in_stages("efficientnet_b0", n_classes, dropout, "classifier.1", ends, options)


def efficientnet_v2_s(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """EfficientNetV2-S (Tan & Le, ICML 2021). Blocks: by the size of their maps, 1/2 to 1/32."""
    ends, options = (2, 3, 4, 6, 8), {"dropout": 0.0, "stochastic_depth_prob": drop_path}
    return _in_stages("efficientnet_v2_s", n_classes, dropout, "classifier.1", ends, options)


def mobilenet_v3_small(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """MobileNetV3-Small (Howard et al., ICCV 2019). Blocks: by the size of their maps.

    The dense layer before the last one counts with the last block.
    """
    return _mobilenet("mobilenet_v3_small", n_classes, dropout, drop_path, (1, 2, 4, 9, 13))


def mobilenet_v3_large(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """MobileNetV3-Large (Howard et al., ICCV 2019). Blocks: by the size of their maps.

    The dense layer before the last one counts with the last block.
    """
    return _mobilenet("mobilenet_v3_large", n_classes, dropout, drop_path, (2, 4, 7, 13, 17))


def _mobilenet(
    name: str, n_classes: int, dropout: float, drop_path: float, ends: Sequence[int]
) -> NetworkParts:
    from .depth import drop_branches

    parts = _in_stages(name, n_classes, dropout, "classifier.3", ends, {"dropout": 0.0})
    added: Any = [m for m in parts.net.modules() if getattr(m, "use_res_connect", False)]
    drop_branches([block.block for block in added], drop_path)
    return parts


def regnet_x_400mf(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """RegNetX-400MF (Radosavovic et al., CVPR 2020). Blocks: stem, then the four stages."""
    import torch

    from .depth import drop_branches
    from .torchvision_import import models as vision_models

    regnet = vision_models.regnet
    with torch.device("cpu"):  # widths are computed as tensors, which on "meta" have no values
        widths = regnet.BlockParams.from_init_params(22, 24, 24.48, 2.54, 16)
    net = _in_grey(regnet.RegNet(widths), "stem.0", "fc", n_classes, dropout)
    blocks = [[net.stem], *([stage] for stage in net.trunk_output)]
    drop_branches([block.f for stage in net.trunk_output for block in stage], drop_path)
    return NetworkParts(
        net, blocks, "stem.0", lambda net, grey: net.trunk_output(net.stem(grey)), "fc"
    )


def shufflenet_v2_x1_0(n_classes: int, *, dropout: float) -> NetworkParts:
    """ShuffleNetV2 (Ma et al., ECCV 2018). Blocks: stem, three stages, the last convolution."""
    net = _grey("shufflenet_v2_x1_0", "conv1.0", "fc", n_classes, dropout)
    blocks = [[net.conv1], [net.stage2], [net.stage3], [net.stage4], [net.conv5]]
    return NetworkParts(net, blocks, "conv1.0", _shufflenet_features, "fc")


def _shufflenet_features(net: Any, grey: Tensor) -> Tensor:
    maps = net.maxpool(net.conv1(grey))
    found: Tensor = net.conv5(net.stage4(net.stage3(net.stage2(maps))))
    return found


def convnext_tiny(n_classes: int, *, dropout: float, drop_path: float) -> NetworkParts:
    """ConvNeXt-T (Liu et al., CVPR 2022). Blocks: stem, then four stages, each with what halves.

    The norm after the pool counts with the last of them.
    """
    ends, options = (1, 2, 4, 6, 8), {"stochastic_depth_prob": drop_path}
    return _in_stages("convnext_tiny", n_classes, dropout, "classifier.2", ends, options)


NETWORKS: dict[str, Callable[..., NetworkParts]] = {
    "densenet121": densenet121,
    "vgg16": vgg16,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "efficientnet_b0": efficientnet_b0,
    "efficientnet_v2_s": efficientnet_v2_s,
    "mobilenet_v3_small": mobilenet_v3_small,
    "mobilenet_v3_large": mobilenet_v3_large,
    "regnet_x_400mf": regnet_x_400mf,
    "shufflenet_v2_x1_0": shufflenet_v2_x1_0,
    "convnext_tiny": convnext_tiny,
}
"""Every network by its name: ``(n_classes, *, genes) -> NetworkParts``."""


def _grey(
    name: str,
    stem: str,
    head: str,
    n_classes: int,
    dropout: float,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """torchvision's network, with a random start, a one-channel stem and logits of ours.

    Args:
        name: torchvision's.
        stem: name of the first convolution inside it.
        head: name of the last layer.
        n_classes: logits.
        dropout: before the last layer.
        options: of torchvision's function.
    """
    from .torchvision_import import models as vision_models

    net = getattr(vision_models, name)(weights=None, **(options or {}))
    return _in_grey(net, stem, head, n_classes, dropout)


def _in_grey(net: Any, stem: str, head: str, n_classes: int, dropout: float) -> Any:
    """``net`` with a one-channel stem and logits of ours; arguments as of `_grey`."""
    from .head import last_layer
    from .stem import GreyStem

    net.set_submodule(stem, GreyStem(net.get_submodule(stem)))
    features = net.get_submodule(head).in_features
    net.set_submodule(head, last_layer(features, n_classes, dropout))
    return net
