"""What a pre-training says of itself, beside its weights. Imports no torch, as pages read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxrsearch.errors import InputError
from search.reading import FileError, read_json

SETTINGS, PRETRAINED = "settings.json", "weights.safetensors"
SAMPLES, RECORD = "samples.npz", "pretraining.json"


def read_record(folder: Path) -> dict[str, Any]:
    """The record of the finished pre-training in ``folder``.

    Raises:
        InputError: where there is none, or it cannot be read.
    """
    path = folder / RECORD
    try:
        record = read_json(path, "the record of a pre-training")
    except FileNotFoundError:
        raise InputError(f"{folder}: no finished pre-training here (no {RECORD})") from None
    except FileError as error:
        raise InputError(error.problems) from None
    wanted = {"method": str, "losses": list, "images": int, "split": str, "held_out": dict}
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), kind) for key, kind in wanted.items()
    ):
        raise InputError(f"{path}: not a {RECORD}; pre-train again")
    return record
