"""Real logits: validation patients are drawn from real ones, and all of them are the population."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from cxrsearch.learn.metrics import auroc

from .judging import Repetition, repetition


@dataclass(frozen=True)
class Population:
    """Models, their scores of every patient, and what they are worth on all of them.

    Args:
        scores: (models, n, k) float16.
        labels: (n, k) of 0 and 1.
        rows: of each patient, where theirs are.
        true: (models, k) AUROC over all rows.
    """

    scores: np.ndarray
    labels: np.ndarray
    rows: list[np.ndarray]
    true: np.ndarray

    @classmethod
    def read(cls, file: Path, one_image: bool = False) -> Self:
        """From a NumPy file of ``labels``, ``patient`` and an array of logits a model.

        Args:
            file: the file.
            one_image: of each patient take one image, drawn once and for all.
        """
        with np.load(file, allow_pickle=False) as kept:
            labels, patient = kept["labels"], kept["patient"]
            models = [name for name in kept.files if name not in ("labels", "patient")]
            scores = np.stack([kept[name] for name in models])
        if one_image:
            turned = np.random.default_rng(0).permutation(len(patient))
            first = turned[np.unique(patient[turned], return_index=True)[1]]
            scores, labels, patient = scores[:, first], labels[first], patient[first]
        order = np.argsort(patient, kind="stable")
        starts = np.unique(patient[order], return_index=True)[1]
        true = np.stack([auroc(labels, model) for model in scores])
        return cls(scores, labels, np.split(order, starts[1:]), true)


@dataclass(frozen=True)
class Situation:
    """What is drawn in each repetition.

    Args:
        patients: how many, with replacement: each is a new one from the population.
        models: how many of the models take part, drawn anew each time.
        labels: how many of the labels are scored, drawn anew each time.
        jitter: standard deviation of noise on the logits, in each model's and label's own; more
            models than there are then are noisy copies.
    """

    patients: int
    models: int
    labels: int
    jitter: float = 0.0


def of_models(population: Population, jitter: float) -> Population:
    """With a noisy copy of each model beside it; without ``jitter`` as it is."""
    if not jitter:
        return population
    scores = population.scores
    spread = scores.astype(np.float32).std(axis=1, keepdims=True)
    noise = np.random.default_rng(0).standard_normal(scores.shape, dtype=np.float32)
    noisy = (scores + jitter * spread * noise).astype(np.float16)
    more = np.stack([auroc(population.labels, model) for model in noisy])
    return replace(
        population,
        scores=np.concatenate([scores, noisy]),
        true=np.concatenate([population.true, more]),
    )


def one(
    population: Population, situation: Situation, number: int, draws: int, alternatives: int
) -> Repetition:
    """Draw validation patients, choose the best of the models, and report.

    Args:
        population: whom patients are drawn from.
        situation: how many patients, models and labels.
        number: of the repetition; another number, other patients.
        draws: of the correction.
        alternatives: draws of the methods not taken; 0: leave them out.
    """
    rng = np.random.default_rng([situation.patients, situation.models, situation.labels, number])
    while True:
        picked = rng.integers(len(population.rows), size=situation.patients)
        drawn = [population.rows[patient] for patient in picked]
        rows = np.concatenate(drawn)
        patients = np.repeat(np.arange(len(drawn)), [len(each) for each in drawn])
        models = np.sort(rng.permutation(len(population.scores))[: situation.models])
        columns = np.sort(rng.permutation(population.scores.shape[2])[: situation.labels])
        labels = population.labels[np.ix_(rows, columns)].astype(float)
        if any(0 < column.sum() < len(column) for column in labels.T):
            break  # else there is nothing to choose by
    scores = population.scores[np.ix_(models, rows, columns)]
    true = population.true[np.ix_(models, columns)]
    return repetition(scores, labels, patients, true, draws, alternatives, number)
