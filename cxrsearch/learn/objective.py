"""The bridge to the engine: a trial's parameters in, epochs and a score out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError
from search.objective import Outcome, Steps, Task, TrialError

from .compute.options import ComputeOptions
from .data import TrainData, make_data
from .pseudo import load_pseudo
from .recipe import Recipe, identity
from .saved.arrays import load_labels, save_labels
from .train import train

__all__ = ["TrialConfig", "TrialObjective", "load_labels", "load_trial_data", "save_labels"]

HELD_STUDIES = 2
"""Studies whose data a worker keeps open, so that its next trial starts at once."""

_held: OrderedDict[tuple[object, ...], TrainData] = OrderedDict()


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
        """Train, or go on with, the trial ``task`` in its folder."""
        config = self.config
        try:
            recipe = Recipe.from_params(task.params)
            data = load_trial_data(config)
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

    def identity(self, params: Mapping[str, Any]) -> str | None:
        """The same text for parameters that train the same; see `search.trials.repeats`."""
        if not self.config.reuse:
            return None
        try:
            return identity(Recipe.from_params(params), self.config.described)
        except (TypeError, ValueError):  # the trial itself will say what is wrong
            return None


def load_trial_data(config: TrialConfig) -> TrainData:
    """The data of ``config``'s study: loaded once a process, then held.

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
        _held[key] = _load(config)
    _held.move_to_end(key)
    while len(_held) > HELD_STUDIES:
        _held.popitem(last=False)
    return _held[key]


def _load(config: TrialConfig) -> TrainData:
    splits = Splits.load(config.splits_path)
    if splits.fingerprint != config.split_fingerprint:
        raise InputError(
            f"{config.splits_path}: fingerprint {splits.fingerprint}, but the study was made with "
            f"{config.split_fingerprint}; restore the file, or start a new study"
        )
    labels = load_labels(config.labels_path)
    pseudo = None if config.pseudo is None else load_pseudo(config.pseudo)
    return make_data(
        config.cache, labels, splits, config.objective or None, config.spare_bytes, pseudo
    )
