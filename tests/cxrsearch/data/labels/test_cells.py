from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsearch.data.labels import cells as module
from cxrsearch.data.labels.cells import Cells, TextColumn, first_cells, forget, read_cells
from cxrsearch.errors import InputError


def text_of(rows: Sequence[Sequence[str]], end: str = "\n") -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator=end).writerows(rows)
    return buffer.getvalue()


def read_by_both(path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Cells, Cells]:
    found = []
    for fewest in (0, 1 << 60):
        monkeypatch.setattr(module, "FEWEST_FAST", fewest)
        forget()
        found.append(read_cells(path))
    return found[0], found[1]


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=6)
            | st.text('a",\n ', max_size=5),
            min_size=2,
            max_size=2,
        ),
        min_size=1,
        max_size=8,
    ),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_both_readers_give_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], end: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "cells.csv"
    path.write_bytes(text_of([["a", "b"], *rows, ["x", "y"]], end).encode())
    with pytest.MonkeyPatch.context() as patch:
        fast, slow = read_by_both(path, patch)
    wanted = [row for row in rows if any(cell.strip() for cell in row)]
    wanted.append(["x", "y"])
    for cells in (fast, slow):
        assert cells.header == ["a", "b"]
        columns = [column.cells().tolist() for column in cells.columns]
        assert [list(row) for row in zip(*columns, strict=True)] == wanted
    assert [fast.where(row) for row in range(len(fast))] == [
        slow.where(row) for row in range(len(slow))
    ]


@settings(max_examples=200, deadline=None)
@given(text=st.text('a1",;\n\r\t ', max_size=40))
def test_whatever_a_file_says_both_readers_agree(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any_cells.csv"
    path.write_bytes(("a,b\n" + text).encode())
    said = []
    for fewest in (0, 1 << 60):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "FEWEST_FAST", fewest)
            forget()
            try:
                found = read_cells(path)
                said.append([found.header, [c.cells().tolist() for c in found.columns]])
            except InputError as error:
                said.append([error.problems])
    assert said[0] == said[1]


def test_a_plain_file_goes_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text_of([["a", "b"], *[[str(i), "x, y"] for i in range(20_000)]]))
    monkeypatch.setattr(module, "read_rows", None)
    found = read_cells(path)
    assert len(found) == 20_000
    assert found.columns[1].texts == ["x, y"]
    assert found.columns[0].list()[-1] == "19999"


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    assert read_cells(path) is read_cells(path)
    path.write_text("a,b\n1,2\n3,4\n")
    assert len(read_cells(path)) == 2


def test_the_last_row_of_a_file_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    for end in ("100", '100,"half a cell', '100,"two\nlines'):
        path.write_text("a,b\n" + "".join(f"{i},x\n" for i in range(101)) + end)
        found = read_cells(path)
        assert len(found) == 101
        assert "line 103: the last row is cut off" in found.notes[0]
    path.write_text('a,b\n1,"x\n' + "".join(f"{i},x\n" for i in range(101)))
    with pytest.raises(InputError, match="not a CSV file"):
        read_cells(path)


def test_a_column_of_some_rows_counts_only_these() -> None:
    column = TextColumn.of(["x", "y ", "x", "y", "z"])
    assert column.counted() == {"x": 2, "y": 2, "z": 1}
    some = column.taking(np.array([3, 0]))
    assert some.list() == ["y", "x"]
    assert some.counted() == {"x": 1, "y": 1}


def test_the_first_rows_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,2\n" * 100_000 + '3,"broken')
    assert 10_000 < len(first_cells(path)) < 100_000
