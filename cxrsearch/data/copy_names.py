"""Copies of images as files: how they are named, and which image one is a copy of."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import PurePosixPath
from types import MappingProxyType

from .files import by_stem, fitting, plain_path, stem

COPY_MARK = "_aug"
NOTHING: Mapping[str, str] = MappingProxyType({})
_MARKED = re.compile(rf"(.+){COPY_MARK}\d{{2,4}}")


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
        found.append([f"{base}{COPY_MARK}{number:0{width}}.png" for number in range(1, copies + 1)])
    return found


def original(name: str) -> str | None:
    """The image that ``name`` is a copy of, without suffix; None where it is not a copy."""
    match = _MARKED.fullmatch(stem(name))
    return match[1] if match else None


def same_images(
    names: Iterable[str],
    seen: Iterable[str],
    contents: Mapping[str, str] = NOTHING,
    known: Iterable[str] = (),
) -> list[str]:
    """Those of ``names`` that are an image of ``seen``, a copy of one, or of the same original.

    What is known of the images' contents decides: the same file is the same image whatever it is
    called, and of two files of one name, as every hospital has its ``1.png``, neither is the
    other, nor a copy of it. Where the content of one is not known, between images that are no
    copies only the very same name counts.

    Args:
        names: of images of one data set.
        seen: names of others.
        contents: name -> content of the images of the first set, as `Cache.contents` has them;
            also of others than ``names``, such as the originals of copies.
        known: content of each of ``seen``, in their order, empty where not known; nothing is
            known by default.
    """
    others = _Seen(seen, known)
    own = _Own(contents)
    return [name for name in names if others.has(name, own)]


def same_files(
    names: Sequence[str],
    paths: Sequence[str],
    contents: Mapping[str, str] = NOTHING,
    known: Sequence[str] = (),
) -> list[str]:
    """Those of ``names`` that are one of ``paths``, a copy of one, or of the same original.

    Unlike for `same_images` a name may be the end of a path, or a path of it: images without a
    label are called after their place below a folder, and a label table may use base names.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for path, content in zip_longest(paths, known, fillvalue=""):
        found[plain_path(path)].add(content)
    lookup = by_stem(found)

    def is_there(name: str) -> bool:
        own, content = _suffix(name), contents.get(name, "")
        return any(
            (not own or _suffix(path) == own) and not _differ(content, found[path])
            for path in fitting(name, lookup)
        )

    copies = set(same_images(names, paths, contents, known))
    return [name for name in names if name in copies or is_there(name)]


def _suffix(name: str) -> str:
    return name[len(stem(name)) :].lower()


def _differ(content: str, others: Collection[str]) -> bool:
    """Whether an image is none of ``others``: the contents of all are known, and are not its."""
    return bool(content) and "" not in others and content not in others


class _Own:
    """The contents of one data set's images: by name, and of the original of a copy."""

    def __init__(self, contents: Mapping[str, str]) -> None:
        self.contents = contents
        self._by_stem = {
            stem(plain_path(name)): content
            for name, content in contents.items()
            if original(name) is None
        }

    def of_original(self, source: str) -> str:
        """Of the image that copies of ``source`` were made from; empty where it is not here."""
        return self._by_stem.get(stem(plain_path(source)), "")


class _Seen:
    """Images by which others are recognised; arguments as of `same_images`."""

    def __init__(self, seen: Iterable[str], known: Iterable[str]) -> None:
        self.names: dict[str, set[str]] = defaultdict(set)
        for name, content in zip_longest(seen, known, fillvalue=""):
            self.names[name].add(content)
        own = _Own({n: min(found) for n, found in self.names.items() if len(found) == 1})
        self.contents = {content for found in self.names.values() for content in found} - {""}
        self.plain: dict[str, set[str]] = defaultdict(set)
        self.copied: dict[str, set[str]] = defaultdict(set)
        for name, found in self.names.items():
            source = original(name)
            if source is None:
                self.plain[plain_path(name)] |= found
            else:
                self.copied[plain_path(source)].add(own.of_original(source))
        self.originals = {root for found in self.copied.values() for root in found} - {""}
        self._plain, self._copied = by_stem(self.plain), by_stem(self.copied)

    def has(self, name: str, own: _Own) -> bool:
        """Whether the image ``name``, of a data set ``own``, is one of these or related."""
        content, source = own.contents.get(name, ""), original(name)
        if content in self.contents:
            return True
        if name in self.names and not _differ(content, self.names[name]):
            return True
        # Of a copy what counts is what it was made from, as far as that lies beside it.
        root = content if source is None else own.of_original(source)
        if root in self.originals or (source is not None and root in self.contents):
            return True
        related = fitting(stem(name) if source is None else source, self._copied)
        if any(not _differ(root, self.copied[path]) for path in related):
            return True
        return source is not None and any(
            not _differ(root, self.plain[path]) for path in fitting(source, self._plain)
        )


def table_names(paths: Sequence[str]) -> list[str]:
    """What a label table calls the files ``paths``: base names, where they tell them apart."""
    bases = [PurePosixPath(path).name for path in paths]
    return bases if len(set(bases)) == len(bases) else list(paths)
