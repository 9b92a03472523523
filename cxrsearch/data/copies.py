"""Copies of images as files: how they are named, and which image one is a copy of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from .files import by_stem, fitting, plain_path, stem

MARK = "_aug"
_MARKED = re.compile(rf"(.+){MARK}\d{{2,4}}")


def copy_names(files: Sequence[str], copies: int) -> list[list[str]]:
    """Names of the copies of each file: ``a/b.png`` has ``a/b_aug01.png``, ``a/b_aug02.png``, ...

    Args:
        files: paths below the source's folder, with ``/``, each once.
        copies: of each.

    Returns:
        for each file ``copies`` paths below the folder of the copies. Where two files of one
        folder differ in their suffix alone, it stays in the name.
    """
    bare = Counter(stem(file) for file in files)
    width = max(2, len(str(copies)))
    found = []
    for file in files:
        base = stem(file) if bare[stem(file)] == 1 else file
        found.append([f"{base}{MARK}{number:0{width}}.png" for number in range(1, copies + 1)])
    return found


def original(name: str) -> str | None:
    """The image that ``name`` is a copy of, without suffix; None where it is no copy."""
    match = _MARKED.fullmatch(stem(name))
    return match[1] if match else None


def same_images(names: Iterable[str], seen: Iterable[str]) -> list[str]:
    """Those of ``names`` that are an image of ``seen``, a copy of one, or of the same original.

    Between images that are no copies only the very same name counts: other hospitals call
    theirs ``1.png`` too, in another format.
    """
    known = set(seen)
    origins = {name: found for name in known if (found := original(name)) is not None}
    copied = by_stem(map(plain_path, origins.values()))
    plain = by_stem(plain_path(name) for name in known if name not in origins)
    return [name for name in names if name in known or _related(name, copied, plain)]


def same_files(names: Sequence[str], paths: Sequence[str]) -> list[str]:
    """Those of ``names`` that are one of ``paths``, a copy of one, or of the same original.

    Unlike for `same_images` a name may be the end of a path, or a path of it: images without a
    label are called after their place below a folder, and a label table may use base names.
    """
    lookup = by_stem(map(plain_path, paths))

    def is_there(name: str) -> bool:
        own = _suffix(name)
        return any(not own or _suffix(path) == own for path in fitting(name, lookup))

    copies = set(same_images(names, paths))
    return [name for name in names if name in copies or is_there(name)]


def _suffix(name: str) -> str:
    return name[len(stem(name)) :].lower()


def _related(
    name: str, copied: Mapping[str, Sequence[str]], plain: Mapping[str, Sequence[str]]
) -> bool:
    """Whether ``name`` and a known image share an original, one of them at least as a copy."""
    source = original(name)
    if source is None:
        return bool(copied) and bool(fitting(stem(name), copied))
    return bool(fitting(source, copied)) or bool(fitting(source, plain))


def table_names(paths: Sequence[str]) -> list[str]:
    """What a label table calls the files ``paths``: base names, where they tell them apart."""
    bases = [PurePosixPath(path).name for path in paths]
    return bases if len(set(bases)) == len(bases) else list(paths)
