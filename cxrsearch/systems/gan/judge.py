"""How good a generator's images are: distances, what they stand beside, and whether they copy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from search.seeds import derive

from .baselines import gaussian, mean_image, noise
from .features import FeatureNetwork
from .kid import Kid, kid
from .memorised import ComparedImages, Copies, check_copies, small

MOST_REFERENCES = 2000
"""Training and held-out images that distances are measured from, at most: drawn once."""


class Verdict(NamedTuple):
    """What is to be said of generated images.

    Args:
        distance: their KID from the training images.
        copies: see `Copies`.
    """

    distance: Kid
    copies: Copies


class Judge:
    """Judges generated images by those that their generator was trained on.

    Args:
        features: the same for all distances.
        training: (n, S, S) uint8, what the generator is trained on.
        held_out: (m, S, S) uint8, real images of other patients.
        seed: of what is drawn at random.
        on_progress: called with how many images have features, of how many.
    """

    def __init__(
        self,
        features: FeatureNetwork,
        training: np.ndarray,
        held_out: np.ndarray,
        seed: int,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.features, self.seed = features, seed
        self.training = _some(training, derive(seed, "judged", "training"))
        self.held_out = _some(held_out, derive(seed, "judged", "held-out"))
        every = np.concatenate([self.training, self.held_out])
        found = features.of(every, on_progress)
        found = of_one_length(found)
        self._known, self._others = found[: len(self.training)], found[len(self.training) :]

    def distance(self, images: np.ndarray) -> Kid:
        """The KID of (k, S, S) uint8 images from the training images."""
        return self._distance(of_one_length(self.features.of(images)))

    def _distance(self, features: np.ndarray) -> Kid:
        return kid(features, self._known, derive(self.seed, "subsets"))

    def references(self, count: int) -> dict[str, Kid]:
        """Distances of images that cost nothing, and of real ones.

        Args:
            count: images of each baseline; as many as the generator's that they stand beside.

        Returns:
            ``noise``, ``mean image``, ``gaussian`` (see `cxrsearch.systems.gan.baselines`) and
            ``held-out`` (real images of other patients: the best there is).
        """
        side = self.training.shape[1]
        drawn = {
            "noise": noise(count, side, derive(self.seed, "noise")),
            "mean image": mean_image(self.training, count),
            "gaussian": gaussian(self.training, count, derive(self.seed, "gaussian")),
        }
        found = {name: self.distance(images) for name, images in drawn.items()}
        return {**found, "held-out": self._distance(self._others)}

    def verdict(self, images: np.ndarray) -> Verdict:
        """All about (k, S, S) uint8 images that a generator made."""
        features = of_one_length(self.features.of(images))
        copies = check_copies(
            ComparedImages(small(images), features),
            ComparedImages(small(self.held_out), self._others),
            ComparedImages(small(self.training), self._known),
        )
        return Verdict(self._distance(features), copies)


def of_one_length(features: np.ndarray) -> np.ndarray:
    """(n, d) features, each image's brought to the length sqrt(d).

    A classifier's are ten times as long for some images as for others (it is surer of them), and
    under a cubic kernel those few would decide: for random halves of the same images distances
    came out a factor of ten apart.
    """
    lengths = np.sqrt(np.square(features).mean(axis=1, keepdims=True))
    out: np.ndarray = features / np.maximum(lengths, np.finfo(np.float32).tiny)
    return out


def to_dict(found: Kid) -> dict[str, Any]:
    """A distance as plain values."""
    return {"kid": found.value, "interval": list(found.interval)}


def _some(images: np.ndarray, seed: int) -> np.ndarray:
    """At most `MOST_REFERENCES` of them, in their order."""
    if len(images) <= MOST_REFERENCES:
        return images
    rows = np.random.default_rng(seed).choice(len(images), MOST_REFERENCES, replace=False)
    return images[np.sort(rows)]
