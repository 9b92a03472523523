"""An ensemble's members as models: the weights that trials kept, or trained again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble import Ensemble
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.model.card import predicting, read_card, taught
from cxrsearch.model.ensemble_folder import save_ensemble
from cxrsearch.model.folder import CARD, check_out, save_model
from cxrsearch.model.validation import ITS_OWN, ValidationScores, trial_validation
from cxrsearch.model.views import NONE
from cxrsearch.study.folder import load_alone, trial_config
from cxrsearch.study.prepare import Prepared
from cxrsearch.study.winner import Winner, meta_of, retrain
from cxrsearch.writing import alone, work_of

from .combine import Combined
from .pool import KEPT


def write_ensemble(
    study: Path,
    out: Path,
    combined: Combined,
    winners: Mapping[str, Winner] | None = None,
    tta: str = NONE,
    **moved: Any,
) -> Iterator[str]:
    """Write an ensemble folder that predicts.

    Args:
        study: where the members come from.
        out: the folder to write.
        combined: from `study_pool` and `combine`.
        winners: what each member is trained again by, on train + validation, by name. Goes on after
            a kill. None: the weights that its trial kept are taken.
        tta: what the members predict the mean over; see `cxrsearch.model.views`.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and what else
            `load_alone` takes.

    Yields:
        lines that say how far it is.

    Raises:
        InputError: where weights are missing or damaged, or ``out`` is taken.
    """
    again = winners is not None
    if combined.to_train and not again:
        raise InputError(
            f"trials {', '.join(combined.to_train)} are in the ensemble but have not kept their "
            "weights; train every member again with --retrain, or leave those trials out with "
            f"--members {KEPT}"
        )
    selected_from = combined.pool.tried or len(combined.pool.names)
    by_name = {str(t.number): t for t in combined.pool.trials}

    def make(prepared: Prepared, name: str, folder: Path) -> Iterator[str]:
        if winners is None:
            _copied(study, prepared, by_name[name], folder, selected_from, tta)
        else:
            yield from _trained(study, prepared, winners[name]._replace(tta=tta), folder)

    def validated(prepared: Prepared) -> dict[str, Any]:
        return combined.to_dict()

    said = combined.said_of_validation(again, tta)
    yield from _written(study, out, combined.ensemble, make, validated, said, again, tta, **moved)


def write_retrained(
    study: Path, out: Path, ensemble: Ensemble, winners: Mapping[str, Winner], **moved: Any
) -> Iterator[str]:
    """Write an ensemble of trainings of one trial, on train + validation. Goes on after a kill.

    Args:
        study: where the trial comes from.
        out: the folder to write.
        ensemble: the members' weights.
        winners: what each is trained by.
        moved: as for `write_ensemble`.

    Yields:
        lines that say how far it is.

    Raises:
        InputError: where ``out`` is taken, or something cannot be trained.
    """

    def make(prepared: Prepared, name: str, folder: Path) -> Iterator[str]:
        yield from _trained(study, prepared, winners[name], folder)

    def validated(prepared: Prepared) -> dict[str, Any]:
        one = next(iter(winners.values()))
        meta = meta_of(study, prepared, one.trial, one.selected_from, one.chosen)
        return dict(meta.validation)

    one = next(iter(winners.values()))
    of = f"{one.of_scores}; it is one training, and the folder averages {len(winners)}"
    said = trial_validation(study, one.trial.number, of)
    yield from _written(study, out, ensemble, make, validated, said, True, one.tta, **moved)


def _written(
    study: Path,
    out: Path,
    ensemble: Ensemble,
    make: Callable[[Prepared, str, Path], Iterator[str]],
    validated: Callable[[Prepared], dict[str, Any]],
    said: ValidationScores | None,
    again: bool,
    tta: str,
    **moved: Any,
) -> Iterator[str]:
    """Make each member, and the ensemble's folder of them.

    Args:
        study: where they come from.
        out: the folder.
        ensemble: their weights.
        make: makes a member, by its name, in a folder.
        validated: what is known of them by validation.
        said: what they said of its images.
        again: whether they are trained again.
        tta: what they predict the mean over.
        moved: as for `write_ensemble`.
    """
    check_out(out)
    prepared = load_alone(study, **moved)
    work = work_of(out)
    with alone(work):
        check_out(out)  # again: another run may have ended while data were read
        for name in ensemble.members:
            yield from make(prepared, name, work / name)
        folders = [work / name for name in ensemble.members]
        card = _card(study, prepared, validated(prepared), again)
        if tta != NONE:
            card["tta"] = tta
        save_ensemble(out, ensemble, folders, card, study / "splits.json", said)
        shutil.rmtree(work, ignore_errors=True)


def _trained(study: Path, prepared: Prepared, winner: Winner, folder: Path) -> Iterator[str]:
    """Train one member, unless an earlier run has."""
    if folder.is_dir():
        if _is_of(folder, study, prepared, winner):
            yield f"{_called(winner)}: trained already"
            return
        shutil.rmtree(folder)
    for step in retrain(study, prepared, winner, folder):
        yield (
            f"{_called(winner)}: epoch {step.epoch}/{step.epochs}, loss {step.loss:.4f}, "
            f"{step.seconds:.1f} s"
        )


def _called(winner: Winner) -> str:
    """A member while it is trained."""
    again = "" if winner.seed is None else f", seed {winner.seed}"
    return f"trial {winner.trial.number}{again}"


def _is_of(folder: Path, study: Path, prepared: Prepared, winner: Winner) -> bool:
    """Whether ``folder`` is the retrained model of this very trial."""
    trial = winner.trial
    try:
        card = read_card(folder / CARD)
    except InputError:
        return False
    found = (
        card["study"].get("path"), card["study"].get("trial"), card["data"]["split_fingerprint"],
        card["training"].get("rows"), card["training"].get("seed"),
        card["training"].get("epochs"), card["recipe"].get("epochs"), card.get("tta", NONE),
        card["recipe"].get("distill", Recipe.distill),
        card.get("precision"),
    )  # fmt: skip
    wanted = (
        str(study.resolve()), trial.number, prepared.splits.fingerprint,
        "train + validation", winner.trained_with, winner.epochs,
        winner.recipe.epochs, winner.tta, winner.recipe.distill,
        predicting(prepared.settings.precision),
    )  # fmt: skip
    return found == wanted


def _copied(
    study: Path,
    prepared: Prepared,
    trial: FrozenTrial,
    folder: Path,
    selected_from: int,
    tta: str,
) -> None:
    """The weights that a trial kept, as a model folder."""
    shutil.rmtree(folder, ignore_errors=True)
    path = study / "trials" / str(trial.number) / BEST
    try:
        weights, _ = checkpoint.load_tensors(path)
    except (OSError, checkpoint.CheckpointError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); restore it from a copy, or use --retrain"
        ) from error
    attrs = trial.user_attrs
    meta = meta_of(study, prepared, trial, selected_from)
    recipe = Recipe.from_params(attrs["params"])
    training = {
        "rows": "train", "labels": taught(load_trial_data(trial_config(study, prepared)), recipe),
        "epochs": attrs["best_epoch"], "seed": attrs["seed"],
    }  # fmt: skip
    views = "" if tta == NONE else f"; each of one view, not of {tta}"
    save_model(
        folder, weights, recipe, replace(meta, training=training, tta=tta),
        validation=trial_validation(study, trial.number, f"{ITS_OWN}{views}"),
    )  # fmt: skip


def _card(
    study: Path, prepared: Prepared, validation: Mapping[str, Any], again: bool
) -> dict[str, Any]:
    """What ``ensemble.json`` says beside the weights."""
    return {
        "pixels": {"frame": prepared.cache.frame, "source_side": prepared.dataset.source_side},
        "data": {
            "fingerprint": prepared.dataset.fingerprint,
            "split_fingerprint": prepared.splits.fingerprint,
            "description": dict(prepared.dataset.description),
        },
        "study": {
            "path": str(study.resolve()),
            "trial": None,
            "objective": list(prepared.judged),
        },
        "training": {"rows": "train + validation" if again else "train"},
        "validation": dict(validation),
    }
