"""Samplers by name, each a function of the seed, the trial's number and the history.

`build` makes them alike for every ask. To add one, write a function whose keyword-only
arguments are its options, and enter it in `SAMPLERS`: names, help texts and checks follow.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler

from search.errors import SearchError, did_you_mean
from search.genetic.sampler import GeneticSampler

from .cma import CmaSampler
from .quasi import QuasiRandomSampler, RandomSampler
from .replayed import GaussianProcessSampler, Nsga2Sampler, ReplayedSampler, TreeSampler

Space = Mapping[str, BaseDistribution]
Builder = Callable[..., BaseSampler]


def _startup(n_trials: int | None) -> int:
    """Random trials before a model: ten, or a quarter of a small budget, at least four."""
    return 10 if n_trials is None else min(10, max(4, n_trials // 4))


def _genetic(
    seed: int,
    space: Space,
    n_trials: int | None,
    length: str | None,
    *,
    population_size: int = 10,
    scheme: str = "steady",
    tournament: int = 3,
    crossover_probability: float = 0.8,
    mutation_rate: float = 1.5,
    mutation_strength: float = 0.2,
    initial: int | None = None,
    surrogate: bool = True,
) -> BaseSampler:
    return GeneticSampler(
        seed=seed,
        space=space,
        population_size=population_size,
        scheme=scheme,
        tournament=tournament,
        crossover_probability=crossover_probability,
        mutation_rate=mutation_rate,
        mutation_strength=mutation_strength,
        initial=initial,
        surrogate=surrogate,
        length=length,
    )


def _tpe(
    seed: int,
    space: Space,
    n_trials: int | None,
    length: str | None,
    *,
    n_startup_trials: int | None = None,
    n_ei_candidates: int = 24,
    multivariate: bool = True,
    group: bool = True,
    constant_liar: bool = True,
) -> BaseSampler:
    startup = _startup(n_trials) if n_startup_trials is None else n_startup_trials
    return ReplayedSampler(
        lambda s: TreeSampler(
            seed=s,
            n_startup_trials=startup,
            n_ei_candidates=n_ei_candidates,
            multivariate=multivariate,
            # One group unless there are conditional genes, so it costs nothing without them.
            group=group and multivariate,
            constant_liar=constant_liar,
            length=length,
        ),
        seed,
    )


def _alone(startup: int, length: str | None) -> Callable[[int], BaseSampler]:
    """For genes that a sampler can't sample together with others: one-dimensional TPE."""
    return lambda s: TreeSampler(
        seed=s,
        n_startup_trials=startup,
        multivariate=False,
        constant_liar=True,
        length=length,
    )


def _cmaes(
    seed: int,
    space: Space,
    n_trials: int | None,
    length: str | None,
    *,
    population_size: int | None = None,
    sigma: float = 0.2,
) -> BaseSampler:
    others = ReplayedSampler(_alone(_startup(n_trials), length), seed)
    return CmaSampler(seed, space, others, population_size, sigma, length)


def _gp(
    seed: int,
    space: Space,
    n_trials: int | None,
    length: str | None,
    *,
    n_startup_trials: int | None = None,
    deterministic_objective: bool = False,
) -> BaseSampler:
    startup = _startup(n_trials) if n_startup_trials is None else n_startup_trials
    return ReplayedSampler(
        lambda s: GaussianProcessSampler(
            seed=s,
            n_startup_trials=startup,
            deterministic_objective=deterministic_objective,
            independent_sampler=_alone(startup, length)(s),
            warn_independent_sampling=False,
        ),
        seed,
    )


def _nsga2(
    seed: int,
    space: Space,
    n_trials: int | None,
    length: str | None,
    *,
    population_size: int | None = None,
    crossover_prob: float = 0.9,
    swapping_prob: float = 0.5,
) -> BaseSampler:
    # Its first generation is random: small in a small budget (docs/decisions/samplers.md).
    size = population_size or (6 if n_trials is not None and n_trials <= 50 else 10)
    return ReplayedSampler(
        lambda s: Nsga2Sampler(
            seed=s,
            population_size=size,
            crossover_prob=crossover_prob,
            swapping_prob=swapping_prob,
        ),
        seed,
    )


def _qmc(seed: int, space: Space, n_trials: int | None, length: str | None) -> BaseSampler:
    return QuasiRandomSampler(seed, space)


def _random(seed: int, space: Space, n_trials: int | None, length: str | None) -> BaseSampler:
    return RandomSampler(seed)


@dataclass(frozen=True)
class SamplerEntry:
    """One sampler.

    Args:
        build: ``(seed, space, n_trials, length, *, options) -> sampler``.
        help: what it is, in half a sentence.
        several: whether it takes several objectives.
        priors: whether it takes the priors of genes.
    """

    build: Builder
    help: str
    several: bool = True
    priors: bool = False


SAMPLERS: dict[str, SamplerEntry] = {
    "tpe": SamplerEntry(_tpe, "Optuna's tree-structured Parzen estimator"),
    "gp": SamplerEntry(_gp, "Optuna's Gaussian process"),
    "cmaes": SamplerEntry(_cmaes, "covariance matrix adaptation, one objective", several=False),
    "nsga2": SamplerEntry(_nsga2, "Optuna's NSGA-II"),
    "qmc": SamplerEntry(_qmc, "a quasi-random sequence"),
    "random": SamplerEntry(_random, "every trial drawn at random"),
    "genetic": SamplerEntry(_genetic, "the genetic algorithm, as `ga`", priors=True),
}
"""Every sampler by its name, in the order in which help texts list them.

An ask that is repeated on the same history gives the same trial again: resume relies on it, so
tests hold every sampler to it.
"""


def options_of(name: str) -> dict[str, inspect.Parameter]:
    """The options of sampler ``name``, by name, with defaults and types."""
    parameters = inspect.signature(SAMPLERS[name].build, eval_str=True).parameters
    return {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}


def check_objectives(name: str, count: int) -> None:
    """Refuse a sampler that cannot work with ``count`` objectives.

    Raises:
        SearchError: naming those that can.
    """
    if count > 1 and name in SAMPLERS and not SAMPLERS[name].several:
        able = ", ".join(known for known, entry in SAMPLERS.items() if entry.several)
        raise SearchError(
            f"sampler {name!r}: has one objective, the study has {count}; use one of {able}"
        )


def build(
    name: str,
    *,
    seed: int,
    distributions: Mapping[str, BaseDistribution],
    options: Mapping[str, Any] | None = None,
    n_trials: int | None = None,
    length: str | None = None,
) -> BaseSampler:
    """Sampler ``name``, to be made anew for an ask or kept for a whole study.

    Args:
        name: one of `SAMPLERS`.
        seed: the study's, the same for every ask: the samplers mix the trial's number in by
            themselves, and some need points of different trials to belong together.
        distributions: every gene of the space, conditional ones included; with the conditions
            where they are `search.space.conditions.Genes`.
        options: the sampler's own, as in `options_of`.
        n_trials: the budget as it was when the study was made, if there is one: models
            start earlier in small ones. Must not change during a study.
        length: the parameter that holds a trial's number of steps, where stopped trials are to be
            compared by the share of it that they have done.

    Raises:
        SearchError: unknown name or option, or an option's value that cannot be.
    """
    if name not in SAMPLERS:
        known = ", ".join(SAMPLERS)
        hint = did_you_mean(name, SAMPLERS)
        raise SearchError(f"sampler {name!r}: there is none of this name{hint} (known: {known})")
    given = dict(options or {})
    problems = _problems(name, given)
    if problems:
        raise SearchError(problems)
    try:
        return SAMPLERS[name].build(seed, distributions, n_trials, length, **given)
    except ValueError as error:
        raise SearchError(f"sampler {name!r}: {error}") from error


def _problems(name: str, given: Mapping[str, Any]) -> list[str]:
    allowed = options_of(name)
    problems = []
    for key, value in given.items():
        if key not in allowed:
            known = ", ".join(allowed) or "it has none"
            hint = did_you_mean(key, allowed)
            problems.append(f"sampler {name!r}: unknown option {key!r}{hint} (options: {known})")
        elif not _fits(value, allowed[key].annotation):
            wanted = getattr(allowed[key].annotation, "__name__", allowed[key].annotation)
            problems.append(f"sampler {name!r}: option {key!r} wants {wanted}, got {value!r}")
    return problems


def _fits(value: Any, annotation: Any) -> bool:
    """Whether ``value`` is of the annotated type; a whole number is a float too, no bool is."""
    if isinstance(value, bool):
        return annotation is bool
    if annotation is float:
        return isinstance(value, float | int)
    return isinstance(value, annotation)
