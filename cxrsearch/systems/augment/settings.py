"""copies.json: what a folder of copies was made with, and whether a later call means the same."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.read import FolderSource
from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import AUGMENTATION, without
from cxrsearch.version import __version__
from search.reading import read_json

COPIES_FILE = "copies.json"
COPIES_FORMAT, COPIES_VERSION = "cxrsearch copies", 1


def copy_settings(
    data: Path, dataset: Dataset, copies: int, seed: int, ranges: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of copies.json."""
    source = dataset.source
    assert isinstance(source, FolderSource)
    sizes = [[name, _size(source.path(name))] for name in dataset.names]
    return {
        "format": COPIES_FORMAT,
        "version": COPIES_VERSION,
        "source": {
            "folder": str(data.absolute()),
            "images": len(dataset.names),
            "fingerprint": dataset.fingerprint,
            "files": hashlib.sha256(json.dumps(sizes).encode()).hexdigest()[:16],
        },
        "copies": copies,
        "seed": seed,
        "ranges": dict(ranges),
        "made_with": {"cxrsearch": __version__},
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def check_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that is not this very set of copies, or a new one.

    Raises:
        InputError: with what differs.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file; name a folder")
    there = next(p for p in (out, *out.absolute().parents) if p.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{out}: {there} cannot be written to; name another folder")
    if not (out / COPIES_FILE).exists():
        if out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
            raise InputError(f"{out}: not empty, and no {COPIES_FILE} in it; name a new folder")
        return
    try:
        differences = _differences(read_json(out / COPIES_FILE, "the copies' settings"), settings)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{out / COPIES_FILE}: cannot be read ({error}); restore it, or name a new folder"
        ) from error
    if differences:
        raise InputError([f"{out}: made with other settings; name a new folder", *differences])


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found, unset = [], without(AUGMENTATION)
    for key in ("format", "version", "copies", "seed"):
        if old[key] != new[key]:
            found.append(f"{key} is {old[key]!r} there, not {new[key]!r}")
    for gene in new["ranges"]:
        there = old["ranges"].get(gene, unset.get(gene))  # of before there was such a gene
        if there != new["ranges"][gene]:
            found.append(f"{gene} is {there!r} there, not {new['ranges'][gene]!r}")
    was, now = old["source"], new["source"]
    if was["fingerprint"] != now["fingerprint"]:
        found.append(
            f"its copies are of {was['images']:,} images of {was['folder']}, and images, labels or "
            f"patients of the {now['images']:,} in {now['folder']} are others"
        )
    elif was["files"] != now["files"]:
        found.append(f"files of {now['folder']} have another size than when the copies were made")
    return found
