"""What a study is told once, when it is made, and what the history says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .errors import SpaceError, StudyError
from .prior import Prior
from .space import SearchSpace
from .trials.halving import Halving

STUDY_CONFIG = "engine"
"""The study attribute with the configuration; by it one of our studies is known."""
SPACE = "space"
SEED = "seed"
IDENTITY = "identity"
"""What no other study has; a folder remembers it of a study in a database, see
`search.store.places`."""
RESERVED = frozenset({STUDY_CONFIG, SPACE, SEED, IDENTITY})
"""Study attributes that only the making of a study writes."""

ENGINE_ATTRS = frozenset(
    {"seed", "generation", "params", "point", "prior", "lineage", "reason", "detail", "attempt"}
    | {"deaths", "died_at", "spans", "started", "others", "paused", "promoted"}
    | {"same_as", "confirms", "round"}
)
"""Trial attributes that an objective cannot set."""

POPULATION = 10
"""Trials a generation where the sampler's options name no ``population_size``."""

_KINDS: dict[str, Any] = {
    "name": str,
    "sampler": str,
    "seed": int,
    "sampler_options": Mapping,
    "retries": int,
    "n_trials": int | None,
    "directions": tuple,
    "metrics": tuple,
    "prior": Prior | None,
}

DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True)
class StudyConfig:
    """How a study searches. It stays what it was when the study was made.

    Args:
        name: the study's name, Optuna's too.
        sampler: one of `search.samplers.SAMPLERS`.
        seed: every other seed follows from it.
        sampler_options: options of the sampler.
        halving: when to stop trials early; ``None``: never.
        retries: how often a trial whose worker died is started again without a new step between.
        n_trials: the budget as it was when the study was made, where there was one; model-based
            samplers start earlier in a small one.
        directions: ``maximize`` or ``minimize``, one for each objective. Steps report the first
            objective, and more of it is better.
        metrics: the objectives' names, one for each, or none.
        prior: what earlier studies have to offer, where the search starts warm.
    """

    name: str
    sampler: str
    seed: int
    sampler_options: Mapping[str, Any] = field(default_factory=dict)
    halving: Halving | None = None
    retries: int = 2
    n_trials: int | None = None
    directions: tuple[str, ...] = ("maximize",)
    metrics: tuple[str, ...] = ()
    prior: Prior | None = None

    def __post_init__(self) -> None:
        if self.directions[:1] != ("maximize",) or not set(self.directions) <= set(DIRECTIONS):
            raise ValueError(
                "directions must be maximize, then maximize or minimize for each further "
                f"objective, got {self.directions}"
            )
        if self.metrics and len(self.metrics) != len(self.directions):
            raise ValueError(
                f"metrics must name each of the {len(self.directions)} objectives, got "
                f"{self.metrics}"
            )

    @property
    def population(self) -> int:
        """Trials a generation."""
        return int(self.sampler_options.get("population_size") or POPULATION)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` makes the same configuration of it."""
        return {**asdict(self), "sampler_options": dict(self.sampler_options)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> StudyConfig:
        """The configuration that `to_dict` wrote.

        Raises:
            StudyError: where it did not.
        """
        try:
            halving, prior = data["halving"], data.get("prior")
            made: dict[str, Any] = {
                name: tuple(data[name]) for name in ("directions", "metrics") if name in data
            }
            made["halving"] = Halving(**halving) if halving else None
            made["prior"] = Prior.from_dict(prior) if prior else None
            config = cls(**{**data, **made})
            for key, kind in _KINDS.items():
                if not isinstance(value := getattr(config, key), kind):
                    raise TypeError(f"{key} is {value!r}")
            if config.population < 1:
                raise ValueError(f"population_size is {config.population}")
        except (TypeError, ValueError, KeyError) as error:
            raise StudyError(f"the study's configuration cannot be read: {error}") from None
        return config


def read_settings(
    attrs: Mapping[str, Any], where: str, identity: str | None = None
) -> tuple[StudyConfig, SearchSpace]:
    """Configuration and space out of a study's attributes.

    Args:
        attrs: the study's.
        where: the history, for messages.
        identity: the study's, where it is known.

    Raises:
        StudyError: where they are missing or damaged, or of another study.
    """
    if identity is not None and attrs.get(IDENTITY) != identity:
        raise StudyError(
            f"{where}: its study of this name was made for another folder; give the database of "
            "this one"
        )
    try:
        config = StudyConfig.from_dict(attrs[STUDY_CONFIG])
        return config, SearchSpace.from_dict(attrs[SPACE], where)
    except KeyError as error:
        raise StudyError(f"{where}: the study has no {error.args[0]!r} attribute") from None
    except (SpaceError, StudyError) as error:
        raise StudyError([f"{where}: {problem}" for problem in error.problems]) from None
