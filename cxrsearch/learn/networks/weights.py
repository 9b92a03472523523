"""Starting weights from files: where they lie, what is in them, and how they are loaded.

Nothing is ever unpickled beyond plain tensors: files are safetensors, or go through
torch's ``weights_only`` reader.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import Tensor

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.saved.checkpoint import LABELS, CheckpointError, is_ours, load_tensors

from .architectures import NETWORKS
from .stem import fold
from .torchvision_import import models as vision_models

HEAD = "classifier."
"""Keys of the layers that turn features into logits; these alone need not fit."""

PREFIXES = (
    "module", "model", "net", "network", "backbone", "encoder", *NETWORKS, "_orig_mod",
)  # fmt: skip
"""What training scripts, and torch's own wrappers, put before the names of a network's tensors."""

LEVELS = 4
"""So many mappings within each other are looked through for a state dict."""

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
"""Types of weights that are taken over, as float32."""

_NESTED = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params",
)  # fmt: skip
_OLD_DENSE_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")
_COUNTER = "num_batches_tracked"


class _Found(NamedTuple):
    """The tensors of a file by name, and what it holds beside them."""

    tensors: dict[str, Tensor]
    notes: list[str]


def imagenet_url(model: str) -> str:
    """Where torchvision publishes the ImageNet weights of ``model``."""
    return str(vision_models.get_model_weights(model)["IMAGENET1K_V1"].url)


def find_weights(init: str, model: str, weights_dir: Path | None = None) -> Path:
    """The file that ``init`` means for ``model``; not whether it exists.

    Args:
        init: ``imagenet`` or a path.
        model: name of a network.
        weights_dir: folder with torchvision's files; torch.hub's own by default.
    """
    if init != "imagenet":
        return Path(init).expanduser()
    name = PurePosixPath(urlparse(imagenet_url(model)).path).name
    folder = weights_dir or Path(torch.hub.get_dir()) / "checkpoints"
    return folder / name


def missing_problem(init: str, model: str, path: Path) -> str:
    """What to tell someone whose weights file ``path`` is not there."""
    if init != "imagenet":
        return f"init: no weights file {path}; give an existing file, 'imagenet' or 'none'"
    return (
        f"init: imagenet needs torchvision's weights of {model}, and {path} is not there; "
        f"put {imagenet_url(model)} there, or use init: none"
    )


def download_weights(model: str, weights_dir: Path | None = None) -> Path:
    """Fetch the ImageNet weights of ``model``, checked against the hash in their name.

    Raises:
        InputError: where they cannot be had.
    """
    path = find_weights("imagenet", model, weights_dir)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            hash_prefix = path.stem.rpartition("-")[2]
            torch.hub.download_url_to_file(imagenet_url(model), str(path), hash_prefix)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{missing_problem('imagenet', model, path)} ({error})") from error
    return path


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in ``path``: .safetensors, or what ``torch.save`` made of one.

    It may lie within other mappings (``{"state_dict": ...}``), beside whatever else a training
    script keeps; old torchvision DenseNet names and `PREFIXES` on every key are understood. Weights
    of other types become float32.

    Raises:
        InputError: where the file cannot be read as weights.
    """
    return _read(path).tensors


def starting_weights(
    own: Mapping[str, Tensor], path: Path, stem: str, labels: Sequence[str] = ()
) -> tuple[dict[str, Tensor], list[str]]:
    """What a network takes over of the file ``path``; see `read_weights` and `fitted`.

    The last layer of its head is of labels: one of the same labels is taken over, its rows in the
    network's own order, and one of others is not.

    Args:
        own: the network's state dict.
        path: the file.
        stem: name of the stem.
        labels: what the network's outputs are of; empty: whatever the file's are of.

    Returns:
        Tensors for ``load_state_dict(..., strict=False)``, and notes on what was left out.

    Raises:
        InputError: where the file cannot be read as weights, or does not fit.
    """
    state, notes = _read(path)
    if labels:
        notes += _settle_head(own, state, path, labels)
    fits, left_out = fitted(own, state, stem, str(path))
    return fits, [*notes, *left_out]


def labels_in(path: Path, outputs: int) -> tuple[str, ...]:
    """What the outputs of the network in ``path`` are of; empty where nobody knows.

    Our own files say it. Those of before labels had names are NIH's.

    Args:
        path: the file.
        outputs: how many there are.
    """
    if path.suffix != ".safetensors" or not is_ours(path):
        return ()
    info = load_tensors(path)[1]
    named = info.get(LABELS) if isinstance(info, Mapping) else None
    found = tuple(map(str, named)) if isinstance(named, list) else DISEASES
    return found if len(found) == outputs else ()


def _settle_head(
    own: Mapping[str, Tensor], state: dict[str, Tensor], path: Path, labels: Sequence[str]
) -> list[str]:
    """Put the rows of the last layer in ``state`` in order, or leave it out; notes on that."""
    head = [key for key in own if key.startswith(HEAD)]
    last = head[-1].rpartition(".")[0] if head else HEAD
    layer = [key for key in state if key.startswith(f"{last}.")]
    if not layer:
        return []
    theirs, ours = labels_in(path, len(state[layer[0]])), tuple(labels)
    if theirs == ours or any(len(state[key]) != len(ours) for key in layer):
        return []  # another shape is said by `fitted`
    if not theirs:
        return [f"{path}: head taken over, although the file does not say what labels it is of"]
    if set(theirs) != set(ours):
        for key in layer:
            del state[key]
        return [f"{path}: its head is of other labels ({_names(theirs)})"]
    order = torch.tensor([theirs.index(name) for name in ours])
    state.update({key: state[key].index_select(0, order) for key in layer})
    return [f"{path}: head taken over, with its labels in the order of the data's"]


def _read(path: Path) -> _Found:
    if not path.is_file():
        raise InputError(f"{path}: no such file, or none that can be read as weights")
    loaded = _load_safetensors(path) if path.suffix == ".safetensors" else _torch_load(path)
    state, notes = _state_in(loaded, path)
    size = path.stat().st_size
    problems: dict[str, list[str]] = {}
    for name, value in state.items():
        if problem := _problem(name, value, size):
            problems.setdefault(problem, []).append(name)
    if problems:
        raise InputError([f"{path}: {_some(names)} {what}" for what, names in problems.items()])
    found = {_modern(name): _plain(value) for name, value in _strip(state).items()}
    if len(found) < len(state):
        raise InputError(f"{path}: names a tensor twice, as old and as new versions of torch do")
    return _Found(found, notes)


def _load_safetensors(path: Path) -> Any:
    try:
        # What we wrote ourselves carries a checksum.
        return load_tensors(path)[0] if is_ours(path) else load_file(path)
    except CheckpointError as error:
        raise InputError(f"{path.parent}: {error}; restore it from a copy") from error
    except Exception as error:  # types of tensors that torch lacks are KeyErrors
        raise _unread(path, _first_line(error)) from error


def _torch_load(path: Path) -> Any:
    # torch answers damage with errors of many kinds (pickle, zip, runtime, key, EOF, ...),
    # and all of them mean the same to whoever named the file.
    try:
        with path.open("rb") as file:
            zipped = file.read(4) == b"PK\x03\x04"  # by which torch, too, tells them
        if zipped:
            _check_zip(path)
        return torch.load(str(path), map_location="cpu", weights_only=True, mmap=zipped)
    except InputError:
        raise
    except pickle.UnpicklingError as error:  # torch's own words advise to load it unsafely
        raise _unread(
            path,
            "no file of torch.save, or one that holds more than tensors; save model.state_dict() "
            "alone",
        ) from error
    except Exception as error:
        raise _unread(path, _first_line(error)) from error


def _check_zip(path: Path) -> None:
    """Refuse a zip that unpacks to more than it is, as torch packs nothing, or is damaged."""
    with zipfile.ZipFile(path) as file:
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


def _state_in(loaded: Any, path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors by name within ``loaded``, and notes on what is beside them.

    Raises:
        InputError: where there are none, or where several could be meant.
    """
    found, where, notes = loaded, "", []
    for _ in range(LEVELS):
        if not isinstance(found, Mapping):
            break
        inner = [key for key in found if isinstance(found[key], Mapping) and _holds(found[key])]
        tensors = {key: value for key, value in found.items() if isinstance(value, Tensor)}
        chosen = next((key for key in _NESTED if key in inner), None)
        if chosen is None and not tensors and inner:
            if len(inner) > 1:
                raise InputError(
                    f"{path}: {_names(inner)} could each be the weights; save the state dict of "
                    "one of them alone"
                )
            chosen = inner[0]
        others = [key for key in found if key != chosen and (chosen or key not in tensors)]
        if others:
            notes.append(f"{path}: not taken for weights: {_names(others)}{where}")
        if chosen is None:
            strange = [key for key in tensors if not isinstance(key, str)]
            if strange:
                raise InputError(
                    f"{path}: a tensor is called {_short(strange[0])}; save "
                    "model.state_dict() alone"
                )
            if tensors:
                return tensors, notes
            break
        found, where = found[chosen], f" beside {_short(chosen)}"
    if isinstance(loaded, Mapping) and loaded:
        raise InputError(
            f"{path}: holds more than tensors by name, or none ({_names(loaded)}); save "
            "model.state_dict() alone"
        )
    raise InputError(f"{path}: holds no state dict (tensors by name)")


def _holds(value: Mapping[Any, Any], levels: int = LEVELS) -> bool:
    """Whether there are tensors by name in a mapping, or in one within it."""
    items = [item for key, item in value.items() if isinstance(key, str)]
    return any(isinstance(item, Tensor) for item in items) or (
        levels > 1 and any(isinstance(item, Mapping) and _holds(item, levels - 1) for item in items)
    )


def _problem(name: str, value: Tensor, size: int) -> str | None:
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
    counts = name.endswith(_COUNTER) and not value.dtype.is_complex
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
    return None


def _plain(value: Tensor) -> Tensor:
    """A weight in float32; a counter as it is."""
    return value.detach().float() if value.is_floating_point() else value


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without the prefixes that all of its names have."""
    while state:
        first = next(iter(state)).partition(".")[0]
        prefix = f"{first}."
        if first not in PREFIXES or not all(name.startswith(prefix) for name in state):
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _modern(name: str) -> str:
    return _OLD_DENSE_KEY.sub(r"\1", name)


def _short(name: object) -> str:
    """A name out of a file, fit for a message."""
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _names(names: Iterable[object]) -> str:
    every = [_short(name) for name in names]
    return ", ".join(every[:5]) + (f" and {len(every) - 5} more" if len(every) > 5 else "")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(_short(name)[1:-1] for name in names[:3])
    count = f"{len(names)} tensor{'s' * (len(names) > 1)}"
    return f"{count} ({shown}{', ...' if len(names) > 3 else ''})"


def fitted(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], stem: str, source: str
) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors of ``state`` that a network with the state dict ``own`` takes over.

    A three-channel stem is folded to the one-channel one. Head layers that are absent or
    of another shape are left out; everything else has to fit.

    Args:
        own: of a network with a `GreyStem`; only names and shapes are looked at.
        state: weights by torchvision's names.
        stem: name of the stem, such as ``features.conv0``.
        source: what messages call the file.

    Returns:
        Tensors for ``load_state_dict(..., strict=False)``, and notes on what was left out.

    Raises:
        InputError: counts and examples of what does not fit.
    """
    given = dict(state)
    weight, filters = given.get(f"{stem}.weight"), own[f"{stem}.weight"].shape
    if weight is not None and weight.shape == (filters[0], 3, *filters[2:]):
        given[f"{stem}.weight"], given[f"{stem}.offset"] = fold(weight)
    fits = {k: v for k, v in given.items() if k in own and v.shape == own[k].shape}
    # Files older than PyTorch 0.4.1 lack the counters, which nothing reads.
    needed = [k for k in own if not k.endswith("num_batches_tracked")]
    bad = {
        "missing": [k for k in needed if k not in given],
        "unknown": [k for k in given if k not in own],
        "of another shape": [k for k in given if k in own and k not in fits],
    }
    body = {what: [k for k in names if not k.startswith(HEAD)] for what, names in bad.items()}
    if any(body.values()):
        counts = "; ".join(f"{_some(names)} {what}" for what, names in body.items() if names)
        raise InputError(f"{source}: does not fit this network: {counts}")
    left = sorted({k for names in bad.values() for k in names})
    return fits, [f"{source}: head not taken over: {_some(left)}"] if left else []
