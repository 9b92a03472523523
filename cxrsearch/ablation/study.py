"""The ablation as a study: prepared, run, resumed, and judged when all of it is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from cxrsearch.equal_compute.plan import Plan
from cxrsearch.errors import InputError, quoted
from cxrsearch.show.view import noted_labels
from cxrsearch.study import experiment
from cxrsearch.study.cost.sharing import OnNote
from cxrsearch.study.folder import ABLATION, load_study, read_study_yaml, trial_config
from cxrsearch.study.new_study import new_study, write_labels
from cxrsearch.study.progress import Progress
from cxrsearch.study.settings import PHANTOM, Settings
from search.budget import ELAPSED, parse_duration
from search.files import shown
from search.store.record import ENDED, read_study
from search.study import Study, StudyConfig

from .arms import ARMS, BASELINE
from .design import ReadyAblation
from .objective import CellObjective, cells
from .verdict import write_verdict


def start(
    ready: ReadyAblation, folder: Path, progress: Progress | None = None
) -> dict[str, Any] | None:
    """Write the study folder, run every cell and judge them.

    Returns:
        the verdict; None where the time was up before all cells had ended.

    Raises:
        InputError: where a study is in ``folder``, or another is about to be made there.
        KeyboardInterrupt: after a clean stop; `resume` goes on.
    """
    prepared, plan = ready.prepared, ready.plan
    config = StudyConfig(name=shown(folder.resolve().name), sampler="random", seed=plan.seed)
    attrs, kept = {"target_trials": ready.cells}, {ABLATION: ready.record()}
    with new_study(prepared, folder, cells(plan), config, attrs, **kept) as study:
        _run(study, ready, progress, prepared.settings.seconds)
    return judge(folder) if _left(folder) is None else None


def resume(
    folder: Path, progress: Progress | None = None, on_note: OnNote = lambda line: None,
    **changes: Any,
) -> dict[str, Any] | None:  # fmt: skip
    """Go on with an ablation: cells that were cut off, then new ones, then the verdict.

    Args:
        folder: the study's.
        progress: shows how far it is.
        on_note: told what a measurement of ``auto`` comes to.
        changes: settings of how it runs (``runner``, ``concurrent``, ``time_budget``, ...).

    Returns:
        the verdict; None where the time was up before all cells had ended.

    Raises:
        InputError: where the data are not those that it was made with.
    """
    prepared = load_study(folder, on_note, ablation=True, **changes)
    ready = ReadyAblation.again(prepared, read_study_yaml(folder)[ABLATION])
    study = Study.open(folder, prepared.settings.storage)
    try:
        counts = study.counts()
        if sum(counts[state] for state in ENDED) < (study.get("target_trials") or 0):
            write_labels(prepared, folder)
            seconds = None  # a time budget is of one run: without one it goes on to the verdict
            if changes.get("time_budget"):
                seconds = float(study.get(ELAPSED, 0.0)) + parse_duration(changes["time_budget"])
            _run(study, ready, progress, seconds)
    finally:
        study.close()
    return judge(folder) if _left(folder) is None else None


def _run(
    study: Study, ready: ReadyAblation, progress: Progress | None, seconds: float | None
) -> None:  # fmt: skip
    prepared, free = ready.prepared, ready.unlabelled
    cache = free.cache if free else prepared.cache
    config = trial_config(study.folder, prepared)
    config = replace(config, cache=cache, objective=ready.labels)
    objective = CellObjective(config, ready.plan, free.names if free else ())
    experiment.run(study, prepared.settings, objective, progress, seconds)


def judge(folder: Path) -> dict[str, Any]:
    """The verdict of a study all of whose cells have ended; written where it isn't yet.

    Raises:
        InputError: where cells are left to train.
    """
    if left := _left(folder):
        raise InputError(
            f"{folder}: {left}; the test part is judged when all have. "
            f"`cxrsearch ablate --study {quoted(folder)}` goes on"
        )
    record, kept = read_study(folder), read_study_yaml(folder)
    plan = plan_of(kept)
    return write_verdict(record, plan, _about(kept, plan))


def _left(folder: Path) -> str | None:
    """How many cells have ended, where not all have."""
    record = read_study(folder)
    ended = sum(trial.state.is_finished() for trial in record.trials)
    target = int(record.attrs.get("target_trials") or 0)
    return f"{ended} of {target} cells have ended" if ended < target else None


def differences(folder: Path, asked: Mapping[str, Any]) -> list[str]:
    """What the ablation in ``folder`` was made with where ``asked`` says otherwise.

    Args:
        folder: the study's.
        asked: options of the command by name, those that were given.

    Raises:
        InputError: where it is not an ablation.
    """
    kept = read_study_yaml(folder)
    if ABLATION not in kept:
        raise InputError(f"{folder}: a search, not an ablation; name another folder with --study")
    plan = plan_of(kept)
    source = kept[ABLATION].get("unlabelled_from")
    design = {"unlabelled": source, "seeds": plan.seeds, "search_trials": plan.search_trials,
              "epochs": plan.recipe.epochs, "input_size": str(plan.recipe.input_size),
              "arms": ",".join(name for name in plan.arms if name != BASELINE)}  # fmt: skip
    known = {**kept["settings"], **design}
    fresh = Settings(**{k: v for k, v in asked.items() if k not in design}).with_absolute_paths()
    wanted = {name: design_value(name, value) if name in design else getattr(fresh, name)
              for name, value in asked.items()}  # fmt: skip
    return [
        f"--{name.replace('_', '-')} {known[name]}, not {value}"
        for name, value in wanted.items()
        if value != known[name]
    ]


def design_value(name: str, value: Any) -> Any:
    """An option of the design as `differences` compares it: arms in their own order."""
    if name == "unlabelled":
        return str(Path(value).resolve())
    if name != "arms":
        return value
    named = {part.strip() for part in str(value).split(",")}
    return ",".join([arm for arm in ARMS if arm in named and arm != BASELINE]
                    + sorted(named - set(ARMS)))  # fmt: skip


def plan_of(kept: Mapping[str, Any]) -> Plan:
    """The plan in an ablation's study.yaml.

    Raises:
        InputError: where it is damaged.
    """
    names = {f.name for f in fields(Plan)}
    return Plan.from_dict({k: v for k, v in kept[ABLATION].items() if k in names})


def _about(kept: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """What the verdict says of the data and of what was held equal."""
    recipe, ablation = plan.recipe, kept[ABLATION]
    labels = list(ablation["diseases"])
    return {
        "data": kept["data"]["source"],
        "phantom": kept["settings"]["data"] == PHANTOM,
        "init": recipe.init,
        "model": recipe.model,
        "input_size": str(recipe.input_size),
        "epochs": recipe.epochs,
        "space": kept["space"]["name"],
        "split": kept["splits"]["fingerprint"],
        "seed": plan.seed,
        "diseases": labels,
        "diseases_left_out": [name for name in noted_labels(kept) if name not in labels],
        "arms_left_out": dict(ablation.get("left_out") or {}),
        "unlabelled": plan.unlabelled,
    }
