"""From a study to a model, from a model to figures and probabilities: what commands call."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from cxrsearch.data.decoding import open_shown
from cxrsearch.data.files import SHOWN
from cxrsearch.data.notes import reasons
from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.epochs import EpochsDone
from cxrsearch.learn.networks.weights.asked import RANDOM, start_of
from cxrsearch.learn.networks.weights.places import find_weights
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.model.card import predicting
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.evaluate import evaluate_model, record_look
from cxrsearch.model.final import train_final
from cxrsearch.model.folder import CARD, ModelMeta, check_out
from cxrsearch.model.labels import shared_labels
from cxrsearch.model.predict import (
    TIDY_BEFORE,
    TIDY_COLUMNS,
    predict_folder,
    prediction_columns,
    table_start,
    write_competition,
    write_tidy,
)
from cxrsearch.model.predictor import Predictor
from cxrsearch.model.promise import promised_in
from cxrsearch.model.submission import read_sample
from cxrsearch.model.views import NONE
from cxrsearch.show.chosen import Chosen, choice_of
from cxrsearch.show.view import view_of
from cxrsearch.writing import alone, check_file, work_of
from search.store.record import StudyRecord, read_study
from search.trials.marks import confirms, same_as

from .data import DESCRIPTION, cache_root, described_in, load_data
from .folder import check_weights, load_alone, read_study_yaml, trial_config
from .origins import also_seen
from .prepare import Prepared
from .settings import AUTO, PHANTOM, DataRequest, Settings
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
    """

    trial: FrozenTrial
    epochs: int
    selected_from: int
    chosen: Chosen | None = None
    reasons: tuple[str, ...] = ()
    length: int | None = None
    seed: int | None = None
    tta: str = NONE

    @property
    def recipe(self) -> Recipe:
        """What is trained."""
        own = Recipe.from_params(self.trial.user_attrs["params"])
        return own if self.length is None else replace(own, epochs=self.length)

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
    It is trained to the epoch that was confirmed with it, otherwise to its own best one.

    Raises:
        InputError: as for `chosen_trial`.
    """
    chosen = None if number is not None else choice_of(view_of(record))
    recommended = number if chosen is None else chosen.recommended
    trial = chosen_trial(record, recommended)
    epochs = int(trial.user_attrs["best_epoch"])
    if chosen is None:
        return Winner(trial, epochs, 1)
    most = Recipe.from_params(trial.user_attrs["params"]).epochs
    if chosen.steps is not None and 1 <= chosen.steps <= most:
        epochs = chosen.steps
    complete = record.counts()["complete"]
    return Winner(trial, epochs, complete, chosen, chosen.sentences)


def train_winner(
    folder: Path,
    out: Path,
    number: int | None = None,
    on_reason: Callable[[str], object] = lambda line: None,
    epochs: int | None = None,
    tta: str = NONE,
    **moved: Any,
) -> Generator[EpochsDone, None, Path]:
    """Retrain a trial's recipe on train + validation, for its best number of epochs.

    Args:
        folder: the study.
        out: the model folder to write.
        number: the trial; the recommended one by default, see `winner_of`.
        on_reason: told which trial it is, and why.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and what else
            `load_alone` takes.

    Yields:
        how far it is, after each epoch.

    Raises:
        InputError: where study, data or ``out`` cannot be used.
    """
    check_out(out)
    winner = winner_of(read_study(folder), number).of_length(epochs)._replace(tta=tta)
    prepared = load_alone(folder, **moved)
    for reason in winner.reasons:
        on_reason(reason)
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
    with alone(work_of(out)):
        return (
            yield from train_final(
                winner.recipe,
                load_trial_data(config),
                epochs=winner.epochs,
                seed=winner.trained_with,
                out=out,
                meta=replace(
                    meta_of(folder, prepared, winner.trial, winner.selected_from, winner.chosen),
                    tta=winner.tta,
                ),
                splits=folder / "splits.json",
                compute=compute,
                notes=[winner.stretched] if winner.stretched else [],
            )
        )


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


def evaluate_model_folder(
    model: Path,
    data: str | None = None,
    labels: str | None = None,
    study: Path | None = None,
    tta: str | None = None,
    precision: str = "auto",
    maps: Sequence[str] = (),
    images: str | None = None,
) -> dict[str, Any]:
    """Judge a model on the test part of its data, or on other data, and count the look.

    Args:
        model: a model folder or an ensemble folder.
        data: a folder of X-rays, a label table, a ``dataset.yaml``, or ``phantom``; None: the data
            of the model's study, read as they were then.
        labels: label table, where it lies elsewhere.
        study: the model's study, where it was moved.
        tta: test-time augmentation, as in `cxrsearch.model.views`; None: as the card says.
        precision: ``float32``, ``bf16``, ``fp16``, or ``auto``: what the model's card says.
        maps: which labels of the data the model calls otherwise, each ``THEIRS=OURS``.
        images: the images of a table, where they lie elsewhere.

    Returns:
        as `cxrsearch.model.evaluate.evaluate_model`, with ``looks``: how many there were, and of a
        study's winner ``validation``: what validation promised, see
        `cxrsearch.model.promise.promised_in`.

    Raises:
        InputError: where model or data cannot be used.
    """
    loaded = load_predictor(model, ComputeOptions(precision=precision), tta)
    study = _study_of(loaded, study)
    request, stored = _data_request(loaded, study, data, labels, images)
    dataset = load_data(request, stored)
    shared_labels(loaded.labels, dataset.label_names, maps)  # before images are decoded
    cache = open_shown(dataset, loaded.frame, cache_root(request))
    result = {**evaluate_model(loaded, dataset, cache, maps=maps), "tta": loaded.tta}
    if promised := promised_in(loaded.card):
        result["validation"] = promised
    if study is None and result["part"] == "test":
        why = "its study is not here" if loaded.card["study"].get("path") else "it has no study"
        result["notes"].append(f"{why}, so this look is counted in {model} alone")
    return {**result, "looks": record_look(study, model, result)}


def _study_of(model: Predictor, given: Path | None) -> Path | None:
    """The model's study: as given, or where it was when the model was made, if it still is."""
    noted = given or model.card["study"].get("path")
    if not noted:
        return None
    path = Path(noted)
    if given is None and not (path / "study.yaml").is_file():
        return None
    if read_study_yaml(path)["splits"]["fingerprint"] == model.split:
        return path
    if given is not None:
        raise InputError(f"--study {path}: {model.folder} was not made from it; name its own study")
    return None


def _data_request(
    model: Predictor,
    study: Path | None,
    data: str | None,
    labels: str | None,
    images: str | None,
) -> tuple[DataRequest, Mapping[str, Any] | None]:
    """Where to read data from, and how they were read: as asked, or as study or model had them."""
    from_study: DataRequest | None = None
    stored: Mapping[str, Any] = {}
    if study:
        record = read_study_yaml(study)
        from_study, stored = Settings.from_dict(record["settings"]), described_in(record)
    if from_study is None and (reading := model.card["data"].get("reading")):
        from_study = _request_in(model.folder / CARD, reading)
        stored = model.card["data"].get(DESCRIPTION, {})
    if data is None:
        if from_study is None:
            raise InputError(
                f"{model.folder}: its study is not where it was; name it with --study, or data "
                "with --data"
            )
        moved = {"labels": labels, "images": images}
        given: dict[str, Any] = {
            name: str(Path(place).absolute()) for name, place in moved.items() if place
        }
        return replace(from_study, **given), stored
    if data == PHANTOM and from_study is not None and from_study.data == PHANTOM:
        return from_study, stored
    asked = DataRequest(data=data, labels=labels, images=images).with_absolute_paths()
    own = from_study is not None and from_study.data == asked.data
    if from_study is not None and own and labels is None and images is None:
        return from_study, stored
    return asked, None


def _request_in(card: Path, reading: Any) -> DataRequest:
    """The request that a model's card keeps.

    Raises:
        InputError: where they are none.
    """
    try:
        return DataRequest.from_dict(reading)
    except (InputError, TypeError, AttributeError) as error:
        raise InputError(f"{card}: data.reading is damaged; restore it from a copy") from error


def predict_to_file(
    model: Path,
    images: Path,
    out: Path,
    tidy: bool = False,
    tta: str | None = None,
    sample: Path | None = None,
    precision: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Write the probabilities of every image below ``images`` as CSV.

    Args:
        model: a model folder or an ensemble folder.
        images: folder of PNG, JPEG or DICOM files.
        out: CSV to write.
        tidy: one row an image and label, instead of one an image.
        tta: test-time augmentation, as in `cxrsearch.model.views`; None: as the card says.
        sample: a sample submission, whose columns and rows are written in its order.
        precision: ``float32``, ``bf16``, ``fp16``, or ``auto``: what the model's card says.
        on_progress: called with how many images are done, of how many.

    Returns:
        what the user should know: images that got no prediction, with the reason.

    Raises:
        InputError: where the model, the sample or every image cannot be used, or ``out`` cannot
            be written.
    """
    if tidy and sample is not None:
        raise InputError("--tidy and --sample name two different formats; choose one")
    loaded = load_predictor(model, ComputeOptions(precision=precision), tta)
    form = read_sample(sample, images, loaded.labels) if sample is not None else None
    own = [prediction_columns(loaded.labels), TIDY_COLUMNS, TIDY_BEFORE]
    check_file(out, "predictions.csv", *map(table_start, own if form is None else [form.header]))
    wanted = form.files if form is not None else None
    found = predict_folder(loaded, images, on_progress, wanted)
    if form is not None:
        form.write(out, found)
    else:
        (write_tidy if tidy else write_competition)(out, found)
    left_out = [f"left out: {reason}" for reason in reasons(found.left_out, SHOWN)]
    if left_out:
        count = len(found.left_out)
        total = len(found.names) + count
        left_out.append(f"{count} of {total} images got no prediction")
    return [*found.notes, *left_out]
