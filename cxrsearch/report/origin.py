"""What the files of the judged images give away: how well a label is told without looking at any.

Each property of a file (format, colours, size, the way it is named) is asked what a model would be
asked: the share of the images *not* judged that have the label, among those with the same
property, stands as its score. A property of which that score tells a label shows that the images
of the label come from elsewhere, and that a network need not see the disease (DeGrave et al.,
Nature Machine Intelligence 2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cxrsearch.data.marks import known, present
from cxrsearch.data.splits import Splits
from search.seeds import derive

from .evidence import Evidence, JudgedImages
from .figures.discrimination import discriminate
from .figures.sample import sample_of
from .groups import Groups, file_groups

ORIGIN_RESAMPLES = 1000

TELLING_FROM = 0.7
"""The lower end of the interval of an AUROC from which a property is said to tell a label."""

ELSEWHERE = "train and validation"
"""The images that the shares are taken from."""


def told_by_files(evidence: Evidence) -> dict[str, Any]:
    """What properties of files tell of the labels that are judged.

    Args:
        evidence: the images, of which those not judged are in the data too.

    Returns:
        ``labels`` (label -> property -> ``auroc``, a figure), ``told`` (label, property and
        ``auroc`` of each that is surely told), ``reason`` where nothing can be said, ``note`` where
        some files could not be read.
    """
    dataset, seen, judged = evidence.opened.dataset, evidence.seen, evidence.judged
    splits = evidence.opened.model.splits()
    if seen.part != "test" or splits is None:
        return _nothing("the files of external images cannot be held against those trained on")
    groups, said = file_groups(dataset, np.arange(len(dataset.names)))
    if not groups:
        return _nothing(said)
    other = _others(dataset.names, splits)
    if not other.any():
        return _nothing("no image of training and validation is here")
    columns = [dataset.label_names.index(seen.mapped.get(n, n)) for n in judged.label_names]
    marks = np.asarray(dataset.labels)[:, columns]
    labels: dict[str, Any] = {name: {} for name in judged.label_names}
    told: list[dict[str, Any]] = []
    for name, scores in _scores(groups, marks, other).items():
        mine = JudgedImages(
            judged.part, judged.marks, scores[seen.places], judged.patients, judged.label_names
        )
        seed = derive("origin", dataset.fingerprint, name)
        sample = sample_of(mine, ORIGIN_RESAMPLES, seed)
        found = discriminate(sample, list(range(len(columns)))).labels
        for label in judged.label_names:
            figure = found[label]["auroc"].figure(judged.part, ELSEWHERE)
            labels[label][name] = {"auroc": figure.to_json()}
            if figure.low is not None and figure.low > TELLING_FROM:
                told.append({"label": label, "property": name, "auroc": figure.to_json()})
    told.sort(key=lambda one: -float(one["auroc"]["value"]))
    return {"labels": labels, "told": told, **({"note": said} if said else {})}


def _nothing(reason: str) -> dict[str, Any]:
    return {"labels": {}, "told": [], "reason": reason}


def _others(names: tuple[str, ...], splits: Splits) -> np.ndarray:
    """(n,) the images of training and validation."""
    chosen = {*splits.train, *splits.val}
    return np.array([name in chosen for name in names])


def _scores(groups: Groups, marks: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
    """Property -> (n, k) share with each label among other images with the same value."""
    has, told = present(marks)[other], known(marks)[other]
    whole = has.sum(axis=0) / np.maximum(told.sum(axis=0), 1)
    found = {}
    for name, values in groups.items():
        every, which = np.unique(values, return_inverse=True)
        scores = np.zeros(marks.shape)
        for value in range(which.max() + 1):
            same = which[other] == value
            # The whole share stands in for one image: a value seen nowhere else says nothing.
            share = (has[same].sum(axis=0) + whole) / (told[same].sum(axis=0) + 1)
            scores[which == value] = share if every[value] else whole  # "": not known
        found[name] = scores
    return found
