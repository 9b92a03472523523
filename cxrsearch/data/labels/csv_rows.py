"""Text and CSV files as rows, with every way they can be broken told in one message."""

from __future__ import annotations

import csv
import gzip
import io
import stat
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cxrsearch.data.errors import ImageError
from cxrsearch.data.files import remote_problem, shorten
from cxrsearch.data.formats import opened
from cxrsearch.errors import InputError

MOST_TABLE_BYTES = 256 << 20
"""A table has no more, unpacked: that of PadChest, with 160,000 reports, has 100 million."""
FREE_BYTES, MOST_TIMES = 4 << 20, 40
"""Beyond the first, no table unpacks to more than so many times its packed size."""
MOST_COLUMNS = 10_000
FIRST_CHARACTERS = 1 << 17
"""Of a file, that its kind is told by."""
FEWEST_BEFORE_CUT = 100
"""A short row behind fewer is a mistake, behind more the end of a file that was cut off."""
_CUT = "{path}, line {line}: the last row is cut off, and left out: the file is not whole"
MOST_CUT_LINES = 10
"""A row that a file's end cuts off has no more lines; where more are lost, a quote is missing."""
PACKED_TABLES = {
    b"PK\x03\x04": "a ZIP archive or an Excel file",
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ\0": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
}
"""How files begin that hold tables which are not read."""


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file, plain or gzipped, without a byte order mark.

    Raises:
        InputError: where it is missing, unreadable, not text, or empty.
    """
    return lines_of(read_text(path))


def lines_of(text: str) -> list[str]:
    """The lines of a text, with their ends."""
    # Not splitlines: it also breaks at marks that may stand inside a cell.
    return list(io.StringIO(text, newline=""))


def read_text(path: Path) -> str:
    """A UTF-8 text file, plain or gzipped, without a byte order mark.

    Raises:
        InputError: where it is missing, unreadable, not text, or empty.
    """
    try:
        text = _unpacked(path).decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(
            f"{path}: a damaged or truncated gzip file; restore it from a copy"
        ) from None
    except OSError as error:
        why = error.strerror or error
        remote = remote_problem(path) if isinstance(error, FileNotFoundError) else None
        raise InputError(
            remote or f"{path}: cannot be read ({why}); check its place and rights"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: not UTF-8 text (byte {error.start:,}); save it as CSV in UTF-8"
        ) from None
    if not text.strip():
        raise InputError(f"{path}: the file is empty; restore it, or name another one")
    if "\0" in text:
        raise InputError(f"{path}: not a text file; save it as CSV in UTF-8")
    return text


def _unpacked(path: Path) -> bytes:
    """What ``path`` holds, unpacked where it is gzipped, but never more than a table can be.

    Raises:
        InputError: where it is too much, or packed in another way.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{path}: not a regular file; name a CSV file")
    packed = path.stat().st_size
    if packed > MOST_TABLE_BYTES:
        raise InputError(f"{path}: {packed:,} bytes; a table has {MOST_TABLE_BYTES:,} at most")
    data = path.read_bytes()
    for start, name in PACKED_TABLES.items():
        if data.startswith(start):
            raise InputError(f"{path}: {name}; unpack it, and save it as CSV (or .csv.gz) in UTF-8")
    if not data.startswith(b"\x1f\x8b"):
        return data
    most = min(MOST_TABLE_BYTES, max(FREE_BYTES, MOST_TIMES * packed))
    with gzip.open(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise InputError(
            f"{path}: its {packed:,} bytes unpack to more than {most:,}, which is no table of "
            "labels; where it is one, unpack it, and take out what is not needed"
        )
    return data


def first_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the first whole rows: a folder may hold large CSV files of other kinds.

    Raises:
        InputError: where they cannot be read.
    """
    try:
        with opened(path) as file:
            whole = gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else file
            text = io.TextIOWrapper(whole, "utf-8-sig", newline="").read(FIRST_CHARACTERS)
    except (OSError, ImageError, EOFError, zlib.error, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read as text") from None
    lines = lines_of(text)
    if len(text) == FIRST_CHARACTERS and len(lines) > 1:
        lines.pop()
    rows: list[list[str]] = []
    reader = csv.reader(lines, delimiter=separator_of(lines))
    with suppress(csv.Error):
        rows += (row for row in reader if any(cell.strip() for cell in row))
    header = trimmed(rows.pop(0)) if rows else []
    return header, [row for row in rows if len(row) >= len(header)]


def separator_of(lines: Sequence[str]) -> str:
    """Comma, semicolon or tab, whichever the header has most of."""
    first = next((line for line in lines if line.strip()), "")
    return max(",;\t", key=first.count)


def trimmed(header: list[str]) -> list[str]:
    """``header`` without the empty cells at its end, of a comma at the end of every line."""
    while header and not header[-1].strip():
        header.pop()
    return header


class CsvRows(NamedTuple):
    """The rows of a CSV file, each with the number of the line it ends on."""

    header: list[str]
    lines: list[int]
    cells: list[list[str]]
    notes: tuple[str, ...]


def read_rows(path: Path, text: str) -> CsvRows:
    """Header, and rows with their line numbers, of the ``text`` of a CSV file.

    Commas, semicolons or tabs separate the cells, whichever the header has most of. Blank
    lines are skipped; no row is shorter than the header or says anything beyond it. Where the
    file ends in the midst of a quoted cell, it was cut off: that row is left out, with a note.

    Raises:
        InputError: with the lines that are no CSV.
    """
    lines = lines_of(text)
    separator = separator_of(lines)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    header: list[str] = []
    numbers: list[int] = []
    cells: list[list[str]] = []
    notes: tuple[str, ...] = ()
    before = 0
    try:
        for row in reader:
            before = reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = row
                continue
            numbers.append(before)
            cells.append(row)
    except csv.Error as error:
        cut = reader.line_num == len(lines) and len(lines) - before <= MOST_CUT_LINES
        if not cells or not cut or "end of data" not in str(error):
            raise InputError(f"{path}, line {reader.line_num}: not a CSV file ({error})") from None
        notes = (_CUT.format(path=path, line=before + 1),)
    check_header(path, trimmed(header), len(cells))
    wrong = [
        (line, len(row))
        for line, row in zip(numbers, cells, strict=True)
        if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :])
    ]
    if len(wrong) == 1 and len(cells) > FEWEST_BEFORE_CUT and len(cells[-1]) < len(header):
        line, _ = wrong.pop()
        notes = (_CUT.format(path=path, line=line),)
        numbers.pop()
        cells.pop()
    if wrong:
        raise InputError(
            shorten(
                f"{path}, line {line}: {found} cells where the header has {len(header)}"
                for line, found in wrong
            )
        )
    return CsvRows(header, numbers, cells, notes)


def check_header(path: Path, header: Sequence[str], rows: int) -> None:
    """Refuse a table of too many columns, or without a row.

    Raises:
        InputError: naming what is wrong.
    """
    if len(header) > MOST_COLUMNS:
        raise InputError(
            f"{path}: {len(header):,} columns; {MOST_COLUMNS:,} are read at most. Is it a table?"
        )
    if not rows:
        raise InputError(f"{path}: a header, but no rows; write one row an image")
