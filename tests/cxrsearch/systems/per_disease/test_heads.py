"""Heads on frozen features."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe as Training
from cxrsearch.model.folder import LoadedModel
from cxrsearch.systems.per_disease.heads import (
    RECIPES,
    Head,
    HeadRecipe,
    best_head,
    features_of,
    fit_head,
    own_head,
)


def sample(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 5)).astype(np.float32) * [1, 10, 0.1, 1, 1] + 3
    truth = features[:, 0] + 0.05 * features[:, 1] + rng.normal(size=n) > 4.5
    return features.astype(np.float32), truth


@pytest.mark.parametrize("recipe", [HeadRecipe(0.01, False), HeadRecipe(0.1, True)])
def test_a_head_is_the_penalised_logistic_regression(recipe: HeadRecipe) -> None:
    features, truth = sample()
    scaled = StandardScaler().fit_transform(features.astype(float))
    weights = "balanced" if recipe.balanced else None
    strength = 1 / (recipe.penalty * len(truth))
    other = LogisticRegression(C=strength, class_weight=weights, tol=1e-8).fit(scaled, truth)
    head = fit_head(features, truth, recipe)
    assert head.score(features) == pytest.approx(other.predict_proba(scaled)[:, 1], abs=2e-3)


def test_a_feature_that_never_changes_does_no_harm() -> None:
    features, truth = sample()
    features[:, 2] = 7
    assert np.isfinite(fit_head(features, truth, RECIPES[0]).weights).all()


def test_the_networks_own_head_stays_unless_another_is_better() -> None:
    train, val = sample(), sample(seed=1)
    perfect = Head(np.zeros(5), 0.0, None, float("nan"))
    useless = best_head(perfect, train, val)
    assert useless.recipe in RECIPES
    assert useless.value > 0.6
    best = fit_head(*val, RECIPES[0])._replace(recipe=None)
    assert best_head(best, (val[0][:30], val[1][:30]), val).recipe is None


def test_without_positives_to_fit_on_the_own_head_stays() -> None:
    features, truth = sample()
    own = Head(np.zeros(5), 0.0, None, float("nan"))
    assert best_head(own, (features, np.zeros(len(truth), bool)), sample(seed=1)).recipe is None


def test_features_and_own_head_give_the_networks_scores(
    tiny_model: None, study: SimpleNamespace, tmp_path: Path
) -> None:
    recipe = Training(input_size=32)
    torch.manual_seed(0)
    network = build_model(recipe, n_classes=14).eval()
    card = {"pixels": {"frame": study.data.images.shape[1]}, "labels": list(DISEASES)}
    model = LoadedModel(tmp_path, card, recipe, network, ComputeOptions("cpu", precision="float32"))
    rows = np.arange(9)
    features = features_of(model, study.data.images, rows)
    found = own_head(network, 3).score(features)
    assert found == pytest.approx(model.predict(study.data.images, rows)[:, 3], abs=1e-5)


def test_what_is_not_to_be_learnt_leaves_its_head_alone(
    tiny_model: None, study: SimpleNamespace
) -> None:
    recipe = Training(input_size=32, epochs=1, batch_size=8, weight_decay=0.0, loss="weighted_bce")
    data = replace(study.data, learnt=(2,))
    learner = Learner(recipe, data, seed=0, compute=ComputeOptions("cpu"))
    before = learner.model.net.classifier.weight.detach().clone()
    learner.epoch(1)
    moved = (learner.model.net.classifier.weight != before).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [2]
