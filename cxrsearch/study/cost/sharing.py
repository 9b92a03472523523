"""How many trials share a GPU or the cores: a short measurement before a search begins.

One trial alone leaves much of a GPU idle at small inputs, and cores that work together on one
small step wait for each other. What pays depends on the machine and on the space, so the
training step of recipes from the space is timed with 1, 2, 4, ... processes at once, each
started with its own share of the cores, and the share with the most trials an hour is taken.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.settings import AUTO, Settings
from search.cores import detect_cpus, threads_of, trials_on_gpus
from search.space import SearchSpace

from .multi_process import service, service_runs
from .recipe_kinds import RecipeKind, sample_recipes, trial_seconds, weightiest
from .stopwatches import TimingError, timed

MOST_ON_A_GPU = 16
"""Trials on one GPU at most."""

MARGIN = 0.05
"""Fewer at once are taken for so little less: each then learns from more finished trials."""

GIVE_UP = 0.9
"""Where a share has less than this part of the best one's trials an hour, no further is tried."""

TOTAL_SECONDS = 60.0
"""After so long no further share is tried."""

TAKE_TURNS = (
    "trials that share a GPU take turns on it; with --nvidia-mps, or where "
    "`nvidia-cuda-mps-control -d` was started before, their kernels run at once (an error of one "
    "may then end all)"
)

OnNote = Callable[[str], None]


@dataclass(frozen=True)
class Share:
    """What each of some trials gets of a GPU, or of all cores.

    Args:
        at_once: trials on each GPU, or in all where there is none.
        threads: of each.
    """

    at_once: int
    threads: int

    def __str__(self) -> str:
        return f"{self.at_once} x {self.threads} thread{'s' * (self.threads > 1)}"


@dataclass(frozen=True)
class ShareRow:
    """A share as it was measured.

    Args:
        share: the share.
        images: seconds an image takes a trial in training, by kind of recipe.
        per_hour: trials an hour on each GPU, or in all, none of them stopped early.
    """

    share: Share
    images: Mapping[RecipeKind, float]
    per_hour: float


@dataclass(frozen=True)
class Sharing:
    """What was measured and chosen.

    Args:
        gpus: GPUs that the trials share; 0: they run on the cores.
        rows: in order of ``at_once``.
        chosen: one of them.
    """

    gpus: int
    rows: tuple[ShareRow, ...]
    chosen: ShareRow

    @property
    def note(self) -> str:
        """One line for people."""
        single = self.rows[0].per_hour
        figures = ", ".join(
            f"{row.share} {_rounded(row.per_hour)} ({row.per_hour / single:.2f})"
            for row in self.rows
        )
        where = " on each GPU" * (self.gpus > 0)
        return (
            f"side by side{where}: {self.chosen.share}; measured trials an hour without early "
            f"stopping: {figures}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for study.yaml."""
        return {
            "gpus": self.gpus,
            "chosen": {"at_once": self.chosen.share.at_once, "threads": self.chosen.share.threads},
            "measured": [
                {
                    "at_once": row.share.at_once,
                    "threads": row.share.threads,
                    "trials_per_hour": float(f"{row.per_hour:.4g}"),
                    "images_per_second": {
                        str(kind): float(f"{row.share.at_once / seconds:.4g}")
                        for kind, seconds in row.images.items()
                    },
                }
                for row in self.rows
            ],
        }


def shares(settings: Settings, cores: int, gpus: int) -> list[Share]:
    """The shares to choose among, fewest at once first; just one where nothing is to choose.

    Args:
        settings: with ``gpus_per_trial`` a number, or ``auto`` where a GPU is to be shared.
        cores: that this process may use.
        gpus: that are visible.
    """
    wanted = [n for n in (settings.concurrent, settings.target_trials) if n is not None]
    cap = min(wanted, default=cores * MOST_ON_A_GPU)
    if settings.runner == "serial":
        return [Share(1, cores if settings.cpus_per_trial == AUTO else threads_of(settings.cpus))]
    if settings.gpus_per_trial == AUTO:
        each = max(1, cores // gpus)
        whole = 1 if settings.cpus_per_trial == AUTO else threads_of(settings.cpus)
        most = max(1, min(MOST_ON_A_GPU, math.ceil(cap / gpus), each // whole))
        fixed = None if settings.cpus_per_trial == AUTO else whole
        return [Share(n, fixed or each // n) for n in _doublings(most)]
    if settings.gpus:
        fit = min(max(1, trials_on_gpus(gpus, settings.gpus)), cap)
        return [Share(1, max(1, cores // fit))]
    cap = min(cap, cores)
    split = [cores // n for n in _doublings(cap)]
    return list({t: Share(min(cap, cores // t), t) for t in split}.values())


def _doublings(most: int) -> Iterator[int]:
    """1, 2, 4, ... and ``most``."""
    n = 1
    while n < most:
        yield n
        n *= 2
    yield most


def choose(rows: Sequence[ShareRow]) -> ShareRow:
    """The row of the most trials an hour, or of the fewest at once within `MARGIN` of it."""
    best = max(row.per_hour for row in rows)
    good = [row for row in rows if row.per_hour >= best * (1 - MARGIN)]
    return min(good, key=lambda row: row.share.at_once)


def measure(
    options: Sequence[Share],
    space: SearchSpace,
    images: tuple[int, int],
    n_classes: int,
    compute: ComputeOptions,
    on_note: OnNote = lambda line: None,
) -> list[ShareRow]:
    """Time ``options`` one after another until they no longer pay, memory ends or time is up.

    Args:
        options: fewest at once first.
        space: recipes are drawn from it.
        images: of the training part, and those that epochs are scored on.
        n_classes: labels to learn.
        compute: on ``cpu`` or ``cuda`` (one GPU), and in which precision.
        on_note: told each figure.
    """
    recipes = sample_recipes(space)
    kinds = weightiest(recipes)
    begin, rows, doubles = time.monotonic(), list[ShareRow](), True
    for share in options:
        late = time.monotonic() - begin > TOTAL_SECONDS
        if rows and (late or not doubles or rows[-1].per_hour < GIVE_UP * choose(rows).per_hour):
            break
        if rows:  # shares are compared by the kinds that the first was timed on
            kinds = {kind: kinds[kind] for kind in rows[0].images}
        try:
            each = replace(compute, threads=share.threads)
            seconds, doubles = timed(kinds, share.at_once, each, bool(rows), n_classes=n_classes)
        except TimingError as error:
            on_note(f"side by side: {share} could not be measured: {error}")
            break
        per_hour = share.at_once * 3600 / _mean_seconds(recipes, seconds, images)
        rows.append(ShareRow(share, seconds, per_hour))
        on_note(f"side by side: {share}: {_rounded(per_hour)} trials an hour")
    return rows


def _rounded(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _mean_seconds(
    recipes: Sequence[Recipe], seconds: Mapping[RecipeKind, float], images: tuple[int, int]
) -> float:
    return sum(trial_seconds(recipe, seconds, *images) for recipe in recipes) / len(recipes)


def settle(
    settings: Settings,
    space: SearchSpace,
    images: tuple[int, int],
    n_classes: int,
    on_note: OnNote = lambda line: None,
) -> tuple[Settings, Sharing | None]:
    """Put numbers in the place of ``auto`` for cores and GPUs a trial.

    Nothing is measured where there is nothing to choose: for the serial runner, which gives a
    trial all cores, and for a cluster elsewhere, whose nodes cannot be measured from here.

    Args:
        settings: as `cxrsearch.study.prepare.resolve_hardware` leaves them.
        space: recipes are drawn from it.
        images: of the training part, and those that epochs are scored on.
        n_classes: labels to learn.
        on_note: told what is being measured, and what came out.

    Returns:
        the settings in numbers, and what was measured, where anything was.
    """
    if AUTO not in (settings.cpus_per_trial, settings.gpus_per_trial):
        return settings, None
    if settings.address:
        return replace(settings, cpus_per_trial=settings.cpus, gpus_per_trial=settings.gpus), None
    gpus = _gpus() if settings.gpus_per_trial == AUTO or settings.gpus else 0
    options = shares(settings, detect_cpus(), gpus)
    if len(options) == 1:
        return _with(settings, options[0]), None
    on_note("measuring how many trials to run side by side")
    device = "cuda" if settings.gpus_per_trial == AUTO else "cpu"
    compute = ComputeOptions.asked(settings, device=device)
    with service() if device == "cuda" and settings.nvidia_mps else nullcontext():
        rows = measure(options, space, images, n_classes, compute, on_note)
    if not rows:
        return _with(settings, options[0] if device == "cuda" else options[-1]), None
    chosen = choose(rows)
    if (
        device == "cuda"
        and chosen.share.at_once > 1
        and not (settings.nvidia_mps or service_runs())
    ):
        on_note(TAKE_TURNS)
    return _with(settings, chosen.share), Sharing(gpus, tuple(rows), chosen)


def _with(settings: Settings, share: Share) -> Settings:
    """``settings`` with the numbers of ``share`` where they say ``auto``."""
    auto = settings.gpus_per_trial == AUTO
    # Ray counts in ten-thousandths and rounds: a third too much would be one trial less.
    gpus = math.floor(10_000 / share.at_once) / 10_000 if auto else settings.gpus
    cpus = share.threads if settings.cpus_per_trial == AUTO else settings.cpus
    return replace(settings, cpus_per_trial=float(cpus), gpus_per_trial=float(gpus))


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
