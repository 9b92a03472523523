"""From images to a weights file: a pre-training that can be cut off, and what it came to.

The folder of a pre-training holds

=================== ==========================================================================
settings.json       what it was started with: written first
weights.safetensors the encoder's weights, for ``init`` of a recipe
samples.npz         pictures of a few images that it was not trained on, for the page
pretraining.json    what was trained, on what, and how it went: written last
=================== ==========================================================================

and a checkpoint until it is done.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import Pixels, TrainData
from cxrsearch.learn.epochs import EpochsDone, told, train_epochs
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.arrays import save_arrays
from cxrsearch.learn.saved.keep import CHECKPOINT
from cxrsearch.learn.session import Session
from cxrsearch.model.pretrain_record import PRETRAINED, RECORD, SAMPLES
from search.files import write_json

from .autoencoder import AutoencoderTraining
from .contrastive import ContrastiveTraining
from .method import Pretraining

SETTLED = 50
"""Optimiser steps before which the running statistics of batch normalisation mean little."""

PRETRAIN_METHODS: dict[str, type[Pretraining]] = {
    "autoencoder": AutoencoderTraining,
    "contrastive": ContrastiveTraining,
}
"""What can be trained without labels, by the name of its command."""


@dataclass(frozen=True)
class PretrainPlan:
    """A pre-training as asked for.

    Args:
        method: a name out of `PRETRAIN_METHODS`.
        model, init, input_size, crop, epochs, batch_size, lr, weight_decay: as the genes.
    """

    method: str = "autoencoder"
    model: str = "densenet121"
    init: str = "none"
    input_size: int | str = 224
    crop: int | str = 1024
    epochs: int = 50
    batch_size: int = 64
    lr: float = 1e-3
    weight_decay: float = 1e-2

    @property
    def recipe(self) -> Recipe:
        """What the loop trains by."""
        genes = {name: value for name, value in asdict(self).items() if name != "method"}
        genes |= PRETRAIN_METHODS[self.method].augmentation
        # VGG16's dense layers are its head: none of it is trained here.
        return Recipe(**genes, vgg_head="pooled", optimizer="adamw", schedule="onecycle")


def pretrain(
    plan: PretrainPlan,
    data: TrainData,
    *,
    seed: int,
    folder: Path,
    about: dict[str, Any],
    compute: ComputeOptions,
) -> Generator[EpochsDone, None, Path]:
    """Train, or go on where ``folder``'s checkpoint left off, and write what came out.

    Args:
        plan: what to train.
        data: its part ``train`` is trained on, ``val`` is looked at in the end.
        seed: everything random derives from it.
        folder: of the pre-training.
        about: what the record says of the data; ``trained_on`` stands for the images.
        compute: where and how fast.

    Yields:
        `EpochsDone` after each epoch, those that the checkpoint remembers first.

    Returns:
        the weights file.

    Raises:
        InputError: where training cannot be done.
    """
    session = Session(
        PRETRAIN_METHODS[plan.method],
        plan.recipe,
        data,
        seed=seed,
        folder=folder,
        compute=compute,
        settings={"pretraining": plan.method, "trained_on": about["trained_on"]},
    )
    try:
        with told(compute):
            yield from train_epochs(session, plan.epochs)
            _finish(plan, session, folder, about)
    finally:
        session.close()
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return folder / PRETRAINED


def _finish(
    plan: PretrainPlan, session: Session[Pretraining], folder: Path, about: dict[str, Any]
) -> None:
    """Write weights, pictures and record, in this order."""
    weights, (found, samples) = session.work(lambda: _outcome(plan, session))
    session.settle()
    book, images = session.book, len(session.data.train)
    steps = plan.epochs * len(session.learner.pieces)
    if steps < SETTLED:
        session.notes.append(
            f"only {steps} optimiser steps: the statistics of batch normalisation, which drawings, "
            "embeddings and the weights file rest on, have not settled; train longer"
        )
    record = {
        **asdict(plan),
        **about,
        "seed": session.seed,
        "images": images,
        "image_steps": images * plan.epochs,
        "losses": book["losses"],
        "seconds": book["seconds"],
        "device": str(session.device),
        "precision": session.precision_used,
        "held_out": found,
        "notes": session.notes,
    }
    checkpoint.save_tensors(folder / PRETRAINED, weights, {"pretraining": plan.method})
    save_arrays(folder / SAMPLES, **samples)
    write_json(folder / RECORD, record)


def _outcome(
    plan: PretrainPlan, session: Session[Pretraining]
) -> tuple[dict[str, Any], tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """The encoder's weights, and what it makes of images that it was not trained on."""
    learner, data = session.learner, session.data
    held = Pixels(data, data.val, learner.recipe, session.device, learner.room)
    return learner.encoder_weights(), learner.judge(held)
