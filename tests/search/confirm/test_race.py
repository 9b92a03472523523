"""Which rerun comes next."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.confirm.race import finalist_count, next_rerun, surely_worse
from search.confirm.reruns import Rerun

Score = Callable[[int, int], float]


def race(finalists: list[int], total: int, score: Score, workers: int = 1) -> list[Rerun]:
    """The reruns of a race in which ``workers`` of them run at a time."""
    done: list[Rerun] = []
    running: list[int] = []
    while True:
        pair = next_rerun(finalists, done, total)
        if pair is not None and len(running) < workers:
            running.append(len(done))
            done.append(Rerun(100 + len(done), *pair, None))
        elif running:
            k = running.pop(0)
            done[k] = done[k]._replace(value=score(done[k].finalist, done[k].round))
        else:
            return done


def counts(done: list[Rerun]) -> dict[int, int]:
    """Reruns of each finalist."""
    return {n: sum(r.finalist == n for r in done) for n in {r.finalist for r in done}}


def test_all_finalists_run_two_rounds_and_then_the_strongest_go_on() -> None:
    rng = np.random.default_rng(0)
    worth = {7: 0.0, 3: 0.8, 5: 1.0, 1: -5.0}
    done = race(list(worth), 24, lambda n, r: worth[n] + r + 0.3 * rng.normal())
    assert [(r.finalist, r.round) for r in done[:4]] == [(7, 0), (3, 0), (5, 0), (1, 0)]
    assert {(r.finalist, r.round) for r in done[4:8]} == {(n, 1) for n in worth}
    assert len(done) == 24
    found = counts(done)
    assert min(found[5], found[3]) > max(found[7], found[1])
    assert found[1] == 2


@pytest.mark.parametrize("workers", [1, 3, 8, 40])
def test_no_pair_is_run_twice_and_the_budget_is_spent(workers: int) -> None:
    rng = np.random.default_rng(1)
    done = race([1, 2, 3, 4], 20, lambda n, r: float(rng.normal()), workers)
    assert len({(r.finalist, r.round) for r in done}) == len(done) == 20


def test_rounds_are_run_in_order_so_that_finalists_share_them() -> None:
    rng = np.random.default_rng(2)
    done = race([1, 2, 3], 15, lambda n, r: float(rng.normal()))
    for number, count in counts(done).items():
        assert sorted(r.round for r in done if r.finalist == number) == list(range(count))


def test_a_rerun_that_the_machine_ended_comes_again() -> None:
    done = race([1, 2], 6, lambda n, r: float(n))
    lost = [rerun for rerun in done if (rerun.finalist, rerun.round) != (1, 0)]
    assert next_rerun([1, 2], lost, 6) == (1, 0)


def test_a_finalist_that_failed_is_out_and_its_reruns_go_to_others() -> None:
    done = race([1, 2, 3], 12, lambda n, r: math.nan if n == 2 else float(n) + r)
    assert counts(done)[2] == 1
    assert len(done) == 12


def test_no_rerun_where_every_finalist_failed() -> None:
    assert len(race([1, 2], 12, lambda n, r: math.nan)) == 2


def test_a_race_of_one_spends_its_budget_on_it() -> None:
    assert [(r.finalist, r.round) for r in race([4], 3, lambda n, r: 0.5)] == [
        (4, 0),
        (4, 1),
        (4, 2),
    ]


def test_the_most_promising_run_where_there_are_fewer_reruns_than_finalists() -> None:
    assert [r.finalist for r in race([5, 9, 2, 4], 3, lambda n, r: 0.0)] == [5, 9, 2]


def test_the_second_round_begins_with_the_best_so_far() -> None:
    done = race([1, 2, 3], 5, lambda n, r: {1: 0.1, 2: 0.5, 3: 0.9}[n])
    assert [r.finalist for r in done] == [1, 2, 3, 3, 2]


def test_scores_without_noise_are_no_error() -> None:
    done = race([1, 2, 3], 30, lambda n, r: 0.5)
    assert len(done) == 30


def test_one_round_drops_nobody_unless_the_patients_do() -> None:
    done = [Rerun(10, 1, 0, 0.9), Rerun(11, 2, 0, 0.1)]
    assert surely_worse([1, 2], done) == set()
    assert surely_worse([1, 2], done, lambda a, b: 0.01) == {2}
    assert surely_worse([1, 2], done, lambda a, b: 0.3) == set()
    assert surely_worse([1, 2], done, lambda a, b: None) == set()


def test_who_is_out_after_the_first_round_is_not_run_again() -> None:
    worth = {1: 0.9, 2: 0.1, 3: 0.89}
    done = [Rerun(10 + n, n, 0, value) for n, value in worth.items()]
    assert next_rerun([1, 2, 3], done, 20, lambda a, b: 0.01) == (1, 1)
    more = [*done, Rerun(21, 1, 1, 0.9), Rerun(22, 3, 1, 0.89)]
    assert next_rerun([1, 2, 3], more, 20, lambda a, b: 0.01) == (1, 2)


def test_the_truly_best_is_dropped_less_often_than_the_level_says() -> None:
    rng = np.random.default_rng(3)
    dropped = 0
    for _ in range(60):
        seeds = rng.normal(size=(5, 30))
        patients = rng.normal(size=(5, 30))
        worth = [0.2, 0.0, 0.0, 0.0, -1.0]
        done: list[Rerun] = []
        while pair := next_rerun(range(5), done, 20, lambda a, b: math.sqrt(2)):
            n, r = pair
            done.append(Rerun(len(done), n, r, worth[n] + seeds[n, r] + patients[n, r]))
            if 0 in surely_worse(range(5), done, lambda a, b: math.sqrt(2)):
                dropped += 1
                break
    assert dropped <= 2  # 1% of 60 is 0.6; more than 2 has a chance of 2%


@given(st.integers(0, 400))
def test_the_number_of_finalists_leaves_reruns_for_each(reruns: int) -> None:
    count = finalist_count(reruns)
    assert 1 <= count <= max(reruns, 1)
    assert count <= finalist_count(reruns + 1)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 4), st.none() | st.floats(-1e6, 1e6)),
        unique_by=lambda t: t[:2],
    ),
    st.integers(0, 30),
)
def test_whatever_ran_the_next_is_new_or_there_is_none(
    ran: list[tuple[int, int, float | None]], total: int
) -> None:
    done = [Rerun(k, n, r, value) for k, (n, r, value) in enumerate(ran)]
    pair = next_rerun([0, 1, 2, 3], done, total)
    if len(done) >= total:
        assert pair is None
    else:
        assert pair is not None
        assert pair not in {(n, r) for n, r, _ in ran}
