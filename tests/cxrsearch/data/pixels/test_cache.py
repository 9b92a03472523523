from __future__ import annotations

import errno
import hashlib
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import threadpoolctl
from PIL import Image

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.errors import ImageError
from cxrsearch.data.pixels import cache as cache_module
from cxrsearch.data.pixels import cache_build, cache_decode, cache_plan
from cxrsearch.data.pixels.cache import Cache, default_cache_root, open_cache
from cxrsearch.data.pixels.cache_decode import DecodingEstimate
from cxrsearch.data.read import FolderSource
from cxrsearch.errors import InputError

SIDE = 8


def level(name: str, stamp: str) -> int:
    return (int(name) * 7 + len(stamp) * 31) % 251 + 1


@dataclass
class Drawn:
    """Plain squares whose grey tells name and stamp, and a count of what was decoded."""

    stamps: dict[str, str] = field(default_factory=dict)
    bad: Mapping[str, Exception] = field(default_factory=dict)
    decoded: Counter[str] = field(default_factory=Counter)

    def stamp(self, name: str) -> str:
        return self.stamps.get(name, "")

    def decode(self, name: str, size: int) -> np.ndarray:
        self.decoded[name] += 1
        if name in self.bad:
            raise self.bad[name]
        return np.full((size, size), level(name, self.stamp(name)), np.uint8)


def dataset(source: Drawn, count: int = 20) -> Dataset:
    names = tuple(str(i) for i in range(count))
    return Dataset(
        names=names,
        labels=np.zeros((count, 14), np.uint8),
        patients=np.array(names),
        unlabelled=("100", "101"),
        source=source,
        label="drawn",
    )


def check(cache: Cache, source: Drawn) -> None:
    for row, name in enumerate(cache.names):
        expected = level(name, source.stamp(name)) if cache.ok[row] else 0
        assert (cache.images[row] == expected).all(), name


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_plan, "ROWS_TOGETHER", 4)


def test_rows_follow_the_names_and_are_decoded_once(tmp_path: Path) -> None:
    source = Drawn()
    seen: list[tuple[int, int]] = []
    cache = open_cache(dataset(source), SIDE, tmp_path, 3, lambda *step: seen.append(step))
    assert cache.images.shape == (20, SIDE, SIDE)
    assert cache.frame == SIDE
    assert cache.ok.all()
    assert cache.bad == {}
    check(cache, source)
    assert seen == sorted(seen)
    assert set(seen) >= {(n, 20) for n in range(0, 21, 4)}
    again = open_cache(dataset(source), SIDE, tmp_path)
    check(again, source)
    assert again.path == cache.path
    assert set(source.decoded.values()) == {1}


def test_pixels_cannot_be_written_through_the_cache(tmp_path: Path) -> None:
    cache = open_cache(dataset(Drawn()), SIDE, tmp_path)
    with pytest.raises(ValueError, match="read-only"):
        cache.images[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        cache.ok[0] = False


def test_a_pickled_cache_is_a_path(tmp_path: Path) -> None:
    source = Drawn()
    cache = open_cache(dataset(source, 200), SIDE, tmp_path)
    data = pickle.dumps(cache)
    assert len(data) < 400
    copy = pickle.loads(data)
    assert isinstance(copy.images, np.memmap)
    assert copy.names == cache.names
    check(copy, source)


def test_bad_images_are_named_and_the_others_kept(tmp_path: Path) -> None:
    source = Drawn(bad={"3": ImageError("truncated"), "7": KeyError("odd")})
    cache = open_cache(dataset(source), SIDE, tmp_path)
    assert cache.bad == {"3": "truncated", "7": "KeyError: 'odd'"}
    assert np.flatnonzero(~cache.ok).tolist() == [3, 7]
    check(cache, source)


def test_a_changed_file_is_decoded_alone_into_another_cache(tmp_path: Path) -> None:
    source = Drawn()
    before = open_cache(dataset(source), SIDE, tmp_path)
    content = (before.path / cache_plan.CACHE_PIXELS).read_bytes()
    source.decoded.clear()
    source.stamps = {"5": "changed", "11": "too"}
    after = open_cache(dataset(source), SIDE, tmp_path)
    assert source.decoded == Counter({"5": 1, "11": 1})
    check(after, source)
    assert after.path != before.path
    assert (before.path / cache_plan.CACHE_PIXELS).read_bytes() == content


def test_other_names_share_what_is_decoded(tmp_path: Path) -> None:
    source = Drawn()
    data = dataset(source)
    open_cache(data, SIDE, tmp_path)
    source.decoded.clear()
    cache = open_cache(data, SIDE, tmp_path, names=("19", "100", "2"))
    assert source.decoded == Counter({"100": 1})
    check(cache, source)
    assert open_cache(data, SIDE, tmp_path, names=data.unlabelled).names == ("100", "101")


def test_sides_do_not_mix(tmp_path: Path) -> None:
    source = Drawn()
    open_cache(dataset(source), SIDE, tmp_path)
    cache = open_cache(dataset(source), SIDE + 1, tmp_path)
    assert cache.images.shape[1:] == (SIDE + 1, SIDE + 1)
    check(cache, source)


def test_two_builders_at_once_decode_once(tmp_path: Path) -> None:
    class Slow(Drawn):
        def decode(self, name: str, size: int) -> np.ndarray:
            time.sleep(0.01)
            return super().decode(name, size)

    source = Slow()
    caches: list[Cache] = []
    threads = [
        threading.Thread(target=lambda: caches.append(open_cache(dataset(source), SIDE, tmp_path)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({cache.path for cache in caches}) == 1
    assert len(caches) == 4
    assert set(source.decoded.values()) == {1}
    check(caches[0], source)


BUILDER = """
import sys, time
import numpy as np
from pathlib import Path
from cxrsearch.data.pixels import cache_plan
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.dataset import Dataset

cache_plan.ROWS_TOGETHER = 4
root, pause = Path(sys.argv[1]), float(sys.argv[2])

class Source:
    def stamp(self, name):
        return ""
    def decode(self, name, size):
        with (root / "decoded.txt").open("a") as log:
            log.write(name + "\\n")
        # Who pauses never ends, however late its kill comes.
        time.sleep(600 if pause and int(name) >= 40 else pause)
        return np.full((size, size), int(name) * 7 % 251 + 1, np.uint8)

names = tuple(str(i) for i in range(60))
data = Dataset(names, np.zeros((60, 14), np.uint8), np.array(names), (), Source())
cache = open_cache(data, 8, root / "cache", 2, lambda done, total: print(done, flush=True))
print("complete", all((cache.images[i] == i * 7 % 251 + 1).all() for i in range(60)), flush=True)
"""


def builder(root: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(root), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_killed_build_goes_on_with_what_was_finished(tmp_path: Path) -> None:
    first = builder(tmp_path, 0.02)
    assert first.stdout is not None
    for line in first.stdout:
        if int(line) >= 24:
            first.send_signal(signal.SIGKILL)
            break
    first.stdout.close()
    first.wait()
    before = (tmp_path / "decoded.txt").read_text().split()
    second = builder(tmp_path, 0)
    out, _ = second.communicate(timeout=60)
    assert out.split()[-2:] == ["complete", "True"]
    assert int(out.split()[0]) >= 20  # what was done counts from the beginning
    names = (tmp_path / "decoded.txt").read_text().split()
    assert set(names) == {str(i) for i in range(60)}
    again = Counter(names) - Counter(set(names))
    assert 24 <= len(before) < 60
    assert sum(again.values()) <= 8  # at most the batch under way and the one not yet marked


def test_a_large_build_is_estimated_before_most_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_decode, "SAMPLE", 6)
    source = Drawn()
    told: list[tuple[DecodingEstimate, int]] = []

    def note(estimate: DecodingEstimate) -> None:
        told.append((estimate, len(source.decoded)))

    cache = open_cache(dataset(source, 60), SIDE, tmp_path, 1, on_estimate=note)
    ((estimate, decoded),) = told
    assert decoded == 7 == estimate.timed + 1
    assert (estimate.total, estimate.left, estimate.frame) == (60, 60, SIDE)
    assert estimate.size == 60 * SIDE * SIDE
    assert estimate.folder == cache.path
    assert 0 < estimate.seconds < 60
    assert set(source.decoded.values()) == {1}
    check(cache, source)


def test_the_estimate_is_of_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_decode, "SAMPLE", 4)
    source = Drawn(bad={"55": KeyboardInterrupt()})  # type: ignore[dict-item]
    data = dataset(source, 60)
    with pytest.raises(KeyboardInterrupt):
        open_cache(data, SIDE, tmp_path, 1)
    (done,) = tmp_path.glob(f"*/*/{cache_plan.CACHE_DONE}")
    before = done.read_bytes().count(1)
    done.write_bytes(b"\1" * 30 + b"\0" * 30)
    assert before >= 30
    source.bad = {}
    told: list[DecodingEstimate] = []
    open_cache(data, SIDE, tmp_path, 1, on_estimate=told.append)
    assert [(estimate.total, estimate.left) for estimate in told] == [(60, 30)]


def test_a_small_build_is_not_worth_an_estimate(tmp_path: Path) -> None:
    told: list[DecodingEstimate] = []
    open_cache(dataset(Drawn()), SIDE, tmp_path, 1, on_estimate=told.append)
    assert told == []


def test_blas_starts_no_threads_of_its_own_while_decoding(tmp_path: Path) -> None:
    class Counts(Drawn):
        threads: set[int] = set()  # noqa: RUF012

        def decode(self, name: str, size: int) -> np.ndarray:
            found = threadpoolctl.threadpool_info()
            self.threads |= {lib["num_threads"] for lib in found if lib["user_api"] == "blas"}
            return super().decode(name, size)

    with threadpoolctl.threadpool_limits(2, "blas"):
        open_cache(dataset(Counts(), 4), SIDE, tmp_path, 1)
    assert Counts.threads == {1}


def test_rows_taken_over_are_told_as_progress(tmp_path: Path) -> None:
    source = Drawn()
    open_cache(dataset(source), SIDE, tmp_path, 1)
    source.stamps = {"5": "changed"}
    seen: list[tuple[int, int]] = []
    open_cache(dataset(source), SIDE, tmp_path, 1, lambda *step: seen.append(step))
    assert seen[:2] == [(4, 20), (8, 20)]
    assert seen[-1] == (20, 20)


def test_a_builder_takes_over_from_a_killed_one_that_it_waited_for(tmp_path: Path) -> None:
    first = builder(tmp_path, 0.02)
    assert first.stdout is not None
    while int(first.stdout.readline()) < 8:
        continue
    second = builder(tmp_path, 0)
    assert second.stdout is not None
    assert int(second.stdout.readline()) >= 8  # waits, and shows the other's progress
    first.kill()
    first.stdout.close()
    first.wait()
    out, _ = second.communicate(timeout=60)
    assert out.split()[-2:] == ["complete", "True"]


def test_a_torn_row_is_never_taken_as_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*files_and_rows: object) -> None:
        raise KeyboardInterrupt

    source = Drawn()
    with monkeypatch.context() as patch:
        patch.setattr(cache_decode, "mark", stop)
        with pytest.raises(KeyboardInterrupt):
            open_cache(dataset(source), SIDE, tmp_path)
    (pixels,) = tmp_path.glob(f"*/*/{cache_plan.CACHE_PIXELS}")
    pixels.write_bytes(bytes(range(256)) * 5)
    check(open_cache(dataset(source), SIDE, tmp_path), source)


def test_an_unfinished_cache_of_changed_files_gives_its_rows_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Drawn(bad={"13": KeyboardInterrupt()})  # type: ignore[dict-item]
    with pytest.raises(KeyboardInterrupt):
        open_cache(dataset(source), SIDE, tmp_path, 1)
    (unfinished,) = (path for path in tmp_path.glob("*/*") if path.is_dir())
    fresh = Drawn(stamps={"0": "changed"})
    cache = open_cache(dataset(fresh), SIDE, tmp_path)
    assert set(fresh.decoded) == {"0", *map(str, range(12, 20))}
    check(cache, fresh)
    assert not unfinished.exists()


def test_too_little_disk_is_told_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Drawn()
    usage = SimpleNamespace(total=10**9, used=10**9, free=5_000)
    monkeypatch.setattr(cache_build.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError) as caught:
        open_cache(dataset(source), SIDE, tmp_path)
    (message,) = caught.value.problems
    need = 20 * SIDE * SIDE + cache_build.CACHE_SPARE
    for part in (f"{need:,} bytes", "5,000", "CXRSEARCH_CACHE", "--cache", "20 of side 8"):
        assert part in message
    assert not source.decoded


@pytest.mark.parametrize("call", ["pwrite", "posix_fallocate"])
def test_a_disk_that_fills_up_on_the_way_is_told_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*args: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    source = Drawn()
    with monkeypatch.context() as patch:
        patch.setattr(cache_build.os, call, full)
        with pytest.raises(InputError, match="no disk space"):
            open_cache(dataset(source), SIDE, tmp_path)
    check(open_cache(dataset(source), SIDE, tmp_path), source)


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        open_cache(dataset(Drawn()), SIDE, tmp_path / "file")


def test_a_damaged_or_missing_cache_is_told(tmp_path: Path) -> None:
    source = Drawn()
    cache = open_cache(dataset(source), SIDE, tmp_path)
    (cache.path / cache_plan.CACHE_PIXELS).write_bytes(b"short")
    with pytest.raises(InputError, match="delete that folder"):
        cache_module.load_cache(cache.path)
    with pytest.raises(InputError, match="is not there"):
        cache_module.load_cache(tmp_path / "none")


def test_nothing_to_decode_is_bad_input(tmp_path: Path) -> None:
    data = replace(dataset(Drawn()), unlabelled=())
    with pytest.raises(InputError, match="no cache of 0 images"):
        open_cache(data, SIDE, tmp_path, names=data.unlabelled)


def test_the_default_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXRSEARCH_CACHE", str(tmp_path / "c"))
    assert default_cache_root() == tmp_path / "c"
    monkeypatch.delenv("CXRSEARCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_cache_root().name == "cxrsearch"


def test_contents_stand_for_the_files(tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    for copy in ("b.png", "c.png"):
        shutil.copyfile(tmp_path / "a.png", tmp_path / copy)
    with (tmp_path / "c.png").open("ab") as file:
        file.write(b"\0")
    (tmp_path / "d.png").write_bytes(b"no picture")
    names = ("a.png", "b.png", "c.png", "d.png")
    source = FolderSource(tmp_path, {name: name for name in names})
    data = replace(dataset(Drawn(), 4), names=names, source=source)
    cache = open_cache(data, SIDE, tmp_path / "cache")
    assert set(cache.contents) == {"a.png", "b.png", "c.png"}, "not of what is no image"
    assert cache.contents["a.png"] == cache.contents["b.png"] != cache.contents["c.png"]
    whole = hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()
    assert cache.contents["a.png"] == whole[:16]
    os.utime(tmp_path / "a.png")
    touched = open_cache(data, SIDE, tmp_path / "cache")
    assert touched.path != cache.path
    assert touched.contents == cache.contents, "decoded or copied, and the same files"


def flips(path: Path, count: int) -> Iterator[bytes]:
    """``path`` with one bit flipped, in ``count`` places or in all; whole again at the end."""
    whole = path.read_bytes()
    places = range(len(whole) * 8)
    for bit in places[:: max(1, len(places) // count)]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)
    path.write_bytes(whole)


@pytest.mark.parametrize("name", ["pixels.u8", "contents.u8", "sums.u8", "done.u8",
                                  "index.json", "state.json"])  # fmt: skip
def test_one_bit_in_a_cache_changes_nothing(tmp_path: Path, name: str) -> None:
    """Not even an image that could not be read becomes a black one that could."""
    source = Drawn(bad={"3": ImageError("cut off")})
    first = open_cache(dataset(source, 6), SIDE, tmp_path, workers=1)
    wanted, contents, path = first.images.copy(), dict(first.contents), first.path
    for damaged in flips(path / name, 24):
        (path / name).write_bytes(damaged)
        cache = open_cache(dataset(source, 6), SIDE, tmp_path, workers=1)
        assert (cache.path, cache.names, dict(cache.bad)) == (path, first.names, {"3": "cut off"})
        assert np.array_equal(cache.images, wanted)
        assert dict(cache.contents) == contents


@pytest.mark.parametrize("name", ["pixels.u8", "contents.u8", "sums.u8", "done.u8",
                                  "index.json", "state.json"])  # fmt: skip
def test_nothing_damaged_is_copied_into_another_cache(tmp_path: Path, name: str) -> None:
    source = Drawn(bad={"3": ImageError("cut off")})
    first = open_cache(dataset(source, 6), SIDE, tmp_path, workers=1)
    clean = open_cache(dataset(source, 7), SIDE, tmp_path / "clean", workers=1)
    for damaged in flips(first.path / name, 16):
        (first.path / name).write_bytes(damaged)
        cache = open_cache(dataset(source, 7), SIDE, tmp_path, workers=1)
        assert np.array_equal(cache.images, clean.images)
        assert (dict(cache.bad), cache.contents) == (dict(clean.bad), clean.contents)
        shutil.rmtree(cache.path)


@pytest.mark.parametrize("size", [0, 5, -1])
@pytest.mark.parametrize("name", ["pixels.u8", "contents.u8", "sums.u8", "done.u8"])
def test_a_file_of_a_cache_that_was_cut_short_is_made_whole(
    tmp_path: Path, name: str, size: int
) -> None:
    first = open_cache(dataset(Drawn(), 6), SIDE, tmp_path)
    wanted, contents = first.images.copy(), dict(first.contents)
    path = first.path / name
    os.truncate(path, size % path.stat().st_size)
    cache = open_cache(dataset(Drawn(), 6), SIDE, tmp_path)
    assert np.array_equal(cache.images, wanted)
    assert dict(cache.contents) == contents


def test_damaged_images_alone_are_decoded_again_and_said(tmp_path: Path) -> None:
    cache = open_cache(dataset(Drawn()), SIDE, tmp_path)
    with (cache.path / cache_plan.CACHE_PIXELS).open("rb+") as file:
        for row in (3, 7):
            file.seek(row * SIDE * SIDE)
            file.write(bytes(SIDE * SIDE))
    source, said = Drawn(), list[str]()
    again = open_cache(dataset(source), SIDE, tmp_path, on_note=said.append)
    assert source.decoded == {"3": 1, "7": 1}
    assert [int(image[0, 0]) for image in again.images] == [level(n, "") for n in again.names]
    assert len(said) == 1
    assert "2 of 20 cached images were damaged" in said[0]
    assert said[0].endswith("decoded again: 3, 7")
    open_cache(dataset(source), SIDE, tmp_path, on_note=said.append)
    assert len(said) == 1, "once"


def test_a_damaged_cache_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = open_cache(dataset(Drawn()), SIDE, tmp_path)
    with (cache.path / cache_plan.CACHE_PIXELS).open("rb+") as file:
        file.write(b"\xff")

    def refuse(*args: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cache_module, "forget_rows", refuse)
    with pytest.raises(InputError, match="cannot be written"):
        open_cache(dataset(Drawn()), SIDE, tmp_path)
