from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.data.labels.names import gene_part
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.seeding import SeedProportional, image_weights, inclusion

ONES = (1.0,) * 15
CLASSES = (*DISEASES, NO_FINDING)


def labels(n: int = 3000, seed: int = 0) -> np.ndarray[Any, Any]:
    """Rates as uneven as NIH's, several diseases in one image allowed."""
    rates = np.array(
        [0.10, 0.03, 0.12, 0.18, 0.05, 0.06, 0.02, 0.05, 0.04, 0.03, 0.03, 0.02, 0.03, 0.01]
    )
    return (np.random.default_rng(seed).random((n, 14)) < rates).astype(np.uint8)


def mean_exposure(sampler: SeedProportional, epochs: int = 40) -> dict[str, float]:
    seen = [sampler.exposure(sampler.draw(epoch)) for epoch in range(epochs)]
    return {name: float(np.mean([s[name] for s in seen])) for name in CLASSES}


def test_a_draw_is_distinct_of_the_right_size_and_repeatable() -> None:
    sampler = SeedProportional(labels(), DISEASES, Recipe(train_seed=0.3, balance=0.7), seed=5)
    rows = sampler.draw(2)
    assert rows.shape == (900,)
    assert len(np.unique(rows)) == 900
    again = SeedProportional(labels(), DISEASES, Recipe(train_seed=0.3, balance=0.7), seed=5)
    np.testing.assert_array_equal(rows, again.draw(2))
    assert set(rows) != set(sampler.draw(3))
    assert set(rows) != set(
        SeedProportional(labels(), DISEASES, Recipe(train_seed=0.3), seed=6).draw(2)
    )


def test_without_balance_every_image_is_equally_likely() -> None:
    weights = image_weights(labels(), 0.0, ONES)
    np.testing.assert_allclose(weights, 1 / 3000, rtol=1e-12)
    sampler = SeedProportional(labels(200), DISEASES, Recipe(train_seed=0.25), seed=0)
    seen = np.zeros(200)
    for epoch in range(800):
        seen[sampler.draw(epoch)] += 1
    # Binomial with mean 200 and deviation 12: five of them leave room for 200 images.
    assert abs(seen - 200).max() < 62


def test_balance_brings_the_exposures_together() -> None:
    table = labels()
    plain = mean_exposure(SeedProportional(table, DISEASES, Recipe(train_seed=0.05), 0))
    even = mean_exposure(SeedProportional(table, DISEASES, Recipe(train_seed=0.05, balance=1.0), 0))
    half = mean_exposure(SeedProportional(table, DISEASES, Recipe(train_seed=0.05, balance=0.5), 0))

    def spread(shares: dict[str, float]) -> float:
        return max(shares.values()) / min(shares.values())

    assert spread(plain) > 20
    assert spread(even) < 3.5  # what is left comes with the diseases of the same images
    assert spread(even) < spread(half) < spread(plain)


def test_balance_is_exact_where_images_have_one_disease_and_suffice() -> None:
    one = np.zeros((1500, 14), dtype=np.uint8)
    one[np.arange(1400), np.repeat(np.arange(14), 100)] = 1
    one = np.concatenate([one, np.zeros((3000, 14), dtype=np.uint8)])
    sampler = SeedProportional(one, DISEASES, Recipe(train_seed=0.1, balance=1.0), 0)
    for share in sampler.exposure(sampler.draw(0)).values():
        assert abs(share - 1 / 15) <= 15 / len(sampler.draw(0)) / 15 + 0.03


def test_a_ratio_moves_its_disease_alone() -> None:
    ratios = (("Hernia", 5.0),)
    table = labels()
    plain = mean_exposure(SeedProportional(table, DISEASES, Recipe(train_seed=0.05), 0))
    more = mean_exposure(
        SeedProportional(table, DISEASES, Recipe(train_seed=0.05, ratios=ratios), 0)
    )
    assert more["Hernia"] > 2.0 * plain["Hernia"]
    assert more["Effusion"] == pytest.approx(plain["Effusion"], rel=0.15)
    ratios = (("No_Finding", 0.1),)
    fewer = mean_exposure(
        SeedProportional(table, DISEASES, Recipe(train_seed=0.05, ratios=ratios), 0)
    )
    assert fewer[NO_FINDING] < 0.4 * plain[NO_FINDING]


def test_a_rare_disease_is_drawn_whole_and_not_twice() -> None:
    table = np.zeros((1000, 14), dtype=np.uint8)
    table[:3, 13] = 1
    table[3:300, 0] = 1
    sampler = SeedProportional(table, DISEASES, Recipe(train_seed=0.3, balance=1.0), 0)
    rows = sampler.draw(0)
    assert {0, 1, 2} <= set(rows.tolist())
    assert sampler.exposure(rows)["Hernia"] == pytest.approx(3 / 300)


def test_everything_is_drawn_once_at_a_share_of_one() -> None:
    sampler = SeedProportional(labels(500), DISEASES, Recipe(balance=1.0), 1)
    first, second = sampler.draw(0), sampler.draw(1)
    np.testing.assert_array_equal(np.sort(first), np.arange(500))
    assert not np.array_equal(first, second)


def test_exposure_counts_the_drawn_images() -> None:
    table = np.zeros((4, 14), dtype=np.uint8)
    table[0, :2] = 1
    table[1, 0] = 1
    sampler = SeedProportional(table, DISEASES, Recipe(), 0)
    exposure = sampler.exposure(np.array([0, 1, 2]))
    assert list(exposure) == [*DISEASES, NO_FINDING]
    assert exposure["Atelectasis"] == pytest.approx(2 / 3)
    assert exposure["Cardiomegaly"] == pytest.approx(1 / 3)
    assert exposure[NO_FINDING] == pytest.approx(1 / 3)


@pytest.mark.parametrize("shape", [(0, 14), (5, 13), (14,)])
def test_labels_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="labels must be"):
        SeedProportional(np.zeros(shape), DISEASES, Recipe(), 0)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_design_draws_distinct_rows_of_the_right_number(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 60))
    share, seed = data.draw(st.sampled_from([0.0, 0.05, 0.5, 1.0])), data.draw(st.integers(0, 99))
    table = np.random.default_rng(seed).random((n, 14)) < share
    recipe = Recipe(
        train_seed=data.draw(st.floats(0.01, 1.0)),
        balance=data.draw(st.floats(0.0, 1.0)),
        ratios=tuple(
            (gene_part(name), data.draw(st.floats(1e-3, 100))) for name in sorted(CLASSES)
        ),
    )
    sampler = SeedProportional(table, DISEASES, recipe, 3)
    rows = sampler.draw(0)
    assert len(np.unique(rows)) == len(rows) == max(1, round(recipe.train_seed * n))
    assert rows.min() >= 0
    assert rows.max() < n


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 1.0])
def test_an_epoch_of_a_pass_has_as_many_images_as_the_training_part(share: float) -> None:
    recipe = Recipe(train_seed=share, balance=1.0, epoch_size="pass")
    sampler = SeedProportional(labels(200), DISEASES, recipe, 3)
    rows = sampler.draw(1)
    assert len(rows) == sampler.images_per_epoch == 200 == round(recipe.epoch_share * 200)
    each = round(share * 200)
    for start in range(0, 200, each):
        drawn = rows[start : start + each]
        assert len(np.unique(drawn)) == len(drawn)
    once = SeedProportional(labels(200), DISEASES, replace(recipe, epoch_size="draw"), 3).draw(1)
    np.testing.assert_array_equal(rows[:each], once)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=40), st.integers(1, 40))
def test_chances_are_proportional_up_to_one(weights: list[float], k: int) -> None:
    values, k = np.array(weights), min(k, len(weights))
    chances = inclusion(values, k)
    assert chances.sum() == pytest.approx(k)
    assert chances.max() <= 1
    free = chances < 1
    if free.any():
        scale = chances[free] / values[free]
        np.testing.assert_allclose(scale, scale[0], rtol=1e-9)


def test_draws_have_the_designed_chances() -> None:
    table = labels(120, seed=2)
    recipe = Recipe(train_seed=0.2, balance=0.8)
    sampler = SeedProportional(table, DISEASES, recipe, 9)
    chances = inclusion(image_weights(table, recipe.balance, ONES), 24)
    seen = np.zeros(120)
    for epoch in range(3000):
        seen[sampler.draw(epoch)] += 1
    np.testing.assert_allclose(seen / 3000, chances, atol=0.045)


def drawn_by_hand(marks: np.ndarray, balance: float, ratios: list[float]) -> np.ndarray:
    """The weights of images by the module's formula, in plain loops over what is known."""
    n, k = marks.shape
    members = [[c for c in range(k) if marks[i, c] > 0.5] or [k] for i in range(n)]
    mass = np.zeros(k + 1)
    for classes in members:
        for c in classes:
            mass[c] += 1 / len(classes)
    occurring = int((mass > 0).sum())
    wanted = [
        ratios[c] * ((1 - balance) * mass[c] / n + balance / occurring) if mass[c] else 0.0
        for c in range(k + 1)
    ]
    weights = [np.mean([wanted[c] / mass[c] for c in classes]) for classes in members]
    return np.asarray(weights) / np.sum(weights)


def test_what_is_unknown_makes_no_member_of_a_class() -> None:
    rng = np.random.default_rng(3)
    marks = (rng.random((80, 3)) < 0.4).astype(np.float32)
    marks[rng.random((80, 3)) < 0.2] = 0.5
    marks[rng.random((80, 3)) < 0.3] = np.nan
    ratios = [1.0, 3.0, 0.5, 2.0]
    expected = drawn_by_hand(marks, 0.6, ratios)
    np.testing.assert_allclose(image_weights(marks, 0.6, ratios), expected, rtol=1e-12)
    names = ("Mass", "Lung Opacity", "A/B")
    given = (("A_B", 0.5), ("Lung_Opacity", 3.0), ("No_Finding", 2.0), ("Other", 9.0))
    recipe = Recipe(train_seed=0.5, balance=0.6, ratios=given)
    sampler = SeedProportional(marks, names, recipe, 4)
    chances = inclusion(expected, 40)
    counts = np.bincount(np.concatenate([sampler.draw(e) for e in range(400)]), minlength=80)
    np.testing.assert_allclose(counts / 400, chances, atol=0.12)
    assert sampler.unknown_ratios == ("Other",)
    exposed = sampler.exposure(np.arange(80))
    assert list(exposed) == [*names, NO_FINDING]
    assert exposed["Mass"] == pytest.approx((np.nan_to_num(marks[:, 0]) > 0.5).mean())


@pytest.mark.parametrize("kind", [np.float32, np.float64, bool])
def test_marks_that_are_all_known_are_drawn_the_same_in_any_type(kind: type) -> None:
    recipe = Recipe(train_seed=0.3, balance=0.7)
    plain = SeedProportional(labels(), DISEASES, recipe, 5).draw(1)
    other = SeedProportional(labels().astype(kind), DISEASES, recipe, 5).draw(1)
    assert plain.tolist() == other.tolist()
