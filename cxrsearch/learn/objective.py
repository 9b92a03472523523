"""The bridge to the engine: a trial's parameters in, epochs and a score out."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.splits import Splits, fresh_splits
from cxrsearch.errors import InputError
from cxrsearch.version import __version__
from search.objective import Outcome, Steps, Task, TrialError

from .compute.options import ComputeOptions
from .data import TrainData, make_data
from .networks.weights.asked import start_of
from .pseudo import load_pseudo
from .recipe import SELECTING, Recipe, identity
from .saved.arrays import load_labels, save_labels
from .train import train

__all__ = ["TrialConfig", "TrialObjective", "load_labels", "load_trial_data", "save_labels"]

HELD_STUDIES = 2
"""Studies whose data a worker keeps open, so that its next trial starts at once."""

HELD_ROUNDS = 4
"""Fresh splits of a study that it keeps beside; they are rows of the same images."""

_held: OrderedDict[tuple[object, ...], OrderedDict[int | None, TrainData]] = OrderedDict()


@dataclass(frozen=True)
class TrialConfig:
    """All that a worker needs to run any trial of a study. Small and picklable.

    Args:
        cache: the decoded images; reopened by path on the worker.
        splits_path: the study's ``splits.json``.
        labels_path: the study's ``labels.npz``, as from `save_labels`.
        split_fingerprint: of the split that the study was made with.
        compute: where and how fast a trial computes.
        objective: the labels that the objective averages over; empty: all.
        measures: further objectives, by their names in `cxrsearch.objectives.MEASURES`.
        resamples: of the bootstrap behind the intervals.
        reuse: whether a trial whose recipe has been trained in the study is answered by that.
        spare_bytes: of the cache's disk that prepared pixels leave to checkpoints.
        pseudo: a file of `cxrsearch.learn.pseudo.save_pseudo` about further images of the cache.
        described: as for `effective`.
    """

    cache: Cache
    splits_path: Path
    labels_path: Path
    split_fingerprint: str
    compute: ComputeOptions = field(default_factory=ComputeOptions)
    objective: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    resamples: int = 1000
    reuse: bool = True
    spare_bytes: int = 0
    pseudo: Path | None = None
    described: tuple[str, ...] | None = None


class TrialObjective:
    """Implements `search.objective.Objective`: trains the recipe that a task's genes spell."""

    def __init__(self, config: TrialConfig) -> None:
        self.config = config

    def __call__(self, task: Task) -> Steps:
        """Train, or go on with, the trial ``task`` in its folder.

        A rerun, which is a task with a round, trains on the round's fresh split. It runs all
        epochs of the recipe, whatever its ``patience``: which epoch is best is a question to all
        reruns of a recipe together, and when patience ends is one split's luck. Its ``split``
        attribute is the fresh split's.
        """
        config = self.config
        if config.compute.device == "cuda" and not torch.cuda.is_available():
            raise TrialError("machine", "no CUDA device answers here, where a trial was given one")
        try:
            recipe = Recipe.from_params(task.params)
            data = load_trial_data(config, task.round)
            if task.round is not None:
                recipe = replace(recipe, patience=0)
                data = replace(data, notes=(*data.notes, *_knew(recipe)))
            result = yield from train(
                recipe,
                data,
                seed=task.seed,
                folder=task.folder,
                compute=config.compute,
                resamples=config.resamples,
                measures=config.measures,
            )
        except InputError as error:
            # Checked before the search began, so the data or files have changed since.
            raise TrialError("bad data", "; ".join(error.problems)) from error
        return Outcome(value=result.value, attrs=result.attrs, others=result.others)

    def preflight(self) -> dict[str, str]:
        """What must be the same on every machine that trains; see `same_everywhere`."""
        return same_everywhere(self.config)

    def identity(self, params: Mapping[str, Any]) -> str | None:
        """The same text for parameters that train the same; see `search.trials.repeats`."""
        if not self.config.reuse:
            return None
        try:
            return identity(Recipe.from_params(params), self.config.described)
        except (TypeError, ValueError):  # the trial itself will say what is wrong
            return None


def same_everywhere(config: TrialConfig) -> dict[str, str]:
    """What must be the same on every machine that trains, by name: versions, images and labels.

    Raises:
        InputError: where a file of the study is missing here or damaged, or the split another one.
    """
    splits, known = _splits(config), load_labels(config.labels_path)
    seen = hashlib.sha256("".join(config.cache.contents.values()).encode()).hexdigest()
    marked = hashlib.sha256(known.labels.tobytes()).hexdigest()
    return {
        "cxrsearch": __version__,
        # For a CPU or for a GPU is all the same.
        "torch": torch.__version__.partition("+")[0],
        f"the image cache {config.cache.path}": seen[:12],
        f"the labels in {config.labels_path}": marked[:12],
        f"the split in {config.splits_path}": splits.fingerprint,
    }


def _knew(recipe: Recipe) -> list[str]:
    """Notes on what a rerun of ``recipe`` begins with that may know its validation part."""
    notes = []
    if recipe.pseudo in SELECTING:
        notes.append(
            "the teacher of the pseudo-labels was trained on the study's own training part, of "
            "which some images validate here: values may be too good"
        )
    if recipe.distill:
        notes.append(
            "the teacher that targets are distilled from was trained on the study's own training "
            "part, of which some images validate here: values may be too good"
        )
    if start_of(recipe.init).file is not None:
        notes.append(
            f"init {recipe.init}: where its training saw images of this study's training part, it "
            "saw some that validate here: values may be too good"
        )
    return notes


def load_trial_data(config: TrialConfig, round: int | None = None) -> TrainData:
    """The data of ``config``'s study: loaded once a process, then held.

    Args:
        config: of the study.
        round: which fresh split of its training and validation part, as for `fresh_splits`; None:
            its own.

    Raises:
        InputError: where files are missing or damaged, or the split is another one.
    """
    stamps = [path.stat().st_mtime_ns if path.exists() else None
              for path in (config.splits_path, config.labels_path, config.pseudo)
              if path is not None]  # fmt: skip
    key = (
        config.cache.path, config.splits_path, config.labels_path, config.split_fingerprint,
        config.objective, config.pseudo, *stamps,
    )  # fmt: skip
    if key not in _held:
        _held[key] = OrderedDict({None: _load(config)})
    _held.move_to_end(key)
    while len(_held) > HELD_STUDIES:
        _held.popitem(last=False)
    held = _held[key]
    if round is not None and round not in held:
        held[round] = _load_round(config, held[None], round)
    held.move_to_end(None)
    held.move_to_end(round)
    while len(held) > 1 + HELD_ROUNDS:
        held.popitem(last=False)
    return held[round]


def _load_round(config: TrialConfig, own: TrainData, round: int) -> TrainData:
    """The study's ``own`` data in the parts of a round."""
    splits, known = _splits(config), load_labels(config.labels_path)
    fresh = fresh_splits(splits, known.names.tolist(), known.labels, known.patients, round)
    return own.parted(fresh)


def _splits(config: TrialConfig) -> Splits:
    """The study's own.

    Raises:
        InputError: where it is not the one that the study was made with.
    """
    splits = Splits.load(config.splits_path)
    if splits.fingerprint != config.split_fingerprint:
        raise InputError(
            f"{config.splits_path}: fingerprint {splits.fingerprint}, but the study was made with "
            f"{config.split_fingerprint}; restore the file, or start a new study"
        )
    return splits


def _load(config: TrialConfig) -> TrainData:
    splits = _splits(config)
    labels = load_labels(config.labels_path)
    pseudo = None if config.pseudo is None else load_pseudo(config.pseudo)
    return make_data(
        config.cache, labels, splits, config.objective or None, config.spare_bytes, pseudo
    )
