"""What a user asked for: flat records, checked as a whole and stored in study.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cxrsearch.data.request import PHANTOM, DataRequest
from cxrsearch.errors import InputError
from cxrsearch.fields import Record, option
from cxrsearch.learn.saved.keep import parse_keep
from cxrsearch.objectives import Objectives, parse_objective
from search.budget import parse_duration
from search.errors import SearchError

__all__ = [
    "AUTO",
    "PHANTOM",
    "ConfirmRequest",
    "DataRequest",
    "Device",
    "Settings",
    "TrainingRequest",
    "UnlabelledRequest",
]

AUTO = "auto"
"""In the place of a number: found by a measurement before the search begins."""
PRECISIONS = (AUTO, "float32", "bf16", "fp16")
CONFIRMED_SHARE = 0.2
"""Of the budget, for reruns of the finalists, where the user does not say."""
CONFIRMED_FROM = 20
"""Trials from which on a search confirms by itself."""
CONFIRMED_TIMED = 16
"""The same where time alone ends it: trials that have searched when the last share begins."""
TOP = 5
"""Finalists of `cxrsearch confirm` where the user does not say."""
LEAST_RERUNS = 4
"""Two finalists on two splits each: fewer say nothing of the luck that reruns are for."""


def _samplers() -> tuple[str, ...]:
    """The names of ``--sampler``; what they stand for is slow to load."""
    from search.samplers import SAMPLERS
    from search.samplers.automatic import AUTO

    return (*SAMPLERS, AUTO)


@dataclass(frozen=True)
class Device(Record):
    """Where a training computes, and in what.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``float32``, ``bf16``, ``fp16``, or ``auto``: a half type where the hardware
            has one.
    """

    device: str = option(
        AUTO, "auto, cpu, cuda, or mps (Apple's GPU).", group="device",
        choices=(AUTO, "cpu", "cuda", "mps"), listed=False,
    )  # fmt: skip
    precision: str = option(
        AUTO,
        "Of the training; auto: as the study's trials, or bf16 or fp16 where the hardware "
        "multiplies it by itself.",
        group="device", choices=PRECISIONS,
    )  # fmt: skip


@dataclass(frozen=True)
class UnlabelledRequest(Record):
    """Images beside the labelled ones.

    Args:
        unlabelled: folder of further images; None: what lies in ``data`` and is not in the table.
    """

    unlabelled: str | None = option(
        None,
        "Folder of images without a label. [default: those of the data that the label table does "
        "not name]",
        group="unlabelled", metavar="DIR", path=True,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingRequest(Device, DataRequest):
    """A training as asked for, but for its recipe: on which data, and on what of the machine.

    Args:
        weights_dir: folder with ImageNet's weights under torchvision's file names, and with those
            of drawn X-rays.
        cpus_per_trial: CPU cores a trial, or ``auto``: a share of all that a short measurement
            finds best (`cxrsearch.study.cost.sharing`), and all of a single training's.
    """

    weights_dir: str | None = option(
        None, "Folder with ImageNet's weights under torchvision's file names, and with those of "
        "drawn X-rays.",
        group="weights", metavar="DIR", path=True,
    )  # fmt: skip
    cpus_per_trial: float | str = option(
        AUTO,
        "CPU cores a trial, or auto: what a short measurement finds best. With it the serial "
        "runner takes all of them.",
        group="cores", metavar="N|auto", low=0.01, high=4096, word=AUTO,
    )  # fmt: skip

    @property
    def cpus(self) -> float:
        """CPU cores a trial; 1 while that is still to be found."""
        return 1.0 if self.cpus_per_trial == AUTO else float(self.cpus_per_trial)


@dataclass(frozen=True)
class ConfirmRequest(Record):
    """How a study's finalists are to be confirmed.

    Args:
        top: finalists; None: those of an earlier confirmation, or `TOP`.
        repeats: reruns a finalist on average, those that are there already included.
    """

    top: int | None = option(
        None,
        "Finalists: trials that are trained again. [default: 5, or as before]",
        group="confirm", metavar="K", low=1, high=50,
    )  # fmt: skip
    repeats: int = option(
        4,
        "Reruns of each on average: K times R in all, which go where they decide most.",
        group="confirm", metavar="R", low=2, high=1000,
    )  # fmt: skip


@dataclass(frozen=True)
class Settings(TrainingRequest):
    """A search as asked for. Every field is an option of ``cxrsearch ga`` or ``optuna``.

    What a search shares with other commands lies in `DataRequest` and `TrainingRequest`.

    Args:
        space: name of a shipped space or path of a YAML file; None: by the hardware.
        sampler: name out of ``search.samplers.SAMPLERS``, or ``auto``: one that suits budget,
            genes and workers (`search.samplers.automatic`).
        population: the genetic sampler's population, and the length of a generation.
        scheme: ``steady`` or ``generational`` (with its barrier).
        from_studies: folders of earlier studies that the search starts from.
        pseudo: folder that `cxrsearch self-train` wrote: what the gene ``pseudo`` works with.
        trials: trials in all; None: ``generations`` times ``population``.
        generations: generations in all.
        genes: ``gene=value`` texts, in the place of what the space says of those genes.
        time_budget: wall-clock limit such as ``8h`` or ``90m``.
        objective: ``auroc``, or ``auroc:Mass,Nodule`` for the mean over some labels; with
            ``,seconds`` or ``,parameters`` behind it a search of several objectives.
        early_stopping: successive halving on or off.
        confirm: share of the budget for reruns of the finalists, see `search.confirm`; None: by
            default (`confirmed_share`). In the study.yaml of an earlier version it is missing, and
            nothing is confirmed.
        halving: what becomes of a weak trial: ``promote`` (it pauses, and goes on when it turns
            out to be among the best) or ``stop`` (for good).
        reuse: whether a trial whose recipe has been trained before in the study ends at once with
            what that came to, or is trained again with a seed of its own.
        runner: ``ray`` or ``serial``.
        gpus_per_trial: GPUs a trial, fractions allowed, or ``auto``: the same for a GPU where
            there is one.
        nvidia_mps: whether NVIDIA's multi-process service runs where trials share a GPU
            (`cxrsearch.study.cost.multi_process`).
        concurrent: trials at once at most; None: as many as fit.
        max_concurrent: on a cluster that grows, trials at once at most, those that wait for a node
            among them; in place of ``concurrent``.
        address: an existing Ray cluster.
        storage: SQLAlchemy URL of the history; None: SQLite in the study folder.
        keep_checkpoints: ``best:N``, ``all`` or ``none``.
    """

    generations: int | None = option(
        None, "Generations in all. [default: 5]", group="genetic", low=1, high=1_000_000
    )
    population: int = option(10, "Trials a generation.", group="genetic", low=2, high=10_000)
    trials: int | None = option(
        None, "Trials in all, instead of --generations.", group="genetic", low=1, high=1_000_000
    )
    scheme: str = option(
        "steady", "steady: no barrier; generational: textbook (mu + lambda).", group="genetic",
        choices=("steady", "generational"),
    )  # fmt: skip
    sampler: str = option(
        "genetic",
        "What chooses the next recipe; auto: what suits the search.",
        group="sampler", choices=_samplers,
    )  # fmt: skip
    space: str | None = option(
        None,
        "Search space; `cxrsearch spaces` lists them. Default: quick, or gpu where there is a "
        "GPU and real data.",
        group="space", metavar="NAME|FILE",
    )  # fmt: skip
    genes: list[str] = option(
        list,
        "Fix a gene of the space, such as init=weights.safetensors. May be repeated.",
        group="space", metavar="GENE=VALUE", name="set",
    )  # fmt: skip
    from_studies: list[str] = option(
        list,
        "Earlier study, on other data or another space, whose best trials are among the first "
        "that are tried here. May be repeated.",
        group="start", metavar="STUDY", path=True, name="from",
    )  # fmt: skip
    pseudo: str | None = option(
        None,
        "What `cxrsearch self-train` wrote: images without a label, for the gene pseudo of the "
        "space.",
        group="start", metavar="DIR", path=True,
    )  # fmt: skip
    objective: str = option(
        "auroc",
        "auroc, or auroc:Mass,Nodule for the mean over some labels; with ,seconds (of training) "
        "or ,parameters (of the model) several at once.",
        group="goal",
    )  # fmt: skip
    time_budget: str | None = option(
        None, "Wall-clock limit: 8h, 90m, 1h30m.", group="goal", metavar="TIME"
    )
    early_stopping: bool = option(
        True, "Stop weak trials by successive halving.", group="goal"
    )  # fmt: skip
    reuse: bool = option(
        True,
        "Answer a trial whose recipe was trained before in the study by what that came to; "
        "without, train it again with another seed.",
        group="goal",
    )  # fmt: skip
    halving: str = option(
        "promote",
        "Weak trials pause, and go on if they turn out to be among the best (promote), or end "
        "(stop).",
        group="goal", choices=("promote", "stop"),
    )  # fmt: skip
    confirm: float | None = option(
        None,
        "Share of the budget for reruns: the most promising recipes are trained again on fresh "
        "seeds and splits, and chosen by that; 0: none. [default: 0.2; 0 below 20 trials, and for "
        "several objectives]",
        group="goal", metavar="SHARE", low=0.0, high=0.8,
    )  # fmt: skip
    keep_checkpoints: str = option(
        "best:10",
        "Which trials keep their weights, those of different recipes first; all also keeps the "
        "scores of every epoch beyond 512 MiB.",
        group="kept", metavar="best:N|all|none",
    )  # fmt: skip
    storage: str | None = option(
        None,
        "History as an SQLAlchemy URL (PostgreSQL); default: SQLite in the study folder.",
        group="kept", metavar="URL",
    )  # fmt: skip
    runner: str = option(
        "ray", "Ray Tune, or one trial after another.", group="runner", choices=("ray", "serial")
    )
    gpus_per_trial: float | str = option(
        AUTO,
        "GPUs a trial, or auto: the same for a GPU where there is one. A fraction lets trials "
        "share one.",
        group="run", metavar="N|auto", low=0.0, high=64, word=AUTO,
    )  # fmt: skip
    nvidia_mps: bool = option(
        False,
        "Where trials share a GPU: run NVIDIA's multi-process service meanwhile, by which their "
        "kernels run at once.",
        group="run",
    )
    concurrent: int | None = option(
        None, "Trials at once at most. Default: as many as fit.", group="run", low=1, high=100_000
    )
    max_concurrent: int | None = option(
        None,
        "On a cluster that grows: trials at once at most. Those that have no node yet wait, and "
        "Ray's autoscaler starts one.",
        group="run", low=1, high=100_000,
    )  # fmt: skip
    address: str | None = option(None, "An existing Ray cluster.", group="run", metavar="HOST:PORT")

    @property
    def target_trials(self) -> int | None:
        """Trials in all, by ``trials`` or by generations; None: until the time is up."""
        if self.trials is not None:
            return self.trials
        return None if self.generations is None else self.generations * self.population

    @property
    def reruns(self) -> int | None:
        """How many of `target_trials` confirm what the others found; None: until the time is up."""
        target = self.target_trials
        return None if target is None else round((self.confirm or 0.0) * target)

    @property
    def search_trials(self) -> int | None:
        """How many of `target_trials` search; None: until their share of the time is up."""
        return None if self.target_trials is None else self.target_trials - (self.reruns or 0)

    @property
    def gpus(self) -> float:
        """GPUs a trial; 0 while that is still to be found."""
        return 0.0 if self.gpus_per_trial == AUTO else float(self.gpus_per_trial)

    @property
    def seconds(self) -> float | None:
        """The time budget in seconds."""
        return None if self.time_budget is None else parse_duration(self.time_budget)

    @property
    def objectives(self) -> Objectives:
        """What is optimised."""
        return parse_objective(self.objective)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as study.yaml keeps them.

        The storage's URL is not among them: the study remembers it, without its password.
        """
        return {**super().to_dict(), "storage": None}

    def problems(self) -> list[str]:
        """See `Record.problems`."""
        problems = [*super().problems(), *_objective_problems(self), *_confirm_problems(self)]
        if self.target_trials is None and self.time_budget is None:
            problems.append("no budget: give --generations, --trials or --time-budget")
        if self.time_budget is not None:
            try:
                self.seconds  # noqa: B018 - parsing is the check
            except ValueError as error:
                problems.append(f"--time-budget: {error}")
        try:
            parse_keep(self.keep_checkpoints)
        except InputError as error:
            problems += error.problems
        return [*problems, *_growing_problems(self)]


def _growing_problems(settings: Settings) -> list[str]:
    """What speaks against ``max_concurrent``, where that is asked for."""
    most, problems = settings.max_concurrent, []
    if most is not None and settings.concurrent is not None:
        problems.append(
            f"--max-concurrent {most} with --concurrent {settings.concurrent}: leave one of them "
            "out; the first is for a cluster that grows"
        )
    if most is not None and not settings.address:
        problems.append(
            f"--max-concurrent {most}: this machine does not grow; name a cluster that does with "
            f"--address, or give --concurrent {most}"
        )
    return problems


def _objective_problems(settings: Settings) -> list[str]:
    from search.samplers import check_objectives

    try:
        check_objectives(settings.sampler, len(settings.objectives.measures))
    except SearchError as error:
        return error.problems
    return []


def _confirm_problems(settings: Settings) -> list[str]:
    """What speaks against confirming, where that is asked for."""
    if not settings.confirm or not 0 < settings.confirm < 1:
        return []
    try:
        several = len(settings.objectives.measures) > 1
    except InputError:  # named elsewhere
        several = False
    asked, problems = f"--confirm {settings.confirm:g}", []
    if several:
        problems.append(
            f"{asked}: of several objectives ({settings.objective}) there is no one best to "
            "confirm; leave it out, or search for one"
        )
    if settings.reruns is not None and settings.reruns < LEAST_RERUNS:
        problems.append(
            f"{asked}: of {settings.target_trials} trials that is {settings.reruns} to confirm by, "
            f"and it takes {LEAST_RERUNS}; give more trials or a larger share, or 0 for none"
        )
    return problems


def confirmed_share(settings: Settings) -> float:
    """The share of the budget for reruns: as asked for, or by default.

    By default `CONFIRMED_SHARE`, where there is one objective and the budget is of
    `CONFIRMED_FROM` trials and more, or of time alone.
    """
    if settings.confirm is not None:
        return settings.confirm
    target = settings.target_trials
    if len(settings.objectives.measures) > 1 or (target is not None and target < CONFIRMED_FROM):
        return 0.0
    return CONFIRMED_SHARE
