"""What a classifier of our own sees in images: the numbers behind its last layer.

Distances between sets of images are between these features (see `cxrsearch.systems.gan.kid`). The
field's usual ones, of an ImageNet network, say little of X-rays and would have to be fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cxrsearch.learn.augment.frames import prepare, to_float
from cxrsearch.learn.compute.device import pick_device
from cxrsearch.learn.compute.options import AS_IT_IS, ComputeOptions
from cxrsearch.learn.data import TrainData, even_slices
from cxrsearch.learn.networks.head import layer_of_logits
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.keep import BEST, CHECKPOINT, PREVIOUS
from cxrsearch.learn.train import Result, train
from cxrsearch.model.folder import load_model, network_of
from search.files import write_json
from search.objective import Step
from search.reading import FileError, number, read_json
from search.seeds import derive

EPOCHS = 4
"""Of the classifier that is trained for its features, where the user names no better one."""
FEATURES_DONE = "features.json"
FEATURES_AT_ONCE = 32
"""Images that go through the network together."""


@dataclass(frozen=True)
class FeatureNetwork:
    """A classifier as a source of features.

    Args:
        network: a `models.Network`, in evaluation mode on ``device``.
        recipe: gives its window and input size.
        device: where it computes.
        name: what it is, for people.
    """

    network: nn.Module
    recipe: Recipe
    device: torch.device
    name: str

    @torch.inference_mode()
    def of(
        self, images: np.ndarray, on_progress: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """The features of images of any one size, cut and resized as for a prediction.

        Computed in float32, so that they are the same whatever the training's precision.

        Args:
            images: (n, F, F) uint8.
            on_progress: called with how many are done, of how many.

        Returns:
            (n, d) float32.
        """
        found: list[Tensor] = []

        def keep(layer: nn.Module, given: tuple[Any, ...]) -> None:
            found.append(given[0].flatten(1).float().cpu())

        self.network.eval()
        handle = layer_of_logits(self.network).register_forward_pre_hook(keep)
        try:
            for piece in even_slices(len(images), FEATURES_AT_ONCE):
                rows = np.arange(piece.start, piece.stop)
                batch = prepare(images, rows, self.recipe.crop, self.recipe.input_size)
                grey = to_float(batch.to(self.device))
                self.network(grey.contiguous(memory_format=torch.channels_last))
                if on_progress is not None:
                    on_progress(piece.stop, len(images))
        finally:
            handle.remove()
        return torch.cat(found).numpy()


def load_features(folder: Path, compute: ComputeOptions = AS_IT_IS) -> FeatureNetwork:
    """The features of a model that ``cxrsearch train`` made.

    Raises:
        InputError: as `load_model`.
    """
    model = load_model(folder, compute)
    return FeatureNetwork(model.network, model.recipe, model.device, f"the model {folder}")


def train_features(
    data: TrainData,
    side: int,
    *,
    seed: int,
    folder: Path,
    compute: ComputeOptions,
) -> Generator[str, None, FeatureNetwork]:
    """A DenseNet121 trained on the labelled training part for a few epochs, as any trial is.

    Args:
        data: labelled images; epochs are chosen by its validation subset.
        side: input size in pixels.
        seed: everything random derives from it.
        folder: keeps the weights; what is there already is not trained again.
        compute: where and how fast.

    Yields:
        lines for people, one an epoch.

    Raises:
        TrialError: as `train`.
        InputError: where the weights that are there are damaged.
    """
    recipe = Recipe(input_size=side, epochs=EPOCHS, batch_size=32)
    if _auroc(folder) is None:
        folder.mkdir(parents=True, exist_ok=True)
        steps = train(
            recipe, data, seed=derive(seed, "features"), folder=folder, compute=compute,
            resamples=100,
        )  # fmt: skip
        result = yield from _told(steps)
        write_json(folder / FEATURES_DONE, {"auroc": result.value, "recipe": asdict(recipe)})
        for name in (CHECKPOINT, PREVIOUS):
            (folder / name).unlink(missing_ok=True)
    auroc = _auroc(folder)
    where = pick_device(compute.device)
    network = network_of(recipe, folder / BEST, len(data.label_names))
    network = network.to(where).requires_grad_(False)
    name = (
        f"a {recipe.model} of our own, {recipe.epochs} epochs on the training part "
        f"(validation AUROC {auroc:.3f})"
    )
    return FeatureNetwork(network.eval(), recipe, where, name)


def _auroc(folder: Path) -> float | None:
    """What the classifier in ``folder`` is worth; None where it is to be trained (again)."""
    try:
        found = read_json(folder / FEATURES_DONE, "what the features' classifier is worth")
    except (FileNotFoundError, FileError):
        return None
    return number(found.get("auroc"), 0.0, 1.0) if isinstance(found, dict) else None


def _told(steps: Generator[Step, None, Result]) -> Generator[str, None, Result]:
    """What `train` returns, with a line for each of its epochs."""
    try:
        while True:
            step = next(steps)
            yield f"features: epoch {step.number}/{EPOCHS}: AUROC {step.value:.3f}"
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()
