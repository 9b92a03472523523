"""Damaged tables of boxes are read, or refused in a sentence, soon and in little memory."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cxrsearch.data.labels.boxes import BOX_HEADER, read_boxes
from cxrsearch.errors import InputError

TABLE = BOX_HEADER.encode() + b"\n" + b"".join(
    b"%08d_000.png,Mass,%d.5,20,100,1e2,,,\n" % (n, 10 * n) for n in range(30)
)  # fmt: skip
PIECES = (
    b",", b'"', b"\n", b"\r", b"\0", b"\xff\xfe", b"\xe9", b"1e999", b"NaN", b"-0", b"9" * 5000,
    "\u2028".encode(), b"x" * 140_000, b"," * 20_000, b"\n" * 20_000, b"image", b"[x,y,w,h]",
)  # fmt: skip


def test_a_damaged_table_of_boxes_is_read_or_refused_in_a_sentence(
    tmp_path: Path, cases: Callable[[int], range], guarded: Callable[..., Any]
) -> None:
    path = tmp_path / "boxes.csv"
    for case in cases(40):
        rng = random.Random(case)
        data = bytearray(TABLE)
        for _ in range(rng.choice((1, 1, 2, 5, 30))):
            at = rng.randrange(len(data) + 1)
            end = at + rng.choice((0, 0, 1, 4, 300))
            data[at:end] = rng.choice((rng.choice(PIECES), bytes([rng.randrange(256)]), b""))
        path.write_bytes(bytes(data))
        guarded(case, lambda: read_boxes(path), InputError)
