"""What an ensemble may be made of: saved predictions of a study's trials, or of a file's models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble import logits_of, read_predictions
from cxrsearch.learn.saved.arrays import Labels, load_arrays, load_labels
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.learn.train import PREDICTIONS
from cxrsearch.study.folder import read_study_yaml
from cxrsearch.study.settings import Settings
from search.store.record import read_study
from search.trials.marks import same_as
from search.trials.pareto import judged

KEPT, ALL = "kept", "all"


@dataclass(frozen=True)
class MemberPool:
    """What an ensemble may be made of.

    Args:
        names: of the k members.
        scores: (k, n, d) logits.
        labels: (n, d), see `cxrsearch.data.marks`.
        label_names: (d,) what the columns are.
        patients: (n,).
        columns: the labels that the objective is over.
        trials: the members' trials; empty for a pool that comes from a file.
        kept: names of the members whose weights are there.
        notes: what the user should know.
        tried: how many trials the search judged on these images; None where that is not known.
        best: whether no other of its complete trials scored higher than one of the members.
        images: (n,) their names; None for a pool that comes from a file.
    """

    names: tuple[str, ...]
    scores: np.ndarray
    labels: np.ndarray
    label_names: tuple[str, ...]
    patients: np.ndarray
    columns: tuple[int, ...]
    trials: tuple[FrozenTrial, ...] = ()
    kept: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    tried: int | None = None
    best: bool = False
    images: np.ndarray | None = None

    @property
    def caution(self) -> str:
        """What no estimate on these images can know: what was chosen by them before."""
        high = "the nested estimate may still be a little high"
        if self.tried is None:
            return (
                "how these models and their epochs were chosen is not known here: if it was on "
                f"these same images, {high}"
            )
        count = len(self.names)
        chosen = f"{'the best ' if self.best else ''}{count} of {self.tried} trials"
        what = (
            f"members were chosen among {chosen}, and each at its best epoch,"
            if count < self.tried
            else f"each of the {count} trials is at its best epoch, chosen"
        )
        return f"{what} on these same images: {high}; the test part knows nothing of it"


def study_pool(study: Path, members: str = KEPT) -> MemberPool:
    """The validation predictions of a study's complete trials.

    Args:
        study: its folder.
        members: ``kept``: trials whose weights are there; ``all``: the others too.

    Raises:
        InputError: where fewer than two trials can take part, or a file is damaged.
    """
    settings = Settings.from_dict(read_study_yaml(study)["settings"])
    record = read_study(study, settings.storage)
    complete = judged(record.trials, record.config.directions)
    folders = {t.number: study / "trials" / str(t.number) for t in complete}
    trials = [t for t in complete if (folders[t.number] / PREDICTIONS).is_file()]
    kept = {t.number for t in trials if (folders[t.number] / BEST).is_file()}
    notes = [f"{len(complete) - len(trials)} complete trials have no {PREDICTIONS} and are "
             "left out"] if len(trials) < len(complete) else []  # fmt: skip
    chosen = [t for t in trials if members == ALL or t.number in kept]
    if len(chosen) < 2:
        raise InputError(_too_few(study, len(complete), len(trials), len(kept), members))
    known = load_labels(study / "labels.npz")
    found = [_predictions(folders[t.number], len(known.label_names)) for t in chosen]
    names, label_names = found[0]["names"], known.label_names
    labels, patients = _truth(study, known, names)
    taken = {t.number for t in chosen}
    others = [t.values[0] for t in complete if t.number not in taken]
    stopped = [t for t in record.searched if t.state == TrialState.PRUNED and same_as(t) is None]
    strange = [
        f"{folders[t.number] / PREDICTIONS}: of other images than that of trial "
        f"{chosen[0].number}; restore it from a copy"
        for t, one in zip(chosen, found, strict=True)
        if not np.array_equal(one["names"], names)
    ]
    if strange:
        raise InputError(strange)
    return MemberPool(
        names=tuple(str(t.number) for t in chosen),
        scores=np.stack([logits_of(one["scores"]) for one in found]),
        labels=labels,
        label_names=label_names,
        patients=patients,
        columns=tuple(label_names.index(n) for n in settings.objectives.over(label_names)),
        trials=tuple(chosen),
        kept=frozenset(map(str, kept)),
        notes=tuple(notes),
        tried=len(complete) + len(stopped),
        best=min(t.values[0] for t in chosen) >= max(others, default=-1.0),
        images=names,
    )


def _too_few(study: Path, complete: int, trials: int, kept: int, members: str) -> str:
    have = f"{kept} of its {trials} scored trials have kept their weights"
    way = (
        "let the search go on"
        if complete < 2
        else f"restore {PREDICTIONS} of the others, which are complete, from a copy, or let the "
        "search go on"
        if trials < 2
        else "put trials without weights in too, to be trained again: --members all --retrain "
        "(a study made with --keep-checkpoints all keeps them)"
    )
    count = have if members == KEPT else f"{trials} of {complete} complete trials have predictions"
    return f"{study}: {count}, and an ensemble takes two or more; {way}"


def _predictions(folder: Path, width: int) -> dict[str, np.ndarray]:
    path = folder / PREDICTIONS
    arrays = load_arrays(path, ("names", "scores"))
    scores = arrays["scores"]
    if scores.shape != (len(arrays["names"]), width) or not ((scores >= 0) & (scores <= 1)).all():
        raise InputError(f"{path}: not probabilities of {width} labels; restore it from a copy")
    return arrays


def _truth(study: Path, known: Labels, names: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels and patients of the images ``names``."""
    place = {str(name): i for i, name in enumerate(known.names)}
    missing = [str(name) for name in names if str(name) not in place]
    if missing:
        raise InputError(
            f"{study / 'labels.npz'}: {len(missing)} scored images are not in it, such as "
            f"{missing[0]!r}; restore it from a copy"
        )
    rows = [place[str(name)] for name in names]
    return known.labels[rows], known.patients[rows]


def file_pool(path: Path) -> MemberPool:
    """The predictions in an ``.npz`` file, as `read_predictions` takes it.

    Raises:
        InputError: naming all that does not fit.
    """
    saved = read_predictions(path)
    return MemberPool(
        saved.names, saved.scores, saved.labels, saved.label_names, saved.patients,
        tuple(range(len(saved.label_names))),
    )  # fmt: skip
