"""Whether the parts of a data set are apart: the same picture, or the same patient, in two."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrsearch.data.alike.across import ALIKE_SHOWN, MOST_COMPARED, alike_across
from cxrsearch.data.files import plain_path, stem
from cxrsearch.data.splits import Splits

from .check import DOUBTFUL, FALSE, NOTED, Check

SAME_PICTURE, SAME_PATIENT, OTHER_FILES = "same picture", "same patient", "other files"
CHOSEN_BY = ("train", "val")
"""Parts that a finished model was trained on or chosen by."""
FALSE_SHARE = 0.01
"""Share of the test part's images from which those that were trained on make its figures false."""


def files_check(contents: Mapping[str, str], part_of: Mapping[str, str]) -> Check:
    """Whether the very same file lies in two parts.

    Args:
        contents: name -> what stands for its file, see `Cache.contents`.
        part_of: name -> its part.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for name, part in part_of.items():
        if part and contents.get(name):
            groups[contents[name]].append(name)
    across = [names for names in groups.values() if len({part_of[n] for n in names}) > 1]
    return _same("file", sorted(map(sorted, across)), part_of, len(part_of))


def pictures_check(images: np.ndarray, names: Sequence[str], part_of: Mapping[str, str]) -> Check:
    """Whether pictures in two parts look the same: saved again, at another size, brightened.

    Args:
        images: (n, side, side) uint8, such as a cache's.
        names: (n,) of its rows.
        part_of: name -> its part, of those that are in one.
    """
    if len(part_of) > MOST_COMPARED:
        return Check(
            SAME_PICTURE, NOTED,
            f"{len(part_of):,} pictures are too many to look for alike ones across parts "
            f"({MOST_COMPARED:,} at most); cxrsearch eda does it once",
        )  # fmt: skip
    found = alike_across(images, [part_of.get(name, "") for name in names])
    across = [sorted(names[row] for row in rows) for rows in found]
    return _same("picture", across, part_of, len(part_of))


def _same(what: str, across: list[list[str]], part_of: Mapping[str, str], n: int) -> Check:
    test = [name for name, part in part_of.items() if part == "test"]
    leaked = {
        name
        for names in across
        if any(part_of[other] in CHOSEN_BY for other in names)
        for name in names
        if part_of[name] == "test"
    }
    share = len(leaked) / len(test) if test else 0.0
    examples = ["; ".join(f"{n} ({part_of[n]})" for n in g[:ALIKE_SHOWN]) for g in across]
    evidence: dict[str, Any] = {
        "told_by": what, "images": n, "groups": len(across), "test": len(test),
        "test_also_trained_on": len(leaked), "examples": examples[:ALIKE_SHOWN],
    }  # fmt: skip
    if not across:
        return Check(SAME_PICTURE, NOTED, f"no {what} is in two parts, of {n} images", evidence)
    told = (
        f"{len(across)} {what}s are in two parts, such as {examples[0]}; {len(leaked)} of "
        f"{len(test)} test images were trained on or chosen by, so what is measured there is too "
        "good; keep one of each, or name the patients (columns: patient in dataset.yaml)"
    )
    level = FALSE if what == "file" and share >= FALSE_SHARE else DOUBTFUL
    return Check(SAME_PICTURE, level, told, evidence)


def changed_check(splits: Splits, contents: Mapping[str, str]) -> Check:
    """Whether images of a model's own data are other files than when it was made.

    Args:
        splits: the parts, with what stood for the files then.
        contents: name -> what stands for its file now, see `Cache.contents`.
    """
    changed, test = splits.changed(contents), set(splits.test)
    judged = [name for name in changed if name in test]
    evidence: dict[str, Any] = {
        "images": len(splits.contents), "changed": len(changed), "test": len(test),
        "changed_in_test": len(judged), "examples": (judged or changed)[:ALIKE_SHOWN],
    }  # fmt: skip
    if not splits.contents:
        return Check(
            OTHER_FILES, NOTED,
            "the model, of an earlier version, keeps no digests of its images' files: whether they "
            "are still the same cannot be told",
            evidence,
        )  # fmt: skip
    if not changed:
        told = f"all of {len(splits.contents)} images are the files that the model was made with"
        return Check(OTHER_FILES, NOTED, told, evidence)
    if not judged:
        return Check(
            OTHER_FILES, NOTED,
            f"{len(changed)} images of train and validation are other files than when the model "
            "was made, those of the test part are the same: its figures are not touched",
            evidence,
        )  # fmt: skip
    return Check(
        OTHER_FILES, DOUBTFUL,
        f"{len(judged)} of {len(test)} test images, such as {judged[0]!r}, are other files than "
        "when the model was made, though of the same names: the figures are of these pictures, "
        "saved anew or changed, and hold for that way of saving them; restore the files to judge "
        "it on those that it was made for",
        evidence,
    )  # fmt: skip


def namesakes_check(names: Sequence[str], trained: Sequence[str]) -> Check:
    """Whether images of other data are called like those that a model was trained on.

    Args:
        names: of the judged images, none of which is a file that it was trained on.
        trained: names of the images that it was trained on.
    """
    known = {stem(plain_path(name)) for name in trained}
    alike = [name for name in names if stem(plain_path(name)) in known]
    evidence: dict[str, Any] = {
        "images": len(names), "alike": len(alike), "examples": alike[:ALIKE_SHOWN],
    }  # fmt: skip
    if not alike:
        told = f"none of {len(names)} images is called like one that the model was trained on"
        return Check(OTHER_FILES, NOTED, told, evidence)
    return Check(
        OTHER_FILES, DOUBTFUL,
        f"{len(alike)} of {len(names)} images, such as {alike[0]!r}, are called like ones that the "
        "model was trained on, but are other files, and count as other images: where they are the "
        "same X-rays saved anew, it was trained on them and the figures are too good; leave them "
        "out then",
        evidence,
    )  # fmt: skip


def patients_check(
    names: Sequence[str], patients: Sequence[str], part_of: Mapping[str, str]
) -> Check:
    """Whether a patient is in two parts.

    Args:
        names: (n,) images.
        patients: (n,) whom each shows.
        part_of: name -> its part.
    """
    parts: dict[str, set[str]] = defaultdict(set)
    for name, who in zip(names, patients, strict=True):
        if part := part_of.get(name):
            parts[str(who)].add(part)
    both = sorted(who for who, found in parts.items() if len(found) > 1)
    shared = {who for who in both if "test" in parts[who]}
    evidence: dict[str, Any] = {
        "patients": len(parts), "in_two_parts": len(both), "of_the_test_part": len(shared),
        "examples": both[:ALIKE_SHOWN],
    }  # fmt: skip
    own = len(names) > 1 and [str(who) for who in patients] == list(names)
    if own:
        return Check(
            SAME_PATIENT, NOTED,
            "the data do not say whom the images show: whether a patient is in two parts cannot "
            "be told",
            evidence,
        )  # fmt: skip
    if not both:
        return Check(
            SAME_PATIENT, NOTED, f"no patient is in two parts, of {len(parts)} patients", evidence
        )
    return Check(
        SAME_PATIENT, FALSE if shared else DOUBTFUL,
        f"{len(both)} of {len(parts)} patients are in two parts, such as {both[0]!r} "
        f"({' and '.join(sorted(parts[both[0]]))}); {len(shared)} of them are in the test part, so "
        "it is not of new patients; split by patient",
        evidence,
    )  # fmt: skip
