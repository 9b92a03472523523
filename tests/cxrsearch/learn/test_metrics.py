from __future__ import annotations

import subprocess
import sys
import time
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

from cxrsearch.learn.metrics import auroc, bootstrap, mean_auroc, resampled

Array = np.ndarray[Any, Any]


def scikit(labels: Array, scores: Array) -> Array:
    """scikit-learn's value for each column, NaN where it has one class."""
    columns = zip(np.asarray(labels).T, np.asarray(scores).T, strict=True)
    return np.array(
        [roc_auc_score(t, s) if 0 < t.sum() < len(t) else np.nan for t, s in columns], dtype=float
    )


def example(n: int = 400, k: int = 14, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, k)) < 0.2).astype(np.uint8)
    return labels, rng.normal(size=(n, k)) + labels


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_equals_scikit_learn(dtype: type[np.floating[Any]]) -> None:
    labels, scores = example()
    scores = scores.astype(dtype)
    expected = scikit(labels, scores.astype(np.float64))
    np.testing.assert_allclose(auroc(labels, scores), expected, rtol=0, atol=1e-12)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_equals_scikit_learn_under_heavy_ties(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    levels = [0.0, -0.0, *data.draw(st.lists(st.floats(-1e6, 1e6), max_size=5))]
    labels = rng.random((n, 3)) < data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    scores = rng.choice(np.array(levels), size=(n, 3))
    np.testing.assert_allclose(auroc(labels, scores), scikit(labels, scores), rtol=0, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=2, max_size=30),
    st.integers(0, 1000),
)
def test_scores_that_fit_16_bits_rank_the_same_in_every_type(
    values: list[float], seed: int
) -> None:
    """They go another way inside, and have to come out equal."""
    labels = np.random.default_rng(seed).random((len(values), 1)) < 0.5
    column = np.array(values)[:, None]
    expected = auroc(labels, column)
    for dtype in (np.float16, np.float32, np.float64):
        np.testing.assert_array_equal(auroc(labels, column.astype(dtype)), expected)
    np.testing.assert_allclose(expected, scikit(labels, column), rtol=0, atol=1e-12)


def test_negative_zero_ties_with_zero() -> None:
    labels = np.array([[1], [0]])
    for dtype in (np.float16, np.float32, np.float64):
        assert auroc(labels, np.array([[-0.0], [0.0]], dtype=dtype))[0] == 0.5


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.bool_])
def test_scores_may_be_whole_numbers(dtype: type[np.generic]) -> None:
    labels, _ = example(60)
    scores = np.random.default_rng(0).integers(0, 2, labels.shape).astype(dtype)
    np.testing.assert_allclose(auroc(labels, scores), scikit(labels, scores), rtol=0, atol=1e-12)


def test_one_class_is_nan_and_says_nothing() -> None:
    labels = np.array([[0, 1, 1], [0, 1, 0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = auroc(labels, np.zeros((2, 3)))
        assert np.isnan(auroc(np.zeros((0, 14)), np.zeros((0, 14)))).all()
    np.testing.assert_array_equal(values, [np.nan, np.nan, 0.5])
    assert mean_auroc(values) == 0.5
    assert np.isnan(mean_auroc(values[:2]))
    assert np.isnan(mean_auroc([]))


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32, np.uint8])
def test_labels_may_be_of_any_number_type(dtype: type[Any]) -> None:
    labels, scores = example(50)
    np.testing.assert_array_equal(auroc(labels.astype(dtype), scores), auroc(labels, scores))


def test_lists_and_strided_arrays_are_taken_and_not_changed() -> None:
    labels, scores = example(50)
    expected, before = auroc(labels, scores), scores.copy()
    np.testing.assert_array_equal(auroc(labels.tolist(), scores.tolist()), expected)
    np.testing.assert_array_equal(auroc(labels[:, ::-1], scores[:, ::-1]), expected[::-1])
    np.testing.assert_array_equal(scores, before)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scores_that_are_not_finite_are_refused_by_place(
    bad: float, dtype: type[np.floating[Any]]
) -> None:
    labels, scores = example(10)
    scores = scores.astype(dtype)
    scores[7, 3] = bad
    with pytest.raises(ValueError, match=r"finite, got -?(nan|inf) in row 7, column 3"):
        auroc(labels, scores)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), "must both be"),
        (np.zeros(3), np.zeros(3), "must both be"),
        (np.full((2, 1), 2), np.zeros((2, 1)), "0 to 1 or NaN, got 2 in row 0"),
        (np.full((2, 1), -1), np.zeros((2, 1)), "0 to 1 or NaN, got -1"),
        (np.array([["a"], ["b"]]), np.zeros((2, 1)), "numbers"),
        (np.zeros((2, 1)), np.zeros((2, 1), dtype=complex), "numbers"),
    ],
)
def test_unusable_input_is_refused(labels: Array, scores: Array, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auroc(labels, scores)


def plain_bootstrap(labels: Array, scores: Array, patients: Array, counts: Array) -> Array:
    """Each resample written out: the rows of each patient as often as it was drawn."""
    names = np.unique(patients)
    out = []
    for multiplicity in counts:
        times = dict(zip(names, multiplicity, strict=True))
        rows = np.repeat(np.arange(len(labels)), [times[p] for p in patients])
        out.append(scikit(labels[rows], scores[rows]))
    return np.array(out)


def test_intervals_equal_those_of_resamples_written_out() -> None:
    from cxrsearch.learn.metrics import multiplicities

    labels, scores = example(60, 4)
    labels[:, 3] = 0
    labels[5, 3] = 1
    scores = scores.round(1)
    patients = np.array([f"p{i // 2}" for i in range(60)])
    counts = multiplicities(np.random.default_rng(4), 30, 50)
    drawn = plain_bootstrap(labels, scores, patients, counts)
    assert np.isnan(drawn[:, 3]).any()
    assert not np.isnan(drawn[:, 3]).all()
    result = bootstrap(labels, scores, patients, resamples=50, seed=4)
    expected = np.nanquantile(drawn, [0.025, 0.975], axis=0).T
    np.testing.assert_allclose(result.labels, expected, atol=1e-12)
    np.testing.assert_allclose(
        result.mean, np.quantile(np.nanmean(drawn, axis=1), [0.025, 0.975]), atol=1e-12
    )


def test_intervals_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores = example(50)
    patients = np.arange(50) // 3
    whole = bootstrap(labels, scores, patients, resamples=40)
    monkeypatch.setattr("cxrsearch.learn.metrics._CHUNK", 350)
    parts = bootstrap(labels, scores, patients, resamples=40)
    assert parts.mean == whole.mean
    np.testing.assert_array_equal(parts.labels, whole.labels)


def test_seed_decides_the_intervals() -> None:
    labels, scores = example(80)
    first, again = (bootstrap(labels, scores, np.arange(80), 50, seed=3) for _ in range(2))
    assert first.mean == again.mean
    assert first.mean != bootstrap(labels, scores, np.arange(80), 50, seed=4).mean


def test_intervals_hold_the_value_and_widen_when_patients_repeat_images() -> None:
    labels, scores = example(300)
    single = bootstrap(labels, scores, np.arange(300), 200)
    values = auroc(labels, scores)
    assert (single.labels[:, 0] < values).all()
    assert (values < single.labels[:, 1]).all()
    copies = bootstrap(
        np.repeat(labels, 4, 0), np.repeat(scores, 4, 0), np.arange(300).repeat(4), 200
    )
    assert copies.mean == pytest.approx(single.mean, abs=1e-12)
    naive = bootstrap(np.repeat(labels, 4, 0), np.repeat(scores, 4, 0), np.arange(1200), 200)
    assert np.diff(naive.mean)[0] < 0.7 * np.diff(copies.mean)[0]


def test_nothing_to_resample_is_nan() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        none = bootstrap(np.zeros((4, 14)), np.zeros((4, 14)), np.arange(4), 10)
        empty = bootstrap(np.zeros((0, 14)), np.zeros((0, 14)), np.zeros(0), 10)
    for result in (none, empty):
        assert np.isnan(result.mean).all()
        assert np.isnan(result.labels).all()
        assert result.labels.shape == (14, 2)


def test_arguments_of_the_bootstrap_are_checked() -> None:
    labels, scores = example(10)
    with pytest.raises(ValueError, match=r"patients must have shape \(10,\)"):
        bootstrap(labels, scores, np.arange(9))
    with pytest.raises(ValueError, match="resamples >= 1"):
        bootstrap(labels, scores, np.arange(10), 0)
    with pytest.raises(ValueError, match="level"):
        bootstrap(labels, scores, np.arange(10), level=1.0)


def test_a_thousand_resamples_take_seconds() -> None:
    labels, scores = example(2500)
    start = time.process_time()
    bootstrap(labels, scores, np.arange(2500) // 2, 1000)
    assert time.process_time() - start < 10


def test_no_torch_is_loaded() -> None:
    code = "import sys, cxrsearch.learn.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_two_scores_of_the_same_images_are_judged_on_the_same_resamples() -> None:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 2, (40, 3))
    scores, patients = rng.random((40, 3)), np.arange(40) // 2
    one, again = (resampled(labels, s, patients, 50, seed=3) for s in (scores, 2 * scores))
    assert np.array_equal(one, again)
    ends = bootstrap(labels, scores, patients, 50, seed=3).labels
    assert ends == pytest.approx(np.quantile(one, [0.025, 0.975], axis=0).T)


def by_pairs(marks: np.ndarray, scores: np.ndarray) -> float:
    """AUROC of one label by its definition, over what is known alone."""
    pairs = [
        1.0 if ill > well else 0.5 if ill == well else 0.0
        for ill in scores[marks > 0.5]
        for well in scores[marks < 0.5]
    ]
    return float(np.mean(pairs)) if pairs else float("nan")


def hidden(seed: int = 0, n: int = 60, k: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Marks of which some are unknown or soft, scores with ties, and patients of several images."""
    rng = np.random.default_rng(seed)
    marks = (rng.random((n, k)) < 0.4).astype(np.float32)
    marks[rng.random((n, k)) < 0.15] = 0.25  # one of four readers: a negative
    marks[rng.random((n, k)) < 0.15] = 0.5  # nobody can tell
    marks[rng.random((n, k)) < 0.3] = np.nan
    return marks, rng.integers(0, 9, (n, k)) / 8, rng.integers(0, 20, n)


def test_what_is_unknown_takes_no_part_in_an_auroc() -> None:
    marks, scores, _ = hidden()
    expected = [by_pairs(marks[:, c], scores[:, c]) for c in range(3)]
    np.testing.assert_allclose(auroc(marks, scores), expected, atol=1e-12)
    for column in range(3):
        known = ~np.isnan(marks[:, column]) & (marks[:, column] != 0.5)
        plain = (marks[known, column] > 0.5)[:, None]
        assert auroc(plain, scores[known][:, [column]])[0] == auroc(marks, scores)[column]
    assert np.isnan(auroc(np.full((4, 1), np.nan), np.zeros((4, 1)))).all()


def test_a_bootstrap_draws_patients_out_of_all_and_judges_by_what_is_known() -> None:
    from cxrsearch.learn.metrics import multiplicities

    marks, scores, patients = hidden(1)
    found = resampled(marks, scores, patients, 40, seed=5)
    names, whose = np.unique(patients, return_inverse=True)
    counts = multiplicities(np.random.default_rng(5), len(names), 40)
    for draw in range(40):
        rows = np.repeat(np.arange(len(marks)), counts[draw][whose])
        expected = [by_pairs(marks[rows, c], scores[rows, c]) for c in range(3)]
        np.testing.assert_allclose(found[draw], expected, atol=1e-12)
    # The draws are those of marks that are all known, so that two models stay paired.
    every = (np.nan_to_num(marks) > 0.5).astype(np.uint8)
    every[:, 0] = marks[:, 0] = np.arange(len(marks)) % 2
    np.testing.assert_array_equal(
        resampled(every, scores, patients, 40, seed=5)[:, 0],
        resampled(marks, scores, patients, 40, seed=5)[:, 0],
    )


def test_marks_that_are_all_known_are_judged_the_same_in_any_type() -> None:
    rng = np.random.default_rng(2)
    marks, scores = rng.random((50, 4)) < 0.3, rng.random((50, 4))
    patients = rng.integers(0, 20, 50)
    for kind in (np.uint8, np.float32, np.float64):
        same = marks.astype(kind)
        np.testing.assert_array_equal(auroc(same, scores), auroc(marks, scores))
        np.testing.assert_array_equal(
            resampled(same, scores, patients, 20, 3), resampled(marks, scores, patients, 20, 3)
        )
