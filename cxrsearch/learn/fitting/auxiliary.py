"""Heads for age, sex and view beside those of the labels, in training only.

What a network needs to tell them it may use for the labels too, and few images say much about few
labels but something about each of these (multi-task learning; Caruana, Machine Learning 28, 1997).
The extra outputs are rows of the last layer; what is saved and scored has none of them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cxrsearch.data.about import NOTHING_SAID, YEARS_OLD
from cxrsearch.errors import InputError
from cxrsearch.learn.criterion import known_weight, with_weights
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.networks.models import Network


class AuxiliaryHeads:
    """What the extra outputs of a network are to say of the training images.

    Ages are standardised, by the training part. A column in which nothing is known or differs
    there is left out.

    Args:
        data: with what is known of its images.
        device: where the loss is computed.

    Attributes:
        names: (e,) of the outputs.
        targets: (t, 2, e) float32 targets and weights of the training part, as
            `cxrsearch.learn.criterion.with_weights` makes them.

    Raises:
        InputError: where nothing is known.
    """

    def __init__(self, data: TrainData, device: torch.device) -> None:
        columns: dict[str, Tensor] = {}
        known = np.zeros((0, 0)) if data.about is None else data.about[data.train].T
        for name, column in zip(data.about_names, known, strict=True):
            values = torch.from_numpy(np.ascontiguousarray(column))
            some = values[~values.isnan()]
            if len(some) > 1 and bool((some != some[0]).any()):
                columns[name] = (values - some.mean()) / some.std() if name == YEARS_OLD else values
        if not columns:
            raise InputError(f"auxiliary: {NOTHING_SAID}, or use auxiliary: 0")
        self.names = tuple(columns)
        marks = torch.stack(list(columns.values()), dim=1)
        self.targets = with_weights(marks, torch.full((len(marks),), known_weight(marks)))
        self._measured = torch.tensor([name == YEARS_OLD for name in columns], device=device)

    def beside(self, targets: Tensor) -> Tensor:
        """(n, 2, k) targets of training rows, and of others after them, with e columns more.

        Of the others nothing is known beside their labels.
        """
        others = torch.zeros(len(targets) - len(self.targets), 2, len(self.names))
        return torch.cat([targets, torch.cat([self.targets, others])], dim=2)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Half of the squared error of an age, cross-entropy of the others: the mean.

        Args:
            outputs: (b, e).
            targets: (b, 2, e), targets and weights.
        """
        out, wanted, each = outputs.float(), targets[:, 0], targets[:, 1]
        squared = (out - wanted).square() / 2
        crossed = F.binary_cross_entropy_with_logits(out, wanted.clamp(0, 1), reduction="none")
        return (torch.where(self._measured, squared, crossed) * each).mean()


def widen(network: Network, extra: int) -> None:
    """Give the last layer of ``network`` ``extra`` outputs more, at random; the first stay.

    Raises:
        InputError: where that layer is not a linear one.
    """
    layer = network.net.get_submodule(network.last)
    if not isinstance(layer, nn.Linear):
        raise InputError(
            f"auxiliary: the last layer of this network is no linear one ({type(layer).__name__}); "
            "use auxiliary: 0"
        )
    more = nn.Linear(layer.in_features, extra, bias=layer.bias is not None)
    layer.weight = nn.Parameter(torch.cat([layer.weight.detach(), more.weight.detach()]))
    if layer.bias is not None:
        layer.bias = nn.Parameter(torch.cat([layer.bias.detach(), torch.zeros(extra)]))
    layer.out_features += extra


def resized(weights: Mapping[str, Tensor], network: Network, outputs: int) -> dict[str, Tensor]:
    """``weights`` of a network with the last layer cut, or filled up with zeros, to ``outputs``."""
    found = dict(weights)
    for part in ("weight", "bias"):
        name = f"net.{network.last}.{part}"
        if name in found:
            rows = found[name][:outputs]
            missing = rows.new_zeros(outputs - len(rows), *rows.shape[1:])
            found[name] = torch.cat([rows, missing])
    return found
