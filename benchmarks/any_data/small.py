"""A network that learns drawn signs within seconds, in the place of DenseNet121."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from cxrsearch.learn.networks.architectures import NETWORKS, NetworkParts
from cxrsearch.learn.networks.head import last_layer
from cxrsearch.learn.networks.stem import GreyStem


class Small(nn.Module):
    """Five convolutions and a linear layer: signs have their places, so the map is not averaged."""

    def __init__(self, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.stem = GreyStem(nn.Conv2d(3, 16, 3, 2, 1, bias=False))
        layers: list[nn.Module] = [nn.BatchNorm2d(16), nn.ReLU()]
        for inputs, outputs, stride in ((16, 32, 2), (32, 64, 1), (64, 96, 2), (96, 128, 2)):
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        self.rest = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2))
        self.classifier = last_layer(512, n_classes, dropout)

    def features(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) -> (b, 128, 2, 2)."""
        maps: Tensor = self.rest(self.stem(grey))
        return maps

    def forward(self, grey: Tensor) -> Tensor:
        """(b, 1, H, W) -> (b, n_classes)."""
        logits: Tensor = self.classifier(self.features(grey).flatten(1))
        return logits


def _small(n_classes: int, *, dropout: float) -> NetworkParts:
    net = Small(n_classes, dropout)
    return NetworkParts(net, [[net.stem]], "stem", Small.features)


@contextmanager
def small_networks() -> Iterator[None]:
    """Here the gene ``model: densenet121`` is this network."""
    before = NETWORKS["densenet121"]
    NETWORKS["densenet121"] = _small
    try:
        yield
    finally:
        NETWORKS["densenet121"] = before
