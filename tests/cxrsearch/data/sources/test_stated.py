"""Every fault of a dataset.yaml is named at once, by line, with the way out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from cxrsearch.data.description import LabelFrom, Pattern
from cxrsearch.data.sources.stated import stated_in
from cxrsearch.errors import InputError


def said(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "dataset.yaml"
    path.write_text(text, encoding="utf-8")
    try:
        stated_in(path).check()
    except InputError as error:
        return [problem.removeprefix(f"{tmp_path}/") for problem in error.problems]
    return []


def test_all_faults_are_named_at_once_by_line(tmp_path: Path) -> None:
    found = said(
        tmp_path,
        "imagse: here\n"
        "table: [a.csv, {}]\n"
        "columns:\n"
        "  patiant: PID\n"
        "  image: {pattern: 'x'}\n"
        "  patient: {pattern: '('}\n"
        "  age: no\n"
        "labels:\n"
        "  - Mass\n"
        "  - {nam: X, from: Y}\n"
        "  - mass\n"
        "  - <b>Edema</b>\n"
        "uncertain: positiv\n"
        "blank: {Mass: unknown}\n"
        "readers: median\n"
        "filter: {view: []}\n"
        "split: column name\n",
    )
    text = "\n".join(found)
    for line, what in (
        (1, "unknown key; did you mean 'images'?"),
        (2, "table.2"),
        (4, "columns.patiant: unknown key; did you mean 'patient'?"),
        (5, "columns.image: is a pattern"),
        (6, "columns.patient.pattern: '(': no regular expression"),
        (7, "columns.age: is false; YAML reads yes, no"),
        (8, "labels 'Mass' and 'mass' are too alike"),
        (10, "labels.2.nam: unknown key; did you mean 'name'?"),
        (12, "labels.4: label '<b>Edema</b>' looks like HTML"),
        (13, "uncertain: is 'positiv'; one of ignore, positive, negative, soft; did you mean"),
        (14, "blank.Mass: is 'unknown'; one of negative, ignore"),
        (15, "readers: is 'median'; one of majority, any, mean"),
        (16, "filter.view: keeps no value"),
        (17, "split: is 'column name'"),
    ):
        assert any(f"dataset.yaml, line {line}: " in one and what in one for one in found), what
    assert text.index("line 1:") < text.index("line 7:") < text.index("line 17:")


def test_what_it_states(tmp_path: Path) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text(
        "images: ../pictures\ntable: t.csv\n"
        "columns: {patient: {pattern: 'p(\\d+)'}, view: null}\n"
        "labels: [Mass, {name: Fluid, from: Pleural Effusion}, 3]\n"
        "uncertain: {Mass: soft, '*': positive}\nfilter: {view: PA, year: [2019, 2020.5]}\n",
        encoding="utf-8",
    )
    found = stated_in(path)
    assert found.problems == []
    assert found.fields == {
        "images": tmp_path.parent / "pictures",
        "table": (tmp_path / "t.csv",),
        "columns": {"patient": Pattern(r"p(\d+)"), "view": None},
        "labels": (
            LabelFrom("Mass", "Mass"),
            LabelFrom("Fluid", "Pleural Effusion"),
            LabelFrom("3", "3"),
        ),
        "uncertain": {"Mass": "soft", "": "positive"},
        "filter": {"view": ("PA",), "year": ("2019", "2020.5")},
    }


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("- a\n- b\n", "not a mapping"),
        ("42", "not a mapping"),
        ("images: [", "line 1"),
        ("images: a\nimages: b\n", "line 2: 'images' is there twice"),
        ("labels: !!python/object/apply:os.system [ls]\n", "line 1"),
        (BOMB, "aliases repeat"),
        ("&a [*a]", "alias refers to what it is part of"),
        ("x: " + "[" * 200, "nested more than"),
        ("\0", "special characters are not allowed"),
        ("labels: [" + "a, " * 3000 + "a]", "2,000 are read at most"),
        ("#" + "x" * 1_000_001, "more than 1,000,000 bytes"),
        ("images: 1.0e+999\n", "written in a way that YAML cannot read"),
    ],
)
def test_bad_files_get_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    start = time.monotonic()
    found = said(tmp_path, text)
    assert time.monotonic() - start < 5
    assert words in "\n".join(found)
    assert all(len(problem) < 400 for problem in found)
    assert len(found) <= 51


def test_what_is_no_text_or_not_there_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "dataset.yaml"
    with pytest.raises(InputError, match="no such file"):
        stated_in(path)
    path.write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(InputError, match="not text in UTF-8"):
        stated_in(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"cannot be read|ordinary file"):
        stated_in(path)
