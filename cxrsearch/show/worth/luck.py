"""How much of the best trial's value is luck, from the predictions that all trials have saved.

The best of many noisy values is high because it is good and because it was lucky, and the luck can
be estimated without another training: `search.optimism.corrected` adds noise like that of the
scores, chooses among the candidates as the search did, and judges the choice by values whose errors
had no say in it.

Candidates are all pairs of a trial and an epoch, of stopped trials too: a trial's epoch was chosen
by its value, as the trial was. Reruns of finalists and trials that were answered by another are
none. Epochs are scored on a fixed subset of the validation part, which is the whole part where that
is small enough. Where it is not, the trials' values are those of the whole part, and the candidates
are the complete trials at their best epochs. The choice of the epoch is then not corrected for; it
was made on fewer images, so that its luck carries over by their share only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cxrsearch.data.marks import absent, present
from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import Labels, load_arrays, load_labels
from cxrsearch.learn.saved.epoch_scores import half_logits, read_epoch_scores
from cxrsearch.objectives import parse_objective
from cxrsearch.show.rows import Row
from cxrsearch.show.view import StudyView

FINAL_SCORES = "val.npz"
"""A complete trial's predictions of the whole validation part, in its folder."""
MOST_CANDIDATES = 1000
"""Candidates looked at, the highest values: lower ones are chosen in no draw."""
MOST_SCORES = 1 << 26
"""Scores held at once: of very many images fewer candidates are looked at."""
CHOSEN_FROM = ("complete", "pruned", "paused")
"""States of trials whose epochs could have been chosen."""


class Luck(NamedTuple):
    """The best's value without the luck of having been chosen.

    Args:
        value: what it is worth on new patients; None where that cannot be said, see ``reason``.
        low: of the 95% interval.
        high: of the 95% interval.
        trials: whose predictions it is from.
        of: trials that could have been chosen.
        epochs: whether the choice of the epoch is corrected for.
        images: on which it was chosen.
        subset: of these, images on which epochs were chosen; 0 where epochs are not known.
        ended: trials of the search that had ended.
        reason: why there is no value; empty where there is one.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    trials: int = 0
    of: int = 0
    epochs: bool = False
    images: int = 0
    subset: int = 0
    ended: int = 0
    reason: str = ""

    @property
    def interval(self) -> tuple[float, float] | None:
        """From ``low`` to ``high``."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class ImageScores(NamedTuple):
    """What a trial says of images ``names`` (n,): (n, k) logits, but for a constant a label."""

    names: np.ndarray
    logits: np.ndarray


class Truth:
    """Labels and patients of a study's images, for the labels that its objective is over.

    Args:
        folder: the study's.
        objective: as ``--objective`` has it.

    Raises:
        InputError: where labels.npz is missing or damaged, or ``objective`` not of its labels.
    """

    def __init__(self, folder: Path, objective: str) -> None:
        known: Labels = load_labels(folder / "labels.npz")
        over = parse_objective(objective).over(known.label_names)
        self.width = len(known.label_names)
        self.columns = [known.label_names.index(name) for name in over]
        marks = known.labels[:, self.columns]
        self._marks = np.where(present(marks), 1.0, np.where(absent(marks), 0.0, np.nan))
        self._patients = known.patients
        self._place = {str(name): row for row, name in enumerate(known.names.tolist())}

    @classmethod
    def of(cls, view: StudyView) -> Truth:
        """That of a study."""
        return cls(view.record.folder, str(view.asked.get("objective") or "auroc"))

    def __call__(self, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(n, k) labels, 1, 0 or NaN, and (n,) patients of the images ``names``.

        Raises:
            InputError: where one of them has no label.
        """
        try:
            rows = [self._place[str(name)] for name in names]
        except KeyError as error:
            raise InputError(f"labels.npz: no image {error}; restore it from a copy") from error
        return self._marks[rows], self._patients[rows]


def trial_folder(view: StudyView, number: int) -> Path:
    """Where trial ``number`` keeps its files."""
    return view.record.folder / "trials" / str(number)


def final_scores(folder: Path, truth: Truth) -> ImageScores | None:
    """What a complete trial says of its validation part; None where that is not to be had."""
    try:
        found = load_arrays(folder / FINAL_SCORES, ("names", "scores"))
    except InputError:
        return None
    names, scores = found["names"], found["scores"]
    fits = names.ndim == 1 and scores.shape == (len(names), truth.width)
    if not fits or scores.dtype.kind != "f" or not ((scores >= 0) & (scores <= 1)).all():
        return None
    return ImageScores(names, half_logits(scores[:, truth.columns]).scores)


def epoch_scores(
    folder: Path, truth: Truth, steps: Iterable[int] | None = None
) -> dict[int, ImageScores]:
    """What a trial says of its validation subset, by epoch; empty where nothing was kept.

    Args:
        folder: the trial's.
        truth: for which labels.
        steps: the epochs that are wanted; None: all.
    """
    try:
        found = read_epoch_scores(folder)
    except InputError:
        return {}
    if found is None or found.scores.shape[2] != truth.width:
        return {}
    wanted = None if steps is None else set(steps)
    return {
        int(epoch): ImageScores(found.names, found.scores[place][:, truth.columns])
        for place, epoch in enumerate(found.epochs.tolist())
        if wanted is None or int(epoch) in wanted
    }


def luck_of(view: StudyView) -> Luck:
    """The best's value corrected for the luck of having been chosen among all."""
    best, ended = view.best, sum(row.end is not None for row in view.rows)
    if best is None:
        return Luck(ended=ended, reason="no trial is complete yet")
    try:
        truth = Truth.of(view)
        return _luck(view, best, truth)._replace(ended=ended)
    except InputError as error:
        return Luck(ended=ended, reason="; ".join(error.problems))
    except ValueError as error:  # of labels that no longer fit the predictions
        return Luck(ended=ended, reason=str(error))


def _luck(view: StudyView, best: Row, truth: Truth) -> Luck:
    from search.optimism import corrected  # it loads SciPy, which what is kept does without

    own = final_scores(trial_folder(view, best.number), truth)
    if own is None:
        return Luck(reason=f"the predictions of trial {best.number}, the best, are not there")
    epochs = epoch_scores(trial_folder(view, best.number), truth)
    names = next((each.names for each in epochs.values()), np.array([]))
    whole = set(names.tolist()) == set(own.names.tolist())
    pool = _Pool(view, truth, own.names, whole)
    candidates = pool.candidates(best)
    labels, patients = truth(own.names.tolist())
    found = corrected(np.stack(candidates), labels, patients)
    # The best's own value is of float32 and of a trial that was complete, so it may lie beside the
    # highest of the candidates; what is luck in that is luck in this one.
    assert best.value is not None
    away = best.value - found.naive
    value, low, high = (
        min(1.0, max(0.0, each + away)) for each in (found.corrected, found.low, found.high)
    )
    return Luck(
        value, low, high, pool.there, pool.of, whole, len(own.names), len(names)
    )  # fmt: skip


class _Pool:
    """The candidates of a study: (n, k) logits each, for the images ``names``."""

    def __init__(self, view: StudyView, truth: Truth, names: np.ndarray, whole: bool) -> None:
        self._view, self._truth, self._names, self._whole = view, truth, names, whole
        states = CHOSEN_FROM if whole else CHOSEN_FROM[:1]
        self._rows = [row for row in view.rows if row.state in states and row.value is not None]
        self.of = len(self._rows)
        self.there = 0

    def candidates(self, best: Row) -> list[np.ndarray]:
        """The `MOST_CANDIDATES` of the highest values; those of ``best`` before all others."""
        pairs = [
            (row, step, value)
            for row in self._rows
            for step, value in (row.curve if self._whole and row.curve else {0: row.value}).items()
        ]
        pairs.sort(key=lambda pair: (pair[0].number != best.number, -(pair[2] or 0.0)))
        wanted: dict[int, list[int]] = {}
        cells = len(self._names) * len(self._truth.columns)
        for row, step, _ in pairs[: max(1, min(MOST_CANDIDATES, MOST_SCORES // cells))]:
            wanted.setdefault(row.number, []).append(step)
        found: list[np.ndarray] = []
        for row in self._rows:
            if row.number not in wanted:
                self.there += 1  # it is chosen in no draw, and nothing is missing without it
                continue
            own = self._of(row, wanted[row.number])
            self.there += bool(own)
            found += own
        return found

    def _of(self, row: Row, steps: Sequence[int]) -> list[np.ndarray]:
        """A trial's candidates; its end alone where its epochs were not kept."""
        folder = trial_folder(self._view, row.number)
        each = list(epoch_scores(folder, self._truth, steps).values()) if self._whole else []
        if not each and row.state == "complete":
            end = final_scores(folder, self._truth)
            each = [] if end is None else [end]
        fitted = [self._fitted(one) for one in each]
        return [one for one in fitted if one is not None]

    def _fitted(self, one: ImageScores) -> np.ndarray | None:
        """Logits in the order of the pool's images; None where they are of others."""
        if not np.array_equal(one.names, self._names):
            place = {name: row for row, name in enumerate(one.names.tolist())}
            rows = [place.get(name, -1) for name in self._names.tolist()]
            if -1 in rows:
                return None
            one = ImageScores(self._names, one.logits[rows])
        return one.logits
