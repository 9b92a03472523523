"""The samplers that are compared, each by its name: our own, Optuna's and other libraries'.

The peers of other libraries are in the package `peers`; this module holds our own sampler and
Optuna's.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from typing import Any

import optuna
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from search.genetic import GeneticSampler

from .contender import Contender, Entry, Make
from .fingerprint import fingerprint
from .peers import auto_sampler
from .peers.entries import ENTRIES
from .pieces import Piece, piece_of, without
from .problem import Problem


class OptunaContender:
    """Any Optuna sampler in a plain in-memory study, defined by run: parents before children.

    Args:
        problem: what is searched.
        sampler: by which.
        blind: whether it looks at complete trials alone, of what stopped early at nothing.
    """

    def __init__(self, problem: Problem, sampler: BaseSampler, blind: bool = False) -> None:
        self.sampler = sampler
        self.blind = blind
        self._problem = problem
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def ask(self) -> tuple[optuna.Trial, dict[str, Any]]:
        """A trial whose active genes were suggested."""
        trial = self._study.ask()
        params: dict[str, Any] = {}
        for name, dist in self._problem.distributions.items():
            parent, values = self._problem.conditions.get(name, (None, ()))
            if parent is None or params.get(parent) in values:
                params[name] = trial._suggest(name, dist)
        return trial, params

    def tell(self, key: optuna.Trial, params: dict[str, Any], observed: float) -> None:
        """Completes the trial."""
        self._study.tell(key, observed)

    def close(self) -> None:
        """Nothing is held."""


def _optuna(build: Callable[[Problem, int], BaseSampler]) -> Make:
    def make(problem: Problem, seed: int, n_trials: int) -> Contender:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return OptunaContender(problem, build(problem, seed))

    return make


def _optuna_version() -> str:
    return f"optuna {optuna.__version__}"


def _own_version() -> str:
    code = fingerprint("genetic", "GeneticSampler")
    used = ("numpy", "scipy", "deap")
    return ", ".join([f"code {code}", _optuna_version(), *(f"{n} {version(n)}" for n in used)])


def _own(options: dict[str, Any] | None = None) -> Entry:
    options = dict(options or {})
    piece = options.pop("without", None)
    if piece is not None:
        return _own_without(piece, options)
    return Entry(
        _optuna(lambda problem, seed: _genetic(problem, seed, options)),
        _own_version,
        note="" if not options else "not the defaults",
    )


def _genetic(problem: Problem, seed: int, options: dict[str, Any]) -> GeneticSampler:
    given = {"space": problem.told, "length": problem.length, **options}
    return GeneticSampler(seed=seed, **given)


class _Without(OptunaContender):
    """Our sampler without one of its pieces, from its making until it is closed."""

    def __init__(self, problem: Problem, seed: int, piece: Piece, options: dict[str, Any]) -> None:
        self._absence = without(piece)
        self._absence.__enter__()
        super().__init__(problem, _genetic(problem, seed, {**piece.options, **options}))

    def close(self) -> None:
        """The piece is back in its place."""
        self._absence.__exit__(None, None, None)


def _own_without(name: str, options: dict[str, Any]) -> Entry:
    """An ablation.

    Raises:
        ValueError: there is no such piece.
    """
    piece = piece_of(name)

    def make(problem: Problem, seed: int, n_trials: int) -> Contender:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        return _Without(problem, seed, piece, options)

    return Entry(make, lambda: f"{_own_version()}, {piece.instead}", note=piece.instead)


OPTUNA_SIDE = "ours-"
"""Before the name of a sampler of `search.samplers`, as our runners make it."""


def _offered(name: str, options: dict[str, Any]) -> Entry:
    """A sampler of `search.samplers` with ``options``, made for the budget that it is asked for."""
    from search.errors import SearchError
    from search.samplers import build

    def make(problem: Problem, seed: int, n_trials: int) -> Contender:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = build(
            name,
            seed=seed,
            distributions=problem.told or problem.distributions,
            options=options,
            n_trials=n_trials,
            length=problem.length,
        )
        return OptunaContender(problem, sampler)

    try:
        build(name, seed=0, distributions={}, options=options)
    except SearchError as error:
        raise ValueError(str(error)) from None
    return Entry(
        make,
        lambda: f"code {fingerprint('samplers', 'build')}, {_optuna_version()}",
        note="as `cxrsearch optuna` offers it" + ", with other options" * bool(options),
    )


def _of_optuna(
    build: Callable[[Problem, int], BaseSampler], note: str = "", slow: bool = False
) -> Entry:
    return Entry(_optuna(build), _optuna_version, slow, note)


def _auto(problem: Problem, seed: int, n_trials: int) -> Contender:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Where trials stop early all genes are numbers, and for those it takes the GP.
    return OptunaContender(problem, auto_sampler.sampler(seed), blind=True)


OWN: dict[str, Entry] = {
    "genetic": _own(),
    "tpe": _of_optuna(lambda p, seed: TPESampler(seed=seed)),
    "tpe-group": _of_optuna(
        lambda p, seed: TPESampler(seed=seed, multivariate=True, group=True),
        "group=True, as its documentation advises for conditional spaces",
    ),
    "tpe-v4": _of_optuna(
        lambda p, seed: TPESampler(seed=seed, multivariate=False, group=False, constant_liar=False),
        "the defaults of Optuna 4: each gene by itself",
    ),
    # Not with_margin=True: it fails on spaces whose genes come and go.
    "cmaes": _of_optuna(lambda p, seed: CmaEsSampler(seed=seed)),
    "gp": _of_optuna(
        lambda p, seed: GPSampler(seed=seed, deterministic_objective=not p.noisy),
        "told whether the problem is noisy, as its documentation advises",
        slow=True,
    ),
    "auto": Entry(
        _auto,
        lambda: f"{_optuna_version()}, {auto_sampler.version()}",
        slow=True,
        note="OptunaHub's: the GP for numbers, TPE once a gene is a choice or conditional",
        missing=auto_sampler.missing,
    ),
    "nsga2": _of_optuna(lambda p, seed: NSGAIISampler(seed=seed)),
    "qmc": _of_optuna(
        lambda p, seed: QMCSampler(seed=seed, scramble=True), "scrambled, so that seeds differ"
    ),
    "random": _of_optuna(lambda p, seed: RandomSampler(seed=seed)),
}


@cache
def registry() -> dict[str, Entry]:
    """Every sampler by name: our own, Optuna's and the peers."""
    return {**OWN, **ENTRIES}


def entry(name: str) -> Entry:
    """The sampler ``name``; ``genetic:population_size=20,scheme=generational`` is a variant.

    ``genetic:without=immigrants`` lacks one of the `pieces`.

    ``ours-tpe`` and its like are the samplers that ``cxrsearch optuna`` offers, with the settings
    of `search.samplers`; they take options too, as ``ours-tpe:n_startup_trials=5``.

    Raises:
        ValueError: there is no such sampler, or the options are malformed.
    """
    plain, colon, rest = name.partition(":")
    if plain.startswith(OPTUNA_SIDE):
        return _offered(plain.removeprefix(OPTUNA_SIDE), _options(name, rest) if colon else {})
    if not colon:
        if name not in registry():
            raise ValueError(f"unknown sampler {name!r}; there are {', '.join(registry())}")
        return registry()[name]
    if plain != "genetic":
        raise ValueError(f"only genetic and {OPTUNA_SIDE}NAME take options, got {name!r}")
    options = _options(name, rest)
    made = _own(options)
    GeneticSampler(seed=0, **{k: v for k, v in options.items() if k != "without"})
    return made


def _options(name: str, text: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key or not value:
            raise ValueError(f"options are key=value, key=value: got {part!r} in {name!r}")
        options[key] = _literal(value)
    return options


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
