"""Find the image files below a folder and match them with the names of a label table."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from cxrsearch.errors import InputError

from .formats import SUFFIXES

SHOWN = 10
"""At most this many problems of one kind are spelled out."""
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


def find_images(folder: Path) -> Found:
    """All image files below ``folder``, hidden ones aside; symbolic links are followed.

    A folder that can be reached in several ways is listed once, by its own path if it has one.
    """
    files: list[str] = []
    refused: list[str] = []
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
                    if entry.name.lower().endswith(SUFFIXES) and not entry.is_dir():
                        files.append(below + entry.name)
                    elif entry.is_dir():
                        (linked if entry.is_symlink() else pending).append(f"{below}{entry.name}/")
        except OSError as error:
            refused.append(f"{folder / below} ({error.strerror})")
    notes = (
        [f"folders that could not be read: {len(refused)}, such as {min(refused)}"]
        if refused
        else []
    )
    return Found(tuple(sorted(files)), tuple(notes))


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
    candidates = {name: found for name in names if (found := fitting(name, lookup))}
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
    return -serves[_folder(file)], file.count("/"), SUFFIXES.index(suffix), file


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
