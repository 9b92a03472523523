"""Real logits: validation patients are drawn from real ones, and all of them are the population."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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


def repetitions(
    population: Population,
    situation: Situation,
    count: int,
    draws: int,
    alternatives: int,
    alternative_draws: int,
    seed: int = 0,
) -> Iterator[Repetition]:
    """Draw validation patients, choose the best of the models, and report.

    Args:
        population: whom patients are drawn from.
        situation: how many patients, models and labels.
        count: of repetitions.
        draws: of the correction.
        alternatives: in so many repetitions the methods not taken are asked too.
        alternative_draws: theirs.
        seed: of everything.
    """
    rng = np.random.default_rng([seed, situation.patients, situation.models, situation.labels])
    scores, true = population.scores, population.true
    if situation.jitter:
        spread = scores.astype(np.float32).std(axis=1, keepdims=True)
        noise = rng.standard_normal(scores.shape, dtype=np.float32)
        noisy = (scores + situation.jitter * spread * noise).astype(np.float16)
        true = np.concatenate([true, [auroc(population.labels, model) for model in noisy]])
        scores = np.concatenate([scores, noisy])
    done = 0
    while done < count:
        drawn = [
            population.rows[i] for i in rng.integers(len(population.rows), size=situation.patients)
        ]
        rows = np.concatenate(drawn)
        patients = np.repeat(np.arange(len(drawn)), [len(each) for each in drawn])
        models = np.sort(rng.permutation(len(scores))[: situation.models])
        columns = np.sort(rng.permutation(scores.shape[2])[: situation.labels])
        labels = population.labels[np.ix_(rows, columns)].astype(float)
        if not any(0 < column.sum() < len(column) for column in labels.T):
            continue  # nothing could be chosen by
        yield repetition(
            scores[np.ix_(models, rows, columns)], labels, patients, true[np.ix_(models, columns)],
            draws, alternative_draws if done < alternatives else 0, done,
        )  # fmt: skip
        done += 1
