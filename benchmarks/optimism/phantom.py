"""Whole searches by the engine on phantom X-rays; the chosen model is judged by images aside."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cxrsearch.learn.metrics import auroc, mean_auroc
from search import Budget, Halving, Outcome, SearchSpace, Step, Study, StudyConfig, run_serial
from search.objective import Steps, Task

from .drawn import Drawn
from .judging import Repetition, repetition

SPACE = {
    "name": "small-network",
    "genes": {
        "lr": {"low": 3e-4, "high": 3e-2, "log": True},
        "decay": {"low": 1e-4, "high": 1.0, "log": True},
        "hidden": {"low": 4, "high": 64, "log": True, "type": "int"},
        "blur": {"choices": [1, 2, 4]},
        "noise": {"low": 0.0, "high": 1.0},
        "flip": {"choices": [False, True]},
        "batch": {"choices": [32, 128]},
    },
}
EPOCHS = 8


@dataclass(frozen=True)
class Setup:
    """How large a search is.

    Args:
        train: images of training, about.
        val: patients of validation.
        trials: how many.
    """

    train: int = 400
    val: int = 200
    trials: int = 20


def small(pixels: np.ndarray, blur: int) -> np.ndarray:
    """(n, side, side) uint8 as (n, features), averaged over squares of so many pixels."""
    n, side, _ = pixels.shape
    shape = (n, side // blur, blur, side // blur, blur)
    return pixels.reshape(shape).mean(axis=(2, 4), dtype=np.float32).reshape(n, -1)


class Network:
    """One hidden layer, trained by Adam with decoupled weight decay, in NumPy.

    Args:
        inputs: features.
        hidden: units of the hidden layer.
        outputs: labels.
        lr: learning rate.
        decay: weight decay.
        rng: of the starting weights.
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, lr: float, decay: float,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        sizes = [(inputs, hidden), (hidden,), (hidden, outputs), (outputs,)]
        self.weights = [
            (rng.standard_normal(size) / np.sqrt(size[0])).astype(np.float32)
            if len(size) == 2
            else np.zeros(size, dtype=np.float32)
            for size in sizes
        ]
        self.lr, self.decay, self.steps = lr, decay, 0
        self.first = [np.zeros_like(each) for each in self.weights]
        self.second = [np.zeros_like(each) for each in self.weights]

    def logits(self, x: np.ndarray) -> np.ndarray:
        """(n, features) to (n, labels)."""
        a, b, c, d = self.weights
        return np.asarray(np.maximum(x @ a + b, 0) @ c + d)

    def learn(self, x: np.ndarray, labels: np.ndarray) -> None:
        """One step on a batch, by binary cross-entropy."""
        a, b, c, d = self.weights
        hidden = np.maximum(x @ a + b, 0)
        error = 1 / (1 + np.exp(-(hidden @ c + d))) - labels
        error /= len(x)
        back = (error @ c.T) * (hidden > 0)
        self.steps += 1
        for at, slope in enumerate((x.T @ back, back.sum(0), hidden.T @ error, error.sum(0))):
            self.first[at] += 0.1 * (slope - self.first[at])
            self.second[at] += 0.01 * (slope**2 - self.second[at])
            mean = self.first[at] / (1 - 0.9**self.steps)
            scale = np.sqrt(self.second[at] / (1 - 0.99**self.steps)) + 1e-8
            self.weights[at] -= self.lr * (mean / scale + self.decay * self.weights[at])


@dataclass
class Training:
    """A search's objective: trains a small network, and keeps all it was judged by.

    Args:
        train: images to learn from.
        val: images to choose by.
        kept: number of a trial -> its networks' weights and validation logits, epoch by epoch.
    """

    train: Drawn
    val: Drawn
    kept: dict[int, list[tuple[list[np.ndarray], np.ndarray]]] = field(default_factory=dict)

    def __call__(self, task: Task) -> Steps:
        """Train trial ``task``."""
        genes = task.params
        rng = np.random.default_rng(task.seed)
        images = small(self.train.pixels, genes["blur"])
        middle, spread = images.mean(axis=0), images.std() + 1e-6
        inputs = (images - middle) / spread
        val = (small(self.val.pixels, genes["blur"]) - middle) / spread
        side = self.train.pixels.shape[1] // genes["blur"]
        labels = self.train.labels.astype(np.float32)
        network = Network(
            inputs.shape[1], genes["hidden"], labels.shape[1], genes["lr"], genes["decay"], rng
        )
        kept = self.kept[task.number] = []
        best = -np.inf
        for epoch in range(1, EPOCHS + 1):
            order = rng.permutation(len(inputs))
            for start in range(0, len(order), genes["batch"]):
                rows = order[start : start + genes["batch"]]
                x = inputs[rows]
                if genes["flip"] and rng.random() < 0.5:
                    x = x.reshape(len(x), side, side)[:, :, ::-1].reshape(len(x), -1)
                x = x + genes["noise"] * rng.standard_normal(x.shape, dtype=np.float32)
                network.learn(x, labels[rows])
            logits = network.logits(val).astype(np.float16)
            weights = [each.copy() for each in network.weights]
            kept.append(([*weights, middle, np.float32(spread)], logits))
            value = mean_auroc(auroc(self.val.labels, logits))
            best = max(best, value)
            yield Step(epoch, value, last=epoch == EPOCHS)
        return Outcome(best)


def judged(weights: list[np.ndarray], judge: Drawn, averaged: dict[int, np.ndarray]) -> np.ndarray:
    """(k,) AUROC of kept weights on the judge's images; ``averaged`` has them by features."""
    a, b, c, d, middle, spread = weights
    x = (averaged[len(a)] - middle) / spread
    return auroc(judge.labels, (np.maximum(x @ a + b, 0) @ c + d).astype(np.float32))


def _some(pool: Drawn, patients: np.ndarray) -> Drawn:
    rows = np.flatnonzero(np.isin(pool.patients, patients))
    return Drawn(pool.pixels[rows], pool.labels[rows], pool.patients[rows])


@dataclass(frozen=True)
class Judge:
    """Images that judge, with their pixels averaged over squares, by the number of features."""

    images: Drawn
    averaged: dict[int, np.ndarray]

    @classmethod
    def of(cls, images: Drawn) -> Judge:
        """Of the images."""
        side = images.pixels.shape[1]
        return cls(images, {(side // by) ** 2: small(images.pixels, by) for by in (1, 2, 4)})


def one(
    pool: Drawn, judge: Judge, setup: Setup, number: int, draws: int, alternatives: int
) -> Repetition:
    """Search, choose the best epoch of the best trial, and report.

    Args:
        pool: the search draws patients for training and validation out of these.
        judge: other patients' images, on which the chosen model's true value is measured.
        setup: how large a search is.
        number: of the search; another number, another search.
        draws: of the correction.
        alternatives: draws of the methods not taken; 0: leave them out.
    """
    rng = np.random.default_rng([number, setup.val])
    everyone = np.unique(pool.patients)
    turned = rng.permutation(everyone)
    end = setup.val + round(setup.train * len(everyone) / len(pool.patients))
    training = Training(_some(pool, turned[setup.val : end]), _some(pool, turned[: setup.val]))
    config = StudyConfig(
        "phantom", "genetic", seed=number, n_trials=setup.trials,
        halving=Halving(2, reduction=3, longest=EPOCHS),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        space = SearchSpace.from_dict(SPACE)
        with Study.create(Path(folder) / "study", space, config) as study:
            run_serial(study, training, Budget(trials=setup.trials))
    epochs = [epoch for trial in sorted(training.kept) for epoch in training.kept[trial]]
    scores = np.stack([logits for _, logits in epochs])
    labels = training.val.labels.astype(float)
    seen = np.array([mean_auroc(auroc(labels, each)) for each in scores])
    # The best alone, with those that are as good: to judge all takes longer than the search.
    true = np.full((len(scores), labels.shape[1]), np.nan)
    for at in np.flatnonzero(seen > seen.max() - 1e-9):
        true[at] = judged(epochs[at][0], judge.images, judge.averaged)
    return repetition(scores, labels, training.val.patients, true, draws, alternatives, number)
