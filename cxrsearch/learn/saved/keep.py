"""Which trials keep their weights, so that a hundred of them don't fill the disk.

Small files stay with every trial: ``val.npz`` (its predictions) and ``curve.json``.
A finished trial never needs its resume checkpoint again. Of the weights, those of the
best few stay.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from cxrsearch.errors import InputError

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
PREVIOUS = "best.previous.safetensors"

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
