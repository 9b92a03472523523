"""Probabilities for a folder of images, by the same way to pixels as in training.

An image that could not have come from where the model's images came from is left out and
reported instead of being given a meaningless number; see `misfit`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from cxrsearch.data.errors import ImageError
from cxrsearch.data.files import SHOWN, find_images
from cxrsearch.data.labels.table_text import csv_text, image_cell, number_cell, text_cell
from cxrsearch.data.notes import noted, reasons, summary
from cxrsearch.data.pixels.dicom import dicom_problem, is_dicom
from cxrsearch.data.pixels.images import image_size, read_image, thumbnail
from cxrsearch.data.read import folder_problem, none_below
from cxrsearch.errors import InputError
from cxrsearch.learn.augment.frames import FRAME
from cxrsearch.learn.recipe import size_of
from search.files import write_text

from .predictor import Predictor

MOST_ELONGATED = 2.0
"""Longer side over shorter side at most: a chest X-ray is nearly square."""

ENLARGED = 3.0
"""How much an image may be enlarged at most to fill what the network sees."""

SMALLEST = 32
"""Shorter side below which no picture is a chest X-ray that anything could be told from."""

COLOURED, COLOUR_SHARE = 32, 0.1
"""An image is coloured where channels differ by more levels than this, in more of its area."""

TIDY_COLUMNS = ("image", "label", "probability")
"""Of a table of predictions with a row an image and label."""
TIDY_BEFORE = ("image", "disease", "probability")
"""The same in tables of the version before."""

READ_AT_ONCE = 64
"""Images decoded before the network sees them."""


@dataclass(frozen=True)
class Predictions:
    """What a model says of a folder.

    Args:
        names: (n) image names: the file's own, or its path below the folder where two files
            in different subfolders share one.
        scores: (n, k) float32 probabilities.
        labels: (k,) what the columns of ``scores`` are.
        left_out: name and reason of each image that got none.
        notes: what else the user should know.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    labels: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()


def predict_folder(
    model: Predictor,
    folder: Path,
    on_progress: Callable[[int, int], None] | None = None,
    only: Collection[str] | None = None,
) -> Predictions:
    """Predict for all images (PNG, JPEG, DICOM) below ``folder``, sorted by their paths.

    Args:
        model: what predicts.
        folder: where the images lie, or folders of them.
        on_progress: called with how many images are done, of how many.
        only: the files wanted, as paths below ``folder``; all by default.

    Raises:
        InputError: where there is no such folder, or no image in it that can be used.
    """
    files, notes = image_files(Path(folder))
    if unknown := model.not_covered:
        notes = (*notes, f"no model for {', '.join(unknown)}: their numbers mean nothing")
    if only is not None:
        files = tuple(file for file in files if file in set(only))
    names = image_names(files)
    smallest = smallest_side(model)
    scores: list[np.ndarray] = []
    kept: list[str] = []
    left_out: list[tuple[str, str]] = []
    told: list[tuple[str, int]] = []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(files), READ_AT_ONCE):
            part = slice(start, start + READ_AT_ONCE)
            paths = [Path(folder) / file for file in files[part]]
            found = list(pool.map(lambda p: _picture(p, model.frame, smallest), paths))
            good = [picture for picture, _ in found if isinstance(picture, np.ndarray)]
            for name, (picture, number) in zip(names[part], found, strict=True):
                if isinstance(picture, np.ndarray):
                    kept.append(name)
                    told.append((name, number))
                else:
                    left_out.append((name, picture))
            if good:
                scores.append(model.predict(np.stack(good)))
            if on_progress is not None:
                on_progress(min(start + READ_AT_ONCE, len(files)), len(files))
    if not kept:
        some = reasons(left_out, SHOWN)
        raise InputError([f"{folder}: none of its {len(files)} images can be used", *some])
    notes = (*notes, *summary(told, len(files)))
    return Predictions(tuple(kept), np.concatenate(scores), model.labels, tuple(left_out), notes)


def image_files(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Image files below ``folder``, as sorted paths, and notes.

    Raises:
        InputError: where there is no such folder, or no image in it that can be read here.
    """
    if problem := folder_problem(folder):
        raise InputError(problem)
    files, notes = find_images(folder)
    if not files:
        raise InputError([none_below(folder), *notes])
    dicom = [file for file in files if is_dicom(file)]
    if len(dicom) == len(files) and (problem := dicom_problem()):
        raise InputError(f"{folder}: {len(dicom)} DICOM files, such as {dicom[0]!r}: {problem}")
    return files, notes


def image_names(files: Sequence[str]) -> tuple[str, ...]:
    """Each path's base name, or the whole path where another has the same base name."""
    bases = [PurePosixPath(file).name for file in files]
    count = Counter(bases)
    return tuple(b if count[b] == 1 else f for b, f in zip(bases, files, strict=True))


def smallest_side(model: Predictor) -> int:
    """Shorter side in pixels that an image needs for ``model``.

    Its window, enlarged by at most `ENLARGED`, must fill what the network sees (of an ensemble,
    every network), and it has `SMALLEST` or more. A model whose own images were smaller takes
    images as small as those.
    """
    needed = max(
        SMALLEST,
        *(
            seen * FRAME / window / ENLARGED
            for part in model.parts
            for window, seen in zip(
                size_of(part.recipe.crop), size_of(part.recipe.input_size), strict=True
            )
        ),
    )
    own = model.card["pixels"].get("source_side")
    return int(min(needed, own if isinstance(own, int | float) else needed))


def misfit(path: Path, smallest: int) -> str | None:
    """Why the image at ``path`` does not fit a model's pixel contract, or None.

    Raises:
        ImageError: where it cannot be read at all.
    """
    width, height = image_size(path)
    if max(width, height) > MOST_ELONGATED * min(width, height):
        return (
            f"{width}x{height} is too elongated for a chest X-ray (at most {MOST_ELONGATED:g} "
            "to 1); cut it to the chest"
        )
    if min(width, height) < smallest:
        return f"{width}x{height} is too small for this model (at least {smallest} pixels a side)"
    share = coloured_share(path)
    if share > COLOUR_SHARE:
        return (
            f"{share:.0%} of it is in colour; this model takes grey X-rays (convert it to grey "
            "if it is one)"
        )
    return None


def coloured_share(path: Path) -> float:
    """Share of the pixels whose colour channels differ clearly; 0 for grey formats and DICOM.

    Raises:
        ImageError: where it cannot be read at all.
    """
    colours = thumbnail(path, 256)
    if colours is None:
        return 0.0
    pixels = colours.astype(np.int16)
    return float(np.mean(pixels.max(axis=2) - pixels.min(axis=2) > COLOURED))


def _picture(path: Path, frame: int, smallest: int) -> tuple[np.ndarray | str, int]:
    """The (F, F) uint8 picture, or why there is none; and what was noted of it."""
    try:
        if reason := misfit(path, smallest):
            return reason, 0
        with noted() as notes:
            picture = read_image(path, frame)
        return picture, notes.number
    except ImageError as error:
        return str(error), 0


def prediction_columns(labels: Sequence[str]) -> tuple[str, ...]:
    """Of a table of predictions with a row an image: ``image``, then the labels by name."""
    return ("image", *map(text_cell, labels))


def score_cell(value: float | np.floating) -> str:
    """A probability as a cell; empty where there is none."""
    return "" if np.isnan(value) else number_cell(value)


def write_competition(path: Path, predictions: Predictions) -> None:
    """Write a row an image: column ``image``, then the labels by name."""
    rows = (
        [image_cell(name), *map(score_cell, scores)]
        for name, scores in zip(predictions.names, predictions.scores, strict=True)
    )
    write_csv(path, prediction_columns(predictions.labels), rows)


def write_tidy(path: Path, predictions: Predictions) -> None:
    """Write a row an image and label: columns ``image``, ``label``, ``probability``."""
    rows = (
        [image_cell(name), text_cell(label), score_cell(value)]
        for name, scores in zip(predictions.names, predictions.scores, strict=True)
        for label, value in zip(predictions.labels, scores, strict=True)
    )
    write_csv(path, TIDY_COLUMNS, rows)


def table_start(header: Sequence[str]) -> re.Pattern[bytes]:
    """How a table of predictions with this header begins, up to a probability in its first row.

    So a table of labels is told from it, which may have the same columns, but whole numbers.
    """
    probability = rb"(?:[01]\.\d{2,}|[1-9](?:\.\d+)?e-\d+)\b"
    return re.compile(re.escape(csv_text(header, []).encode()) + rb"(?:[^\n]*,)?" + probability)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table atomically.

    Raises:
        InputError: where it cannot be written.
    """
    try:
        write_text(path, csv_text(header, rows))
    except OSError as error:
        raise InputError(f"--out {path}: cannot be written ({error.strerror})") from error
