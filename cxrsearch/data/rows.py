"""Text and CSV files as rows, with every way they can be broken told in one message."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Callable
from pathlib import Path

from cxrsearch.errors import InputError

from .files import shorten


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file, plain or gzipped, without a byte order mark.

    Raises:
        InputError: where it is missing, unreadable, not text, or empty.
    """
    try:
        data = path.read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise InputError(
            f"{path}: a damaged or truncated gzip file; restore it from a copy"
        ) from None
    except OSError as error:
        why = error.strerror or error
        raise InputError(f"{path}: cannot be read ({why}); check its place and rights") from None
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


def _head(path: Path) -> list[str]:
    """The first line only: a folder may hold large CSV files of other kinds."""
    opener: Callable[..., io.TextIOWrapper] = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            return [file.readline(1 << 16)]
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
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
    if header_only:
        return header, []
    if not rows:
        raise InputError(f"{path}: a header, but no rows; write one row an image")
    short = [
        f"{path}, line {line}: {len(row)} cells where the header has {len(header)}"
        for line, row in rows
        if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :])
    ]
    if short:
        raise InputError(shorten(short))
    return header, rows
