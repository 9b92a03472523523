"""An ensemble as a folder: ``ensemble.json``, its page, ``splits.json``, a model folder a member.

It stands for itself: nothing in it points to the study that it came from, but for its path as
a text. Loading runs no code from it, as with a model folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import AS_IT_IS, ComputeOptions
from cxrsearch.learn.ensemble import Ensemble, logits_of
from cxrsearch.version import __version__
from search.files import write_json, write_text

from .card import INTENDED_USE, CardKind, check_files, data_problems, digests, open_card
from .folder import CARD as MODEL_CARD
from .folder import LoadedModel, load_model, whole_folder
from .operating import write_first_points
from .predictor import SPLITS, ModelPart, Predictor
from .promise import README, ensemble_readme
from .validation import VALIDATION_FILE, VALIDATION_SCORES, ValidationScores

ENSEMBLE_CARD, MEMBER_FOLDERS = "ensemble.json", "members"
ENSEMBLE_KIND = CardKind(
    "cxrsearch ensemble folder", 2, "the ensemble's card",
    "an ensemble made by `cxrsearch ensemble`",
    {"pixels": dict, "data": dict, "study": dict, "ensemble": dict, "members": list},
)  # fmt: skip


@dataclass(frozen=True)
class LoadedEnsemble(Predictor):
    """An ensemble that predicts; its card is ``ensemble.json``.

    Args:
        ensemble: its weights.
        members: its models, in the order of the weights.
    """

    ensemble: Ensemble
    members: tuple[LoadedModel, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """What its weights are for."""
        return self.ensemble.label_names

    @property
    def tta(self) -> str:
        """What its members predict the mean over."""
        return ", ".join(dict.fromkeys(member.tta for member in self.members))

    @property
    def parts(self) -> tuple[ModelPart, ...]:
        """The networks that a prediction takes: the members."""
        return tuple(part for member in self.members for part in member.parts)

    @property
    def covered(self) -> tuple[int, ...]:
        """Columns of the labels that some member has a weight for."""
        return tuple(np.flatnonzero(_weighed(self.ensemble)).tolist())

    def predict(
        self,
        images: np.ndarray,
        rows: np.ndarray | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """The members' predictions, weighted; see `Predictor.predict`."""
        scores = []
        for number, member in enumerate(self.members):

            def told(done: int, of: int, number: int = number) -> None:
                if on_progress is not None:
                    on_progress(number * of + done, len(self.members) * of)

            scores.append(logits_of(member.predict(images, rows, told)))
        return self.ensemble.apply(np.stack(scores)).astype(np.float32)


def save_ensemble(
    folder: Path,
    ensemble: Ensemble,
    members: Sequence[Path],
    card: Mapping[str, Any],
    splits: Path,
    validation: ValidationScores | None = None,
) -> None:
    """Write an ensemble folder, which is there with all of its files or not at all.

    Args:
        folder: must not exist, or be empty.
        ensemble: the weights of the members that are used.
        members: a model folder for each, copied; a member is called as its folder is.
        card: what else is said of it: ``pixels``, ``data``, ``study``, ``validation``,
            ``training``.
        splits: the study's ``splits.json``.
        validation: what the members together said of the validation part, before any was trained
            on it; kept, with operating points that are chosen by it.

    Raises:
        InputError: where ``folder`` holds something.
    """
    with whole_folder(folder) as work:
        for member in members:
            shutil.copytree(member, work / MEMBER_FOLDERS / member.name)
        shutil.copyfile(splits, work / SPLITS)
        beside = [SPLITS]
        if validation is not None:
            validation.save(work)
            beside.append(VALIDATION_FILE)
            weighed = _weighed(ensemble)
            names = [name for name, used in zip(ensemble.label_names, weighed, strict=True) if used]
            write_first_points(work, names, validation)
            card = {**card, VALIDATION_SCORES: validation.described()}
        content = {
            "format": ENSEMBLE_KIND.format,
            "version": ENSEMBLE_KIND.version,
            "intended_use": INTENDED_USE,
            "members": [f"{MEMBER_FOLDERS}/{member.name}" for member in members],
            **card,
            # A member's card says the same of the member's weights.
            "files": digests(
                work, [*beside, *(f"{MEMBER_FOLDERS}/{m.name}/{MODEL_CARD}" for m in members)]
            ),
            "versions": {"cxrsearch": __version__},
            "ensemble": ensemble.to_dict(),
        }
        write_json(work / ENSEMBLE_CARD, content)
        write_text(work / README, ensemble_readme(content))  # for people: no digest


def _weighed(ensemble: Ensemble) -> np.ndarray:
    """(d,) whether some member has a weight for a label."""
    return np.asarray(ensemble.weights.any(axis=0) | ensemble.cross.any(axis=0))


def load_predictor(
    folder: Path, compute: ComputeOptions = AS_IT_IS, tta: str | None = None
) -> Predictor:
    """Read a model folder or an ensemble folder.

    Args:
        folder: as `cxrsearch train` or `cxrsearch ensemble` wrote it.
        compute: where it is to compute, and how.
        tta: test-time augmentation, as in `cxrsearch.model.views`; None: what the cards say. An
            ensemble's members each take the mean over the views first.

    Raises:
        InputError: for whatever is missing, damaged, of another format or does not fit.
    """
    folder = Path(folder)
    load = load_ensemble if (folder / ENSEMBLE_CARD).is_file() else load_model
    return load(folder, compute, tta)


def load_ensemble(
    folder: Path, compute: ComputeOptions = AS_IT_IS, tta: str | None = None
) -> LoadedEnsemble:
    """Read an ensemble folder.

    Raises:
        InputError: as `load_predictor`.
    """
    path = folder / ENSEMBLE_CARD
    card = open_card(path, ENSEMBLE_KIND)
    ensemble = Ensemble.from_dict(card["ensemble"], str(path))
    if problems := data_problems(card, ensemble.label_names):
        raise InputError([f"{path}: {problem}" for problem in problems])
    names = card["members"]
    if len(names) != len(ensemble.members) or not all(_inside(name) for name in names):
        raise InputError(f"{path}: its members do not fit its weights; restore it from a copy")
    gone = [folder / name for name in names if not (folder / name).is_dir()]
    if gone:
        raise InputError(
            [f"{place}: this member is missing; restore it from a copy" for place in gone]
        )
    check_files(folder, card, card.get("files", {}))
    parts = tuple(load_model(folder / name, compute, tta) for name in names)
    wanted = (card["pixels"]["frame"], card["data"]["split_fingerprint"], ensemble.label_names)
    strange = [
        f"{part.folder}: not of this ensemble (frame, split or labels differ); restore it "
        "from a copy"
        for part in parts
        if (part.frame, part.split, part.labels) != wanted
    ]
    if strange:
        raise InputError(strange)
    return LoadedEnsemble(folder, card, ensemble, parts)


def _inside(name: Any) -> bool:
    """Whether a member's path stays within the ensemble's folder."""
    parts = Path(name).parts if isinstance(name, str) else ()
    return len(parts) == 2 and parts[0] == MEMBER_FOLDERS and parts[1] != ".."
