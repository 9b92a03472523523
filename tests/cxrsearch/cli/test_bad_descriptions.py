"""Whatever is wrong with a data set is said on one screen, all at once, with exit code 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]
SCREEN = 24
"""Lines of a terminal."""
IMAGES = 24
COLUMNS = "image,patient,split,view,Mass,Edema"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `dataset` writes what it has recognised."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound data set of two labels, twelve patients, and a split."""
    tmp_path /= "data"
    rows = []
    for n in range(IMAGES):
        part = ("train", "train", "val", "test")[n // 2 % 4]
        rows.append(f"p{n // 2:02d}_{n}.png,{n // 2},{part},PA,{n % 2},{n // 3 % 2}")
    draw(tmp_path, [row.partition(",")[0] for row in rows])
    (tmp_path / "labels.csv").write_text("\n".join([COLUMNS, *rows]) + "\n", encoding="utf-8")
    return tmp_path


def draw(folder: Path, files: Sequence[str]) -> None:
    rng = np.random.default_rng(0)
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (40, 40), np.uint8)).save(path)


def describe(folder: Path, text: str) -> Path:
    path = folder / "dataset.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def cells(folder: Path, column: str, change: Callable[[int, str], str]) -> None:
    """Other cells in a column of the table."""
    path = folder / "labels.csv"
    header, *rows = (line.split(",") for line in path.read_text(encoding="utf-8").splitlines())
    at = header.index(column)
    for number, row in enumerate(rows):
        row[at] = change(number, row[at])
    lines = [",".join(row) for row in (header, *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def refused(run: Run, *words: object) -> str:
    code, out, error = run(*words)
    assert code == 2, f"{code}\n{out}\n{error}"
    assert "Traceback" not in out + error
    assert len((out + error).splitlines()) <= SCREEN, out + error
    return error


BAD = {
    "a label that is not there": ("labels: [Mass, Edma]", ["Edma", "did you mean", "Edema"]),
    "columns that are not there": (
        "columns: {patient: Subject, age: Years}", ["Subject", "Years"],
    ),
    "a column of a label that is not there": (
        "labels: [{name: Tumour, from: Masss}]", ["Masss", "Mass"],
    ),
    "a filter of a column that is not there": ("filter: {vieww: [PA]}", ["vieww", "view"]),
    "a filter that keeps nothing": ("filter: {view: [LATERAL]}", ["view", "LATERAL"]),
    "a pattern that matches nothing": (
        r"columns: {patient: {pattern: 'subject-(\d+)'}}", ["subject-"],
    ),
    "a pattern that is none": (r"columns: {patient: {pattern: '([0-9]+'}}", ["([0-9]+"]),
    "a policy that is none": ("uncertain: positve", ["positve", "positive"]),
    "a policy of a label that is not there": ("uncertain: {Masss: soft}", ["Masss", "Mass"]),
    "a key that is none": ("lables: [Mass]", ["lables", "labels"]),
    "a format that is none": ("format: chexprt", ["chexprt", "chexpert"]),
    "a name with HTML": ("labels: [{name: '<b>Mass</b>', from: Mass}, Edma]", ["HTML", "Edma"]),
    "a name that is a path": ("labels: [{name: ../../Mass, from: Mass}]", ["../../Mass", "path"]),
    "a name of 300 characters": (
        f"labels: [{{name: {'x' * 300}, from: Mass}}]", ["300", "characters"],
    ),
    "names that are equal but for case": (
        "labels: [{name: edema, from: Mass}, {name: Edema, from: Edema}]", ["edema", "Edema"],
    ),
    "one name twice": ("labels: [Mass, Mass]", ["Mass"]),
    "no mapping": ("- Mass", ["mapping"]),
    "no YAML": ("labels: [Mass", ["dataset.yaml"]),
    "a folder that is not there": ("images: nowhere", ["nowhere"]),
    "a table that is not there": ("table: nothing.csv", ["nothing.csv"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_description_is_said(run: Run, folder: Path, name: str) -> None:
    text, wanted = BAD[name]
    describe(folder, text)
    said = refused(run, "dataset", folder)
    for words in wanted:
        assert words in said, said


def test_a_search_refuses_what_the_look_refuses(run: Run, folder: Path) -> None:
    describe(folder, "labels: [Mass, Edma]")
    said = refused(run, "optuna", "--data", folder, "--trials", 1, "--dry-run")
    assert "Edma" in said


def test_all_faults_of_a_description_are_named_at_once_by_line(run: Run, folder: Path) -> None:
    describe(
        folder,
        "uncertain: positve\nlables: [Mass]\nblank: zero\nreaders: most\n"
        "columns:\n  patient: Subject\n  image: {pattern: x}\n",
    )
    said = refused(run, "dataset", folder)
    for words in ("line 1", "positve", "line 2", "lables", "line 3", "zero", "line 4", "most"):
        assert words in said, said


def test_a_hundred_faults_fit_on_a_screen(run: Run, folder: Path) -> None:
    describe(folder, "labels:\n" + "".join(f"- Lable{n}\n" for n in range(100)))
    assert "Lable0" in refused(run, "dataset", folder)
    describe(folder, "".join(f"key{n}: 1\n" for n in range(100)))
    assert "key0" in refused(run, "dataset", folder)


def test_cells_that_are_no_marks_are_named_by_line(run: Run, folder: Path) -> None:
    cells(folder, "Mass", lambda n, cell: {3: "maybe?", 5: "7"}.get(n, cell))
    said = refused(run, "dataset", folder)
    assert "maybe?" in said
    assert "5" in said
    assert "Mass" in said
    cells(folder, "Mass", lambda n, cell: cell if n % 3 else f"odd{n}")
    refused(run, "dataset", folder)


def test_a_patient_in_two_parts_is_named(run: Run, folder: Path) -> None:
    cells(folder, "patient", lambda n, cell: "7" if n in (0, 4) else cell)
    said = refused(run, "dataset", folder)
    assert "7" in said
    assert "train" in said
    assert "val" in said


def test_a_pattern_that_finds_two_patients_in_a_path_is_named(run: Run, folder: Path) -> None:
    draw(folder, ["p90_p91.png"])
    table = folder / "labels.csv"
    table.write_text(
        table.read_text(encoding="utf-8") + "p90_p91.png,90,train,PA,0,1\n", encoding="utf-8"
    )
    describe(folder, r"columns: {patient: {pattern: 'p(\d+)'}}")
    said = refused(run, "dataset", folder)
    assert "90" in said
    assert "91" in said


def test_an_empty_class_folder_is_named(run: Run, tmp_path: Path) -> None:
    tmp_path /= "data"
    draw(tmp_path, [f"PNEUMONIA/{n}.png" for n in range(6)])
    (tmp_path / "NORMAL").mkdir()
    assert "NORMAL" in refused(run, "dataset", tmp_path)


def test_a_search_without_negatives_is_refused(run: Run, folder: Path) -> None:
    cells(folder, "Mass", lambda n, cell: "1")
    describe(folder, "labels: [Mass]")
    said = refused(run, "optuna", "--data", folder, "--trials", 1, "--dry-run")
    assert "Mass" in said
    assert "negative" in said


def test_columns_that_are_equal_but_for_case_are_refused(run: Run, folder: Path) -> None:
    table = folder / "labels.csv"
    text = table.read_text(encoding="utf-8").replace("Mass,Edema", "EDEMA,Edema")
    table.write_text(text, encoding="utf-8")
    said = refused(run, "dataset", folder)
    assert "EDEMA" in said
    assert "Edema" in said


def test_a_name_that_cannot_be_used_is_named_once(run: Run, folder: Path) -> None:
    describe(folder, "labels: [{name: '<b>x</b>', from: Mass}, Edeme]")
    said = refused(run, "dataset", folder)
    assert said.count("looks like HTML") == 1
    assert "did you mean 'Edema'" in said


def test_a_name_with_a_slash_is_a_name(run: Run, folder: Path) -> None:
    describe(folder, "labels: [{name: Nodule/Mass, from: Mass}, {name: COVID-19, from: Edema}]")
    code, out, error = run("dataset", folder)
    assert (code, "Nodule/Mass" in out, "COVID-19" in out) == (0, True, True), out + error
