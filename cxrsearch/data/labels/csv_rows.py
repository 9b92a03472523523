"""Text and CSV files as rows, with every way they can be broken told in one message."""

from __future__ import annotations

import csv
import gzip
import io
import stat
import zlib
from pathlib import Path

from cxrsearch.data.errors import ImageError
from cxrsearch.data.files import remote_problem, shorten
from cxrsearch.data.formats import opened
from cxrsearch.errors import InputError

MOST_TABLE_BYTES = 256 << 20
"""A table has no more, unpacked: that of PadChest, with 160,000 reports, has 100 million."""
FREE_BYTES, MOST_TIMES = 4 << 20, 40
"""Beyond the first, no table unpacks to more than so many times its packed size."""
MOST_COLUMNS = 10_000
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
    # Not splitlines: it also breaks at marks that may stand inside a cell.
    return list(io.StringIO(text, newline=""))


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


def _head(path: Path) -> list[str]:
    """The first line only: a folder may hold large CSV files of other kinds."""
    try:
        with opened(path) as file:
            whole = gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else file
            return [io.TextIOWrapper(whole, "utf-8-sig", newline="").readline(1 << 16)]
    except (OSError, ImageError, EOFError, zlib.error, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read as text") from None


def read_rows(
    path: Path, header_only: bool = False
) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Header, and rows with their line numbers, of a CSV file.

    Commas, semicolons or tabs separate the cells, whichever the header has most of. Blank
    lines are skipped; no row is shorter than the header or says anything beyond it.

    Raises:
        InputError: as `read_lines`, and with the lines that are no CSV.
    """
    lines = _head(path) if header_only else read_lines(path)
    first = next((line for line in lines if line.strip()), "")
    separator = max(",;\t", key=first.count)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        header = next((row for row in reader if any(cell.strip() for cell in row)), [])
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: not a CSV file ({error})") from None
    while header and not header[-1].strip():  # a comma at the end of every line
        header.pop()
    if len(header) > MOST_COLUMNS:
        raise InputError(
            f"{path}: {len(header):,} columns; {MOST_COLUMNS:,} are read at most. Is it a table?"
        )
    if header_only:
        return header, []
    if not rows:
        raise InputError(f"{path}: a header, but no rows; write one row an image")
    wrong = [
        (line, len(row))
        for line, row in rows
        if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :])
    ]
    if wrong:
        raise InputError(
            shorten(
                f"{path}, line {line}: {cells} cells where the header has {len(header)}"
                for line, cells in wrong
            )
        )
    return header, rows
