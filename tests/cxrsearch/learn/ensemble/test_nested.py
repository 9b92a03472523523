from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.learn.ensemble import nested
from cxrsearch.learn.ensemble.folds import deal, held_out
from cxrsearch.learn.metrics import bootstrap, resampled


def test_a_patient_is_in_one_fold_and_every_fold_has_its_share(made) -> None:
    fold = deal(made.labels, made.patients, 5, seed=0)
    for patient in np.unique(made.patients):
        assert len(set(fold[made.patients == patient])) == 1
    assert (np.abs(np.bincount(fold, minlength=5) - 120) < 30).all()
    rare = np.array([made.labels[fold == i, 3].sum() for i in range(5)])
    assert rare.max() - rare.min() <= 10
    with pytest.raises(ValueError, match="folds"):
        deal(made.labels[:4], made.patients[:4], 3, seed=0)


def test_nobody_is_scored_by_a_fit_on_himself(made) -> None:
    def fold(fitted, held):
        assert not set(made.patients[fitted]) & set(made.patients[held])
        assert (fitted ^ held).all()
        return made.scores[0][held]

    ranks = held_out(fold, made.labels, made.patients, 4, seed=1)
    assert ((ranks > 0) & (ranks < 1)).all()


def test_pure_noise_gains_nothing_when_nested_though_the_naive_estimate_says_so() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(12, 300, 14)).astype(np.float32)
    labels = (rng.random((300, 14)) < 0.2).astype(np.uint8)
    single, plain, ours = nested(
        scores, labels, np.arange(300), ["logistic", "stacking"], resamples=50
    )
    assert plain.naive > 0.62
    assert abs(plain.nested - 0.5) < 0.03
    assert abs(ours.nested - 0.5) < 0.03
    assert plain.gap > 0.1
    assert single.gap > 0


def test_the_gain_is_over_the_single_model_chosen_on_the_same_folds(made) -> None:
    told: list[str] = []
    found = nested(
        *made, ["uniform", ("uniform", "logit")], folds=3, resamples=100, on_progress=told.append
    )
    assert told == ["single", "uniform", "uniform, logit"]
    single, uniform, _ = found
    assert single.gain == 0
    assert single.gain_interval == (0, 0)
    assert uniform.gain == pytest.approx(uniform.nested - single.nested)
    assert uniform.gain_interval[0] < uniform.gain < uniform.gain_interval[1]
    assert uniform.interval[0] < uniform.nested < uniform.interval[1]


def test_the_mean_is_over_the_diseases_asked_for(made) -> None:
    (single, _) = nested(*made, ["uniform"], columns=[2, 4], folds=3, resamples=20)
    assert single.nested == pytest.approx(single.auroc[[2, 4]].mean())


def test_resamples_are_the_ones_behind_the_intervals(made) -> None:
    drawn = resampled(made.labels, made.scores[0], made.patients, 200, seed=4)
    ends = bootstrap(made.labels, made.scores[0], made.patients, 200, seed=4)
    assert drawn.shape == (200, 14)
    assert np.allclose(np.quantile(drawn.mean(axis=1), (0.025, 0.975)), ends.mean)
