"""Starting weights from files: where they lie, what is in them, and how they are loaded.

Nothing is ever unpickled beyond plain tensors: files are safetensors, or go through
torch's ``weights_only`` reader.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from cxrsearch.errors import InputError
from cxrsearch.learn.stem import fold
from cxrsearch.learn.vision import models as vision_models

HEAD = "classifier."
"""Keys of the layers that turn features into logits; these alone need not fit."""

_NESTED = ("state_dict", "model_state_dict", "model")  # where training scripts put the weights
_OLD_DENSE_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")


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

    Old torchvision DenseNet names, a ``module.`` or ``net.`` prefix on every key, and one
    level of nesting (``{"state_dict": ...}``) are understood.

    Raises:
        InputError: where the file cannot be read as weights.
    """
    try:
        state: Any = load_file(path) if path.suffix == ".safetensors" else _torch_load(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: cannot be read as weights ({_first_line(error)})") from error
    for key in _NESTED:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state:
        raise InputError(f"{path}: holds no state dict (tensors by name)")
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise InputError(f"{path}: holds more than tensors by name; save model.state_dict() alone")
    broken = [name for name, value in state.items() if not torch.isfinite(value).all()]
    if broken:
        raise InputError(f"{path}: {_some(broken)} not finite; the file is damaged or diverged")
    return {_modern(name): value for name, value in _strip(dict(state)).items()}


def _torch_load(path: Path) -> Any:
    # torch answers damage with errors of many kinds (pickle, zip, runtime, key, EOF, ...),
    # and all of them mean the same to whoever named the file.
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except pickle.UnpicklingError as error:  # torch's own words advise to load it unsafely
        raise InputError(
            f"{path}: cannot be read as weights: no file of torch.save, or one that holds more "
            "than tensors; save model.state_dict() alone"
        ) from error
    except Exception as error:
        raise InputError(f"{path}: cannot be read as weights ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in ("module.", "net."):
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _modern(name: str) -> str:
    return _OLD_DENSE_KEY.sub(r"\1", name)


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{len(names)} tensors ({shown}{', ...' if len(names) > 3 else ''})"


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
    weight = given.get(f"{stem}.weight")
    if weight is not None and weight.ndim == 4 and weight.shape[1] == 3:
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
