"""A data set is looked at before it is searched: from folder or table to cautions and page."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.data.request import DataRequest
from cxrsearch.errors import InputError
from cxrsearch.show import page
from cxrsearch.study.prepare import prepare
from cxrsearch.study.settings import Settings
from cxrsearch.systems.eda.cautions import SERIOUS
from cxrsearch.systems.eda.command import Exploration, explore
from cxrsearch.systems.eda.page import explore_html

Run = Callable[..., tuple[int, str, str]]
TABLE = "Data_Entry_2017.csv"


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def text(found: Exploration, level: str | None = None) -> str:
    """All cautions, or those of one level, with what they name."""
    return "\n".join(
        f"{c.what}. {c.todo} {', '.join(c.names)}"
        for c in found.cautions
        if level in (None, c.level)
    )


@pytest.fixture(scope="module")
def seen(xrays: Path) -> Exploration:
    return look(xrays)


@pytest.fixture
def spoilt(xrays: Path, tmp_path: Path) -> tuple[Path, list[dict[str, str]]]:
    """A copy of the drawn X-rays, to be spoilt, and the rows of its table."""
    folder = tmp_path / "data"
    shutil.copytree(xrays, folder)
    return folder, read(folder / TABLE)


def look(source: Path, **asked: Any) -> Exploration:
    return explore(DataRequest(data=str(source), **asked))


def nearly_black() -> np.ndarray:
    """A black picture with a bright mark."""
    picture = np.zeros((48, 48), np.uint8)
    picture[:6, :10] = 200
    return picture


def file_of(folder: Path, row: dict[str, str]) -> Path:
    return next(folder.rglob(row["Image Index"]))


def test_counts_are_those_of_the_table(seen: Exploration, xrays: Path) -> None:
    rows = read(xrays / TABLE)
    for found in seen.labels.prevalences:
        wanted = [r for r in rows if found.name in r["Finding Labels"].split("|")]
        assert found.images == len(wanted)
        assert found.patients == len({r["Patient ID"] for r in wanted})
    assert seen.labels.images == len(rows) == 80
    assert seen.unlabelled == 4


def test_a_sound_set_gives_no_caution_about_its_images(seen: Exploration) -> None:
    assert seen.checks is not None
    assert seen.checks.groups == []
    assert not seen.checks.blank.any()
    assert seen.checks.orientation is not None
    assert not seen.checks.orientation.kind.any()
    assert seen.flagged == ()
    assert not text(seen, SERIOUS)


def test_the_split_is_the_one_that_a_search_makes(
    seen: Exploration, xrays: Path, tiny_space: Path
) -> None:
    prepared = prepare(Settings(data=str(xrays), space=str(tiny_space), trials=1, runner="serial"))
    assert seen.balance is not None
    assert seen.balance.splits == prepared.splits
    assert seen.balance.counts == prepared.counts
    other = look(xrays, seed=1)
    assert other.balance is not None
    assert other.balance.splits.fingerprint != prepared.splits.fingerprint


def test_examples_come_from_the_training_part_one_a_patient(seen: Exploration) -> None:
    assert seen.balance is not None
    of = dict(zip(seen.rows.names, seen.rows.patients.tolist(), strict=True))
    row = {name: place for place, name in enumerate(seen.rows.names)}
    assert {sheet.title for sheet in seen.examples} <= {*DISEASES, NO_FINDING}
    assert len(seen.examples) > 5
    for sheet in seen.examples:
        names = [picture.name for picture in sheet.pictures]
        assert set(names) <= set(seen.balance.splits.train)
        assert len({of[name] for name in names}) == len(names)
        for name in names:
            marks = seen.rows.labels[row[name]]
            has = (
                not marks.any() if sheet.title == NO_FINDING else marks[DISEASES.index(sheet.title)]
            )
            assert has


def test_a_table_alone_is_enough_also_gzipped(
    xrays: Path, seen: Exploration, tmp_path: Path
) -> None:
    import gzip

    packed = tmp_path / "labels.csv.gz"
    packed.write_bytes(gzip.compress((xrays / TABLE).read_bytes()))
    for path in (xrays / TABLE, packed):
        found = look(path)
        assert found.labels.prevalences == seen.labels.prevalences
        assert found.checks is None
        assert found.balance is not None
        assert seen.balance is not None
        assert found.balance.splits == seen.balance.splits
        assert explore_html(found, 1.7e9)


def test_spoilt_images_are_found(spoilt: tuple[Path, list[dict[str, str]]]) -> None:
    folder, rows = spoilt
    black, turned, inverted, broken, original, copy = (file_of(folder, row) for row in rows[:6])
    Image.fromarray(nearly_black()).save(black)
    upright = np.asarray(Image.open(turned))
    Image.fromarray(np.ascontiguousarray(np.rot90(upright, 2))).save(turned)
    Image.fromarray(255 - np.asarray(Image.open(inverted))).save(inverted)
    broken.write_bytes(broken.read_bytes()[:200])
    shutil.copyfile(original, copy)
    rows[4]["Patient ID"], rows[5]["Patient ID"] = "7001", "7002"
    rows[4]["Finding Labels"], rows[5]["Finding Labels"] = "Mass", "Hernia"
    write(folder / TABLE, rows)
    found = look(folder)
    said = text(found)
    assert re.search(rf"1 image nearly black.*{black.name}", said)
    assert re.search(rf"1 image that looks turned by 180°.*{turned.name}", said)
    assert re.search(rf"1 image that looks inverted.*{inverted.name}", said)
    assert re.search(rf"1 image that cannot be read.*{broken.name}", said)
    assert f"{original.name} = {copy.name}" in text(found, SERIOUS)
    assert "1 picture under several patients: 2 images look the same" in said
    assert "1 picture with different labels on its copies" in said
    assert {sheet.title for sheet in found.flagged} == {
        "one picture, several patients", "turned by 180°", "inverted", "nearly black",
    }  # fmt: skip
    rows[5]["Patient ID"] = "7001"
    write(folder / TABLE, rows)
    again = text(look(folder))
    assert "1 picture more than once within a patient: 1 copy to spare" in again
    assert "several patients" not in again
    assert len(found.rows.names) == len(found.rows.extra["Patient Age"]) == 79


def test_a_test_list_that_tears_a_patient_apart_is_a_caution(
    spoilt: tuple[Path, list[dict[str, str]]], tmp_path: Path
) -> None:
    folder, rows = spoilt
    rows[0]["Patient ID"] = rows[1]["Patient ID"] = "7001"
    write(folder / TABLE, rows)
    listed = tmp_path / "test_list.txt"
    listed.write_text("\n".join(row["Image Index"] for row in rows[1:4]))
    found = look(folder / TABLE, test_list=str(listed))
    assert found.balance is None
    serious = text(found, SERIOUS)
    assert "patient" in serious.partition("across parts")[0]
    assert "7001" in serious
    assert "No search would start" not in serious
    assert "None can be made" in explore_html(found, 1.7e9)


def test_what_the_table_gives_away(spoilt: tuple[Path, list[dict[str, str]]]) -> None:
    folder, rows = spoilt
    for place, row in enumerate(rows):
        row["Finding Labels"] = "Edema" if place % 2 else "No Finding"
        row["View Position"] = "AP" if place % 2 else "PA"
        row["Patient ID"] = str(place // 4)
    rows[0]["Patient Age"], rows[8]["Patient Age"] = "411", "155Y"
    rows[0]["Patient Gender"], rows[1]["Patient Gender"] = "M", "F"
    rows[4]["Finding Labels"] = "Hernia"
    said = text(look(write(folder / "labels.csv", rows)))
    assert "2 images with an age that cannot be (below 0 or above 110)" in said
    assert f"{rows[0]['Image Index']}: 411" in said
    assert "listed as both M and F" in said
    assert "Edema by view (1.00)" in said
    assert "Positives of fewer than 5 patients: Hernia (1)" in said
    assert "No positives at all: Atelectasis" in said


def test_a_table_without_patients_is_serious(tmp_path: Path) -> None:
    rows = [
        {"image": f"scan{n}.png", **{d: str(int(n % 14 == i)) for i, d in enumerate(DISEASES)}}
        for n in range(60)
    ]
    found = look(write(tmp_path / "table.csv", rows))
    assert "Every image counts as a patient of its own" in text(found, SERIOUS)
    assert (found.people.age, found.people.sex, found.people.view) == (None, None, None)
    assert "no column of age, sex or view" in explore_html(found, 1.7e9)


@pytest.mark.parametrize("patients", [1, 2])
def test_too_few_patients_for_a_search_are_a_caution_and_no_error(
    spoilt: tuple[Path, list[dict[str, str]]], patients: int
) -> None:
    folder, rows = spoilt
    for place, row in enumerate(rows):
        row["Patient ID"] = str(place % patients)
    found = look(write(folder / "labels.csv", rows))
    assert "No search would start" in text(found, SERIOUS)
    assert explore_html(found, 1.7e9)


def test_a_folder_may_be_called_phantom(
    xrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "phantom").symlink_to(xrays, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    found = look(Path("phantom"), labels=str(xrays / TABLE))
    assert found.balance is not None


def test_wrong_options_are_named_all_at_once(xrays: Path) -> None:
    with pytest.raises(InputError) as error:
        look(xrays / TABLE, labels=str(xrays / TABLE), test_share=7, frame=8, seed=-5)
    said = "\n".join(error.value.problems)
    assert len(error.value.problems) == 4
    for part in ("--test-share 7", "--labels", "--frame 8", "--seed -5"):
        assert part in said


def test_the_page_asks_for_nothing_and_escapes_what_it_shows(
    spoilt: tuple[Path, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "/* plotly.js */")
    folder, rows = spoilt
    evil = "<img src=x onerror=alert(1)>"
    for place, row in enumerate(rows):
        row["View Position"] = evil if place % 2 else "PA"
        row["Patient Gender"] = evil
    for place in (0, 1):
        rows[place]["Patient ID"] = evil
        shutil.copyfile(file_of(folder, rows[2]), file_of(folder, rows[place]))
    write(folder / TABLE, rows)
    found = look(folder)
    html = explore_html(found, 1.7e9)
    assert evil.lower() not in html.lower()
    sources = re.findall(r'src="([^"]*)"', html)
    assert len(sources) == sum(len(s.pictures) for s in (*found.examples, *found.flagged))
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "default-src 'none'" in html
    assert "http" not in re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL).replace(
        "http-equiv", ""
    )
    for section in (
        "cautions",
        "labels",
        "together",
        "combinations",
        "people",
        "split",
        "examples",
        "notes",
    ):
        assert f'<section id="{section}">' in html


def test_the_command_writes_the_page_and_says_what_to_look_at(
    run: Run, spoilt: tuple[Path, list[dict[str, str]]], tmp_path: Path
) -> None:
    folder, rows = spoilt
    out = tmp_path / "new" / "page.html"
    Image.fromarray(nearly_black()).save(file_of(folder, rows[0]))
    Image.fromarray(np.zeros((48, 48), np.uint8)).save(file_of(folder, rows[1]))
    deep = np.asarray(Image.open(file_of(folder, rows[2]))).astype(float) * 4095 / 255
    Image.fromarray(deep.astype(np.uint16)).save(file_of(folder, rows[2]))
    code, said, err = run("eda", folder, "--out", out, "--seed", 3, "--cache", tmp_path / "cache")
    assert code == 0
    assert str(out) in said
    assert "1 image nearly black" in err
    assert "1 image that cannot be read, left out everywhere" in err
    assert "note: 1 of 80 images hold values of fewer bits" in err
    assert f"{file_of(folder, rows[1]).name}: blank" in unescape(out.read_text())
    assert "seed 3" in out.read_text()
    assert list((tmp_path / "cache").iterdir())
    code, _, err = run("eda", folder, "--out", tmp_path)
    assert (code, "name a file, such as" in err) == (2, True)
    code, _, err = run("eda", folder, "--out", folder / TABLE / "page.html")
    assert (code, "cannot be written to" in err) == (2, True)
    code, _, err = run("eda", tmp_path / "gone", "--out", out)
    assert (code, "no such folder" in err) == (2, True)
    code, _, err = run("eda", file_of(folder, rows[1]), "--out", out)
    assert (code, "Traceback" in err) == (2, False)
