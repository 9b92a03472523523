"""Any content of a dataset.yaml, any cells and any header are read, or refused in a sentence."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.look import look
from cxrsearch.errors import InputError

SOUND = (
    "images: pictures\ntable: labels.csv\nformat: one-hot\n"
    "columns: {image: image, patient: patient, split: split, age: age}\n"
    "labels: [Mass, {name: Fluid, from: Pleural Effusion}]\n"
    "uncertain: {Mass: soft, '*': ignore}\nblank: negative\nreaders: mean\n"
    "filter: {view: [PA, AP]}\nsplit: column\n"
)
PIECES = (
    ": ", "\n", "\n- ", "{", "}", "[", "]", "'", '"', "&a ", "*a", "!!python/object:os.system ",
    "!!binary ", "null", "true", "no", "1e999", ".nan", "-1", "9" * 4000, "0x" + "f" * 999, "|",
    ">", "#", "\t", "<<: *a", "? ", "%YAML 9", "---\n", "...", "labels", "columns", "filter",
    "image",
    "pattern: '(a+)+$'", "pattern: '(?P<x>'", "pattern: ''", "../../../etc/passwd", "/dev/zero",
    "\x00", "\u2028", "\ufeff", "é" * 300, "- " * 2000, "[" * 300, "a: " * 50, "2020-13-45", "=1+1",
    "<script>", "Mass", "Pleural Effusion", "lists", "folders", "vindr", "padchest", "chexpert",
)  # fmt: skip
HEADER = "image,patient,split,age,view,Mass,Pleural Effusion"
CELLS = (
    "", " ", "0", "1", "-1", "-1.0", "1.0", "0.5", "2", "nan", "NaN", "inf", "-inf", "1e400",
    "True", "YES", "no", "u", "?", "uncertain", "positive", "['a', 'b']", "[", "['", "a|b", "a;b",
    "No Finding", "No Finding|Mass", "é", "\u0660", "１", "=1+1", "0" * 5000, "1,0", "x" * 600,
    "\x00", "-", "+1",
    "<b>", "1 2 3 4", "-1 ", "0.5000001", "None", "N/A", "train", "valid", "TEST", "L", "LATERAL",
)  # fmt: skip
NAMES = (
    "image", "Image Index", "Path", "ImageID", "image_id", "patientId", "dicom_id", "study_id",
    "subject_id", "Finding Labels", "Labels", "labels", "class_name", "rad_id", "Target",
    "EncodedPixels", "Set Id", "split", "fold", "view", "Projection", "Frontal/Lateral", "Age",
    "Sex", "Mass", "mass", "MASS", "Nodule/Mass", "COVID-19", "No Finding", "normal", "", " ", "é",
    "x" * 300, "<b>a</b>", "a:b", "a=b", "../a", "ratio_*", "*", "-1", "1", "0", "ImageDir", "\x00",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures that tables may name, with a sound table."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(6):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(pictures / f"p{number}.png")
    write(tmp_path, HEADER.split(","), rows())
    return tmp_path


def rows() -> list[list[str]]:
    parts = ("train", "val", "test")
    return [
        [f"p{n}.png", str(n), parts[n % 3], str(30 + n), "PA", str(n % 2), str(n // 2 % 2)]
        for n in range(6)
    ]


def write(folder: Path, header: list[str], cells: list[list[str]]) -> None:
    quoted = [
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in (header, *cells)
    ]
    (folder / "labels.csv").write_text("\n".join(quoted) + "\n", encoding="utf-8")


def test_any_description_is_read_or_refused(
    folder: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path = folder / "dataset.yaml"
    for number in cases(200):
        rng = random.Random(number)
        text = SOUND
        for _ in range(rng.choice((1, 1, 2, 4, 12))):
            at = rng.randrange(len(text) + 1)
            end = at + rng.choice((0, 0, 1, 5, 40))
            text = text[:at] + rng.choice(PIECES) + text[end:]
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        guarded(number, lambda: look(folder), InputError)


def test_any_bytes_as_a_description_are_refused(
    folder: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path = folder / "dataset.yaml"
    for number in cases(50):
        rng = random.Random(number)
        path.write_bytes(rng.randbytes(rng.choice((0, 1, 20, 3000))))
        guarded(number, lambda: look(folder), InputError)


def test_any_cells_are_read_or_refused(
    folder: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    for number in cases(150):
        rng = random.Random(number)
        cells = rows()
        for _ in range(rng.choice((1, 2, 6, 20))):
            row = rng.choice(cells)
            row[rng.randrange(len(row))] = rng.choice(CELLS)
        write(folder, HEADER.split(","), cells)
        guarded(number, lambda: look(folder), InputError)


def test_any_header_is_read_or_refused(
    folder: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    for number in cases(200):
        rng = random.Random(number)
        header = [rng.choice(NAMES) for _ in range(rng.randrange(1, 9))]
        if rng.random() < 0.7:
            header[0] = rng.choice(("image", "Path", "image_id", "patientId", "ImageID"))
        cells = [
            [f"p{n}.png", *(rng.choice(CELLS) for _ in range(len(header) - 1))]
            for n in rng.choices(range(6), k=rng.randrange(1, 12))
        ]
        write(folder, header, cells)
        guarded(number, lambda: look(folder), InputError)
