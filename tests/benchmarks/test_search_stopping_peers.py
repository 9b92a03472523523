"""Methods that stop early themselves: what they are charged, what they choose, and each of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from benchmarks.search import stopping, stopping_peers
from benchmarks.search.peers.entries import LEGS, leg_peer
from benchmarks.search.peers.pipe import PipedPeer
from benchmarks.search.problem import Problem
from benchmarks.search.problems import EPOCHS, LCBENCH, Curve
from benchmarks.search.stopping import Cell
from benchmarks.search.stopping_peers import Ended
from search.seeds import derive
from search.space.unit import from_unit

CELL = Cell("t", "random", "promote", 0.0, 1, 24)


def rising(task: str, params: Any) -> Curve:
    """A curve whose height is that of ``max_dropout`` at every epoch."""
    epochs = np.arange(1, EPOCHS + 1)
    values = (1 - 0.5 / epochs) * (0.5 + params["max_dropout"] / 2)
    return Curve(2.0 * epochs, values, values - 0.01)


@pytest.fixture(autouse=True)
def curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "lcbench_curve", rising)
    stopping.spread.cache_clear()


def recipe(dropout: float) -> dict[str, Any]:
    params = {name: from_unit(dist, 0.5) for name, dist in LCBENCH.items()}
    return {**params, "max_dropout": dropout}


class Given:
    """Asks for what it is given, (dropout, epochs) each, and again from the start."""

    def __init__(self, legs: list[tuple[float, int]]) -> None:
        self.legs, self.asked = legs, 0
        self.told: list[float] = []

    def leg(self) -> tuple[int, dict[str, Any], int]:
        dropout, epochs = self.legs[self.asked % len(self.legs)]
        self.asked += 1
        return self.asked, recipe(dropout), epochs

    def tell(self, handle: int, score: float) -> None:
        assert handle == self.asked
        self.told.append(score)


def test_a_configuration_goes_on_from_where_it_stood() -> None:
    peer = Given([(0.2, 3), (0.8, 3), (0.8, 10), (0.8, 10), (0.8, 52), (0.4, 52)])
    found = stopping_peers.searched(peer, CELL, 3 + 3 + 7 + 0 + 42 + 51)
    # The last leg costs 52, of which 51 are left.
    assert found.spent == 55
    assert (found.started, found.complete) == (2, 1)
    value = rising("", recipe(0.8)).validation
    assert peer.told == pytest.approx(
        [rising("", recipe(0.2)).validation[2], value[2], value[9], value[9], value[51]]
    )
    assert (found.final, found.test) == pytest.approx((value[51], value[51] - 0.01))


def test_one_epoch_more_pays_for_the_last_leg_and_only_whole_trainings_are_chosen() -> None:
    legs = [(0.9, 20), (0.4, 52), (0.6, 52), (0.5, 52)]
    found = stopping_peers.searched(Given(legs), CELL, 20 + 3 * 52)
    assert (found.spent, found.complete) == (20 + 3 * 52, 3)
    assert found.final == pytest.approx(rising("", recipe(0.6)).validation[51])


def test_without_a_whole_training_the_furthest_is_chosen_at_its_epoch() -> None:
    found = stopping_peers.searched(Given([(0.9, 2), (0.3, 6), (0.4, 6), (0.1, 52)]), CELL, 20)
    assert (found.spent, found.complete) == (14, 0)
    assert found.final == pytest.approx(rising("", recipe(0.4)).validation[5])


def test_what_costs_nothing_is_not_asked_for_for_ever() -> None:
    peer = Given([(0.5, 3)])
    assert stopping_peers.searched(peer, CELL, 40).spent == 3
    assert peer.asked == 40


@pytest.mark.parametrize("epochs", [0, EPOCHS + 1])
def test_an_epoch_that_there_is_not_is_an_error(epochs: int) -> None:
    with pytest.raises(ValueError, match=f"epoch {epochs} was asked for, of 1 to {EPOCHS}"):
        stopping_peers.searched(Given([(0.5, epochs)]), CELL, 500)


def test_a_budget_for_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="5 epochs are too few"):
        stopping_peers.searched(Given([(0.5, 6)]), CELL, 5)


def test_noise_is_that_of_our_search_and_what_is_chosen_is_told_without() -> None:
    noisy = Cell("t", "random", "promote", 3.0, 1, 24)
    peer = Given([(0.5, 52), (0.51, 52)])
    found = stopping_peers.searched(peer, noisy, 104)
    values = [rising("", recipe(dropout)).validation for dropout in (0.5, 0.51)]
    noise = np.random.default_rng(derive(1, "noise", 0)).normal(size=EPOCHS)
    shift = 3 * stopping.spread("t") * noise
    assert peer.told[0] == pytest.approx(values[0][51] + shift[51])
    assert found.final == pytest.approx(values[int(np.argmax(peer.told))][51])


def test_each_peer_has_as_many_epochs_as_our_search_took(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Full(Given):
        def close(self) -> None:
            asked.append(self.asked)

    def make(name: str, this: Any, seed: int, trials: int, epochs: int) -> Full:
        assert (name, seed, epochs) == ("dehb-brackets", 1, EPOCHS)
        return Full([(k / 100, 52) for k in range(100)])

    monkeypatch.setattr(stopping_peers, "leg_peer", make)
    monkeypatch.setattr(stopping_peers, "problem", lambda name: None)
    found = stopping_peers.versus(CELL, ["dehb-brackets"])
    ours, theirs = found["random"], found["dehb-brackets"]
    assert ours.started == 24
    assert ours.complete < 24
    assert theirs.spent == ours.spent // 52 * 52
    assert asked == [theirs.complete + 1]


def test_rows_are_means_over_tasks_beside_our_own_search() -> None:
    ours, peer = Ended(100, 0.8, 0.7, 24, 9), Ended(90, 0.79, 0.72, 30, 4)
    cells = [Cell(task, "genetic", "promote", 0.0, seed, 24) for task in "ab" for seed in (0, 1)]
    rows = stopping_peers.summary(cells, [{"genetic": ours, "x": peer}] * 4)
    own, theirs = rows
    assert own["final, points"]["mean"] == 0
    assert own["started"]["mean"] == 24
    assert theirs["method"] == "x"
    assert theirs["runs"] == 4
    assert theirs["final, points"]["mean"] == pytest.approx(-1)
    assert theirs["test, points"]["high"] == pytest.approx(2)
    assert theirs["epochs"]["mean"] == pytest.approx(0.9)
    assert theirs["within 0.2"]["mean"] == 0


def test_without_any_peer_nothing_is_searched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.search.peers.pipe.missing", lambda environment: "run make it")
    assert stopping_peers.main(["--fast"]) == 1
    error = capsys.readouterr().err
    assert all(f"{name}: not run, run make it" in error for name in LEGS)


@contextmanager
def running(name: str, seed: int) -> Iterator[PipedPeer]:
    if reason := LEGS[name].missing():
        pytest.skip(reason)
    this = Problem("lcbench-t", LCBENCH, lambda params, rng: (0.0, 0.0), 1.0, 0.0)
    peer = leg_peer(name, this, seed, 10, EPOCHS)
    try:
        yield peer
    finally:
        peer.close()


def asked(name: str, seed: int, count: int, sign: float = 1.0) -> list[tuple[tuple[Any, ...], int]]:
    found = []
    with running(name, seed) as peer:
        for _ in range(count):
            handle, params, epochs = peer.leg()
            for gene, value in params.items():
                assert LCBENCH[gene]._contains(LCBENCH[gene].to_internal_repr(value)), (gene, value)
            assert 1 <= epochs <= EPOCHS
            found.append((tuple(params[gene] for gene in LCBENCH), epochs))
            peer.tell(handle, sign * float(rising("", params).validation[epochs - 1]))
    return found


peers = pytest.mark.parametrize("name", sorted(LEGS))


@peers
def test_a_peer_trains_the_better_ones_of_a_rung_further(name: str) -> None:
    # Their first bracket of four rungs, and the start of the next.
    legs = asked(name, 1, 50)
    dropout = list(LCBENCH).index("max_dropout")
    first = [key for key, epochs in legs[:27]]
    assert len(set(first)) == 27
    assert len({epochs for _, epochs in legs[:27]}) == 1
    onward = [key for key, epochs in legs[27:36]]
    assert set(onward) == set(sorted(first, key=lambda key: -key[dropout])[:9])
    assert legs[39][1] == EPOCHS
    assert legs[39][0] == max(first, key=lambda key: key[dropout])


@peers
def test_a_seed_fixes_what_a_peer_that_stops_asks_for(name: str) -> None:
    one = asked(name, 3, 60)
    assert one == asked(name, 3, 60)
    assert one != asked(name, 4, 60)
    assert LEGS[name].version().split()[1][0].isdigit()
