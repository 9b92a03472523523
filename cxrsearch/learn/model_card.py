"""``model.json``: how pixels must reach a model's network, and where the model comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from cxrsearch import __version__
from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.augment import FRAME
from cxrsearch.learn.recipe import Recipe, gene_limits, size_of

FORMAT, VERSION = "cxrsearch model", 1
PRECISIONS = ("float32", "bf16")
INTENDED_USE = "research use only, not for clinical decisions"


@dataclass(frozen=True)
class ModelMeta:
    """Where a model comes from.

    Args:
        frame: side of the square pictures that its pixels are cut from.
        data_fingerprint: of the data set.
        split_fingerprint: of its parts.
        source_side: typical side of the data set's own images; None: not known.
        study: path of the study folder, as text.
        trial: the trial whose recipe it is; None where more than its recipe made the model.
        diseases: those that the recipe was chosen by.
        validation: the trial's own score: ``value``, ``interval``, ``selected_from`` (how many
            trials the choice was among) and what else is to be kept.
        training: how this model was trained: ``rows``, ``epochs``, ``seed``, ``loss``.
        reading: the settings that its data were read with, where no study keeps them.
        also_seen: what it was trained on beside the labelled images of its split: ``images``,
            names of those without a label and of those that its starting weights saw;
            ``contents``, what stands for the file of each of them, empty where not known;
            ``unknown``, weights among those of which nobody knows what they saw.
        precision: ``float32`` or ``bf16``: what it predicts in, on whatever device.
    """

    frame: int
    data_fingerprint: str
    split_fingerprint: str
    source_side: int | None = None
    study: str | None = None
    trial: int | None = None
    diseases: tuple[str, ...] = DISEASES
    validation: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    also_seen: Mapping[str, list[str]] = field(default_factory=dict)
    precision: str = "float32"


def predicting(asked: str) -> str:
    """What a model predicts in, by the precision ``asked`` for its training.

    float32 unless bfloat16 was asked for by name: ``auto`` is a way to train faster where the
    hardware allows it, and no reason for a model to say something else on another machine.
    """
    return "bf16" if asked == "bf16" else "float32"


def make_card(recipe: Recipe, meta: ModelMeta) -> dict[str, Any]:
    """The content of ``model.json``."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "intended_use": INTENDED_USE,
        "diseases": list(DISEASES),
        "pixels": {
            "channels": "one, grey",
            "type": "uint8",
            "frame": meta.frame,
            "frame_filter": "stretched to a square, Lanczos, antialiased",
            "crop": list(size_of(recipe.crop)),
            "crop_unit": f"pixels of a {FRAME}x{FRAME} frame, central",
            "input_size": list(size_of(recipe.input_size)),
            "resize_filter": "bilinear, antialiased",
            "range": [0.0, 1.0],
            "source_side": meta.source_side,
        },
        "recipe": asdict(recipe),
        "precision": meta.precision,
        "data": {
            "fingerprint": meta.data_fingerprint,
            "split_fingerprint": meta.split_fingerprint,
            **({"reading": dict(meta.reading)} if meta.reading else {}),
        },
        "study": {"path": meta.study, "trial": meta.trial, "objective": list(meta.diseases)},
        "validation": dict(meta.validation),
        "training": dict(meta.training),
        **({"also_seen": dict(meta.also_seen)} if meta.also_seen else {}),
        "versions": {"cxrsearch": __version__}
        | {name: metadata.version(name) for name in ("torch", "torchvision")},
    }


def read_card(path: Path) -> dict[str, Any]:
    """The content of ``model.json`` at ``path``, checked.

    Raises:
        InputError: for whatever is missing, damaged or of another format.
    """
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {path.parent} is no model folder") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); restore it from a copy") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise InputError(f"{path}: not a model made by `cxrsearch train`")
    if card.get("version") != VERSION:
        raise InputError(
            f"{path}: format version {card.get('version')!r}, but this program reads {VERSION}; "
            "use the version of cxrsearch that wrote it"
        )
    problems = [f"{path}: {key} is missing or wrong; restore it from a copy"
                for key, kind in (("pixels", dict), ("recipe", dict), ("data", dict),
                                  ("study", dict), ("validation", dict), ("training", dict))
                if not isinstance(card.get(key), kind)]  # fmt: skip
    if problems:
        raise InputError(problems)
    frame = card["pixels"].get("frame")
    if not isinstance(frame, int) or isinstance(frame, bool) or not 1 <= frame <= 8192:
        problems.append(f"{path}: pixels.frame {frame!r} is no size; restore it from a copy")
    if "also_seen" in card and not _is_seen(card["also_seen"]):
        problems.append(f"{path}: also_seen holds no lists of names; restore it from a copy")
    if card.get("precision") not in (None, *PRECISIONS):
        problems.append(
            f"{path}: precision is {card['precision']!r}, neither {' nor '.join(PRECISIONS)}; "
            "restore it from a copy"
        )
    if card.get("diseases") != list(DISEASES):
        problems.append(f"{path}: its diseases are not the 14 of NIH in NIH's order")
    if not all(isinstance(card["data"].get(k), str) for k in ("fingerprint", "split_fingerprint")):
        problems.append(f"{path}: data has no fingerprints; restore it from a copy")
    if problems:
        raise InputError(problems)
    return card


def _is_seen(value: Any) -> bool:
    """Whether ``value`` is what `ModelMeta.also_seen` may be."""
    return (
        isinstance(value, dict)
        and all(
            isinstance(names := value.get(key), list)
            and all(isinstance(name, str) for name in names)
            for key in ("images", "contents", "unknown")
            if key != "contents" or key in value  # an earlier version kept none
        )
        and len(value.get("contents") or value["images"]) == len(value["images"])
    )


def read_recipe(path: Path, values: Mapping[str, Any]) -> Recipe:
    """The recipe in ``model.json`` at ``path``, its values held against the genes' limits.

    Raises:
        InputError: naming each gene that is wrong.
    """
    known = {f.name for f in fields(Recipe)}
    problems = [f"recipe has an unknown gene {name!r}" for name in sorted(set(values) - known)]
    limits = gene_limits()
    for name, value in values.items():
        gene = limits.get(name, {})
        if "choices" in gene and value not in gene["choices"]:
            problems.append(f"recipe.{name} is {value!r}; one of {', '.join(gene['choices'])}")
        if gene.get("size"):
            try:
                size_of(value)
            except ValueError as error:
                problems.append(f"recipe.{name}: {error}")
        elif gene.get("type") in ("int", "float") and (
            isinstance(value, bool) or not isinstance(value, int | float)
        ):
            problems.append(f"recipe.{name} is {value!r}; it must be a number")
    ratios = values.get("ratios", Recipe.ratios)
    if not isinstance(ratios, list | tuple) or len(ratios) != len(Recipe.ratios):
        problems.append(f"recipe.ratios must be {len(Recipe.ratios)} numbers")
    if problems:
        raise InputError([f"{path}: {problem}; restore it from a copy" for problem in problems])
    return Recipe(**{**values, "ratios": tuple(ratios)})
