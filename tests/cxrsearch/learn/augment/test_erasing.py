"""Random erasing: how many images, how large a part of them, and what is left of the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cxrsearch.learn.augment.batch import Augment
from cxrsearch.learn.augment.draws import sample_parameters
from cxrsearch.learn.augment.erasing import LEAST_AREA, MOST_AREA, TALLEST, erased_rectangles
from cxrsearch.learn.recipe import Recipe


def rectangles(share: float, n: int = 4000, seed: int = 0) -> dict[str, torch.Tensor]:
    return erased_rectangles(share, n, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_images_loses_a_rectangle_within_the_image(share: float) -> None:
    drawn = rectangles(share)
    height, width = drawn["erased_height"], drawn["erased_width"]
    some = height > 0
    assert abs(float(some.float().mean()) - share) < 0.03
    assert torch.equal(some, width > 0)
    area, aspect = (height * width)[some], (height / width)[some]
    if share:
        assert area.min() + 1e-6 >= LEAST_AREA
        assert area.max() <= MOST_AREA + 1e-6
        assert area.mean() == pytest.approx((LEAST_AREA + MOST_AREA) / 2, abs=0.01)
        assert aspect.min() + 1e-6 >= 1 / TALLEST
        assert aspect.max() <= TALLEST + 1e-6
        assert abs(float(aspect.log().mean())) < 0.05
    for begin, size in (("erased_top", height), ("erased_left", width)):
        assert drawn[begin].min() >= 0
        assert (drawn[begin] + size).max() <= 1 + 1e-6


def test_the_images_of_a_smaller_share_lose_the_same_in_a_larger() -> None:
    few, many = rectangles(0.2, 100), rectangles(0.7, 100)
    some = few["erased_height"] > 0
    assert some.any()
    for name, values in few.items():
        assert torch.equal(values[some], many[name][some])


def test_a_rectangle_has_the_mean_and_all_else_is_as_it_was() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 48, 64), np.uint8))
    recipe = Recipe(erasing=0.5)
    drawn = sample_parameters(recipe, 40, torch.Generator().manual_seed(3))
    found = Augment(recipe).apply(pixels, drawn)
    before = pixels[:, None].float() / 255
    some = drawn.erased_height > 0
    assert torch.equal(found[~some], before[~some])
    for i in torch.nonzero(some)[:, 0].tolist():
        changed = (found[i, 0] != before[i, 0]).nonzero()
        top, left = (int(side) for side in changed.min(dim=0).values)
        bottom, right = (int(side) + 1 for side in changed.max(dim=0).values)
        assert top == round(float(drawn.erased_top[i]) * 48)
        assert right == round(float(drawn.erased_left[i] + drawn.erased_width[i]) * 64)
        patch = found[i, 0, top:bottom, left:right]
        assert torch.allclose(patch, before[i].mean())
        assert patch.numel() / (48 * 64) == pytest.approx(
            float(drawn.erased_height[i] * drawn.erased_width[i]), abs=0.03
        )
