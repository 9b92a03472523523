"""The search engine: spaces, samplers, studies and runners. It knows nothing of X-rays.

An objective is a generator that yields a `Step` an epoch and returns an `Outcome`::

    from pathlib import Path
    from search import Budget, Outcome, SearchSpace, Step, Study, StudyConfig, run_serial

    def objective(task):
        loss = (task.params["lr"] - 0.01) ** 2
        yield Step(1, -loss)  # more is better
        return Outcome(-loss)

    space = SearchSpace.from_dict(
        {"name": "toy", "genes": {"lr": {"low": 1e-4, "high": 1e-1, "log": True}}}
    )
    with Study.create(Path("toy"), space, StudyConfig("toy", "genetic", seed=0)) as study:
        run_serial(study, objective, Budget(trials=20))
        print(study.best().params)

The folder holds the whole history: `Study.open` goes on with it, `read_study` looks at it at any
time, and `run_tune` runs it on many workers in place of `run_serial`. With ``confirm=Confirming(
choose, 20)`` either ends in 20 reruns of the finalists that ``choose`` names. An objective knows a
rerun by its ``task.round``, and ought to train it on another split in each round.

The genetic algorithm alone is an Optuna sampler, for any study of Optuna's::

    import optuna
    from search import GeneticSampler, recommend

    study = optuna.create_study(sampler=GeneticSampler(seed=0), direction="maximize")
    study.optimize(lambda trial: -(trial.suggest_float("x", -1, 1) ** 2), n_trials=20)
    print(recommend(study).params)  # by what is expected, not by what was luckiest

Names are loaded when they are first used; Ray is with `run_tune` and `Resources` alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .asking import build_sampler
    from .budget import Budget
    from .confirm.confirming import Confirming
    from .errors import SearchError, SpaceError, StudyError
    from .events import Event
    from .expectation import recommend
    from .genetic.sampler import GeneticSampler
    from .objective import Objective, Outcome, Step, Steps, Task, TrialError
    from .samplers import SAMPLERS
    from .serial import run_serial
    from .space import SearchSpace
    from .store.record import StudyRecord, read_study
    from .study import Study
    from .study_config import StudyConfig
    from .trials.halving import Halving
    from .tune import Resources, run_tune

_HOMES = {
    "Budget": "budget",
    "Confirming": "confirm.confirming",
    "Event": "events",
    "GeneticSampler": "genetic.sampler",
    "Halving": "trials.halving",
    "Objective": "objective",
    "Outcome": "objective",
    "Resources": "tune",
    "SAMPLERS": "samplers",
    "SearchError": "errors",
    "SearchSpace": "space",
    "SpaceError": "errors",
    "Step": "objective",
    "Steps": "objective",
    "Study": "study",
    "StudyConfig": "study_config",
    "StudyError": "errors",
    "StudyRecord": "store.record",
    "Task": "objective",
    "TrialError": "objective",
    "build_sampler": "asking",
    "read_study": "store.record",
    "recommend": "expectation",
    "run_serial": "serial",
    "run_tune": "tune",
}
"""The module of each name."""

__all__ = [
    "SAMPLERS",
    "Budget",
    "Confirming",
    "Event",
    "GeneticSampler",
    "Halving",
    "Objective",
    "Outcome",
    "Resources",
    "SearchError",
    "SearchSpace",
    "SpaceError",
    "Step",
    "Steps",
    "Study",
    "StudyConfig",
    "StudyError",
    "StudyRecord",
    "Task",
    "TrialError",
    "build_sampler",
    "read_study",
    "recommend",
    "run_serial",
    "run_tune",
]

if not TYPE_CHECKING:  # a type checker would take every name for known

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
