"""What a pre-training says of itself, beside its weights. Imports no torch, as pages read it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cxrsearch.errors import InputError

SETTINGS, WEIGHTS = "settings.json", "weights.safetensors"
SAMPLES, RECORD = "samples.npz", "pretraining.json"


def read_json(path: Path) -> Any:
    """What a JSON file of a pre-training says.

    Raises:
        FileNotFoundError: where there is none.
        InputError: where it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); pre-train in another folder") from None


def read_record(folder: Path) -> dict[str, Any]:
    """The record of the finished pre-training in ``folder``.

    Raises:
        InputError: where there is none, or it cannot be read.
    """
    path = folder / RECORD
    try:
        record = read_json(path)
    except FileNotFoundError:
        raise InputError(f"{folder}: no finished pre-training here (no {RECORD})") from None
    wanted = {"method": str, "losses": list, "images": int, "split": str, "held_out": dict}
    if not isinstance(record, dict) or not all(
        isinstance(record.get(key), kind) for key, kind in wanted.items()
    ):
        raise InputError(f"{path}: not a {RECORD}; pre-train again")
    return record


def origin_notes(inits: Iterable[str], split: str) -> list[str]:
    """Where starting weights come from, and whether they have seen a study's other parts.

    Args:
        inits: values of the gene ``init``; those that are no pre-training's weights say nothing.
        split: fingerprint of the study's split.
    """
    notes = []
    for init in inits:
        chain = _chain(init)
        if not chain:
            continue
        record = chain[0]
        start = str(chain[-1].get("init", "none"))
        unknown = "" if start in ("none", "imagenet") else f"; before that init {start}, unknown"
        foreign = next((each["split"] for each in chain if each["split"] != split), None)
        origin = (
            f"init {init}: {record['method']}, {len(record['losses'])} epochs on "
            f"{record['images']:,} images" + ", begun with those of another" * (len(chain) > 1)
        )
        if foreign is None:
            what = "none of a patient of this study's validation or test part"
            notes.append(f"{origin}, {what}{unknown}")
        else:
            notes.append(
                f"{origin} of another split ({foreign}, here {split}): where the data are "
                "the same it has seen images of this study's validation and test parts; pre-train "
                f"with the same data, --seed and shares to keep them unseen{unknown}"
            )
    return notes


def _chain(init: str) -> list[dict[str, Any]]:
    """The record of the pre-training that wrote ``init``, then of that which it began with, ..."""
    found: list[dict[str, Any]] = []
    seen: set[Path] = set()
    while (path := Path(init).expanduser()).name == WEIGHTS and path not in seen:
        seen.add(path)
        if not (path.parent / RECORD).is_file():
            break
        found.append(read_record(path.parent))
        init = str(found[-1].get("init", "none"))
    return found
