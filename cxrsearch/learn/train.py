"""One trial: train a recipe, score every epoch, keep the best one's weights.

Epochs are scored on the study's fixed validation subset; the best epoch by that score is
then scored once on the whole validation part, and that is the trial's value. What the network
said of the subset is kept of every epoch, however the trial ends: see `saved.epoch_scores`.

A checkpoint is written, while training goes on, as often as it costs little time. Its files
come in this order: weights of a new best epoch, checkpoint, scores of the epochs. A kill between
them costs the epochs since the last checkpoint and nothing else: it names the epoch whose weights
it goes with, and the weights of the best epoch before stay until it is written; it has the scores
of all epochs itself, out of which a run that goes on writes their file again. A run that is closed
leaves a checkpoint of its last epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from search.files import write_json
from search.objective import Step, TrialError
from search.seeds import derive

from .augment.sizes import size_shares
from .classifier import Learner
from .compute.device import is_out_of_memory
from .compute.options import ComputeOptions
from .data import Pixels, TrainData
from .metrics import auroc, judge, mean_auroc
from .recipe import Recipe, as_trained
from .saved.arrays import save_arrays
from .saved.best_weights import BestWeights
from .saved.epoch_scores import EPOCH_SCORES, HalfLogits, half_logits, save_epoch_scores
from .saved.keep import BEST, CHECKPOINT, PREVIOUS
from .session import Session
from .student import classifier_session

CURVE, PREDICTIONS = "curve.json", "val.npz"

EPOCH_LOGITS = "epoch_logits"
"""Where the book keeps what was said after each epoch, by its number."""


@dataclass(frozen=True)
class Result:
    """How a trained recipe does on the whole validation part.

    Args:
        value: mean AUROC over the objective's labels, of the best epoch.
        attrs: ``auroc``, ``interval``, ``intervals``, ``best_epoch``, ``epochs_run``,
            ``images_seen``, ``seconds``, ``parameters``, ``exposure``, ``notes``, ``split``,
            ``device``, ``precision``, ``threads``, ``micro_batch``; JSON-able.
        scores: (m, k) float32 probabilities of the validation part.
        others: the further objectives that were asked for.
    """

    value: float
    attrs: dict[str, Any]
    scores: np.ndarray
    others: tuple[float, ...] = ()


def train(
    recipe: Recipe,
    data: TrainData,
    *,
    seed: int,
    folder: Path,
    compute: ComputeOptions,
    resamples: int = 1000,
    measures: tuple[str, ...] = (),
) -> Generator[Step, None, Result]:
    """Train ``recipe``, or go on where ``folder``'s checkpoint left off.

    On a CPU, a run that was cut off and resumed equals one that was not, bit for bit,
    given the same seed, precision and number of threads. Closing the generator frees the memory.

    Args:
        recipe: what to train.
        data: images, labels and parts.
        seed: everything random derives from it and the epoch.
        folder: gets ``checkpoint.safetensors``, ``best.safetensors``, ``curve.json``,
            ``epochs.npz`` and, at the end, ``val.npz`` (names, labels, scores).
        compute: where and how fast.
        resamples: of the bootstrap.
        measures: further objectives, ``seconds`` or ``parameters``.

    Yields:
        one `Step` an epoch, those that the checkpoint remembers first.

    Raises:
        TrialError: for ``nan``, ``out of memory`` and ``bad data``.
        InputError: where starting weights cannot be had.
    """
    recipe = as_trained(recipe)
    best = BestWeights(folder, data.label_names)
    session = classifier_session(
        recipe,
        data,
        seed=seed,
        folder=folder,
        compute=compute,
        usable=lambda state: (
            _contradiction(state, recipe) or best.recover(state["book"]["best_epoch"])
        ),
    )
    run = _Run(session, best, measures)
    try:
        yield from run.remembered()
        while not run.finished:
            yield run.epoch()
        return run.result(resamples)
    except GeneratorExit:
        run.suspend()
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise TrialError("out of memory", str(error)) from error
        raise
    finally:
        run.close()


def _contradiction(state: dict[str, Any], recipe: Recipe) -> str | None:
    """What a checkpoint's values, held against each other and the recipe, do not agree in."""
    book, curve = state["book"], state["book"]["curve"]
    epochs = len(curve)
    if not 1 <= epochs <= recipe.epochs or [r["epoch"] for r in curve] != [*range(1, epochs + 1)]:
        return f"the curve in {CHECKPOINT} is not of 1 to {recipe.epochs} epochs"
    best = max(curve, key=lambda record: (record["value"], -record["epoch"]))
    if (best["epoch"], best["value"]) != (book["best_epoch"], book["best_value"]):
        return f"the best epoch in {CHECKPOINT} is not the best of its curve"
    if state["learner"]["schedule"]["last_epoch"] % epochs:
        return f"the steps in {CHECKPOINT} do not fit its {epochs} epochs"
    if not set(book.get(EPOCH_LOGITS, {})) <= set(range(1, epochs + 1)):
        return f"the scores in {CHECKPOINT} are not of its {epochs} epochs"
    return None


class _Run:
    """The state of one `train`."""

    def __init__(
        self, session: Session[Learner], best: BestWeights, measures: tuple[str, ...]
    ) -> None:
        self.session, self.best, self.measures = session, best, measures
        self.recipe, self.data, self.folder = session.recipe, session.data, session.folder
        self.book = session.book
        if not self.book:
            for name in (CHECKPOINT, BEST, PREVIOUS, CURVE, PREDICTIONS, EPOCH_SCORES):
                (self.folder / name).unlink(missing_ok=True)
            self.book.update(curve=[], best_epoch=0, best_value=-math.inf, exposure={}, drawn=0)
        else:
            write_json(self.folder / CURVE, self.book["curve"])  # may be an epoch behind
        self._saved = len(self.book["curve"])
        self._written: Collection[int] = ()
        self._val_pixels: Pixels | None = None

    @property
    def finished(self) -> bool:
        """Whether no further epoch will come."""
        done = len(self.book["curve"])
        waited = done - self.book["best_epoch"]
        impatient = 0 < self.recipe.patience <= waited
        return done >= self.recipe.epochs or (done > 0 and impatient)

    def remembered(self) -> Iterator[Step]:
        """The steps that the checkpoint knows of, which may not have been reported."""
        for number in range(1, len(self.book["curve"]) + 1):
            yield self._step(number)

    def epoch(self) -> Step:
        """Train for one epoch, score it, save what is due, and report."""
        wanted = len(self.book["curve"]) + 1
        while len(self.book["curve"]) < wanted:  # earlier ones again, where memory ran out
            self._epoch()
        if self.session.due:
            self._save()
        return self._step(wanted)

    def _epoch(self) -> None:
        start = time.perf_counter()
        number, rate, loss, scores, exposure = self.session.work(self._train_and_score)
        rows = self.data.val_seed
        value = mean_auroc(auroc(self.data.labels[rows], scores)[list(self.data.columns)])
        if not math.isfinite(value):
            raise TrialError(
                "bad data", "no label of the objective has both positives and negatives "
                "in the validation subset; use more data or another --seed"
            )  # fmt: skip
        self._count(exposure)
        self.book["parameters"] = trainable(self.session.learner.model)
        if value > self.book["best_value"]:
            self.best.keep(self.session.learner.weights(), number, value)
            self.book.update(best_epoch=number, best_value=value)
            self.book["best_scores"] = torch.from_numpy(scores)
        half = map(torch.from_numpy, half_logits(scores))
        self.book.setdefault(EPOCH_LOGITS, {})[number] = tuple(half)
        seconds = round(time.perf_counter() - start, 3)
        self.book["curve"].append(
            {"epoch": number, "loss": loss, "lr": rate, "value": value, "seconds": seconds}
        )
        write_json(self.folder / CURVE, self.book["curve"])

    def _train_and_score(self) -> tuple[int, float, float, np.ndarray, dict[str, float]]:
        learner, number = self.session.learner, len(self.book["curve"]) + 1
        rate = learner.rate
        loss = learner.epoch(number)
        self.session.take_notes()
        if not math.isfinite(loss):
            raise TrialError("nan", f"the mean loss of epoch {number} is {loss}")
        if self._val_pixels is None:
            self._val_pixels = self._pixels(self.data.val_seed)
        scores = learner.scores(self._val_pixels)
        if not np.isfinite(scores).all():
            raise TrialError("nan", f"scores after epoch {number} are not finite")
        exposure = learner.sampler.exposure(learner.sampler.draw(number))
        return number, rate, loss, scores, exposure

    def _save(self) -> None:
        """Begin to write weights, checkpoint and scores; what a checkpoint names stays until it
        is there."""
        write_scores = self._scores_writer()

        def then() -> None:
            self.best.forget_previous()
            write_scores()

        self.session.save(first=self.best.writer(), then=then)
        self._saved = len(self.book["curve"])

    def _scores_writer(self) -> Callable[[], None]:
        """A function that writes the scores of the epochs so far, where they are not yet.

        A thread may call it later, when there are more epochs. Those of a checkpoint that are of
        other images, as where one can be read no longer, are left out.
        """
        names = self.data.names[self.data.val_seed]
        shape = (len(names), self.data.labels.shape[1])
        kept = {
            number: HalfLogits(*(tensor.numpy() for tensor in pair))
            for number, pair in self.book.get(EPOCH_LOGITS, {}).items()
            if pair[0].shape == shape
        }

        def write() -> None:
            if kept and kept.keys() != set(self._written):
                save_epoch_scores(self.folder, names, kept)
                self._written = kept.keys()

        return write

    def suspend(self) -> None:
        """Leave a checkpoint of the last epoch, for whoever goes on."""
        with suppress(OSError):  # without it, the one before will do
            if len(self.book["curve"]) > self._saved:
                self._save()
            self.session.settle()

    def _pixels(self, rows: np.ndarray) -> Pixels:
        learner = self.session.learner
        return Pixels(self.data, rows, self.recipe, learner.device, learner.room)

    def _count(self, exposure: dict[str, float]) -> None:
        """Take an epoch's exposure into the mean over epochs."""
        self.book["drawn"] += self.session.learner.images_per_epoch
        done, mean = len(self.book["curve"]), self.book["exposure"]
        self.book["exposure"] = {
            name: (mean.get(name, 0.0) * done + share) / (done + 1)
            for name, share in exposure.items()
        }

    def _step(self, number: int) -> Step:
        curve = self.book["curve"][:number]
        record = curve[-1]
        best = max(curve, key=lambda r: (r["value"], -r["epoch"]))
        latest = number == len(self.book["curve"])
        attrs: dict[str, Any] = {
            "best_epoch": best["epoch"],
            "epochs_run": number,
            "images_seen": self.book["drawn"] * number // len(self.book["curve"]),
            "seconds": round(sum(r["seconds"] for r in curve), 3),
            "parameters": self.book.get("parameters"),
        }
        if number == 1:
            attrs |= {"split": self.data.split, **self._computed}
        if latest:
            attrs |= {"exposure": self.book["exposure"], "notes": self.session.notes}
        last = latest and self.finished
        others = self._costs(number, number if last else self.recipe.epochs)
        return Step(number, record["value"], attrs, last, others)

    @property
    def _computed(self) -> dict[str, Any]:
        """Where and how the training computed."""
        session = self.session
        return {
            "device": str(session.device),
            "precision": session.precision_used,
            "threads": session.threads_used,
            "micro_batch": session.micro,
        }

    def _costs(self, number: int, epochs: int) -> tuple[float, ...]:
        """The further objectives by the first ``number`` epochs, for ``epochs`` of them."""
        curve = self.book["curve"][:number]
        shares = size_shares(self.recipe)[:epochs]
        return costs(self.measures, curve, shares, self.book.get("parameters", 0))

    def result(self, resamples: int) -> Result:
        """Score the best epoch on the whole validation part."""
        data, rows = self.data, self.data.val
        if np.array_equal(rows, data.val_seed):
            scores = self.book["best_scores"].numpy()
        else:
            scores = self._score_best()
        self.session.settle()
        self.best.write()
        self._scores_writer()()
        labels = data.labels[rows]
        save_arrays(self.folder / PREDICTIONS, names=data.names[rows], labels=labels, scores=scores)
        value, details, notes = judge(
            labels, scores, data.patients[rows], data.columns, resamples,
            derive(self.session.seed, "bootstrap"), data.label_names,
        )  # fmt: skip
        attrs = dict(self._step(len(self.book["curve"])).attrs) | {
            "split": data.split,
            **self._computed,
            **details,
            "notes": [*self.session.notes, *notes],
        }
        epochs = len(self.book["curve"])
        return Result(value, attrs, scores, self._costs(epochs, epochs))

    def _score_best(self) -> np.ndarray:
        weights, book = self.best.weights(), dict(self.book)

        def score() -> np.ndarray:
            learner = self.session.learner
            learner.adopt(weights)
            return learner.scores(self._pixels(self.data.val))

        scores = self.session.work(score)
        if len(self.book["curve"]) < len(book["curve"]):  # memory ran out: back to a checkpoint
            self.book.update(book)
            self.best.keep(weights, book["best_epoch"], book["best_value"])
        return scores

    def close(self) -> None:
        self._val_pixels = None
        self.session.close()
        with suppress(OSError):  # of a trial that failed, too
            self._scores_writer()()


def trainable(model: nn.Module) -> int:
    """The number of weights that training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def costs(
    measures: Iterable[str],
    curve: Sequence[Mapping[str, Any]],
    shares: Sequence[float],
    parameters: int,
) -> tuple[float, ...]:
    """The further objectives of a trial, in the order of ``measures``.

    Args:
        measures: ``seconds`` or ``parameters``; see `cxrsearch.objectives.MEASURES`.
        curve: the epochs so far, each with its ``seconds``.
        shares: pixels of an image in each epoch that the trial has run or is going to run, as
            shares of the most; 1 unless its input grows.
        parameters: of its model, as from `trainable`.
    """
    # The median: the first epoch builds the model, and a busy machine makes outliers.
    each = (float(record["seconds"]) / share for record, share in zip(curve, shares, strict=False))
    known = {
        "seconds": median(each) * sum(shares),
        "parameters": float(parameters),
    }
    return tuple(known[name] for name in measures)
