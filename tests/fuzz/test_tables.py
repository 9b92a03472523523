"""Damaged label tables are read, or refused in a sentence, soon and in little memory."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.data.about import read_people
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.tables import read_table
from cxrsearch.errors import InputError
from cxrsearch.model.submission import read_sample
from cxrsearch.report.against import read_reader

NIH = (
    b"Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position\n"
    + b"".join(
        b"%08d_000.png,%s,%d,%d,%s,PA\n"
        % (n, (b"Mass|Hernia", b"No Finding")[n % 2], n, n, b"MF"[:1])
        for n in range(30)
    )
)
ONE_HOT = ",".join(["id", *DISEASES]).encode() + b"\n" + b"".join(
    b"a/%d.png,%s\n" % (n, b",".join(b"%d" % ((n + i) % 2) for i in range(14))) for n in range(30)
)  # fmt: skip
PIECES = (
    b",", b";", b"\t", b'"', b'""', b"\n", b"\r", b"\r\n", b"\0", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\xe9",
    b"\xed\xb2\x80", b"|", b"1e999", b"NaN", b"-0", b"9" * 5000, b"'", b"=1+1", b" " * 999,
    "\u2028".encode(), b"x" * 140_000, b"," * 20_000, b"\n" * 20_000, b"../../", b"No Finding|Mass",
)  # fmt: skip


def damaged(rng: random.Random) -> bytes:
    """A table with a few places changed, in some encoding, perhaps packed."""
    data = bytearray(rng.choice((NIH, ONE_HOT)))
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        at = rng.randrange(len(data) + 1)
        end = at + rng.choice((0, 0, 1, 4, 300))
        data[at:end] = rng.choice((rng.choice(PIECES), bytes([rng.randrange(256)]), b""))
    changed = bytes(data)
    if rng.random() < 0.1:
        changed = changed.decode("latin-1").encode(rng.choice(("utf-16", "utf-16-le", "utf-32")))
    if rng.random() < 0.1:
        changed = gzip.compress(changed)[: rng.choice((None, 40, 200))]
    return changed


def test_a_damaged_table_of_a_reader_is_read_or_refused_in_a_sentence(
    tmp_path: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path, names = tmp_path / "reader.csv", [f"a/{n}.png" for n in range(30)]
    for number in cases(100):
        path.write_bytes(damaged(random.Random(f"reader {number}")))
        ending = guarded(f"reader {number}", lambda: read_reader(path, names, DISEASES), InputError)
        if not ending.refused:
            scores = ending.value[0]
            assert scores.shape == (30, 14)
            assert ((scores >= 0) & (scores <= 1) | np.isnan(scores)).all()


def test_a_damaged_table_is_read_or_refused_in_a_sentence(
    tmp_path: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path, images = tmp_path / "labels.csv", tmp_path / "images"
    images.mkdir()
    (images / "1.png").write_bytes(b"")

    def read() -> None:
        table = read_table(path)
        assert len(table.images) == len(table.labels) == len(table.patients)
        read_people(table.extra)

    for number in cases(150):
        path.write_bytes(damaged(random.Random(number)))
        guarded(number, read, InputError)
        guarded(f"sample {number}", lambda: read_sample(path, images, DISEASES), InputError)


@pytest.mark.parametrize("column", [0, 2, 3, 4, 5], ids=["image", "patient", "age", "sex", "view"])
def test_one_long_cell_does_not_make_all_cells_long(
    tmp_path: Path, guarded: Callable[..., Any], column: int
) -> None:
    head, *_ = NIH.splitlines()
    rows = [[f"{n}.png", "Mass", str(n), "50", "M", "PA"] for n in range(20_000)]
    rows[7][column] = "x" * 120_000
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([head.decode(), *map(",".join, rows)]) + "\n")

    def read() -> None:
        read_people(read_table(path).extra)

    assert guarded("long", read, InputError).refused == (column in (0, 2))


def test_what_unpacks_to_too_much_is_refused_with_the_numbers(
    tmp_path: Path, guarded: Callable[..., Any]
) -> None:
    path = tmp_path / "labels.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(64):
            file.write(NIH[:80] + b"x" * (1 << 20))
    size = path.stat().st_size
    ending = guarded("bomb", lambda: read_table(path), InputError)
    assert f"its {size:,} bytes unpack to more than" in str(ending.error)


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"BZh9", b"\xfd7zXZ\0", b"\xd0\xcf\x11\xe0"])
def test_other_packings_are_named(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "labels.csv").write_bytes(start + b"\0" * 50)
    with pytest.raises(InputError, match="save it as CSV"):
        read_table(tmp_path / "labels.csv")


def test_a_million_columns_are_refused(tmp_path: Path, guarded: Callable[..., Any]) -> None:
    (tmp_path / "labels.csv").write_bytes(
        b",".join(b"c%d" % n for n in range(1_000_000)) + b"\n1\n"
    )
    ending = guarded("wide", lambda: read_table(tmp_path / "labels.csv"), InputError)
    assert "1,000,000 columns" in str(ending.error)
