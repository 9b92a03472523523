"""The images that a GAN is trained on, and those that it is judged beside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.cache import Cache
from cxrsearch.data.generated import check_generated
from cxrsearch.data.joined import patients_of, with_unlabelled, without_patients
from cxrsearch.data.read import read_test_list
from cxrsearch.data.splits import Splits, make_splits
from cxrsearch.decoding import open_shown
from cxrsearch.gan_settings import GanSettings
from cxrsearch.learn.data import TrainData, make_data
from cxrsearch.prepare import cache_root, leave_out_bad, load_data


@dataclass(frozen=True)
class GanData:
    """The images of a GAN, and what they are.

    Args:
        labelled: the classifier's data: its training and validation parts.
        training: the same with the GAN's images as the part ``train``: those of the labelled
            training part, and unlabelled ones of nobody in the validation or test part.
        splits: the parts.
        record: JSON-able: fingerprints, counts, notes.
    """

    labelled: TrainData
    training: TrainData
    splits: Splits
    record: dict[str, Any]

    def pictures(self, rows: np.ndarray) -> np.ndarray:
        """(m, S, S) uint8 pictures of ``rows``."""
        return np.asarray(self.training.images[rows])


def read_gan_data(settings: GanSettings) -> GanData:
    """Read, decode and split what ``settings`` name.

    Raises:
        InputError: where data cannot be used.
    """
    asked = settings.of_data()
    dataset = load_data(asked)
    if settings.unlabelled:
        dataset = with_unlabelled(dataset, Path(settings.unlabelled))
    names = (*dataset.names, *dataset.unlabelled)
    cache = open_shown(dataset, settings.size, cache_root(asked), names)
    usable, bad = leave_out_bad(dataset, _first(cache, len(dataset.names)))
    listed = list(read_test_list(Path(asked.test_list))) if asked.test_list else None
    splits = make_splits(
        usable.names,
        usable.labels,
        usable.patients,
        seed=asked.seed,
        test_share=asked.test_share,
        val_share=asked.val_share,
        test_list=listed,
        val_seed=asked.val_seed,
    )
    if settings.unlabelled:
        check_generated(Path(settings.unlabelled), splits.fingerprint)
    rest, left_out = without_patients(usable, (*splits.val, *splits.test))
    labels = (np.array(usable.names), usable.labels, usable.patients)
    labelled = make_data(cache, labels, splits)
    free = set(rest.unlabelled)
    more = [row for row, name in enumerate(cache.names) if name in free and cache.ok[row]]
    rows = np.concatenate([labelled.train, np.array(more, np.int64)])
    notes = [*dataset.notes, *bad, *splits.notes]
    unreadable = sum(name in cache.bad for name in dataset.unlabelled)
    if unreadable:
        notes.append(f"{unreadable} unreadable unlabelled images are left out")
    if left_out:
        notes.append(f"{left_out} unlabelled images of validation and test patients are left out")
    if None in patients_of(rest):
        notes.append(
            "whom unlabelled images show is not known: they may be of validation or test patients"
        )
    record = {
        "source": dataset.label,
        "fingerprint": dataset.fingerprint,
        "training": names_digest([cache.names[row] for row in rows]),
        "split": splits.fingerprint,
        "labelled": len(labelled.train),
        "unlabelled": len(more),
        "held_out": len(labelled.val),
        "notes": notes,
    }
    return GanData(labelled, replace(labelled, train=rows), splits, record)


def _first(cache: Cache, count: int) -> Cache:
    """The first rows of a cache as one."""
    names = cache.names[:count]
    bad = {name: cache.bad[name] for name in names if name in cache.bad}
    return replace(cache, names=names, images=cache.images[:count], ok=cache.ok[:count], bad=bad)


def names_digest(names: Sequence[str]) -> str:
    """16 hex digits that stand for image names, in any order."""
    return hashlib.sha256(json.dumps(sorted(names)).encode()).hexdigest()[:16]
