"""A folder in which a job that may be cut off goes on, and no other job does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrsearch.errors import InputError
from search.files import write_json


def claim(folder: Path, wanted: Mapping[str, Any]) -> None:
    """Make ``folder`` the place of the job that ``wanted`` describes, or go on with it there.

    Args:
        folder: where the job leaves what it has done.
        wanted: JSON-able values that tell it from others.

    Raises:
        InputError: where another one was begun there, whose results would be taken for its own.
    """
    path = folder / "job.json"
    if not path.is_file():
        write_json(path, dict(wanted))
        return
    begun = json.loads(path.read_text(encoding="utf-8"))
    changed = [f"{k} was {begun.get(k)}, is {v}" for k, v in wanted.items() if begun.get(k) != v]
    if changed:
        raise InputError(
            f"{folder}: begun with another job ({'; '.join(changed)}); go on with the same, "
            "name another --out, or delete that folder to begin again"
        )
