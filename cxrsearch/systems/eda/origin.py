"""What the files alone give away: whether a label can be told by where its images come from.

A set put together from several sources, such as images of a disease out of journals beside healthy
ones of a hospital, differs between them in more than the disease: in format, colours, size, the
way files are named. A network that can see the source has no need to see the disease, and its
scores are then those of the source (DeGrave et al.: AI for radiographic COVID-19 detection selects
shortcuts over signal, Nature Machine Intelligence 2021).

Each property is judged as a model would be: of every image it is asked how often the label is
present among the images of *other patients* with the same property, and these shares are judged by
AUROC. A property that says nothing so comes out at 0.5 or below, however many values it has.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from cxrsearch.data.dataset import Dataset, file_of
from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.errors import ImageError
from cxrsearch.data.marks import absent, nothing_found, present
from cxrsearch.data.pixels.images import ImageHeader, image_header
from search.seeds import derive

from .people import told_auroc

MOST_FILES = 20_000
"""Files whose headers are read, drawn at random from more: a header takes a tenth of a
millisecond, and from a disk elsewhere far longer."""
PATIENT_FOLDS = 5
"""Groups of patients, each judged by the others."""
FEWEST = 10
"""Images with a value of a property for it to count by itself, and patients with and without a
label for it to be judged."""
TELLING = 0.7
"""AUROC that a property alone must surely have: that of telling by chance is 0.5."""
STEPS = 10
"""Groups of equal size that a number is cut into."""
OTHER = "another value"
FILE_NAME = "file name"
"""The one property that no network sees."""
COLOURS = {
    "1": "black and white", "L": "grey", "LA": "grey with transparency", "P": "palette",
    "RGB": "colour", "RGBA": "colour with transparency", "CMYK": "print colours",
}  # fmt: skip


class Telling(NamedTuple):
    """A label that one property of the files tells.

    Args:
        label: its name, or "No Finding".
        property: such as "image size".
        auroc: of the property alone.
        value: what differs most.
        share: of the images with the label, those that have the value.
        other_share: of the images without it.
        positives: images that it was judged on.
        files: images that were looked at.
    """

    label: str
    property: str
    auroc: float
    value: str
    share: float
    other_share: float
    positives: int
    files: int


class Property(NamedTuple):
    """A property of ``n`` files: its ``values`` by name, and which each has, ``(n,)`` int."""

    name: str
    values: tuple[str, ...]
    which: np.ndarray


def origins(
    dataset: Dataset, seed: int, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Telling]:
    """What the files of a data set give away of its labels.

    Args:
        dataset: images that can be read; where they are drawn, there are no files.
        seed: which files are looked at, where there are very many.
        on_progress: called with files done and files in all.

    Returns:
        the labels that are told, the surest first.
    """
    rng = np.random.default_rng(derive(seed, "origins"))
    rows = np.sort(rng.permutation(len(dataset.names))[:MOST_FILES])
    names, headers, kept = [], [], []
    on_progress(0, len(rows))
    for place, row in enumerate(rows.tolist()):
        path = file_of(dataset.source, dataset.names[row])
        if path is None:
            return []
        try:
            headers.append(image_header(path))
        except ImageError:
            continue
        finally:
            on_progress(place + 1, len(rows))
        names.append(path.name)
        kept.append(row)
    if not kept:
        return []
    seen = dataset.taking(kept)
    return told_by(seen, properties(names, headers, dataset.label_names), rng)


def properties(
    files: list[str], headers: list[ImageHeader], label_names: tuple[str, ...] = ()
) -> list[Property]:
    """The properties of files that can give a source away.

    Args:
        files: their names, without folders.
        headers: of each.
        label_names: words that are no part of how a file is named: they may be its label.
    """
    sizes = [f"{h.width} x {h.height}" for h in headers]
    pixels = np.array([h.width * h.height for h in headers], float)
    shapes = np.array([h.width / h.height for h in headers])
    found = [
        _words("file format", [h.format for h in headers]),
        _words("colours", [COLOURS.get(h.mode, h.mode) for h in headers]),
        _words("image size", sizes),
        _steps("number of pixels", pixels, "{:,.0f} pixels"),
        _steps("shape", shapes, "width / height {:.2f}"),
        _words(FILE_NAME, [family(name, label_names) for name in files]),
    ]
    return [one for one in found if len(one.values) > 1]


def family(name: str, label_names: tuple[str, ...] = ()) -> str:
    """How a file is named: ``00001281_000.png`` as ``0_0``, without suffix and labels."""
    stem = name.rsplit(".", 1)[0].lower()
    for label in sorted(label_names, key=len, reverse=True):
        stem = stem.replace(label.lower(), "")
    # Hexadecimal numbers, as in UUIDs, would be a family each.
    stem = re.sub(r"[0-9a-f]*\d[0-9a-f]*", "0", stem)
    return re.sub(r"(0[-_. ]?){3,}", "0-0", stem)


def _words(name: str, values: list[str]) -> Property:
    """A property of words; rare ones count as one."""
    found, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    common = counts >= FEWEST
    place = np.where(common, np.cumsum(common) - 1, common.sum())
    names = (*found[common].tolist(), *([] if common.all() else [OTHER]))
    return Property(name, names, place[which])


def _steps(name: str, values: np.ndarray, form: str) -> Property:
    """A property that is a number, cut into steps."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, STEPS + 1)[1:-1]))
    step = np.searchsorted(edges, values, side="left")
    found, which = np.unique(step, return_inverse=True)
    words = []
    for one in found.tolist():
        if one == len(edges):
            words.append("above " + form.format(edges[-1]))
        elif one == 0:
            words.append("at most " + form.format(edges[0]))
        else:
            words.append(f"above {form.format(edges[one - 1])}, at most {form.format(edges[one])}")
    return Property(name, tuple(words), which)


def told_by(dataset: Dataset, found: list[Property], rng: np.random.Generator) -> list[Telling]:
    """Which labels the properties ``found`` of the images of ``dataset`` tell."""
    names: Mapping[str, np.ndarray] = dict(zip(dataset.label_names, dataset.labels.T, strict=True))
    if len(names) > 1:
        names = {**names, NO_FINDING: nothing_found(dataset.labels)}
    owner = np.unique(dataset.patients.astype(str), return_inverse=True)[1]
    fold = rng.permutation(np.arange(owner.max() + 1) % PATIENT_FOLDS)[owner]
    telling = []
    for label, marks in names.items():
        has, without = present(marks), absent(marks)
        positives, negatives = int(has.sum()), int(without.sum())
        # Images of one patient are alike in everything: patients are what can be counted on.
        people = len(np.unique(owner[has])), len(np.unique(owner[without]))
        if min(people) < FEWEST:
            continue
        for one in found:
            auroc = told_auroc(_shares(one, has, without, fold), marks)
            if auroc is None or _lower(auroc, *people) < TELLING:
                continue
            share = np.bincount(one.which[has], minlength=len(one.values)) / positives
            other = np.bincount(one.which[without], minlength=len(one.values)) / negatives
            most = int(np.abs(share - other).argmax())
            telling.append(
                Telling(label, one.name, auroc, one.values[most], float(share[most]),
                        float(other[most]), positives, len(marks))
            )  # fmt: skip
    return sorted(telling, key=lambda t: -t.auroc)


def _shares(one: Property, has: np.ndarray, without: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """``(n,)`` of the images of other folds with the same value, the share with the label."""
    shape = (PATIENT_FOLDS, len(one.values))
    positives, known = np.zeros(shape), np.zeros(shape)
    np.add.at(positives, (fold[has], one.which[has]), 1)
    np.add.at(known, (fold[has], one.which[has]), 1)
    np.add.at(known, (fold[without], one.which[without]), 1)
    positives, known = positives.sum(axis=0) - positives, known.sum(axis=0) - known
    # The whole share stands in for one image: a value seen nowhere else says nothing.
    whole = has.sum() / max(1, has.sum() + without.sum())
    shares: np.ndarray = ((positives + whole) / (known + 1))[fold, one.which]
    return shares


def _lower(auroc: float, positives: int, negatives: int) -> float:
    """Two standard errors below (Hanley and McNeil, Radiology 1982), of so many patients."""
    one, two = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
    spread = (
        auroc * (1 - auroc)
        + (positives - 1) * (one - auroc**2)
        + (negatives - 1) * (two - auroc**2)
    )
    return auroc - 2 * math.sqrt(max(0.0, spread) / (positives * negatives))
