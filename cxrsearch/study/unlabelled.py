"""Images without a label beside a study's own: which may be used, and one cache of both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.decoding import open_shown
from cxrsearch.data.generated import check_generated
from cxrsearch.data.labels.names import some_names
from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.read import FolderSource
from cxrsearch.data.splits import Splits
from cxrsearch.data.unlabelled import (
    JoinedSource,
    patients_of,
    unlabelled_side,
    with_unlabelled,
    without_patients,
)
from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.pseudo import NO_TEACHER, PSEUDO_FILE, Pseudo, load_pseudo
from cxrsearch.learn.recipe import SELECTING

NONE_THERE = (
    "no unlabelled images: put some below its folder that the label table does not name, or name "
    "a folder of them with --unlabelled DIR"
)

NOBODY_KNOWN = (
    "whom the unlabelled images show is not known of all (names and label table say nothing): "
    "some may be of patients of the validation or test part"
)


@dataclass(frozen=True)
class Unlabelled:
    """The images without a label that may be used.

    Args:
        names: of those that can be read and show nobody of the validation or test part.
        cache: decoded pictures of the labelled images, then of the unlabelled ones.
        side: typical side of theirs in pixels; None: not known.
        notes: what the user should know of them.
    """

    names: tuple[str, ...]
    cache: Cache
    side: int | None
    notes: tuple[str, ...]


def find_unlabelled(
    dataset: Dataset, splits: Splits, frame: int, root: Path, *, needed: bool = True
) -> Unlabelled:
    """The unlabelled images of ``dataset`` that may be used beside ``splits``.

    All are stretched to the same square frame as the labelled ones, whatever their size; what a
    network sees of smaller ones is enlarged, and said to be.

    Args:
        dataset: labelled images, and the unlabelled ones as it has them or `with_unlabelled` adds.
        splits: parts of the labelled ones.
        frame: side of the cached images.
        root: folder of all caches.
        needed: whether there must be one.

    Raises:
        InputError: where there must be one that can be used and is none, or they were generated
            from the training part of another split.
    """
    _check_generated(dataset, splits.fingerprint)
    usable, count = without_patients(dataset, (*splits.val, *splits.test))
    if needed and not dataset.unlabelled:
        raise InputError(f"{dataset.label}: {NONE_THERE}")
    if needed and not usable.unlabelled:
        raise InputError(
            f"{dataset.label}: not one of its {count} unlabelled images can be used: by their "
            "names all show patients of the validation or test part"
        )
    cache = open_both(usable, frame, root)
    names = tuple(name for name in usable.unlabelled if name not in cache.bad)
    if needed and not names:
        raise InputError(f"{dataset.label}: not one of its unlabelled images could be read")
    notes = [*_notes(usable, count, len(names), frame), *cache.notes(usable.unlabelled)]
    return Unlabelled(names, cache, unlabelled_side(usable), tuple(notes))


def _notes(kept: Dataset, left_out: int, used: int, frame: int) -> list[str]:
    """What became of the unlabelled images, for people.

    Args:
        kept: the data without those of validation and test patients.
        left_out: how many these were.
        used: how many of the others can be read.
        frame: side in pixels that all are stretched to.
    """
    notes = []
    if left_out:
        notes.append(
            f"{left_out} unlabelled images are left out: by their names they show patients of the "
            "validation or test part"
        )
    if used < len(kept.unlabelled):
        notes.append(f"{len(kept.unlabelled) - used} unlabelled images cannot be read")
    if None in patients_of(kept):
        notes.append(NOBODY_KNOWN)
    side = unlabelled_side(kept)
    if side is not None and side < min(frame, kept.source_side):
        notes.append(
            f"the unlabelled images are of {side} pixels a side, the labelled ones of "
            f"{kept.source_side}: both are stretched to {frame}, where the unlabelled ones are "
            "less sharp"
        )
    return notes


def _check_generated(dataset: Dataset, split: str) -> None:
    """Refuse unlabelled images that a generator made which was trained under another split.

    Raises:
        InputError: where there are some below the folder that they come from.
    """
    source = dataset.source
    if isinstance(source, JoinedSource):
        source = source.second
    if dataset.unlabelled and isinstance(source, FolderSource):
        check_generated(source.root, split)


def open_both(dataset: Dataset, frame: int, root: Path) -> Cache:
    """Decoded pictures of ``dataset``'s labelled images, then of its unlabelled ones."""
    return open_shown(dataset, frame, root, (*dataset.names, *dataset.unlabelled))


def pseudo_path(folder: str) -> Path:
    """The file of pseudo-labels in what `cxrsearch self-train` wrote."""
    return Path(folder) / PSEUDO_FILE


def open_pseudo(folder: str, dataset: Dataset, splits: Splits, frame: int, root: Path) -> Cache:
    """A cache of ``dataset`` and of the images that the pseudo-labels in ``folder`` are about.

    Raises:
        InputError: where their teacher was trained on another split or knows other labels, or
            images are gone.
    """
    pseudo = load_pseudo(pseudo_path(folder))
    if pseudo.split != splits.fingerprint:
        raise InputError(
            f"--pseudo {folder}: its teacher was trained on another split ({pseudo.split}, not "
            f"{splits.fingerprint}) and may have seen this one's validation part; search with the "
            "data, --seed, --test-share, --val-share and --val-seed of the study that it came from"
        )
    if pseudo.label_names != dataset.label_names:
        raise InputError(
            f"--pseudo {folder}: its teacher knows other labels ({some_names(pseudo.label_names)}) "
            f"than the data have ({some_names(dataset.label_names)}); run `cxrsearch self-train` "
            "on a study of these data"
        )
    joined = _with_images(pseudo, dataset, folder)
    return open_both(replace(joined, unlabelled=tuple(pseudo.names.tolist())), frame, root)


def _with_images(pseudo: Pseudo, dataset: Dataset, folder: str) -> Dataset:
    """``dataset`` with all images that ``pseudo`` is about among the unlabelled."""
    joined = with_unlabelled(dataset, Path(pseudo.folder)) if pseudo.folder else dataset
    missing = sorted(set(pseudo.names.tolist()) - set(joined.unlabelled))
    if missing:
        raise InputError(
            f"--pseudo {folder}: {len(missing)} of its {len(pseudo.names)} images are not below "
            f"{pseudo.folder or dataset.label} any more, such as {missing[0]!r}; restore them, or "
            "run `cxrsearch self-train` again"
        )
    return joined


def pseudo_problems(kinds: list[str], distill: float, folder: str | None) -> list[str]:
    """What is wrong between what a space asks of a teacher and the option ``--pseudo``.

    Args:
        kinds: the values of the gene ``pseudo``.
        distill: the largest of the gene ``distill``.
        folder: of ``--pseudo``.
    """
    wanted = [kind for kind in kinds if kind != "none"]
    missing = []
    if wanted and folder is None:
        missing.append(
            f"--space: pseudo {', '.join(wanted)} needs images without a label; run `cxrsearch "
            "self-train STUDY --out DIR` and give --pseudo DIR, or leave the gene out"
        )
    if distill and folder is None:
        missing.append(f"--space: distill: {NO_TEACHER}, or leave the gene out")
    if missing:
        return missing
    if folder is not None and not wanted and not distill:
        return [
            f"--pseudo {quoted(folder)}: the space has no gene pseudo, so they would not be used; "
            f"add pseudo: {{choices: [none, {', '.join(SELECTING)}]}} to it, or distill: {{low: 0, "
            "high: 1}"
        ]
    if folder is not None and not pseudo_path(folder).is_file():
        return [f"--pseudo {folder}: no {PSEUDO_FILE} there; `cxrsearch self-train` writes it"]
    if folder is not None and distill and not len(load_pseudo(pseudo_path(folder)).taught):
        return [f"--pseudo {folder}: distill: {NO_TEACHER}"]
    return []
