"""Looks at images that nothing was chosen by: each is counted, in the study and the model folder.

A test part that is looked at often, and chosen by, is no test part any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cxrsearch.errors import InputError
from search.files import write_json
from search.reading import read_json

LOOKS = "looks.json"


def looks_at_data(
    looks: Sequence[Mapping[str, Any]], data_fingerprint: str | None
) -> list[Mapping[str, Any]]:
    """Those of ``looks`` that were at the data of a fingerprint: their test part, or all of them.

    Args:
        looks: at whatever data, see `read_looks`.
        data_fingerprint: see `cxrsearch.data.dataset.Dataset.fingerprint`.
    """
    return [look for look in looks if look.get("data_fingerprint") == data_fingerprint]


def record_look(study: Path | None, model: Path, result: dict[str, Any]) -> int:
    """Append ``result`` to ``looks.json`` of the study (where known) and of the model folder.

    Returns:
        which look at these data it is, by the study's count, or by the model's where there is no
        study; looks at other data are none at these.

    Raises:
        InputError: where one of the two cannot be read or written, so that no look goes
            uncounted.
    """
    kept = [_append(folder, result) for folder in (study, model) if folder is not None]
    return len(looks_at_data(kept[0], result.get("data_fingerprint")))


def read_looks(folder: Path) -> list[dict[str, Any]]:
    """The looks counted in ``folder``, oldest first.

    Raises:
        SearchError: where its ``looks.json`` is damaged.
    """
    path = folder / LOOKS
    try:
        looks = read_json(path, "the list of looks")
    except FileNotFoundError:
        return []
    if not isinstance(looks, list) or not all(isinstance(look, dict) for look in looks):
        raise InputError(f"{path}: not a list of looks; restore it from a copy")
    return looks


def _append(folder: Path, result: dict[str, Any]) -> list[dict[str, Any]]:
    """All looks of ``folder``, with this one."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder, so the look cannot be counted there")
    try:
        with FileLock(folder / f".{LOOKS}.lock", timeout=60):
            looks = [*read_looks(folder), result]
            write_json(folder / LOOKS, looks)
    except (OSError, Timeout) as error:
        raise InputError(f"{folder}: the look cannot be counted ({error})") from error
    return looks
