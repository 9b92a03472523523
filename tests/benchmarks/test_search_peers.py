"""Every peer that can be imported here keeps the interface; the others are skipped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler

from benchmarks.search import contenders
from benchmarks.search.contender import Contender
from benchmarks.search.peers import auto_sampler, entries
from benchmarks.search.peers.describe import task
from benchmarks.search.peers.entries import ENTRIES
from benchmarks.search.peers.genes import Gene, Task
from benchmarks.search.problem import Problem
from search.space.unit import to_unit

DISTRIBUTIONS = {
    "model": CategoricalDistribution(["a", "b"]),
    "x": FloatDistribution(-1.0, 2.0),
    "rate": FloatDistribution(1e-5, 1.0, log=True),
    "layers": IntDistribution(2, 10, step=2),
    "units": IntDistribution(8, 512, log=True),
    "a_drop": FloatDistribution(0.0, 0.5),
    "b_kind": CategoricalDistribution(["p", "q", "r"]),
}


def bowl(params: dict[str, Any], rng: np.random.Generator) -> tuple[float, float]:
    """Best where every number is at 0.7 of its range and the model is ``a``."""
    numbers = [name for name in ("x", "rate", "layers", "units") if name in params]
    value = -sum((to_unit(DISTRIBUTIONS[name], params[name]) - 0.7) ** 2 for name in numbers)
    value -= 0.3 * (params["model"] == "b")
    return value, value


PROBLEM = Problem(
    "bowl",
    DISTRIBUTIONS,
    bowl,
    0.0,
    -0.5,
    conditions={"a_drop": ("model", ("a",)), "b_kind": ("model", ("b",))},
)


CONFORMING = {**ENTRIES, "auto": contenders.OWN["auto"]}
"""The peers of other libraries, and the sampler of Optuna's that is not part of it."""


@contextmanager
def running(name: str, seed: int, trials: int) -> Iterator[Contender]:
    entry = CONFORMING[name]
    if entry.missing():
        pytest.skip(entry.missing())
    contender = entry.make(PROBLEM, seed, trials)
    try:
        yield contender
    finally:
        contender.close()


def asked(name: str, seed: int, trials: int, sign: float = 1.0) -> list[dict[str, Any]]:
    found = []
    with running(name, seed, trials) as contender:
        for _ in range(trials):
            key, params = contender.ask()
            found.append(PROBLEM.active(params))
            contender.tell(key, params, sign * bowl(found[-1], np.random.default_rng())[0])
    return found


peers = pytest.mark.parametrize("name", sorted(CONFORMING))


@peers
def test_a_peer_moves_to_higher_scores_inside_the_space(name: str) -> None:
    # Enough for the slow ones, and for two generations of 20.
    trials = 20 if CONFORMING[name].slow else 70
    up, down = asked(name, 1, trials), asked(name, 1, trials, sign=-1.0)
    for params in up + down:
        assert ("a_drop" in params) == (params["model"] == "a")
        for gene, value in params.items():
            dist = DISTRIBUTIONS[gene]
            assert dist._contains(dist.to_internal_repr(value)), (gene, value)
            assert not isinstance(dist, IntDistribution) or isinstance(value, int)

    def late(found: list[dict[str, Any]]) -> float:
        half = found[trials // 2 :]
        return float(np.mean([bowl(p, np.random.default_rng())[0] for p in half]))

    assert late(up) > late(down) + 0.05


@peers
def test_a_seed_fixes_what_a_peer_asks_for(name: str) -> None:
    # HEBO's first eight, one more than there are genes, are a Sobol sequence.
    trials = 10 if CONFORMING[name].slow else 50
    first = asked(name, 3, trials)
    assert first == asked(name, 3, trials)
    assert first != asked(name, 4, trials)


@peers
def test_a_peer_names_its_version(name: str) -> None:
    if CONFORMING[name].missing():
        pytest.skip(CONFORMING[name].missing())
    assert CONFORMING[name].version().split()[1][0].isdigit()


def test_each_peer_is_described() -> None:
    text = (Path(entries.__file__).parent / "README.md").read_text(encoding="utf-8")
    assert [name for name in {**CONFORMING, **entries.LEGS} if f"| `{name}` |" not in text] == []


def test_a_task_survives_json() -> None:
    made = task(PROBLEM, 2**40 + 5, 9)
    assert made.seed == 5
    assert Task.from_json(made.to_json()) == made


@pytest.mark.parametrize("name", sorted(DISTRIBUTIONS))
def test_a_gene_decodes_to_values_of_its_distribution(name: str) -> None:
    dist = DISTRIBUTIONS[name]
    gene = next(gene for gene in task(PROBLEM, 0, 1).genes if gene.name == name)
    found = [gene.decode(u) for u in np.linspace(0, 1, 101)]
    assert all(dist._contains(dist.to_internal_repr(value)) for value in found)
    if isinstance(dist, FloatDistribution):
        assert (found[0], found[-1]) == pytest.approx((dist.low, dist.high))
    assert [to_unit(dist, v) for v in found] == sorted(to_unit(dist, v) for v in found)


def test_values_outside_are_moved_to_the_nearest_level() -> None:
    gene = Gene("layers", "int", 2, 10, step=2)
    assert [gene.fit(value) for value in (-3, 3.2, 5.1, 99.0)] == [2, 4, 6, 10]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry whose AutoSampler is a random one, as OptunaHub's client loads it."""
    module = ModuleType("optunahub")
    monkeypatch.setattr(auto_sampler, "CACHE", tmp_path / "cache")

    def load(package: str, registry_root: str) -> SimpleNamespace:
        found: dict[str, Any] = {}
        exec((Path(registry_root) / package / "__init__.py").read_text(), found)
        return SimpleNamespace(**found)

    module.load_local_module = load  # type: ignore[attr-defined]
    module.__spec__ = ModuleSpec("optunahub", None)
    monkeypatch.setitem(sys.modules, "optunahub", module)
    folder = tmp_path / "registry" / "package" / auto_sampler.PACKAGE
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from optuna.samplers import RandomSampler as AutoSampler")
    monkeypatch.setenv(auto_sampler.REGISTRY, str(tmp_path / "registry"))
    return tmp_path / "registry"


def test_the_auto_sampler_comes_from_the_registry_that_is_named(registry: Path) -> None:
    entry = contenders.OWN["auto"]
    assert entry.missing() == ""
    before = entry.version()
    with running("auto", 0, 1) as contender:
        assert isinstance(contender, contenders.OptunaContender)
        assert isinstance(contender.sampler, RandomSampler)
    (registry / "package" / auto_sampler.PACKAGE / "__init__.py").write_text("AutoSampler = None")
    assert entry.version() != before


def test_a_registry_that_is_not_there_is_named_with_the_way_out(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = str(registry.parent / "nowhere")
    monkeypatch.setenv(auto_sampler.REGISTRY, elsewhere)
    found = contenders.OWN["auto"].missing()
    assert elsewhere in found
    assert "let it name a checkout" in found
    monkeypatch.delenv(auto_sampler.REGISTRY)
    found = contenders.OWN["auto"].missing()
    assert "make bench-peer-auto" in found
    assert auto_sampler.REGISTRY in found
    # What was downloaded counts too.
    cached = registry.parent / "cache/github.com/optuna/optunahub-registry" / auto_sampler.REF
    cached.parent.mkdir(parents=True)
    registry.rename(cached)
    assert contenders.OWN["auto"].missing() == ""
