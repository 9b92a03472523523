from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cxrsearch.learn.probe.fitting import fit_layer


def example(seed: int, images: int = 150, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Features of different scales, and three labels that hang on them."""
    rng = np.random.default_rng(seed)
    features = rng.normal(3, 1, (images, size)) * rng.uniform(0.1, 10, size)
    slopes = rng.normal(0, 1, (size, 3))
    logits = (features - features.mean(axis=0)) / features.std(axis=0) @ slopes - 1
    return features, (logits + rng.logistic(0, 1, logits.shape) > 0).astype(float)


@given(
    seed=st.integers(0, 1000),
    penalty=st.sampled_from([1e-3, 1e-2, 0.3, 3.0]),
    balanced=st.booleans(),
    unknown=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=12, deadline=None)
def test_it_is_scikit_learns_regression_on_standardised_features(
    seed: int, penalty: float, balanced: bool, unknown: float
) -> None:
    features, targets = example(seed)
    gone = np.random.default_rng(seed).random(targets.shape) < unknown
    targets[gone] = np.nan
    found = fit_layer(features, targets, penalty, balanced)
    standardised = StandardScaler().fit_transform(features)
    for label in range(3):
        known = ~np.isnan(targets[:, label])
        theirs = LogisticRegression(
            C=1 / (penalty * known.sum()),
            class_weight="balanced" if balanced else None,
            tol=1e-8,
            max_iter=5000,
        ).fit(standardised[known], targets[known, label])
        logits = features @ found.weights[label] + found.bias[label]
        np.testing.assert_allclose(
            logits, theirs.decision_function(standardised), rtol=2e-3, atol=2e-3
        )


def test_a_label_of_one_kind_has_no_weights_and_the_odds_of_what_is_known() -> None:
    features, targets = example(1)
    targets[:, 0], targets[:, 1] = 0.0, np.nan
    targets[0, 0] = np.nan
    found = fit_layer(features, targets, 0.1)
    assert not found.weights[:2].any()
    assert found.weights[2].any()
    np.testing.assert_allclose(found.bias[:2], [np.log(0.5 / 149.5), 0.0])
    assert np.isfinite(found.loss)


def test_half_known_marks_and_features_without_spread_are_taken() -> None:
    features, targets = example(2)
    targets[::3] = 0.5
    features[:, 4] = 7.0
    found = fit_layer(features, targets, 0.1)
    assert not found.weights[:, 4].any()
    assert np.isfinite(found.weights).all()


@pytest.mark.parametrize("penalty", [0.0, 10.0])
def test_the_ends_of_the_penalty_end(penalty: float) -> None:
    features, targets = example(3, images=20, size=60)  # separable
    found = fit_layer(features, targets, penalty)
    assert np.isfinite(found.weights).all()
    assert np.isfinite(found.bias).all()
