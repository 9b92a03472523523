"""An ensemble's members as models: the weights that trials kept, or trained again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from optuna.trial import FrozenTrial

from cxrsearch.errors import InputError
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.model.card import read_card, taught
from cxrsearch.model.ensemble_folder import save_ensemble
from cxrsearch.model.folder import CARD, check_out, save_model
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
    again: bool = False,
    epochs: Mapping[str, int] = MappingProxyType({}),
    **moved: Any,
) -> Iterator[str]:
    """Write an ensemble folder that predicts.

    Args:
        study: where the members come from.
        out: the folder to write.
        combined: from `study_pool` and `combine`.
        again: train every member again, on train + validation for its best number of epochs,
            instead of taking the weights that its trial kept. Goes on after a kill.
        epochs: to train them for then, by name; where one is not there, its trial's best epoch.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and what else
            `load_alone` takes.

    Yields:
        lines that say how far it is.

    Raises:
        InputError: where weights are missing or damaged, or ``out`` is taken.
    """
    check_out(out)
    if combined.to_train and not again:
        raise InputError(
            f"trials {', '.join(combined.to_train)} are in the ensemble but have not kept their "
            "weights; train every member again with --retrain, or leave those trials out with "
            f"--members {KEPT}"
        )
    prepared = load_alone(study, **moved)
    work = work_of(out)
    with alone(work):
        check_out(out)  # again: another run may have ended while data were read
        selected_from = combined.pool.tried or len(combined.pool.names)
        by_name = {str(t.number): t for t in combined.pool.trials}
        folders = []
        for name in combined.ensemble.members:
            folder = work / name
            folders.append(folder)
            if again:
                trial = by_name[name]
                length = epochs.get(name, trial.user_attrs["best_epoch"])
                winner = Winner(trial, length, selected_from)
                yield from _trained(study, prepared, winner, folder)
            else:
                _copied(study, prepared, by_name[name], folder, selected_from)
        save_ensemble(
            out, combined.ensemble, folders, _card(study, prepared, combined, again),
            study / "splits.json",
        )  # fmt: skip
        shutil.rmtree(work, ignore_errors=True)


def _trained(study: Path, prepared: Prepared, winner: Winner, folder: Path) -> Iterator[str]:
    """Train one member, unless an earlier run has."""
    trial = winner.trial
    if folder.is_dir():
        if _is_of(folder, study, prepared, winner):
            yield f"trial {trial.number}: trained already"
            return
        shutil.rmtree(folder)
    for step in retrain(study, prepared, winner, folder):
        yield (
            f"trial {trial.number}: epoch {step.epoch}/{step.epochs}, loss {step.loss:.4f}, "
            f"{step.seconds:.1f} s"
        )


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
        card["training"].get("epochs"),
    )  # fmt: skip
    wanted = (
        str(study.resolve()), trial.number, prepared.splits.fingerprint,
        "train + validation", trial.user_attrs["seed"], winner.epochs,
    )  # fmt: skip
    return found == wanted


def _copied(
    study: Path, prepared: Prepared, trial: FrozenTrial, folder: Path, selected_from: int
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
    save_model(folder, weights, recipe, replace(meta, training=training))


def _card(study: Path, prepared: Prepared, combined: Combined, again: bool) -> dict[str, Any]:
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
        "validation": combined.to_dict(),
    }
