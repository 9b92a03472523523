"""Assembles space, sampler, objective and runner into one study folder, and goes on with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.objective import TrialObjective
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.keep import EpochScoresRoom, Keep, keep_best, parse_keep, winners
from search.budget import ELAPSED, Budget, parse_duration
from search.files import shown
from search.objective import Objective
from search.store.lock import driver_alive
from search.store.record import ENDED, StudyRecord, read_study
from search.study import Study, StudyConfig
from search.trials.halving import Halving, default_halving, paused_at
from search.trials.marks import same_as, searched
from search.trials.pareto import front, judged

from .cost.sharing import OnNote
from .folder import load_study, new_folder, trial_config
from .new_study import new_study, write_labels
from .prepare import Prepared, check_disk, prepare
from .progress import Progress
from .projection import disk_need
from .settings import Settings
from .space import gene_values

TARGET_SECONDS = "target_seconds"
"""The study attribute with the running time that was asked for in all, or None: any.

It and ``target_trials`` are what `resume` goes on to."""


def search(
    settings: Settings, folder: str | Path | None = None, progress: Progress | None = None
) -> Path:
    """Run a whole search in a new study folder and return the folder.

    Raises:
        InputError: before the study is made, where something cannot work.
        KeyboardInterrupt: after a clean stop; `resume` goes on.
    """
    path = new_folder(settings, folder)
    prepared = prepare(settings)
    check_room(prepared, path)
    return start(prepared, path, progress)


def check_room(prepared: Prepared, folder: Path) -> None:
    """Refuse where the study's checkpoints would not fit on the disk of ``folder``.

    Raises:
        InputError: naming what is needed and what is free.
    """
    n_classes = len(prepared.dataset.label_names)
    check_disk(folder, disk_need(prepared.space, prepared.settings, n_classes))


def start(prepared: Prepared, folder: Path, progress: Progress | None = None) -> Path:
    """Write the study folder of ``prepared`` and run its search.

    Raises:
        InputError: where a study is in ``folder``, or another search is about to make one.
    """
    settings = prepared.settings
    if driver_alive(folder):  # more to the point than that its study exists
        raise InputError(f"--study {folder}: another search is starting there; name another folder")
    config = _study_config(prepared, folder)
    attrs = {"target_trials": settings.target_trials, TARGET_SECONDS: settings.seconds}
    with new_study(prepared, folder, prepared.space, config, attrs) as study:
        _run(study, prepared, settings.seconds, progress)
    return folder


def _run(
    study: Study, prepared: Prepared, seconds: float | None, progress: Progress | None = None
) -> None:
    """`run` with the objective of a search: the training of a recipe."""
    objective = TrialObjective(trial_config(study.folder, prepared))
    run(study, prepared.settings, objective, progress, seconds=seconds)


def _study_config(prepared: Prepared, folder: Path) -> StudyConfig:
    settings = prepared.settings
    options: dict[str, Any] = dict(prepared.choice.options) if prepared.choice else {}
    if settings.sampler == "genetic":
        options = {"population_size": settings.population, "scheme": settings.scheme}
    return StudyConfig(
        name=shown(folder.resolve().name),
        sampler=settings.sampler,
        seed=settings.seed,
        sampler_options=options,
        halving=_halving(prepared) if settings.early_stopping else None,
        n_trials=settings.target_trials,
        prior=prepared.prior,
        directions=settings.objectives.directions,
        metrics=settings.objectives.measures,
    )


def _halving(prepared: Prepared) -> Halving | None:
    epochs = max(gene_values(prepared.space, "epochs", Recipe.epochs))
    settings = prepared.settings
    return default_halving(int(epochs), promote=settings.halving == "promote", length="epochs")


def run(
    study: Study,
    settings: Settings,
    objective: Objective,
    progress: Progress | None = None,
    seconds: float | None = None,
) -> None:
    """Run ``study`` up to its target trials, or to ``seconds`` of running time over all runs.

    Raises:
        KeyboardInterrupt: after a clean stop.
    """
    target = study.get("target_trials")
    budget = Budget(trials=target, seconds=seconds)
    counts = study.counts()
    finished = sum(counts[state] for state in ENDED)
    paused = {t.number for t in study.trials() if paused_at(t) is not None}
    best = study.best()
    view = progress or Progress(
        target,
        None if seconds is None else seconds - float(study.get(ELAPSED, 0.0)),
        finished,
        (best.values[0], best.number) if best is not None else None,
        paused,
    )
    keep = parse_keep(settings.keep_checkpoints)
    tidy = _tidier(study, keep)
    tidy()

    def on_event(event: Any) -> None:
        view(event)
        if event.kind == "end":
            tidy(event.number)

    with view:
        if settings.runner == "serial":
            from search.serial import run_serial

            run_serial(study, objective, budget, on_event)
        else:
            from search.tune import Resources, run_tune

            resources = Resources(
                cpus=settings.cpus,
                gpus=settings.gpus,
                concurrent=settings.concurrent,
                address=settings.address,
            )
            run_tune(study, objective, budget, resources, on_event)


def _tidier(study: Study, keep: Keep) -> Callable[..., None]:
    """A function that deletes the weights that are no longer wanted: all such, or those that the
    end of a trial, given by its number, has made so. Scores of epochs go as room for them ends."""
    before: set[int] = set()
    room = EpochScoresRoom(study.folder / "trials", keep)

    def tidy(*ended: int) -> None:
        nonlocal before
        trials = study.trials()
        running = {t.number for t in trials if not t.state.is_finished()}
        ranked = ranking(trials, study.config.directions)
        best = winners(ranked, keep)
        only = {*ended, *(before - best)} if ended else None
        keep_best(study.folder / "trials", ranked, keep, running, only)
        room.tidy(best_values(trials), ended)
        before = best

    return tidy


def best_values(trials: Sequence[FrozenTrial]) -> dict[int, float]:
    """The best AUROC that each finished trial of the search had, at any epoch or its end.

    Without those that repeat another, and so have no files.
    """
    ended = [t for t in searched(trials) if t.state.is_finished() and same_as(t) is None]
    return {
        trial.number: max([*trial.intermediate_values.values(), *(trial.values or [])[:1]],
                          default=-math.inf)
        for trial in ended
    }  # fmt: skip


def ranking(trials: Sequence[FrozenTrial], directions: Sequence[str] = ("maximize",)) -> list[int]:
    """Numbers of the complete trials, best first; of several objectives by the Pareto front."""
    complete = judged(trials, directions)
    best = {t.number for t in front(complete, directions)}
    complete.sort(key=lambda t: (t.number not in best, -t.values[0], t.number))
    return [t.number for t in complete]


def resume(
    folder: str | Path, *, more: int = 0, on_note: OnNote = lambda line: None, **changes: Any
) -> Path:
    """Go on with the study in ``folder``: interrupted trials first, then new ones.

    What is asked for is remembered, so that a plain resume goes on to it. Where nothing is left
    to do, `on_note` is told so and how to go on.

    Args:
        folder: the study's folder.
        more: trials to add to its target.
        on_note: told what a measurement of ``auto`` comes to.
        changes: settings of how it runs (``runner``, ``concurrent``, ``time_budget``, ...). A
            time budget is added to what has been used.

    Raises:
        InputError: where the data are not those that the study was made with.
    """
    path = Path(folder)
    longer = changes.get("time_budget")
    prepared = load_study(path, on_note, **changes)
    settings = prepared.settings
    record = read_study(path, settings.storage)
    seconds = record.attrs.get(TARGET_SECONDS, settings.seconds)
    if not more and (done := _nothing_left(record, None if longer else seconds)):
        on_note(done)
        return path
    study = Study.open(path, settings.storage)
    try:
        if more or longer:
            seconds = _ask_for(study, more, longer)
        write_labels(prepared, path)  # the same again, lest a damaged file fails every trial
        _run(study, prepared, seconds)
    finally:
        study.close()
    return path


def _ask_for(study: Study, more: int, time_budget: str | None) -> float | None:
    """Remember what a study is to go on to now, and return its running time in all."""
    seconds = None  # trials are asked for, however long they take
    if time_budget:
        seconds = float(study.get(ELAPSED, 0.0)) + parse_duration(time_budget)
    with study.batch():
        study.set(TARGET_SECONDS, seconds)
        if more:
            total = max(study.get("target_trials") or 0, len(study.trials()))
            study.set("target_trials", total + more)
    return seconds


def _nothing_left(record: StudyRecord, seconds: float | None) -> str | None:
    """Why a study that nobody runs has nothing to do, with the way to go on; None: it has."""
    counts, target = record.counts(), record.attrs.get("target_trials")
    if counts["running"]:
        return None
    add = f"`cxrsearch extend {quoted(record.folder)} --trials 50`"
    waiting = counts["interrupted"] + counts["paused"]
    if target is not None and not waiting and sum(counts.values()) >= target:
        return f"{record.folder}: all {target} trials are done; add some with {add}"
    if seconds is not None and float(record.attrs.get(ELAPSED, 0.0)) >= seconds:
        return (
            f"{record.folder}: its time budget is used up; give more with --time-budget 2h, or "
            f"add trials with {add}"
        )
    return None


def extend(folder: str | Path, trials: int, **changes: Any) -> Path:
    """`resume` with ``trials`` more than the study was to have."""
    if trials < 1:
        raise InputError(f"--trials {trials}: must be at least 1")
    return resume(folder, more=trials, **changes)
