"""Augmented copies as files: what is in them, and what a kill or another call does to them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.read import read_dataset
from cxrsearch.data.request import DataRequest
from cxrsearch.data.splits import make_splits
from cxrsearch.errors import InputError
from cxrsearch.learn.augment.trivial import OPERATIONS
from cxrsearch.systems.augment import command as augmenting
from cxrsearch.systems.augment import copying
from cxrsearch.systems.augment.command import CopiesWanted, augment
from cxrsearch.writing import alone

Run = Callable[..., tuple[int, str, str]]
ROWS = (
    ("00000001_000.png", "Cardiomegaly|Effusion", "1"),
    ("00000001_001.png", "No Finding", "1"),
    ("00000002_000.png", "Hernia", "2"),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three X-rays of two patients, 30 high and 20 wide."""
    folder = tmp_path / "source"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, _, _ in ROWS:
        Image.fromarray(rng.integers(0, 256, (30, 20), np.uint8)).save(folder / "images" / name)
    lines = [",".join((*row, "F")) for row in ROWS]
    head = "Image Index,Finding Labels,Patient ID,Patient Gender"
    (folder / "Data_Entry_2017.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder


def wanted(source: Path, out: Path, seed: int = 0, **more: Any) -> CopiesWanted:
    return CopiesWanted(DataRequest(data=str(source), seed=seed), out, **more)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_copies_have_labels_patient_and_size_of_their_image(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = augment(wanted(source, out, copies=4))
    assert (found.images, found.copies, found.fresh) == (3, 12, 12)
    data = read_dataset(out)
    assert len(data.names) == 12
    assert data.unlabelled == ()
    original = read_dataset(source)
    for row, name in enumerate(data.names):
        of = original.names.index(name.split("_aug")[0] + ".png")
        assert data.patients[row] == original.patients[of]
        assert data.labels[row].tolist() == original.labels[of].tolist()
        with Image.open(out / "images" / name) as picture:
            assert (picture.size, picture.mode) == ((20, 30), "L")
    assert data.extra["Patient Gender"].tolist() == ["F"] * 12


def test_a_folder_may_be_called_phantom(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.rename(tmp_path / "phantom")
    monkeypatch.chdir(tmp_path)
    table = str(Path("phantom", "Data_Entry_2017.csv"))
    request = DataRequest(data="phantom", labels=table)
    assert augment(CopiesWanted(request, tmp_path / "out", copies=1)).images == 3


def test_what_happened_to_each_copy_is_recorded(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    augment(wanted(source, out, copies=2, ranges={"horizontal_flip": True}, seed=3))
    rows = list(csv.DictReader((out / "augmentation.csv").open()))
    assert {row["flip_columns"] for row in rows} == {"0", "1"}
    for row in rows:
        before = np.asarray(Image.open(source / "images" / row["image"]))
        after = np.asarray(Image.open(out / row["file"]))
        expected = before[:, ::-1] if row["flip_columns"] == "1" else before
        np.testing.assert_array_equal(after, expected)
        assert float(row["rotation"]) == 0


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    augment(wanted(source, whole, copies=3))
    real, written = copying.write_bytes, []

    def die_at_the_fifth(path: Path, data: bytes) -> None:
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(path)
        real(path, data)

    monkeypatch.setattr(augmenting, "detect_cpus", lambda: 1)
    monkeypatch.setattr(copying, "write_bytes", die_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        augment(wanted(source, cut, copies=3))
    monkeypatch.undo()
    assert not (cut / "Data_Entry_2017.csv").exists()
    torn = cut / "images" / ".x.png.abc.tmp"
    torn.write_bytes(b"half")
    times = {path: path.stat().st_mtime_ns for path in written}
    found = augment(wanted(source, cut, copies=3))
    assert found.fresh == 5
    assert {path: path.stat().st_mtime_ns for path in written} == times
    assert contents(cut) == contents(whole)


def test_a_second_call_writes_nothing(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    augment(wanted(source, out, copies=2))
    times = {path: path.stat().st_mtime_ns for path in out.rglob("[!.]*")}
    assert augment(wanted(source, out, copies=2)).fresh == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("[!.]*")} == times


def test_two_runs_do_not_write_to_one_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with alone(out), pytest.raises(InputError, match="another process is at work there"):
        augment(wanted(source, out, copies=1))


def test_other_settings_or_data_are_refused_with_what_differs(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    augment(wanted(source, out, copies=2))
    before = contents(out)
    others = {"rotation": 5.0, "horizontal_flip": True}
    with pytest.raises(InputError) as refused:
        augment(wanted(source, out, copies=3, ranges={**wanted(source, out).ranges, **others}))
    assert [part for part in ("copies is 2", "rotation is 10.0 there, not 5.0")
            if part not in str(refused.value)] == []  # fmt: skip
    assert "horizontal_flip" not in str(refused.value)
    table = source / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("Hernia", "Mass"))
    with pytest.raises(InputError, match="labels or patients of the 3"):
        augment(wanted(source, out, copies=2))
    assert contents(out) == before


def test_what_cannot_work_is_said_at_once_before_anything_is_written(source: Path) -> None:
    inside = source / "copies"
    with pytest.raises(InputError) as refused:
        augment(wanted(source, inside, copies=0, ranges={"rotation": 400.0, "zoom": -1.0}))
    text = str(refused.value)
    assert [part for part in ("--copies 0", "--rotation", "--zoom", "beside it")
            if part not in text] == []  # fmt: skip
    assert not inside.exists()
    with pytest.raises(InputError, match="every range is 0"):
        augment(wanted(source, source.parent / "out", ranges={"rotation": 0.0}))


def test_a_folder_of_something_else_is_left_alone(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        augment(wanted(source, out))
    assert contents(out) == {"chapter.txt": b"mine"}


def test_a_disk_without_room_is_said_first(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(augmenting.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(InputError, match="copies need about"):
        augment(wanted(source, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_how_images_were_read_is_said_once(source: Path, tmp_path: Path) -> None:
    for file in sorted(source.rglob("*.png"))[:2]:
        deep = np.asarray(Image.open(file)).astype(float) * 4095 / 255
        Image.fromarray(deep.astype(np.uint16)).save(file)
    written = augment(wanted(source, tmp_path / "out", copies=1))
    assert sum("hold values of fewer bits" in note for note in written.notes) == 1


def test_an_unreadable_image_is_left_out_and_named(source: Path, tmp_path: Path) -> None:
    (source / "images" / "00000002_000.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    found = augment(wanted(source, tmp_path / "out", copies=2))
    assert (found.images, found.copies) == (2, 4)
    assert any("00000002_000.png" in note for note in found.notes)
    assert len(read_dataset(tmp_path / "out").names) == 4


def test_sixteen_bit_files_give_the_copies_of_their_eight_bit_ones(
    source: Path, tmp_path: Path
) -> None:
    augment(wanted(source, tmp_path / "eight", copies=1))
    for path in (source / "images").iterdir():
        pixels = np.asarray(Image.open(path)).astype(np.uint16) * 257
        Image.fromarray(pixels).save(path)
    augment(wanted(source, tmp_path / "sixteen", copies=1))
    for path in (tmp_path / "eight" / "images").iterdir():
        assert path.read_bytes() == (tmp_path / "sixteen" / "images" / path.name).read_bytes()


def test_the_page_shows_every_range_and_warns_of_the_heart(source: Path, tmp_path: Path) -> None:
    table = source / "Data_Entry_2017.csv"
    (source / "images" / "<b>.png").write_bytes((source / "images" / ROWS[0][0]).read_bytes())
    table.write_text(table.read_text().replace("00000001_000.png", "<b>.png"))
    augment(wanted(source, tmp_path / "out", copies=1))
    page = (tmp_path / "out" / "extremes.html").read_text()
    for part in ("rotation", "-10°", "10°", "5%", "flipped", "all together", "situs inversus"):
        assert part in page
    assert "<b>.png" not in page
    assert "http:" not in page
    assert "https:" not in page


def test_operations_and_what_is_erased_are_in_copies_in_their_table_and_on_the_page(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    ranges = {"trivial": 1.0, "erasing": 1.0}
    augment(wanted(source, out, copies=12, ranges=ranges))
    page = (out / "extremes.html").read_text()
    for part in ("trivial: gamma", "50%", "150%", "trivial: noise", "2% of the area", "erasing"):
        assert part in page
    for name, operation in OPERATIONS.items():
        assert (f"trivial: {name.replace('_', ' ')}" in page) == bool(operation.fields)
    rows = list(csv.DictReader((out / "augmentation.csv").read_text().splitlines()))
    assert all(float(row["erased_height"]) > 0 for row in rows)
    assert len({row["noise"] for row in rows} | {row["gamma"] for row in rows}) > 2
    again = tmp_path / "again"
    augment(wanted(source, again, copies=12, ranges=ranges))
    images = {name: data for name, data in contents(out).items() if name.endswith(".png")}
    assert images == {n: d for n, d in contents(again).items() if n.endswith(".png")}
    assert len(set(images.values())) == len(images) == 36


def test_a_folder_of_before_there_was_a_gene_is_gone_on_with(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    augment(wanted(source, out, copies=2))
    settings = json.loads((out / "copies.json").read_text())
    del settings["digest"], settings["ranges"]["erasing"], settings["ranges"]["trivial"]
    (out / "copies.json").write_text(json.dumps(settings))
    assert augment(wanted(source, out, copies=2)).fresh == 0
    with pytest.raises(InputError, match=r"erasing is 0.0 there, not 0.5"):
        augment(wanted(source, out, ranges={**wanted(source, out).ranges, "erasing": 0.5}))


def test_copies_of_an_image_share_its_part(source: Path, tmp_path: Path) -> None:
    augment(wanted(source, tmp_path / "out", copies=3))
    data = read_dataset(tmp_path / "out")
    splits = make_splits(
        data.names, data.labels, data.patients, seed=0, test_share=0.0, val_share=0.5
    )
    assert {name[:8] for name in splits.train} & {name[:8] for name in splits.val} == set()


def test_the_command_writes_copies_and_says_what_to_look_at(
    source: Path, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code, text, _ = run("augment", source, out, "--copies", 2, "--no-horizontal-flip")
    assert code == 0
    assert "6 copies of 3 images" in text
    assert "heart" not in text
    assert "extremes.html" in text
    assert json.loads((out / "copies.json").read_text())["ranges"]["horizontal_flip"] is False
    assert "heart on the other side" in run("augment", source, tmp_path / "b", "--copies", 1)[1]
    code, _, err = run("augment", source, out, "--copies", 5)
    assert (code, "copies is 2 there, not 5" in err) == (2, True)
