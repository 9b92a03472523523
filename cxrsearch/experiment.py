"""Assembles space, sampler, objective and runner into one study folder, and goes on with it.

From Python, a search is::

    from cxrsearch.experiment import Settings, search, status
    folder = search(Settings(data="my-xrays", trials=40), "results/first")
    print(status(folder)["best"])
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from optuna.trial import FrozenTrial, TrialState

from cxrsearch import __version__
from cxrsearch.data.cache import open_cache
from cxrsearch.data.splits import Splits, check_leakage
from cxrsearch.errors import InputError
from cxrsearch.learn.keep import keep_best, parse_keep
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.trial import TrialConfig, TrialObjective, save_labels
from cxrsearch.prepare import (
    Prepared,
    cache_root,
    check_disk,
    gene_values,
    leave_out_bad,
    load_data,
    prepare,
    resolve_hardware,
)
from cxrsearch.progress import Progress
from cxrsearch.projection import disk_need, trials_at_once
from cxrsearch.settings import Settings
from cxrsearch.show.status import status
from search.budget import Budget
from search.files import write_text
from search.halving import default_halving
from search.record import read_study
from search.study import Study, StudyConfig

__all__ = ["Settings", "extend", "resume", "search", "status"]


def new_folder(settings: Settings, folder: str | Path | None = None) -> Path:
    """The folder of a new study: as given, or ``results/<name>-<time>``.

    Raises:
        InputError: where a study is there already.
    """
    if folder is None:
        name = "ga" if settings.sampler == "genetic" else settings.sampler
        return Path("results") / f"{name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    path = Path(folder)
    if path.is_file():
        raise InputError(f"--study {path}: that is a file; name a folder")
    if (path / "study.yaml").exists():
        raise InputError(
            f"--study {path}: a study exists already{_difference(path, settings)}; go on with "
            f"`cxrsearch resume {path}` or `cxrsearch extend {path} --trials 50`, or name another"
        )
    if path.is_dir() and any(path.iterdir()) and not _abandoned(path):
        raise InputError(
            f"--study {path}: the folder is not empty and holds no study; name another"
        )
    return path


def _abandoned(path: Path) -> bool:
    """Whether ``path`` holds only what a search writes before its study exists."""
    ours = ("splits.json", "labels.npz", "history.db", "driver.", "storage.url", ".")
    return all(p.name.startswith(ours) for p in path.iterdir())


def _difference(path: Path, settings: Settings) -> str:
    old = read_study_yaml(path)["settings"]
    fresh = settings.with_absolute_paths().to_dict()
    changed = [
        f"{key} {old.get(key)!r}, not {fresh[key]!r}"
        for key in ("data", "labels", "space", "sampler", "objective", "seed")
        if old.get(key) != fresh[key] and not (key == "space" and fresh[key] is None)
    ]
    return f", made with {'; '.join(changed)}" if changed else ""


def search(
    settings: Settings, folder: str | Path | None = None, progress: Progress | None = None
) -> Path:
    """Run a whole search in a new study folder and return the folder.

    Raises:
        InputError: before anything is written, where something cannot work.
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
    check_disk(folder, disk_need(prepared.space, prepared.settings))


def start(prepared: Prepared, folder: Path, progress: Progress | None = None) -> Path:
    """Write the study folder of ``prepared`` and run its search."""
    settings = prepared.settings
    folder.mkdir(parents=True, exist_ok=True)
    prepared.splits.save(folder / "splits.json")
    for left in folder.glob("history.db*"):  # of a start that was killed before its first trial
        left.unlink()
    data = prepared.dataset
    save_labels(folder / "labels.npz", data.names, data.labels, data.patients)
    study = Study.create(folder, prepared.space, _study_config(prepared, folder), settings.storage)
    try:
        study.set("target_trials", settings.target_trials)
        study.set("data_fingerprint", data.fingerprint)
        study.set("split_fingerprint", prepared.splits.fingerprint)
        write_text(folder / "study.yaml", _describe(prepared))
        run(study, settings, trial_config(folder, prepared), progress)
    finally:
        study.close()
    return folder


def _study_config(prepared: Prepared, folder: Path) -> StudyConfig:
    settings = prepared.settings
    options: dict[str, Any] = {}
    if settings.sampler == "genetic":
        options = {"population_size": settings.population, "scheme": settings.scheme}
    epochs = max(gene_values(prepared.space, "epochs", Recipe.epochs))
    return StudyConfig(
        name=folder.resolve().name,
        sampler=settings.sampler,
        seed=settings.seed,
        sampler_options=options,
        halving=default_halving(int(epochs)) if settings.early_stopping else None,
        n_trials=settings.target_trials,
    )


def _describe(prepared: Prepared) -> str:
    """The text of study.yaml: all that a reader needs to repeat the search."""
    libraries = ("torch", "torchvision", "optuna", "ray", "deap", "numpy")
    record = {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": prepared.settings.to_dict(),
        "data": {
            "source": prepared.dataset.label,
            "fingerprint": prepared.dataset.fingerprint,
            "images": len(prepared.dataset.names),
            "unlabelled": len(prepared.dataset.unlabelled),
            "frame": prepared.cache.frame,
            "left_out": dict(prepared.cache.bad),
        },
        "splits": {
            "fingerprint": prepared.splits.fingerprint,
            "counts": {part: dict(c) for part, c in prepared.counts.items()},
        },
        "space": prepared.space.to_dict(),
        "notes": list(prepared.notes),
        "versions": {"cxrsearch": __version__, "python": platform.python_version()}
        | {name: metadata.version(name) for name in libraries},
    }
    return yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=100)


def read_study_yaml(folder: Path) -> dict[str, Any]:
    """What study.yaml of ``folder`` says.

    Raises:
        InputError: where there is none, or it cannot be read.
    """
    path = folder / "study.yaml"
    if not path.is_file():
        raise InputError(f"{folder}: no study here (no study.yaml); see what is in results/")
    try:
        record = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); restore it from a copy") from error
    if not isinstance(record, dict) or not isinstance(record.get("settings"), dict):
        raise InputError(f"{path}: not a study.yaml; restore it from a copy")
    return record


def trial_config(folder: Path, prepared: Prepared) -> TrialConfig:
    """What workers need to train on what ``prepared`` holds."""
    settings = prepared.settings
    return TrialConfig(
        cache=prepared.cache,
        splits_path=(folder / "splits.json").resolve(),
        labels_path=(folder / "labels.npz").resolve(),
        split_fingerprint=prepared.splits.fingerprint,
        device="auto" if settings.gpus_per_trial else "cpu",
        threads=max(1, int(settings.cpus_per_trial)),
        diseases=settings.diseases,
        weights_dir=Path(settings.weights_dir) if settings.weights_dir else None,
        memory_share=0.8 * min(1.0, settings.gpus_per_trial or 1 / trials_at_once(settings)),
    )


def run(
    study: Study, settings: Settings, config: TrialConfig, progress: Progress | None = None
) -> None:
    """Run ``study`` up to its target or to the end of its time.

    Raises:
        KeyboardInterrupt: after a clean stop.
    """
    target = study.get("target_trials")
    budget = Budget(trials=target, seconds=settings.seconds)
    counts = study.counts()
    finished = sum(counts[state] for state in ("complete", "pruned", "failed"))
    best = study.best()
    view = progress or Progress(
        target,
        settings.seconds,
        finished,
        (best.value, best.number) if best is not None and best.value is not None else None,
    )
    keep = parse_keep(settings.keep_checkpoints)
    objective = TrialObjective(config)

    def on_event(event: Any) -> None:
        view(event)
        if event.kind == "end":
            trials = study.trials()
            running = {t.number for t in trials if not t.state.is_finished()}
            keep_best(study.folder / "trials", ranking(trials), keep, running)

    with view:
        if settings.runner == "serial":
            from search.serial import run_serial

            run_serial(study, objective, budget, on_event)
        else:
            from search.tune import Resources, run_tune

            resources = Resources(
                cpus=settings.cpus_per_trial,
                gpus=settings.gpus_per_trial or 0.0,
                concurrent=settings.concurrent,
                address=settings.address,
            )
            run_tune(study, objective, budget, resources, on_event)


def ranking(trials: Iterable[FrozenTrial]) -> list[int]:
    """Numbers of the complete trials, best first."""
    complete = [t for t in trials if t.state is TrialState.COMPLETE and t.value is not None]
    return [t.number for t in sorted(complete, key=lambda t: (-(t.value or 0.0), t.number))]


def resume(folder: str | Path, *, more: int = 0, **changes: Any) -> Path:
    """Go on with the study in ``folder``: interrupted trials first, then new ones.

    Args:
        folder: the study's folder.
        more: trials to add to its target.
        changes: settings of how it runs (``runner``, ``concurrent``, ``time_budget``, ...).

    Raises:
        InputError: where the data are not those that the study was made with.
    """
    path = Path(folder)
    settings, prepared = load_study(path, **changes)
    study = Study.open(path, settings.storage)
    try:
        if more:
            total = sum(study.counts().values())
            study.set("target_trials", max(study.get("target_trials") or 0, total) + more)
        run(study, settings, trial_config(path, prepared))
    finally:
        study.close()
    return path


def extend(folder: str | Path, trials: int, **changes: Any) -> Path:
    """`resume` with ``trials`` more than the study was to have."""
    if trials < 1:
        raise InputError(f"--trials {trials}: must be at least 1")
    return resume(folder, more=trials, **changes)


def load_study(folder: Path, **changes: Any) -> tuple[Settings, Prepared]:
    """A study's settings and data, as they were when it was made.

    Args:
        folder: the study's folder.
        changes: settings to override; those that are None stay.

    Raises:
        InputError: where images, labels or splits are no longer those of the study.
    """
    record = read_study_yaml(folder)
    given = {key: value for key, value in changes.items() if value is not None}
    settings = replace(Settings.from_dict(record["settings"]), **given)
    settings.check()
    settings = resolve_hardware(settings.with_absolute_paths())
    dataset = load_data(settings)
    cache = open_cache(dataset, record["data"]["frame"], root=cache_root(settings))
    usable, notes = leave_out_bad(dataset, cache)
    if usable.fingerprint != record["data"]["fingerprint"]:
        raise InputError(
            f"{settings.data}: images or labels are not those that {folder} was made with "
            f"({len(usable.names)} images, then {record['data']['images']}); restore them, or "
            "start a new study"
        )
    splits = Splits.load(folder / "splits.json")
    if splits.fingerprint != record["splits"]["fingerprint"]:
        raise InputError(f"{folder / 'splits.json'}: not the splits of this study; restore them")
    check_leakage(splits, dict(zip(usable.names, usable.patients.tolist(), strict=True)))
    space = read_study(folder, settings.storage).space
    counts = record["splits"]["counts"]
    return settings, Prepared(settings, usable, space, cache, splits, counts, tuple(notes))
