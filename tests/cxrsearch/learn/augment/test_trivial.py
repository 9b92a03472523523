"""One operation an image: which, how strong, and what it leaves alone."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from cxrsearch.learn.augment.batch import Augment
from cxrsearch.learn.augment.draws import REST, Parameters, sample_parameters
from cxrsearch.learn.augment.trivial import FACTORS, OPERATIONS, noisy, sharpened
from cxrsearch.learn.recipe import Recipe

OTHERS = ("grain_row", "grain_column")


def drawn(recipe: Recipe, n: int = 4000, seed: int = 0) -> Parameters:
    return sample_parameters(recipe, n, torch.Generator().manual_seed(seed))


def pixels(n: int = 4, height: int = 24, width: int = 32) -> torch.Tensor:
    found = np.random.default_rng(0).integers(40, 200, (n, height, width), np.uint8)
    return torch.from_numpy(found)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_each_image_gets_one_operation_all_as_often_and_up_to_the_strength(
    strength: float,
) -> None:
    found = drawn(Recipe(trivial=strength))
    changed = {
        name: getattr(found, name) != value for name, value in REST.items() if name not in OTHERS
    }
    happened = []
    for name, operation in OPERATIONS.items():
        if not operation.fields:
            continue
        some = changed[operation.fields[0]]
        happened.append(some)
        assert all(torch.equal(changed[field], some) for field in operation.fields), name
        assert float(some.float().mean()) == pytest.approx(1 / len(OPERATIONS), abs=0.02)
        for field in operation.fields:
            far = getattr(found, field)[some] - REST[field]
            reach = strength * operation.reach
            assert far.max() == pytest.approx(reach, rel=0.05), field
            low = 0 if field == "noise" else -reach
            assert far.min() == pytest.approx(low, abs=0.05 * reach), field
    assert torch.stack(happened).sum(dim=0).max() == 1
    unmoved = {"flip_columns", "flip_rows", *(n for n in REST if n.startswith("erased"))}
    assert not any(bool(changed[name].any()) for name in unmoved)
    assert set(FACTORS) == {n for o in OPERATIONS.values() for n in o.fields if REST[n] == 1}


def test_an_operation_comes_on_top_of_what_the_ranges_drew() -> None:
    ranges = Recipe(rotation=10.0, zoom=0.1, brightness=0.2, horizontal_flip=True)
    one, both = drawn(ranges, 500), drawn(replace(ranges, trivial=0.5), 500)
    alone = drawn(Recipe(trivial=0.5), 500)
    for field in fields(Parameters):
        before, moved, after = (getattr(each, field.name) for each in (one, alone, both))
        if field.name in FACTORS:
            assert torch.allclose(after, before * moved), field.name
        elif field.name not in ("flip_columns", "flip_rows"):
            assert torch.allclose(after, before + moved), field.name
        else:
            assert torch.equal(after, before)


def test_a_weaker_gene_is_the_same_augmentation_weaker() -> None:
    weak, strong = drawn(Recipe(trivial=0.2), 100), drawn(Recipe(trivial=0.8), 100)
    assert torch.allclose(4 * weak.rotation, strong.rotation)
    assert torch.allclose(4 * (weak.gamma - 1), strong.gamma - 1, atol=1e-5)


def test_images_stay_in_range_and_follow_the_seed() -> None:
    batch, augment = pixels(64), Augment(Recipe(trivial=1.0))
    first = augment(batch, torch.Generator().manual_seed(1))
    assert first.shape == (64, 1, 24, 32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, augment(batch, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, augment(batch, torch.Generator().manual_seed(2)))


def test_at_rest_nothing_but_rounding_happens() -> None:
    batch = pixels()
    still = Parameters(**{name: torch.tensor([value] * 4) for name, value in REST.items()})
    found = Augment(Recipe(trivial=1.0)).apply(batch, still)
    assert torch.allclose(found, batch[:, None].float() / 255, atol=1e-4)


def test_sharpness_scales_the_details_and_keeps_what_is_flat() -> None:
    images = pixels()[:, None].float() / 255
    found = sharpened(images, torch.tensor([1.0, 0.0, 2.0, 0.5]))
    smooth = sharpened(images, torch.zeros(4))
    assert torch.allclose(found[0], images[0])
    assert torch.allclose(found[2] - smooth[2], 2 * (images[2] - smooth[2]), atol=1e-6)
    inner = images[1, 0, 3:6, 4:7].mean()
    assert found[1, 0, 4, 5] == pytest.approx(float(inner), abs=1e-6)
    flat = torch.full((1, 1, 6, 7), 0.4)
    assert torch.allclose(sharpened(flat, torch.tensor([2.0])), flat)


def test_noise_has_the_level_asked_for_and_a_place_of_its_own() -> None:
    flat = torch.full((3, 1, 300, 90), 0.5)
    level, row = torch.tensor([0.0, 0.05, 0.05]), torch.tensor([0.1, 0.2, 0.9999])
    found = noisy(flat, level, row, row.flip(0))
    assert torch.equal(found[0], flat[0])
    assert float(found[1].std()) == pytest.approx(0.05, rel=0.1)
    assert float(found[1].mean()) == pytest.approx(0.5, abs=0.002)
    assert torch.corrcoef(torch.stack([found[1].flatten(), found[2].flatten()]))[0, 1] < 0.05
