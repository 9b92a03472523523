"""What reruns come to."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.confirm.reruns import Rerun
from search.confirm.result import Confirmed, Parts, confirmed


def table(rows: dict[int, list[float]]) -> list[Rerun]:
    """Reruns from the scores of each finalist by round."""
    return [Rerun(10 * n + r, n, r, v) for n, row in rows.items() for r, v in enumerate(row)]


def get(done: list[Rerun], finalists: list[int], parts: Parts | None = None) -> Confirmed:
    """The result, which must be there."""
    found = confirmed(finalists, done, parts)
    assert found is not None
    return found


def test_the_finalist_with_the_best_mean_wins() -> None:
    found = get(table({1: [0.70, 0.72, 0.71], 2: [0.75, 0.77, 0.76]}), [1, 2])
    assert (found.number, found.step, found.reruns) == (2, None, 3)
    assert found.value == pytest.approx(0.76)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.76 < found.high
    assert found.differences[1][0] == pytest.approx(0.05)


def test_rounds_that_only_one_has_run_do_not_favour_it() -> None:
    hard, easy = 0.6, 0.8
    done = table({1: [hard, hard + 0.001, easy, easy], 2: [hard + 0.02, hard + 0.021]})
    assert get(done, [1, 2]).number == 2


def test_one_lucky_rerun_is_drawn_to_the_mean_of_all() -> None:
    rows = {1: [0.70, 0.80, 0.74, 0.78], 2: [0.71], 3: [0.75, 0.72, 0.71, 0.73]}
    assert get(table(rows), [1, 2, 3]).number == 1


def test_the_value_is_scored_on_rounds_that_did_not_choose() -> None:
    done = table({1: [1.0, 0.0], 2: [0.0, 0.9]})
    found = get(done, [1, 2])
    assert found.number == 1
    assert found.value == pytest.approx(0.0)  # each round prefers the one that fails in the other


def reruns_of(curves: list[dict[int, float]]) -> list[Rerun]:
    """Reruns of finalist 4 with these curves, a round each."""
    return [Rerun(r, 4, r, max(c.values()), c) for r, c in enumerate(curves)]


def test_an_earlier_step_is_chosen_where_all_rounds_agree_on_it_and_cross_fitted() -> None:
    noise = [0.0, 0.001, -0.001, 0.0]
    curves = [{1: 0.5, 2: 0.8 + n, 3: 0.7 + 2 * n} for n in noise]
    found = get(reruns_of(curves), [4])
    assert found.step == 2
    assert found.value == pytest.approx(0.8)
    # The fourth round alone is against it: without it step 2 is chosen, with it the last.
    odd = get(reruns_of([*curves[:3], {1: 0.5, 2: 0.5, 3: 0.7}]), [4])
    assert odd.step == 3
    assert odd.value == pytest.approx(np.mean([0.7, 0.702, 0.698, 0.5]))


@pytest.mark.parametrize(
    "curves",
    [
        [{1: 0.5, 2: 0.8, 3: 0.7}],
        [{1: 0.5, 2: 0.72, 3: 0.7}, {1: 0.5, 2: 0.73, 3: 0.7}],
        [{1: 0.5, 2: 0.7, 3: 0.6}, {1: 0.5, 2: 0.6, 3: 0.8}, {1: 0.5, 2: 0.9, 3: 0.7}],
    ],
    ids=["one round", "two rounds", "rounds that differ"],
)
def test_the_lead_of_an_earlier_step_may_be_luck_and_then_it_is_the_last(
    curves: list[dict[int, float]],
) -> None:
    found = get(reruns_of(curves), [4])
    assert found.step == 3
    if len(curves) > 1:
        assert found.value == pytest.approx(np.mean([curve[3] for curve in curves]))


def test_a_finalist_with_one_rerun_does_not_win_by_its_luckiest_step() -> None:
    rng = np.random.default_rng(0)
    wins = 0
    for _ in range(100):
        done = []
        for n, count in ((1, 6), (2, 1)):
            for r in range(count):
                curve = {s: float(rng.normal(0.7, 0.02)) for s in range(20)}
                done.append(Rerun(10 * n + r, n, r, max(curve.values()), curve))
        wins += get(done, [1, 2]).number == 2
    assert wins < 60


def test_curves_count_only_where_all_have_them() -> None:
    done = [
        Rerun(1, 1, 0, 0.7, {1: 0.7}),
        Rerun(2, 1, 1, 0.7, {1: 0.7}),
        Rerun(3, 2, 0, 0.6),
        Rerun(4, 2, 1, 0.6),
    ]
    assert get(done, [1, 2]).step is None


def test_running_and_failed_reruns_do_not_count() -> None:
    done = [
        *table({1: [0.7, 0.71], 2: [0.9, math.nan]}),
        Rerun(90, 1, 2, None),
    ]
    found = get(done, [1, 2])
    assert (found.number, found.reruns) == (1, 2)
    assert 2 not in found.differences
    assert found.alike == ()
    assert confirmed([1], [Rerun(0, 1, 0, None)]) is None
    assert confirmed([1], [Rerun(0, 1, 0, math.nan)]) is None


def test_one_round_chooses_but_says_no_value() -> None:
    found = get(table({1: [0.7], 2: [0.8]}), [1, 2])
    assert found.number == 2
    assert (found.value, found.low, found.high) == (None, None, None)


def test_those_that_cannot_be_told_apart_are_alike() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.01, (3, 8))
    done = table({1: list(0.80 + noise[0]), 2: list(0.80 + noise[1]), 3: list(0.6 + noise[2])})
    found = get(done, [1, 2, 3])
    other = 3 - found.number
    assert found.alike == (other,)
    assert found.differences[3][1] > 0


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 1"):
        confirmed([1], table({1: [0.5]}), val_share=1.0)


def patients(ids: list[int], size: float) -> tuple[np.ndarray, np.ndarray]:
    """Parts of one rerun: each patient adds ``size``, half of them upwards."""
    return np.array(ids), np.where(np.arange(len(ids)) % 2, size, -size)


def test_patients_judged_in_several_rounds_count_as_one() -> None:
    done = table({1: [0.70, 0.70, 0.70, 0.70]})
    same = get(done, [1], lambda rerun, step: patients(list(range(50)), 0.01))
    others = [list(range(50 * r, 50 * r + 50)) for r in range(4)]
    apart = get(done, [1], lambda rerun, step: patients(others[rerun.round], 0.01))
    assert same.low is not None
    assert apart.low is not None
    width = 0.70 - same.low
    assert width == pytest.approx(2.01 * 0.01 * math.sqrt(50), rel=0.01)  # of one round
    assert 0.70 - apart.low == pytest.approx(width / 2, rel=0.02)


def test_rounds_that_train_on_the_same_patients_do_not_narrow_the_interval_for_ever() -> None:
    rng = np.random.default_rng(2)
    wide = table({1: list(0.7 + rng.normal(0, 0.01, 60))})
    found = get(wide, [1])
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(
        2.0 * 0.01 * math.sqrt(1 / 60 + 0.25), rel=0.2
    )


def test_the_patients_of_the_round_left_out_have_no_say_in_its_choice() -> None:
    done = [
        Rerun(10, 1, 0, 0.5), Rerun(11, 1, 1, 0.9), Rerun(12, 2, 0, 0.6), Rerun(13, 2, 1, 0.6)
    ]  # fmt: skip
    # In round 1 the first owes its lead to patient 7, who judges in round 0 too.
    said = {10: [0.0, 0.0], 11: [0.5, 0.0], 12: [0.0, 0.0], 13: [0.0, 0.0]}

    def parts(rerun: Rerun, step: int | None) -> tuple[np.ndarray, np.ndarray]:
        return np.array([7, 8 + rerun.round]), np.array(said[rerun.number])

    plain, found = get(done, [1, 2]), get(done, [1, 2], parts)
    assert (plain.number, found.number) == (1, 1)
    assert (plain.value, found.value) == (pytest.approx(0.55), pytest.approx(0.6))
