"""Arrays of numbers and texts on disk: written whole, read without pickle."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from search.files import write_bytes

UNPACKS_TO, UNPACKS_MORE = 200, 32 << 20
"""An array may unpack to so many times its packed bytes, and so many bytes more."""

Labels = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Names (n,), labels (n, 14) uint8, patients (n,)."""


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write ``arrays`` to ``path`` (.npz), compressed and atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file, held against the checksums that it carries.

    Nothing is unpickled, and nothing read that unpacks to more than `UNPACKS_TO` times its size.

    Raises:
        FileNotFoundError: where it is missing.
        InputError: where it is no ``.npz`` file, or damaged.
    """
    try:
        with path.open("rb") as file:
            whole = stat.S_ISREG(os.fstat(file.fileno()).st_mode) and zipfile.is_zipfile(file)
        if not whole:
            raise ValueError("no .npz file, as np.savez writes, or cut off")
        with zipfile.ZipFile(path) as packed:
            found = {}
            for part in packed.infolist():
                if part.file_size > UNPACKS_TO * part.compress_size + UNPACKS_MORE:
                    raise ValueError(f"{part.filename!r} unpacks to {part.file_size:,} bytes")
                # Read to its end, and so held against its CRC, which np.load may stop short of.
                content = io.BytesIO(packed.read(part))
                if part.filename.removesuffix(".npy") in found:
                    raise ValueError(f"{part.filename!r} is there twice")
                if not content.getvalue().startswith(b"\x93NUMPY"):
                    raise ValueError(f"{part.filename!r} is not an array of numbers or texts")
                found[part.filename.removesuffix(".npy")] = np.load(content, allow_pickle=False)
            return found
    except FileNotFoundError:
        raise
    except Exception as error:  # zip, zlib, header and key errors share no class
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise InputError(f"{path}: cannot be read: {reason}; restore it from a copy") from error


def load_arrays(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays ``keys`` of an ``.npz`` file.

    Raises:
        InputError: where the file is missing or damaged, or one of them is not in it.
    """
    try:
        found = read_arrays(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; restore it from a copy of the study") from error
    missing = [key for key in keys if key not in found]
    if missing:
        raise InputError(
            f"{path}: cannot be read: {', '.join(missing)} not in it; restore it from a copy"
        )
    return {key: found[key] for key in keys}


def save_labels(
    path: Path, names: Sequence[str], labels: np.ndarray, patients: Sequence[str] | np.ndarray
) -> None:
    """Write the names (n), labels (n, 14) and patients (n) of a study's images to ``path``."""
    save_arrays(
        path,
        names=np.asarray(names, dtype=np.str_),
        labels=np.asarray(labels, dtype=np.uint8),
        patients=np.asarray(patients, dtype=np.str_),
    )


def load_labels(path: Path) -> Labels:
    """What `save_labels` wrote.

    Raises:
        InputError: where the file is missing, damaged or of another shape.
    """
    arrays = load_arrays(path, ("names", "labels", "patients"))
    names, labels, patients = arrays["names"], arrays["labels"], arrays["patients"]
    if (
        names.ndim != 1
        or labels.shape != (len(names), len(DISEASES))
        or patients.shape != names.shape
    ):
        raise InputError(
            f"{path}: {names.shape} names, labels of shape {labels.shape} and {patients.shape} "
            "patients do not fit together; restore the file from a copy of the study"
        )
    return names, labels.astype(np.uint8), patients
