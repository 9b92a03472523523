"""What reading images came to is told once with the count, also by a cache of before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.decoding import leave_out_bad
from cxrsearch.data.notes import Note, note, note_depth, noted, reasons, summary
from cxrsearch.data.pixels import cache as caches
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.pixels.cache_decode import Decoding
from cxrsearch.data.read import read_dataset


def film(seed: int, bits: int) -> Image.Image:
    y, x = np.mgrid[:40, :40] / 40
    grey = 0.5 + 0.45 * np.sin(6 * x + seed) * np.cos(4 * y)
    values = np.rint(grey * (2**bits - 1))
    return Image.fromarray(values.astype(np.uint8 if bits == 8 else np.uint16))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 images: 10 hold 12 bits of 16, 3 hold 10, and 2 are blank."""
    place = tmp_path / "xrays"
    place.mkdir()
    rows = ["Image Index,Finding Labels,Patient ID"]
    for number in range(40):
        name = f"{number:02}.png"
        bits = 12 if number < 10 else 10 if number < 13 else 8
        image = Image.new("L", (40, 40), 9) if number in (20, 30) else film(number, bits)
        image.save(place / name)
        rows.append(f"{name},{'Mass' if number % 2 else 'Hernia'},{number}")
    (place / "Data_Entry_2017.csv").write_text("\n".join(rows) + "\n")
    return place


def test_notes_belong_to_the_image_that_is_read() -> None:
    note(Note.IRREGULAR)  # nobody asks
    with noted() as outer:
        note_depth(12, 16)
        with noted() as inner:
            note(Note.NO_WINDOW)
        note_depth(16, 16)
    assert (outer.number, inner.number) == (12 - 7, Note.NO_WINDOW)


def test_one_sentence_a_kind_with_the_count() -> None:
    found = [("a", 5), ("b", 5), ("c", 3), ("d", 0), ("e", Note.IRREGULAR | Note.POLARITY)]
    bits, polarity, irregular = summary(found, 400)
    assert bits.startswith("3 of 400 images hold values of fewer bits")
    assert "(1 as 10-bit, 2 as 12-bit), such as 'a'; brightness compares only" in bits
    assert polarity.startswith("1 of 400 images say twice")
    assert irregular.startswith("1 of 400 images depart from the DICOM standard")
    assert summary([("a", 0)], 1) == []


def test_reasons_are_told_once_with_the_count() -> None:
    bad = [*((f"{n}.dcm", "no decoder") for n in range(1200)), ("x.png", "empty"), ("y.png", "cut")]
    told = ["1,200 images, such as 0.dcm: no decoder", "x.png: empty", "y.png: cut"]
    assert reasons(bad, 3) == told
    assert reasons(bad, 1) == [told[0], "and 2 more"]


def told_by(folder: Path, root: Path) -> list[str]:
    dataset = read_dataset(folder)
    return leave_out_bad(dataset, open_cache(dataset, 16, root, workers=1))[1]


def test_a_cache_says_it_each_time_it_is_opened(folder: Path, tmp_path: Path) -> None:
    first = told_by(folder, tmp_path / "cache")
    assert first[0].startswith("2 unreadable images are left out: 2 images, such as 20.png: blank")
    assert first[1].startswith("13 of 40 images")
    assert "(3 as 10-bit, 10 as 12-bit), such as '00.png'" in first[1]
    assert told_by(folder, tmp_path / "cache") == first


def test_a_build_that_was_cut_off_forgets_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = told_by(folder, tmp_path / "whole")
    monkeypatch.setattr("cxrsearch.data.pixels.cache_plan.ROWS_TOGETHER", 8)
    finish = Decoding._finish
    calls = iter(range(99))

    def cut(self: Decoding, *args: object) -> None:
        finish(self, *args)  # type: ignore[arg-type]
        if next(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Decoding, "_finish", cut)
        with pytest.raises(KeyboardInterrupt):
            told_by(folder, tmp_path / "cache")
    decoded: list[str] = []
    source = type(read_dataset(folder).source)
    decode = source.decode
    monkeypatch.setattr(
        source, "decode", lambda self, name, size: decoded.append(name) or decode(self, name, size)
    )
    assert told_by(folder, tmp_path / "cache") == whole
    assert 0 < len(decoded) < 40


def test_rows_of_another_cache_bring_their_notes(folder: Path, tmp_path: Path) -> None:
    dataset = read_dataset(folder)
    part = replace(dataset, names=dataset.names[:15])
    open_cache(part, 16, tmp_path / "cache")
    assert told_by(folder, tmp_path / "cache") == told_by(folder, tmp_path / "other")


def test_images_that_are_asked_about_alone(folder: Path, tmp_path: Path) -> None:
    cache = open_cache(read_dataset(folder), 16, tmp_path / "cache")
    assert cache.notes(["39.png"]) == []
    assert cache.notes(["11.png", "39.png"])[0].startswith("1 of 2 images")


@pytest.fixture
def earlier(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache of the version before, when images were read in another way."""
    with monkeypatch.context() as patch:
        patch.setattr(caches, "CACHE_FORMAT", 1)
        yield open_cache(read_dataset(folder), 16, tmp_path / "cache").path


def test_a_cache_that_was_read_in_another_way_is_left_and_one_is_built(
    earlier: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "CACHE_FORMAT", 2)
    now = open_cache(read_dataset(folder), 16, tmp_path / "cache").path
    assert now != earlier
    assert caches.load_cache(earlier).frame == 16
