"""One linear head a label on a network's features: its penalty and weighting chosen by AUROC.

The backbone stays as it is: features are what its last layer is given, taken once. A head is a
logistic regression on them, a convex problem, so that it depends on no seed and no schedule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit
from torch import Tensor, nn

from cxrsearch.learn.metrics import auroc
from cxrsearch.learn.networks.head import layer_of_logits
from cxrsearch.learn.probe.fitting import fit_layer
from cxrsearch.model.folder import LoadedModel

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Of the squared weights, per image, features standardised."""

Floats = NDArray[np.float64]


class HeadRecipe(NamedTuple):
    """How a head is fitted: its penalty, and whether positives weigh as much as negatives."""

    penalty: float
    balanced: bool


RECIPES = tuple(
    HeadRecipe(penalty, balanced) for penalty in PENALTIES for balanced in (False, True)
)


class Head(NamedTuple):
    """A label's head: logit = features @ weights + bias.

    Args:
        weights: (f,).
        bias: of the logit.
        recipe: what it was fitted with; None where the network's own head stays.
        value: AUROC on the images that it was chosen by.
    """

    weights: Floats
    bias: float
    recipe: HeadRecipe | None
    value: float

    def score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, f) features -> (n,) probabilities."""
        return np.asarray(expit(features @ self.weights + self.bias), dtype=np.float32)


def features_of(model: LoadedModel, images: np.ndarray, rows: np.ndarray) -> NDArray[np.float32]:
    """(m, f) float32: what the last linear layer of ``model`` is given for the images ``rows``."""
    found: list[Tensor] = []
    hook = layer_of_logits(model.network).register_forward_pre_hook(
        lambda layer, given: found.append(given[0].detach().float().cpu())
    )
    try:
        model.predict(images, rows)
    finally:
        hook.remove()
    width = layer_of_logits(model.network).in_features
    return torch.cat(found).numpy() if found else np.zeros((0, width), np.float32)


def fit_head(features: NDArray[np.float32], truth: NDArray[np.bool_], recipe: HeadRecipe) -> Head:
    """The head that minimises the mean cross-entropy plus half the penalty times its weights.

    Args:
        features: (n, f).
        truth: (n,), with both classes in it.
        recipe: penalty and weighting.
    """
    found = fit_layer(features, truth[:, None], recipe.penalty, recipe.balanced)
    return Head(found.weights[0], float(found.bias[0]), recipe, float("nan"))


def best_head(
    own: Head,
    train: tuple[NDArray[np.float32], NDArray[np.bool_]],
    val: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> Head:
    """The best on validation of ``own``, the network's head, and one head of each recipe.

    A new head has to be better than the network's own to take its place.

    Args:
        own: the network's head for the label.
        train: (n, f) features and (n,) truth to fit on.
        val: the same to choose by, with both classes in it.
    """
    features, truth = val
    heads = [own]
    if 0 < train[1].mean() < 1:
        heads += [fit_head(*train, recipe) for recipe in RECIPES]
    # By logits: probabilities near 1 would tie.
    values = [
        float(auroc(truth[:, None], (features @ h.weights + h.bias)[:, None])[0]) for h in heads
    ]
    best = int(np.argmax(values))
    return heads[best]._replace(value=values[best])


def own_head(network: nn.Module, column: int) -> Head:
    """The head that ``network`` has for one label."""
    layer = layer_of_logits(network)
    weights = layer.weight[column].detach().double().cpu().numpy()
    return Head(weights, float(layer.bias[column].detach()), None, float("nan"))
