"""A model for each label, out of a finished search, held against its best joint model.

Each label has the recipe of the trial that was best for it, trained on that label alone; or,
with a shared backbone, a head of its own on the frozen features of the best trial's network.

Compute is held equal: the networks together take the image-steps that the joint model's trial
took, an equal share each. A shared backbone needs what it was trained with, and a third of an
image-step for each training image.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from cxrsearch.data.labels.names import folder_part
from cxrsearch.data.marks import absent, present
from cxrsearch.equal_compute.cell import Cell, Fitted, Scores
from cxrsearch.equal_compute.judging import row_means
from cxrsearch.equal_compute.plan import Plan
from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble import Ensemble
from cxrsearch.learn.ensemble.scale import Scale
from cxrsearch.learn.metrics import auroc, judge, mean_auroc, resampled
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.recipe import Recipe, network_genes
from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.learn.train import PREDICTIONS
from cxrsearch.model.card import taught
from cxrsearch.model.ensemble_folder import save_ensemble
from cxrsearch.model.folder import ModelMeta, check_out, save_model, stored_weights
from cxrsearch.model.validation import ITS_OWN, ValidationScores
from cxrsearch.study.folder import load_alone, trial_config
from cxrsearch.study.prepare import Prepared
from cxrsearch.study.winner import chosen_trial, meta_of
from cxrsearch.writing import alone, claim, work_of
from search.objective import Step
from search.seeds import derive
from search.store.record import StudyRecord, read_study

from .arm import on_frozen, one_each, replaced_heads
from .printing import SingleAndJoint, head_text

HEAD_RESAMPLES = 1000
OWN, SHARED = "own", "shared"


def per_disease(
    study: Path, out: Path, backbone: str = OWN, seed: int = 0, **moved: Any
) -> Iterator[str | SingleAndJoint]:
    """Train a model for each label and write them as one folder that predicts.

    Cut off and called again with the same arguments, it goes on.

    Args:
        study: a finished search.
        out: the folder to write: an ensemble with a member a label, or with a shared backbone
            one model.
        backbone: ``own`` or ``shared``.
        seed: of the trainings.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and what else
            `load_alone` takes.

    Yields:
        lines that say how far it is, and the comparison once it is known.

    Raises:
        InputError: where study, data or ``out`` cannot be used, or another was begun there.
    """
    check_out(out)
    job = _Job.of(study, work_of(out), seed, **moved)
    with alone(job.cell.folder):
        check_out(out)  # again: another run may have ended while data were read
        claim(job.cell.folder, {
            "study": str(job.study.resolve()), "trials": job.record.counts()["complete"],
            "joint": job.trial.number, "split": job.cell.data.split, "backbone": backbone,
            "seed": seed,
        })  # fmt: skip
        train = job.shared if backbone == SHARED else job.own
        scores, recipes, spent = yield from train(out)
        yield job.compared(backbone, scores, recipes, spent)
        yield f"models: {out}"
        shutil.rmtree(job.cell.folder, ignore_errors=True)


SingleScores = tuple[Scores, dict[str, str], float]


@dataclass(frozen=True)
class _Job:
    """What both ways share: the joint model's trial, and a cell with its budget."""

    study: Path
    record: StudyRecord
    prepared: Prepared
    trial: FrozenTrial
    cell: Cell

    @classmethod
    def of(cls, study: Path, work: Path, seed: int, **moved: Any) -> _Job:
        record = read_study(study)
        trial = chosen_trial(record)
        prepared = load_alone(study, **moved)
        config = trial_config(study, prepared)
        data = load_trial_data(config)
        params, attrs = trial.user_attrs["params"], trial.user_attrs
        images = int(attrs["images_seen"])
        plan = Plan(
            ("per-disease",), 1, params, images, len(data.train), 2, {}, prepared.settings.seed
        )
        columns = _judged(data.labels, data.columns, (data.train, data.val, data.val_seed))
        data = replace(data, columns=columns)
        start = derive(seed, "per-disease", attrs["seed"])
        cell = Cell(plan, config, data, np.zeros(0, np.int64), start, work)
        return cls(study, record, prepared, trial, cell)

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels are called."""
        return self.cell.data.label_names

    def own(self, out: Path) -> Generator[str, None, SingleScores]:
        """A network for each label."""
        chosen = best_for(self.record.searched, self.trial, self.cell.data.columns, self.names)
        recipes = {c: Recipe.from_params(t.user_attrs["params"]) for c, t in chosen.items()}
        scores, fits = yield from _lines(one_each(self.cell, recipes, keep=True))
        self._save_members(out, fits, chosen)
        said = {self.names[c]: f"trial {t.number}" for c, t in chosen.items()}
        return scores, said, self.cell.spent

    def shared(self, out: Path) -> Generator[str, None, SingleScores]:
        """A head for each label, in the joint model's network."""
        folder = self.study / "trials" / str(self.trial.number)
        if not (folder / BEST).is_file():
            raise InputError(
                f"{folder / BEST}: the joint model's weights were not kept; search with "
                "--keep-checkpoints best:5, or use --backbone own"
            )
        yield "taking the features of the joint model's network, and fitting heads to them"
        joint = Fitted(
            self.joint_scores, np.zeros((0, len(self.names)), np.float32), self.cell.recipe,
            float(self.trial.values[0]), folder,
        )  # fmt: skip
        scores, recipes = on_frozen(self.cell, joint)
        weights = replaced_heads(self.cell, joint)
        heads = {name: recipe or "joint" for name, recipe in recipes.items()}
        training = {
            "rows": "train", "labels": taught(self.cell.data, joint.recipe), "heads": heads,
            "backbone": self.trial.number,
        }  # fmt: skip
        val = self.joint_scores.copy()
        val[:, self.cell.data.columns] = scores.val[:, self.cell.data.columns]
        meta = self._meta(self.trial, self.prepared.judged, val, training)
        meta = replace(meta, trial=None)  # no look at these heads is one at the trial
        save_model(
            out, weights, joint.recipe, meta, splits=self.study / "splits.json",
            validation=self._validation(val),
        )  # fmt: skip
        spent = self.cell.plan.images + self.cell.forward(len(self.cell.data.train))
        return scores, {name: head_text(recipe) for name, recipe in recipes.items()}, spent

    @property
    def joint_scores(self) -> np.ndarray:
        """The joint model's probabilities of the validation images.

        Raises:
            InputError: where they are missing, or of other images.
        """
        path = self.study / "trials" / str(self.trial.number) / PREDICTIONS
        found = load_arrays(path, ("names", "scores"))
        if not np.array_equal(found["names"], self.cell.data.names[self.cell.data.val]):
            raise InputError(f"{path}: not of this study's validation images; restore it")
        return found["scores"]

    def _validation(self, scores: np.ndarray) -> ValidationScores:
        """What these networks, which were trained on the training part, say of validation."""
        data = self.cell.data
        return ValidationScores(
            data.names[data.val], data.labels[data.val], np.asarray(scores, np.float32),
            data.patients[data.val], data.label_names, ITS_OWN,
        )  # fmt: skip

    def _meta(
        self,
        trial: FrozenTrial,
        objective: Sequence[str],
        val: np.ndarray,
        training: dict[str, Any],
    ) -> ModelMeta:
        """What a model with a trial's recipe says of itself; its value is that of ``val``."""
        meta = meta_of(self.study, self.prepared, trial, self.record.counts()["complete"])
        data, columns = self.cell.data, [self.names.index(name) for name in objective]
        value, details, _ = judge(
            data.labels[data.val],
            val,
            data.patients[data.val],
            columns,
            HEAD_RESAMPLES,
            self.cell.seed,
            data.label_names,
        )
        own = {**meta.validation, "value": value, "interval": details["interval"]}
        return replace(meta, objective=tuple(objective), validation=own, training=training)

    def _save_members(
        self, out: Path, fits: Mapping[int, Fitted], chosen: Mapping[int, FrozenTrial]
    ) -> None:
        """An ensemble folder in which each label listens to its own member."""
        folders, weights = [], np.zeros((len(fits), len(self.names)))
        for place, (column, fitted) in enumerate(fits.items()):
            weights[place, column] = 1.0
            only = self.names[column]
            learnt = replace(self.cell.data, learnt=(column,))
            training = {
                "rows": "train", "only": only, "labels": taught(learnt, fitted.recipe),
                "epochs": fitted.recipe.epochs,
            }  # fmt: skip
            meta = self._meta(chosen[column], (only,), fitted.val, training)
            folder = self.cell.folder / "members" / folder_part(only, column)
            shutil.rmtree(folder, ignore_errors=True)
            state = stored_weights(fitted.folder / BEST)
            save_model(folder, state, fitted.recipe, meta)
            folders.append(folder)
        empty = np.zeros((0, *weights.shape))
        width = len(self.names)
        ensemble = Ensemble(
            tuple(folder.name for folder in folders), "per-disease", Scale("probability", empty),
            weights, np.zeros((width, width)), np.zeros(width), self.names,
        )  # fmt: skip
        data, frame = self.prepared.dataset, self.prepared.cache.frame
        card = {
            "pixels": {"frame": frame, "source_side": data.source_side},
            "data": {"fingerprint": data.fingerprint,
                     "split_fingerprint": self.prepared.splits.fingerprint,
                     "description": dict(data.description)},
            "study": {"path": str(self.study.resolve()), "trial": None,
                      "objective": [self.names[column] for column in fits]},
            "training": {"rows": "train", "each": "its own label"},
        }  # fmt: skip
        every = np.zeros((len(self.cell.data.val), width), np.float32)
        for column, fitted in fits.items():
            every[:, column] = fitted.val[:, column]
        splits = self.study / "splits.json"
        save_ensemble(out, ensemble, folders, card, splits, self._validation(every))

    def compared(
        self, backbone: str, scores: Scores, recipes: Mapping[str, str], spent: float
    ) -> SingleAndJoint:
        """Both on the validation part, paired over patients."""
        data = self.cell.data
        columns = list(data.columns)
        truth, patients = data.labels[data.val][:, columns], data.patients[data.val]
        both = [one[:, columns] for one in (self.joint_scores, scores.val)]
        values = [auroc(truth, one) for one in both]
        drawn = [resampled(truth, one, patients, HEAD_RESAMPLES, self.cell.seed) for one in both]
        gains = row_means(drawn[1] - drawn[0])
        low, high = np.nanquantile(gains, [0.025, 0.975])
        joint, single = mean_auroc(values[0]), mean_auroc(values[1])
        names = [self.names[column] for column in columns]
        left = [name for name in self.prepared.judged if name not in names]
        notes = [
            "validation chose epochs and recipes of both, so it flatters them, the single models "
            "more; `cxrsearch evaluate` judges on the test part",
            "one training each: the interval is over patients, not over seeds",
        ]
        if len(data.label_names) == 1:
            notes.append("the data have one label: both are models of it alone, trained apart")
        if left:
            notes.append(f"no single model, for want of positives or negatives: {', '.join(left)}")
        return SingleAndJoint(
            self.trial.number, backbone, joint, single, single - joint, (float(low), float(high)),
            {
                name: (float(values[0][k]), float(values[1][k]), recipes[name])
                for k, name in enumerate(names)
            },
            (float(self.cell.plan.images), spent), tuple(notes),
        )  # fmt: skip


def best_for(
    trials: Sequence[FrozenTrial],
    joint: FrozenTrial,
    columns: Sequence[int],
    label_names: Sequence[str],
) -> dict[int, FrozenTrial]:
    """For each label the complete trial that was best for it, of the joint model's network.

    Only recipes whose image-step costs what the joint model's does are compared with it.

    Args:
        trials: of the study.
        joint: the trial of the joint model; taken where no other says more.
        columns: the labels.
        label_names: what the data's labels are called.
    """
    wanted = {name: joint.user_attrs["params"].get(name) for name in network_genes()}
    able = [
        t
        for t in trials
        if t.state == TrialState.COMPLETE
        and t.user_attrs.get("auroc")
        and all(t.user_attrs["params"].get(name) == value for name, value in wanted.items())
    ]

    def value(trial: FrozenTrial, name: str) -> float:
        found = trial.user_attrs["auroc"].get(name)
        return -1.0 if found is None else float(found)

    return {c: max(able, key=lambda t: value(t, label_names[c]), default=joint) for c in columns}


def _judged(
    labels: np.ndarray, columns: Sequence[int], parts: Sequence[np.ndarray]
) -> tuple[int, ...]:
    """Those of ``columns`` that have both classes in each of the parts.

    Raises:
        InputError: where there is none.
    """
    found = tuple(
        c
        for c in columns
        if all(side(labels[p][:, c]).any() for p in parts for side in (present, absent))
    )
    if not found:
        raise InputError("no label has positives both to train on and to choose by")
    return found


def _lines(
    steps: Generator[Step, None, tuple[Scores, dict[int, Fitted]]],
) -> Generator[str, None, tuple[Scores, dict[int, Fitted]]]:
    """A line a step."""
    try:
        while True:
            step = next(steps)
            yield f"epoch {step.number}: AUROC of its label {step.value:.3f}"
    except StopIteration as stop:
        found: tuple[Scores, dict[int, Fitted]] = stop.value
        return found
    finally:
        steps.close()


__all__ = ["OWN", "SHARED", "SingleAndJoint", "best_for", "per_disease"]
