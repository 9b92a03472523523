"""The networks by name: torchvision's architectures with a one-channel stem and logits of ours.

To add one, write a function that returns `NetworkParts` and enter it in `NETWORKS`, under
torchvision's own name where torchvision has it: its ImageNet weights follow from that. Its
keyword-only arguments are the genes that it takes: the gene ``model`` gets its name as a choice,
and its genes act with it. Torch is imported where a network is built, so that a space is checked
without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

VGG16_STAGES = ((0, 5), (5, 10), (10, 17), (17, 24), (24, 31))
"""First and past-the-last layer of VGG16's five stages (Simonyan & Zisserman, table 1, D)."""


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
    """

    net: nn.Module
    blocks: list[list[nn.Module]]
    stem: str
    features: Callable[[Any, Tensor], Tensor]
    head: str = "classifier"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


def densenet121(n_classes: int, *, dropout: float) -> NetworkParts:
    """DenseNet121 (Huang et al., CVPR 2017). Blocks: stem, then four dense blocks.

    Each dense block counts with the layer after it (transition, or the last norm).
    ``dropout`` acts before the last layer.
    """
    from torch.nn import functional as F

    from .head import last_layer
    from .stem import GreyStem
    from .torchvision_import import models as vision_models

    net: Any = vision_models.densenet121(weights=None)
    features = net.features
    features.conv0 = GreyStem(features.conv0)
    net.classifier = last_layer(net.classifier.in_features, n_classes, dropout)
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
    return NetworkParts(net, blocks, "features.0", lambda net, grey: net.features(grey))


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


NETWORKS: dict[str, Callable[..., NetworkParts]] = {
    "densenet121": densenet121,
    "vgg16": vgg16,
}
"""Every network by its name: ``(n_classes, *, genes) -> Parts``."""
