"""A trained model as a folder: weights, ``model.json``, ``splits.json`` and ``README.md``.

``model.json`` says how pixels must reach the network, what was trained on what, and how
well it did. It carries a digest of itself and of the files beside it. Loading runs no code
from the folder: weights are safetensors, the rest JSON.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cxrsearch.data.files import check_place
from cxrsearch.errors import InputError
from cxrsearch.learn.augment.frames import cut, to_float
from cxrsearch.learn.compute.device import is_out_of_memory, pick_device, release_memory
from cxrsearch.learn.compute.options import AS_IT_IS, ComputeOptions
from cxrsearch.learn.compute.precision import amp_dtype, multiplies
from cxrsearch.learn.networks import models
from cxrsearch.learn.networks.weights.places import MODEL_FILE
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.learn.saved import checkpoint
from search.files import write_json, write_text

from .card import ModelMeta, check_files, digests, make_card, read_card, read_recipe
from .operating import write_first_points
from .predictor import SPLITS, ModelPart, Predictor
from .promise import README, readme
from .validation import VALIDATION_SCORES, ValidationScores
from .views import NONE, View, views

__all__ = [
    "LoadedModel",
    "ModelMeta",
    "check_out",
    "load_model",
    "save_model",
    "trial_model",
    "whole_folder",
]

WEIGHTS, CARD = MODEL_FILE, "model.json"

MODEL_NAME_BYTES = 255 - len("..XXXXXXXX.tmp")
"""Bytes of a folder's name at most, as it is made beside itself under a longer one."""

BATCH = 32
"""Images scored at a time; halved where memory runs out."""


def check_out(folder: Path) -> None:
    """Refuse a model folder that could not be written at the end of a training.

    Raises:
        InputError: where it exists with something in it, is a file, has too long a name, lies
            among a study's trials, or its place is not to be written to.
    """
    if folder.name in ("", ".."):  # a folder cannot be put in place of itself
        raise InputError(f"--out {folder}: name a new folder in it, such as {folder / 'model'}")
    place = _behind_links(folder)
    if place.is_file():
        raise InputError(f"--out {folder}: that is a file; name a folder")
    if place.is_dir() and any(place.iterdir()):
        raise InputError(f"--out {folder}: exists and is not empty; name another folder")
    if (length := len(os.fsencode(place.name))) > MODEL_NAME_BYTES:
        raise InputError(
            f"--out {folder}: a name of {length} bytes, and names beside it are longer; name a "
            f"folder with {MODEL_NAME_BYTES} at most"
        )
    for around in place.parents:
        if around.name == "trials" and (around.parent / "study.yaml").is_file():
            raise InputError(
                f"--out {folder}: among the trials of the study {around.parent}, where a trial "
                "may come to lie; name another folder"
            )
    check_place(place)


def _behind_links(folder: Path) -> Path:
    """Where ``folder`` really lies: a folder cannot be put in place of a link to one.

    Raises:
        InputError: where its links go round in a circle, or cannot be followed.
    """
    try:
        return folder.resolve()
    except (OSError, RuntimeError) as error:  # Python up to 3.12 says RuntimeError of a circle
        raise InputError(
            f"--out {folder}: cannot be followed to where it lies ({error}); name another folder"
        ) from error


def save_model(
    folder: Path,
    model: nn.Module | Mapping[str, Tensor],
    recipe: Recipe,
    meta: ModelMeta,
    splits: Path | None = None,
    beside: Sequence[Path] = (),
    validation: ValidationScores | None = None,
) -> None:
    """Write a model folder, which is either there with all of its files or not at all.

    Args:
        folder: must not exist, or be empty.
        model: a `models.Network`, or the weights of one; they are saved as they are.
        recipe: what it was built from.
        meta: where it comes from.
        splits: the study's ``splits.json``, copied along so that `evaluate` finds its test part.
        beside: further files to copy along.
        validation: what a network of this recipe, which did not see the validation part, said of
            it: kept beside the weights, with operating points that are chosen by it.

    Raises:
        InputError: where ``folder`` holds something.
    """
    weights = model.state_dict() if isinstance(model, nn.Module) else model
    with whole_folder(folder) as work:
        checkpoint.save_tensors(work / WEIGHTS, weights, {checkpoint.LABELS: list(meta.labels)})
        if splits is not None:
            shutil.copyfile(splits, work / SPLITS)
        for file in beside:
            shutil.copyfile(file, work / file.name)
        if validation is not None:
            validation.save(work)
        names = sorted(path.name for path in work.iterdir())
        card = make_card(recipe, meta, digests(work, names))
        if validation is not None:
            only = meta.training.get("only")
            card[VALIDATION_SCORES] = validation.described()
            write_first_points(work, [only] if only else meta.labels, validation)
        write_json(work / CARD, card)
        write_text(work / README, readme(card))  # for people, who may change it: no digest


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of ``folder`` at the end, or vanishes on an error.

    Raises:
        InputError: where ``folder`` holds something.
    """
    check_out(folder)
    folder = _behind_links(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # As mkdtemp names them, and no longer: ".a.b.XXXXXXXX.tmp" is of a folder "a.b", not of "a".
    own = re.compile(re.escape(f".{folder.name}.") + r"[a-z0-9_]{8}\.tmp")
    for leftover in [place for place in folder.parent.iterdir() if own.fullmatch(place.name)]:
        shutil.rmtree(leftover, ignore_errors=True)  # of a save that was killed
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        yield work
        work.chmod(0o755)
        work.replace(folder)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise


def save_best(
    folder: Path,
    weights: Path,
    recipe: Recipe,
    meta: ModelMeta,
    splits: Path | None = None,
    validation: ValidationScores | None = None,
) -> None:
    """`save_model` of the weights that a trial kept of its best epoch.

    Raises:
        InputError: where ``folder`` holds something, or the weights are not of ``recipe``.
    """
    network = network_of(recipe, weights, len(meta.labels))
    save_model(folder, network, recipe, meta, splits, validation=validation)


@dataclass(frozen=True)
class LoadedModel(Predictor):
    """A model that predicts; its card is ``model.json``.

    Args:
        recipe: what it was built from.
        network: in evaluation mode, on ``device``.
        compute: where it computes, and how.
        tta: test-time augmentation, as in `cxrsearch.model.views`.
    """

    recipe: Recipe
    network: nn.Module
    compute: ComputeOptions
    tta: str = NONE

    @property
    def labels(self) -> tuple[str, ...]:
        """What the network's outputs are."""
        return tuple(self.card["labels"])

    @property
    def parts(self) -> tuple[ModelPart, ...]:
        """The networks that a prediction takes: this one."""
        return (ModelPart(self.folder, self.card, self.recipe),)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return pick_device(self.compute.device)

    @property
    def precision(self) -> str:
        """What it computes in: as asked for, or else what its card says.

        The card of an earlier version says nothing: bfloat16 on a GPU that has it, else float32.
        """
        if self.compute.precision != "auto":
            return self.compute.precision
        return str(self.card.get("precision") or _before(self.device))

    @property
    def covered(self) -> tuple[int, ...]:
        """Columns of the labels that it was trained on: all, or the only one."""
        only = self.card["training"].get("only")
        return tuple(i for i, name in enumerate(self.labels) if only in (None, name))

    def predict(
        self,
        images: np.ndarray,
        rows: np.ndarray | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Probabilities of its labels; see `Predictor.predict`."""
        shape = (self.frame, self.frame)
        if images.ndim != 3 or images.shape[1:] != shape or images.dtype != np.uint8:
            raise InputError(
                f"pictures of shape {images.shape} and type {images.dtype}, but {self.folder} "
                f"takes (n, {self.frame}, {self.frame}) uint8; decode them at that size"
            )
        chosen = np.arange(len(images)) if rows is None else np.asarray(rows, np.int64)
        scores = np.zeros((len(chosen), len(self.labels)), np.float32)
        done, size = 0, BATCH
        while done < len(chosen):
            part = chosen[done : done + size]
            found = self._scored(images, part)
            if found is None and size == 1:
                raise InputError(f"{self.device}: out of memory with one image; use another device")
            if found is None:
                release_memory(self.device)
                size //= 2
                continue
            scores[done : done + len(part)] = found
            done += len(part)
            if on_progress is not None:
                on_progress(done, len(chosen))
        return scores

    @torch.inference_mode()
    def _scored(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray | None:
        """(b, k) probabilities, or None where memory ran out."""
        kind = amp_dtype(self.device, self.precision)
        seen = views(self.tta, images.shape[1], self.recipe.crop)
        try:
            with torch.autocast(self.device.type, kind, enabled=kind is not None):
                logits = [self.network(self._seen(images, rows, view)).float() for view in seen]
            return torch.sigmoid(torch.stack(logits).mean(dim=0)).cpu().numpy()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return None

    def _seen(self, images: np.ndarray, rows: np.ndarray, view: View) -> Tensor:
        """(b, 1, H, W) of the images as the network takes them, in one view."""
        batch = cut(images, rows, view.place, self.recipe.input_size).to(self.device)
        grey = to_float(view.of(batch))
        return grey.contiguous(memory_format=torch.channels_last)


def load_model(
    folder: Path, compute: ComputeOptions = AS_IT_IS, tta: str | None = None
) -> LoadedModel:
    """Read a model folder.

    Args:
        folder: as `save_model` wrote it.
        compute: where it is to compute, and how.
        tta: what it predicts the mean over, see `cxrsearch.model.views`; None: what its card says.

    Raises:
        InputError: for whatever is missing, damaged, of another format or does not fit.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such model folder; make one with `cxrsearch train`")
    card = read_card(folder / CARD)
    recipe = read_recipe(folder / CARD, card["recipe"])
    where = pick_device(compute.device)
    sizes = {"crop": recipe.crop, "input_size": recipe.input_size}
    strange = [n for n, size in sizes.items() if card["pixels"].get(n) != list(size_of(size))]
    if strange:
        raise InputError(
            f"{folder / CARD}: pixels and recipe do not agree in {' and '.join(strange)}; restore "
            "it from a copy"
        )
    network = ready_network(folder / WEIGHTS, recipe, len(card["labels"]), where)
    check_files(folder, card, card.get("files", {}))
    seen = card.get("tta", NONE) if tta is None else tta
    return LoadedModel(folder, card, recipe, network, compute, seen)


def trial_model(
    weights: Path,
    recipe: Recipe,
    labels: Sequence[str],
    frame: int,
    compute: ComputeOptions = AS_IT_IS,
) -> LoadedModel:
    """The model that a trial's ``best.safetensors`` is, before there is a folder of it.

    Args:
        weights: the file.
        recipe: the trial's.
        labels: those of its data.
        frame: side of the square pictures that it was trained on.
        compute: as the trial computed, so that what it says of other images can stand beside its
            scores of the validation part.

    Raises:
        InputError: where the file is missing, damaged or does not fit.
    """
    meta = ModelMeta(frame, "", "", tuple(labels), precision=compute.precision)
    network = ready_network(weights, recipe, len(labels), pick_device(compute.device))
    return LoadedModel(weights.parent, make_card(recipe, meta), recipe, network, compute)


def _before(device: torch.device) -> str:
    """What models whose card says nothing of it predicted in."""
    return "bf16" if device.type == "cuda" and multiplies(device, torch.bfloat16) else "float32"


def ready_network(weights: Path, recipe: Recipe, n_classes: int, device: torch.device) -> nn.Module:
    """The network of ``recipe`` with the weights of a file, ready to predict."""
    network = network_of(recipe, weights, n_classes).to(device)
    return models.in_channels_last(network).eval().requires_grad_(False)


def network_of(recipe: Recipe, path: Path, n_classes: int) -> nn.Module:
    """The network of ``recipe`` with ``n_classes`` outputs and the weights in ``path``."""
    state = stored_weights(path)
    # Built without content: its start would be thrown away, and takes seconds for VGG16.
    with torch.device("meta"):
        network = models.build_model(replace(recipe, init="none"), n_classes=n_classes)
    _check_fit(path, network.state_dict(), state)
    network.load_state_dict(state, assign=True)
    return network


def stored_weights(path: Path) -> dict[str, Tensor]:
    """The weights in ``path``, which one of our trainings wrote.

    Raises:
        InputError: where it is not there, or damaged.
    """
    try:
        state, _ = checkpoint.load_tensors(path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; restore it from a copy") from None
    except checkpoint.CheckpointError as error:
        raise InputError(f"{path.parent}: {error}; restore it from a copy") from error
    return state


def _check_fit(path: Path, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Raise where ``state`` is not of the network that ``model.json`` describes."""
    wrong = {
        "missing": [name for name in own if name not in state],
        "unknown": [name for name in state if name not in own],
        "of another shape or type": [
            name for name in own
            if name in state
            and (own[name].shape, own[name].dtype) != (state[name].shape, state[name].dtype)
        ],
        "not finite": [name for name, value in state.items() if not torch.isfinite(value).all()],
    }  # fmt: skip
    problems = [
        f"{path}: {len(names)} tensors are {what}, such as {names[0]}; the file is not of the "
        "network in model.json"
        for what, names in wrong.items()
        if names
    ]
    if problems:
        raise InputError(problems)
