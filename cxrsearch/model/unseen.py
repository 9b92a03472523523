"""Which images of a data set a model may be judged on, and what it says of them.

Of its own data that is the test part; of other data, every image of a patient whom it has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxrsearch.data.copy_names import same_files, same_images
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.files import SHOWN
from cxrsearch.data.labels.names import some_names
from cxrsearch.data.notes import reasons
from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.splits import Splits
from cxrsearch.data.unlabelled import patients_of
from cxrsearch.errors import InputError
from cxrsearch.learn.networks.weights.asked import start_of

from .labels import shared_labels
from .predictor import ModelPart, Predictor


@dataclass(frozen=True, eq=False)
class UnseenImages:
    """What a model says of images that nothing was chosen by.

    Args:
        part: "test", of the model's own data, or "external".
        names: (n,) the images, as the data call them.
        places: (n,) of each in the data set.
        rows: (n,) of each in the cache.
        patients: (n,) whom each shows.
        label_names: (k,) the labels that model and data both have, in the model's words.
        marks: (n, k) see `cxrsearch.data.marks`.
        scores: (n, k) float32 probabilities by the model.
        columns: (k,) of each label among the model's.
        covered: places in ``label_names`` of those that the model says something of.
        objective: places in ``label_names`` of those that a mean is over.
        mapped: label -> what the data call it, where that differs.
        only_in_model: labels that the data do not have.
        only_in_data: labels that the model does not have.
        notes: what the user should know.
    """

    part: str
    names: tuple[str, ...]
    places: np.ndarray
    rows: np.ndarray
    patients: np.ndarray
    label_names: tuple[str, ...]
    marks: np.ndarray
    scores: np.ndarray
    columns: tuple[int, ...]
    covered: tuple[int, ...]
    objective: tuple[int, ...]
    mapped: Mapping[str, str]
    only_in_model: tuple[str, ...]
    only_in_data: tuple[str, ...]
    notes: tuple[str, ...]


def look_at(
    model: Predictor,
    dataset: Dataset,
    cache: Cache,
    *,
    maps: Sequence[str] = (),
    on_progress: Callable[[int, int], None] | None = None,
) -> UnseenImages:
    """Score a model's test part, or other data as a whole. The caller counts the look.

    Args:
        model: a loaded model or ensemble.
        dataset: labelled images. Where its fingerprint is that of the model's data, the test
            part is scored; otherwise it is external data and every image is.
        cache: its decoded pictures, at the model's `Predictor.frame`.
        maps: which of its labels are called otherwise by the model; see
            `cxrsearch.model.labels.shared_labels`.
        on_progress: called with how many images are done, of how many.

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
        bad = [(name, cache.bad[name]) for name in wanted if name in cache.bad]
        raise InputError([f"{dataset.label}: no readable image to score", *reasons(bad, SHOWN)])
    names = tuple(model.labels[column] for column in shared.ours)
    covered = tuple(place for place, column in enumerate(shared.ours) if column in model.covered)
    if not covered:
        raise InputError(
            f"{model.folder}: says nothing of the labels that it and {dataset.label} both have "
            f"({some_names(names)}); judge it on other data"
        )
    wished = model.card["study"].get("objective") or model.labels
    objective = tuple(place for place in covered if names[place] in wished)
    if not objective:
        notes.append(
            f"none of the labels that it was chosen by ({some_names(wished)}): mean over all"
        )
    scores = model.predict(cache.images, rows, on_progress)
    called = [dataset.label_names[column] for column in shared.theirs]
    return UnseenImages(
        part=part,
        names=tuple(dataset.names[place] for place in places),
        places=places,
        rows=rows,
        patients=np.asarray(dataset.patients)[places],
        label_names=names,
        marks=np.asarray(dataset.labels)[places][:, shared.theirs],
        scores=scores[:, list(shared.ours)],
        columns=tuple(shared.ours),
        covered=covered,
        objective=objective or covered,
        mapped={o: t for o, t in zip(names, called, strict=True) if o != t},
        only_in_model=tuple(shared.only_model),
        only_in_data=tuple(shared.only_data),
        notes=tuple(notes),
    )


def is_own(model: Predictor, dataset: Dataset, cache: Cache) -> bool:
    """Whether these are the data that the model was made with, by names, labels and patients."""
    # A study's own fingerprint is of the images that could be read.
    readable = {name for name, ok in zip(cache.names, cache.ok, strict=True) if ok}
    keep = [i for i, name in enumerate(dataset.names) if name in readable]
    usable = dataset.taking(keep).fingerprint
    return model.card["data"]["fingerprint"] in (dataset.fingerprint, usable)


def _images(
    model: Predictor, dataset: Dataset, cache: Cache
) -> tuple[str, tuple[str, ...], list[str]]:
    """Which part of ``dataset`` is scored, its image names, and notes."""
    splits = model.splits()
    own = is_own(model, dataset, cache)
    if own and splits is None:
        raise InputError(
            f"{model.folder}: holds no splits.json, so the test part of its own data is not "
            "known; copy it from the study's folder"
        )
    if own and splits is not None:
        if not splits.test:
            raise InputError(f"{model.folder}: its study kept no test part; use other data")
        _check_not_mixed_up(model, dataset, splits, cache.contents)
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


def _check_not_mixed_up(
    model: Predictor, dataset: Dataset, splits: Splits, contents: Mapping[str, str]
) -> None:
    """Refuse a test part whose images are files that others were: marks and patients are others'.

    Pictures that were saved anew are none; see `cxrsearch.model.suspicion.parts.changed_check`.
    """
    test = set(splits.test)
    known = {content: name for name, content in splits.contents.items()}
    mixed = [
        (name, known[contents[name]])
        for name in splits.changed(contents)
        if name in test and contents[name] in known
    ]
    if mixed:
        name, other = mixed[0]
        raise InputError(
            f"{dataset.label}: {len(mixed)} test images are files that other images were when "
            f"{model.folder} was made, such as {name!r}, which is now the file of {other!r}: marks "
            "and patients would be those of others; give every file its own name again"
        )


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
    return [] if splits.contents else [by_name]


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
