"""Which trials keep their weights, so that a hundred of them don't fill the disk.

Small files stay with every trial: ``val.npz`` (its predictions) and ``curve.json``.
A finished trial never needs its resume checkpoint again. Of the weights, those of the
best few stay. What was said after each epoch (``epochs.npz``) stays as long as a study's
files of it take no more than `SCORES_BYTES`; then those of its weakest trials go first.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from cxrsearch.errors import InputError

from .epoch_scores import EPOCH_SCORES

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
PREVIOUS = "best.previous.safetensors"

SCORES_BYTES = 512 << 20
"""Bytes that the scores of a study's epochs may take, unless all is to be kept."""

SCORES_KEPT = 50
"""Trials that keep the scores of their epochs in any case: those with the best values."""

Keep = int | str
"""How many trials keep their weights: a number, ``"all"`` or ``"none"``."""


def parse_keep(text: str) -> Keep:
    """``best:5`` -> 5, ``all`` -> ``"all"``, ``none`` -> ``"none"``.

    Raises:
        InputError: for anything else.
    """
    cleaned = text.strip().lower()
    if cleaned in ("all", "none"):
        return cleaned
    kind, _, number = cleaned.partition(":")
    number = number.strip()
    if kind.strip() == "best" and number.isascii() and number.isdigit() and int(number) > 0:
        return int(number)
    raise InputError(
        f"--keep-checkpoints {text!r} is not understood; write best:N (N at least 1), all or none"
    )


def winners(ranking: Sequence[int], keep: Keep) -> set[int]:
    """The trials that keep their weights: the first few of a ``ranking``, best first."""
    return set(ranking if keep == "all" else () if keep == "none" else ranking[: int(keep)])


def keep_best(
    trials: Path,
    ranking: Sequence[int],
    keep: Keep,
    running: Collection[int] = (),
    only: Collection[int] | None = None,
) -> list[Path]:
    """Delete the checkpoints and weights under ``trials`` that are no longer wanted.

    Args:
        trials: the folder that holds one folder a trial, named by its number.
        ranking: numbers of finished trials, best first. Finished trials that are not in it
            (pruned, failed) keep no weights unless ``keep`` is ``"all"``.
        keep: as from `parse_keep`.
        running: numbers of trials that still run or are to be resumed; left untouched.
        only: the trials to look at, where it is known what has changed: with thousands of
            folders on a shared file system a look at all of them takes long.

    Returns:
        the files that were deleted.
    """
    best = winners(ranking, keep)
    deleted: list[Path] = []
    for number in sorted(_numbers(trials) if only is None else set(only)):
        folder = trials / str(number)
        if number in running or not folder.is_dir():
            continue
        unwanted = [folder / CHECKPOINT, folder / PREVIOUS, *folder.glob(".*.tmp")]
        if keep != "all" and number not in best:
            unwanted.append(folder / BEST)
        deleted += [path for path in unwanted if _remove(path)]
    return deleted


class EpochScoresRoom:
    """Keeps the scores of a study's epochs within bounds, as its trials end.

    Args:
        trials: the folder that holds one folder a trial, named by its number.
        keep: as from `parse_keep`; ``"all"``: without bounds.
        most: bytes that the files may take together.
        least: trials that keep theirs in any case, those with the best values.
    """

    def __init__(
        self, trials: Path, keep: Keep, most: int = SCORES_BYTES, least: int = SCORES_KEPT
    ) -> None:
        self._trials, self._bounded, self._most, self._least = trials, keep != "all", most, least
        self._sizes: dict[int, int] | None = None

    def tidy(self, best_values: Mapping[int, float], ended: Collection[int] = ()) -> list[Path]:
        """Delete files of the trials that are furthest from the best until the others fit.

        Files of trials that are not in ``best_values`` are counted, and stay.

        Args:
            best_values: the best value that each trial had after any epoch, of those whose file
                may go: finished trials of the search, no reruns. More is better.
            ended: the trials whose files may have changed since the last call.

        Returns:
            the files that were deleted.
        """
        if not self._bounded:
            return []
        if self._sizes is None:
            self._sizes, ended = {}, _numbers(self._trials)
        for number in ended:
            self._sizes[number] = _size(self._trials / str(number) / EPOCH_SCORES)
        total, deleted = sum(self._sizes.values()), list[Path]()
        weakest = sorted(best_values, key=lambda number: (best_values[number], -number))
        for number in weakest[: max(0, len(weakest) - self._least)]:
            if total <= self._most:
                break
            path = self._trials / str(number) / EPOCH_SCORES
            total -= self._sizes.pop(number, 0)
            if _remove(path):
                deleted.append(path)
        return deleted


def _size(path: Path) -> int:
    """Bytes of a file; 0 where it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _numbers(trials: Path) -> list[int]:
    """The trials that have a folder."""
    names = [path.name for path in trials.iterdir()] if trials.is_dir() else []
    return [int(name) for name in names if name.isascii() and name.isdigit()]


def _remove(path: Path) -> bool:
    """Whether ``path`` was there; it no longer is."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
