from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.phantom.labels import (
    MINIMUM_PREVALENCE,
    NIH_COUNTS,
    NIH_IMAGES,
    draw_labels,
    joint_probability,
    latent_correlation,
    prevalences,
)

COUNTS = np.array(NIH_COUNTS)


def pairs(matrix: np.ndarray) -> np.ndarray:
    return matrix[np.triu_indices(len(DISEASES), 1)]


def odds_ratios(both: np.ndarray, alone: np.ndarray, images: float) -> np.ndarray:
    """How much more likely two diseases are together than apart, for each pair.

    Args:
        both: (14, 14) counts of images with both.
        alone: (14,) counts of images with the one, whatever else they have.
        images: number of images.

    Returns:
        (14, 14) array of odds ratios; half an image is added to each cell (Haldane).
    """
    first = alone[:, None] - both
    second = alone[None, :] - both
    neither = images - both - first - second
    odds = (both + 0.5) * (neither + 0.5) / ((first + 0.5) * (second + 0.5))
    return np.asarray(odds)


def test_the_table_is_a_table_of_counts() -> None:
    assert COUNTS.shape == (14, 14)
    assert (COUNTS == COUNTS.T).all()
    assert (np.minimum.outer(COUNTS.diagonal(), COUNTS.diagonal()) >= COUNTS).all()


def test_the_latent_correlation_is_one() -> None:
    correlation = latent_correlation()
    assert np.allclose(correlation, correlation.T)
    assert np.allclose(correlation.diagonal(), 1)
    assert np.linalg.eigvalsh(correlation).min() > 0


def test_joint_probability_agrees_with_a_known_orthant() -> None:
    # P(both > 0) = 1/4 + asin(r) / (2 pi)
    r = np.array([[1.0, 0.6], [0.6, 1.0]])
    joint = joint_probability(np.array([0.5, 0.5]), r)
    assert joint[0, 1] == pytest.approx(0.25 + np.arcsin(0.6) / (2 * np.pi), abs=1e-9)


def test_the_copula_gives_back_nihs_co_occurrences() -> None:
    with np.errstate(all="ignore"):
        joint = joint_probability(prevalences(0.0), latent_correlation()) * NIH_IMAGES
    assert np.allclose(pairs(joint), pairs(COUNTS), rtol=0.1, atol=5)


def test_drawn_labels_have_the_prevalences_asked_for() -> None:
    for minimum in (0.0, MINIMUM_PREVALENCE):
        drawn = draw_labels(np.random.default_rng(1), 20_000, minimum)
        assert drawn.dtype == np.uint8
        wanted = prevalences(minimum)
        error = 4.5 * np.sqrt(wanted * (1 - wanted) / len(drawn))
        assert (np.abs(drawn.mean(0) - wanted) < error).all()


def test_drawn_labels_go_together_as_nihs_do() -> None:
    wanted = np.log(odds_ratios(COUNTS, COUNTS.diagonal(), NIH_IMAGES))
    drawn = draw_labels(np.random.default_rng(2), 40_000, 0.0).astype(int)
    both = drawn.T @ drawn
    enough = pairs(COUNTS) > 300  # about 100 expected among the 40,000
    got = np.log(odds_ratios(both, both.diagonal(), len(drawn)))
    assert np.abs(pairs(got) - pairs(wanted))[enough].max() < 0.4


def test_enrichment_keeps_who_goes_with_whom() -> None:
    wanted = np.log(odds_ratios(COUNTS, COUNTS.diagonal(), NIH_IMAGES))
    drawn = draw_labels(np.random.default_rng(3), 20_000).astype(int)
    both = drawn.T @ drawn
    got = np.log(odds_ratios(both, both.diagonal(), len(drawn)))
    assert np.corrcoef(pairs(got), pairs(wanted))[0, 1] > 0.85
    assert (both.diagonal() / len(drawn) > 0.07).all()
