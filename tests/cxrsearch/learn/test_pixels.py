"""Prepared pixels: the same on every way, made once, shared, and never an error."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.learn import pixels as module
from cxrsearch.learn.augment.frames import prepare
from cxrsearch.learn.data import Pixels
from cxrsearch.learn.pixels import Shelf

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 40, 40), dtype=np.uint8)
ROWS = np.array([7, 0, 3, 11, 5])
SIZE = len(ROWS) * 32 * 32


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "prepared")


def test_every_way_gives_the_same_pixels(
    study: Any, recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, positions, pieces = study.data.val, np.array([4, 0, 4, 2]), [slice(0, 3), slice(3, 4)]
    plain = replace(study.data, shelf=None)

    def drawn(data: Any) -> torch.Tensor:
        pixels = Pixels(data, rows, recipe, CPU)
        batches = list(pixels.batches(positions, pieces))
        assert [index.tolist() for _, index in batches] == [[4, 0, 4], [2]]
        return torch.cat([batch for batch, _ in batches])

    for crop, size, shared in ((1024, 32, 1), (700, 32, 1), (700, 40, 1), (1024, 40, 0)):
        recipe = replace(recipe, crop=crop, input_size=size)
        wanted = prepare(study.data.images, rows[positions], crop, size)
        made = len(list(study.data.shelf.folder.glob("*.u8")))
        for _ in range(2):
            assert torch.equal(drawn(study.data), wanted)
        assert len(list(study.data.shelf.folder.glob("*.u8"))) == made + shared
        assert torch.equal(drawn(plain), wanted)
        assert len(study.data.held) == shared, "whole frames come from the cache, uncopied"
        with monkeypatch.context() as patch:
            patch.setattr("cxrsearch.learn.data.MEMORY_SHARE", 0.0)
            assert torch.equal(drawn(plain), wanted)
        with monkeypatch.context() as patch:
            patch.setattr("cxrsearch.learn.data.HELD_BYTES", 0)
            study.data.held.clear()
            assert torch.equal(drawn(plain), wanted)
            assert not study.data.held


def test_a_file_is_made_part_by_part_and_found_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.folder.parent.mkdir(exist_ok=True)
    monkeypatch.setattr(module, "_PART", 2 * 32 * 32)
    first = shelf.find(IMAGES, ROWS, 700, 32)
    assert first is not None
    assert torch.equal(first, prepare(IMAGES, ROWS, 700, 32))
    monkeypatch.setattr(module, "_write", None)
    again = shelf.find(IMAGES, ROWS, 700, "32x32")
    assert again is not None
    assert torch.equal(again, first)
    assert not list(shelf.folder.glob(".*"))


def test_rows_window_and_size_tell_files_apart(shelf: Shelf) -> None:
    for rows, crop, size in (
        (ROWS, 700, 32),
        (ROWS[::-1], 700, 32),
        (ROWS, 800, 32),
        (ROWS, 700, 36),
    ):
        found = shelf.find(IMAGES, rows, crop, size)
        assert found is not None
        assert torch.equal(found, prepare(IMAGES, rows, crop, size))
    assert len(list(shelf.folder.glob("*.u8"))) == 4


def test_what_was_used_longest_ago_makes_room_and_stays_with_who_has_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "prepared", limit=2 * SIZE)
    one, two = shelf.find(IMAGES, ROWS, 600, 32), shelf.find(IMAGES, ROWS, 700, 32)
    for age, file in enumerate(sorted(shelf.folder.glob("*.u8"), key=os.path.getmtime)):
        os.utime(file, (age, age))
    shelf.find(IMAGES, ROWS, 600, 32)  # used now
    three = shelf.find(IMAGES, ROWS, 800, 32)
    left = list(shelf.folder.iterdir())
    assert len([f for f in left if f.suffix == ".u8"]) == 2
    assert len([f for f in left if f.suffix == ".lock"]) == 2
    assert one is not None
    assert two is not None
    assert three is not None
    assert torch.equal(two, prepare(IMAGES, ROWS, 700, 32)), "deleted, but still mapped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_write", None)
        assert shelf.find(IMAGES, ROWS, 600, 32) is not None
    assert shelf.find(IMAGES, np.arange(12), 700, 32) is None, "more than the shelf may hold"


def test_there_are_never_more_files_than_a_folder_should_hold(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHELF_FILES", 3)
    for crop in range(500, 1000, 50):
        assert shelf.find(IMAGES, ROWS, crop, 32) is not None
    assert len(list(shelf.folder.glob("*.u8"))) == 3


def test_without_room_or_right_to_write_there_is_no_file(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
        assert shelf.find(IMAGES, ROWS, 700, 32) is None
    with monkeypatch.context() as patch:
        patch.setattr(module.os, "posix_fallocate", full)
        assert shelf.find(IMAGES, ROWS, 700, 32) is None
    assert [f.suffix for f in shelf.folder.iterdir()] == [".lock"]
    free = shutil.disk_usage(tmp_path).free
    assert replace(shelf, spare=free).find(IMAGES, ROWS, 700, 32) is None
    (tmp_path / "file").write_text("")
    assert Shelf(tmp_path / "file").find(IMAGES, ROWS, 700, 32) is None
    assert Shelf(tmp_path / "gone" / "prepared").find(IMAGES, ROWS, 700, 32) is None
    assert shelf.find(IMAGES, ROWS, 700, 32) is not None


def test_a_file_that_was_cut_short_is_made_anew(shelf: Shelf) -> None:
    shelf.find(IMAGES, ROWS, 700, 32)
    (file,) = shelf.folder.glob("*.u8")
    os.truncate(file, 100)
    found = shelf.find(IMAGES, ROWS, 700, 32)
    assert found is not None
    assert torch.equal(found, prepare(IMAGES, ROWS, 700, 32))


def test_a_file_in_which_one_bit_was_damaged_is_made_anew(shelf: Shelf) -> None:
    wanted = prepare(IMAGES, ROWS, 700, 32)
    shelf.find(IMAGES, ROWS, 700, 32)
    (file,) = shelf.folder.glob("*.u8")
    whole = file.read_bytes()
    for place in (0, len(whole) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        file.write_bytes(damaged)
        found = shelf.find(IMAGES, ROWS, 700, 32)
        assert found is not None
        assert torch.equal(found, wanted)
        assert file.read_bytes() == whole
    file.write_bytes(whole[:-4])  # as an earlier version left it
    found = shelf.find(IMAGES, ROWS, 700, 32)
    assert found is not None
    assert file.read_bytes() == whole


def test_one_that_waits_too_long_goes_without(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf.find(IMAGES, ROWS, 700, 32)
    (file,) = shelf.folder.glob("*.u8")
    file.unlink()
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.0)
    with module.FileLock(file.with_suffix(".lock")):
        assert shelf.find(IMAGES, ROWS, 700, 32) is None


SCRIPT = """
import sys, time, numpy as np, psutil, torch
from pathlib import Path
from cxrsearch.learn import pixels as module
from cxrsearch.learn.pixels import Shelf
folder, mode = Path(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
"""


def start(folder: Path, body: str, mode: str = "") -> subprocess.Popen[str]:
    """A process of its own that runs ``body`` after `SCRIPT`."""
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + textwrap.dedent(body), str(folder), mode],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


MAKE = """
    images = np.random.default_rng(0).integers(0, 256, (12, 40, 40), dtype=np.uint8)
    write = module._write
    def slow(path, *given):
        with (folder / "made").open("a") as log:
            log.write("x")
        write(path, *given)
        time.sleep(0.5)
    module._write = slow
    print("ready", flush=True)
    input()
    print(int(Shelf(folder / "prepared").find(images, np.array([7, 0, 3, 11, 5]), 700, 32).sum()))
"""


def test_two_processes_at_once_make_a_file_once(tmp_path: Path) -> None:
    both = [start(tmp_path, MAKE) for _ in range(2)]
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:  # both before either is waited for
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    sums = {process.communicate(timeout=60)[0] for process in both}
    assert sums == {f"{int(prepare(IMAGES, ROWS, 700, 32).sum())}\n"}
    assert (tmp_path / "made").read_text() == "x"


KILLED = """
    images = np.zeros((12, 40, 40), np.uint8)
    def never(*_):
        print("half", flush=True)
        time.sleep(600)
    module.prepare = never
    Shelf(folder / "prepared").find(images, np.array([7, 0, 3, 11, 5]), int(mode), 32)
"""


def test_who_is_killed_in_the_making_leaves_neither_lock_nor_litter(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "prepared")
    for crop in (700, 800):
        process = start(tmp_path, KILLED, str(crop))
        assert process.stdout is not None
        assert process.stdout.readline() == "half\n"
        assert len(list(shelf.folder.glob(".*.tmp"))) >= 1
        process.send_signal(signal.SIGKILL)
        process.communicate()
    begin = time.monotonic()
    found = shelf.find(IMAGES, ROWS, 700, 32)
    assert found is not None
    assert torch.equal(found, prepare(IMAGES, ROWS, 700, 32))
    assert time.monotonic() - begin < module.WAIT_SECONDS / 4, "it must not wait for the dead"
    assert not list(shelf.folder.glob(".*.tmp"))


USED = """
    count, side = 6000, 96
    if mode == "make":
        images = np.memmap(folder / "pixels", np.uint8, "w+", shape=(count, side, side))
        images[:] = 7
    images = np.memmap(folder / "pixels", np.uint8, "r", shape=(count, side, side))
    rows, memory = np.arange(count), psutil.Process()
    shelf = Shelf(folder / "prepared")
    order = torch.randperm(count)
    def epoch(pixels):
        return sum(int(pixels.index_select(0, part).sum()) for part in order.split(50))
    shelf.find(images, rows[:50], 700, 64)
    epoch(torch.zeros(count, 64, 64, dtype=torch.uint8))
    before = memory.memory_full_info().uss
    pixels = shelf.find(images, rows, 700, 64)
    epoch(pixels)
    print("ready", flush=True)
    input()
    print(memory.memory_full_info().uss - before, images.nbytes, pixels.numel())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts pages as Linux does")
def test_a_worker_that_draws_shared_pixels_keeps_almost_nothing_of_its_own(tmp_path: Path) -> None:
    maker = start(tmp_path, USED, "make")
    assert maker.stdout is not None
    maker.stdout.readline()  # holds its map: its pages count as shared
    worker = start(tmp_path, USED)
    assert worker.stdout is not None
    worker.stdout.readline()
    own, cache, prepared = map(int, worker.communicate("\n", timeout=60)[0].split())
    maker.communicate("\n", timeout=60)
    assert prepared > 0.4 * cache
    assert own < 0.2 * prepared, "a copy would be all of it, and malloc keeps some megabytes"
