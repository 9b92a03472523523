"""Everything that is settled before the first trial: data, splits, space, device, disk.

Nothing here trains. `prepare` either returns a `Prepared` on which a search can run, or
raises one `InputError` with all that is wrong.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.read import Dataset
from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError, attempt
from cxrsearch.learn.recipe import Recipe
from search.cores import detect_cpus, trials_on_gpus
from search.prior import Prior
from search.samplers.automatic import AUTO, Choice, choose
from search.space import SearchSpace

from .cost.sharing import OnNote, Sharing, settle
from .data import DataParts, listed_names, load_data, make_parts
from .label_genes import EVERY_RATIO, AtHand
from .settings import AUTO as MEASURE
from .settings import (
    CONFIRMED_TIMED,
    PHANTOM,
    Settings,
    TrainingRequest,
    confirmed_share,
)
from .space import frame_for, gene_prior_notes, gene_values, idle_genes, load_space, recipes_of
from .starting.drawn import announced
from .starting.origins import origin_notes
from .unlabelled import pseudo_problems
from .warm_start import label_notes, prior_notes, prior_of, read_earlier

STUDY_ROOM = (
    "free some, name another --study folder, or use --halving stop (paused trials keep their "
    "checkpoints) or --keep-checkpoints best:1"
)
"""How a study's checkpoints get room on the disk."""


@dataclass(frozen=True)
class Prepared:
    """A search that may start.

    Args:
        settings: as asked for, with ``space``, ``sampler``, ``confirm``, ``cpus_per_trial`` and
            ``gpus_per_trial`` resolved.
        dataset: names, labels and patients of the images that can be read.
        space: the space with what cannot be had left out.
        cache: decoded images, side ``cache.frame``; with pseudo-labels also theirs.
        splits: train, validation, test.
        counts: positives by part and label.
        notes: what the user should know; printed, and stored in study.yaml.
        prior: what earlier studies have to offer, where the search starts from some.
        choice: the sampler that was chosen, where that was left to us.
        sharing: how many trials share GPU or cores, where that was measured.
        precision: that all trials train in, on whatever machine; ``auto`` where each follows its
            own node, as in a cluster elsewhere.
        confirm_from: trials that must have searched for a confirmation, where nobody asked for one
            and time alone ends the search.
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
    precision: str = MEASURE
    confirm_from: int = 0

    @property
    def judged(self) -> tuple[str, ...]:
        """The labels that the objective averages over."""
        return self.settings.objectives.over(self.dataset.label_names)


def prepare(
    settings: Settings,
    on_note: OnNote = lambda line: None,
    narrow: Callable[[SearchSpace], SearchSpace] = lambda space: space,
    checks: Sequence[Callable[[], object]] = (),
) -> Prepared:
    """Check ``settings`` against the machine and the data, and build the cache.

    Args:
        settings: as asked for.
        on_note: told of the measurement of how many trials to run side by side.
        narrow: makes of the space, as loaded, the one that is searched.
        checks: what else is to be checked; what they complain of is named with the rest.

    Raises:
        InputError: naming every problem found.
    """
    settings = settings.with_absolute_paths()
    problems: list[str] = []
    for check in (*checks, settings.check):
        attempt(check, problems)
    hardware = attempt(lambda: resolve_hardware(settings), problems)
    asked = hardware or settings
    found = attempt(lambda: _space(asked, narrow), problems)
    earlier = attempt(lambda: read_earlier(settings.from_studies), problems) or []
    listed = attempt(lambda: listed_names(settings), problems)
    if found:
        kinds = gene_values(found[0], "pseudo", Recipe.pseudo)
        shares = gene_values(found[0], "distill", Recipe.distill)
        asked_of = attempt(lambda: pseudo_problems(kinds, max(shares), settings.pseudo), problems)
        problems += asked_of or []
    objectives = attempt(lambda: settings.objectives, [])  # the settings' own check names it
    # The data come last: reading them takes longest, and depends on none of the others.
    dataset = attempt(lambda: load_data(settings), problems)
    judged = None
    if dataset is not None:
        at_hand = AtHand.of(dataset)
        if objectives is not None:
            judged = attempt(lambda: objectives.over(at_hand.labels), problems)
        if found:  # what is wrong with it without regard to the data has been named
            found = attempt(lambda: _space(asked, narrow, at_hand), problems)
    labels = () if dataset is None else dataset.label_names
    prior = None
    if found and (dataset is not None or EVERY_RATIO not in found[0].genes):
        prior = attempt(lambda: prior_of(earlier, found[0], labels), problems)
    if problems or hardware is None or found is None or dataset is None or judged is None:
        raise InputError(problems)
    settings, (space, notes) = hardware, found
    by_default = settings.confirm is None and settings.target_trials is None
    settings = replace(settings, confirm=confirmed_share(settings))
    frame = frame_for(space, dataset.source_side)
    parts = make_parts(settings, dataset, frame, listed, settings.pseudo)
    if set(judged) <= set(parts.undefined):
        raise InputError(
            f"--objective {settings.objective}: none of its labels can be judged on the "
            f"{parts.counts['val']['images']} validation images; choose others, or give more data"
        )
    made = assemble(settings, space, parts, on_note)
    settings = made.settings
    notes = [*([made.sharing.note] if made.sharing else []), *notes]
    if choice := resolve_sampler(settings, space):
        settings = replace(settings, sampler=choice.sampler)
        notes = [f"sampler auto: {choice.sampler}; {choice.reason}", *notes]
    inits = gene_values(space, "init", Recipe.init)
    notes = [
        *notes,
        *prior_notes(prior),
        *gene_prior_notes(settings.sampler, space),
        *label_notes(earlier, labels),
        *idle_genes(space, AtHand.of(made.dataset)),
    ]
    notes += [
        *announced(recipes_of(space), settings.weights_dir),
        *origin_notes(map(str, inits), made.splits.fingerprint, made.dataset.label_names),
        *made.notes,
    ]
    return replace(
        made, settings=settings, notes=tuple(notes), prior=prior, choice=choice,
        confirm_from=CONFIRMED_TIMED if by_default else 0,
    )  # fmt: skip


def assemble(
    settings: Settings,
    space: SearchSpace,
    parts: DataParts,
    on_note: OnNote = lambda line: None,
    precision: str | None = None,
) -> Prepared:
    """Space and data, new or restored, as a search on this machine.

    Args:
        settings: as `resolve_hardware` leaves them.
        space: what is searched.
        parts: the data.
        on_note: told of the measurement of how many trials to run side by side, which comes
            last, for it takes longest.
        precision: of the study's trials so far; None: what this machine is good at.
    """
    images = len(parts.splits.train), len(parts.splits.val_seed)
    settings, sharing = settle(settings, space, images, len(parts.dataset.label_names), on_note)
    return Prepared(
        settings, parts.dataset, space, parts.cache, parts.splits, parts.counts, parts.notes,
        sharing=sharing, precision=precision or resolve_precision(settings),
    )  # fmt: skip


def _space(
    settings: Settings,
    narrow: Callable[[SearchSpace], SearchSpace],
    at_hand: AtHand | None = None,
) -> tuple[SearchSpace, list[str]]:
    space, notes = load_space(settings, at_hand)
    return narrow(space), notes


def resolve_hardware(settings: Settings) -> Settings:
    """Fill in what depends on the machine: GPUs a trial, and the space where none is named.

    GPUs a trial stay ``auto`` where some trials may share one: that is for `settle` to measure.

    Raises:
        InputError: where more GPUs or cores are asked for than are there (unless a cluster is
            named).
    """
    gpus = gpus_for(settings)
    asked = None if settings.gpus_per_trial == MEASURE else settings.gpus
    problems = []
    if asked and settings.device in ("cpu", "mps"):
        problems.append(
            f"--gpus-per-trial {asked:g} with --device {settings.device}: leave one of them out"
        )
    elif asked == 0 and settings.device.startswith("cuda"):
        problems.append(f"--gpus-per-trial 0 with --device {settings.device}: leave one out")
    elif asked and not gpus and not settings.address:
        problems.append(
            f"--gpus-per-trial {asked:g}: no GPU is visible here; give 0 or auto to train on the "
            "CPU, or name a cluster that has some with --address"
        )
    elif asked and gpus and asked > gpus and not settings.address:
        problems.append(f"--gpus-per-trial {asked:g}: {gpus} are visible here; ask for fewer")
    if not settings.address:
        problems += machine_problems(settings)
    if problems:
        raise InputError(problems)
    default_space = "gpu" if gpus and settings.data != PHANTOM else "quick"
    measured = gpus and settings.runner != "serial" and not settings.address
    found: float | str = MEASURE if measured else float(bool(gpus))
    return replace(
        settings,
        gpus_per_trial=found if asked is None else asked,
        space=settings.space or default_space,
        # Apple's GPU is one, and nothing shares it out.
        concurrent=1 if settings.device == "mps" else settings.concurrent,
    )


def gpus_for(asked: TrainingRequest) -> int:
    """How many CUDA devices of this machine may be used."""
    import torch

    return 0 if asked.device in ("cpu", "mps") else torch.cuda.device_count()


def machine_problems(asked: TrainingRequest) -> list[str]:
    """What ``asked`` wants of this machine that it does not have: cores, a GPU."""
    problems, cores = [], detect_cpus()
    if asked.cpus_per_trial != MEASURE and asked.cpus > cores:
        problems.append(
            f"--cpus-per-trial {asked.cpus:g}: this machine has {cores} cores to give; ask for "
            "fewer, leave it out (auto), or name a cluster with --address"
        )
    if asked.device.startswith("cuda") and not gpus_for(asked):
        problems.append(f"--device {asked.device}: no GPU is visible here; use --device auto")
    if asked.device == "mps":
        from cxrsearch.learn.compute.device import pick_device

        try:
            pick_device(asked.device)
        except InputError as error:
            problems += error.problems
    return problems


def device_of(settings: Settings) -> str:
    """Where a trial computes, given its GPUs in numbers."""
    if settings.device == "mps":
        return settings.device
    return "auto" if settings.gpus else "cpu"


def resolve_precision(settings: Settings) -> str:
    """The precision of a study's trials, so that all of them can be compared.

    Args:
        settings: with GPUs a trial in numbers.
    """
    if settings.precision != MEASURE or settings.address:
        return settings.precision
    from cxrsearch.learn.compute.device import pick_device
    from cxrsearch.learn.compute.precision import precision_of

    return precision_of(pick_device(device_of(settings)))


def trials_at_once(settings: Settings) -> int:
    """How many trials the machine has room for."""
    import torch

    if settings.runner == "serial":
        return 1
    fits = int(detect_cpus() / settings.cpus + 1e-4)
    if settings.gpus:
        fits = min(fits, trials_on_gpus(torch.cuda.device_count(), settings.gpus))
    return max(1, min(fits, settings.concurrent or fits))


def resolve_sampler(settings: Settings, space: SearchSpace) -> Choice | None:
    """The sampler that ``--sampler auto`` comes to; None where one was named."""
    if settings.sampler != AUTO:
        return None
    return choose(
        settings.search_trials,
        n_genes=len(space.genes),
        n_conditional=sum(bool(gene.when) for gene in space.genes.values()),
        workers=settings.max_concurrent or trials_at_once(settings),
        objectives=len(settings.objectives.measures),
    )


def check_disk(folder: Path, need: int, way: str = STUDY_ROOM) -> None:
    """Refuse where ``folder``'s disk has fewer than ``need`` bytes free; ``way`` is the way out.

    Raises:
        InputError: naming both figures and the way out.
    """
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < need:
        raise InputError(
            f"{folder}: {need / 1e9:.1f} GB needed for checkpoints, {free / 1e9:.1f} GB free; {way}"
        )
