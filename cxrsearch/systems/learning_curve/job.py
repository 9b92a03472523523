"""What a learning curve is asked to be, checked and brought together before anything is trained.

A repeat puts the training part's patients in an order of its own; a share is the first so many of
them, so that within a repeat the smaller shares lie in the larger ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.data.labels.names import some_names
from cxrsearch.data.marks import absent, present
from cxrsearch.errors import InputError, attempt
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.networks.weights.asked import RANDOM, start_of
from cxrsearch.learn.networks.weights.places import find_weights
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.recipe import Recipe, as_trained
from cxrsearch.study.folder import check_weights, load_alone, trial_config
from cxrsearch.study.winner import Winner, winner_of
from cxrsearch.writing import PAGE, check_file, work_of
from search.reading import FileError, read_json
from search.seeds import derive
from search.store.record import read_study

CURVE_SHARES = (0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
CURVE_REPEATS = 3
MOST_REPEATS = 20
MOST_SHARES = 20

LEAST_SHARES = 4
"""A curve has three numbers: with fewer shares nothing is left that could contradict it."""

LEAST_PATIENTS = 8
"""In the smallest share."""


@dataclass(frozen=True)
class CurveRequest:
    """How to draw a learning curve.

    Args:
        trial: whose recipe is trained; None: the recommended one.
        shares: of the training part's patients, each above 0 and at most 1.
        repeats: trainings of each share, on other patients and with other seeds.
        seed: of all of it.
    """

    trial: int | None = None
    shares: tuple[float, ...] = CURVE_SHARES
    repeats: int = CURVE_REPEATS
    seed: int = 0

    def problems(self) -> list[str]:
        """What cannot work."""
        found = [
            f"--shares {share:g}: must be above 0 and at most 1, such as 0.5"
            for share in self.shares
            if not 0 < share <= 1
        ]
        distinct = len(set(self.shares))
        if distinct < len(self.shares):
            found.append("--shares: one is given twice; --repeats trains each more than once")
        if not LEAST_SHARES <= distinct <= MOST_SHARES:
            found.append(
                f"--shares: {distinct} of them; a curve needs {LEAST_SHARES} to {MOST_SHARES}, "
                "such as 0.1,0.25,0.5,1"
            )
        if not 2 <= self.repeats <= MOST_REPEATS:
            found.append(
                f"--repeats {self.repeats}: must be from 2 to {MOST_REPEATS}; one training alone "
                "does not say how far two of them differ"
            )
        return found


class CurveTraining(NamedTuple):
    """One training of the curve.

    Args:
        share: of the patients.
        repeat: which, from 0.
        rows: of the data that it trains on.
        patients: how many these show.
        seed: of the training.
        missing: labels of the objective without a positive, or without a negative, among them.
    """

    share: float
    repeat: int
    rows: np.ndarray
    patients: int
    seed: int
    missing: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its folder; no two shares have as many patients."""
        return f"patients-{self.patients}-repeat-{self.repeat + 1}"


@dataclass(frozen=True)
class CurveJob:
    """All that drawing a learning curve takes.

    Args:
        study: its folder.
        out: the page to write.
        request: what was asked for.
        winner: the trial whose recipe is trained, and why.
        recipe: that recipe, without patience.
        data: the study's.
        compute: where and how fast.
        trainings: in the order in which they run.
        notes: what a reader ought to know.
    """

    study: Path
    out: Path
    request: CurveRequest
    winner: Winner
    recipe: Recipe
    data: TrainData
    compute: ComputeOptions
    trainings: tuple[CurveTraining, ...]
    notes: tuple[str, ...]

    @property
    def work(self) -> Path:
        """Where trainings leave what they make."""
        return work_of(self.out)

    @property
    def train_patients(self) -> int:
        """Patients of the training part."""
        return len(np.unique(self.data.patients[self.data.train]))

    @property
    def asked(self) -> dict[str, Any]:
        """What tells it from other curves."""
        return {
            **asked_of(self.study, self.request), "number": self.winner.trial.number,
            "split": self.data.split, "train": len(self.data.train), "val": len(self.data.val),
        }  # fmt: skip


def asked_of(study: Path, request: CurveRequest) -> dict[str, Any]:
    """What was asked for, as JSON can hold it."""
    return {"study": str(study.resolve()), **asdict(request), "shares": list(request.shares)}


def json_of(out: Path) -> Path:
    """The record beside the page ``out``."""
    return out.with_suffix(".json")


def check_curve_out(out: Path) -> None:
    """Check that page and record can be written, and that nothing else would be lost by them.

    Raises:
        InputError: where they cannot, or hold something else.
    """
    problems: list[str] = []
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out {out}: name a page, such as {out.with_suffix('.html')}")
    attempt(lambda: check_file(out, "learning-curve.html", PAGE), problems)
    record = json_of(out)
    if record.is_dir():
        problems.append(f"{record}: a folder, where the curve's record goes; name another --out")
    elif record.is_file():
        try:
            ours = CURVE_FORMAT in read_json(record, "the curve's record")
        except (FileError, TypeError):
            ours = False
        if not ours:
            problems.append(
                f"{record}: holds something else, which would be lost; name another --out"
            )
    if problems:
        raise InputError(problems)


CURVE_FORMAT, CURVE_VERSION = "learning_curve", 2
"""The key by which a record of a curve is known, and its value: the version of the format."""


def prepare_curve(
    study: Path, out: Path, request: CurveRequest, moved: Mapping[str, Any]
) -> CurveJob:
    """Check all of ``request`` and bring together what it takes.

    Raises:
        InputError: naming everything that cannot work.
    """
    problems = request.problems()
    attempt(lambda: check_curve_out(out), problems)
    winner = attempt(lambda: winner_of(read_study(study), request.trial), problems)
    if problems or winner is None:
        raise InputError(problems)
    recipe = as_trained(replace(winner.recipe, patience=0))
    _check_recipe(recipe, winner.trial.number)
    prepared = load_alone(study, **moved)
    config = replace(trial_config(study, prepared), pseudo=None)
    source, weights = start_of(recipe.init).source, config.compute.weights_dir
    if source != RANDOM:
        check_weights(study, [find_weights(source, recipe.model, weights)])
    own = load_trial_data(config)
    each = max(1, round(recipe.epoch_share * len(own.train)))
    data = replace(own, epoch_images=each, together=np.unique(np.concatenate([own.train, own.val])))
    # Batch normalisation is then over as many images as in what was judged.
    compute = replace(config.compute, micro=winner.trial.user_attrs.get("micro_batch"))
    trainings = trainings_of(data, request)
    notes = [*own.notes, *_start_notes(recipe)]
    return CurveJob(
        study, out, request, winner, recipe, data, compute, tuple(trainings), tuple(notes)
    )  # fmt: skip


def _check_recipe(recipe: Recipe, number: int) -> None:
    """Refuse a recipe that learns from a teacher, who knows the labels of all patients."""
    acting = {"pseudo": recipe.pseudo != "none", "distill": bool(recipe.distill)}
    taught = [gene for gene, on in acting.items() if on]
    if taught:
        raise InputError(
            f"trial {number}: learns from a teacher (gene {', '.join(taught)}) that was trained on "
            "the labels of all training patients, so a share of them would not be told from all; "
            "choose a trial without one by --trial"
        )


def _start_notes(recipe: Recipe) -> list[str]:
    """What starting weights may know of the labels that a share leaves out."""
    start, notes = start_of(recipe.init), []
    if start.frozen:
        notes.append("a linear probe: its last layer is fitted to its end, whatever the share")
    if start.file is not None:
        notes.append(
            f"all trainings start from {recipe.init}: if that was trained on labels of this "
            "study's patients, small shares know of more patients than they have, and the curve "
            "is too flat"
        )
    return notes


def trainings_of(data: TrainData, request: CurveRequest) -> list[CurveTraining]:
    """Whom each training learns from, smaller shares within the larger ones of their repeat.

    Args:
        data: whose training part is shared out.
        request: shares, repeats and seed.

    Returns:
        repeat by repeat, shares growing.

    Raises:
        InputError: where a share has too few patients, or as many as another, or no label that
            could be learnt.
    """
    people, whose = np.unique(data.patients[data.train], return_inverse=True)
    found, problems = [], _equal_counts(request.shares, len(people))
    for repeat in range(request.repeats):
        order = np.random.default_rng(
            derive(request.seed, "learning-curve patients", repeat)
        ).permutation(len(people))
        rank = np.argsort(order)[whose]
        seed = derive(request.seed, "learning-curve training", repeat)
        for share in sorted(request.shares):
            count = round(share * len(people))
            rows = data.train[rank < count]
            missing = _missing(data, rows, data.columns)
            name = f"--shares {share:g}: {count} of {len(people)} training patients"
            if count < LEAST_PATIENTS:
                problems.append(f"{name}; name larger shares, {LEAST_PATIENTS} patients at least")
            elif len(missing) == len(data.columns):
                problems.append(
                    f"{name}, who in repeat {repeat + 1} have both positives and negatives of no "
                    f"label ({some_names(missing)}); name larger shares"
                )
            found.append(CurveTraining(share, repeat, rows, count, seed, missing))
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return found


def _equal_counts(shares: Sequence[float], people: int) -> list[str]:
    """Which shares come to the same number of patients: they are one point of the curve."""
    alike: dict[int, list[float]] = {}
    for share in sorted(shares):
        alike.setdefault(round(share * people), []).append(share)
    return [
        f"--shares {', '.join(map(repr, same))}: each is {count} of {people} training patients, "
        "so that they are the same point of the curve; leave out all but one, or name shares "
        f"further apart than {1 / people:.2g}"
        for count, same in alike.items()
        if len(same) > 1
    ]


def _missing(data: TrainData, rows: np.ndarray, columns: Sequence[int]) -> tuple[str, ...]:
    """The labels of ``columns`` without a positive, or without a negative, among ``rows``."""
    marks = data.labels[rows]
    there, gone = present(marks), absent(marks)
    return tuple(
        data.label_names[column]
        for column in columns
        if not (there[:, column].any() and gone[:, column].any())
    )
