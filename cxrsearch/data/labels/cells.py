"""A CSV file by columns: each text that a column has is held once, and read once.

A table of 224,000 rows has few texts a column, so what they mean is worked out for those alone.
Files whose quotes and line ends leave no doubt are taken apart by Arrow's reader, a few times as
fast; all others, and whatever it refuses, by Python's, which says what is wrong and where.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from pathlib import Path

import numpy as np

from cxrsearch.errors import InputError

from .csv_rows import (
    MOST_COLUMNS,
    check_header,
    first_rows,
    read_rows,
    read_text,
    separator_of,
    trimmed,
)

FEWEST_FAST = 1 << 16
"""Bytes of a file below which Arrow's reader is not worth its import."""


@dataclass(frozen=True, eq=False)
class TextColumn:
    """One column of a table.

    Args:
        texts: the texts in it, each once.
        codes: ``(n,)`` int32, which of them each row has.
    """

    texts: list[str]
    codes: np.ndarray

    @classmethod
    def of(cls, cells: Sequence[str]) -> TextColumn:
        """A column with one text a row."""
        places: dict[str, int] = {}
        codes = np.fromiter(
            (places.setdefault(cell, len(places)) for cell in cells), np.int32, len(cells)
        )
        return cls(list(places), codes)

    @cached_property
    def used(self) -> np.ndarray:
        """``(texts,)`` in how many rows each text stands: none, where rows were left out."""
        return np.bincount(self.codes, minlength=len(self.texts))

    def cells(self) -> np.ndarray:
        """``(n,)`` of str objects, a row each."""
        # Not of fixed width: one long cell would make all of them as long.
        texts = np.empty(len(self.texts), object)
        texts[:] = self.texts
        return np.asarray(texts[self.codes])

    def list(self) -> list[str]:
        """The cells without the space around them."""
        texts = [text.strip() for text in self.texts]
        return [texts[code] for code in self.codes.tolist()]

    def counted(self) -> dict[str, int]:
        """The texts that rows have, without the space around them, and how many have each."""
        counts: dict[str, int] = {}
        for text, count in zip(self.texts, self.used.tolist(), strict=True):
            if count:
                counts[text.strip()] = counts.get(text.strip(), 0) + count
        return counts

    def where(self, told: Callable[[str], bool]) -> np.ndarray:
        """``(n,)`` bool: the rows whose text, without the space around it, is ``told``."""
        hits = np.fromiter((told(text.strip()) for text in self.texts), bool, len(self.texts))
        return np.asarray(hits[self.codes])

    def taking(self, rows: np.ndarray) -> TextColumn:
        """The rows ``rows`` alone, in that order."""
        return TextColumn(self.texts, self.codes[rows])


@dataclass(frozen=True, eq=False)
class Cells:
    """A table by columns.

    Args:
        path: the file; for images without a table their folder.
        header: names of the columns.
        columns: one a name.
        rows: ``(n,)`` which rows of the file these are.
        notes: what was left out.
        places: finds the line of every row of the file, for messages.
    """

    path: Path
    header: list[str]
    columns: list[TextColumn]
    rows: np.ndarray
    notes: tuple[str, ...] = ()
    places: Callable[[], list[str]] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def taking(self, rows: np.ndarray) -> Cells:
        """The rows ``rows`` alone, in that order."""
        columns = [column.taking(rows) for column in self.columns]
        return Cells(self.path, self.header, columns, self.rows[rows], self.notes, self.places)

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        return self.place(int(self.rows[row]))

    def place(self, row: int) -> str:
        """The place of a row of the file, for messages."""
        return str(self.path) if self.places is None else self._places[row]

    @cached_property
    def _places(self) -> list[str]:
        return self.places() if self.places else []


def of_files(folder: Path, columns: dict[str, Sequence[str]]) -> Cells:
    """What is told from the paths of images, as if it were a table."""
    every = [TextColumn.of(cells) for cells in columns.values()]
    rows = np.arange(len(every[0].codes))
    return Cells(folder, list(columns), every, rows)


def first_cells(path: Path) -> Cells:
    """The first rows of a CSV file, as far as they can be read.

    Raises:
        InputError: where none can.
    """
    header, rows = first_rows(path)
    if not header or len(header) > MOST_COLUMNS:
        raise InputError(f"{path}: no table")
    columns = [TextColumn.of([row[place] for row in rows]) for place in range(len(header))]
    return Cells(path, header, columns, np.arange(len(rows)))


def read_cells(path: Path) -> Cells:
    """A CSV file by columns. See `csv_rows.read_rows` for what it may be.

    Raises:
        InputError: with what is wrong, by line.
    """
    try:
        state = path.stat()
    except OSError:
        return _read(path)
    return _remembered(path, (state.st_mtime_ns, state.st_size, state.st_ino))


@lru_cache(maxsize=3)  # recognised, then read: MIMIC-CXR's three tables at most
def _remembered(path: Path, state: tuple[int, int, int]) -> Cells:
    return _read(path)


def forget() -> None:
    """Let go of the tables that were read last."""
    _remembered.cache_clear()


def _read(path: Path) -> Cells:
    text = read_text(path)
    fast = _fast(path, text) if len(text) >= FEWEST_FAST else None
    if fast is not None:
        return fast
    rows = read_rows(path, text)
    columns = [TextColumn.of(cells) for cells in zip(*rows.cells, strict=False)]
    columns = columns[: len(rows.header)]
    found = np.arange(len(rows.cells))
    return Cells(path, rows.header, columns, found, rows.notes, partial(_lines_of, path))


def one_below_the_other(every: Sequence[Cells], name: str, values: Sequence[str]) -> Cells:
    """Tables of one kind as one, with a column that says which a row is from.

    Args:
        every: the tables.
        name: of that column; it is left out where the tables have one of that name.
        values: what it says of each table.

    Raises:
        InputError: where their columns differ.
    """
    first = every[0]
    problems = [
        f"{cells.path}: its columns are not those of {first.path}; name one table, or make them "
        "the same"
        for cells in every[1:]
        if cells.header != first.header
    ]
    if problems:
        raise InputError(problems)
    header = list(first.header)
    columns = [_stacked([cells.columns[place] for cells in every]) for place in range(len(header))]
    if name not in header:
        header.append(name)
        codes = np.repeat(np.arange(len(every), dtype=np.int32), [len(cells) for cells in every])
        columns.append(TextColumn(list(values), codes))
    notes = tuple(note for cells in every for note in cells.notes)
    rows = np.arange(sum(map(len, every)))
    return Cells(first.path, header, columns, rows, notes, partial(_every_place, list(every)))


def _stacked(columns: Sequence[TextColumn]) -> TextColumn:
    places: dict[str, int] = {}
    codes = []
    for column in columns:
        own = [places.setdefault(text, len(places)) for text in column.texts]
        codes.append(np.array(own, np.int32)[column.codes])
    return TextColumn(list(places), np.concatenate(codes))


def _every_place(every: Sequence[Cells]) -> list[str]:
    return [cells.where(row) for cells in every for row in range(len(cells))]


def _fast(path: Path, text: str) -> Cells | None:
    """The table by Arrow's reader; None where Python's must look at it."""
    import pyarrow as pa  # not needed by most of what needs this module, and slow to import
    import pyarrow.csv

    start = len(text) - len(text.lstrip("\r\n"))
    end = text.find("\n", start)
    head, data = text[start:end], text[end + 1 :].encode()
    separator = separator_of([head])
    width = head.count(separator) + 1
    if (
        end < 0
        or not data
        or width > MOST_COLUMNS
        or '"' in head
        or not _regular(data, separator.encode())
    ):
        return None
    header = trimmed(next(csv.reader([head], delimiter=separator)))
    kind = pa.dictionary(pa.int32(), pa.string())
    try:
        table = pyarrow.csv.read_csv(
            io.BytesIO(data),
            pyarrow.csv.ReadOptions(
                use_threads=False, column_names=[str(place) for place in range(width)]
            ),
            pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=b'"' in data),
            pyarrow.csv.ConvertOptions(
                column_types={str(place): kind for place in range(width)},
                strings_can_be_null=False,
            ),
        ).unify_dictionaries()
    except pa.ArrowException:
        return None
    columns = []
    for column in table.columns:
        codes = np.concatenate([chunk.indices.to_numpy() for chunk in column.chunks] or [[]])
        columns.append(TextColumn(column.chunk(0).dictionary.to_pylist(), codes))
    blank = np.logical_and.reduce([~column.where(bool) for column in columns])
    beyond = columns[len(header) :]
    if any(column.where(bool).any() for column in beyond):
        return None
    columns = columns[: len(header)]
    if blank.any():
        columns = [column.taking(np.flatnonzero(~blank)) for column in columns]
    kept = len(blank) - int(blank.sum())
    check_header(path, header, kept)
    # Only a message asks for lines: all are then read again, by Python's reader.
    return Cells(path, header, columns, np.arange(kept), places=partial(_lines_of, path))


def _lines_of(path: Path) -> list[str]:
    return [f"{path}, line {line}" for line in read_rows(path, read_text(path)).lines]


def _regular(data: bytes, separator: bytes) -> bool:
    """Whether every reader of CSV takes ``data`` apart in the same way."""
    if data.count(b"\r") != data.count(b"\r\n"):
        return False
    if b'"' not in data:
        return True
    octets = np.frombuffer(b"\n" + data + b"\n", np.uint8)
    quotes = np.flatnonzero(octets == ord('"'))
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    ends = np.frombuffer(separator + b'\r\n"', np.uint8)
    before, after = octets[opening - 1], octets[closing + 1]
    # Two quotes within a quoted cell stand for one: they close it and open it again.
    again = closing[:-1] + 1 == opening[1:]
    reopened = np.concatenate([[False], again])
    continued = np.concatenate([again, [False]])
    starts = ends[:-1]
    return bool(
        (reopened | np.isin(before, starts)).all() and (continued | np.isin(after, starts)).all()
    )
