"""One recipe trained without a search, into a model that predicts.

As a trial trains it: on the training part, scored on validation after each epoch, and the weights
of the best epoch are kept. So the validation score flatters, as one of several epochs was chosen
by it; the test part is left for `evaluate`.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from cxrsearch.data.about import NOTHING_SAID, about
from cxrsearch.errors import InputError, attempt
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData, make_data
from cxrsearch.learn.networks.models import network_problem
from cxrsearch.learn.networks.weights.report import loaded_in
from cxrsearch.learn.recipe import Recipe, as_trained
from cxrsearch.learn.saved.arrays import Labels
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.learn.train import Result, train
from cxrsearch.model.card import predicting, taught
from cxrsearch.model.folder import ModelMeta, check_out, save_best
from cxrsearch.model.suspicion.check import grave
from cxrsearch.model.suspicion.training import validation_checks
from cxrsearch.model.validation import ITS_OWN, ValidationScores
from cxrsearch.writing import alone, work_of
from search.cores import detect_cpus, threads_of
from search.objective import TrialError

from .data import DataParts, listed_names, load_data, make_parts, training_pictures
from .named_recipes import Named, for_labels
from .prepare import check_disk, machine_problems
from .projection import COPIES_RUNNING, weight_bytes
from .settings import AUTO, TrainingRequest
from .space import frame_of
from .starting.drawn import announced, starting_problem
from .starting.origins import also_seen, origin_notes

READING = (
    "data", "labels", "images", "phantom_images", "phantom_difficulty", "seed", "cache",
)  # fmt: skip
"""What of the settings says where the data are."""


class ReadyRecipe(NamedTuple):
    """A training that may start.

    Args:
        named: the recipe.
        settings: of data, split and device.
        parts: its data.
        out: the model folder to write.
    """

    named: Named
    settings: TrainingRequest
    parts: DataParts
    out: Path


class Epoch(NamedTuple):
    """How far the training is.

    Args:
        epoch: done so far.
        epochs: to be done.
        value: mean AUROC of the epoch on the validation subset.
        best_epoch: the best one so far.
        seconds: of all epochs so far.
    """

    epoch: int
    epochs: int
    value: float
    best_epoch: int
    seconds: float


def prepare_recipe(named: Named, settings: TrainingRequest, out: Path) -> ReadyRecipe:
    """Check everything and read the data before any minute is spent on training.

    Args:
        named: the recipe.
        settings: data, split and device.
        out: the model folder to write.

    Raises:
        InputError: naming every problem found.
    """
    problems: list[str] = []
    settings = settings.with_absolute_paths()
    attempt(lambda: check_out(out), problems)
    attempt(settings.check, problems)
    problems += machine_problems(settings)
    network = network_problem(named.recipe)
    problems += [network] if network else _weights_problems(named.recipe, settings)
    listed = attempt(lambda: listed_names(settings), problems)
    dataset = attempt(lambda: load_data(settings), problems)
    recipe = named.recipe
    if dataset is not None:
        labels = dataset.label_names
        recipe = attempt(lambda: for_labels(named.recipe, labels), problems) or recipe
        if recipe.auxiliary and not about(dataset).names:
            problems.append(f"--recipe: auxiliary: {NOTHING_SAID}, or add --set auxiliary=0")
    if problems or dataset is None:
        raise InputError(problems)
    named = named._replace(recipe=recipe)
    frame = frame_of([recipe.input_size], [recipe.crop], dataset.source_side)
    parts = make_parts(settings, dataset, frame, listed)
    origins = origin_notes([recipe.init], parts.splits.fingerprint, dataset.label_names)
    begins = announced([recipe], settings.weights_dir)
    parts = parts._replace(notes=(*begins, *origins, *parts.notes))
    need = (COPIES_RUNNING + 1) * weight_bytes(recipe, len(dataset.label_names))
    check_disk(out, need, "free some, or name an --out on another disk")
    return ReadyRecipe(named, settings, parts, out)


def _weights_problems(recipe: Recipe, settings: TrainingRequest) -> list[str]:
    """Why the starting weights cannot be had, with how to do without."""
    problem = starting_problem(recipe, settings.weights_dir)
    if problem is None:
        return []
    return [f"{problem} (here: --set init=none, which starts from random weights)"]


def train_recipe(ready: ReadyRecipe) -> Generator[Epoch, None, Result]:
    """Train what `prepare_recipe` made ready, and write the model folder.

    Cut off and called again with the same recipe, data and seed, it goes on from its checkpoint,
    which lies in ``.<name>.work`` beside the model folder until that is there.

    Yields:
        `Epoch` after each, those that the checkpoint remembers first.

    Returns:
        how the best epoch does on the whole validation part.

    Raises:
        InputError: where training cannot be done.
    """
    out = ready.out
    work = work_of(out)
    with alone(work):
        check_out(out)  # again: another run may have ended while data were read
        result = yield from _trained(ready, work)
        shutil.rmtree(work, ignore_errors=True)
    return result


def _trained(ready: ReadyRecipe, work: Path) -> Generator[Epoch, None, Result]:
    """Train in ``work``, and write the model folder."""
    named, settings, parts, out = ready
    threads = detect_cpus() if settings.cpus_per_trial == AUTO else threads_of(settings.cpus)
    data = make_data(parts.cache, Labels.of(parts.dataset), parts.splits)
    steps = train(
        named.recipe,
        data,
        seed=settings.seed,
        folder=work,
        compute=ComputeOptions.asked(settings, threads=threads),
    )
    try:
        result = yield from _epochs(steps, as_trained(named.recipe).epochs)
    except TrialError as error:
        raise InputError(f"training failed: {error}") from error
    names, learnt = data.label_names, list(data.learnt)
    found = validation_checks(
        result.scores[:, learnt], [names[column] for column in learnt], result.attrs
    )
    result.attrs["notes"] += [check.line for check in grave(found)]
    parts.splits.save(work / "splits.json")
    rows = data.val
    validation = ValidationScores(
        data.names[rows], data.labels[rows], result.scores, data.patients[rows],
        data.label_names, ITS_OWN,
    )  # fmt: skip
    meta = _meta(ready, data, result)
    save_best(out, work / BEST, named.recipe, meta, work / "splits.json", validation)
    return result


def _epochs(steps: Any, epochs: int) -> Generator[Epoch, None, Result]:
    """The steps of a training as `Epoch`; closed, it closes the training."""
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                found: Result = stop.value
                return found
            best, seconds = step.attrs["best_epoch"], step.attrs["seconds"]
            yield Epoch(step.number, epochs, step.value, best, seconds)
    finally:
        steps.close()


def _meta(ready: ReadyRecipe, data: TrainData, result: Result) -> ModelMeta:
    attrs, parts, settings = result.attrs, ready.parts, ready.settings
    reading = {name: value for name, value in asdict(settings).items() if name in READING}
    return ModelMeta(
        frame=parts.cache.frame,
        data_fingerprint=parts.dataset.fingerprint,
        split_fingerprint=parts.splits.fingerprint,
        source_side=parts.dataset.source_side,
        labels=parts.dataset.label_names,
        description=parts.dataset.description,
        validation={
            "value": result.value,
            "interval": attrs["interval"],
            "selected_from": 1,
            "epochs": attrs["epochs_run"],
        },
        training={
            "recipe": ready.named.name,
            "rows": "train",
            "labels": taught(data, ready.named.recipe),
            "images": len(parts.splits.train),
            "epochs": attrs["best_epoch"],
            "seed": settings.seed,
            "notes": attrs["notes"],
            "weights": loaded_in(attrs["notes"]),
        },
        reading=reading,
        also_seen=also_seen(ready.named.recipe),
        precision=predicting(settings.precision),
        seen=training_pictures(parts.cache, parts.splits),
    )
