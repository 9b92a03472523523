"""The best of many models, corrected for luck: a pure function of scores, labels and patients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from search.optimism import Corrected, corrected, influence


def _drawn(seed=0, models=6, n=60, k=3, patients=40, good=1.0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, k)) < 0.3).astype(float)
    labels[:2] = [[1.0] * k, [0.0] * k]
    shared = good * labels + rng.standard_normal((n, k))
    scores = shared + 0.5 * rng.standard_normal((models, n, k))
    return scores, labels, rng.integers(patients, size=n)


def _close(one: Corrected, other: Corrected, **how):
    for name in ("naive", "corrected", "low", "high"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-5, **how)


def test_naive_is_the_best_mean_auroc_and_chosen_its_model():
    scores, labels, patients = _drawn()
    means = [
        np.mean([roc_auc_score(labels[:, j], model[:, j]) for j in range(3)]) for model in scores
    ]
    found = corrected(scores, labels, patients)
    assert found.naive == pytest.approx(max(means))
    assert found.chosen == int(np.argmax(means))
    assert found.low < found.corrected < found.naive
    assert found.corrected < found.high


def test_one_model_has_nothing_to_correct():
    scores, labels, patients = _drawn(models=1)
    found = corrected(scores, labels, patients)
    assert found.corrected == pytest.approx(found.naive, abs=1e-9)
    assert found.low < found.naive < found.high


def test_models_that_know_nothing_come_back_to_chance():
    def one(seed):
        rng = np.random.default_rng(seed)
        labels = np.tile([[0.0], [1.0]], (40, 1))
        return corrected(rng.standard_normal((50, 80, 1)), labels, np.arange(80), 400)

    found = [one(seed) for seed in range(20)]
    assert np.mean([each.naive for each in found]) > 0.6
    assert np.mean([each.corrected for each in found]) == pytest.approx(0.5, abs=0.02)


def test_a_label_without_both_classes_and_marks_not_known_take_no_part():
    scores, labels, patients = _drawn()
    labels[:, 1] = 0.0
    known = corrected(scores[:, :, [0, 2]], labels[:, [0, 2]], patients)
    _close(corrected(scores, labels, patients), known)
    labels[10:, 1], labels[:10, 1] = np.nan, 1.0
    _close(corrected(scores, labels, patients), known)
    labels[5, 0] = np.nan
    scores[:, 5, 0] = 1000.0
    first = corrected(scores[:, :, :1], labels[:, :1], patients)
    rest = np.arange(60) != 5
    assert first.naive == corrected(scores[:, rest, :1], labels[rest, :1], patients[rest]).naive


def test_ties_count_half():
    labels = np.array([[1.0], [1.0], [0.0], [0.0]])
    scores = np.array([[1.0], [0.0], [0.0], [0.0]])
    assert influence(labels, scores, np.arange(4)).value == 0.75
    assert corrected(np.zeros((3, 4, 1)), labels, np.arange(4)).naive == 0.5


def test_a_label_of_one_positive_widens_the_interval():
    def widths(seed):
        scores, labels, patients = _drawn(seed, models=4, n=200, patients=200)
        common = corrected(scores, labels, patients)
        labels[1:, 0] = 0.0
        rare = corrected(scores, labels, patients)
        return rare.high - rare.low, common.high - common.low

    rare, common = np.mean([widths(seed) for seed in range(10)], axis=0)
    assert rare > 1.3 * common


@pytest.mark.parametrize(
    ("scores", "labels", "patients"),
    [
        ([[[0.7], [0.2]]], [[1], [0]], [0, 0]),  # one patient
        ([[[0.7], [0.2]]], [[1], [0]], ["b", "a"]),  # a perfect model of two
        ([[[0.2], [0.7]], [[0.7], [0.2]]], [[1], [0]], [0, 1]),
        (np.zeros((2, 3, 1)), [[1], [0], [np.nan]], [0, 1, 2]),
    ],
)
def test_the_smallest_samples_have_a_result(scores, labels, patients):
    found = corrected(scores, labels, patients, draws=50)
    assert 0 <= found.low <= found.corrected <= found.high <= 1
    assert found.corrected <= found.naive


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scores": np.zeros((2, 3))}, r"scores must be \(models, 4, 1\), got \(2, 3\)"),
        ({"scores": np.zeros((2, 3, 1))}, r"got \(2, 3, 1\)"),
        ({"scores": np.zeros((0, 4, 1))}, "no models"),
        ({"scores": np.full((2, 4, 1), np.nan)}, "scores must be finite, got nan of model 0"),
        ({"scores": np.full((2, 4, 1), "a")}, "scores must be numbers"),
        ({"labels": [[0], [1], [2], [0]]}, r"got 2 in row 2, column 0"),
        ({"labels": [[0], [1], [0.5], [0]]}, r"got 0.5 in row 2, column 0"),
        ({"labels": [0, 1, 0, 1]}, r"labels must be \(n, k\), got \(4,\)"),
        ({"labels": [["a"]] * 4}, "labels must be numbers"),
        ({"labels": [[1]] * 4}, "none of 1 labels has both"),
        ({"patients": [0, 1]}, r"patients must have shape \(4,\)"),
        ({"patients": np.array(["a", None, "b", None], object)}, r"None in row 1 \(2 such rows\)"),
        ({"patients": [0.0, 1.0, np.nan, 2.0]}, r"nan in row 2 \(1 such"),
        ({"patients": np.array(["a", 1, 2, "b"], object)}, "one type, got int and str"),
        ({"scores": np.zeros((2, 0, 1)), "labels": np.zeros((0, 1)), "patients": []}, "no pat"),
        ({"draws": 0}, "draws must be 1 or more, got 0"),
    ],
)
def test_what_cannot_be_used_is_named(change, said):
    given_ = {
        "scores": np.zeros((2, 4, 1)),
        "labels": [[0], [1], [0], [1]],
        "patients": [0, 1, 2, 3],
        **change,
    }
    with pytest.raises(ValueError, match=said):
        corrected(**given_)


def test_a_strange_column_is_named():
    with pytest.raises(ValueError, match=r"columns must be from 0 to 0, got \[1\]"):
        influence([[0], [1]], [[0.1], [0.2]], [0, 1], [1])


def test_influence_is_over_the_columns_asked_for():
    scores, labels, patients = _drawn(models=1)
    some = influence(labels, scores[0], patients, [2, 0])
    same = influence(labels[:, [2, 0]], scores[0][:, [2, 0]], patients)
    assert some.value == same.value
    np.testing.assert_allclose(some.psi, same.psi)
    assert some.ids.tolist() == sorted(set(patients.tolist()))


def test_squares_of_influence_add_up_to_the_variance():
    def one(seed):
        scores, labels, patients = _drawn(seed, models=2, n=150, patients=60)
        first, second = (influence(labels, model, patients) for model in scores)
        return first.value, second.value, first.psi @ first.psi, first.psi @ second.psi

    one_, other, variance, covariance = np.array([one(seed) for seed in range(400)]).T
    assert variance.mean() == pytest.approx(one_.var(), rel=0.15)
    assert covariance.mean() == pytest.approx(np.cov(one_, other)[0, 1], rel=0.2)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), models=st.integers(1, 5), coarse=st.booleans())
def test_the_order_of_rows_and_models_and_the_scale_of_scores_change_nothing(seed, models, coarse):
    scores, labels, patients = _drawn(seed, models, n=30, patients=15)
    if coarse:
        scores = np.round(scores).astype(np.float16)
    found = corrected(scores, labels, patients, draws=40)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(30)
    _close(found, corrected(scores[:, rows], labels[rows], patients[rows], draws=40))
    monotone = np.arctan(scores.astype(float)) * 3 + 1
    assert corrected(monotone, labels, patients, draws=40) == found
    turned = rng.permutation(models)
    other = corrected(scores[turned], labels, patients, draws=40)
    assert other.naive == found.naive
    if not coarse:
        _close(found, other)
        assert turned[other.chosen] == found.chosen


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), models=st.integers(1, 5), copies=st.integers(1, 3))
def test_models_given_twice_change_nothing(seed, models, copies):
    scores, labels, patients = _drawn(seed, models, n=30, patients=15)
    found = corrected(scores, labels, patients, draws=40)
    again = corrected(np.concatenate([scores] * (1 + copies)), labels, patients, draws=40)
    _close(found, again)
    assert again.chosen == found.chosen


def test_how_many_are_sorted_at_once_changes_nothing(monkeypatch):
    scores, labels, patients = _drawn(models=20)
    whole = corrected(scores, labels, patients)
    monkeypatch.setattr("search.optimism._CELLS", 200)
    parts = corrected(scores, labels, patients)
    _close(whole, parts)
    assert whole.chosen == parts.chosen


def test_seeds_and_draws_move_the_result_little():
    scores, labels, patients = _drawn(models=20, n=200, patients=150)
    found = [corrected(scores, labels, patients, 1000, seed).corrected for seed in range(5)]
    assert np.ptp(found) < 0.005
    assert corrected(scores, labels, patients, 1000, 3).corrected == found[3]
