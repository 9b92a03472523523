"""The model that comes out: the winner's recipe on train + validation.

No validation part is left to choose an epoch by, so how many there are is settled before, see
`cxrsearch.show.worth.schedule`. The learning rates are those of the trial: where training stops
early the schedule still keeps the length of all `Recipe.epochs`. (Squeezing the whole schedule
into fewer epochs would be another recipe than the one that was scored.) There are more images, so
each epoch has more steps, and the schedule is laid out over those.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path

from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.epochs import EpochsDone, told, train_epochs
from cxrsearch.learn.networks.weights.report import loaded_in
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.student import classifier_session

from .card import taught
from .folder import ModelMeta, check_out, save_model
from .validation import ValidationScores


def train_final(
    recipe: Recipe,
    data: TrainData,
    *,
    epochs: int,
    seed: int,
    out: Path,
    meta: ModelMeta,
    splits: Path | None = None,
    compute: ComputeOptions,
    notes: Sequence[str] = (),
    validation: ValidationScores | None = None,
) -> Generator[EpochsDone, None, Path]:
    """Train ``recipe`` on train + validation and write a model folder.

    Cut off and called again with the same arguments, it goes on from its checkpoint, which
    lies in ``.<name>.work`` beside ``out`` until the model is there.

    Args:
        recipe: what to train.
        data: a study's data; its validation part joins the training part.
        epochs: to train, of the `Recipe.epochs` that the schedule is laid out for.
        seed: everything random derives from it.
        out: the model folder; appears at the end, whole.
        meta: where the model comes from; what is said of the training is filled in here.
        splits: the study's ``splits.json``.
        compute: where and how fast; ``micro`` of it as many images as went through the network
            at once in the trial, so that batch normalisation is over as many.
        notes: what the model's card says of the training beside its own notes.
        validation: what the recipe's network said of the validation part before it joined.

    Yields:
        `EpochsDone` after each epoch, those that the checkpoint remembers first.

    Returns:
        ``out``.

    Raises:
        InputError: where ``out`` is taken, or training cannot be done.
    """
    if not 1 <= epochs <= recipe.epochs:
        raise InputError(f"{epochs} epochs: must be from 1 to the recipe's {recipe.epochs}")
    check_out(out)
    work = out.parent / f".{out.name}.work"
    every = data.with_validation_for_training()
    session = classifier_session(recipe, every, seed=seed, folder=work, compute=compute)
    try:
        with told(compute):
            yield from train_epochs(session, epochs)
            training = {
                "rows": "train + validation",
                "labels": taught(every, recipe),
                "images": len(every.train),
                "epochs": epochs,
                "seed": seed,
                "loss": session.book["losses"][-1],
                "precision": session.precision_used,
                "micro_batch": session.micro,
                "threads": session.threads_used,
                "notes": [*notes, *session.notes],
                "weights": loaded_in(session.notes),
            }
            session.work(lambda: session.learner.adopt_average())
            save_model(
                out,
                session.learner.weights(),
                recipe,
                replace(meta, training=training),
                splits=splits,
                validation=validation,
            )
    finally:
        session.close()
    shutil.rmtree(work, ignore_errors=True)
    return out
