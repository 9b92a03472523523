"""Pre-training as a command: which images it sees, in which folder it goes on, what it says."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.dataset import Dataset, fingerprint
from cxrsearch.data.decoding import leave_out_bad, open_shown
from cxrsearch.data.splits import Splits
from cxrsearch.data.unlabelled import with_unlabelled
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.device import pick_device
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData, make_data
from cxrsearch.learn.epochs import EpochsDone
from cxrsearch.learn.networks.models import network_problem
from cxrsearch.learn.recipe import Recipe, gene_limits, size_of
from cxrsearch.learn.saved.arrays import Labels
from cxrsearch.model.pretrain_record import RECORD, SETTINGS, read_record
from cxrsearch.study.data import cache_root, listed_names, load_data, split
from cxrsearch.study.drawn_weights import make_missing
from cxrsearch.study.settings import DataRequest, TrainingRequest
from cxrsearch.study.space import frame_of
from cxrsearch.study.starting.drawn import starting_problem
from cxrsearch.study.starting.origins import origin_notes
from cxrsearch.study.unlabelled import find_unlabelled
from cxrsearch.writing import HOLDER, LOCK, alone, claim
from search.cores import detect_cpus
from search.errors import SearchError
from search.space.values import limit_problem

from .autoencoder import PROBE
from .run import PRETRAIN_METHODS, PretrainPlan, pretrain

MOVABLE = ("data", "unlabelled_from")
"""Settings that may change: the same images may lie elsewhere now."""


@dataclass(frozen=True)
class PretrainImages:
    """The images of a pre-training.

    Args:
        data: the part ``train`` holds the labelled images of that part and the unlabelled ones.
        splits: the parts of the labelled images, as a search has them.
        dataset: the labelled images that can be read.
        unlabelled: how many of ``data.train`` are unlabelled.
        frame: side of the cached images.
        notes: what the user should know.
        contents: name -> what stands for the file, of all images; see `Cache.contents`.
    """

    data: TrainData
    splits: Splits
    dataset: Dataset
    unlabelled: int
    frame: int
    notes: tuple[str, ...]
    contents: Mapping[str, str] = field(default_factory=dict, repr=False)


def run(
    settings: TrainingRequest,
    plan: PretrainPlan,
    folder: Path,
    unlabelled: Path | None = None,
    on_note: Callable[[str], None] = lambda line: None,
) -> Generator[EpochsDone, None, Path]:
    """Pre-train as ``plan`` says on the images of ``settings``, or go on with it in ``folder``.

    Args:
        settings: data, shares and seed, as of the search that is to follow.
        plan: what to train.
        folder: of the pre-training; new, or of the same one.
        unlabelled: folder of unlabelled images, where they lie elsewhere.
        on_note: told what the user should know.

    Yields:
        how far it is, after each epoch; nothing where it was finished before.

    Returns:
        the folder.

    Raises:
        InputError: where something cannot work, or ``folder`` holds something else.
    """  # fmt: skip
    settings = settings.with_absolute_paths()
    check(settings, plan)
    _check_folder(folder)
    pool = read_pool(settings, plan, unlabelled)
    about = about_data(pool, settings, unlabelled)
    with alone(folder):
        claim(folder, {**asdict(plan), **about, "seed": settings.seed}, SETTINGS, MOVABLE)
        count = len(pool.data.train)
        on_note(
            f"images: {count - pool.unlabelled:,} of the training part, {pool.unlabelled:,} "
            f"unlabelled; cached at {pool.frame} x {pool.frame}"
        )
        origins = origin_notes([plan.init], pool.splits.fingerprint)
        for note in (*origins, *pool.notes):
            on_note(f"note: {note}")
        if not (folder / RECORD).is_file():
            make_missing([plan.recipe], settings, on_note)
            yield from pretrain(
                plan,
                replace(pool.data, notes=pool.notes),
                seed=settings.seed,
                folder=folder,
                about={**about, **_images(pool)},
                compute=ComputeOptions.asked(settings, threads=detect_cpus()),
            )
    return folder


def _images(pool: PretrainImages) -> dict[str, list[str]]:
    """What the record says of the images that were seen: names, and what stands for their files."""
    names = pool.data.names[pool.data.train].tolist()
    return {"image_names": names, "image_contents": [pool.contents.get(n, "") for n in names]}


def check(settings: TrainingRequest, plan: PretrainPlan) -> None:
    """Raise one `InputError` that names everything that cannot work."""
    problems = plan_problems(plan)
    for checked in (settings.check, lambda: pick_device(settings.device)):
        try:
            checked()
        except SearchError as error:
            problems += error.problems
    if not problems:
        recipe = Recipe(model=plan.model, init=plan.init, input_size=plan.input_size)
        # An auto-encoder counts a network's maps on images of its own.
        found = network_problem(recipe) or network_problem(replace(recipe, input_size=PROBE))
        problems += [f"--{found}"] if found else []
        found = None if found else starting_problem(recipe, settings.weights_dir)
        problems += [f"--{'' if found.startswith('init') else 'init '}{found}"] if found else []
    if problems:
        raise InputError(problems)


def plan_problems(plan: PretrainPlan) -> list[str]:
    """What is wrong with the values of ``plan``, by the limits of the genes."""
    limits, problems = gene_limits(), []
    for name, value in asdict(plan).items():
        gene: dict[str, Any] = limits.get(name, {})
        option = f"--{name.replace('_', '-')} {value}"
        low, high, above = gene.get("low"), gene.get("high"), gene.get("above")
        try:
            numbers = size_of(value) if gene.get("size") else (value,)
        except ValueError as error:
            problems.append(f"{option}: {error}")
            continue
        if "choices" in gene and limit_problem(value, gene):
            known = (*gene["choices"], *gene.get("also", ()))
            problems.append(f"{option}: one of {', '.join(known)}")
        for number in dict.fromkeys(numbers):  # both sides of a square are one complaint
            if isinstance(number, float) and not math.isfinite(number):
                problems.append(f"{option}: is not a number")
            elif low is not None and number < low:
                problems.append(f"{option}: must be at least {low}")
            elif high is not None and number > high:
                problems.append(f"{option}: must be at most {high}")
            elif above is not None and number <= above:
                problems.append(f"{option}: must be above {above:g}")
    fewest = PRETRAIN_METHODS[plan.method].fewest
    if plan.batch_size < fewest:
        problems.append(
            f"--batch-size {plan.batch_size}: must be at least {fewest}, as the loss is about how "
            "the images of a batch differ"
        )
    return problems


def read_pool(
    request: DataRequest, plan: PretrainPlan, unlabelled: Path | None = None
) -> PretrainImages:
    """Read, decode and split what ``request`` names; nobody of validation or test is trained on.

    Raises:
        InputError: where data cannot be used.
    """
    listed = listed_names(request)
    dataset = load_data(request)
    if unlabelled is not None:
        dataset = with_unlabelled(dataset, unlabelled)
    frame = request.frame or frame_of([plan.input_size], [plan.crop], dataset.source_side)
    root = cache_root(request)
    usable, bad = leave_out_bad(dataset, open_shown(dataset, frame, root))
    splits = split(request, usable, listed)
    found = find_unlabelled(usable, splits, frame, root, needed=False)
    data = make_data(found.cache, Labels.of(usable), splits)
    place = {name: row for row, name in enumerate(found.cache.names)}
    more = np.array([place[name] for name in found.names], np.int64)
    notes = (*dataset.notes, *bad, *splits.notes, *found.notes)
    data = replace(data, train=np.concatenate([data.train, more]))
    contents = found.cache.contents
    splits = splits.knowing(contents)
    return PretrainImages(data, splits, usable, len(more), frame, notes, contents)


def about_data(
    pool: PretrainImages, request: DataRequest, unlabelled: Path | None
) -> dict[str, Any]:
    """What the record says of the data."""
    names = [str(pool.data.names[row]) for row in pool.data.train]
    blank = np.zeros((len(names), 1), np.uint8)
    return {
        "data": request.data,
        "unlabelled_from": None if unlabelled is None else str(unlabelled.resolve()),
        "data_fingerprint": pool.dataset.fingerprint,
        "trained_on": fingerprint(names, blank, np.array(names)),
        "split": pool.splits.fingerprint,
        "unlabelled": pool.unlabelled,
        "frame": pool.frame,
    }


def _check_folder(folder: Path) -> None:
    """Refuse what is no folder of a pre-training, before data are read."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out {folder}: a file; name a folder")
    found = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if found - {LOCK, HOLDER} and SETTINGS not in found:
        raise InputError(f"--out {folder}: not empty and no pre-training of ours; name another")
    if (folder / RECORD).is_file():
        read_record(folder)
