"""Train, validation and test parts that share no patient, kept with a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.files import shorten
from cxrsearch.errors import InputError
from search.files import write_json
from search.reading import read_json
from search.seeds import derive

from .counts import ALL_PARTS, judgeable, label_counts
from .given import check_given, given_notes, given_words
from .listed import listed_rows
from .stratify import generator, per_patient, stratify

__all__ = [
    "ALL_PARTS", "Splits", "check_leakage", "fresh_splits", "judgeable", "label_counts",
    "make_splits",
]  # fmt: skip

VAL_SEED = 2000
"""Images at most in the fixed validation subset where nothing else is said."""
SPLITS_FORMAT = 1


@dataclass(frozen=True)
class Splits:
    """Names of the images of each part, sorted.

    Args:
        train: to train on.
        val: to choose epochs, recipes and winners by.
        test: out of reach of the search.
        val_seed: the part of ``val`` on which single epochs are scored; the same for all trials.
        seed: what the parts were drawn with.
        fingerprint: of all the above; computed where it is left empty.
        notes: what the user should know about how the parts were made.
        contents: name -> 16 hex digits that stand for the image's file, as `Cache.contents` has
            them; without those of which that is not known.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    val_seed: tuple[str, ...]
    seed: int
    fingerprint: str = ""
    notes: tuple[str, ...] = ()
    contents: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", self._digest())

    def _digest(self) -> str:
        parts = [sorted(getattr(self, part)) for part in ALL_PARTS]
        return hashlib.sha256(json.dumps([parts, self.seed]).encode()).hexdigest()[:16]

    def counts(self, dataset: Dataset) -> dict[str, dict[str, int]]:
        """Positives of each label, images and patients, by part. See `label_counts`."""
        return label_counts(
            self, dataset.names, dataset.labels, dataset.patients, dataset.label_names,
            dataset.uncertain,
        )  # fmt: skip

    def knowing(self, contents: Mapping[str, str]) -> Splits:
        """These parts, with what stands for the files of their images out of ``contents``."""
        names = (name for part in ALL_PARTS[:3] for name in getattr(self, part))
        return replace(self, contents={n: contents[n] for n in names if n in contents})

    def changed(self, contents: Mapping[str, str]) -> list[str]:
        """The images that are other files than when the parts were made, as far as that is known.

        Args:
            contents: name -> what stands for the file now.
        """
        return [name for name, was in self.contents.items() if contents.get(name, was) != was]

    def check_contents(self, contents: Mapping[str, str], data: str, maker: Path) -> None:
        """Check that the images are the files that they were when the parts were made.

        Args:
            contents: name -> what stands for the file now.
            data: where they lie, for people.
            maker: the study that these parts are of.

        Raises:
            InputError: with the count and examples of those that changed.
        """
        if changed := self.changed(contents):
            some = ", ".join(map(repr, changed[:3]))
            raise InputError(
                f"{data}: {len(changed):,} images are other files than when {maker} was made, "
                f"though of the same name, such as {some}; restore them, or start a new study"
            )

    def save(self, path: Path) -> None:
        """Write ``path`` (splits.json) atomically."""
        parts = {part: list(getattr(self, part)) for part in ALL_PARTS}
        head = {"format": SPLITS_FORMAT, "fingerprint": self.fingerprint, "seed": self.seed}
        contents = {"contents": dict(self.contents)} if self.contents else {}
        write_json(path, {**head, "notes": list(self.notes), **parts, **contents})

    @classmethod
    def load(cls, path: Path) -> Splits:
        """Read what `save` wrote.

        Raises:
            InputError: where it is missing, is not a splits file, or was changed since.
        """
        try:
            stored = read_json(path, "the splits")
            train, val, test, val_seed = (_names(stored[part]) for part in ALL_PARTS)
            notes = _names(stored.get("notes", []))
            seed, fingerprint = int(stored["seed"]), str(stored["fingerprint"])
            contents = dict(stored.get("contents", {}))
            _names(list(contents.values()))
        except FileNotFoundError:
            raise InputError(f"{path}: is missing; restore it from a copy") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"{path}: not a splits file; restore it from a copy") from None
        splits = cls(train, val, test, val_seed, seed=seed, notes=notes, contents=contents)
        if splits.fingerprint != fingerprint:
            raise InputError(
                f"{path}: changed since it was written (fingerprint {splits.fingerprint}, "
                f"written as {fingerprint}); scores on other parts do not compare. Restore it, "
                "or start a new study"
            )
        return splits


def make_splits(
    names: Sequence[str],
    labels: np.ndarray,
    patients: np.ndarray,
    *,
    seed: int,
    test_share: float = 0.2,
    val_share: float = 0.2,
    test_list: Sequence[str] | None = None,
    val_seed: int | None = None,
    parts: np.ndarray | None = None,
) -> Splits:
    """Split by patient, stratified over the labels and "no finding".

    The test part is drawn first and depends on neither ``val_share`` nor ``val_seed``. The
    order of the rows does not matter.

    Of given ``parts`` those that lack are drawn: from the given training part, or where that is
    not given from the images of no part. Beside a given training part those are left out.

    Args:
        names: ``(n,)``.
        labels: ``(n, k)``, see `cxrsearch.data.marks`.
        patients: ``(n,)``.
        seed: the same seed and data give the same parts.
        test_share: share of the patients that become the test part; 0 for none.
        val_share: share of the other patients that become the validation part.
        test_list: names of the test part instead of ``test_share`` and of ``parts``.
        val_seed: images at most in the fixed validation subset; `VAL_SEED` where None.
        parts: ``(n,)`` "train", "val", "test" or "", where the data come with their own split.

    Raises:
        InputError: too few patients, shares out of range, or a patient on both sides of
            ``test_list`` or in two of ``parts``.
    """
    given = np.full(len(names), "") if parts is None else np.asarray(parts).astype(str)
    own = given_words(given)
    _check(names, labels, patients, test_share, val_share, val_seed)
    order = sorted(range(len(names)), key=names.__getitem__)
    images = np.array([names[row] for row in order])
    marks, owners = np.asarray(labels)[order], np.asarray(patients).astype(str)[order]
    part = given[order]
    notes: tuple[str, ...] = ()
    if test_list is not None:
        listed, notes = listed_rows(images, owners, test_list)
        part = np.where(listed, "test", "")
        if own:
            notes += (f"the data's own split ({own}) is not used: a test list was given",)
    elif own:
        check_given(owners, part)
    there = {one for one in ALL_PARTS[:3] if (part == one).any()}
    drawn = [one for one in ALL_PARTS[:3] if one not in there and (one != "test" or test_share > 0)]
    if own and test_list is None:
        notes += given_notes(images, part, drawn, test_share, val_share)
    rest = np.flatnonzero(part == ("train" if "train" in there else ""))
    _check_rest(owners[rest], there, drawn, test_list is not None)
    if "test" in drawn:
        least = 1 + ("val" in drawn)
        in_test = _draw(marks[rest], owners[rest], test_share, generator(seed, "test"), rest=least)
        part, rest = _moved(part, rest[in_test], "test"), rest[~in_test]
    if "val" in drawn:
        in_val = _draw(marks[rest], owners[rest], val_share, generator(seed, "val"))
        part, rest = _moved(part, rest[in_val], "val"), rest[~in_val]
    val = np.flatnonzero(part == "val")
    cap = VAL_SEED if val_seed is None else val_seed
    chosen = val[_subset(marks[val], owners[val], cap, generator(seed, "val_seed"))]
    splits = Splits(
        train=tuple(images[rest].tolist()),
        val=tuple(images[val].tolist()),
        test=tuple(images[part == "test"].tolist()),
        val_seed=tuple(images[chosen].tolist()),
        seed=seed,
        notes=notes,
    )
    check_leakage(splits, dict(zip(images.tolist(), owners.tolist(), strict=True)))
    return splits


def fresh_splits(
    splits: Splits, names: Sequence[str], labels: np.ndarray, patients: np.ndarray, round: int
) -> Splits:
    """Other training and validation parts of the same images, drawn as `make_splits` draws them.

    The validation part gets the same share of the patients as before. Where single epochs were
    scored on all of it they are again, else on as many images at most. The test part is as it was,
    and images of no part stay out, wherever the parts of ``splits`` came from.

    Args:
        splits: a study's.
        names: ``(n,)`` of its images, and perhaps of others.
        labels: ``(n, k)``, see `cxrsearch.data.marks`.
        patients: ``(n,)``.
        round: which of the fresh splits, from 0. A round's depends on it, the seed of ``splits``
            and the data alone.

    Raises:
        InputError: where an image of the two parts is not in ``names``.
    """
    row_of = {str(name): row for row, name in enumerate(names)}
    images = np.array(sorted({*splits.train, *splits.val}))
    missing = [name for name in images.tolist() if name not in row_of]
    if missing:
        raise InputError(
            f"fresh split: {len(missing)} of its {len(images)} images are not in the data, such as "
            f"{missing[0]!r}; use the data that the study was made with"
        )
    rows = [row_of[name] for name in images.tolist()]
    marks, owners = np.asarray(labels)[rows], np.asarray(patients).astype(str)[rows]
    seed = derive(splits.seed, "confirm", round)
    before = len(set(owners[np.isin(images, splits.val)]))
    in_val = _draw(marks, owners, before / len(set(owners)), generator(seed, "val"))
    val = np.flatnonzero(in_val)
    cap = len(val) if len(splits.val_seed) == len(splits.val) else len(splits.val_seed)
    scored = val[_subset(marks[val], owners[val], cap, generator(seed, "val_seed"))]
    fresh = Splits(
        train=tuple(images[~in_val].tolist()),
        val=tuple(images[val].tolist()),
        test=splits.test,
        val_seed=tuple(images[scored].tolist()),
        seed=seed,
        contents=splits.contents,
    )
    known = {str(name): str(who) for name, who in zip(names, patients, strict=True)}
    check_leakage(fresh, known)
    return fresh


def _moved(part: np.ndarray, rows: np.ndarray, to: str) -> np.ndarray:
    """``part`` with ``rows`` in the part ``to``."""
    moved = part.astype("<U5")
    moved[rows] = to
    return moved


def _check_rest(owners: np.ndarray, there: set[str], drawn: Sequence[str], listed: bool) -> None:
    """Check that what is left beside given parts is enough to train on and to draw from.

    Raises:
        InputError: where it is not.
    """
    needed, left = len({"train", *drawn}), len(set(owners))
    if not there or left >= needed:
        return
    if listed:
        raise InputError(
            f"test list: patients left beside it: {left}; train and validation need one each"
        )
    raise InputError(
        f"the data's own split has no {' and no '.join(drawn)}, and {left} patients are left to "
        f"draw {'them' if len(drawn) > 1 else 'it'} from: {needed} are needed. Give that part, or "
        "write split: drawn in dataset.yaml to have all parts drawn by patient"
    )


def _check_shares(test_share: float, val_share: float, val_seed: int | None) -> list[str]:
    """What is wrong with these arguments of `make_splits`, whatever the data."""
    problems = []
    if not 0 <= test_share < 1:
        problems.append(f"test share {test_share:g}: at least 0 and below 1 is possible")
    if not 0 < val_share < 1:
        problems.append(f"validation share {val_share:g}: between 0 and 1 is possible")
    if val_seed is not None and val_seed < 1:
        problems.append(f"val_seed {val_seed}: at least 1 image is needed to score an epoch")
    return problems


def check_leakage(splits: Splits, patients_by_name: Mapping[str, str]) -> None:
    """Check that no image and no patient is in two parts.

    Raises:
        InputError: with counts and examples, also for images of no known patient and for a
            ``val_seed`` that is not inside ``val``.
    """
    where: dict[str, set[str]] = defaultdict(set)
    twice, unknown = [], []
    seen: dict[str, str] = {}
    for part in ALL_PARTS[:3]:
        for name in getattr(splits, part):
            if name in seen:
                twice.append(f"image {name!r} is in two parts, {seen[name]} and {part}")
            seen[name] = part
            patient = patients_by_name.get(name)
            if patient is None:
                unknown.append(f"image {name!r} of {part} is not in the data: no patient known")
            else:
                where[str(patient)].add(part)
    leaks = [
        f"patient {patient!r} is in two parts, {' and '.join(sorted(parts))}"
        for patient, parts in sorted(where.items())
        if len(parts) > 1
    ]
    stray = sorted(set(splits.val_seed) - set(splits.val))
    outside = [f"image {name!r} of val_seed is not in val" for name in stray]
    problems = [text for kind in (leaks, twice, unknown, outside) for text in shorten(kind)]
    if problems:
        raise InputError(problems)


def _names(value: object) -> tuple[str, ...]:
    """A JSON list of texts, as a tuple. Raises `TypeError`."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise TypeError("a list of texts was expected")
    return tuple(value)


def _check(
    names: Sequence[str],
    labels: np.ndarray,
    patients: np.ndarray,
    test_share: float,
    val_share: float,
    val_seed: int | None,
) -> None:
    problems = []
    if len(labels) != len(names) or len(patients) != len(names):
        problems.append(f"{len(names)} names, {len(labels)} labels, {len(patients)} patients")
    if len(set(names)) != len(names):
        problems.append("an image name occurs twice; names tell the images apart")
    problems += _check_shares(test_share, val_share, val_seed)
    if problems:
        raise InputError(problems)
    count = len(set(map(str, patients)))
    parts = 2 + (test_share > 0)
    if count < parts:
        raise InputError(
            f"{count} patient{'' if count == 1 else 's'} for {parts} parts: parts share no "
            "patient, so more are needed. Is the patient column the right one?"
        )


def _draw(
    labels: np.ndarray, patients: np.ndarray, share: float, rng: np.random.Generator, rest: int = 1
) -> np.ndarray:
    """``(n,)`` bool: images of about ``share`` of the patients, with ``rest`` or more left over."""
    unique, counts = per_patient(labels, patients)
    part = stratify(counts, (1 - share, share), rng, least=(rest, 1))
    return np.isin(patients, unique[part == 1])


def _subset(
    labels: np.ndarray, patients: np.ndarray, cap: int, rng: np.random.Generator
) -> np.ndarray:
    """``(n,)`` bool: all images of some patients, stratified, at most ``cap`` images."""
    if len(patients) <= cap:
        return np.ones(len(patients), bool)
    unique, counts = per_patient(labels, patients)
    share = cap / len(patients)
    part = stratify(counts, (1 - share, share), rng)
    images = dict(zip(*np.unique(patients, return_counts=True), strict=True))
    inside = [int(p) for p in rng.permutation(np.flatnonzero(part == 1))]
    # Too many by a few: who carries no label goes first, so that rare positives stay.
    inside.sort(key=lambda patient: not counts[patient, : labels.shape[1]].any())
    total = sum(images[unique[patient]] for patient in inside)
    while total > cap:
        total -= images[unique[inside.pop()]]
    if not inside:
        fewest = min(images.values())
        if fewest > cap:
            raise InputError(
                f"val_seed {cap}: every validation patient has at least {fewest} images, and "
                f"patients stay whole; give {fewest} or more"
            )
        inside = [min(range(len(unique)), key=lambda patient: images[unique[patient]])]
    return np.isin(patients, unique[inside])
