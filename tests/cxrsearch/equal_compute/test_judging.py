"""Differences on one test part, paired over patients and seeds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cxrsearch.ablation.verdict import answer
from cxrsearch.equal_compute.judging import Judged, _seed_weights, judge_arms
from cxrsearch.learn.metrics import auroc

PATIENTS, COLUMNS = 120, (0, 1, 2)


def drawn(signal: float, seed: int, own: float = 1.0) -> np.ndarray:
    """Scores that follow the labels by ``signal``, with the same noise for the same ``seed``."""
    rng = np.random.default_rng(seed)
    labels, _ = truth()
    noise = rng.normal(size=(len(labels), 14))
    return (signal * labels + own * noise).astype(np.float32)


def truth() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(99)
    labels = (rng.random((2 * PATIENTS, 14)) < 0.3).astype(np.uint8)
    return labels, np.array([f"p{i // 2}" for i in range(2 * PATIENTS)])


def judged(**arms: dict[int, np.ndarray]) -> dict:
    labels, patients = truth()
    return judge_arms(labels, patients, arms, COLUMNS, "base", resamples=300, seed=1)


def test_better_worse_and_equal_arms_are_told_apart() -> None:
    found = judged(
        base={r: drawn(1.0, r) for r in range(3)},
        same={r: drawn(1.0, r) for r in range(3)},
        better={r: drawn(2.5, r) for r in range(3)},
        worse={r: drawn(0.0, r) for r in range(3)},
        other={r: drawn(1.0, 10 + r) for r in range(3)},
    )
    assert found["same"].difference == 0
    assert found["same"].simultaneous == (0.0, 0.0)
    assert found["better"].simultaneous[0] > 0
    assert found["worse"].simultaneous[1] < 0
    low, high = found["other"].simultaneous
    assert low < 0 < high


def test_the_interval_for_all_arms_is_the_wider_one() -> None:
    found = judged(
        base={r: drawn(1.0, r) for r in range(3)},
        **{f"a{k}": {r: drawn(1.0, 10 * k + r) for r in range(3)} for k in range(1, 7)},
    )
    for name, arm in found.items():
        if name != "base":
            own, joint = (b - a for a, b in (arm.own, arm.simultaneous))
            assert joint > own


def test_differences_are_paired() -> None:
    """Arms that err alike are told apart by far less than arms that don't."""
    alike = judged(base={0: drawn(1.0, 0)}, arm={0: drawn(1.1, 0)})["arm"].own
    apart = judged(base={0: drawn(1.0, 0)}, arm={0: drawn(1.1, 1)})["arm"].own
    assert alike[1] - alike[0] < 0.3 * (apart[1] - apart[0])


@pytest.mark.parametrize("repeats", [2, 3, 5])
def test_the_variance_over_few_seeds_is_not_too_small(repeats: int) -> None:
    values = np.random.default_rng(0).normal(size=repeats)
    weights = _seed_weights(repeats, 40_000, seed=3)
    means = weights @ values / weights.sum(axis=1)
    assert means.var() == pytest.approx(values.var(ddof=1) / repeats, rel=0.05)


def test_one_seed_leaves_the_patients_alone() -> None:
    assert (_seed_weights(1, 10, seed=0) == 1).all()


def test_an_arm_is_compared_over_the_repeats_that_it_shares() -> None:
    found = judged(
        base={0: drawn(1.0, 0), 1: drawn(1.0, 1)},
        half={1: drawn(1.0, 1)},
        none={5: drawn(1.0, 1)},
    )
    assert found["half"].repeats == (1,)
    assert found["half"].difference == 0
    assert "none" not in found


def test_an_arm_that_lacks_repeats_has_an_interval_as_wide_as_its_own_ask_for() -> None:
    """Of two repeats out of five as much is known as of two out of two."""
    base = {r: drawn(1.0, 0) for r in range(5)}
    some = {r: drawn(0.2 + 2 * r, 0) for r in (0, 1)}  # seeds differ far more than patients
    alone = judged(base={r: base[r] for r in some}, arm=some)["arm"]
    among = judged(base=base, arm=some, other={r: drawn(1.1, 0) for r in range(5)})["arm"]
    assert among.repeats == (0, 1)
    assert among.own == alone.own
    lost = judged(base={r: base[r] for r in some}, arm={r: some.get(r, base[r]) for r in range(5)})
    assert lost["arm"].own == alone.own


def test_marks_that_are_not_known_judge_nothing() -> None:
    labels, patients = truth()
    marks = labels[:, :1].astype(np.float32)
    marks[::3] = np.nan
    known = ~np.isnan(marks[:, 0])
    scores = drawn(1.0, 0)[:, :1]
    found = judge_arms(marks, patients, {"base": {0: scores}, "arm": {0: -scores}}, [0], "base", 50)
    expected = float(auroc(labels[known, :1], scores[known])[0])
    assert found["base"].mean == pytest.approx(expected)
    assert found["arm"].difference == pytest.approx(1 - 2 * expected)


def test_means_are_over_the_labels_and_each_is_told() -> None:
    found = judged(base={0: drawn(1.0, 0)}, arm={0: drawn(2.0, 0)})["arm"]
    assert set(found.labels or {}) == set(COLUMNS)
    each = [difference for _, difference, _ in (found.labels or {}).values()]
    assert np.mean(each) == pytest.approx(found.difference)
    assert found.own[0] <= found.difference <= found.own[1]


@pytest.mark.parametrize(
    ("repeats", "said"), [((0,), "unclear"), ((0, 1), "helped"), ((0, 1, 2), "helped")]
)
def test_one_seed_calls_no_arm_better(repeats: tuple[int, ...], said: str) -> None:
    found = Judged(0.7, (0.6, 0.8), (0.7,), repeats, 0.1, (0.05, 0.15), (0.02, 0.18))
    assert answer("crop", found) == said
    worse = replace(found, simultaneous=(-0.2, -0.1))
    assert answer("crop", worse) == ("hurt" if said == "helped" else said)
    assert answer("crop", found, patients=1) == answer("crop", worse, patients=9) == "unclear"
    assert answer("crop", replace(found, simultaneous=(-0.1, 0.1))) == "unclear"
    assert answer("baseline", found) == "baseline"
