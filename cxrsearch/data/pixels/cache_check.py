"""Whether a cache's rows are still what was written: one checksum a row.

They are looked at when a command opens the cache, before its workers map it: one reading from
start to end, by all cores, of what the first epoch reads next anyway.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cxrsearch.data.dataset import CONTENT_BYTES

from .cache_plan import (
    CACHE_DONE,
    CACHE_PIXELS,
    CONTENTS,
    ROW_SUM_BYTES,
    ROWS_TOGETHER,
    SUMS,
    CachePlan,
    row_sum,
)


def damaged_rows(plan: CachePlan, workers: int) -> list[int]:
    """The rows of a complete cache whose checksum does not fit: all, where a file has no fit size.

    Args:
        plan: the cache.
        workers: threads.
    """
    count = len(plan.names)
    pixels = _rows(plan.folder / CACHE_PIXELS, count, plan.row_bytes)
    contents = _rows(plan.folder / CONTENTS, count, CONTENT_BYTES)
    marks, sums = (
        _rows(plan.folder / CACHE_DONE, count, 1),
        _rows(plan.folder / SUMS, count, ROW_SUM_BYTES),
    )
    if pixels is None or contents is None or marks is None or sums is None:
        return list(range(count))

    def wrong(start: int) -> list[int]:
        return [
            row
            for row in range(start, min(start + ROWS_TOGETHER, count))
            if sums[row].tobytes()
            != row_sum(plan, row, pixels[row].data, contents[row].tobytes(), int(marks[row, 0]))
        ]

    with ThreadPoolExecutor(workers, "check") as pool:  # checksums let go of Python's lock
        return [row for part in pool.map(wrong, range(0, count, ROWS_TOGETHER)) for row in part]


def _rows(path: Path, count: int, width: int) -> np.ndarray | None:
    """``(count, width)`` uint8, mapped; None where the file has gone, or is of another size."""
    try:
        if path.stat().st_size == count * width:
            return np.memmap(path, np.uint8, "r", shape=(count, width))
    except FileNotFoundError:
        pass
    return None
