"""Which files are taken for the very file of another."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cxrsearch.data import contents
from cxrsearch.data.contents import without_copies
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.read import FolderSource, read_dataset


def test_of_files_of_one_size_and_middle_each_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def file(name: str, first: int) -> Path:
        path = tmp_path / name
        path.write_bytes(
            bytes([first]) + bytes(3 * contents.SAMPLED_BYTES)
        )  # black but for a corner
        return path

    labelled = [file(f"a{i}.dcm", i) for i in range(20)]
    own = {f"b{i}.dcm": file(f"b{i}.dcm", i) for i in range(18, 38)}
    opened: list[Path] = []
    original = contents.opened
    monkeypatch.setattr(contents, "opened", lambda p: opened.append(p) or original(p))
    monkeypatch.setattr(contents, "file_content", lambda p: opened.append(p) or p.read_bytes())
    kept, notes = without_copies(tuple(own), own, labelled)
    assert kept == tuple(own)[2:]
    assert notes == ("2 images without a label are the very file of a labelled one, and left out",)
    assert max(opened.count(path) for path in {*opened}) == 2  # its middle, and then all of it


def test_a_pipe_is_nobodys_copy_and_waited_for_by_nobody(tmp_path: Path, xrays: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty.png").touch()
    own = {"pipe.png": tmp_path / "pipe.png"}
    assert without_copies(("pipe.png",), own, [tmp_path / "empty.png", tmp_path / "pipe.png"]) == (
        ("pipe.png",),
        (),
    )
    read = read_dataset(xrays)
    data = Dataset(
        ("pipe.png",), read.labels[:1], read.patients[:1], (), FolderSource(tmp_path, own)
    )
    cache = open_cache(data, 8, tmp_path / "cache")
    assert cache.bad == {"pipe.png": "cannot be read (a pipe, not a file)"}
    assert cache.contents == {}
