"""Data sets as people have them on their disk: real tables, and some written to documentation.

Each function of `SOURCES` makes one below a folder, with at most so many images, and says what is
given as ``--data``. A table that is not at hand is a reason, by `MissingError`.
"""

from __future__ import annotations

import ast
import csv
import gzip
import io
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .drawing import Picture, draw_pictures

SIDE = 96
"""Pixels a side of what is drawn here."""


class MissingError(Exception):
    """Why a data set cannot be made here."""


@dataclass(frozen=True)
class Source:
    """A data set on the disk.

    Args:
        data: what is given as ``--data``.
        images: a folder of its images, to predict for.
        truth: image file, relative to ``images`` -> the labels drawn in it.
    """

    data: Path
    images: Path
    truth: dict[str, frozenset[str]]


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table, packed or not."""
    if not path.is_file():
        raise MissingError(f"{path}: no such table here")
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = data.decode("utf-8-sig")
    if path.name.startswith("padchest"):  # its last cell is cut off inside a quotation
        text = text.rsplit("\n", 2)[0] if text.count('"') % 2 else text
    header, *rows = csv.reader(io.StringIO(text))
    return header, [row for row in rows if len(row) == len(header)]


def _first(rows: list[list[str]], key: Callable[[list[str]], str], count: int) -> list[list[str]]:
    """The rows of the first ``count`` distinct images."""
    kept: dict[str, None] = {}
    for row in rows:
        if len(kept) == count:
            break
        kept.setdefault(key(row))
    return [row for row in rows if key(row) in kept]


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table as CSV, packed where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def _draw(data: Path, images: Path, pictures: Sequence[Picture]) -> Source:
    draw_pictures(images, pictures, SIDE)
    return Source(data, images, {picture.file: picture.labels for picture in pictures})


def nih(folder: Path, tables: Path, count: int) -> Source:
    """NIH ChestX-ray14, 2017: names among each other with ``|`` in one cell."""
    header, rows = read_rows(tables.parent / "nih-small" / "Data_Entry_2017.csv")
    kept = rows[:count]
    _write(folder / "Data_Entry_2017.csv", header, kept)
    return _draw(folder, folder / "images", _nih_pictures(kept))


def _nih_pictures(rows: list[list[str]]) -> list[Picture]:
    return [Picture(row[0], row[0].split("_")[0], frozenset(row[1].split("|"))) for row in rows]


def nih_2020(folder: Path, tables: Path, count: int) -> Source:
    """NIH's release of 2020, by its file's name, with both of its lists."""
    header, rows = read_rows(tables.parent / "nih-small" / "Data_Entry_2017_v2020_full.csv.gz")
    kept = rows[:count]
    _write(folder / "Data_Entry_2017_v2020.csv", header, kept)
    patients = sorted({row[0].split("_")[0] for row in kept})
    test = set(patients[::4])
    for name, inside in (("train_val_list.txt", False), ("test_list.txt", True)):
        lines = [row[0] for row in kept if (row[0].split("_")[0] in test) == inside]
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _draw(folder, folder / "images", _nih_pictures(kept))


def google(folder: Path, tables: Path, count: int) -> Source:
    """NIH's images with Google's adjudicated labels: YES and NO beside the text-mined ones."""
    table = "google2019_nih-chest-xray-labels.csv"
    header, rows = read_rows(tables / table)
    columns = ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
    at = {name: header.index(name) for name in columns}
    first = rows[:count]
    _write(folder / table, header, first)
    return _draw(
        folder,
        folder / "images",
        [
            Picture(row[0], row[3], frozenset(n for n in columns if row[at[n]] == "YES"))
            for row in first
        ],
    )


def chexpert(folder: Path, tables: Path, count: int) -> Source:
    """CheXpert as it unpacks: ``CheXpert-v1.0-small/train.csv`` and ``train/patient.../``."""
    header, rows = read_rows(tables / "chexpert_train.csv")
    kept = rows[:count]
    home = folder / "CheXpert-v1.0-small"
    _write(home / "train.csv", header, kept)
    pictures = []
    for row in kept:
        labels = frozenset(n for n, cell in zip(header[5:], row[5:], strict=True) if cell == "1.0")
        pictures.append(Picture(row[0], row[0].split("/")[2], labels))
    draw_pictures(folder, pictures, SIDE)
    inside = {p.file.partition("/")[2]: p.labels for p in pictures}
    return Source(home, home, inside)


MIMIC_LABELS = (
    "Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Enlarged Cardiomediastinum",
    "Fracture", "Lung Lesion", "Lung Opacity", "No Finding", "Pleural Effusion", "Pleural Other",
    "Pneumonia", "Pneumothorax", "Support Devices",
)  # fmt: skip
"""Columns of mimic-cxr-2.0.0-chexpert.csv after subject_id and study_id, as documented."""

MIMIC_METADATA = (
    "dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription", "ViewPosition",
    "Rows", "Columns", "StudyDate", "StudyTime", "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning", "PatientOrientationCodeSequence_CodeMeaning",
)  # fmt: skip
"""Columns of mimic-cxr-2.0.0-metadata.csv, as documented."""


def mimic(folder: Path, tables: Path, count: int) -> Source:
    """MIMIC-CXR-JPG as documented: three packed tables, ``files/p10/p10000032/s50414267/``."""
    rng = random.Random(0)
    labels, metadata, splits, pictures = [], [], [], []
    for number in itertools.count():
        subject, study = 10_000_032 + 7919 * (number // 2), 50_000_014 + 104_729 * number
        there = {n for n in MIMIC_LABELS if n != "No Finding" and rng.random() < 0.22}
        cells: list[str] = []
        for name in MIMIC_LABELS:
            if name == "No Finding":
                cells.append("" if there else "1.0")
            elif name in there:
                cells.append("-1.0" if rng.random() < 0.2 else "1.0")
            else:
                cells.append("0.0" if rng.random() < 0.3 else "")
        labels.append([subject, study, *cells])
        part = ("train", "train", "train", "validate", "test")[number // 2 % 5]
        for view in ("PA", "LATERAL") if number % 3 else ("AP",):
            dicom = "-".join(f"{rng.getrandbits(32):08x}" for _ in range(5))
            metadata.append([
                dicom, subject, study, "CHEST (PA AND LAT)", view, 2544, 3056, 21800506,
                "213014.531", "CHEST (PA AND LAT)", view.lower(), "Erect",
            ])  # fmt: skip
            splits.append([dicom, study, subject, part])
            file = f"p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.jpg"
            pictures.append(Picture(file, str(subject), frozenset(there)))
        if len(pictures) >= count:
            break
    start = "mimic-cxr-2.0.0"
    head = ("subject_id", "study_id")
    _write(folder / f"{start}-chexpert.csv.gz", (*head, *MIMIC_LABELS), labels)
    _write(folder / f"{start}-metadata.csv.gz", MIMIC_METADATA, metadata)
    _write(
        folder / f"{start}-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), splits
    )
    return _draw(folder, folder / "files", pictures)


def padchest(folder: Path, tables: Path, count: int) -> Source:
    """PadChest: lists as Python writes them, images in numbered folders, laterals among them."""
    header, rows = read_rows(tables / "padchest.csv")
    kept = rows[:count]
    at = {name: header.index(name) for name in ("ImageID", "ImageDir", "PatientID", "Labels")}
    _write(folder / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", header, kept)
    pictures = []
    for row in kept:
        names = ast.literal_eval(row[at["Labels"]]) if row[at["Labels"]].strip() else []
        file = f"{row[at['ImageDir']]}/{row[at['ImageID']]}"
        pictures.append(Picture(file, row[at["PatientID"]], frozenset(map(str.strip, names))))
    return _draw(folder, folder, pictures)


def vindr(folder: Path, tables: Path, count: int) -> Source:
    """VinDr-CXR as on Kaggle: a row a box and a reader; names without a suffix."""
    header, rows = read_rows(tables / "vinbigdata_train.csv")
    kept = _first(rows, lambda row: row[0], count)
    _write(folder / "train.csv", header, kept)
    found: dict[str, set[str]] = defaultdict(set)
    for row in kept:
        found[row[0]].add(row[1])
    return _draw(
        folder, folder / "train", [Picture(f"{k}.png", k, frozenset(v)) for k, v in found.items()]
    )


def rsna(folder: Path, tables: Path, count: int) -> Source:
    """RSNA's pneumonia challenge: a row a box, ``Target``, DICOM files."""
    header, rows = read_rows(tables / "rsna_stage_2_train_labels.csv")
    kept = _first(rows, lambda row: row[0], count)
    _write(folder / "stage_2_train_labels.csv", header, kept)
    target = {row[0]: row[-1] == "1" for row in kept}
    return _draw(
        folder,
        folder / "stage_2_train_images",
        [Picture(f"{k}.dcm", k, frozenset({"Pneumonia"} if v else ())) for k, v in target.items()],
    )


def siim(folder: Path, tables: Path, count: int) -> Source:
    """SIIM's pneumothorax challenge: a run-length mask a row, ``-1`` where there is none."""
    rng = random.Random(1)
    rows, pictures = [], []
    for number in range(count):
        name = f"1.2.276.0.7230010.3.1.4.8323329.{1000 + number}.1517875162.{rng.randrange(999999)}"
        there = number % 3 == 0
        for _ in range(1 + (there and number % 2)):
            mask = f"{rng.randrange(9**5)} 12 {1000 + number} 14 1008 15" if there else "-1"
            rows.append([name, mask])
        labels = frozenset({"Pneumothorax"} if there else ())
        pictures.append(Picture(f"{name}.dcm", name, labels))
    _write(folder / "train-rle.csv", ("ImageId", " EncodedPixels"), rows)
    return _draw(folder, folder / "dicom-images-train", pictures)


def folders(folder: Path, tables: Path, count: int) -> Source:
    """NORMAL and PNEUMONIA below train, val and test, as on Kaggle; no table."""
    pictures = []
    for number in range(count):
        part = ("train", "train", "train", "val", "test")[number // 2 % 5]
        there = number % 2
        file = (
            f"{part}/PNEUMONIA/person{number}_bacteria_{number + 7}.jpeg"
            if there
            else f"{part}/NORMAL/IM-{number:04d}-0001.jpeg"
        )
        labels = frozenset({"Pneumonia"} if there else ())
        pictures.append(Picture(f"chest_xray/{file}", str(number), labels))
    draw_pictures(folder, pictures, SIDE)
    home = folder / "chest_xray"
    return Source(home, home, {p.file.partition("/")[2]: p.labels for p in pictures})


def binary(folder: Path, tables: Path, count: int) -> Source:
    """A table of one's own with one column of zeros and ones, and a patient column."""
    rows, pictures = [], []
    for number in range(count):
        there = number % 4 == 0
        name, patient = f"scan{number:05d}.png", f"A{number // 2:04d}"
        rows.append([name, patient, 30 + number % 50, "FM"[number // 2 % 2], int(there)])
        labels = frozenset({"Tuberculosis"} if there else ())
        pictures.append(Picture(name, patient, labels))
    _write(folder / "cases.csv", ("filename", "patient", "age", "sex", "tuberculosis"), rows)
    return _draw(folder, folder / "scans", pictures)


def own_list(folder: Path, tables: Path, count: int) -> Source:
    """A table of one's own with names among each other in one cell, and semicolons between."""
    rng = random.Random(2)
    names = ("COVID-19", "Nodule/Mass", "Pleural Effusion")
    rows, pictures = [], []
    for number in range(count):
        there = [name for name in names if rng.random() < 0.3]
        file, patient = f"case_{number:04d}.PNG", f"{number // 2}"
        rows.append([file, ", ".join(there) or "No Finding", patient])
        pictures.append(Picture(file, patient, frozenset(there)))
    folder.mkdir(parents=True, exist_ok=True)
    lines = [";".join(map(str, row)) for row in (("image", "findings", "patient_id"), *rows)]
    (folder / "findings.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return _draw(folder, folder / "images", pictures)


FILE_NAMES_YAML = """\
images: CXR_png
format: file-names
columns:
  patient: {pattern: '(CHNCXR_\\d+|MCUCXR_\\d+)_'}
labels:
- {name: Tuberculosis, from: '_(\\d)\\.png$'}
"""
"""The tuberculosis sets of Shenzhen and Montgomery say it by the last figure of a name."""


def file_names(folder: Path, tables: Path, count: int) -> Source:
    """The tuberculosis sets of Shenzhen and Montgomery: the label is in the file's name."""
    pictures = []
    for number in range(count):
        there = number % 2
        start = "CHNCXR" if number % 3 else "MCUCXR"
        labels = frozenset({"Tuberculosis"} if there else ())
        pictures.append(Picture(f"{start}_{number + 1:04d}_{there}.png", str(number), labels))
    source = _draw(folder, folder / "CXR_png", pictures)
    (folder / "dataset.yaml").write_text(FILE_NAMES_YAML, encoding="utf-8")
    return source


SOURCES: dict[str, Callable[[Path, Path, int], Source]] = {
    "nih-2017": nih,
    "nih-2020": nih_2020,
    "google": google,
    "chexpert": chexpert,
    "mimic": mimic,
    "padchest": padchest,
    "vindr": vindr,
    "rsna": rsna,
    "siim": siim,
    "folders": folders,
    "binary": binary,
    "own-list": own_list,
    "file-names": file_names,
}
"""Each by its name: ``(folder, tables, count) -> Source``."""
