"""What a user asked for: one flat record, checked as a whole and stored in study.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cxrsearch.errors import InputError
from cxrsearch.learn.saved.keep import parse_keep
from cxrsearch.objectives import Objectives, parse_objective
from search.budget import parse_duration
from search.errors import SearchError, did_you_mean

PHANTOM = "phantom"
RUNNERS = ("ray", "serial")
HALVINGS = ("promote", "stop")
SCHEMES = ("steady", "generational")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "float32", "bf16")
AUTO = "auto"
"""In the place of a number: found by a measurement before the search begins."""


@dataclass(frozen=True)
class Settings:
    """A search as asked for. Every field is an option of ``cxrsearch ga`` or ``optuna``.

    Args:
        data: a folder of chest X-rays, or ``phantom``.
        labels: label table, where it does not lie in ``data``.
        test_list: NIH's ``test_list.txt``; without it ``test_share`` of the patients.
        test_share: share of the patients kept for the test part.
        val_share: share of the other patients used for validation.
        val_seed: images at most in the fixed validation subset that epochs are scored on.
        phantom_images: labelled phantom images to draw.
        phantom_difficulty: 0 (plain) to 1 (hard).
        space: name of a shipped space or path of a YAML file; None: by the hardware.
        sampler: name out of ``search.samplers.SAMPLERS``, or ``auto``: one that suits budget,
            genes and workers (`search.samplers.automatic`).
        population: the genetic sampler's population, and the length of a generation.
        scheme: ``steady`` or ``generational`` (with its barrier).
        from_studies: folders of earlier studies that the search starts from.
        pseudo: folder that `cxrsearch self-train` wrote: what the gene ``pseudo`` works with.
        seed: everything random derives from it.
        trials: trials in all; None: ``generations`` times ``population``.
        generations: generations in all.
        time_budget: wall-clock limit such as ``8h`` or ``90m``.
        objective: ``auroc``, or ``auroc:Mass,Nodule`` for the mean over some diseases; with
            ``,seconds`` or ``,parameters`` behind it a search of several objectives.
        early_stopping: successive halving on or off.
        halving: what becomes of a weak trial: ``promote`` (it pauses, and goes on when it turns
            out to be among the best) or ``stop`` (for good).
        reuse: whether a trial whose recipe has been trained before in the study ends at once with
            what that came to, or is trained again with a seed of its own.
        runner: ``ray`` or ``serial``.
        cpus_per_trial: CPU cores a trial, or ``auto``: a share of all that a short measurement
            finds best (`cxrsearch.study.cost.sharing`).
        gpus_per_trial: GPUs a trial, fractions allowed, or ``auto``: the same for a GPU where
            there is one.
        concurrent: trials at once at most; None: as many as fit.
        address: an existing Ray cluster.
        storage: SQLAlchemy URL of the history; None: SQLite in the study folder.
        frame: side of the cached images in pixels; None: what the space needs.
        cache: folder of the decoded cache.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``float32``, ``bf16``, or ``auto``: bfloat16 where the hardware has it.
        weights_dir: folder with pretrained weights under torchvision's file names.
        keep_checkpoints: ``best:N``, ``all`` or ``none``.
    """

    data: str = PHANTOM
    labels: str | None = None
    test_list: str | None = None
    test_share: float = 0.2
    val_share: float = 0.2
    val_seed: int = 2000
    phantom_images: int = 600
    phantom_difficulty: float = 0.5
    space: str | None = None
    sampler: str = "genetic"
    population: int = 10
    scheme: str = "steady"
    from_studies: list[str] = field(default_factory=list)
    pseudo: str | None = None
    seed: int = 0
    trials: int | None = None
    generations: int | None = None
    time_budget: str | None = None
    objective: str = "auroc"
    early_stopping: bool = True
    halving: str = "promote"
    reuse: bool = True
    runner: str = "ray"
    cpus_per_trial: float | str = AUTO
    gpus_per_trial: float | str = AUTO
    concurrent: int | None = None
    address: str | None = None
    storage: str | None = None
    frame: int | None = None
    cache: str | None = None
    device: str = "auto"
    precision: str = "auto"
    weights_dir: str | None = None
    keep_checkpoints: str = "best:5"

    @property
    def target_trials(self) -> int | None:
        """Trials in all, by ``trials`` or by generations; None: until the time is up."""
        if self.trials is not None:
            return self.trials
        return None if self.generations is None else self.generations * self.population

    @property
    def cpus(self) -> float:
        """CPU cores a trial; 1 while that is still to be found."""
        return 1.0 if self.cpus_per_trial == AUTO else float(self.cpus_per_trial)

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

    @property
    def diseases(self) -> tuple[str, ...]:
        """The diseases that the objective averages over."""
        return self.objectives.diseases

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as study.yaml keeps them.

        The storage's URL is not among them: the study remembers it, without its password.
        """
        return {**asdict(self), "storage": None}

    def with_absolute_paths(self) -> Settings:
        """The same with its paths absolute, so that the study can be resumed from anywhere."""
        paths: dict[str, Any] = {
            name: str(Path(value).expanduser().resolve())
            for name in ("data", "labels", "test_list", "cache", "weights_dir", "pseudo")
            if (value := getattr(self, name)) and value != PHANTOM
        }
        earlier = [str(Path(folder).expanduser().resolve()) for folder in self.from_studies]
        return replace(self, **paths, from_studies=earlier)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Settings:
        """The inverse of `to_dict`; unknown keys of a newer version are an error.

        Raises:
            InputError: where a key is unknown, or a value of another kind than it should be.
        """
        kinds = {f.name: str(f.type) for f in fields(cls)}
        unknown = sorted(str(key) for key in values if key not in kinds)
        if unknown:
            raise InputError(f"study.yaml: unknown settings {', '.join(unknown)}; newer version?")
        problems = [
            f"study.yaml: {key} is {value!r}, not {kinds[key]}; restore it from a copy"
            for key, value in values.items()
            if type(value).__name__ not in _names_of(kinds[key])
        ]
        if problems:
            raise InputError(problems)
        return cls(**values)

    def check(self) -> None:
        """Raise one `InputError` that names everything that cannot work."""
        numbers = number_problems({name: getattr(self, name) for name in LIMITS})
        problems = [*numbers, *_choice_problems(self), *_objective_problems(self)]
        if self.labels and self.data == PHANTOM:
            problems.append(f"--labels {self.labels}: name the folder of its images with --data")
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
        if problems:
            raise InputError(problems)


def _names_of(kind: str) -> list[str]:
    """The names of the types that a value of a field's ``kind`` may have."""
    names = [part.partition("[")[0] for part in kind.replace("None", "NoneType").split(" | ")]
    return [*names, "int"] if "float" in names else names


LIMITS: dict[str, tuple[float, float]] = {
    "test_share": (0.01, 0.9),
    "val_share": (0.01, 0.9),
    "val_seed": (1, float("inf")),
    "phantom_images": (50, 50_000),
    "phantom_difficulty": (0.0, 1.0),
    "population": (2, 10_000),
    "trials": (1, 1_000_000),
    "generations": (1, 1_000_000),
    "cpus_per_trial": (0.01, 4096),
    "gpus_per_trial": (0.0, 64),
    "concurrent": (1, 100_000),
    "frame": (32, 2048),
    "seed": (0, 2**31 - 1),
}
"""The smallest and the largest value of settings that are numbers, in every command."""


def number_problems(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with ``values`` by name, as far as `LIMITS` knows them; None passes."""
    problems = []
    for name, (low, high) in LIMITS.items():
        value = values.get(name)
        if value == AUTO and name in ("cpus_per_trial", "gpus_per_trial"):
            continue
        if isinstance(value, str):
            problems.append(f"--{name.replace('_', '-')} {value}: must be a number or {AUTO}")
        elif value is not None and not low <= value <= high:
            bound = f"at least {low:,}" if high == float("inf") else f"from {low:,} to {high:,}"
            problems.append(f"--{name.replace('_', '-')} {value}: must be {bound}")
    return problems


def _choice_problems(settings: Settings) -> list[str]:
    from search.samplers import SAMPLERS
    from search.samplers.automatic import AUTO

    choices: dict[str, tuple[str, ...]] = {
        "sampler": (*SAMPLERS, AUTO),
        "runner": RUNNERS,
        "halving": HALVINGS,
        "scheme": SCHEMES,
        "device": DEVICES,
        "precision": PRECISIONS,
    }
    return [
        f"--{name} {getattr(settings, name)}: one of {', '.join(allowed)}"
        f"{did_you_mean(getattr(settings, name), allowed)}"
        for name, allowed in choices.items()
        if getattr(settings, name) not in allowed
    ]


def _objective_problems(settings: Settings) -> list[str]:
    from search.samplers import check_objectives

    try:
        check_objectives(settings.sampler, len(settings.objectives.measures))
    except SearchError as error:
        return error.problems
    return []
