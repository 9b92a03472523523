"""What a program does with this package, from the search to the predictions.

The functions of `cxrsearch` whose work needs torch. Paths may be texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from search.store.record import read_study

from .learn.compute.options import ComputeOptions
from .learn.epochs import EpochsDone
from .model.ensemble_folder import load_predictor
from .model.folder import check_out
from .model.predict import Predictions, predict_folder
from .show.status import status
from .study.experiment import confirm, extend, resume, search
from .study.inference.counting import evaluate_model_folder
from .study.settings import Settings
from .study.winner import train_winner, winner_of
from .systems.ensemble.ending.lessons import lessons_of

__all__ = [
    "Settings", "confirm", "evaluate", "extend", "predict", "resume", "search", "status", "train",
]  # fmt: skip


def train(
    study: str | Path,
    out: str | Path,
    trial: int | None = None,
    on_epoch: Callable[[EpochsDone], None] = lambda progress: None,
    distill: int | None = None,
    **how: Any,
) -> Path:
    """Retrain the recommended recipe of a study on train + validation, into a model folder.

    That is the one which its reruns confirmed, or without any the one of the highest expected
    value. It trains to the end of the recipe's schedule, as no validation part is left to choose an
    epoch by; shorter where an earlier epoch was clearly better. Cut off and called again, it goes
    on from its last checkpoint.

    Args:
        study: the study's folder.
        out: the model folder to write; it must not be there, or be empty.
        trial: number of the trial whose recipe it is; the recommended one by default.
        on_epoch: told how far it is, after each epoch.
        distill: of how many promising trials the model learns what they say together, beside the
            labels; None: of none.
        how: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and
            ``cpus_per_trial``, ``device`` and ``precision``.

    Returns:
        ``out``.

    Raises:
        InputError: where study, data or ``out`` cannot be used.
    """
    folder, lessons = Path(study), None
    if distill is not None:
        check_out(Path(out))
        lessons = lessons_of(folder, distill, winner_of(read_study(folder), trial), **how)
    steps = train_winner(folder, Path(out), trial, lessons=lessons, **how)
    while True:
        try:
            on_epoch(next(steps))
        except StopIteration as stop:
            return Path(stop.value)


def evaluate(
    model: str | Path,
    data: str | None = None,
    labels: str | None = None,
    study: str | Path | None = None,
    tta: str | None = None,
    precision: str = "auto",
    maps: Sequence[str] = (),
    images: str | None = None,
) -> dict[str, Any]:
    """Judge a model on the test part of its data, or on other data. Every look is counted.

    Args:
        model: a model folder or an ensemble folder.
        data: a folder of X-rays, a label table, a ``dataset.yaml``, or ``phantom``; None: the data
            that it was trained on.
        labels: label table, where it lies elsewhere.
        study: the model's study, where it was moved.
        tta: test-time augmentation: one of `cxrsearch.model.views.TTA`; None: what the model was
            made with.
        precision: ``float32``, ``bf16``, or ``auto``: what the model's card says.
        maps: which labels of the data the model calls otherwise, each ``THEIRS=OURS``.
        images: the images of a table, where they lie elsewhere.

    Returns:
        JSON-able: ``mean`` AUROC with its 95% ``interval`` over patients, ``auroc`` and
        ``intervals`` by disease, ``looks`` (how many there were), ``notes``; all keys are
        described at `cxrsearch.model.evaluate.evaluate_model`.

    Raises:
        InputError: where model or data cannot be used.
    """
    moved = None if study is None else Path(study)
    return evaluate_model_folder(
        Path(model), data=data, labels=labels, study=moved, tta=tta, precision=precision,
        maps=maps, images=images,
    )  # fmt: skip


def predict(
    model: str | Path,
    images: str | Path,
    tta: str | None = None,
    precision: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """The probability of every disease, for every image below a folder.

    Args:
        model: a model folder or an ensemble folder.
        images: folder of PNG, JPEG or DICOM files.
        tta: test-time augmentation: one of `cxrsearch.model.views.TTA`; None: what the model was
            made with.
        precision: ``float32``, ``bf16``, or ``auto``: what the model's card says.
        on_progress: called with how many images are done, of how many.

    Returns:
        ``names`` (n), ``diseases`` (k), ``scores`` (n, k), and ``left_out``: the images that got
        no prediction, with the reason.

    Raises:
        InputError: where the model, or every image, cannot be used.
    """
    loaded = load_predictor(Path(model), ComputeOptions(precision=precision), tta)
    return predict_folder(loaded, Path(images), on_progress)
