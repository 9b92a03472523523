"""From a study to a model: which trial is trained again on train + validation, and why that one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.epochs import EpochsDone
from cxrsearch.learn.networks.weights.asked import RANDOM, start_of
from cxrsearch.learn.networks.weights.places import find_weights
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.pseudo import Pseudo
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.model.card import predicting
from cxrsearch.model.final import train_final
from cxrsearch.model.folder import ModelMeta, check_out
from cxrsearch.model.suspicion.check import grave
from cxrsearch.model.suspicion.training import trial_checks
from cxrsearch.model.validation import of_trial, trial_validation
from cxrsearch.model.views import NONE
from cxrsearch.show.chosen import Chosen, choice_of
from cxrsearch.show.view import StudyView, view_of
from cxrsearch.show.worth.schedule import TrainedFor, trained_for
from cxrsearch.writing import alone, work_of
from search.store.record import StudyRecord, read_study
from search.trials.marks import confirms, same_as

from .data import training_pictures
from .folder import check_weights, load_alone, trial_config
from .prepare import Prepared
from .settings import AUTO
from .starting.origins import also_seen
from .unlabelled import pseudo_path


def chosen_trial(record: StudyRecord, number: int | None = None) -> FrozenTrial:
    """The best trial of a study, or trial ``number``.

    Of several objectives the best is the one on the Pareto front with the highest AUROC. For a
    trial that repeats another, or is a rerun of it, it is that one, whose recipe, seed and best
    epoch belong together.

    Raises:
        InputError: where it is not there, or did not train to its end.
    """
    if number is None:
        best = record.best()
        if best is None:
            raise InputError(f"{record.folder}: no trial is complete yet; let the search go on")
        return best
    if not 0 <= number < len(record.trials):
        raise InputError(
            f"--trial {number}: the study has trials 0 to {len(record.trials) - 1}; "
            f"`cxrsearch status {quoted(record.folder)}` names the best"
        )
    trial = record.trials[number]
    for earlier in (confirms(trial), same_as(trial)):
        if earlier is not None:
            trial = record.trials[earlier]
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) or not trial.user_attrs.get(
        "best_epoch"
    ):
        raise InputError(f"--trial {number}: {trial.state.name.lower()}, no best epoch to train to")
    return trial


class Lessons(NamedTuple):
    """What a model is to learn beside the labels.

    Args:
        trials: numbers of those that teach.
        said: what they say together of the images of train + validation.
        share: of each training target that is that, as the gene ``distill``.
    """

    trials: tuple[int, ...]
    said: Pseudo
    share: float

    @property
    def sentence(self) -> str:
        """What is done, for the card."""
        return (
            f"taught by trials {', '.join(map(str, self.trials))}: {self.share:g} of each training "
            "target is the mean of what they say of its image, the rest its label"
        )


class Winner(NamedTuple):
    """The trial that a model is made of.

    Args:
        trial: its recipe is trained.
        epochs: for so many epochs.
        selected_from: how many complete trials it was chosen among.
        chosen: what is known of the worth of the choice; None where somebody named the trial.
        reasons: why this one, in sentences.
        length: epochs that its schedule is laid out for; None: as in the trial.
        seed: of the training; None: the trial's.
        tta: what the model predicts the mean over; see `cxrsearch.model.views`.
        lessons: what it learns beside the labels; None: nothing.
    """

    trial: FrozenTrial
    epochs: int
    selected_from: int
    chosen: Chosen | None = None
    reasons: tuple[str, ...] = ()
    length: int | None = None
    seed: int | None = None
    tta: str = NONE
    lessons: Lessons | None = None

    @property
    def recipe(self) -> Recipe:
        """What is trained."""
        found = Recipe.from_params(self.trial.user_attrs["params"])
        if self.length is not None:
            found = replace(found, epochs=self.length)
        return found if self.lessons is None else replace(found, distill=self.lessons.share)

    @property
    def trained_with(self) -> int:
        """The seed of the training."""
        return int(self.trial.user_attrs["seed"] if self.seed is None else self.seed)

    def of_length(self, length: int | None) -> Winner:
        """The same with its schedule stretched, or cut, to ``length`` epochs; None: as it is.

        The epoch that it is trained to keeps its place in the schedule.

        Raises:
            InputError: where ``length`` is no number of epochs.
        """
        if length is None:
            return self
        most = gene_limits()["epochs"]["high"]
        if not 1 <= length <= most:
            raise InputError(f"--epochs {length}: must be from 1 to {most:,}")
        epochs = max(1, round(self.epochs * length / self.recipe.epochs))
        return self._replace(length=length, epochs=epochs)

    @property
    def of_scores(self) -> str:
        """Whose the trial's scores of the validation part are, beside a model of this winner."""
        told = [
            of_trial(self.trial.number),
            *(["its schedule was the trial's own"] if self.stretched else []),
            *([f"each of one view, not of {self.tta}"] if self.tta != NONE else []),
            *(["it learnt from the labels alone"] if self.lessons else []),
        ]
        return "; ".join(told)

    @property
    def stretched(self) -> str:
        """What became of the trial's schedule, in words; empty where it is as it was."""
        own = Recipe.from_params(self.trial.user_attrs["params"]).epochs
        if self.length in (None, own):
            return ""
        verb = "stretched" if self.recipe.epochs > own else "cut"
        return f"the schedule of the trial's {own} epochs is {verb} to {self.recipe.epochs}"


def winner_of(record: StudyRecord, number: int | None = None) -> Winner:
    """The trial of a study that is to be trained: the recommended one, or trial ``number``.

    Recommended is what its reruns confirmed; before there are any, the highest expected value.
    How long it is trained `length_of` says.

    Raises:
        InputError: as for `chosen_trial`.
    """
    view = view_of(record)
    chosen = None if number is not None else choice_of(view)
    recommended = number if chosen is None else chosen.recommended
    trial = chosen_trial(record, recommended)
    length = length_of(view, trial, chosen)
    if chosen is None:
        return Winner(trial, length.epochs, 1, reasons=tuple(filter(None, [length.reason])))
    complete = record.counts()["complete"]
    return Winner(trial, length.epochs, complete, chosen, chosen.sentences)


def length_of(view: StudyView, trial: FrozenTrial, chosen: Chosen | None = None) -> TrainedFor:
    """The epochs to train a trial's recipe for on train + validation.

    The number that was confirmed with it; of others its whole schedule, unless an earlier epoch
    was clearly better, see `cxrsearch.show.worth.schedule`.

    Args:
        view: of its study.
        trial: one that has a best epoch.
        chosen: what is known of the study's winner; None: nothing is to be taken from that.
    """
    if chosen is not None and trial.number == chosen.recommended and chosen.steps is not None:
        most = Recipe.from_params(trial.user_attrs["params"]).epochs
        return TrainedFor(min(max(1, chosen.steps), most))
    return trained_for(view, trial) or TrainedFor(int(trial.user_attrs["best_epoch"]))


def train_winner(
    folder: Path,
    out: Path,
    number: int | None = None,
    on_reason: Callable[[str], object] = lambda line: None,
    epochs: int | None = None,
    tta: str = NONE,
    lessons: Lessons | None = None,
    **moved: Any,
) -> Generator[EpochsDone, None, Path]:
    """Retrain a trial's recipe on train + validation, for as long as `length_of` says.

    Args:
        folder: the study.
        out: the model folder to write.
        number: the trial; the recommended one by default, see `winner_of`.
        on_reason: told which trial it is, and why.
        epochs: that its schedule is stretched to; None: as in the trial.
        tta: what the model predicts the mean over; see `cxrsearch.model.views`.
        lessons: what it learns beside the labels; None: nothing.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and what else
            `load_alone` takes.

    Yields:
        how far it is, after each epoch.

    Raises:
        InputError: where study, data or ``out`` cannot be used.
    """
    check_out(out)
    winner = winner_of(read_study(folder), number).of_length(epochs)
    winner = winner._replace(tta=tta, lessons=lessons)
    prepared = load_alone(folder, **moved)
    for reason in winner.reasons:
        on_reason(reason)
    for line in _doubts_of(folder, prepared, winner.trial):
        on_reason(line)
    on_reason(said_of_training(winner, trial_config(folder, prepared).compute.threads))
    return (yield from retrain(folder, prepared, winner, out))


def said_of_training(winner: Winner, threads: int | None) -> str:
    """What is about to be trained, in words."""
    cores = "" if threads is None else f", on {threads} core{'s' * (threads != 1)}"
    stretched = f"; {winner.stretched}" if winner.stretched else ""
    return (
        f"training trial {winner.trial.number} on train + validation for {winner.epochs} of "
        f"{winner.recipe.epochs} epochs{cores}{stretched}"
    )


def retrain(
    folder: Path, prepared: Prepared, winner: Winner, out: Path
) -> Generator[EpochsDone, None, Path]:
    """Train a winner's recipe on train + validation for its number of epochs.

    Args:
        folder: the study.
        prepared: its data, as from `load_alone`.
        winner: what to train.
        out: the model folder to write.

    Yields:
        how far it is, after each epoch.

    Raises:
        InputError: where it cannot be trained.
    """
    config = trial_config(folder, prepared)
    attrs = winner.trial.user_attrs
    check_weights(folder, _begun_with(winner.recipe, config.compute.weights_dir))
    # Batch normalisation is then over as many images as in what was judged.
    compute = replace(config.compute, micro=attrs.get("micro_batch"))
    if prepared.settings.precision == AUTO:
        compute = replace(compute, precision=attrs.get("precision", compute.precision))
    data = load_trial_data(config)
    if winner.lessons is not None:
        data = replace(data, pseudo=winner.lessons.said, pseudo_rows=None)
    with alone(work_of(out)):
        return (
            yield from train_final(
                winner.recipe,
                data,
                epochs=winner.epochs,
                seed=winner.trained_with,
                out=out,
                meta=replace(
                    meta_of(folder, prepared, winner.trial, winner.selected_from, winner.chosen),
                    tta=winner.tta,
                ),
                splits=folder / "splits.json",
                compute=compute,
                notes=[
                    *([winner.stretched] if winner.stretched else []),
                    *([winner.lessons.sentence] if winner.lessons else []),
                    *_doubts_of(folder, prepared, winner.trial),
                ],
                validation=trial_validation(folder, winner.trial.number, winner.of_scores),
            )
        )


def _doubts_of(folder: Path, prepared: Prepared, trial: FrozenTrial) -> list[str]:
    """What makes the validation figures of a trial doubtful, in sentences."""
    where = folder / "trials" / str(trial.number)
    names = prepared.dataset.label_names
    return [check.line for check in grave(trial_checks(where, trial.user_attrs, names))]


def _begun_with(recipe: Recipe, weights_dir: Path | None) -> list[Path]:
    """The files of starting weights of ``recipe``."""
    source = start_of(recipe.init).source
    return [] if source == RANDOM else [find_weights(source, recipe.model, weights_dir)]


def meta_of(
    folder: Path,
    prepared: Prepared,
    trial: FrozenTrial,
    selected_from: int,
    chosen: Chosen | None = None,
) -> ModelMeta:
    """What a model folder says of the trial that its recipe comes from.

    Args:
        folder: the study.
        prepared: its data.
        trial: the trial.
        selected_from: how many complete trials it was chosen among.
        chosen: what is known of the worth of that choice.
    """
    pseudo = pseudo_path(prepared.settings.pseudo) if prepared.settings.pseudo else None
    return ModelMeta(
        frame=prepared.cache.frame,
        data_fingerprint=prepared.dataset.fingerprint,
        split_fingerprint=prepared.splits.fingerprint,
        source_side=prepared.dataset.source_side,
        study=str(folder.resolve()),
        trial=trial.number,
        labels=prepared.dataset.label_names,
        objective=prepared.judged,
        description=prepared.dataset.description,
        validation={
            "value": trial.values[0] if trial.values else None,
            "interval": trial.user_attrs.get("interval"),
            "selected_from": selected_from,
            **({} if chosen is None else worth_of(chosen)),
        },
        also_seen=also_seen(
            Recipe.from_params(trial.user_attrs["params"]), pseudo, prepared.cache.contents
        ),
        precision=predicting(prepared.settings.precision),
        seen=training_pictures(prepared.cache, prepared.splits),
    )


def worth_of(chosen: Chosen) -> dict[str, Any]:
    """What a card says of the choice of its trial, beside the trial's own value."""
    result = chosen.result
    return {
        "best": {"trial": chosen.best, "value": chosen.observed},
        "corrected": chosen.corrected,
        "corrected_interval": _plain(chosen.corrected_interval),
        "selected_from_candidates": chosen.luck.of,
        "confirmed": chosen.confirmed,
        "confirmed_interval": _plain(chosen.confirmed_interval),
        "finalists": list(chosen.state.finalists),
        "reruns": chosen.state.done,
        "alike": [] if result is None else list(result.alike),
        "sentences": list(chosen.sentences),
    }


def _plain(interval: Any) -> list[float] | None:
    return None if interval is None else list(interval)
