"""Files that a user names: nothing that is not ours is written over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.learn.submission import read_sample
from cxrsearch.outputs import PAGE, TABLE, check_file
from cxrsearch.show.page import write_page

Run = Callable[..., tuple[int, str, str]]


def test_ours_is_written_again_and_an_empty_file_may_be_filled(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.touch()
    for _ in range(2):
        check_file(page, "eda.html", PAGE)
        write_page(page, "<!DOCTYPE html>")
    check_file(tmp_path / "new" / "page.html", "eda.html", PAGE)
    assert not (tmp_path / "new").exists()


def test_a_page_does_not_take_the_place_of_a_label_table(xrays: Path, run: Run) -> None:
    table = xrays / "Data_Entry_2017.csv"
    before = table.read_bytes()
    code, out, err = run("eda", xrays, "--out", table)
    assert (code, out, "would be lost" in err) == (2, "", True)
    with pytest.raises(InputError, match="would be lost"):
        write_page(table, "<!doctype html>")
    assert table.read_bytes() == before


def test_predictions_do_not_take_the_place_of_anything_else(xrays: Path, tmp_path: Path) -> None:
    sample = tmp_path / "sample.csv"
    sample.write_text('"Image Index",Mass\n00000001_000,0\n')
    for file in (xrays / "Data_Entry_2017.csv", xrays / "images"):
        with pytest.raises(InputError, match=r"name (another|a) file"):
            check_file(file, "predictions.csv", TABLE)
    (tmp_path / "00000001_000.png").touch()
    start = read_sample(sample, tmp_path).start
    assert start == b"Image Index,Mass\n"
    with pytest.raises(InputError, match="would be lost"):
        check_file(xrays / "Data_Entry_2017.csv", "predictions.csv", start)
