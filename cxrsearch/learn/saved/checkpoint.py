"""Checkpoints: any tree of tensors and plain values in one file, whole or not at all.

A checkpoint is a single safetensors file. Its tensors stand by name; everything else
(numbers, texts, the shape of the tree) is JSON in the file's own metadata header. So a
kill can never leave tensors of one epoch beside numbers of another: the one rename that
puts the file in place is the only moment at which anything changes.

A file that was damaged since is refused: a CRC-32 covers all that the tensors are, and a
digest all that the header says, the CRC among it.

Nothing here can run code from a file: safetensors holds numbers, JSON holds values.
"""

from __future__ import annotations

import json
import os
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from search.files import replace_file
from search.reading import DIGEST, digest_of

CHECKPOINT_FORMAT = 1
"""Raised when a file of this version can no longer be read by an older program."""

LABELS = "labels"
"""Where the info beside a network's weights says what its outputs are of."""

_HEADER = "cxrsearch"
_TENSOR, _PAIRS, _TUPLE = "__tensor__", "__pairs__", "__tuple__"


class CheckpointError(Exception):
    """The file is there but cannot be used; the message says why."""


class Snapshot(NamedTuple):
    """A tree's tensors, copied to the CPU, and the rest of it as JSON."""

    tensors: dict[str, torch.Tensor]
    tree: Any


def snapshot(state: Any) -> Snapshot:
    """A copy of ``state`` that later changes of it leave alone, as `save_tensors` takes it.

    Args:
        state: a tree of dicts, lists, tuples, tensors, numbers, texts, booleans and None.

    Raises:
        TypeError: where the tree holds anything else.
    """
    tensors: dict[str, torch.Tensor] = {}
    tree = _flatten(state, "", tensors)
    copies = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach())
        for name, tensor in tensors.items()
    }
    return Snapshot(copies, tree)


def save(path: Path, state: Any) -> None:
    """Write ``state`` to ``path`` atomically and remove what killed writers left beside it.

    Args:
        path: the file; its folder is made where needed. One process writes to it.
        state: as for `snapshot`.

    Raises:
        TypeError: as `snapshot`.
    """
    save_tensors(path, *snapshot(state))


def load(path: Path) -> Any:
    """The tree that `save` wrote, its tensors on the CPU.

    Raises:
        FileNotFoundError: where there is no such file.
        CheckpointError: where it is truncated, damaged or of another format.
    """
    tensors, tree = load_tensors(path)
    try:
        return _restore(tree, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path.name} does not fit together ({error!r})") from error


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], info: Any = None) -> None:
    """Write named tensors and a JSON-able ``info`` to ``path`` atomically, as safetensors."""
    plain = {name: _plain(tensor) for name, tensor in tensors.items()}
    header = {"format": CHECKPOINT_FORMAT, "crc32": _checksum(plain), "info": info}
    text = json.dumps({**header, DIGEST: digest_of(header)})
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        save_file(plain, temporary, metadata={_HEADER: text})
        temporary.chmod(0o644)
        replace_file(temporary, path)
    except SafetensorError as error:  # its own class, although a full disk is an OSError
        temporary.unlink(missing_ok=True)
        raise OSError(f"cannot write {path}: {error}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], Any]:
    """The tensors (on the CPU) and the info that `save_tensors` wrote.

    Raises:
        FileNotFoundError: where there is no such file.
        CheckpointError: where it is truncated, damaged or of another format.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = _header(path, file.metadata())
            # Cloned, as they come mapped from the file, which the next save replaces.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} cannot be read ({error})") from error
    if header["crc32"] != _checksum(tensors):
        raise CheckpointError(f"{path.name} is damaged (its checksum does not fit)")
    return tensors, header["info"]


def is_ours(path: Path) -> bool:
    """Whether `save_tensors` wrote the file, so that `load_tensors` can say if it is whole."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return _HEADER in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def _header(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """What the file says beside its tensors, held against its digest.

    Files of an earlier version have none, and nothing else that is unknown: a key that was
    damaged would else make one of them.
    """
    header = json.loads((metadata or {}).get(_HEADER, "null"))
    if not isinstance(header, dict) or header.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(f"{path.name} is not of format {CHECKPOINT_FORMAT}")
    given = header.pop(DIGEST, None)
    if set(header) != {"format", "crc32", "info"} or given not in (None, digest_of(header)):
        raise CheckpointError(f"{path.name} is damaged (its digest does not fit)")
    return header


def remove_leftovers(path: Path) -> None:
    """Remove temporary files that killed writers of ``path`` left beside it."""
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):
        leftover.unlink(missing_ok=True)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    """On the CPU and densely packed in the order of its indices, as safetensors wants it."""
    return tensor.detach().cpu().contiguous()


def _checksum(tensors: Mapping[str, torch.Tensor]) -> int:
    """CRC-32 over the names, kinds, shapes and bytes: safetensors itself checks only lengths."""
    total = 0
    for name in sorted(tensors):
        tensor = tensors[name]
        total = zlib.crc32(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode(), total)
        if tensor.numel():
            total = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, total)
    return total


def _flatten(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """``value`` as JSON, with each tensor put into ``tensors`` and replaced by its name."""
    if isinstance(value, torch.Tensor):
        tensors[path] = value
        return {_TENSOR: path}
    if isinstance(value, Mapping):
        pairs = [[key, _flatten(item, _join(path, key), tensors)] for key, item in value.items()]
        if all(isinstance(key, str) and not key.startswith("__") for key in value):
            return dict(pairs)
        return {_PAIRS: pairs}  # JSON would turn the optimiser's whole-number keys into texts
    if isinstance(value, list | tuple):
        items = [_flatten(item, _join(path, i), tensors) for i, item in enumerate(value)]
        return items if isinstance(value, list) else {_TUPLE: items}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise TypeError(f"{path or 'the state'}: cannot save a {type(value).__name__}")


def _join(path: str, key: object) -> str:
    return f"{path}/{key}" if path else str(key)


def _restore(tree: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """The inverse of `_flatten`."""
    if isinstance(tree, list):
        return [_restore(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if _TENSOR in tree:
        return tensors[tree[_TENSOR]]
    if _TUPLE in tree:
        return tuple(_restore(item, tensors) for item in tree[_TUPLE])
    if _PAIRS in tree:
        return {key: _restore(item, tensors) for key, item in tree[_PAIRS]}
    return {key: _restore(item, tensors) for key, item in tree.items()}
