"""A trial that trains no network: a logistic regression on the features of starting weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrsearch.errors import InputError
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import Pixels, TrainData
from cxrsearch.learn.networks.models import Network
from cxrsearch.learn.recipe import Recipe, network_genes

from .features import features_key, kept_features
from .fitting import fit_layer


class Probe(Learner):
    """A recipe's network with its last layer fitted in one epoch, all else as it started.

    Features are what that layer is given of the images as they are. They are computed once for
    the training and the validation part, and kept beside the prepared pixels.

    Args:
        recipe: what to fit; its gene ``weight_decay`` is the penalty, and ``loss`` says whether
            positives weigh as much as negatives (``weighted_bce``).
        data: what to fit on.
        seed: of what the starting weights leave random.
        compute: where and how fast.
    """

    faster = False

    def __init__(
        self, recipe: Recipe, data: TrainData, *, seed: int, compute: ComputeOptions
    ) -> None:
        self.data = data
        self._pool = np.unique(np.concatenate([data.train, data.val]))
        self._features: Tensor | None = None
        super().__init__(recipe, data, seed=seed, compute=compute)

    def build(self) -> nn.Module:
        """The recipe's network, of which the last layer alone is trained."""
        network: Any = super().build()
        network.requires_grad_(False)
        last_linear(network).requires_grad_(True)
        return network  # type: ignore[no-any-return]

    def epoch(self, number: int) -> float:
        """Fit the last layer; the mean cross-entropy over the known marks."""
        features = self._of(self.pixels.rows).numpy()
        balanced = self.recipe.loss == "weighted_bce"
        found = fit_layer(features, self.marks.numpy(), self.recipe.weight_decay, balanced)
        layer = last_linear(self.model)
        learnt = list(self.data.learnt)
        with torch.no_grad():
            layer.weight.zero_()
            layer.bias.zero_()
            layer.weight[learnt] = torch.from_numpy(found.weights).to(layer.weight)
            layer.bias[learnt] = torch.from_numpy(found.bias).to(layer.bias)
        return found.loss

    def scores(self, pixels: Pixels) -> np.ndarray:
        """(m, k) float32 probabilities of images of the training or validation part."""
        layer = last_linear(self.model)
        with torch.inference_mode():
            logits = layer(self._of(pixels.rows).to(layer.weight.device))
        return torch.sigmoid(logits.float()).cpu().numpy()

    def _of(self, rows: np.ndarray) -> Tensor:
        """(m, f) float32 features of ``rows``, on the CPU."""
        if self._features is None:
            self._features = kept_features(self.data.shelf, self._key(), self._computed)
        return self._features[torch.from_numpy(np.searchsorted(self._pool, rows))]

    def _key(self) -> str:
        """What the features are called: all that they depend on."""
        last = set(map(id, last_linear(self.model).parameters()))
        state = dict(self.model.named_parameters()) | dict(self.model.named_buffers())
        weights = {name: value for name, value in state.items() if id(value) not in last}
        recipe = self.recipe
        return features_key(
            weights,
            self._pool,
            genes=[(gene, getattr(recipe, gene)) for gene in network_genes()],
            crop=str(recipe.crop),
            input_size=str(recipe.input_size),
            frame=self.data.images.shape[1],
            kind=str(self.kind),
            device=self.device.type,
        )

    def _computed(self) -> Tensor:
        """The features of the pool, by one pass without augmentation."""
        found: list[Tensor] = []
        hook = last_linear(self.model).register_forward_pre_hook(
            lambda layer, given: found.append(given[0].detach().float().flatten(1).cpu())
        )
        try:
            self.outputs(Pixels(self.data, self._pool, self.recipe, self.device))
        finally:
            hook.remove()
        features = torch.cat(found)
        if not torch.isfinite(features).all():
            raise InputError(
                f"init {self.recipe.init}: features of {self.recipe.model} are not finite; check "
                "the file with `cxrsearch weights`, or train in float32"
            )
        return features


def last_linear(network: nn.Module) -> nn.Linear:
    """The layer of ``network``'s head that gives the logits."""
    assert isinstance(network, Network)
    layer = network.net.get_submodule(network.last)
    assert isinstance(layer, nn.Linear)
    return layer
