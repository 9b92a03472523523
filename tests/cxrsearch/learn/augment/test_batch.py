from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from cxrsearch.learn.augment.batch import Augment
from cxrsearch.learn.augment.draws import (
    EFFECTS,
    REST,
    Parameters,
    beside,
    sample_parameters,
    seed_streams,
    streams,
)
from cxrsearch.learn.augment.frames import to_float
from cxrsearch.learn.recipe import AUGMENTATION, Recipe, group_of

ALL = Recipe(
    rotation=10.0, width_shift=0.05, height_shift=0.08, shear=4.0, zoom=0.04,
    horizontal_flip=True, vertical_flip=True, brightness=0.2, contrast=0.3,
)  # fmt: skip


def picture(height: int, width: int, n: int = 1) -> torch.Tensor:
    """Smooth and without symmetry, so that a wrong sign or axis shows."""
    row, column = np.mgrid[0:height, 0:width]
    base = 90 + 60 * np.sin(row / 5) + 50 * np.cos(column / 7) + 0.8 * row + 0.4 * column
    stack = np.stack([np.clip(base + 3 * i, 0, 255) for i in range(n)])
    return torch.from_numpy(stack.astype(np.uint8))


def given(n: int = 1, /, **values: float | bool) -> Parameters:
    """Parameters that leave images alone but for ``values``."""
    return Parameters(**{k: torch.tensor([v] * n) for k, v in (REST | values).items()})


def reference(image: torch.Tensor, **p: float) -> np.ndarray[Any, Any]:
    """The documented geometry of Keras's ImageDataGenerator, one image, by SciPy."""
    height, width = image.shape
    a, b = np.deg2rad(p.get("rotation", 0)), np.deg2rad(p.get("shear", 0))
    rotate = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    shift = np.eye(3)
    shift[0, 2] = p.get("row_shift", 0) * height
    shift[1, 2] = p.get("column_shift", 0) * width
    slant = np.array([[1, -np.sin(b), 0], [0, np.cos(b), 0], [0, 0, 1]])
    zoom = np.diag([p.get("row_zoom", 1), p.get("column_zoom", 1), 1])
    matrix = rotate @ shift @ slant @ zoom
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    offset = centre + matrix[:2, 2] - matrix[:2, :2] @ centre
    pixels = image.numpy().astype(float) / 255
    return np.asarray(affine_transform(pixels, matrix[:2, :2], offset, order=1, mode="nearest"))


@pytest.mark.parametrize(("height", "width"), [(40, 40), (30, 64), (65, 33)])
@pytest.mark.parametrize(
    "values",
    [
        {"rotation": 25.0},
        {"rotation": -10.0},
        {"row_shift": 0.11},
        {"column_shift": -0.17},
        {"shear": 20.0},
        {"row_zoom": 1.3},
        {"column_zoom": 0.7},
        {
            "rotation": 12.0, "row_shift": 0.1, "column_shift": -0.05, "shear": -9.0,
            "row_zoom": 0.9, "column_zoom": 1.2,
        },
    ],
)  # fmt: skip
def test_each_range_means_what_keras_means(
    height: int, width: int, values: dict[str, float]
) -> None:
    batch = picture(height, width)
    actual = Augment(Recipe(rotation=1.0)).apply(batch, given(**values))
    expected = reference(batch[0], **values)
    np.testing.assert_allclose(actual[0, 0].numpy(), expected, atol=2e-4)


def test_quarter_turn_of_a_square_moves_pixels_exactly() -> None:
    batch = picture(9, 9)
    turned = Augment(Recipe(rotation=180.0)).apply(batch, given(rotation=90.0))
    expected = to_float(torch.rot90(batch, -1, (1, 2)))
    torch.testing.assert_close(turned, expected, atol=1e-4, rtol=0)


def test_rotation_is_in_pixels_on_wide_images() -> None:
    """A disc stays a disc; in normalised units it would become an ellipse."""
    row, column = np.mgrid[0:40, 0:80]
    disc = (((row - 19.5) ** 2 + (column - 39.5) ** 2) < 15**2) * 255
    batch = torch.from_numpy(disc.astype(np.uint8))[None]
    turned = Augment(Recipe(rotation=45.0)).apply(batch, given(rotation=45.0))
    assert (turned - to_float(batch)).abs().mean() < 0.02  # an ellipse: 0.15


def test_border_is_repeated() -> None:
    batch = torch.zeros((1, 10, 10), dtype=torch.uint8)
    batch[0, :, 0] = 200
    moved = Augment(Recipe(width_shift=0.3)).apply(batch, given(column_shift=-0.3))
    torch.testing.assert_close(moved[0, 0, :, :4], torch.full((10, 4), 200 / 255))


def test_flips_come_after_the_geometry() -> None:
    batch = picture(20, 30)
    recipe = Recipe(rotation=10.0, horizontal_flip=True, vertical_flip=True)
    plain = Augment(recipe).apply(batch, given(rotation=8.0))
    columns = Augment(recipe).apply(batch, given(rotation=8.0, flip_columns=True))
    rows = Augment(recipe).apply(batch, given(rotation=8.0, flip_rows=True))
    assert torch.equal(columns, plain.flip(3))
    assert torch.equal(rows, plain.flip(2))


def test_brightness_and_contrast_are_factors() -> None:
    batch = picture(16, 16)
    x = to_float(batch)
    bright = Augment(Recipe(brightness=0.5)).apply(batch, given(brightness=1.1))
    torch.testing.assert_close(bright, (x * 1.1).clamp(0, 1))
    flat = Augment(Recipe(contrast=0.5)).apply(batch, given(contrast=0.5))
    torch.testing.assert_close(flat, x.mean() + (x - x.mean()) * 0.5)


def test_each_image_has_its_own_parameters() -> None:
    batch = picture(24, 24).repeat(3, 1, 1)
    parameters = given(3)
    parameters = replace(parameters, rotation=torch.tensor([0.0, 15.0, -15.0]))
    out = Augment(Recipe(rotation=15.0)).apply(batch, parameters)
    for i, angle in enumerate((0.0, 15.0, -15.0)):
        expected = reference(batch[i], rotation=angle)
        np.testing.assert_allclose(out[i, 0].numpy(), expected, atol=2e-4)


def test_parameters_fill_their_ranges() -> None:
    parameters = sample_parameters(ALL, 4000, torch.Generator().manual_seed(0))
    spans = {
        "rotation": (-10, 10), "row_shift": (-0.08, 0.08), "column_shift": (-0.05, 0.05),
        "shear": (-4, 4), "row_zoom": (0.96, 1.04), "column_zoom": (0.96, 1.04),
        "brightness": (0.8, 1.2), "contrast": (0.7, 1.3),
    }  # fmt: skip
    for name, (low, high) in spans.items():
        drawn = getattr(parameters, name)
        width = high - low
        assert low <= drawn.min() < low + 0.01 * width, name
        assert high - 0.01 * width < drawn.max() <= high, name
        assert abs(drawn.mean() - (low + high) / 2) < 0.03 * width, name
    for name in ("flip_columns", "flip_rows"):
        assert 0.45 < getattr(parameters, name).float().mean() < 0.55
    pair = torch.stack([parameters.row_zoom, parameters.column_zoom])
    assert torch.corrcoef(pair)[0, 1].abs() < 0.1


def test_every_gene_of_the_group_has_an_effect_and_alone_makes_augmentation_active() -> None:
    genes = group_of(AUGMENTATION)
    assert {*EFFECTS, "erasing", "trivial"} == set(genes)
    assert set(REST) == {field.name for field in fields(Parameters)}
    assert not Augment(Recipe()).active
    for gene, limits in genes.items():
        assert Augment(replace(Recipe(), **{gene: limits.get("high", True)})).active, gene


def test_ranges_of_zero_draw_nothing() -> None:
    parameters = sample_parameters(Recipe(), 50, torch.Generator().manual_seed(0))
    still = given(50)
    for field in fields(Parameters):
        assert torch.equal(getattr(parameters, field.name), getattr(still, field.name))


def test_one_range_does_not_change_what_the_others_draw() -> None:
    first = sample_parameters(ALL, 5, torch.Generator().manual_seed(4))
    second = sample_parameters(replace(ALL, rotation=0.0), 5, torch.Generator().manual_seed(4))
    assert torch.equal(first.shear, second.shear)
    assert torch.equal(first.flip_rows, second.flip_rows)


def test_an_image_is_otherwise_augmented_the_same_whatever_is_erased() -> None:
    batch = picture(20, 20, 4)
    one, other = (torch.Generator().manual_seed(4) for _ in range(2))
    for _ in range(3):
        plain = Augment(ALL)(batch, one)
        erased = Augment(replace(ALL, erasing=1.0))(batch, other)
        kept = erased == plain
        assert (kept.float().mean(dim=(1, 2, 3)) >= 0.75).all()
        assert not kept.all()


def test_a_stream_beside_goes_on_and_begins_anew_with_its_generator() -> None:
    generator = torch.Generator().manual_seed(1)
    before = generator.get_state()
    drawn = torch.rand(3, generator=beside(generator, "a"))
    more = torch.rand(3, generator=beside(generator, "a"))
    assert torch.equal(generator.get_state(), before)
    assert not torch.equal(drawn, more)
    assert not torch.equal(drawn, torch.rand(3, generator=beside(generator, "b")))
    generator.manual_seed(1)
    assert not torch.equal(drawn, torch.rand(3, generator=beside(generator, "a")))
    generator.manual_seed(2)
    assert not torch.equal(drawn, torch.rand(3, generator=beside(generator, "a")))
    generator.manual_seed(1)
    assert torch.equal(drawn, torch.rand(3, generator=beside(generator, "a")))


def test_a_seed_begins_all_streams_anew_and_leaves_them_the_generators_they_are() -> None:
    generator = torch.Generator()
    found = []
    for seed in (1, 2, 1):
        seed_streams(generator, seed)
        each = generator, beside(generator, "a"), beside(generator, "b")
        found.append(torch.cat([torch.rand(2, generator=stream) for stream in each]))
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])
    kept = streams(generator)
    seed_streams(generator, 3)
    assert streams(generator) == kept == [generator, beside(generator, "a"), beside(generator, "b")]


def test_same_generator_state_gives_the_same_batch() -> None:
    batch = picture(20, 20, 4)
    first = Augment(ALL)(batch, torch.Generator().manual_seed(7))
    second = Augment(ALL)(batch, torch.Generator().manual_seed(7))
    assert torch.equal(first, second)
    assert not torch.equal(first, Augment(ALL)(batch, torch.Generator().manual_seed(8)))
    assert first.shape == (4, 1, 20, 20)
    assert first.min() >= 0
    assert first.max() <= 1


def test_no_augmentation_only_converts() -> None:
    batch = picture(12, 12, 2)
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert torch.equal(Augment(Recipe())(batch, generator), batch[:, None].float() / 255)
    assert torch.equal(generator.get_state(), before)
