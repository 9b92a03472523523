"""Files of weights as they were saved: read without running anything of them.

Nothing is ever unpickled beyond plain tensors: files are safetensors, or go through torch's
``weights_only`` reader. Which tensors a network takes of them is for `fitting`.
"""

from __future__ import annotations

import hashlib
import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.saved.checkpoint import LABELS, CheckpointError, is_ours, load_tensors

from .containers import STAND_INS, container_of, folder_problem

LEVELS = 4
"""So many mappings within each other are looked through for state dicts."""

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Types of weights that are taken over, as float32."""

COUNTER = "num_batches_tracked"
"""How the counts of batch normalisation end, which nothing reads: older files lack them."""

_OPTIMISER = re.compile(r"optim(?!al|um|i[sz]ed)|sched(?!uled)|scaler")
"""What a place is called whose tensors are no weights."""

_REFUSED = re.compile(r"GLOBAL ([\w.]+)|Unsupported (?:class|global) ([\w.]+)")


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds.

    Args:
        path: the file.
        dicts: its tensors by name, by where they lie (``""``: at the top; ``model.ema``).
        beside: what else lies there, by its place.
        size: bytes.
        labels: what its head is of, where the file says it; None: it is not ours.
    """

    path: Path
    dicts: Mapping[str, Mapping[str, Tensor]]
    beside: tuple[str, ...]
    size: int
    labels: tuple[str, ...] | None = None

    def labels_of(self, outputs: int) -> tuple[str, ...]:
        """What the network's ``outputs`` are of; empty where nobody knows.

        Our own files say it. Those of before labels had names are NIH's.
        """
        found = DISEASES if self.labels == () else self.labels or ()
        return found if len(found) == outputs else ()


def read_weights(path: Path) -> WeightsFile:
    """What lies in ``path``: .safetensors, or what ``torch.save`` made of tensors.

    State dicts may lie within other mappings (``{"state_dict": ...}``), beside whatever else a
    training script keeps.

    Raises:
        InputError: where the file cannot be read, or holds no tensors by name.
    """
    if path.is_dir():
        raise InputError(folder_problem(path))
    if not path.is_file():
        raise InputError(f"{path}: no such file, or none that can be read as weights")
    labels = None
    container = container_of(path)
    if container.problem:
        raise _unread(path, container.problem)
    if container.safetensors:
        loaded, labels = _load_safetensors(path)
    else:
        loaded = _torch_load(path)
    dicts: dict[str, dict[str, Tensor]] = {}
    beside: list[str] = []
    if isinstance(loaded, Mapping):
        _collect(loaded, "", dicts, beside, set())
    if dicts:
        return WeightsFile(path, dicts, tuple(beside), path.stat().st_size, labels)
    if isinstance(loaded, Mapping) and loaded:
        raise InputError(
            f"{path}: holds more than tensors by name, or none ({names_of(loaded)}); save "
            "model.state_dict() alone"
        )
    raise InputError(f"{path}: holds no state dict (tensors by name)")


def file_digest(path: Path) -> str:
    """SHA-256 of the file's bytes, by which a changed one is noticed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _collect(
    found: Mapping[Any, Any],
    place: str,
    dicts: dict[str, dict[str, Tensor]],
    beside: list[str],
    seen: set[int],
) -> None:
    """The tensors by name in a mapping, and in those within it, each mapping once."""
    seen.add(id(found))
    tensors = {k: v for k, v in found.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if tensors:
        dicts[place] = tensors
    for key, value in found.items():
        if isinstance(key, str) and key in tensors:
            continue
        where, before = f"{place}.{key}" if place else str(key), len(dicts)
        inner = isinstance(value, Mapping) and not _OPTIMISER.search(where)
        if inner and id(value) not in seen and where.count(".") < LEVELS - 1:
            _collect(value, where, dicts, beside, seen)
        if len(dicts) == before and not place:
            beside.append(where)


def _load_safetensors(path: Path) -> tuple[Any, tuple[str, ...] | None]:
    try:
        if not is_ours(path):
            return load_file(path), None
        found, info = load_tensors(path)  # what we wrote ourselves carries a checksum
    except CheckpointError as error:
        raise InputError(f"{path.parent}: {error}; restore it from a copy") from error
    except Exception as error:  # types of tensors that torch lacks are KeyErrors
        raise _unread(path, _first_line(error)) from error
    named = info.get(LABELS) if isinstance(info, Mapping) else None
    return found, tuple(map(str, named)) if isinstance(named, list) else ()


def _torch_load(path: Path) -> Any:
    # torch answers damage with errors of many kinds (pickle, zip, runtime, key, EOF, ...),
    # and all of them mean the same to whoever named the file.
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"  # by which torch, too, tells them
        if zipped:
            _check_zip(path)
        # What scripts keep beside weights, with stand-ins for it: nothing of it is made or run.
        with torch.serialization.safe_globals([*STAND_INS]):
            if path.suffix == ".safetensors":  # by which torch would take it for that
                with path.open("rb") as file:
                    return torch.load(file, map_location="cpu", weights_only=True)
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipped)
    except InputError:
        raise
    except pickle.UnpicklingError as error:  # torch's own words advise to load it unsafely
        raise _unread(path, _more_than_tensors(error)) from error
    except Exception as error:
        raise _unread(path, _first_line(error)) from error


def _more_than_tensors(error: Exception) -> str:
    """Why a pickle is not read, and how to make a file that is."""
    found = _REFUSED.search(str(error))
    if found is None:
        return (
            "no file of torch.save, or one that holds more than tensors; save model.state_dict() "
            "alone"
        )
    return (
        f"it holds more than tensors, {found[1] or found[2]}, and reading that would run code of "
        "the file; where you trust it, load it in Python and torch.save(model.state_dict(), FILE): "
        "of a whole pickled model as torchxrayvision's, "
        "torch.save(xrv.models.DenseNet(weights=NAME).state_dict(), FILE)"
    )


def _check_zip(path: Path) -> None:
    """Refuse a zip that unpacks to more than it is, as torch packs nothing, or is damaged."""
    try:
        file = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise _unread(path, "it was cut off or is damaged; copy or download it again") from None
    with file:
        members = file.infolist()
        size = sum(member.file_size for member in members)
        if size > path.stat().st_size or any(member.compress_type for member in members):
            raise _unread(path, "it is compressed, which torch.save does not do; save it again")
        if damaged := file.testzip():  # which torch itself does not look at
            raise _unread(path, f"the checksum of {_short(damaged)} in it does not fit; restore it")


def _unread(path: Path, why: str) -> InputError:
    return InputError(f"{path}: cannot be read as weights ({why})")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def tensor_problem(name: str, value: Tensor, size: int) -> str | None:
    """Why a tensor cannot be a weight, in words that follow its name, or None.

    Args:
        name: the tensor's.
        value: its numbers are looked at last, once it is known that they are there.
        size: bytes of the file, which a tensor cannot exceed.
    """
    if value.is_nested:
        return "nested (of rows of several lengths)"
    if value.layout != torch.strided:
        return "sparse; save them dense (to_dense)"
    if value.is_quantized:
        return "quantised; save them before quantisation, or dequantised"
    if value.device.type != "cpu":
        return f"without numbers (on the device {value.device.type!r})"
    counts = name.endswith(COUNTER) and not value.dtype.is_complex
    if value.dtype not in FLOATS and not counts:
        kind = str(value.dtype).removeprefix("torch.")
        return f"of type {kind}; weights are float32, float16, bfloat16 or float64"
    try:
        held = value.untyped_storage().nbytes()
    except Exception:  # a tensor of a kind that holds none says so in many ways
        held = -1
    if value.numel() * value.element_size() > min(held, size):
        return "larger than what the file holds of them (expanded); save them contiguous"
    if value.dtype in FLOATS and not torch.isfinite(value.float()).all():
        return "not finite in float32; the file is damaged, or its training diverged"
    if name.endswith("running_var") and bool((value < 0).any()):
        return "negative, which no variance is; the file is damaged"
    return None


def as_weight(value: Tensor) -> Tensor:
    """A weight in float32; a counter as it is."""
    return value.detach().float() if value.is_floating_point() else value


def _short(name: object) -> str:
    """A name out of a file, fit for a message."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:80]}..."


def names_of(names: Iterable[object]) -> str:
    """The first names out of a file, fit for a message, and how many more there are."""
    every = [_short(name) for name in names]
    return ", ".join(every[:5]) + (f" and {len(every) - 5} more" if len(every) > 5 else "")


def some_of(names: Sequence[str]) -> str:
    """How many tensors, and the names of the first."""
    shown = ", ".join(_short(name)[1:-1] for name in names[:3])
    count = f"{len(names)} tensor{'s' * (len(names) > 1)}"
    return f"{count} ({shown}{', ...' if len(names) > 3 else ''})"
