"""The embedded data set: chest X-rays drawn from a seed, no download, never a real patient.

Each image shows the radiographic signs of its labels (`signs`) in a chest with
natural variation (`anatomy`), exposed on a film with noise and distractors
(`film`). Labels follow NIH ChestX-ray14's prevalences and co-occurrences
(`labels`). Nothing is stored: a name, the seed and the difficulty give the picture.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.data.errors import ImageError
from cxrsearch.errors import InputError
from search.files import write_text

from .canvas import FIELD_MM
from .draw import DRAWING_VERSION, draw, draw_person, is_portable
from .labels import MINIMUM_PREVALENCE, Array, draw_labels

PHANTOM = "phantom"
"""What the user writes instead of a folder."""

FEWEST_IMAGES, MOST_IMAGES = 50, 50_000
"""Limits of the number of labelled images; unlabelled ones have the same upper limit."""

_IMAGES_A_PATIENT = (0.72, 0.15, 0.06, 0.035, 0.02, 0.015)  # one to six, 1.5 on average
_SAME_AGAIN = 0.5  # a follow-up keeps all findings of the image before
_FIRST_UNLABELLED = MOST_IMAGES + 1  # patients from here on have no label
_LABELS = 10  # stream of random numbers, beside those of phantom_draw
_NAME = re.compile(r"(\d{8})_(\d{3})\.png")

NIH_HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
"""Header of NIH's table; the commas within brackets are NIH's and make eleven columns."""


class _Shot(NamedTuple):
    """One image as the label table has it."""

    name: str
    patient: int
    image: int
    diseases: Array


@dataclass(frozen=True)
class PhantomSource:
    """Draws images by name. A `PixelSource`, and small to pickle.

    Args:
        seed: seed of the whole set.
        difficulty: 0 (plain signs, clean films) to 1 (faint signs, noise, distractors).
        enrichment: share of the images that every disease has at least.
    """

    seed: int = 0
    difficulty: float = 0.5
    enrichment: float = MINIMUM_PREVALENCE

    def decode(self, name: str, size: int) -> Array:
        """The picture ``name`` drawn at ``size``: (size, size) uint8.

        Raises:
            ImageError: where the phantom has no such name.
        """
        return self._drawn(self._shot(name), size)

    def signs(self, name: str) -> tuple[str, ...]:
        """The diseases whose signs the picture ``name`` shows.

        Raises:
            ImageError: where the phantom has no such name.
        """
        has = self._shot(name).diseases
        return tuple(disease for disease, there in zip(DISEASES, has, strict=True) if there)

    def decode_without(self, name: str, size: int, disease: str) -> Array:
        """`decode` with the sign of ``disease`` left out, and all else as it is.

        Raises:
            ImageError: where the phantom has no such name.
        """
        shot = self._shot(name)
        diseases = shot.diseases.copy()
        diseases[DISEASES.index(disease)] = 0
        return self._drawn(shot._replace(diseases=diseases), size)

    def _drawn(self, shot: _Shot, size: int) -> Array:
        return draw(
            shot.diseases,
            size,
            seed=self.seed,
            patient=shot.patient,
            image=shot.image,
            difficulty=self.difficulty,
        )

    def stamp(self, name: str) -> str:
        """All that the picture depends on beside its name, and the version of the drawing."""
        bits = "".join(str(int(has)) for has in self._shot(name).diseases)
        return f"phantom-v{DRAWING_VERSION}-s{self.seed}-d{self.difficulty!r}-{bits}"

    def _shot(self, name: str) -> _Shot:
        match = _NAME.fullmatch(name)
        if match and int(match[1]) >= 1:
            shots = self._shots(int(match[1]))
            if int(match[2]) < len(shots):
                return shots[int(match[2])]
        raise ImageError(f"the phantom has no image {name!r}")

    def _shots(self, patient: int) -> list[_Shot]:
        """A patient's images. Findings often stay the same from one to the next."""
        rng = np.random.default_rng([self.seed, _LABELS, patient])
        images = 1 + int(rng.choice(len(_IMAGES_A_PATIENT), p=_IMAGES_A_PATIENT))
        labels = draw_labels(rng, images, self.enrichment)
        again = rng.random(images) < _SAME_AGAIN
        for image in range(1, images):
            if again[image]:
                labels[image] = labels[image - 1]
        return [
            _Shot(f"{patient:08d}_{image:03d}.png", patient, image, labels[image])
            for image in range(images)
        ]

    def shots(self, first_patient: int) -> Iterator[_Shot]:
        """All images of the patients from ``first_patient`` on, without end."""
        for patient in count(first_patient):
            yield from self._shots(patient)


def phantom_dataset(
    images: int = 600,
    unlabelled: int = 100,
    seed: int = 0,
    difficulty: float = 0.5,
    enrichment: float = MINIMUM_PREVALENCE,
) -> Dataset:
    """The drawn data set. A larger one holds the smaller one of the same seed.

    Args:
        images: labelled images, 50 to 50,000; about two thirds as many patients.
        unlabelled: images without a label, of other patients, 0 to 50,000.
        seed: 0 or more; another seed, other patients.
        difficulty: 0 (plain signs, clean films) to 1 (faint signs, noise, distractors).
        enrichment: share of the images that every disease has at least, 0 to 0.3; 0 gives
            NIH's own prevalences (Hernia: 0.2%).

    Raises:
        InputError: where an argument is out of range.
    """
    _check(images, unlabelled, seed, difficulty, enrichment)
    source = PhantomSource(int(seed), float(difficulty), float(enrichment))
    shots = list(islice(source.shots(1), images))
    hidden = islice(source.shots(_FIRST_UNLABELLED), unlabelled)
    return Dataset(
        names=tuple(shot.name for shot in shots),
        labels=np.stack([shot.diseases for shot in shots]),
        patients=np.array([str(shot.patient) for shot in shots]),
        unlabelled=tuple(shot.name for shot in hidden),
        source=source,
        notes=(f"drawn from seed {seed}, difficulty {difficulty:g}: no real patients",),
        label=PHANTOM,
        extra=_facts(source, shots),
    )


def _check(images: int, unlabelled: int, seed: int, difficulty: float, enrichment: float) -> None:
    problems = []
    if not FEWEST_IMAGES <= images <= MOST_IMAGES:
        problems.append(
            f"phantom: images is {images}; give {FEWEST_IMAGES} to {MOST_IMAGES:,}, so that "
            "every disease can occur in each part"
        )
    if not 0 <= unlabelled <= MOST_IMAGES:
        problems.append(f"phantom: unlabelled is {unlabelled}; give 0 to {MOST_IMAGES:,}")
    if seed < 0:
        problems.append(f"phantom: seed is {seed}; give 0 or more")
    # Written so that NaN fails too.
    if not (math.isfinite(difficulty) and 0 <= difficulty <= 1):
        problems.append(
            f"phantom: difficulty is {difficulty}; give 0 (plain signs) to 1 (faint signs)"
        )
    if not (math.isfinite(enrichment) and 0 <= enrichment <= 0.3):
        problems.append(
            f"phantom: enrichment is {enrichment}; give the least prevalence, 0 (NIH's own) to 0.3"
        )
    if problems:
        raise InputError(problems)


def _facts(source: PhantomSource, shots: list[_Shot]) -> dict[str, Array]:
    """The table's other columns; they agree with the drawings."""
    people = [draw_person(source.seed, shot.patient) for shot in shots]
    views = [is_portable(source.seed, shot.patient, shot.image) for shot in shots]
    rows = list(zip(shots, people, strict=True))
    return {
        "Follow-up #": np.array([str(shot.image) for shot in shots]),
        "Patient Age": np.array([str(who.age + shot.image) for shot, who in rows]),
        "Patient Gender": np.array(["F" if who.female else "M" for who in people]),
        "View Position": np.array(["AP" if portable else "PA" for portable in views]),
    }


def write_phantom(
    folder: Path,
    dataset: Dataset,
    side: int = 256,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a phantom data set the way NIH ships its own.

    ``images/`` and ``unlabelled/`` hold PNG files, ``Data_Entry_2017.csv`` the labels.
    The table is written last: a folder that has it is complete.

    Args:
        folder: made where needed; must be empty.
        dataset: what `phantom_dataset` gave.
        side: side of the pictures in pixels, 32 to 2048.
        on_progress: called with images done and images in all.

    Raises:
        InputError: where the folder is not empty or cannot be written, or the side is bad.
    """
    folder = Path(folder)
    if not 32 <= side <= 2048:
        raise InputError(f"phantom: side is {side}; give 32 to 2048 pixels")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file; give the name of a new folder")
    if folder.is_dir() and next(folder.iterdir(), None) is not None:
        raise InputError(f"{folder}: not empty; give a new folder, or empty this one first")
    parts = [("images", name) for name in dataset.names]
    parts += [("unlabelled", name) for name in dataset.unlabelled]
    try:
        for part in dict.fromkeys(part for part, _ in parts):
            (folder / part).mkdir(parents=True, exist_ok=True)
        for done, (part, name) in enumerate(parts, start=1):
            picture = dataset.source.decode(name, side)
            Image.fromarray(picture).save(folder / part / name, format="PNG")
            if on_progress is not None:
                on_progress(done, len(parts))
        write_text(folder / "Data_Entry_2017.csv", _table(dataset, side))
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror or error}); it holds a part of the "
            "images now: make room or choose another place, and remove it before the next try"
        ) from error


def _table(dataset: Dataset, side: int) -> str:
    """NIH's label table of a phantom set drawn at ``side``."""
    text = io.StringIO()
    text.write(NIH_HEADER + "\n")
    rows = csv.writer(text, lineterminator="\n")
    facts = [
        dataset.extra[name]
        for name in ("Follow-up #", "Patient Age", "Patient Gender", "View Position")
    ]
    spacing = f"{FIELD_MM / side:.6g}"
    size = (side, side, spacing, spacing)
    for name, marks, patient, follow_up, age, gender, view in zip(
        dataset.names, dataset.labels, dataset.patients, *facts, strict=True
    ):
        found = "|".join(disease for disease, has in zip(DISEASES, marks, strict=True) if has)
        rows.writerow((name, found or NO_FINDING, follow_up, patient, age, gender, view, *size))
    return text.getvalue()
