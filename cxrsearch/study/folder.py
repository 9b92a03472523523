"""A study's folder: where it may be made, what study.yaml says, and reading it back."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.description import POLICIES
from cxrsearch.data.marks import absent, known, present
from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.compute.device import pick_device
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.compute.precision import HALF_TYPES, multiplies
from cxrsearch.learn.networks.weights.places import making_of
from cxrsearch.learn.networks.weights.reading import file_digest
from cxrsearch.learn.objective import TrialConfig
from cxrsearch.version import __version__
from search.cores import detect_cpus, threads_of
from search.errors import StudyError
from search.files import as_given, write_yaml
from search.reading import read_yaml
from search.samplers.automatic import AUTO
from search.space import SearchSpace
from search.store.places import HISTORY, URL_FILE
from search.store.record import StudyRecord, read_study

from .cost.recipe_kinds import expected_pixels
from .cost.sharing import OnNote
from .cost.stopwatches import MEMORY_SHARE_OF_ALL
from .data import restore_parts
from .prepare import Prepared, assemble, device_of, resolve_hardware, trials_at_once
from .projection import disk_need
from .settings import PRECISIONS, Settings, TrainingRequest
from .space import weights_used
from .unlabelled import pseudo_path


def new_folder(settings: Settings, folder: str | Path | None = None) -> Path:
    """The folder of a new study: as given, or ``results/<name>-<time>``.

    Raises:
        InputError: where a study is there already, or none can be written.
    """
    if folder is None:
        name = "ga" if settings.sampler == "genetic" else settings.sampler
        folder = Path("results") / f"{name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    path = Path(folder)
    there = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not there.is_dir():
        raise InputError(f"--study {path}: {there} is a file; name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"--study {path}: {there} cannot be written to; name another")
    trials = _trials(path, settings.storage)
    if trials is not None and (path / "study.yaml").exists():
        raise InputError(
            f"--study {path}: a study exists already{_difference(path, settings)}; go on with "
            f"`cxrsearch resume {quoted(path)}` or `cxrsearch extend {quoted(path)} --trials 50`, "
            "or name another"
        )
    if trials is not None:
        raise InputError(
            f"--study {path}: holds the history of a study ({trials}) without its study.yaml; "
            "restore that from a copy, or name another"
        )
    if path.is_dir() and any(path.iterdir()) and not _abandoned(path):
        raise InputError(
            f"--study {path}: the folder is not empty and holds no study; name another"
        )
    return path


STUDY_FILES = ("study.yaml", "splits.json", "labels.npz")
"""What a study has beside its history. The first is written last, and makes it one."""


def _trials(path: Path, storage: str | None) -> str | None:
    """What trials the history in ``path`` holds; None where it holds none that could be lost.

    A start that was cut off, or refused, before its first trial leaves such a one.
    """
    begun, history = (path / STUDY_FILES[0]).exists(), path / HISTORY
    kept = history.is_file() and history.stat().st_size > 0
    if not (begun or kept or (path / URL_FILE).exists()):
        return None
    try:
        count = len(read_study(path, storage).trials)
    except StudyError as error:
        return f"it cannot be read: {error}" if begun or kept else None
    return f"{count} trials" if count else None


def _abandoned(path: Path) -> bool:
    """Whether ``path`` holds only what a search writes before its first trial."""
    ours = (*STUDY_FILES, HISTORY, "driver.", URL_FILE, ".", "dashboard.html")
    return all(p.name.startswith(ours) for p in path.iterdir())


def _difference(path: Path, settings: Settings) -> str:
    old = read_study_yaml(path)["settings"]
    fresh = settings.with_absolute_paths().to_dict()
    changed = [
        f"{key} {old.get(key)!r}, not {fresh[key]!r}"
        for key in ("data", "labels", "images", "space", "sampler", "objective", "seed")
        if old.get(key) != fresh[key] and not (key == "space" and fresh[key] is None)
    ]
    return f", made with {'; '.join(changed)}" if changed else ""


def write_study_yaml(folder: Path, prepared: Prepared, **more: Any) -> None:
    """Write study.yaml: all that a reader needs to repeat the search, and ``more``."""
    write_yaml(folder / "study.yaml", study_values(prepared, **more))


def study_values(prepared: Prepared, **more: Any) -> dict[str, Any]:
    """What study.yaml says, and ``more``."""
    libraries = ("torch", "torchvision", "optuna", "ray", "deap", "numpy")
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "settings": prepared.settings.to_dict(),
        "data": {
            "source": prepared.dataset.label,
            "fingerprint": prepared.dataset.fingerprint,
            "images": len(prepared.dataset.names),
            "unlabelled": len(prepared.dataset.unlabelled),
            "frame": prepared.cache.frame,
            "left_out": dict(prepared.cache.bad),
            **marks_of(prepared.dataset),
            **({"description": dict(how)} if (how := prepared.dataset.description) else {}),
        },
        **more,
        **_chosen(prepared),
        "precision": prepared.precision,
        **({"side_by_side": prepared.sharing.to_dict()} if prepared.sharing else {}),
        "splits": {
            "fingerprint": prepared.splits.fingerprint,
            "counts": {part: dict(c) for part, c in prepared.counts.items()},
        },
        "space": prepared.space.to_dict(),
        **(
            {WEIGHTS_USED: used}
            if (used := weights_used(prepared.space, prepared.settings))
            else {}
        ),
        "notes": list(prepared.notes),
        "versions": {"cxrsearch": __version__, "python": platform.python_version()}
        | {name: _version(name) for name in libraries},
    }


def marks_of(data: Dataset) -> dict[str, Any]:
    """What is known of each label, and what uncertain marks and blank cells count as."""
    marks, names = data.labels, data.label_names
    doubts = np.zeros(marks.shape, bool) if data.uncertain is None else data.uncertain
    there, gone, sure = present(marks), absent(marks), ~doubts
    counts = {
        name: {
            "positive": int(there[:, column].sum()),
            "negative": int(gone[:, column].sum()),
            "uncertain": int(doubts[:, column].sum()),
            "unknown": int((~known(marks) & sure)[:, column].sum()),
            **({"blank": data.blanks[name].cells} if name in data.blanks else {}),
        }
        for column, name in enumerate(names)
    }
    policies = data.uncertain_as or (POLICIES[0],) * len(names)
    taken = {n: p for n, p in zip(names, policies, strict=True) if counts[n]["uncertain"]}
    blank = {name: found.counts_as for name, found in data.blanks.items()}
    said = {"uncertain_as": taken, "blank_as": blank}
    return {"labels": counts, **{key: value for key, value in said.items() if value}}


def _weights_of(prepared: Prepared) -> dict[str, Any]:
    """The files that trials begin with, so that a changed one is noticed."""
    used = weights_used(prepared.space, prepared.settings)
    return {WEIGHTS_USED: used} if used else {}


def _version(library: str) -> str:
    """Of an installed library; the serial runner does without Ray."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return "not installed"


def _chosen(prepared: Prepared) -> dict[str, Any]:
    """How the sampler was chosen, where that was left to us."""
    choice = prepared.choice
    if choice is None:
        return {}
    found = {"name": choice.sampler, "options": dict(choice.options), "reason": choice.reason}
    return {"sampler": {"asked": AUTO, **found}}


def read_study_yaml(folder: Path) -> dict[str, Any]:
    """What study.yaml of ``folder`` says.

    Raises:
        SearchError: where there is none, or it cannot be read.
    """
    path = folder / "study.yaml"
    if not path.is_file():
        raise InputError(f"{folder}: no study here (no study.yaml); see what is in results/")
    record = read_yaml(path, "the study's settings")
    if not _is_whole(record):
        raise InputError(f"{path}: not a study.yaml; restore it from a copy")
    return dict(record)


def _is_whole(record: Any) -> bool:
    """Whether ``record`` holds all that going on with a study takes."""
    wanted: dict[str, dict[str, type]] = {
        "settings": {},
        "data": {"frame": int, "fingerprint": str, "images": int},
        "splits": {"fingerprint": str, "counts": dict},
    }
    return isinstance(record, dict) and all(
        isinstance(part := record.get(name), dict)
        and all(isinstance(part.get(key), kind) for key, kind in kinds.items())
        for name, kinds in wanted.items()
    )


WEIGHTS_USED = "weights"
"""Where study.yaml has the files of starting weights, with their digests."""


def check_weights(folder: Path, files: Collection[Path] | None = None) -> None:
    """Refuse to go on with starting weights that are not those that the study was made with.

    Args:
        folder: the study's folder.
        files: those that are needed; None: all of the study's.

    Raises:
        InputError: naming each that has changed, or has gone.
    """
    noted = read_study_yaml(folder).get(WEIGHTS_USED)
    problems = []
    for name, digest in (noted if isinstance(noted, dict) else {}).items():
        path = Path(str(name))
        if files is not None and path not in files:
            continue
        if not path.is_file():
            again = f", or make such again: {way}" if (way := making_of(path)) else ""
            problems.append(
                f"{path}: starting weights of {folder}, and not there; restore them{again}"
            )
        elif file_digest(path) != digest:
            problems.append(
                f"{path}: starting weights of {folder}, and no longer those that it was made with "
                f"(SHA-256 {str(digest)[:12]}...); restore them, or start a new study"
            )
    if problems:
        raise InputError(problems)


ABLATION = "ablation"
"""The part of study.yaml that only an ablation has, and by which it is known."""


def load_study(
    folder: Path,
    on_note: OnNote = lambda line: None,
    *,
    ablation: bool = False,
    **changes: Any,
) -> Prepared:
    """A study's settings and data, as they were when it was made.

    How many trials run side by side stays as it was chosen then, unless ``changes`` say
    ``auto``.

    Args:
        folder: the study's folder.
        on_note: told of the measurement, where there is one.
        ablation: whether the study is to be an ablation, whose trials are no recipes.
        changes: settings to override; those that are None stay.

    Raises:
        InputError: where images, labels or splits are no longer those of the study, or where
            it is of the other kind.
    """
    record = read_study_yaml(folder)
    _check_kind(folder, record, ablation)
    given = {key: value for key, value in changes.items() if value is not None}
    stored = Settings.from_dict(record["settings"])
    settings = replace(stored, **in_their_place(given))
    settings.check()
    if not ablation:
        _check_history(folder, record, stored, read_study(folder, settings.storage))
    settings = resolve_hardware(settings.with_absolute_paths())
    parts = restore_parts(settings, record, folder, settings.pseudo)
    precision = _noted_precision(folder, record, settings)
    prepared = assemble(settings, _space(folder, record), parts, on_note, precision)
    _say_emulated(prepared, on_note)
    return prepared


_EITHER = ("concurrent", "max_concurrent")
"""Settings of which there is one at most."""


def in_their_place(given: dict[str, Any]) -> dict[str, Any]:
    """``given``, which takes the place of what it excludes."""
    return {**(dict.fromkeys(_EITHER) if given.keys() & set(_EITHER) else {}), **given}


def load_alone(
    folder: Path,
    *,
    cpus_per_trial: float | str = AUTO,
    device: str = AUTO,
    precision: str = AUTO,
    **moved: Any,
) -> Prepared:
    """`load_study` for trainings one after another, which have the machine to themselves.

    Args:
        folder: the study's folder.
        cpus_per_trial: cores; ``auto``: all there are, whatever a trial had.
        device: ``cpu``, ``cuda`` or ``mps``; ``auto``: CUDA where there is one, unless the study
            was told not to.
        precision: ``float32``, ``bf16`` or ``fp16``; ``auto``: the study's.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now.

    Raises:
        InputError: as `load_study`, and where the machine has no such device or cores.
    """
    device = read_study_yaml(folder)["settings"].get("device", AUTO) if device == AUTO else device
    cores = float(detect_cpus())
    problems = TrainingRequest(cpus_per_trial=cpus_per_trial).problems()
    if not problems and cpus_per_trial != AUTO and float(cpus_per_trial) > cores:
        problems.append(f"--cpus-per-trial {cpus_per_trial:g}: there are {cores:g} cores here")
    try:
        where = pick_device(device)
    except InputError as error:
        problems += error.problems
    if problems:
        raise InputError(problems)
    return load_study(
        folder,
        runner="serial",
        cpus_per_trial=cores if cpus_per_trial == AUTO else cpus_per_trial,
        gpus_per_trial=float(where.type == "cuda"),
        device=device,
        precision=None if precision == AUTO else precision,
        **moved,
    )


def _noted_precision(folder: Path, record: dict[str, Any], settings: Settings) -> str | None:
    """The precision that a study's trials have had so far; None where there are none."""
    if settings.precision != AUTO:
        return settings.precision
    if (noted := record.get("precision")) in PRECISIONS:
        return str(noted)
    # Of an earlier version, which asked each machine anew.
    trials = read_study(folder, settings.storage).trials
    had = {t.user_attrs["precision"] for t in trials if "precision" in t.user_attrs}
    return had.pop() if len(had) == 1 else None


def _say_emulated(prepared: Prepared, on_note: OnNote) -> None:
    """Say so where this machine is slow at the study's precision."""
    settings, precision = prepared.settings, prepared.precision
    device = pick_device(device_of(settings))
    kind = HALF_TYPES.get(precision)
    if kind is not None and not settings.address and not multiplies(device, kind):
        on_note(
            f"the study's trainings are in {precision}, which {device} emulates here: that is slow"
        )


def _check_kind(folder: Path, record: dict[str, Any], ablation: bool) -> None:
    if ablation and ABLATION not in record:
        raise InputError(f"{folder}: a search, not an ablation; name another folder with --study")
    if not ablation and ABLATION in record:
        raise InputError(
            f"{folder}: an ablation, whose trials are no recipes; go on with it by "
            f"`cxrsearch ablate --study {quoted(folder)}`"
        )


def _space(folder: Path, record: dict[str, Any]) -> SearchSpace:
    """The space of recipes; the history of an ablation has one of arms and seeds instead."""
    return SearchSpace.from_dict(record.get("space"), f"{folder / 'study.yaml'}: space")


def _check_history(
    folder: Path, record: dict[str, Any], settings: Settings, study: StudyRecord
) -> None:
    """Refuse a study.yaml that says something else than the history.

    Raises:
        InputError: naming each value of both.
    """
    config, attrs = study.config, study.attrs
    space = _space(folder, record)
    pairs: dict[str, tuple[Any, Any]] = {
        "seed": (settings.seed, config.seed),
        "sampler": (settings.sampler, config.sampler),
        "data": (record["data"]["fingerprint"], attrs.get("data_fingerprint")),
        "splits": (record["splits"]["fingerprint"], attrs.get("split_fingerprint")),
        "space": (space.fingerprint, study.space.fingerprint),
    }
    if config.metrics:  # those of earlier versions have none
        measures = ", ".join(settings.objectives.measures)
        pairs["objective"] = (measures, ", ".join(config.metrics))
    if config.sampler == "genetic":
        options = config.sampler_options
        pairs["population"] = (settings.population, options.get("population_size"))
        pairs["scheme"] = (settings.scheme, options.get("scheme"))
    if config.n_trials is not None:
        pairs["trials"] = (settings.search_trials, config.n_trials)
    problems = [
        f"{folder / 'study.yaml'}: {name} is {here!r}, but {there!r} in the study's history; "
        "restore the one that was changed from a copy"
        for name, (here, there) in pairs.items()
        if there is not None and here != there
    ]
    if problems:
        raise InputError(problems)


def trial_config(folder: Path, prepared: Prepared) -> TrialConfig:
    """What workers need to train on what ``prepared`` holds."""
    settings = prepared.settings
    return TrialConfig(
        cache=prepared.cache,
        splits_path=as_given(folder / "splits.json"),
        labels_path=as_given(folder / "labels.npz"),
        split_fingerprint=prepared.splits.fingerprint,
        compute=ComputeOptions.asked(
            settings,
            # By name: a trial that was given a GPU that does not answer must not take the cores.
            device="cuda" if settings.gpus else device_of(settings),
            threads=threads_of(settings.cpus),
            precision=prepared.precision,
            search_pixels=_pixels(prepared),
            memory_share=MEMORY_SHARE_OF_ALL
            * min(1.0, settings.gpus or 1 / trials_at_once(settings)),
        ),
        objective=prepared.judged,
        measures=settings.objectives.measures[1:],
        reuse=settings.reuse,
        spare_bytes=_spare(folder, prepared),
        pseudo=pseudo_path(settings.pseudo) if settings.pseudo else None,
        described=prepared.dataset.described,
    )


def _pixels(prepared: Prepared) -> dict[str, float]:
    """What the search trains on, by kind of recipe, where that decides over how steps are taken."""
    trials = prepared.settings.target_trials
    if not prepared.settings.gpus or trials is None:
        return {}
    return expected_pixels(prepared.space, trials, len(prepared.splits.train))


def _spare(folder: Path, prepared: Prepared) -> int:
    """Bytes that prepared pixels must leave to the study's checkpoints, on a disk of both."""
    same = folder.stat().st_dev == prepared.cache.path.stat().st_dev
    n_classes = len(prepared.dataset.label_names)
    return disk_need(prepared.space, prepared.settings, n_classes) if same else 0
