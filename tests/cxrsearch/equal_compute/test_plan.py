"""What is held equal: the baseline, the budget, what may be searched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cxrsearch.data.diseases import DISEASES
from cxrsearch.equal_compute import plan
from cxrsearch.equal_compute.plan import (
    Plan,
    allotted,
    baseline_of,
    held_genes,
    image_steps,
    narrowed,
    plain_genes,
    whole_window,
)
from cxrsearch.errors import InputError
from cxrsearch.learn import recipe
from cxrsearch.learn.recipe import Recipe, gene_limits, size_of
from cxrsearch.study.label_genes import AtHand, read_space
from cxrsearch.study.space import space_path
from search.space import SearchSpace


def shipped(name: str) -> SearchSpace:
    return read_space(space_path(name), AtHand(DISEASES))


@pytest.mark.parametrize("name", ["quick", "report", "full"])
def test_the_baseline_is_the_first_point_with_nothing_added(name: str) -> None:
    space = shipped(name)
    found = baseline_of(space)
    plain = {gene: value for gene, value in plain_genes().items() if gene in found}
    assert {gene: found[gene] for gene in plain} == plain
    assert found["lr"] == space.points[0].params["lr"]
    assert Recipe.from_params(found).ratios == ()


@dataclass(frozen=True)
class Blurred(Recipe):
    """A recipe with an augmentation that this project does not have."""

    blur: float = recipe._gene(0.0, "blur", low=0.0, high=5.0, group=recipe.AUGMENTATION)


def test_a_new_augmentation_that_the_first_point_sets_is_off_in_the_baseline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recipe, "Recipe", Blurred)
    monkeypatch.setattr(plan, "Recipe", Blurred)
    space = SearchSpace.from_dict(
        {
            "genes": {"lr": {"low": 1e-4, "high": 1e-2}, "blur": {"low": 0.0, "high": 3.0}},
            "points": [{"name": "blurred", "params": {"lr": 1e-3, "blur": 2.0}}],
        },
        "blurred",
        known=gene_limits(DISEASES),
    )
    base = baseline_of(space)
    assert base["blur"] == 0.0
    assert base["lr"] == 1e-3
    assert narrowed(space, base).points[0].params["blur"] == 0.0


def test_the_baseline_sees_the_largest_window_of_its_inputs_shape() -> None:
    found = baseline_of(shipped("report"))
    assert (found["input_size"], found["crop"]) == ("300x400", "768x1024")
    square = baseline_of(shipped("report"), epochs=3, input_size="64")
    assert (square["input_size"], square["crop"], square["epochs"]) == (64, 1024, 3)


@given(st.integers(32, 1024), st.integers(32, 1024))
def test_a_whole_window_fits_the_frame_and_keeps_the_shape(height: int, width: int) -> None:
    h, w = size_of(whole_window(f"{height}x{width}"))
    assert max(h, w) == 1024
    assert abs(h * width - w * height) <= max(height, width) / 2


def test_what_cannot_be_is_said_at_once() -> None:
    with pytest.raises(InputError) as error:
        baseline_of(shipped("quick"), epochs=0, input_size="16")
    assert len(error.value.problems) == 2


@pytest.mark.parametrize("name", ["quick", "report", "full"])
def test_no_arm_searches_what_an_image_step_costs(name: str) -> None:
    base = baseline_of(shipped(name))
    space = narrowed(shipped(name), base)
    held = held_genes()
    assert not set(space.genes) & set(held)
    assert {gene: space.fixed[gene] for gene in held} == {gene: base[gene] for gene in held}
    assert "dropout" not in space.genes or not space.genes["dropout"].when
    for point in space.points:
        recipe = Recipe.from_params({**space.fixed, **point.params})
        assert recipe.rotation == recipe.balance == 0


def test_a_space_with_nothing_left_to_search_is_refused() -> None:
    space = SearchSpace.from_dict(
        {"name": "few", "genes": {"epochs": {"type": "int", "low": 1, "high": 3}}}, "few"
    )
    with pytest.raises(InputError, match="no genes"):
        narrowed(space, baseline_of(space))


@given(
    images=st.floats(1, 20_000),
    share=st.floats(0.05, 1.0),
    train_images=st.integers(20, 3000),
    size=st.sampled_from([32, "32x48", 64]),
)
def test_an_allotment_is_the_asked_image_steps(
    images: float, share: float, train_images: int, size: Any
) -> None:
    base = Recipe(input_size=32)
    found = allotted(Recipe(train_seed=share, input_size=size), images, train_images, base)
    each = 4 if size == 64 else 1.5 if size != 32 else 1
    # An epoch draws whole images, one at least.
    assert abs(image_steps(found, train_images, base) - images) <= each * (found.epochs + 1)
    assert found.train_seed <= share


def test_a_smaller_share_does_not_set_off_what_did_nothing() -> None:
    asked = Recipe(train_seed=1.0, balance=1.0, ratios=(("Mass", 2.0),))
    cut = allotted(asked, 50, 100, Recipe())
    assert (cut.train_seed, cut.balance, cut.ratios) == (0.5, 0.0, ())
    drawn = allotted(Recipe(train_seed=0.5, balance=1.0), 125, 100, Recipe())
    assert (drawn.balance, drawn.epochs) == (1.0, 3)


def test_a_plan_comes_back_from_its_plain_values() -> None:
    plan = Plan(("baseline", "crop"), 3, {"lr": 0.1}, 100, 50, 4, {"name": "s"}, 1)
    assert Plan.from_dict(plan.to_dict()) == plan
    with pytest.raises(InputError, match="restore"):
        Plan.from_dict({"arms": ["baseline"], "unknown": 1})
