"""Assembles space, sampler, objective and runner into one study folder, and goes on with it."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.objective import TrialObjective
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.keep import EpochScoresRoom, Keep, keep_best, parse_keep, winners
from cxrsearch.show.view import CONFIRM, trials_to_search
from search.budget import ELAPSED, Budget, parse_duration
from search.confirm.confirming import Confirming
from search.confirm.reruns import FINALISTS, finalists_of, reruns
from search.events import Event, OnEvent
from search.files import shown
from search.objective import Objective
from search.store.lock import driver_alive
from search.store.record import ENDED, StudyRecord, read_study
from search.study import Study, StudyConfig
from search.trials.halving import Halving, default_halving, paused_at
from search.trials.marks import same_as, searched
from search.trials.pareto import front, judged

from .confirmation import (
    ConfirmPlan,
    confirm_problems,
    confirming_of,
    to_confirm,
    under_way,
)
from .cost.multi_process import service
from .cost.sharing import OnNote
from .folder import ABLATION, check_weights, load_study, new_folder, read_study_yaml, trial_config
from .new_study import new_study, write_labels
from .prepare import Prepared, check_disk, prepare
from .progress import Progress
from .projection import disk_need
from .settings import ConfirmRequest, Settings
from .space import gene_values

TARGET_SECONDS = "target_seconds"
"""The study attribute with the running time that was asked for in all, or None: any.

It, ``target_trials`` and `CONFIRM` are what `resume` goes on to."""


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
    attrs: dict[str, Any] = {
        "target_trials": settings.target_trials, TARGET_SECONDS: settings.seconds,
    }  # fmt: skip
    if plan := ConfirmPlan.of(prepared):
        attrs[CONFIRM] = plan.to_dict()
    with new_study(prepared, folder, prepared.space, config, attrs) as study:
        _run(study, prepared, settings.seconds, progress)
    return folder


def _run(
    study: Study,
    prepared: Prepared,
    seconds: float | None,
    progress: Progress | None = None,
    search: bool = True,
) -> None:
    """`run` with the objective of a search: the training of a recipe."""
    objective = TrialObjective(trial_config(study.folder, prepared))
    run(study, prepared.settings, objective, progress, seconds=seconds, search=search)


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
        n_trials=settings.search_trials,
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
    search: bool = True,
) -> None:
    """Run ``study`` up to its target trials, or to ``seconds`` of running time over all runs.

    Where it has a `ConfirmPlan`, its last share of that is for reruns.

    Args:
        study: the study.
        settings: how it runs.
        objective: what a trial does.
        progress: shows how far it is.
        seconds: running time in all, or None: any.
        search: whether there may be new trials; otherwise finalists are confirmed and no more.

    Raises:
        KeyboardInterrupt: after a clean stop.
    """
    plan = ConfirmPlan.read({CONFIRM: study.get(CONFIRM)})
    target = study.get("target_trials") if plan is None else plan.after
    elapsed = float(study.get(ELAPSED, 0.0))
    counts = study.counts()
    best = study.best()
    view = progress or Progress(
        target,
        None if seconds is None else seconds - elapsed,
        sum(counts[state] for state in ENDED),
        (best.values[0], best.number) if best is not None else None,
        {t.number for t in study.searched() if paused_at(t) is not None},
    )
    keep = parse_keep(settings.keep_checkpoints)
    tidy = _tidier(study, keep)
    tidy()
    confirming = False

    def on_event(event: Event) -> None:
        nonlocal confirming
        if event.task.round is not None and not confirming:
            confirming = True
            _say_confirming(study, view)
        view(event)
        if event.kind == "end":
            tidy(event.number)

    go = partial(_go, study, settings, objective, on_event)
    whole = Budget(trials=target, seconds=seconds) if search else None
    shared = settings.nvidia_mps and 0 < settings.gpus < 1 and not settings.address
    with view, service() if shared else nullcontext():
        if plan is None:
            go(whole, None)
        else:
            _run_parts(study, plan, whole, confirming_of(plan, study, settings.objective, seconds),
                       go, view.note)  # fmt: skip


def _run_parts(
    study: Study,
    plan: ConfirmPlan,
    whole: Budget | None,
    confirm: Confirming,
    go: Callable[[Budget | None, Confirming | None], None],
    on_note: OnNote,
) -> None:
    """Search and confirm, or go on with whichever was cut off."""
    begun = whole is None or under_way(plan, study, confirm)
    if begun:
        go(None, confirm)
    if whole is None:
        return
    first = Budget(trials=whole.trials, seconds=plan.search_ends(plan.least, whole.seconds))
    if _to_search(study, first):
        if not plan.share:  # that one confirmation was asked for, and no other
            go(first, None)
            return
        if not plan.least:
            go(first, confirm)
            return
        go(first, None)
    elif begun:
        return
    count = sum(trial.state.is_finished() for trial in study.searched())
    if count >= plan.least:
        go(None, confirm)
        return
    on_note(
        f"{count} trials have ended, too few to confirm the best of them (that takes "
        f"{plan.least}): the search goes on"
    )
    go(whole, None)


def _to_search(study: Study, budget: Budget) -> bool:
    """Whether the search itself has something left within ``budget``."""
    if budget.seconds is not None and float(study.get(ELAPSED, 0.0)) >= budget.seconds:
        return False
    own = study.searched()
    waiting = any(not trial.state.is_finished() for trial in own)
    return waiting or budget.trials is None or len(own) < budget.trials


def _go(
    study: Study,
    settings: Settings,
    objective: Objective,
    on_event: OnEvent,
    budget: Budget | None,
    confirm: Confirming | None,
) -> None:
    """Run ``study`` by the runner of ``settings``."""
    if settings.runner == "serial":
        from search.serial import run_serial

        run_serial(study, objective, budget, on_event, confirm)
        return
    from search.tune import Resources, run_tune

    resources = Resources(
        cpus=settings.cpus,
        gpus=settings.gpus,
        concurrent=settings.concurrent,
        max_concurrent=settings.max_concurrent,
        address=settings.address,
    )
    run_tune(study, objective, budget, resources, on_event, confirm=confirm)


def _say_confirming(study: Study, view: Progress) -> None:
    """Tell ``view`` that the search is over, and how far the reruns are."""
    plan = study.get(FINALISTS)
    numbers, ended = finalists_of({FINALISTS: plan}), defaultdict[int, list[float]](list)
    known = [one for one in reruns(study.trials()) if one.finalist in numbers]
    known = [one for one in known if one.value is not None]
    for one in known:
        if one.value is not None and math.isfinite(one.value):
            ended[one.finalist].append(one.value)
    view.confirming(numbers, plan["reruns"], ended, len(known))


def _tidier(study: Study, keep: Keep) -> Callable[..., None]:
    """A function that deletes the weights that are no longer wanted: all such, or those that the
    end of a trial, given by its number, has made so. Scores of epochs go as room for them ends."""
    before: set[int] = set()
    room = EpochScoresRoom(study.folder / "trials", keep)

    def tidy(*ended: int) -> None:
        nonlocal before
        trials = study.trials()
        running = {t.number for t in trials if not t.state.is_finished()}
        finalists = finalists_of({FINALISTS: study.get(FINALISTS)})
        ranked = to_keep(trials, study.config.directions, finalists)
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


def to_keep(
    trials: Sequence[FrozenTrial], directions: Sequence[str], finalists: Sequence[int] = ()
) -> list[int]:
    """Numbers of the complete trials in the order in which they are to keep their weights.

    Those that are confirmed come first, then the best trial of each recipe, best first, and at the
    end recipes again with another seed: what is made of the weights is an ensemble.
    """
    ranked, seen = ranking(trials, directions), set[str]()
    known = {trial.number: trial for trial in trials}
    again = set()
    for number in ranked:
        recipe = json.dumps(known[number].user_attrs.get("params", {}), sort_keys=True)
        if recipe in seen:
            again.add(number)
        seen.add(recipe)
    return sorted(ranked, key=lambda n: (n not in finalists, n in again))  # the sort is stable


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
    check_weights(path)
    settings = prepared.settings
    record = read_study(path, settings.storage)
    seconds = record.attrs.get(TARGET_SECONDS, settings.seconds)
    if not more and (done := _nothing_left(record, settings, None if longer else seconds)):
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
    """Remember what a study is to go on to now, and return its running time in all.

    Of what is added, the confirmation gets its share.
    """
    elapsed = float(study.get(ELAPSED, 0.0))
    seconds = None  # trials are asked for, however long they take
    if time_budget:
        seconds = elapsed + parse_duration(time_budget)
    plan = ConfirmPlan.read({CONFIRM: study.get(CONFIRM)})
    with study.batch():
        study.set(TARGET_SECONDS, seconds)
        if plan is not None:
            plan = plan.longer(more, study.trials(), elapsed, seconds)
            study.set(CONFIRM, plan.to_dict())
            study.set("target_trials", plan.trials)
        elif more:
            total = max(study.get("target_trials") or 0, len(study.trials()))
            study.set("target_trials", total + more)
    return seconds


def _nothing_left(record: StudyRecord, settings: Settings, seconds: float | None) -> str | None:
    """Why a study that nobody runs has nothing to do, with the way to go on; None: it has."""
    counts, target = record.counts(), trials_to_search(record.attrs)
    if counts["running"]:
        return None
    add = f"`cxrsearch extend {quoted(record.folder)} --trials 50`"
    waiting = counts["interrupted"] + counts["paused"]
    over = target is not None and len(record.searched) >= target and not waiting
    elapsed, ends = float(record.attrs.get(ELAPSED, 0.0)), seconds
    plan = ConfirmPlan.read(record.attrs)
    if ends is not None and plan is not None:
        ends = plan.search_ends(sum(t.state.is_finished() for t in record.searched), ends)
    time_up = ends is not None and elapsed >= ends
    left = _to_confirm(record, settings, seconds) if over or time_up else False
    if over and not left:
        again = f" and {counts['reruns']} reruns" if counts["reruns"] else ""
        return f"{record.folder}: all {target} trials{again} are done; add some with {add}"
    if time_up and not left:
        part = "its" if seconds is not None and elapsed >= seconds else "the search's part of its"
        done = "" if part == "its" else ", and its reruns are done"
        return (
            f"{record.folder}: {part} time budget is used up{done}; give more with "
            f"--time-budget 2h, or add trials with {add}"
        )
    return None


def _to_confirm(record: StudyRecord, settings: Settings, seconds: float | None) -> bool:
    """Whether there are reruns to be done, and time for them, in a study whose search is over."""
    plan = ConfirmPlan.read(record.attrs)
    if plan is None or record.best() is None:
        return False
    confirm = confirming_of(plan, record, settings.objective, seconds)
    if confirm.seconds is not None and float(record.attrs.get(ELAPSED, 0.0)) >= confirm.seconds:
        return False
    return to_confirm(plan, record, record.attrs.get(FINALISTS), confirm)


def extend(folder: str | Path, trials: int, **changes: Any) -> Path:
    """`resume` with ``trials`` more than the study was to have."""
    if trials < 1:
        raise InputError(f"--trials {trials}: must be at least 1")
    return resume(folder, more=trials, **changes)


def confirm(
    folder: str | Path,
    top: int | None = None,
    repeats: int = ConfirmRequest.repeats,
    *,
    on_note: OnNote = lambda line: None,
    **changes: Any,
) -> Path:
    """Train the finalists of the study in ``folder`` again, finished or stopped, and nothing else.

    What is asked for is remembered, so that a plain `resume` goes on to it too.

    Args:
        folder: the study's folder.
        top: finalists; None: those of an earlier confirmation, or five.
        repeats: reruns of each on average: ``top`` times that in all, which go where they decide
            most. Those that are there already count.
        on_note: told what a measurement of ``auto`` comes to, and where nothing is left to do.
        changes: as for `resume`.

    Raises:
        InputError: where the study has nothing to confirm, or its data are not those that it was
            made with.
    """
    path, request = Path(folder), ConfirmRequest(top, repeats)
    record = read_study(path, changes.get("storage"))
    if problems := confirm_problems(request, record, ABLATION in read_study_yaml(path)):
        raise InputError(problems)
    prepared = load_study(path, on_note, **changes)
    check_weights(path)
    study = Study.open(path, prepared.settings.storage)
    try:
        seconds = None  # reruns are asked for, however long they take
        if longer := changes.get("time_budget"):
            seconds = float(study.get(ELAPSED, 0.0)) + parse_duration(longer)
        plan = ConfirmPlan.read(record.attrs)
        plan = plan or ConfirmPlan(0.0, after=trials_to_search(record.attrs))
        plan = plan.by(request, record, seconds)
        if (there := len(judged(record.trials, record.config.directions))) < (plan.top or 0):
            on_note(f"{path}: {there} of its trials are complete, so no more are confirmed")
        asked = confirming_of(plan, record, prepared.settings.objective, None)
        if not to_confirm(plan, record, None, asked):
            done = record.counts()["reruns"]
            on_note(f"{path}: {done} reruns are done, as many as asked for; add some by --repeats")
            return path
        with study.batch():
            study.set(CONFIRM, plan.to_dict())
            study.set("target_trials", plan.trials)
        write_labels(prepared, path)
        _run(study, prepared, seconds, search=False)
    finally:
        study.close()
    return path
