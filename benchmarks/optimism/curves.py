"""Simulated searches with known true values: recipes, seeds, epochs, early stopping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from .judging import Repetition, repetition


@dataclass(frozen=True)
class Search:
    """What a simulated search is made of.

    A trial's score of an image is, in each label, ``separation * label + noise``, with noise of
    variance 1 whose parts are the image's own difficulty, common to all trials; what the trial's
    seed makes of the image; and what moves from epoch to epoch. So the true AUROC is
    Phi(separation / sqrt 2). The separation rises over the epochs and falls again in some trials.

    Args:
        patients: in validation.
        trials: how many.
        epochs: of a trial that is trained to its end.
        labels: how many; the rarest has 1% of the images.
        recipes: standard deviation of separation between recipes.
        seeds: between trainings of the same recipe, and between labels of one training.
        shared: share of the noise that all trials have in common.
        own: share that a trial has to itself over all its epochs; the rest is the epochs'.
        keep: share of trials that go on at a third and at two thirds of the epochs.
    """

    patients: int = 300
    trials: int = 100
    epochs: int = 12
    labels: int = 8
    recipes: float = 0.10
    seeds: float = 0.04
    shared: float = 0.55
    own: float = 0.30
    keep: float = 0.5


def drawn(search: Search, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One search: scores (models, n, k), labels (n, k), patients (n,), true AUROC (models, k)."""
    images = rng.choice([1, 1, 1, 1, 2], size=search.patients)
    patients = np.repeat(np.arange(search.patients), images)
    shape = len(patients), search.labels
    prevalence = np.geomspace(0.01, 0.25, search.labels)
    # Patients are more or less ill; an image's finding is often that of the image before.
    ill = rng.standard_normal((search.patients, search.labels))[patients]
    labels = (ndtr(0.7 * ill + 0.51**0.5 * rng.standard_normal(shape)) < prevalence).astype(float)
    common = search.shared**0.5 * rng.standard_normal(shape).astype(np.float32)
    height = np.linspace(0.6, 1.3, search.labels)  # of separation: AUROC of 0.66 to 0.82
    scores, true, observed = [], [], np.full((search.trials, search.epochs), -np.inf)
    position = np.arange(1, search.epochs + 1) / search.epochs
    for trial in range(search.trials):
        recipe = search.recipes * rng.standard_normal()
        seed = search.seeds * rng.standard_normal(search.labels + 1)
        speed, fall = rng.uniform(2, 8), max(0.0, rng.normal(0, 0.15))
        rise = 1 - np.exp(-speed * position) - fall * np.maximum(0, position - 0.5)
        wobble = 0.5 * search.seeds * rng.standard_normal((search.epochs, 1))
        level = height + recipe + seed[0] + seed[1:]
        separation = np.maximum(0, rise[:, None] * level + wobble)
        own = search.own**0.5 * rng.standard_normal(shape, dtype=np.float32)
        rest = max(0.0, 1 - search.shared - search.own) ** 0.5
        moving = rest * rng.standard_normal((search.epochs, *shape), dtype=np.float32)
        noise = common + own + moving
        scores.append((separation[:, None, :] * labels + noise).astype(np.float16))
        true.append(ndtr(separation / 2**0.5))
        # Stopping goes by what a search sees, roughly: the true value and the patients' luck.
        observed[trial] = true[-1].mean(axis=1) + 0.01 * rng.standard_normal(search.epochs)
    going = np.arange(search.trials)
    last = np.full(search.trials, search.epochs)
    for rung in (search.epochs // 3, 2 * search.epochs // 3):
        ranked = going[np.argsort(-observed[going, rung - 1])]
        stay = max(1, round(search.keep * len(ranked)))
        last[ranked[stay:]] = rung
        going = ranked[:stay]
    return (
        np.concatenate([each[:end] for each, end in zip(scores, last, strict=True)]),
        labels,
        patients,
        np.concatenate([each[:end] for each, end in zip(true, last, strict=True)]),
    )


def one(search: Search, number: int, draws: int, alternatives: int) -> Repetition:
    """Simulate a search, choose the best epoch of the best trial, and report.

    Args:
        search: what it is made of.
        number: of the repetition; another number, another search.
        draws: of the correction.
        alternatives: draws of the methods not taken; 0: leave them out.
    """
    rng = np.random.default_rng([search.patients, search.trials, search.epochs, number])
    scores, labels, patients, true = drawn(search, rng)
    return repetition(scores, labels, patients, true, draws, alternatives, number)
