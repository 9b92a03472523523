"""Arrays of numbers and texts on disk: written whole, read without pickle."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from search.files import write_bytes

Labels = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Names (n,), labels (n, 14) uint8, patients (n,)."""


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write ``arrays`` to ``path`` (.npz), compressed and atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())


def check_zip(path: Path) -> None:
    """Refuse a file that NumPy would take for a pickle, and advise to load unsafely.

    Raises:
        FileNotFoundError: where it is missing.
        InputError: where it is no zip file, as an ``.npz`` is.
    """
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise InputError(
                f"{path}: cannot be read: no .npz file, as np.savez writes, or cut off; restore "
                "it from a copy"
            )


def load_arrays(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays ``keys`` of an ``.npz`` file.

    Raises:
        InputError: where the file is missing or damaged, or one of them is not in it.
    """
    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in keys}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; restore it from a copy of the study") from error
    except InputError:
        raise
    except Exception as error:  # zip, zlib, header and key errors share no class
        raise InputError(f"{path}: cannot be read ({error}); restore it from a copy") from error


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
