"""The real tables beside the checkout: what each is told to be, and its labels counted anew."""

from __future__ import annotations

import ast
import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.labels.tables import LabelTable, read_table

TABLES = Path(__file__).parents[5] / "shared" / "label-tables"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not TABLES.exists(), reason="the real tables are not beside the checkout"),
]


def rows(name: str) -> list[dict[str, str]]:
    with (TABLES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counts(table: LabelTable, name: str) -> tuple[int, ...]:
    return tuple(table.counts[name].values())


def test_chexpert() -> None:
    table = read_table(TABLES / "chexpert_train.csv")
    frontal = [row for row in rows("chexpert_train.csv") if row["Frontal/Lateral"] == "Frontal"]
    assert table.format == "chexpert"
    assert table.images == tuple(row["Path"] for row in frontal)
    assert len(table.left_out) == 423
    assert any("423" in note and "Lateral" in note for note in table.notes)
    assert len(table.label_names) == 13
    for place, name in enumerate(table.label_names):
        cells = [row[name] for row in frontal]
        seen = Counter(cells)
        assert counts(table, name) == (seen["1.0"], seen["0.0"], seen["-1.0"], seen[""])
        expected = [np.nan if cell == "-1.0" else float(cell == "1.0") for cell in cells]
        np.testing.assert_array_equal(table.labels[:, place], expected)
        assert table.uncertain is not None
        assert table.uncertain[:, place].tolist() == [cell == "-1.0" for cell in cells]
    assert table.patients.tolist() == [row["Path"].split("/")[2] for row in frontal]
    assert table.roles == {"age": "Age", "sex": "Sex", "view": "AP/PA"}


def test_google_s_marks_win_over_those_mined_from_reports() -> None:
    table = read_table(TABLES / "google2019_nih-chest-xray-labels.csv")
    every = rows("google2019_nih-chest-xray-labels.csv")
    assert table.format == "google"
    assert table.label_names == ("Fracture", "Pneumothorax", "Airspace opacity", "Nodule or mass")
    assert table.labels.dtype == np.uint8
    for place, name in enumerate(table.label_names):
        assert table.labels[:, place].tolist() == [row[name] == "YES" for row in every]
    assert any("'Finding Labels' are left aside" in note for note in table.notes)
    assert any("'test' of all images" in note for note in table.notes)
    assert table.parts is None
    assert "Finding Labels" in table.ignored["columns"]


def test_padchest() -> None:
    table = read_table(TABLES / "padchest.csv")
    every = [row for row in rows("padchest.csv")[:-1] if row["Projection"] != "L"]
    words = [{" ".join(word.split()) for word in ast.literal_eval(row["Labels"])} for row in every]
    said = [bool(w) and not w <= {"unchanged"} and "exclude" not in w for w in words]
    kept = [row["ImageID"] for row, good in zip(every, said, strict=True) if good]
    assert table.images == tuple(kept)
    left = [w for w, good in zip(words, said, strict=True) if good]
    names = set().union(*left) - {"normal", "unchanged", "exclude", "suboptimal study"}
    assert set(table.label_names) == names
    for place, name in enumerate(table.label_names):
        assert table.labels[:, place].tolist() == [name in w for w in left]
    assert any("cut off" in note for note in table.notes)
    assert any("unchanged (" in note for note in table.notes)
    assert table.roles == {"sex": "PatientSex_DICOM", "view": "Projection"}
    assert len(set(table.patients)) > 100


def test_vindr_takes_readers_together() -> None:
    table = read_table(TABLES / "vinbigdata_train.csv")
    readers: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows("vinbigdata_train.csv"):
        readers[row["image_id"]][row["rad_id"]].add(row["class_name"])
    assert table.images == tuple(readers)
    assert len(table.label_names) == 14
    assert table.label_names[0] == "Aortic enlargement"
    assert "No finding" not in table.label_names
    for place, name in enumerate(table.label_names):
        share = np.array([
            np.mean([name in found for found in each.values()]) for each in readers.values()
        ])  # fmt: skip
        expected = np.where(share == 0.5, np.nan, share > 0.5)
        np.testing.assert_array_equal(table.labels[:, place], expected)
    assert any("1 to 3 readers" in note for note in table.notes)


def test_rsna_has_a_row_a_box() -> None:
    table = read_table(TABLES / "rsna_stage_2_train_labels.csv")
    target: dict[str, int] = {}
    for row in rows("rsna_stage_2_train_labels.csv"):
        target[row["patientId"]] = max(target.get(row["patientId"], 0), int(row["Target"]))
    assert table.images == tuple(target)
    assert table.label_names == ("Pneumonia",)
    assert table.labels[:, 0].tolist() == list(target.values())
    assert table.patients.tolist() == list(target)


def test_nih_as_released_in_2020() -> None:
    folder = TABLES.parent / "nih-small"
    table = read_table(folder / "Data_Entry_2017_v2020_full.csv.gz")
    assert table.labels.shape == (112_120, 14)
    assert len(set(table.patients)) == 30_805
    assert table.counts["Hernia"]["positive"] == 227
    assert "2020" in table.reason
    assert table.notes == ()
