"""``model.json``: how pixels must reach a model's network, and where the model comes from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.marks import absent, present
from cxrsearch.errors import InputError
from cxrsearch.learn.augment.frames import FRAME
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.recipe import Recipe, gene_limits, ratios_of, size_of
from cxrsearch.version import __version__
from search.reading import FileError, number, read_json, whole
from search.space.values import limit_problem

from .views import NONE, TTA

MODEL_PRECISIONS = ("float32", "bf16", "fp16")
LARGEST = 8192
"""Side of the largest pictures that a model takes."""
INTENDED_USE = "research use only, not for clinical decisions"


RESTORE_CARD = "restore it from a copy"


class CardKind(NamedTuple):
    """A kind of card.

    Args:
        format: how it names itself.
        version: the one that this program writes; it reads those before too.
        what: what it is, for messages.
        made: what it should be and which command makes it, for messages.
        keys: those that it must have, and of which type.
    """

    format: str
    version: int
    what: str
    made: str
    keys: Mapping[str, type]


MODEL_KIND = CardKind(
    "cxrsearch model", 2, "the model's card", "a model made by `cxrsearch train`",
    dict.fromkeys(("pixels", "recipe", "data", "study", "validation", "training"), dict),
)  # fmt: skip


@dataclass(frozen=True)
class ModelMeta:
    """Where a model comes from.

    Args:
        frame: side of the square pictures that its pixels are cut from.
        data_fingerprint: of the data set.
        split_fingerprint: of its parts.
        labels: what the network's outputs are, in their order.
        source_side: typical side of the data set's own images; None: not known.
        study: path of the study folder, as text.
        trial: the trial whose recipe it is; None where more than its recipe made the model.
        objective: the labels that the recipe was chosen by; empty: all.
        validation: the trial's own score: ``value``, ``interval``, ``selected_from`` (how many
            trials the choice was among) and what else is to be kept: of a study's winner what the
            choice is worth, see `cxrsearch.model.promise.promised_in`.
        training: how this model was trained: ``rows``, ``epochs``, ``seed``, ``loss``.
        reading: the settings that its data were read with, where no study keeps them.
        description: how the data set was read; see `Dataset.description`.
        also_seen: what it was trained on beside the labelled images of its split: ``images``,
            names of those without a label and of those that its starting weights saw;
            ``contents``, what stands for the file of each of them, empty where not known;
            ``unknown``, weights among those of which nobody knows what they saw.
        precision: ``float32``, ``bf16`` or ``fp16``: what it predicts in, on whatever device.
        tta: what it predicts the mean over, unless told otherwise; see `cxrsearch.model.views`.
        seen: what its training pictures look like; see `cxrsearch.data.pixels.appearance`.
    """

    frame: int
    data_fingerprint: str
    split_fingerprint: str
    labels: tuple[str, ...]
    source_side: int | None = None
    study: str | None = None
    trial: int | None = None
    objective: tuple[str, ...] = ()
    validation: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    description: Mapping[str, Any] = field(default_factory=dict)
    also_seen: Mapping[str, list[str]] = field(default_factory=dict)
    precision: str = "float32"
    tta: str = NONE
    seen: Mapping[str, Any] = field(default_factory=dict)


def predicting(asked: str) -> str:
    """What a model predicts in, by the precision ``asked`` for its training.

    float32 unless another was asked for by name: ``auto`` is a way to train faster where the
    hardware allows it, and no reason for a model to say something else on another machine.
    """
    return asked if asked in MODEL_PRECISIONS else "float32"


def make_card(
    recipe: Recipe, meta: ModelMeta, files: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The content of ``model.json``.

    Args:
        recipe: the model's.
        meta: where it comes from.
        files: the `digests` of the files that it belongs to.
    """
    return {
        "format": MODEL_KIND.format,
        "version": MODEL_KIND.version,
        "intended_use": INTENDED_USE,
        "labels": list(meta.labels),
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
            **({"seen": dict(meta.seen)} if meta.seen else {}),
        },
        "recipe": asdict(recipe),
        "precision": meta.precision,
        **({"tta": meta.tta} if meta.tta != NONE else {}),
        "data": {
            "fingerprint": meta.data_fingerprint,
            "split_fingerprint": meta.split_fingerprint,
            **({"reading": dict(meta.reading)} if meta.reading else {}),
            **({"description": dict(meta.description)} if meta.description else {}),
        },
        "study": {
            "path": meta.study,
            "trial": meta.trial,
            "objective": list(meta.objective or meta.labels),
        },
        "validation": dict(meta.validation),
        "training": dict(meta.training),
        **({"also_seen": dict(meta.also_seen)} if meta.also_seen else {}),
        **({"files": dict(files)} if files else {}),
        "versions": {"cxrsearch": __version__}
        | {name: metadata.version(name) for name in ("torch", "torchvision")},
    }


def taught(data: TrainData, recipe: Recipe) -> dict[str, dict[str, Any]]:
    """What the training part of ``data`` says of each label that is learnt, for ``training``.

    Returns:
        by label: ``positive``, ``negative``, ``unknown`` and ``uncertain`` marks, and where there
        are some of the last, what they count as for ``recipe``: ``uncertain_as``.
    """
    marks = data.labels[data.train]
    doubts = np.zeros(marks.shape, bool) if data.uncertain is None else data.uncertain[data.train]
    found = {}
    for column in data.learnt:
        counts = {
            "positive": int(present(marks[:, column]).sum()),
            "negative": int(absent(marks[:, column]).sum()),
            "uncertain": int(doubts[:, column].sum()),
        }
        policy = data.policies(recipe.uncertain)[column]
        found[data.label_names[column]] = {
            **counts,
            "unknown": len(marks) - sum(counts.values()),
            **({"uncertain_as": policy} if counts["uncertain"] else {}),
        }
    return found


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The SHA-256 digests of files in ``folder``, as a card keeps them under ``files``."""
    found = {}
    for name in names:
        with (folder / name).open("rb") as file:
            found[name] = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    return found


def check_files(folder: Path, card: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse files that are not those which a card was written with.

    Args:
        folder: where the card and the files lie.
        card: of an earlier version, it says nothing of its files, and none is refused.
        names: those to look at; one that is not there is left to its reader.

    Raises:
        InputError: naming each that is another.
    """
    wanted = card.get("files", {})
    found = digests(folder, (n for n in names if n in wanted and (folder / n).is_file()))
    problems = [
        f"{folder / name}: not the file that the model was written with: damaged, or of another; "
        "restore it from a copy"
        for name, digest in found.items()
        if digest != wanted[name]
    ]
    if problems:
        raise InputError(problems)


def open_card(
    path: Path, kind: CardKind, missing: str = f"no such file; {RESTORE_CARD}"
) -> dict[str, Any]:
    """The JSON object in the card ``path``, of the right format and with the keys of its ``kind``.

    Raises:
        InputError: where it is missing, damaged, of another format or was changed since it was
            written.
    """
    try:
        card = read_json(path, kind.what)
    except FileNotFoundError:
        raise InputError(f"{path}: {missing}") from None
    except FileError as error:
        raise InputError(error.problems) from None
    if not isinstance(card, dict) or card.get("format") != kind.format:
        raise InputError(f"{path}: not {kind.made}")
    if card.get("version") not in range(1, kind.version + 1):
        raise InputError(
            f"{path}: format version {card.get('version')!r}, but this program reads up to "
            f"{kind.version}; use the version of cxrsearch that wrote it"
        )
    problems = [
        f"{path}: {key} is missing or wrong; {RESTORE_CARD}"
        for key, wanted in kind.keys.items()
        if not isinstance(card.get(key), wanted)
    ]
    if problems:
        raise InputError(problems)
    return card


def read_card(path: Path) -> dict[str, Any]:
    """The content of ``model.json`` at ``path``, checked.

    Version 1 knew no names of labels: its ``labels`` are NIH's diseases.

    Raises:
        InputError: for whatever is missing, damaged or of another format.
    """
    card = open_card(path, MODEL_KIND, f"no such file; {path.parent} is not a model folder")
    if card["version"] == 1:
        if card.get("diseases") != list(DISEASES):
            raise InputError(f"{path}: its diseases are not the 14 of NIH in NIH's order")
        card = {**card, "labels": list(DISEASES)}
    labels = card.get("labels")
    if not isinstance(labels, list) or not _are_labels(labels):
        raise InputError(f"{path}: labels holds no names, or one twice; {RESTORE_CARD}")
    found = [*data_problems(card, labels), *_wrong(card, labels)]
    problems = [f"{path}: {problem}" for problem in found]
    if problems:
        raise InputError(problems)
    return card


def data_problems(card: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """What cannot be so in what every card says: of pixels, data, study and files.

    Args:
        card: of a model or an ensemble.
        labels: what it predicts.
    """
    frame, data, study = card["pixels"].get("frame"), card["data"], card["study"]
    problems = []
    if not isinstance(frame, int) or whole(frame, 1, LARGEST) is None:
        problems.append(f"pixels.frame {frame!r} is not a size; {RESTORE_CARD}")
    if not all(isinstance(data.get(name), str) for name in ("fingerprint", "split_fingerprint")):
        problems.append(f"data has no fingerprints; {RESTORE_CARD}")
    if not isinstance(study.get("path"), str | None):
        problems.append(f"study.path is not text; {RESTORE_CARD}")
    objective = study.get("objective", [])
    if not isinstance(objective, list) or not all(name in labels for name in objective):
        problems.append(f"study.objective holds other names than its labels; {RESTORE_CARD}")
    if not _are_digests(card.get("files", {})):
        problems.append(f"files holds no digests; {RESTORE_CARD}")
    return problems


def _wrong(card: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """What cannot be so in what a single model's card says."""
    side, trial = card["pixels"].get("source_side"), card["study"].get("trial")
    only = card["training"].get("only")
    problems = []
    if side is not None and number(side, 1, 1e6) is None:
        problems.append(f"pixels.source_side {side!r} is not a size; {RESTORE_CARD}")
    if "also_seen" in card and not _is_seen(card["also_seen"]):
        problems.append(f"also_seen holds no lists of names; {RESTORE_CARD}")
    if card.get("precision") not in (None, *MODEL_PRECISIONS):
        which = " nor ".join(MODEL_PRECISIONS)
        problems.append(f"precision is {card['precision']!r}, neither {which}; {RESTORE_CARD}")
    if card.get("tta", NONE) not in TTA:
        known = ", ".join(TTA)
        problems.append(f"tta is {card['tta']!r}, none of {known}; {RESTORE_CARD}")
    problems += [
        f"data.{key} holds no settings; {RESTORE_CARD}"
        for key in ("reading", "description")
        if not isinstance(card["data"].get(key, {}), dict)
    ]
    if trial is not None and whole(trial, 0) is None:
        problems.append(f"study.trial {trial!r} is not a trial's number; {RESTORE_CARD}")
    if only is not None and only not in labels:
        problems.append(f"training.only {only!r} is none of its labels; {RESTORE_CARD}")
    return problems


def _are_labels(values: list[Any]) -> bool:
    """Whether ``values`` are names, one at least and none twice."""
    if not all(isinstance(name, str) and name.strip() for name in values):
        return False
    return 0 < len(values) == len(set(values))


def _are_digests(value: Any) -> bool:
    """Whether ``value`` is as from `digests`."""
    return isinstance(value, dict) and all(isinstance(digest, str) for digest in value.values())


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
    limits, plain = gene_limits(), dict(values)
    for name, value in values.items():
        if name == "ratios" or name not in known:
            continue
        gene = limits[name]
        if problem := _gene_problem(value, gene):
            problems.append(f"recipe.{name} is {_shown(value)}; {problem}")
        elif gene["type"] == "int" and not gene.get("size"):
            plain[name] = int(value)
    try:
        plain["ratios"] = ratios_of(values.get("ratios", ()))
    except ValueError as error:
        problems.append(f"recipe.ratios {error}")
    if problems:
        raise InputError([f"{path}: {problem}; restore it from a copy" for problem in problems])
    return Recipe(**plain)


def _gene_problem(value: Any, gene: Mapping[str, Any]) -> str | None:
    """What a gene's value must be, where it is not that."""
    if "choices" in gene:
        fits = isinstance(value, str) and limit_problem(value, gene) is None
        return None if fits else f"one of {', '.join((*gene['choices'], *gene.get('also', ())))}"
    if gene.get("size"):
        return _size_problem(value, gene["high"])
    if gene["type"] in ("bool", "str"):
        kind = {"bool": (bool, "true or false"), "str": (str, "a text")}[gene["type"]]
        return None if isinstance(value, kind[0]) else f"it must be {kind[1]}"
    low, high = gene.get("low", gene.get("above")), gene.get("high")
    check = whole if gene["type"] == "int" else number
    limits = (-math.inf if low is None else low, math.inf if high is None else high)
    if check(value, *limits) is None or value == gene.get("above"):
        kind_of = "a whole number" if gene["type"] == "int" else "a number"
        return f"it must be {kind_of} from {low:g}" + (f" to {high:g}" if high is not None else "")
    return None


def _size_problem(value: Any, high: int) -> str | None:
    try:
        if isinstance(value, bool) or not isinstance(value, int | str) or len(str(value)) > 20:
            raise ValueError("it must be a side (224) or HEIGHTxWIDTH (600x800)")
        sides = size_of(value)
    except ValueError as error:
        return str(error)
    return None if max(sides) <= high else f"at most {high} on a side"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
