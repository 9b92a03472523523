"""Everything that is settled before the first trial: data, splits, space, device, disk.

Nothing here trains. `prepare` either returns a `Prepared` on which a search can run, or
raises one `InputError` with all that is wrong.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from cxrsearch.data.cache import Cache, default_cache_root
from cxrsearch.data.read import Dataset, read_dataset, read_test_list
from cxrsearch.data.splits import Splits, disease_counts, judgeable, make_splits
from cxrsearch.decoding import open_shown
from cxrsearch.earlier import prior_notes, prior_of, read_earlier
from cxrsearch.errors import InputError
from cxrsearch.learn.pretrain_record import origin_notes
from cxrsearch.learn.recipe import Recipe
from cxrsearch.search_space import frame_for, gene_values, idle_genes, load_space
from cxrsearch.settings import AUTO as MEASURE
from cxrsearch.settings import PHANTOM, Settings
from cxrsearch.sharing import OnNote, Sharing, settle
from search.choosing import AUTO, Choice, choose
from search.cores import detect_cpus
from search.errors import SearchError
from search.prior import Prior
from search.space import SearchSpace

T = TypeVar("T")


@dataclass(frozen=True)
class Prepared:
    """A search that may start.

    Args:
        settings: as asked for, with ``space``, ``sampler``, ``cpus_per_trial`` and
            ``gpus_per_trial`` resolved.
        dataset: names, labels and patients of the images that can be read.
        space: the space with what cannot be had left out.
        cache: decoded images, side ``cache.frame``.
        splits: train, validation, test.
        counts: positives by part and disease.
        notes: what the user should know; printed, and stored in study.yaml.
        prior: what earlier studies have to offer, where the search starts from some.
        choice: the sampler that was chosen, where that was left to us.
        sharing: how many trials share GPU or cores, where that was measured.
    """

    settings: Settings
    dataset: Dataset
    space: SearchSpace
    cache: Cache
    splits: Splits
    counts: Mapping[str, Mapping[str, int]]
    notes: tuple[str, ...]
    prior: Prior | None = None
    choice: Choice | None = None
    sharing: Sharing | None = None


def prepare(settings: Settings, on_note: OnNote = lambda line: None) -> Prepared:
    """Check ``settings`` against the machine and the data, and build the cache.

    Args:
        settings: as asked for.
        on_note: told of the measurement of how many trials to run side by side.

    Raises:
        InputError: naming every problem found.
    """
    settings = settings.with_absolute_paths()
    problems: list[str] = []
    _try(settings.check, problems)
    hardware = _try(lambda: resolve_hardware(settings), problems)
    found = _try(lambda: load_space(hardware or settings), problems)
    earlier = _try(lambda: read_earlier(settings.from_studies), problems) or []
    prior = _try(lambda: prior_of(earlier, found[0]), problems) if found else None
    listed = _try(lambda: listed_names(settings), problems)
    # The data come last: reading them takes longest, and depends on none of the others.
    dataset = _try(lambda: load_data(settings), problems)
    if problems or hardware is None or found is None or dataset is None:
        raise InputError(problems)
    settings, (space, notes) = hardware, found
    frame = settings.frame or frame_for(space, dataset.source_side)
    cache = open_shown(dataset, frame, cache_root(settings))
    usable, bad_notes = leave_out_bad(dataset, cache)
    splits = split(settings, usable, listed)
    counts = disease_counts(splits, usable.names, usable.labels, usable.patients)
    warnings, undefined = judgeable(counts)
    if set(settings.diseases) <= set(undefined):
        raise InputError(
            f"--objective {settings.objective}: none of its diseases can be judged on the "
            f"{counts['val']['images']} validation images; choose others, or give more data"
        )
    # Last, for it takes longest, and only of a search that can start.
    settings, sharing = settle(settings, space, (len(splits.train), len(splits.val_seed)), on_note)
    notes = [*([sharing.note] if sharing else []), *notes]
    if choice := resolve_sampler(settings, space):
        settings = replace(settings, sampler=choice.sampler)
        notes = [f"sampler auto: {choice.sampler}; {choice.reason}", *notes]
    inits = gene_values(space, "init", Recipe.init)
    notes = [*notes, *prior_notes(prior), *idle_genes(space)]
    notes += origin_notes(map(str, inits), splits.fingerprint)
    notes += [*dataset.notes, *bad_notes, *splits.notes, *warnings]
    return Prepared(
        settings, usable, space, cache, splits, counts, tuple(notes), prior, choice, sharing
    )


def split(settings: Settings, dataset: Dataset, listed: list[str] | None) -> Splits:
    """The parts of a search with ``settings`` on the readable images ``dataset``."""
    return make_splits(
        dataset.names,
        dataset.labels,
        dataset.patients,
        seed=settings.seed,
        test_share=settings.test_share,
        val_share=settings.val_share,
        test_list=listed,
        val_seed=settings.val_seed,
    )


def listed_names(settings: Settings) -> list[str] | None:
    """The images of the test part, where a list names them."""
    return list(read_test_list(Path(settings.test_list))) if settings.test_list else None


def _try(check: Callable[[], T], problems: list[str]) -> T | None:
    """What ``check`` returns, or None where it fails; what it complains of joins ``problems``."""
    try:
        return check()
    except SearchError as error:
        problems.extend(error.problems)
        return None


def resolve_hardware(settings: Settings) -> Settings:
    """Fill in what depends on the machine: GPUs a trial, and the space where none is named.

    GPUs a trial stay ``auto`` where some trials may share one: that is for `settle` to measure.

    Raises:
        InputError: where a GPU is asked for and none is there (unless a cluster is named).
    """
    import torch

    gpus = torch.cuda.device_count() if settings.device != "cpu" else 0
    asked = None if settings.gpus_per_trial == MEASURE else settings.gpus
    problems = []
    if asked and settings.device == "cpu":
        problems.append(f"--gpus-per-trial {asked:g} with --device cpu: leave one of them out")
    elif asked == 0 and settings.device.startswith("cuda"):
        problems.append(f"--gpus-per-trial 0 with --device {settings.device}: leave one out")
    elif asked and not gpus and not settings.address:
        problems.append(
            f"--gpus-per-trial {asked:g}: no GPU is visible here; give 0 or auto to train on the "
            "CPU, or name a cluster that has some with --address"
        )
    if settings.device.startswith("cuda") and not gpus and not settings.address:
        problems.append(f"--device {settings.device}: no GPU is visible here; use --device auto")
    if problems:
        raise InputError(problems)
    default_space = "report" if gpus and settings.data != PHANTOM else "quick"
    measured = gpus and settings.runner != "serial" and not settings.address
    found: float | str = MEASURE if measured else float(bool(gpus))
    return replace(
        settings,
        gpus_per_trial=found if asked is None else asked,
        space=settings.space or default_space,
    )


def trials_at_once(settings: Settings) -> int:
    """How many trials the machine has room for."""
    import torch

    if settings.runner == "serial":
        return 1
    fits = int(detect_cpus() / settings.cpus + 1e-4)
    if settings.gpus:
        fits = min(fits, int(torch.cuda.device_count() / settings.gpus + 1e-4))
    return max(1, min(fits, settings.concurrent or fits))


def resolve_sampler(settings: Settings, space: SearchSpace) -> Choice | None:
    """The sampler that ``--sampler auto`` comes to; None where one was named."""
    if settings.sampler != AUTO:
        return None
    return choose(
        settings.target_trials,
        n_genes=len(space.genes),
        n_conditional=sum(bool(gene.when) for gene in space.genes.values()),
        workers=trials_at_once(settings),
        objectives=len(settings.objectives.measures),
    )


def load_data(settings: Settings) -> Dataset:
    """The labelled images that ``settings.data`` names."""
    if settings.data == PHANTOM:
        from cxrsearch.data.phantom import phantom_dataset

        return phantom_dataset(
            images=settings.phantom_images,
            seed=settings.seed,
            difficulty=settings.phantom_difficulty,
        )
    labels = Path(settings.labels) if settings.labels else None
    return read_dataset(Path(settings.data), labels)


def cache_root(settings: Settings) -> Path:
    """Folder of the decoded caches."""
    return Path(settings.cache) if settings.cache else default_cache_root()


def leave_out_bad(dataset: Dataset, cache: Cache) -> tuple[Dataset, list[str]]:
    """The images that could be decoded, and a note on those that could not.

    Raises:
        InputError: where none could be.
    """
    if not cache.bad:
        return dataset, []
    some = [f"{name}: {reason}" for name, reason in list(cache.bad.items())[:5]]
    if not cache.ok.any():
        raise InputError([f"{dataset.label}: not one image could be read", *some])
    keep = np.flatnonzero(cache.ok)
    usable = replace(
        dataset,
        names=tuple(dataset.names[i] for i in keep),
        labels=dataset.labels[keep],
        patients=dataset.patients[keep],
    )
    more = f"; and {len(cache.bad) - 5} more" if len(cache.bad) > 5 else ""
    count = len(cache.bad)
    return usable, [
        f"{count} unreadable image{'s are' if count > 1 else ' is'} left out: "
        f"{'; '.join(some)}{more}"
    ]


def check_disk(folder: Path, need: int) -> None:
    """Refuse where ``folder``'s disk has fewer than ``need`` bytes free.

    Raises:
        InputError: naming both figures and the way out.
    """
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < need:
        raise InputError(
            f"{folder}: {need / 1e9:.1f} GB needed for checkpoints, {free / 1e9:.1f} GB free; "
            "free some, name another --study folder, or use --halving stop (paused trials keep "
            "their checkpoints) or --keep-checkpoints best:1"
        )
