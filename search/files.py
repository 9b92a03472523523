"""Files that are either the old one or the new one, never half of one."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from .reading import CONTENT, DIGEST, digest_of, parse_json, with_digest


def replace_file(temporary: Path, path: Path) -> None:
    """Make ``temporary``, written in full, take the place of ``path``, for good.

    The file's bytes reach the disk before its name does, and the folder's entry after.
    Both must lie in one folder.
    """
    with temporary.open("rb+") as handle:
        os.fsync(handle.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` atomically, making its folder where needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        temporary.chmod(0o644)
        replace_file(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def as_given(path: Path) -> Path:
    """``path``, absolute as a user would spell it: links in it stay links.

    Another machine may have the same name mounted from elsewhere. Of a relative path the folder
    is the shell's, by the name by which it was entered.
    """
    if path.is_absolute():
        return path
    here, entered = Path.cwd(), Path(os.environ.get("PWD", ""))
    with suppress(OSError):
        if entered.is_absolute() and entered.samefile(here):
            here = entered
    return here / path


def shown(path: object) -> str:
    """A path as text that every stream, database and page can hold.

    The bytes of a name that are no UTF-8 are written as Python spells them:
    ``R\\udcf6ntgen.png``.
    """
    return str(path).encode("utf-8", "backslashreplace").decode()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8, atomically; names of files in it as `shown`."""
    write_bytes(path, shown(text).encode())


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON with a digest, atomically.

    `search.reading.read_json` gives it back, and refuses what was changed since. The digest is
    the last key of an object; what is no object is put beside it, under ``content``.

    Raises:
        FileError: where `read_json` could not read it: NaN, or whole numbers beyond 64 bits.
        TypeError: where it cannot be said in JSON.
    """
    plain = parse_json(json.dumps(value), str(path))
    outer = plain if isinstance(plain, dict) else {CONTENT: plain}
    if DIGEST in outer:
        raise ValueError(f"{path}: {DIGEST!r} is the key of the digest itself")
    text = json.dumps({**outer, DIGEST: digest_of(plain)}, indent=2, ensure_ascii=False) + "\n"
    # Names of files that are no UTF-8 have half characters, which JSON can spell.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


class _Dumper(yaml.SafeDumper):
    """Plain data, spelt out wherever it occurs."""

    def ignore_aliases(self, data: Any) -> bool:
        """Never an alias."""
        return True


def write_yaml(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as YAML with a digest in its last line, atomically.

    `search.reading.read_yaml` gives it back, and refuses what was changed since.

    Raises:
        yaml.YAMLError: where ``value`` is no plain data.
    """
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    write_text(path, with_digest(text))
