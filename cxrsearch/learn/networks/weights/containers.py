"""What a file of weights is, by its first bytes, and what may lie beside weights in it.

People are given weights in many containers, and by names that say little (``pytorch_model.bin``).
Those that cannot be read are refused with what they are and what to do about it.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_TAR_AT, _TAR = 257, b"ustar"
_LONGEST_HEADER = 100_000_000
"""Bytes; safetensors itself allows no more."""

_AGAIN = "copy or download it again"
_READ = "what is read: safetensors, and what torch.save made of tensors"

_OTHERS: dict[bytes, str] = {
    b"\x1f\x8b": "it is packed with gzip; unpack it",
    b"BZh": "it is packed with bzip2; unpack it",
    b"\xfd7zXZ": "it is packed with xz; unpack it",
    b"\x28\xb5\x2f\xfd": "it is packed with zstd; unpack it",
    b"7z\xbc\xaf": "it is packed with 7z; unpack it",
    b"Rar!": "it is packed with rar; unpack it",
    b"\x89HDF": f"it is HDF5, as Keras and TensorFlow write weights; {_READ}",
    b"\x93NUMPY": f"it is an array of NumPy; {_READ}",
    b"version https://git-lfs": "it is a pointer of Git LFS, not the weights; `git lfs pull` "
    "fetches them",
}
"""Containers that are not read, by their first bytes."""

WEIGHT_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".tar")
"""How files of weights are called, those that are preferred first."""

FILES_SHOWN = 3
"""Files of a folder that are named."""


class Container(NamedTuple):
    """What holds the tensors of a file.

    Args:
        safetensors: whether it is that; otherwise `torch.save` is taken to have written it.
        problem: why it cannot be read, or None.
    """

    safetensors: bool = False
    problem: str | None = None


class StandIn:
    """In the place of an object that lies beside weights: it takes what it is given, keeps nothing.

    So a checkpoint with a best score of NumPy's can be read without making anything of NumPy's.
    """

    def __new__(cls, *given: object) -> StandIn:
        """Whatever the object would be made of."""
        return object.__new__(cls)

    def __init__(self, *given: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Whatever would be put into it."""


def _numpy(module: str) -> Iterable[str]:
    return (f"{module}.multiarray.scalar", f"{module}.multiarray._reconstruct")


STAND_INS: tuple[Callable[..., Any] | tuple[Callable[..., Any], str], ...] = (
    argparse.Namespace,  # a script's parsed options: names and values alone
    *((StandIn, name) for name in (
        *_numpy("numpy._core"), *_numpy("numpy.core"), "numpy.ndarray", "numpy.dtype",
        *(f"pathlib{inner}.{kind}{system}Path" for inner in ("", "._local")
          for kind in ("", "Pure") for system in ("Posix", "Windows")),
        "datetime.datetime", "datetime.date", "datetime.timedelta",
    )),
    *((OrderedDict, name) for name in (
        "lightning.fabric.utilities.data.AttributeDict",
        "lightning_fabric.utilities.data.AttributeDict",
        "pytorch_lightning.utilities.parsing.AttributeDict",
    )),
)  # fmt: skip
"""What may lie beside weights, for torch's ``weights_only`` reader: what to make in its place, and
the name that a file has for it."""


def container_of(path: Path) -> Container:
    """What the file ``path`` is, by its content."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return Container(problem=f"it is empty; {_AGAIN}")
    if head.startswith(_ZIP):
        return Container(problem=_zip_problem(path))
    if _is_safetensors(head, size):
        return Container(safetensors=True)
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            return Container(problem=what)
    if head[_TAR_AT:].startswith(_TAR):
        return Container(problem="it is an archive of tar, of other files; unpack it, and give one")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"<"):
        return Container(problem=f"it is a web page, as a failed download leaves; {_AGAIN}")
    if text.startswith((b"{", b"[")):
        return Container(problem=_json_problem(path))
    return Container(safetensors=path.suffix == ".safetensors" and not head.startswith(_PICKLE))


def folder_problem(path: Path) -> str:
    """What to tell someone who named a folder for a file of weights."""
    found = [
        entry.name
        for suffix in WEIGHT_SUFFIXES
        for entry in sorted(path.glob(f"*{suffix}"))
        if entry.is_file()
    ]
    inside = f" ({', '.join(map(ascii, found[:FILES_SHOWN]))})" if found else ""
    return f"{path}: is a folder, not a file of weights; name a file in it{inside}"


def _is_safetensors(head: bytes, size: int) -> bool:
    """Whether a file begins with the length of a header, and the header."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= min(size - 8, _LONGEST_HEADER)


def _zip_problem(path: Path) -> str | None:
    """Why a zip is none of torch.save, or None; one that is damaged is for its reader."""
    try:
        with zipfile.ZipFile(path) as file:
            names = [PurePosixPath(name) for name in file.namelist()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if any(len(name.parts) > 1 and name.parts[1] in ("code", "constants.pkl") for name in names):
        return (
            "it is TorchScript, which is a program; where you trust it, "
            "torch.save(torch.jit.load(FILE).state_dict(), ANOTHER) makes a file that can be read"
        )
    if any(name.name == "data.pkl" for name in names):
        return None
    if names and all(name.suffix == ".npy" for name in names):
        return f"it holds arrays of NumPy; {_READ}"
    if any(name.suffix == ".h5" for name in names):
        return f"it is a model of Keras; {_READ}"
    return f"it is a zip of other files; unpack it, and give one; {_READ}"


def _json_problem(path: Path) -> str:
    """Of a text of JSON, where the weights are."""
    try:
        parts = json.loads(path.read_bytes())["weight_map"].values()
        files = sorted(set(map(str, parts)))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, MemoryError):
        return f"it is a text of JSON; {_READ}"
    shown = ", ".join(map(ascii, files[:FILES_SHOWN])) + ", ..." * (len(files) > FILES_SHOWN)
    return (
        f"it is the index of weights in {len(files)} files ({shown}); put these into one: "
        "safetensors.torch.save_file({**load_file(A), **load_file(B)}, FILE)"
    )
