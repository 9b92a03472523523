"""What to be careful about in a data set, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cxrsearch.data.about import OLDEST, People
from cxrsearch.data.alike.across import patients_are_images
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.marks import absent, known, present
from cxrsearch.data.splits import ALL_PARTS, Splits
from cxrsearch.data.splits.listed import on_both_sides

from .orientation import INVERTED, ORIENTATIONS, set_problems
from .origin import FILE_NAME, Telling
from .people import of_two_sexes, shortcuts
from .quality import BLANK, ImageChecks

SERIOUS, MILD = "serious", "mild"
FEW_PATIENTS = 5
"""A label with fewer positive patients can hardly be in three parts."""
PATIENT_SHARE = 0.05
"""Of all images: a patient with more weighs a lot in every figure."""
MANY = 10
"""Images that are many for a patient, however few there are in all."""
COLUMN_TELLS = 0.7
"""AUROC of a column alone from which it is worth a caution."""
SOURCE_TELLS = 0.9
"""AUROC of what the files alone say from which scores are those of the source."""
ENOUGH_POSITIVES = 30
"""Positives from which such an AUROC is more than chance."""


LITTLE_KNOWN = 0.5
"""Share of the images of which a label is known, below which it is worth a caution."""
MOST_IN_CAUTION = 12
"""Labels that a caution names in its sentence; all are listed below it."""
MOST_ORIGINS = 8
"""Labels with a caution of their own on what their files give away."""


class Caution(NamedTuple):
    """One thing to be careful about.

    Args:
        level: `SERIOUS` where scores come out wrong, `MILD` where it is good to know.
        what: what was found, with figures.
        todo: what to do about it.
        names: images, or patients, that it is about.
    """

    level: str
    what: str
    todo: str
    names: tuple[str, ...] = ()


def cautions(
    rows: Dataset,
    people: People,
    splits: Splits | None,
    checks: ImageChecks | None,
    bad: Mapping[str, str],
    refused: Sequence[str] = (),
    test_list: Sequence[str] | None = None,
    told: Sequence[Telling] = (),
) -> list[Caution]:
    """Everything there is to be said, the serious first.

    Args:
        rows: the images that can be read.
        people: age, sex and view.
        splits: as a search would make them; None where it cannot.
        checks: of the images; None where there are none.
        bad: images that could not be read, with reasons.
        refused: why a search with these options would not start.
        test_list: names of the test part, where there is a list.
        told: what the files alone give away.
    """
    found = [
        *_origins(told),
        *_parts(rows, refused, test_list),
        *_patients(rows),
        *_few(rows),
        *_unsure(rows),
        *([] if checks is None else _duplicates(rows, splits, checks)),
        *([] if checks is None else _looks(rows, checks)),
        *_unreadable(bad),
        *_people(rows, people),
    ]
    return sorted(found, key=lambda caution: caution.level != SERIOUS)


def _parts(
    rows: Dataset, refused: Sequence[str], test_list: Sequence[str] | None
) -> Iterator[Caution]:
    names = np.array(rows.names)
    both = on_both_sides(names, rows.patients, test_list) if test_list else []
    if both:
        yield Caution(
            SERIOUS,
            f"{_count(len(both), 'patient')} across parts: images both on the test list and off it",
            "Put all images of a patient on the list or none; a search refuses such a list.",
            tuple(both),
        )
    for problem in refused:
        if not (both and "in two parts" in problem):
            yield Caution(SERIOUS, f"No search would start: {problem}", "Mend that first.")


def _patients(rows: Dataset) -> Iterator[Caution]:
    names, counts = np.unique(rows.patients.astype(str), return_counts=True)
    if patients_are_images(rows.names, rows.patients):
        yield Caution(
            SERIOUS,
            "Every image counts as a patient of its own: nothing says which show the same person",
            "Add a patient column, or say columns: patient in dataset.yaml. Else images of one "
            "patient come into training and test, and scores are too good.",
        )
    heavy = (
        names[counts > max(PATIENT_SHARE * len(rows.names), MANY)].tolist()
        if len(names) > 1
        else []
    )
    if heavy:
        yield Caution(
            MILD,
            f"{_count(len(heavy), 'patient')} with more than {PATIENT_SHARE:.0%} of the images "
            "each",
            "Look whether that is one person. Parts share no patient, so their sizes will be off.",
            tuple(heavy),
        )


def _origins(told: Sequence[Telling]) -> Iterator[Caution]:
    by_label: dict[str, list[Telling]] = {}
    for one in told:
        by_label.setdefault(one.label, []).append(one)
    for label, properties in list(by_label.items())[:MOST_ORIGINS]:
        seen = [one for one in properties if one.property != FILE_NAME]
        named = [one for one in properties if one.property == FILE_NAME]
        by = ", ".join(f"{one.property} ({one.auroc:.2f})" for one in (*seen, *named))
        best = seen[0] if seen else named[0]
        if seen:
            serious = best.auroc >= SOURCE_TELLS
            todo = (
                "A network may learn the origin and not the label, and what is scored is then the "
                "origin. Take images with and without it from the same hospitals and devices; "
                "bringing all to one format and size is not enough. Until then do not believe "
                "its AUROC: look at heat maps, and judge on data from elsewhere."
            )
        else:
            serious = False
            todo = (
                "A network does not see names, but files that are named in another way often come "
                "from elsewhere, and that it may see. Look whether they do."
            )
        yield Caution(
            SERIOUS if serious else MILD,
            f"{_short(label)} can be told without looking at the picture, AUROC by one property "
            f"of the file alone: {by}",
            f"{_readable(best.property).capitalize()}: {best.value} in {best.share:.0%} of the "
            f"images with it and in {best.other_share:.0%} of those without. {todo}",
            tuple(
                f"{one.property}: {one.value} in {one.share:.0%} of the {one.positives:,} images "
                f"with it, in {one.other_share:.0%} of those without; AUROC {one.auroc:.3f}"
                for one in properties
            ),
        )
    more = len(by_label) - MOST_ORIGINS
    if more > 0:
        others = list(by_label)[MOST_ORIGINS:]
        yield Caution(
            MILD,
            f"{_count(more, 'other label')} that properties of the files tell: {_some(others)}",
            "The same goes for them.",
            tuple(others),
        )


def _few(rows: Dataset) -> Iterator[Caution]:
    marks = list(zip(rows.label_names, rows.labels.T, strict=True))
    counted = [(label, len(set(rows.patients[present(m)].tolist()))) for label, m in marks]
    without = [(label, len(set(rows.patients[absent(m)].tolist()))) for label, m in marks]
    for what, found, out in (
        ("positives", counted, "They cannot be learnt"),
        ("negatives", without, "There is nothing to tell them from"),
    ):
        none = [label for label, count in found if not count]
        if none:
            yield Caution(
                MILD,
                f"No {what} at all: {_some(none)}",
                f"{out}; they have no AUROC and are left out of the mean.",
                tuple(none) if len(none) > MOST_IN_CAUTION else (),
            )
        few = [f"{_short(label)} ({count})" for label, count in found if 0 < count < FEW_PATIENTS]
        if few:
            yield Caution(
                MILD,
                f"{what.capitalize()} of fewer than {FEW_PATIENTS} patients: {_some(few)}",
                "Too few for three parts: expect no AUROC, or one that says nothing. Add some, "
                "or leave these labels out with --objective auroc:LABEL,...",
                tuple(few) if len(few) > MOST_IN_CAUTION else (),
            )


def _unsure(rows: Dataset) -> Iterator[Caution]:
    """Labels of which little is known, or which are more often uncertain than positive."""
    told = known(rows.labels).mean(axis=0)
    little = [
        f"{_short(label)} ({share:.0%})"
        for label, share in zip(rows.label_names, told, strict=True)
        if share < LITTLE_KNOWN
    ]
    if little:
        yield Caution(
            MILD,
            f"Known of less than {LITTLE_KNOWN:.0%} of the images: {_some(little)}",
            "What is not known counts nowhere, neither in training nor in scores, so these are "
            "judged on few images, and on those that somebody thought worth a mark. If a blank "
            "means that it is not there, say blank: negative in dataset.yaml.",
            tuple(little) if len(little) > MOST_IN_CAUTION else (),
        )
    if rows.uncertain is None:
        return
    doubts, positives = rows.uncertain.sum(axis=0), present(rows.labels).sum(axis=0)
    often = [
        f"{_short(label)} ({doubts[i]:,} uncertain, {positives[i]:,} positive)"
        for i, label in enumerate(rows.label_names)
        if doubts[i] > positives[i]
    ]
    if often:
        yield Caution(
            MILD,
            f"More often uncertain than positive: {_some(often)}",
            "What such a mark counts as decides what is learnt: try the gene uncertain in the "
            "search. Validation and test never use them.",
            tuple(often) if len(often) > MOST_IN_CAUTION else (),
        )


def _duplicates(rows: Dataset, splits: Splits | None, checks: ImageChecks) -> Iterator[Caution]:
    across, within = checks.across(rows.patients), checks.within(rows.patients)
    if across:
        part = _part_of(rows, splits)
        torn = sum(len({part[row] for row in group}) > 1 for group in across)
        leak = f"; {torn} of them in different parts of the split" if splits else ""
        yield Caution(
            SERIOUS,
            f"{_count(len(across), 'picture')} under several patients: "
            f"{_count(sum(map(len, across)), 'image')} look the same{leak}",
            "Look at them below. If they are one picture, give them one patient number or keep "
            "one of them: else the test part holds what was trained on.",
            _named(rows, across),
        )
    if within:
        twice = sum(map(len, within)) - len(within)
        yield Caution(
            MILD,
            f"{_count(len(within), 'picture')} more than once within a patient: "
            f"{_count(twice, 'copy', 'copies')} to spare",
            "They stay in one part, so nothing leaks, but count twice. Keep one of each.",
            _named(rows, within),
        )
    differ = [
        group
        for group in checks.groups
        if (present(rows.labels[group]).any(axis=0) & absent(rows.labels[group]).any(axis=0)).any()
    ]
    if differ:
        yield Caution(
            MILD,
            f"{_count(len(differ), 'picture')} with different labels on its copies",
            "At least one of the labels is wrong; look at them.",
            _named(rows, differ),
        )


def _looks(rows: Dataset, checks: ImageChecks) -> Iterator[Caution]:
    for place, kind in enumerate(BLANK, start=1):
        here = np.flatnonzero(checks.blank == place)
        if len(here):
            yield Caution(
                SERIOUS if len(here) > PATIENT_SHARE * len(rows.names) else MILD,
                f"{_count(len(here), 'image')} {kind}",
                "They show nothing but have labels. Take them out, or mend the export.",
                _names(rows, here),
            )
    if checks.orientation is None:
        return
    whole = set_problems(checks.orientation.pattern)
    if "side" in whole:
        yield Caution(
            SERIOUS,
            "Most images seem to lie on their side",
            "Look at the examples below, and turn the images upright before searching.",
        )
    if INVERTED in whole:
        yield Caution(
            SERIOUS,
            "Most images seem to be inverted: lungs bright, bones dark",
            "Export MONOCHROME1 as it is meant to be shown, or invert the files: pretrained "
            "weights and models of others expect bright bones.",
        )
    for place, kind in enumerate(ORIENTATIONS[1:], start=1):
        here = np.flatnonzero(checks.orientation.kind == place)
        if len(here):
            here = here[np.argsort(-checks.orientation.margin[here], kind="stable")]
            mend = "Invert" if kind == INVERTED else "Turn"
            yield Caution(
                MILD,
                f"{_count(len(here), 'image')} that look{'s' * (len(here) == 1)} {kind}",
                f"Look at them below, the surest first; unusual exposures are among them. {mend} "
                "those that are wrong, or leave them out.",
                _names(rows, here),
            )


def _unreadable(bad: Mapping[str, str]) -> Iterator[Caution]:
    if bad:
        yield Caution(
            SERIOUS,
            f"{_count(len(bad), 'image')} that cannot be read, left out everywhere",
            "Fetch them again, or take them out of the table.",
            tuple(f"{name}: {reason}" for name, reason in bad.items()),
        )


def _people(rows: Dataset, people: People) -> Iterator[Caution]:
    here = np.flatnonzero([] if people.absurd is None else people.absurd != "")
    if len(here) and (absurd := people.absurd) is not None:
        yield Caution(
            MILD,
            f"{_count(len(here), 'image')} with an age that cannot be (below 0 or above {OLDEST})",
            "They are left out of the figures of age. Correct the table if you use age.",
            tuple(f"{rows.names[row]}: {absurd[row]}" for row in here),
        )
    two = [] if people.sex is None else of_two_sexes(people.sex, rows.patients)
    if two:
        yield Caution(
            MILD,
            f"{_count(len(two), 'patient')} listed as both M and F",
            "Look whether one number stands for two people: then they are split as one.",
            tuple(two),
        )
    telling = [
        s
        for s in shortcuts(people, rows.labels, rows.label_names)
        if s.auroc >= COLUMN_TELLS and s.positives >= ENOUGH_POSITIVES
    ]
    if telling:
        telling.sort(key=lambda s: -s.auroc)
        every = [f"{_short(s.label)} by {s.column} ({s.auroc:.2f})" for s in telling]
        yield Caution(
            MILD,
            f"Told without looking at the image, AUROC: {_some(every)}",
            "A network can read age, sex and view off the picture. Judge such a label within one "
            "view, or among like patients, before you believe its AUROC.",
            tuple(every) if len(every) > MOST_IN_CAUTION else (),
        )


def _part_of(rows: Dataset, splits: Splits | None) -> list[str]:
    where = {n: p for p in ALL_PARTS[:3] for n in getattr(splits, p)} if splits else {}
    return [where.get(name, "") for name in rows.names]


def _names(rows: Dataset, which: np.ndarray) -> tuple[str, ...]:
    return tuple(rows.names[row] for row in which.tolist())


def _named(rows: Dataset, groups: Sequence[Sequence[int]]) -> tuple[str, ...]:
    return tuple(" = ".join(rows.names[row] for row in group) for group in groups)


def _count(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _some(labels: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = len(labels) - MOST_IN_CAUTION
    return ", ".join(map(_short, labels[:MOST_IN_CAUTION])) + (
        f" and {more} more" if more > 0 else ""
    )


def _short(label: str) -> str:
    return _readable(label if len(label) <= 60 else f"{label[:60]}…")


def _readable(label: str) -> str:
    return label.replace("_", " ")
