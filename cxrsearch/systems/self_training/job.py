"""What a self-training is asked to do, checked and brought together before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.dataset import names_digest
from cxrsearch.data.files import match_images
from cxrsearch.data.labels.names import some_names
from cxrsearch.data.labels.tables import read_table
from cxrsearch.data.marks import compact
from cxrsearch.data.unlabelled import with_unlabelled
from cxrsearch.errors import InputError
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.networks.weights.asked import start_of
from cxrsearch.learn.objective import TrialConfig, load_trial_data
from cxrsearch.learn.recipe import PSEUDO, Recipe
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.model.folder import check_out
from cxrsearch.model.labels import shared_labels
from cxrsearch.study.data import cache_root
from cxrsearch.study.folder import load_alone, trial_config
from cxrsearch.study.prepare import Prepared
from cxrsearch.study.unlabelled import Unlabelled, find_unlabelled
from cxrsearch.study.winner import chosen_trial
from cxrsearch.writing import JOB, work_of
from search.files import write_json
from search.reading import FileError, read_json
from search.seeds import derive
from search.store.record import StudyRecord, read_study

from .stages import Teacher


@dataclass(frozen=True)
class Options:
    """How to train oneself.

    Args:
        kind: what becomes of the pseudo-labels: the gene ``pseudo``, not ``none``.
        share: of the unlabelled images, taken at each end, a label.
        weight: of a pseudo-label beside a label.
        wanted_precision: what calibrated thresholds are to reach.
        hidden: share of the training part's patients whose labels are hidden for the check.
        teachers: trials whose probabilities are averaged, best first.
        trial: the only teacher; None: the best.
        control: whether the teacher's recipe is also trained as long as the student.
        unlabelled: folder of the unlabelled images; None: the data's own.
        truth: label table of (some of) them, to judge by; nothing is trained on it.
    """

    kind: str = "hard"
    share: float = 0.05
    weight: float = 1.0
    wanted_precision: float = 0.8
    hidden: float = 0.25
    teachers: int = 1
    trial: int | None = None
    control: bool = True
    unlabelled: Path | None = None
    truth: Path | None = None

    def check(self) -> None:
        """Raise one `InputError` that names everything that cannot work."""
        inside = {"share": (0, 0.5), "wanted_precision": (0, 1), "hidden": (0, 0.9)}
        problems = [
            f"--{name.replace('_', '-')} {value:g}: must be above {low:g} and at most {high:g}"
            for name, (low, high) in {**inside, "weight": (0, 100)}.items()
            if not low < (value := getattr(self, name)) <= high
        ]
        if self.wanted_precision == 1:
            problems.append("--wanted-precision 1: no number of images can show that; give 0.95")
        if self.kind not in PSEUDO[1:]:
            problems.append(f"--kind {self.kind}: one of {', '.join(PSEUDO[1:])}")
        if self.teachers < 1:
            problems.append(f"--teachers {self.teachers}: must be at least 1")
        if self.teachers > 1 and self.trial is not None:
            problems.append("--trial with --teachers: leave one of them out")
        if self.truth is not None and not self.truth.is_file():
            problems.append(f"--truth {self.truth}: no such label table; name a CSV file")
        if problems:
            raise InputError(problems)


@dataclass(frozen=True)
class Job:
    """All that the stages of a self-training need.

    Args:
        study: its folder.
        work: where the stages leave what they make.
        options: how.
        record: the study's history.
        prepared: its settings, labelled images and split.
        config: of the trainings.
        data: labelled and unlabelled images, without pseudo-labels.
        found: the unlabelled images.
        teachers: who labels them.
        truth: positions among them, labels and patients, where those are known.
    """

    study: Path
    work: Path
    options: Options
    record: StudyRecord
    prepared: Prepared
    config: TrialConfig
    data: TrainData
    found: Unlabelled
    teachers: list[Teacher]
    truth: tuple[np.ndarray, np.ndarray, np.ndarray] | None

    @property
    def seed(self) -> int:
        """Of hiding, bootstraps and the student."""
        return derive(self.prepared.settings.seed, "self-training")

    @property
    def rows(self) -> np.ndarray:
        """(m,) of the unlabelled images, in the data."""
        place = {name: row for row, name in enumerate(self.found.cache.names)}
        return np.array([place[name] for name in self.found.names], np.int64)

    @property
    def wanted(self) -> dict[str, Any]:
        """What tells it from other jobs."""
        return {
            "study": str(self.study.resolve()),
            **plain(self.options),
            "trials": [t.number for t in self.teachers],
            "split": self.prepared.splits.fingerprint,
            "images": names_digest(self.found.names),
        }


def prepare_job(study: Path, out: Path, options: Options, moved: Mapping[str, Any]) -> Job:
    """Check all that ``options`` name and bring it together.

    Raises:
        InputError: naming what cannot be used.
    """
    options.check()
    check_out(out)
    record = read_study(study)
    teachers = _teachers(record, options)
    prepared = load_alone(study, **moved)
    settings = prepared.settings
    root, frame = cache_root(settings), prepared.cache.frame
    dataset, folder = prepared.dataset, options.unlabelled
    every = dataset if folder is None else with_unlabelled(dataset, folder)
    found = find_unlabelled(every, prepared.splits, frame, root)
    config = replace(trial_config(study, prepared), cache=found.cache, pseudo=None)
    truth = _truth(options.truth, found.names, dataset.label_names) if options.truth else None
    data = load_trial_data(config)
    return Job(
        study, work_of(out), options, record, prepared, config, data, found, teachers, truth
    )  # fmt: skip


def _teachers(record: StudyRecord, options: Options) -> list[Teacher]:
    """The trials that teach.

    Raises:
        InputError: where they are not there, or keep no weights.
    """
    from cxrsearch.study.experiment import ranking

    chosen = [chosen_trial(record, options.trial)]
    if options.teachers > 1:
        best = ranking(record.trials, record.config.directions)[: options.teachers]
        chosen = [chosen_trial(record, number) for number in best]
        if len(chosen) < options.teachers:
            raise InputError(f"--teachers {options.teachers}: {len(chosen)} trials are complete")
    found = [
        Teacher(
            trial.number,
            replace(Recipe.from_params(trial.user_attrs["params"]), pseudo="none"),
            trial.user_attrs["seed"],
            record.folder / "trials" / str(trial.number),
            trial.user_attrs.get("micro_batch"),
        )
        for trial in chosen
    ]
    first = found[0]
    if start_of(first.recipe.init).frozen:
        raise InputError(
            f"trial {first.number} of {record.folder} is a linear probe (init "
            f"{first.recipe.init}): as a student it would train no network, and learn nothing of "
            "images without a label; choose another with --trial"
        )
    gone = [str(t.number) for t in found if not (t.folder / BEST).is_file()]
    if gone:
        raise InputError(
            f"{record.folder}: no weights are kept of trial {', '.join(gone)}; choose another "
            "with --trial, fewer --teachers, or search with --keep-checkpoints best:5"
        )
    return found


def renew(work: Path) -> None:
    """Bring what tells a job from others into today's form, where an older version began it."""
    path = work / JOB
    with suppress(OSError, FileError, LookupError, TypeError):  # `claim` says what is wrong
        begun = read_json(path)
        write_json(path, {
            "study": begun["study"], **begun["options"], "trials": begun["teachers"],
            "split": begun["split"], "images": names_digest(begun["unlabelled"]),
        })  # fmt: skip


def plain(options: Options) -> dict[str, Any]:
    """``options`` as JSON can hold them."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(options).items()}


def _truth(
    path: Path, names: tuple[str, ...], label_names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions among ``names``, labels and patients of those that a label table knows.

    Args:
        path: the table; of labels that it does not have nothing is known.
        names: images without a label.
        label_names: (k,) those of the data.

    Raises:
        InputError: where it knows none of the images, or none of the labels.
    """
    table = read_table(path)
    try:
        shared = shared_labels(label_names, table.label_names)
    except InputError as error:
        raise InputError(
            f"--truth {path}: has none of the data's labels ({some_names(label_names)}), but "
            f"{some_names(table.label_names)}"
        ) from error
    files, place = (
        match_images(table.images, names).files,
        {name: i for i, name in enumerate(names)},
    )
    pairs = sorted(
        (place[files[image]], row) for row, image in enumerate(table.images) if image in files
    )
    if not pairs:
        raise InputError(f"--truth {path}: none of the {len(names)} unlabelled images is in it")
    at, rows = (list(part) for part in zip(*pairs, strict=True))
    labels = np.full((len(rows), len(label_names)), np.nan, np.float32)
    labels[:, shared.ours] = np.asarray(table.labels)[rows][:, shared.theirs]
    return np.array(at), compact(labels), np.asarray(table.patients)[rows]
