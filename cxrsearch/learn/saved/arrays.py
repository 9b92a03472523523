"""Arrays of numbers and texts on disk: written whole, read without pickle."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrsearch.data.about import about
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.marks import compact
from cxrsearch.errors import InputError
from search.files import write_bytes

UNPACKS_TO, UNPACKS_MORE = 200, 32 << 20
"""An array may unpack to so many times its packed bytes, and so many bytes more."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What is known of a study's images.

    Args:
        names: (n,) texts.
        labels: (n, k) uint8 or float32; see `cxrsearch.data.marks`.
        patients: (n,) texts.
        label_names: (k,) what the columns are.
        uncertain: (n, k) bool, marks that nobody was sure of and that ``labels`` do not know.
        uncertain_as: (k,) what these count as in training, or empty; see `Dataset.uncertain_as`.
        about: (n, e) float32, age, sex and view; None where nothing of them is known.
        about_names: (e,) what its columns are; see `cxrsearch.data.about`.
    """

    names: np.ndarray
    labels: np.ndarray
    patients: np.ndarray
    label_names: tuple[str, ...] = DISEASES
    uncertain: np.ndarray | None = None
    uncertain_as: tuple[str, ...] = ()
    about: np.ndarray | None = None
    about_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> Labels:
        """Those of ``dataset``."""
        known = about(dataset)
        return cls(
            np.asarray(dataset.names, dtype=np.str_), dataset.labels, dataset.patients,
            dataset.label_names, dataset.uncertain, dataset.uncertain_as,
            known.values if known.names else None, known.names,
        )  # fmt: skip


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
    found = load_some(path, keys)
    return {key: found[key] for key in keys}


def load_some(path: Path, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file, which has ``keys`` among them.

    Raises:
        InputError: as `load_arrays`.
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
    return found


def save_labels(path: Path, labels: Labels) -> None:
    """Write the labels of a study's images to ``path``."""
    marks = compact(labels.labels)
    uncertain = np.zeros(marks.shape, bool) if labels.uncertain is None else labels.uncertain
    beside = {} if labels.about is None else {
        "about": np.asarray(labels.about, np.float32),
        "about_names": np.asarray(labels.about_names, dtype=np.str_),
    }  # fmt: skip
    save_arrays(
        path,
        **beside,
        names=np.asarray(labels.names, dtype=np.str_),
        labels=marks,
        patients=np.asarray(labels.patients, dtype=np.str_),
        label_names=np.asarray(labels.label_names, dtype=np.str_),
        uncertain=uncertain,
        uncertain_as=np.asarray(labels.uncertain_as, dtype=np.str_),
    )


def load_labels(path: Path) -> Labels:
    """What `save_labels` wrote; without names of labels they are NIH's, as they were once.

    Raises:
        InputError: where the file is missing, damaged or of another shape.
    """
    arrays = load_some(path, ("names", "labels", "patients"))
    names, labels, patients = arrays["names"], arrays["labels"], arrays["patients"]
    called = tuple(map(str, arrays.get("label_names", np.array(DISEASES)).tolist()))
    uncertain = arrays.get("uncertain", np.zeros(labels.shape, bool))
    uncertain_as = tuple(map(str, arrays.get("uncertain_as", np.array([], np.str_)).tolist()))
    about_names = tuple(map(str, arrays.get("about_names", np.array([], np.str_)).tolist()))
    about_them = arrays.get("about", np.zeros((len(labels), len(about_names)), np.float32))
    if (
        names.ndim != 1
        or labels.shape != (len(names), len(called))
        or patients.shape != names.shape
        or uncertain.shape != labels.shape
        or len(uncertain_as) not in (0, len(called))
        or labels.dtype.kind not in "biuf"
        or about_them.shape != (len(names), len(about_names))
        or about_them.dtype.kind != "f"
    ):
        raise InputError(
            f"{path}: {names.shape} names, labels of shape {labels.shape} and {patients.shape} "
            "patients do not fit together; restore the file from a copy of the study"
        )
    return Labels(
        names, compact(labels), patients, called,
        uncertain.astype(bool) if uncertain.any() else None, uncertain_as,
        about_them if about_names else None, about_names,
    )  # fmt: skip
