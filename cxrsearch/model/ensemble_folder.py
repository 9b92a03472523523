"""An ensemble as a folder: ``ensemble.json``, ``splits.json`` and a model folder a member.

It stands for itself: nothing in it points to the study that it came from, but for its path as
a text. Loading runs no code from it, as with a model folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import AS_IT_IS, ComputeOptions
from cxrsearch.learn.ensemble import Ensemble, logits_of
from cxrsearch.version import __version__
from search.files import write_json
from search.reading import whole

from .card import INTENDED_USE, LARGEST, check_files, digests, is_digests, read_object
from .folder import CARD as MODEL_CARD
from .folder import SPLITS, LoadedModel, load_model, read_splits, whole_folder
from .views import NONE

CARD, MEMBERS = "ensemble.json", "members"
FORMAT, VERSION = "cxrsearch ensemble folder", 1


class Predictor(Protocol):
    """What predicts: a `LoadedModel` or a `LoadedEnsemble`."""

    @property
    def folder(self) -> Path:
        """Where it was loaded from."""

    @property
    def card(self) -> Mapping[str, Any]:
        """What its JSON says: ``pixels``, ``data``, ``study`` and more."""

    @property
    def frame(self) -> int:
        """Side of the square pictures that `predict` takes."""

    @property
    def parts(self) -> tuple[LoadedModel, ...]:
        """The networks that a prediction takes."""

    @property
    def covered(self) -> tuple[int, ...]:
        """Columns of the diseases that it says something of; the others' scores mean nothing."""

    def splits(self) -> Splits | None:
        """The parts of the data that it was trained on; None where they are not known."""

    def predict(
        self,
        images: np.ndarray,
        rows: np.ndarray | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """(m, 14) scores in [0, 1] of (n, F, F) uint8 ``images``, or of some ``rows``."""


@dataclass(frozen=True)
class LoadedEnsemble:
    """An ensemble that predicts.

    Args:
        folder: where it was loaded from.
        card: the content of ``ensemble.json``.
        ensemble: its weights.
        parts: its members, in the order of the weights.
    """

    folder: Path
    card: Mapping[str, Any]
    ensemble: Ensemble
    parts: tuple[LoadedModel, ...]

    @property
    def frame(self) -> int:
        """Side of the square pictures that `predict` takes: one for all members."""
        return int(self.card["pixels"]["frame"])

    @property
    def covered(self) -> tuple[int, ...]:
        """Columns of the diseases that some member has a weight for."""
        weighed = self.ensemble.weights.any(axis=0) | self.ensemble.cross.any(axis=0)
        return tuple(np.flatnonzero(weighed).tolist())

    def splits(self) -> Splits | None:
        """The parts of the data that its members were trained on; None where not known.

        Raises:
            InputError: where the file is damaged or of another split.
        """
        return read_splits(self.folder, self.card)

    def predict(
        self,
        images: np.ndarray,
        rows: np.ndarray | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Scores of the 14 diseases: the members' predictions, weighted.

        Args:
            images: (n, F, F) uint8 grey, F the ensemble's `frame`.
            rows: (m,) which of them; all by default.
            on_progress: called with how many are done, of how many, over all members.

        Returns:
            (m, 14) float32 in [0, 1].

        Raises:
            InputError: where the pictures are of another size or type.
        """
        scores = []
        for number, part in enumerate(self.parts):

            def told(done: int, of: int, number: int = number) -> None:
                if on_progress is not None:
                    on_progress(number * of + done, len(self.parts) * of)

            scores.append(logits_of(part.predict(images, rows, told)))
        return self.ensemble.apply(np.stack(scores)).astype(np.float32)


def save_ensemble(
    folder: Path,
    ensemble: Ensemble,
    members: Sequence[Path],
    card: Mapping[str, Any],
    splits: Path,
) -> None:
    """Write an ensemble folder, which is there with all of its files or not at all.

    Args:
        folder: must not exist, or be empty.
        ensemble: the weights of the members that are used.
        members: a model folder for each, copied; a member is called as its folder is.
        card: what else is said of it: ``pixels``, ``data``, ``study``, ``validation``,
            ``training``.
        splits: the study's ``splits.json``.

    Raises:
        InputError: where ``folder`` holds something.
    """
    with whole_folder(folder) as work:
        for member in members:
            shutil.copytree(member, work / MEMBERS / member.name)
        shutil.copyfile(splits, work / SPLITS)
        content = {
            "format": FORMAT,
            "version": VERSION,
            "intended_use": INTENDED_USE,
            "members": [f"{MEMBERS}/{member.name}" for member in members],
            **card,
            # A member's card says the same of the member's weights.
            "files": digests(
                work, [SPLITS, *(f"{MEMBERS}/{m.name}/{MODEL_CARD}" for m in members)]
            ),
            "versions": {"cxrsearch": __version__},
            "ensemble": ensemble.to_dict(),
        }
        write_json(work / CARD, content)


def not_covered(model: Predictor) -> list[str]:
    """The diseases that ``model`` says nothing of."""
    return [name for column, name in enumerate(DISEASES) if column not in model.covered]


def is_ensemble(folder: Path) -> bool:
    """Whether ``folder`` holds an ensemble rather than a single model."""
    return (folder / CARD).is_file()


def load_predictor(folder: Path, compute: ComputeOptions = AS_IT_IS, tta: str = NONE) -> Predictor:
    """Read a model folder or an ensemble folder.

    Args:
        folder: as `cxrsearch train` or `cxrsearch ensemble` wrote it.
        compute: where it is to compute, and how.
        tta: test-time augmentation, as in `cxrsearch.model.views`; an ensemble's members
            each take the mean over the views first.

    Raises:
        InputError: for whatever is missing, damaged, of another format or does not fit.
    """
    folder = Path(folder)
    load = load_ensemble if is_ensemble(folder) else load_model
    return load(folder, compute, tta)


def load_ensemble(
    folder: Path, compute: ComputeOptions = AS_IT_IS, tta: str = NONE
) -> LoadedEnsemble:
    """Read an ensemble folder.

    Raises:
        InputError: as `load_predictor`.
    """
    path = folder / CARD
    card = _read(path)
    ensemble = Ensemble.from_dict(card["ensemble"], str(path))
    names = card["members"]
    if len(names) != len(ensemble.members) or not all(_inside(name) for name in names):
        raise InputError(f"{path}: its members do not fit its weights; restore it from a copy")
    check_files(folder, card, card.get("files", {}))
    parts = tuple(load_model(folder / name, compute, tta) for name in names)
    wanted = (card["pixels"]["frame"], card["data"]["split_fingerprint"])
    strange = [
        f"{part.folder}: not of this ensemble (frame or split differ); restore it from a copy"
        for part in parts
        if (part.frame, part.card["data"]["split_fingerprint"]) != wanted
    ]
    if strange:
        raise InputError(strange)
    return LoadedEnsemble(folder, card, ensemble, parts)


def _inside(name: Any) -> bool:
    """Whether a member's path stays within the ensemble's folder."""
    parts = Path(name).parts if isinstance(name, str) else ()
    return len(parts) == 2 and parts[0] == MEMBERS and parts[1] != ".."


def _read(path: Path) -> dict[str, Any]:
    """The content of ``ensemble.json``, checked."""
    card = read_object(path, "the ensemble's card", "no such file; restore it from a copy")
    if card.get("format") != FORMAT:
        raise InputError(f"{path}: not an ensemble made by `cxrsearch ensemble`")
    if card.get("version") != VERSION:
        raise InputError(
            f"{path}: format version {card.get('version')!r}, but this program reads {VERSION}; "
            "use the version of cxrsearch that wrote it"
        )
    wanted = {"pixels": dict, "data": dict, "study": dict, "ensemble": dict, "members": list}
    problems = [
        f"{path}: {key} is missing or wrong; restore it from a copy"
        for key, kind in wanted.items()
        if not isinstance(card.get(key), kind)
    ]
    if not problems:
        frame = card["pixels"].get("frame")
        texts = (card["data"].get("fingerprint"), card["data"].get("split_fingerprint"))
        if not isinstance(frame, int) or whole(frame, 1, LARGEST) is None:
            problems.append(f"{path}: pixels.frame {frame!r} is no size; restore it from a copy")
        if not all(isinstance(text, str) for text in texts):
            problems.append(f"{path}: data has no fingerprints; restore it from a copy")
        if not is_digests(card.get("files", {})):
            problems.append(f"{path}: files holds no digests; restore it from a copy")
        objective = card["study"].get("objective", [])
        if not isinstance(objective, list) or not all(name in DISEASES for name in objective):
            problems.append(f"{path}: study.objective holds no diseases; restore it from a copy")
        if not isinstance(card["study"].get("path"), str | None):
            problems.append(f"{path}: study.path is no text; restore it from a copy")
    if problems:
        raise InputError(problems)
    return card
