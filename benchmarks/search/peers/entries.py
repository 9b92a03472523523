"""The peers by name, over the interface of `benchmarks.search.contender`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from importlib.metadata import distributions, version
from importlib.util import find_spec
from typing import Any

from benchmarks.search.contender import Contender, Entry
from benchmarks.search.problem import Problem

from . import describe, pipe
from .genes import Params, Peer


class PeerContender:
    """A peer over the harness's interface."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def ask(self) -> tuple[Any, Params]:
        """What the peer proposes; genes that are switched off may be in it."""
        return self._peer.ask()

    def tell(self, key: Any, params: Params, observed: float) -> None:
        """The peer is told by the key alone."""
        self._peer.tell(key, observed)

    def close(self) -> None:
        """Ends the child process, where there is one."""
        if isinstance(self._peer, pipe.PipedPeer):
            self._peer.close()


def _here(module: str, kind: str, library: str, note: str) -> Entry:
    """A peer whose library lives beside the project."""

    def make(problem: Problem, seed: int, n_trials: int) -> Contender:
        peers = importlib.import_module(f"{__package__}.{module}")
        return PeerContender(getattr(peers, kind)(describe.task(problem, seed, n_trials)))

    def missing() -> str:
        return "" if find_spec(library) else f"{library} is not installed: run make bench-peers"

    return Entry(make, lambda: f"{library} {version(library)}", note=note, missing=missing)


def _apart(name: str, environment: str, library: str, note: str, slow: bool = False) -> Entry:
    """A peer whose library lives in an environment of its own."""

    def make(problem: Problem, seed: int, n_trials: int) -> Contender:
        task = describe.task(problem, seed, n_trials)
        return PeerContender(pipe.PipedPeer(environment, name, task))

    return Entry(
        make,
        lambda: f"{library} {_version(environment, library)}",
        slow=slow,
        note=note,
        missing=lambda: pipe.missing(environment),
    )


def _version(environment: str, library: str) -> str:
    folders = (pipe.ENVIRONMENTS / environment).glob("lib/python*/site-packages")
    found = distributions(name=library, path=[str(folder) for folder in folders])
    return next((each.version for each in found), "not installed")


ENTRIES: dict[str, Entry] = {
    "deap": _here("deap_peer", "MuPlusLambda", "deap", "eaMuPlusLambda, population 20, unit cube"),
    "pymoo-ga": _here("pymoo_peer", "PymooGA", "pymoo", "MixedVariableGA, population 10"),
    "pymoo-de": _here(
        "pymoo_peer",
        "PymooDE",
        "pymoo",
        "the documentation's settings but population 20: 100 would be one random sample",
    ),
    "nevergrad-ngopt": _here("nevergrad_peer", "NGOpt", "nevergrad", "models as nested choices"),
    "nevergrad-de": _here(
        "nevergrad_peer", "TwoPointsDE", "nevergrad", "TwoPointsDE, models as nested choices"
    ),
    "nevergrad-oneplusone": _here(
        "nevergrad_peer", "OnePlusOne", "nevergrad", "models as nested choices"
    ),
    "smac": _apart(
        "smac",
        "smac",
        "smac",
        "every configuration runs once, as in its ask-and-tell example; told of noise",
        slow=True,
    ),
    "dehb": _apart("dehb", "dehb", "DEHB", "its DE: with one fidelity there is no Hyperband"),
    "ax": _apart("ax", "ax", "ax-platform", "the generation strategy that it chooses", slow=True),
    "syne-rea": _apart(
        "syne-rea",
        "syne-tune",
        "syne-tune",
        "population 20, samples of 5: the default 100 would be one random sample",
    ),
    "syne-bo": _apart("syne-bo", "syne-tune", "syne-tune", "the baseline BOTorch", slow=True),
    "hebo": _apart("hebo", "hebo", "HEBO", "defaults", slow=True),
}
"""The peers by name."""


@dataclass(frozen=True)
class LegEntry:
    """A peer that says how long each configuration is trained, in an environment of its own.

    Args:
        environment: as ``make bench-peer-<environment>`` makes it.
        library: whose version counts.
        note: how it is set up; one sentence.
    """

    environment: str
    library: str
    note: str

    def version(self) -> str:
        """Of the library."""
        return f"{self.library} {_version(self.environment, self.library)}"

    def missing(self) -> str:
        """Why it cannot be run here, with the way out, or an empty text."""
        return pipe.missing(self.environment)


LEGS: dict[str, LegEntry] = {
    "dehb-brackets": LegEntry("dehb", "DEHB", "whole, from 1 epoch, eta 3"),
}
"""The peers that stop early themselves, by name."""


def leg_peer(name: str, problem: Problem, seed: int, trials: int, epochs: int) -> pipe.PipedPeer:
    """The peer ``name`` of `LEGS`, told of a problem whose whole trainings have ``epochs``."""
    task = replace(describe.task(problem, seed, trials), epochs=epochs)
    return pipe.PipedPeer(LEGS[name].environment, name, task)
