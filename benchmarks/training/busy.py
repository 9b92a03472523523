"""``busy``: how much of the cores' time a whole search on Ray spends in training."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Spread

from .material import ROOT, Setup
from .report import Report

BUSY = 0.9
SPACE = ROOT / "benchmarks" / "real_space.yaml"


class Span(NamedTuple):
    """One stay of a trial on a worker, in Unix seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class Used:
    """Where the time of a search went.

    Args:
        training: seconds that the trials' own attributes report: training and scoring.
        running: seconds that trials were on a worker.
        wall: seconds from the first trial's start to the last one's end.
        whole: seconds of the search, start-up and end included.
        cores: that were there to be used.
    """

    training: float
    running: float
    wall: float
    whole: float
    cores: int

    def share(self, seconds: float, wall: float) -> float:
        """``seconds`` as a share of what all cores had in ``wall``."""
        return seconds / (self.cores * wall)


def used(attrs: Sequence[Mapping[str, Any]], whole: float, cores: int) -> Used:
    """Add up the trials' user attributes ``seconds`` and ``spans``.

    Args:
        attrs: user attributes of each trial.
        whole: seconds of the search.
        cores: of the machine that the search was given.

    Raises:
        ValueError: where no trial ran.
    """
    spans = [Span(start, end) for each in attrs for _, start, end in each.get("spans", [])]
    if not spans:
        raise ValueError("no trial has a span: none was on a worker")
    return Used(
        training=sum(float(each.get("seconds") or 0.0) for each in attrs),
        running=sum(span.end - span.start for span in spans),
        wall=max(span.end for span in spans) - min(span.start for span in spans),
        whole=whole,
        cores=cores,
    )


def busy(where: Setup, trials: int, workers: int, searches: int, space: Path = SPACE) -> Report:
    """Search on Ray and add up where the time went.

    Args:
        where: data, cache and so on.
        trials: of each search.
        workers: at once, one core each.
        searches: one after another, each in a new study with another seed.
        space: of the trials.
    """
    report = Report("busy", where)
    table = report.table(
        f"{trials} trials on Ray with {workers} workers of one core ({space.stem})",
        "search", "training, s", "on a worker, s", "wall clock, s", "with start-up, s",
        "share in training", "share on a worker", "share with start-up",
        digits=3,
    )  # fmt: skip
    shares = []
    for number in range(searches):
        found = one(where, trials, workers, where.seed + number, space)
        shares.append(found.share(found.training, found.wall))
        table.add(
            str(number + 1), found.training, found.running, found.wall, found.whole,
            shares[-1], found.share(found.running, found.wall),
            found.share(found.training, found.whole),
        )  # fmt: skip
    table.add("median", None, None, None, None, Spread.of(shares), None, None)
    report.target("share of the cores' time in training", Spread.of(shares).median, BUSY)
    report.notes = [
        "training: the trials' own seconds (steps, scoring, weights of a new best epoch), by the "
        "wall clock of each worker; model building, checkpoints and reports are not in it",
        "wall clock: from the first trial's start to the last one's end, times the cores; with "
        "start-up: of the whole search, Ray's start and the reading of the data in it",
        "the driver shares the cores with its workers",
        *(["--fast: drawn X-rays, few of them"] if where.fast else []),
    ]
    return report


def one(where: Setup, trials: int, workers: int, seed: int, space: Path) -> Used:
    """One search."""
    from cxrsearch.study.experiment import Settings, search
    from search.store.record import read_study

    gpu = where.device.type == "cuda"
    settings = Settings(
        data="phantom" if where.fast or where.data is None else str(where.data),
        phantom_images=100 if where.fast else 600,
        space=str(space),
        trials=trials,
        confirm=0.0,
        seed=seed,
        cpus_per_trial=1.0,
        gpus_per_trial=1 / workers if gpu else 0.0,
        device="cuda" if gpu else "cpu",
        concurrent=workers,
        cache=str(where.cache) if where.cache else None,
    )
    with where.scratch() as folder:
        start = time.perf_counter()
        study = search(settings, folder / "study")
        whole = time.perf_counter() - start
        attrs = [trial.user_attrs for trial in read_study(study).trials]
    return used(attrs, whole, workers)
