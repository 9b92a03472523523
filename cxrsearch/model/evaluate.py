"""The final word on a model: its AUROC on images that nothing was chosen by.

Every such look is counted, in the study and in the model folder: a test part that is
looked at often, and chosen by, is no test part any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from cxrsearch.data.copy_names import same_files, same_images
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.labels.names import some_names
from cxrsearch.data.marks import absent, present
from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.splits import Splits
from cxrsearch.data.unlabelled import patients_of
from cxrsearch.errors import InputError
from cxrsearch.learn.metrics import judge
from cxrsearch.learn.networks.weights.asked import start_of
from search.files import write_json
from search.reading import read_json
from search.seeds import derive

from .labels import shared_labels
from .predictor import ModelPart, Predictor

LOOKS = "looks.json"


def evaluate_model(
    model: Predictor,
    dataset: Dataset,
    cache: Cache,
    *,
    maps: Sequence[str] = (),
    resamples: int = 1000,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score a model on the test part of its own data, or on other data as a whole.

    Args:
        model: a loaded model or ensemble.
        dataset: labelled images. Where its fingerprint is that of the model's data, the test
            part is scored; otherwise it is external data and every image is.
        cache: its decoded pictures, at the model's `Predictor.frame`.
        maps: which of its labels are called otherwise by the model; see
            `cxrsearch.model.labels.shared_labels`.
        resamples: of the bootstrap over patients.
        on_progress: called with how many images are done, of how many.

    Returns:
        JSON-able: ``time``, ``model``, ``study``, ``trial``, ``data``, ``part`` (``"test"`` or
        ``"external"``), ``n_images``, ``n_patients``; ``positives``, ``negatives`` and ``auroc`` by
        label, of those that model and data both have, in the model's words; ``mean``, ``interval``
        (95%, over patients), ``intervals`` by label; ``not_covered`` (labels that the model says
        nothing of: left out of all but the counts), ``mapped`` (label -> what the data call it,
        where that differs), ``only_in_model`` and ``only_in_data`` (labels that the other does not
        have); ``notes``. Marks that are not known, or not sure, take no part.

    Raises:
        InputError: where the model was trained on some of the images, none can be scored, or
            no label is shared.
    """
    if cache.frame != model.frame:
        raise InputError(
            f"pictures decoded at {cache.frame} pixels, but {model.folder} takes {model.frame}"
        )
    shared = shared_labels(model.labels, dataset.label_names, maps)
    part, wanted, notes = _images(model, dataset, cache)
    places, rows, left_out = _rows(dataset, cache, wanted)
    if left_out:
        notes.append(f"{left_out} images could not be read and are left out")
    if not len(rows):
        raise InputError(f"{dataset.label}: no readable image to score")
    names = [model.labels[column] for column in shared.ours]
    marks = np.asarray(dataset.labels)[places][:, shared.theirs]
    covered = [place for place, column in enumerate(shared.ours) if column in model.covered]
    if not covered:
        raise InputError(
            f"{model.folder}: says nothing of the labels that it and {dataset.label} both have "
            f"({some_names(names)}); judge it on other data"
        )
    judged, labels = [names[place] for place in covered], marks[:, covered]
    wished = model.card["study"].get("objective") or model.labels
    columns = [place for place, name in enumerate(judged) if name in wished]
    if not columns:
        notes.append(
            f"none of the labels that it was chosen by ({some_names(wished)}): mean over all"
        )
        columns = list(range(len(judged)))
    scores = model.predict(cache.images, rows, on_progress)
    patients = np.asarray(dataset.patients)[places]
    mean, details, more = judge(
        labels,
        scores[:, [shared.ours[place] for place in covered]],
        patients,
        columns,
        resamples,
        derive("evaluate", dataset.fingerprint),
        judged,
    )
    unknown = [name for name in names if name not in judged]
    if unknown:
        notes.append(f"no model, left out of table and mean: {some_names(unknown)}")
    if shared.only_model:
        notes.append(
            "labels of the model that the data do not have, not judged: "
            f"{some_names(shared.only_model)}"
        )
    if shared.only_data:
        notes.append(
            "labels of the data that the model does not have, not judged: "
            f"{some_names(shared.only_data)} (is one the same under another name? "
            '--map "THEIRS=OURS")'
        )
    if np.isnan(mean):
        raise InputError(f"{dataset.label}: no label has both positives and negatives in it")
    called = [dataset.label_names[column] for column in shared.theirs]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": str(model.folder),
        "study": model.card["study"].get("path"),
        "trial": model.card["study"].get("trial"),
        "data": dataset.label,
        "data_fingerprint": dataset.fingerprint,
        "part": part,
        "n_images": len(rows),
        "n_patients": len(np.unique(patients)),
        "positives": dict(zip(names, present(marks).sum(axis=0).tolist(), strict=True)),
        "negatives": dict(zip(names, absent(marks).sum(axis=0).tolist(), strict=True)),
        "objective": [judged[column] for column in columns],
        "mean": mean,
        **details,
        "not_covered": unknown,
        "mapped": {o: t for o, t in zip(names, called, strict=True) if o != t},
        "only_in_model": list(shared.only_model),
        "only_in_data": list(shared.only_data),
        "notes": [*notes, *more],
    }


def _images(
    model: Predictor, dataset: Dataset, cache: Cache
) -> tuple[str, tuple[str, ...], list[str]]:
    """Which part of ``dataset`` is scored, its image names, and notes."""
    splits = model.splits()
    # A study's own fingerprint is of the images that could be read.
    readable = {name for name, ok in zip(cache.names, cache.ok, strict=True) if ok}
    keep = [i for i, name in enumerate(dataset.names) if name in readable]
    usable = dataset.taking(keep).fingerprint
    own = model.card["data"]["fingerprint"] in (dataset.fingerprint, usable)
    if own and splits is None:
        raise InputError(
            f"{model.folder}: holds no splits.json, so the test part of its own data is not "
            "known; copy it from the study's folder"
        )
    if own and splits is not None:
        if not splits.test:
            raise InputError(f"{model.folder}: its study kept no test part; use other data")
        splits.check_contents(cache.contents, dataset.label, model.folder)
        return "test", *_unseen(model, dataset, splits.test, cache.contents)
    if splits is None:
        wanted, notes = _unseen(model, dataset, dataset.names, cache.contents)
        notes.append("the model folder holds no splits.json: overlap with training is not checked")
    else:
        trained = (*splits.train, *splits.val)
        told = _check_overlap(model, dataset, splits, cache.contents)
        wanted, notes = _unseen(model, dataset, dataset.names, cache.contents, trained)
        notes = [*told, *notes]
    count, every = len(wanted), len(dataset.names)
    head = (
        f"{dataset.label} is not the data that the model was made with: external data, "
        f"{'all' if count == every else f'{count} of'} {every} labelled images are scored"
    )
    return "external", wanted, [head, *notes]


def _check_overlap(
    model: Predictor, dataset: Dataset, splits: Splits, contents: Mapping[str, str]
) -> list[str]:
    """Refuse data that hold images which the model was trained on with their labels.

    Args:
        model: the model.
        dataset: other data than its own.
        splits: the parts of its own.
        contents: name -> content of ``dataset``'s images.

    Returns:
        notes on what was told by names.
    """
    trained = (*splits.train, *splits.val)
    known = [splits.contents.get(name, "") for name in trained]
    seen = set(same_images(dataset.names, trained, contents, known))
    overlap = [i for i, name in enumerate(dataset.names) if name in seen]
    by_name = (
        f"{model.folder}: of an earlier version, which kept no digest of the images' files: that "
        "it was trained on images is told by their names alone"
    )
    if overlap:
        people = np.unique(np.asarray(dataset.patients)[overlap])
        raise InputError(
            [
                f"{dataset.label}: {len(overlap)} of its images (of {len(people)} patients), such "
                f"as {dataset.names[overlap[0]]!r}, were trained on, as they are or as copies; "
                "leave those patients out, or give the very data that the model was made with, to "
                "score its test part",
                *([] if splits.contents else [by_name]),
            ]
        )
    if not splits.contents:
        return [by_name]
    alike = len(set(same_images(dataset.names, trained)))
    return [
        f"{alike} images are called like ones that the model was trained on, but are other files: "
        "they count as other images"
    ] * bool(alike)


def _unseen(
    model: Predictor,
    dataset: Dataset,
    wanted: tuple[str, ...],
    contents: Mapping[str, str],
    trained: tuple[str, ...] = (),
) -> tuple[tuple[str, ...], list[str]]:
    """Those of ``wanted`` that the model has not seen without their labels, and notes.

    Images of patients on whom it was trained, as far as names tell them, go too.

    Args:
        model: its cards say what it has seen.
        dataset: the images, their labels and patients.
        wanted: names of images in it.
        contents: name -> content of images in it.
        trained: names of images that the model was trained on with their labels.

    Raises:
        InputError: where none is left.
    """
    told = [_also_seen(part) for part in model.parts]
    pairs = dict.fromkeys(pair for images, _ in told for pair in images)
    seen, known = [name for name, _ in pairs], [content for _, content in pairs]
    notes = list(dict.fromkeys(note for _, found in told for note in found))
    if not seen and not trained:
        return wanted, notes
    same = set(same_files(dataset.names, seen, contents, known))
    who = dict(zip(dataset.names, map(str, dataset.patients.tolist()), strict=True))
    people = {who[name] for name in same}
    people |= {p for p in patients_of(dataset, [*seen, *trained]) if p is not None}
    left = tuple(name for name in wanted if who.get(name) not in people)
    if not left:
        raise InputError(
            f"{dataset.label}: all {len(wanted)} images are of patients whom the model has seen, "
            "with or without their labels; name other data with --data"
        )
    if len(left) < len(wanted):
        notes.append(
            f"{len(wanted) - len(left)} images are left out: {len(same.intersection(wanted))} that "
            "the model has seen, if without their labels, and others of patients whom it has seen"
        )
    return left, notes


def _also_seen(part: ModelPart) -> tuple[list[tuple[str, str]], list[str]]:
    """What a network has seen without labels, names and contents, and what is not known."""
    found = part.card.get("also_seen")
    if found is not None:
        names = found["images"]
        contents = found.get("contents") or [""] * len(names)
        return list(zip(names, contents, strict=True)), [
            f"what {weights} was trained on, with which it began, is not recorded: overlap with "
            "that is not checked"
            for weights in found["unknown"]
        ]
    if part.recipe.pseudo == "none" and start_of(part.recipe.init).file is None:
        return [], []
    return [], [
        f"{part.folder}: its card, of an older version, does not say which images it has seen "
        "without a label: overlap with them is not checked"
    ]


def _rows(
    dataset: Dataset, cache: Cache, wanted: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Places in ``dataset`` and cache rows of the ``wanted`` images; how many cannot be had."""
    row_of = {str(name): row for row, name in enumerate(cache.names) if cache.ok[row]}
    label_of = {name: i for i, name in enumerate(dataset.names)}
    found = [name for name in wanted if name in row_of and name in label_of]
    places = np.array([label_of[name] for name in found], np.int64)
    return places, np.array([row_of[name] for name in found], np.int64), len(wanted) - len(found)


def record_look(study: Path | None, model: Path, result: dict[str, Any]) -> int:
    """Append ``result`` to ``looks.json`` of the study (where known) and of the model folder.

    Returns:
        how many looks there have been: the study's count, or the model's where there is no
        study.

    Raises:
        InputError: where one of the two cannot be read or written, so that no look goes
            uncounted.
    """
    counts = [_append(folder, result) for folder in (study, model) if folder is not None]
    return counts[0]


def read_looks(folder: Path) -> list[dict[str, Any]]:
    """The looks counted in ``folder``, oldest first.

    Raises:
        SearchError: where its ``looks.json`` is damaged.
    """
    path = folder / LOOKS
    try:
        looks = read_json(path, "the list of looks")
    except FileNotFoundError:
        return []
    if not isinstance(looks, list) or not all(isinstance(look, dict) for look in looks):
        raise InputError(f"{path}: not a list of looks; restore it from a copy")
    return looks


def _append(folder: Path, result: dict[str, Any]) -> int:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, so the look cannot be counted there")
    try:
        with FileLock(folder / f".{LOOKS}.lock", timeout=60):
            looks = [*read_looks(folder), result]
            write_json(folder / LOOKS, looks)
    except (OSError, Timeout) as error:
        raise InputError(f"{folder}: the look cannot be counted ({error})") from error
    return len(looks)
