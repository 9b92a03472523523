"""One cell of an ablation: one arm with one seed, trained within its budget, cut off anywhere.

A cell is made of fits, each in a folder of its own below the cell's. A fit that is done leaves
its scores there and is not trained again; one that was cut off goes on from its checkpoint.
The outputs on the test images are computed as soon as a fit is done, so that no weights have to
be kept, and stored without labels: what they are worth is computed once, at the end of the whole
study (`cxrsearch.ablation.verdict`).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.errors import InputError
from cxrsearch.learn.compute.isolate import isolated
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.objective import TrialConfig
from cxrsearch.learn.pseudo import extra
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_arrays, save_arrays
from cxrsearch.learn.saved.keep import BEST, CHECKPOINT, PREVIOUS
from cxrsearch.learn.train import CURVE, train
from cxrsearch.model.folder import LoadedModel, trial_model
from search.files import write_json
from search.objective import Step
from search.reading import FileError, read_json
from search.seeds import derive

from .plan import FORWARD, Plan, allotted, image_steps

DONE, SCORES = "done.json", "scores.npz"


@dataclass(frozen=True)
class Scores:
    """Probabilities, (m, 14) of the validation images and (t, 14) of the test images, float32."""

    val: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Fitted(Scores):
    """A trained recipe.

    Args:
        recipe: as it was trained.
        value: mean AUROC of its best epoch on the validation part.
        folder: holds ``best.safetensors`` where the weights were to be kept.
        parameters: weights that training changed.
    """

    recipe: Recipe
    value: float
    folder: Path
    parameters: int = 0


Fit = Generator[Step, None, Fitted]
CellRun = Generator[Step, None, Scores]


@dataclass
class Cell:
    """What an arm trains with.

    Args:
        plan: what all arms share.
        config: how trials train.
        data: the study's images, labels and parts.
        test: rows of the test images.
        seed: of this repeat, the same for all arms.
        folder: the cell's.
        unlabelled: rows of the images without a label.

    Attributes:
        spent: image-steps so far.
        notes: what people should know.
    """

    plan: Plan
    config: TrialConfig
    data: TrainData
    test: np.ndarray
    seed: int
    folder: Path
    unlabelled: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    spent: float = 0.0
    notes: list[str] = field(default_factory=list)
    _steps: int = 0

    @property
    def recipe(self) -> Recipe:
        """The baseline's recipe."""
        return self.plan.recipe

    @property
    def images(self) -> float:
        """Image-steps that are left of the budget."""
        return max(0.0, self.plan.images - self.spent)

    def allotted(self, recipe: Recipe, images: float, pool: int | None = None) -> Recipe:
        """``recipe`` cut to ``images`` image-steps; see `cxrsearch.equal_compute.plan.allotted`.

        Args:
            recipe: to be trained.
            images: image-steps.
            pool: images that its epochs draw from; None: the training part.
        """
        return allotted(recipe, images, pool or self.plan.train_images, self.recipe)

    def seed_of(self, name: str) -> int:
        """A seed of this repeat that belongs to ``name``."""
        return derive(self.seed, "fit", name)

    def fit(
        self,
        name: str,
        recipe: Recipe,
        images: float | None = None,
        *,
        seed: int | None = None,
        data: TrainData | None = None,
        keep: bool = False,
    ) -> Fit:
        """Train ``recipe`` for ``images`` image-steps, and score its best epoch.

        Args:
            name: of its folder below the cell's.
            recipe: what to train; epochs and share of the images follow from ``images``.
            images: image-steps; None: all that are left.
            seed: the repeat's own where None.
            data: other data than the study's, such as further training images.
            keep: whether the weights stay, for a later fit; see `Cell.forget`.

        Yields:
            a step an epoch.
        """
        data = data or self.data
        added = extra(data.pseudo, data.pseudo_rows, recipe)
        pool = len(data.train) + (0 if added is None else len(added.rows))
        exact = self.allotted(recipe, self.images if images is None else images, pool)
        folder = self.folder / name
        done = _read_done(folder)
        if done is None:
            yield from self._train(exact, data, self.seed if seed is None else seed, folder)
            done = _read_done(folder)
            assert done is not None
        else:
            yield from self._again(folder)
        self.advance(int(done["epochs"]))
        run = replace(exact, epochs=int(done["epochs"]))  # fewer where patience was over
        self.spent += image_steps(run, pool, self.recipe)
        self.notes += [note for note in done["notes"] if note not in self.notes]
        if not keep:
            self.forget(name)
        scores = load_arrays(folder / SCORES, ("val", "test"))
        value, parameters = float(done["value"]), int(done["parameters"])
        return Fitted(scores["val"], scores["test"], exact, value, folder, parameters)

    def _train(
        self, recipe: Recipe, data: TrainData, seed: int, folder: Path
    ) -> Generator[Step, None, None]:
        steps = train(
            recipe, data, seed=seed, folder=folder, compute=self.config.compute, resamples=1
        )
        try:
            while True:
                step = next(steps)
                yield self.step(step.number, step.value)
        except StopIteration as stop:
            result = stop.value
        finally:
            steps.close()
        test = self.score(recipe, folder / BEST, self.test)
        save_arrays(folder / SCORES, val=result.scores, test=test)
        for left in (CHECKPOINT, PREVIOUS):
            (folder / left).unlink(missing_ok=True)
        attrs = result.attrs
        write_json(
            folder / DONE,
            {"value": result.value, "epochs": attrs["epochs_run"], "notes": attrs["notes"],
             "best_epoch": attrs["best_epoch"], "parameters": attrs["parameters"],
             "seed": seed, "seconds": attrs["seconds"]},
        )  # fmt: skip

    def _again(self, folder: Path) -> Generator[Step, None, None]:
        """The steps of a fit that is done, which may not have been reported before a kill."""
        # They are for the curve alone.
        with suppress(OSError, FileError, LookupError, TypeError, ValueError):
            for epoch in read_json(folder / CURVE):
                yield self.step(int(epoch["epoch"]), float(epoch["value"]))

    def step(self, number: int, value: float) -> Step:
        """A fit's step ``number`` as a step of the cell."""
        attrs = {"images_seen": round(self.spent), "device": self.config.compute.device}
        return Step(self._steps + number, value, attrs)

    def advance(self, steps: int) -> None:
        """Number the steps to come after ``steps`` further ones."""
        self._steps += steps

    def count(self, images: float) -> None:
        """Take ``images`` image-steps, spent outside of a fit, off the budget."""
        self.spent += images

    def forward(self, images: int) -> float:
        """Image-steps of taking ``images`` images forward only."""
        return images * FORWARD

    def forget(self, name: str) -> None:
        """Delete the weights of the fit ``name``."""
        (self.folder / name / BEST).unlink(missing_ok=True)

    def score(self, recipe: Recipe, weights: Path, rows: np.ndarray) -> np.ndarray:
        """(m, k) float32 probabilities of the images ``rows`` by weights on the disk."""
        with isolated(self.config.compute, self.seed):
            return self.model(recipe, weights).predict(self.data.images, rows)

    def model(self, recipe: Recipe, weights: Path) -> LoadedModel:
        """The network of ``recipe`` with weights on the disk, ready to predict."""
        frame = self.data.images.shape[1]
        return trial_model(weights, recipe, self.data.label_names, frame, self.config.compute)


def _read_done(folder: Path) -> dict[str, Any] | None:
    """What a fit that is done left behind; None where it isn't, or can't be read."""
    try:
        found = read_json(folder / DONE)
    except (OSError, FileError):
        return None
    wanted = {"value", "epochs", "notes", "parameters"}
    if not isinstance(found, dict) or not wanted <= set(found):
        return None
    try:
        load_arrays(folder / SCORES, ("val", "test"))
    except InputError:
        return None
    return found
