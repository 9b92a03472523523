"""Distances between sets of images: what the estimate is, and that it ranks as it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from cxrsearch.phantom.dataset import phantom_dataset
from cxrsearch.systems.gan.baselines import gaussian, mean_image, noise
from cxrsearch.systems.gan.judge import of_one_length
from cxrsearch.systems.gan.kid import kernel, kid, mmd2

RNG = np.random.default_rng


def test_the_estimate_is_the_mean_over_pairs_of_different_images() -> None:
    x, y = RNG(0).normal(size=(5, 3)), RNG(1).normal(size=(7, 3))

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float((a @ b / 3 + 1) ** 3)

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert kid(x, y, 0).value == pytest.approx(within_x + within_y - 2 * between)


def test_two_draws_of_one_distribution_are_at_no_distance_on_average() -> None:
    # Whatever their number: with the biased estimate 12 images would be far from 12 others.
    found = []
    for seed in range(400):
        x, y = RNG(seed).normal(size=(2, 12, 4))
        found.append(mmd2(kernel(x, x), kernel(y, y), kernel(x, y)))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert min(found) < 0 < max(found)


def test_an_interval_lies_around_its_distance_and_follows_from_the_seed() -> None:
    x, y = RNG(0).normal(size=(60, 4)), RNG(1).normal(1.5, size=(60, 4))
    found = kid(x, y, 7)
    low, high = found.interval
    assert 0 < low < found.value < high
    assert kid(x, y, 7) == found
    assert kid(x, y, 8).interval != found.interval


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 9 images"):
        kid(np.zeros((3, 2)), np.zeros((9, 2)), 0)


def test_the_worse_images_are_the_farther_they_are() -> None:
    dataset = phantom_dataset(images=60, seed=1)
    real = np.stack([dataset.source.decode(name, 32) for name in dataset.names])
    first, second = real[::2], real[1::2]
    blurred = np.stack([gaussian_filter(image, 0.75) for image in second])
    sets = [noise(30, 32, 0), mean_image(first, 30), blurred, second]
    found = [kid(_seen(images), _seen(first), 0).value for images in sets]
    assert found == sorted(found, reverse=True)
    assert found[0] > 5 * found[1]


def _seen(images: np.ndarray) -> np.ndarray:
    """(n, 64) features of a network that has learnt nothing."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n_in, n_out in ((1, 32), (32, 64), (64, 64)):
        conv = nn.Conv2d(n_in, n_out, 3, stride=2, bias=False)
        nn.init.kaiming_normal_(conv.weight)
        layers += [conv, nn.ReLU()]
    with torch.no_grad():
        grey = torch.from_numpy(images)[:, None].float() / 64
        features: np.ndarray = nn.Sequential(*layers)(grey).mean(dim=(2, 3)).numpy()
    return features


def test_a_gaussian_has_the_mean_and_the_spread_of_the_images() -> None:
    rng = RNG(0)
    # Two patterns of changing strength on grey: all that the images are, and the draws too.
    patterns = rng.normal(size=(2, 64))
    weights = rng.normal(size=(200, 2)) * 12
    images = np.rint(128 + weights @ patterns).clip(0, 255).astype(np.uint8).reshape(200, 8, 8)
    drawn = gaussian(images, 400, 3)
    assert drawn.shape == (400, 8, 8)
    assert np.abs(drawn.mean(axis=0) - images.mean(axis=0)).max() < 5
    assert drawn.std(axis=0).mean() == pytest.approx(images.std(axis=0).mean(), rel=0.15)
    np.testing.assert_array_equal(drawn, gaussian(images, 400, 3))


def test_features_of_one_length_let_no_few_images_decide() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(1.0, 0.3, (200, 16)).astype(np.float32)
    features[:4] *= 30  # a classifier is surer of some images
    found = of_one_length(features)
    np.testing.assert_allclose(np.square(found).mean(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[0] / found[0, 0], features[0] / features[0, 0], rtol=1e-4)
    raw, even = (kid(each[::2], each[1::2], 0).interval for each in (features, found))
    assert even[1] - even[0] < 0.01 * (raw[1] - raw[0])
    assert np.isfinite(of_one_length(np.zeros((2, 4), np.float32))).all()
