"""Features of images kept in files, so that the next trial of the same network needs no pass.

A file holds the features of one set of rows by one network, and is called after all that they
depend on: weights, network, crop, input size, precision. It is there whole or not at all.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor

from cxrsearch.learn.pixels import SPARE_BYTES, WAIT_SECONDS, Shelf
from cxrsearch.learn.saved.checkpoint import CheckpointError, load_tensors, save_tensors

FEATURES_FORMAT = 1
"""Raised whenever the same network would give the same images other features than before."""

KEPT_FEATURES = "features"
"""The folder of these files within a cache's, and the tensor in each."""

FEATURES_BYTES = 1 << 30
"""So much of the disk they may take; what was used longest ago makes room."""

_SUFFIX = ".safetensors"


def features_key(weights: Mapping[str, Tensor], rows: np.ndarray, **besides: Any) -> str:
    """What the features of ``rows`` are called.

    Args:
        weights: of the network, without its last layer.
        rows: (m,) rows of the cache.
        besides: what else they depend on, by name.
    """
    what = (FEATURES_FORMAT, torch.__version__, sorted(besides.items()))
    seen = hashlib.sha256(repr(what).encode())
    for name in sorted(weights):
        plain = weights[name].detach().cpu().contiguous().flatten()
        seen.update(name.encode())
        seen.update(plain.view(torch.uint8).numpy().data)
    seen.update(np.ascontiguousarray(rows, np.int64).data)
    return seen.hexdigest()[:32]


def kept_features(shelf: Shelf | None, key: str, compute: Callable[[], Tensor]) -> Tensor:
    """The features called ``key``: out of their file, or computed and put there.

    Safe to call from several processes at once: one computes, the others wait. Where there is no
    room, or nothing can be written, there is no file.

    Args:
        shelf: the prepared pixels of the cache, beside which the files lie; None: nowhere.
        key: as from `features_key`.
        compute: makes the (m, f) float32 features.
    """
    if shelf is None:
        return compute()
    path = shelf.folder.with_name(KEPT_FEATURES) / f"{key}{_SUFFIX}"
    found = _read(path)
    if found is not None:
        return found
    lock = FileLock(path.with_suffix(".lock"))
    try:
        path.parent.mkdir(exist_ok=True)
        lock.acquire(timeout=WAIT_SECONDS)
    except (OSError, NotImplementedError, Timeout):  # for reading only, no locks, waited too long
        return compute()
    try:
        found = _read(path)
        if found is None:
            found = compute()
            _write(path, found, shelf.spare)
        return found
    finally:
        with suppress(OSError):
            path.with_suffix(".lock").unlink(missing_ok=True)
        lock.release()


def _read(path: Path) -> Tensor | None:
    """The file's features, noting its use; None where it is not there, or damaged."""
    try:
        found = load_tensors(path)[0][KEPT_FEATURES]
    except (OSError, CheckpointError, KeyError):
        return None
    with suppress(OSError):  # somebody else's file, or a disk for reading only
        path.touch()
    return found


def _write(path: Path, features: Tensor, spare: int) -> None:
    """Keep ``features`` where there is room, after what was used longest ago has made some."""
    try:
        files = sorted(path.parent.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime)
        taken = sum(file.stat().st_size for file in files)
        while files and taken + features.nbytes > FEATURES_BYTES:
            taken -= files[0].stat().st_size
            files.pop(0).unlink(missing_ok=True)
        free = shutil.disk_usage(path.parent).free
        if features.nbytes <= min(FEATURES_BYTES, free - spare - SPARE_BYTES):
            save_tensors(path, {KEPT_FEATURES: features})
    except OSError:  # full, or somebody tidied at the same time: then it is computed again
        return
