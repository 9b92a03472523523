"""Find the image files below a folder and match them with the names of a label table."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cxrsearch.errors import InputError

from .errors import ImageError
from .formats import DICOM, HEAD_BYTES, SUFFIXES, UNREAD, opened, told_by

SHOWN = 10
"""At most this many problems of one kind are spelled out."""
NAMES_AS_EXAMPLES = 5
"""So many names are examples."""
IMAGE = "image"
SYSTEM = ("dicomdir", "thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r", "lockfile", "version")
"""Files that programs and systems lay beside images; a DICOMDIR is an index of them."""
COMPANIONS = (
    ".csv", ".csv.gz", ".csv.bz2", ".csv.xz", ".csv.zip", ".tsv", ".txt", ".text", ".md", ".rst",
    ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".log", ".html", ".htm",
    ".css", ".js", ".py", ".ipynb", ".sh", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".ods",
    ".svg", ".db", ".sqlite", ".lock", ".url", ".lnk", ".md5", ".sha256",
)  # fmt: skip
"""Suffixes of what lies beside images and holds none: not looked into, and not worth a word."""
_SUFFIX = re.compile(r"\.(?!\d+$)[^.]{1,5}$")  # not the last number of a UID
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")  # longer than a drive's letter
_WHOLE = "\0"  # no name of a file holds it


class Found(NamedTuple):
    """Image files: paths below the folder, with ``/``, sorted; and notes."""

    files: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """Which file belongs to which name.

    Args:
        files: name -> path below the folder, for labelled and unlabelled names.
        unlabelled: names (paths) of files that the table says nothing about.
        notes: what was decided where a name had several files.
    """

    files: Mapping[str, str]
    unlabelled: tuple[str, ...]
    notes: tuple[str, ...]


def remote_problem(path: Path) -> str | None:
    """Why ``path`` cannot be read where it is an address, such as ``s3://bucket/x``, or None."""
    for place, part in enumerate(path.parts):
        if _SCHEME.fullmatch(part):  # of the two slashes a path keeps one
            address = f"{part}//{'/'.join(path.parts[place + 1 :])}"
            return f"{address}: images and tables must be local: copy or mount them first"
    return None


ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
"""How archives end, which are unpacked before anything is read of them."""


def archive_problem(path: Path) -> str | None:
    """What to do with ``path`` where it is an archive, or None."""
    name = path.name.lower()
    if not name.endswith(ARCHIVES):
        return None
    way = "unzip" if name.endswith(".zip") else "tar xf" if ".t" in name else "7z x"
    return f"{path}: an archive; unpack it ({way} {path.name}) and give the folder that comes of it"


def folder_problem(folder: Path) -> str | None:
    """Why no images can lie in ``folder``, or None."""
    try:
        if not folder.exists():
            return remote_problem(folder) or f"{folder}: no such folder; check its name"
        if not folder.is_dir():
            return archive_problem(folder) or (
                f"{folder}: a file, but a folder of images is wanted; give the one it lies in"
            )
        if next(folder.iterdir(), None) is None:
            return f"{folder}: the folder is empty; give one that holds images"
    except OSError as error:
        return f"{folder}: cannot be read ({error.strerror}); check its permissions"
    return None


def find_images(folder: Path) -> Found:
    """All image files below ``folder``, hidden ones aside; symbolic links are followed.

    A suffix of `SUFFIXES` makes a file an image. One without a suffix, as DICOM files often are,
    is looked into, and is one where it begins like one; so is DICOM under any suffix. What else
    may hold images is named in the notes; texts, tables and their like are passed over.

    A folder that can be reached in several ways is listed once, by its own path if it has one.
    """
    files: list[str] = []
    refused: list[str] = []
    unread: list[str] = []
    astray: list[str] = []
    packed: list[str] = []
    seen: set[tuple[int, int]] = set()
    pending: list[str] = [""]
    linked: list[str] = []
    while pending or linked:
        below = (pending or linked).pop()
        try:
            here = (folder / below).stat()
            if (here.st_dev, here.st_ino) in seen:  # a link that leads back up
                continue
            seen.add((here.st_dev, here.st_ino))
            with os.scandir(folder / below) as entries:
                for entry in entries:
                    if entry.name.startswith((".", "__MACOSX")):
                        continue
                    # Suffix first: asking a link what it is costs a look at the disk.
                    if entry.name.lower().endswith(SUFFIXES) and not _is_folder(entry):
                        files.append(below + entry.name)
                    elif _is_folder(entry):
                        (linked if entry.is_symlink() else pending).append(f"{below}{entry.name}/")
                    elif entry.is_symlink() and not _exists(entry):
                        astray.append(below + entry.name)
                    elif entry.name.lower().endswith(ARCHIVES):
                        packed.append(below + entry.name)
                    elif (kind := _other(entry)) == IMAGE:
                        files.append(below + entry.name)
                    elif kind is not None:
                        unread.append(f"{below}{entry.name}{kind and f' ({kind})'}")
        except OSError as error:
            refused.append(f"{folder / below} ({error.strerror})")
    notes = []
    if unread:
        are = "file is" if len(unread) == 1 else "files are"
        notes.append(
            f"{len(unread):,} {are} left out, as no image that is read has such a format or "
            f"suffix: {_some(unread)}"
        )
    if packed:
        notes.append(
            f"archives are not looked into ({len(packed):,}: {_some(packed)}); where they hold "
            "images, unpack them there"
        )
    if astray:
        notes.append(f"links that lead nowhere: {len(astray):,}, such as {min(astray)}")
    if refused:
        notes.append(f"folders that could not be read: {len(refused)}, such as {min(refused)}")
    return Found(tuple(sorted(files)), tuple(notes))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _exists(entry: os.DirEntry[str]) -> bool:
    try:
        return Path(entry.path).exists()
    except OSError:
        return False


def _other(entry: os.DirEntry[str]) -> str | None:
    """What a file is whose suffix is none of an image: `IMAGE`, or None for what holds none.

    Otherwise what may hold one: the name of its format where that is known, or "".
    """
    name = entry.name.lower()
    if name in SYSTEM or name.endswith(COMPANIONS):
        return None
    try:
        if not entry.is_file():
            return None
        with opened(Path(entry.path)) as file:
            head = file.read(HEAD_BYTES)
    except (OSError, ImageError):
        return ""
    found = told_by(head)
    if found is not None and (found is DICOM or not _SUFFIX.search(name)):
        return IMAGE
    if found is not None:
        return found.name
    return "" if name.endswith(tuple(UNREAD)) or b"\0" in head else None


def _some(names: Sequence[str]) -> str:
    """The first few of ``names``, for people."""
    more = len(names) - NAMES_AS_EXAMPLES
    return ", ".join(sorted(names)[:NAMES_AS_EXAMPLES]) + (
        f" and {more:,} more" if more > 0 else ""
    )


def stem(name: str) -> str:
    """``name`` without the suffix of an image; other dots stay (DICOM's UIDs have many)."""
    lower = name.lower()
    for suffix in SUFFIXES:
        if lower.endswith(suffix):
            return name[: -len(suffix)]
    return name


def match_images(names: Sequence[str], files: Sequence[str]) -> Match:
    """Match table names with files.

    A name may be a path (its end or the file's must be the other's), a base name, or either
    without its suffix. Where several files fit, the one in the folder that serves most names
    is taken, and one note says so.

    Raises:
        InputError: where two names of the table lead to one file.
    """
    lookup = by_stem(files)
    looked_for = names if lookup else ()  # a table alone may be of a quarter of a million images
    candidates = {name: found for name in looked_for if (found := fitting(name, lookup))}
    serves = Counter(
        folder for fitting in candidates.values() for folder in {_folder(file) for file in fitting}
    )
    chosen = {
        name: min(fitting, key=lambda file: _rank(file, serves)) if fitting[1:] else fitting[0]
        for name, fitting in candidates.items()
    }
    _check_one_name_a_file(chosen)
    # A copy of a labelled image is no unlabelled one, whatever folder it lies in.
    taken = {file for fitting in candidates.values() for file in fitting}
    unlabelled = tuple(file for file in files if file not in taken and file not in chosen)
    return Match(
        files={**chosen, **{file: file for file in unlabelled}},
        unlabelled=unlabelled,
        notes=tuple(_note(candidates, chosen)),
    )


def _folder(file: str) -> str:
    return file.rpartition("/")[0]


def _rank(file: str, serves: Mapping[str, int]) -> tuple[int, int, int, str]:
    """Sort key: most names served, then nearest the top, then the better format."""
    suffix = PurePosixPath(file).suffix.lower()
    place = SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)
    return -serves[_folder(file)], file.count("/"), place, file


def check_place(out: Path) -> None:
    """Refuse a file or folder ``out`` whose place is not to be written to.

    Raises:
        InputError: naming what stands in the way.
    """
    there = next(place for place in out.absolute().parents if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--out {out}: {there} cannot be written to; name another place")


def by_stem(files: Iterable[str]) -> dict[str, list[str]]:
    """``files``, paths with ``/``, by what `fitting` looks for.

    That is each end of a path, folder by folder, without suffix, and the whole behind `_WHOLE`.
    Base names alone would not do: some data sets have one for all of their images.
    """
    lookup: dict[str, list[str]] = defaultdict(list)
    for file in files:
        bare = stem(file)
        lookup[_WHOLE + bare].append(file)
        for end in (bare, *_ends(bare)):
            lookup[end].append(file)
    return lookup


def plain_path(name: str) -> str:
    """A name out of a table as a path below some folder: ``a/b.png``."""
    return name.replace("\\", "/").removeprefix("./").strip("/")


def fitting(name: str, lookup: Mapping[str, Sequence[str]]) -> list[str]:
    """The files that ``name`` may mean: those that have its suffix, else of any suffix.

    One of the two paths is the end of the other.
    """
    plain = plain_path(name)
    bare = stem(plain)
    suffix = plain[len(bare) :]
    same = [*lookup.get(bare, ())]
    for end in _ends(bare):
        same += lookup.get(_WHOLE + end, ())
    return [file for file in same if file[len(stem(file)) :] == suffix] or same


def _ends(path: str) -> list[str]:
    """What is left of ``path`` without its first folder, without its first two, and so on."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(1, len(parts))]


def _check_one_name_a_file(chosen: Mapping[str, str]) -> None:
    owners: dict[str, list[str]] = defaultdict(list)
    for name, file in chosen.items():
        owners[file].append(name)
    shared = [(file, names) for file, names in owners.items() if len(names) > 1]
    if shared:
        raise InputError(
            shorten(
                f"duplicate image: {', '.join(map(repr, sorted(names)))} in the label table are "
                f"one file, {file!r}; keep one row of it"
                for file, names in shared
            )
        )


def _note(candidates: Mapping[str, Sequence[str]], chosen: Mapping[str, str]) -> list[str]:
    """One note on names with several files."""
    several = [name for name, fitting in candidates.items() if len(fitting) > 1]
    if not several:
        return []
    kept = Counter(_folder(chosen[name]) or "." for name in several).most_common(1)[0][0]
    left = Counter(
        _folder(file) or "."
        for name in several
        for file in candidates[name]
        if file != chosen[name]
    )
    others = ", ".join(f"{folder} ({count:,})" for folder, count in left.most_common(3))
    return [
        f"{len(several):,} labelled images have more than one file; those in {kept} are used, "
        f"as it holds most of the table's images, and copies left aside in {others}"
    ]


def shorten(problems: Iterable[str]) -> list[str]:
    """The first `SHOWN` problems and a count of the others."""
    every = list(problems)
    more = len(every) - SHOWN
    return [*every[:SHOWN], *([f"... and {more:,} more of this kind"] if more > 0 else [])]
