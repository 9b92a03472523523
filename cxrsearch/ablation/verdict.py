"""From the cells of a study to its verdict: ``verdict.json``, and the looks that it cost.

All choices were made on validation when this runs: epochs, recipes and members, each within its
cell. Here the test labels are joined to the stored outputs for the first time. It is done once all
cells have ended, and each arm counts as one look at the test part.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from cxrsearch.data.marks import present
from cxrsearch.equal_compute.cell import SCORES
from cxrsearch.equal_compute.judging import COVERAGE, VERDICT_RESAMPLES, Judged, judge_arms
from cxrsearch.equal_compute.plan import Plan
from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import load_arrays, load_labels
from cxrsearch.model.looks import read_looks, record_look
from search.files import write_json
from search.seeds import derive
from search.store.record import StudyRecord

from .arms import ARMS, BASELINE
from .objective import ARM, REPEAT

VERDICT = "verdict.json"

FEWEST_SEEDS = 2
"""Seeds that an arm and the baseline must share to be told apart."""

FEWEST_PATIENTS = 10
"""Patients of the test part from which on a bootstrap over them says something."""


def write_verdict(record: StudyRecord, plan: Plan, about: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the study's cells on the test part, count the looks, and write ``verdict.json``.

    Args:
        record: the study's history, all of its cells ended.
        plan: what was held equal.
        about: what is said of the data beside the figures; see `cxrsearch.ablation.study`.

    Returns:
        what was written.

    Raises:
        InputError: where no cell of the baseline is there to compare with.
    """
    found = _Cells.read(record)
    if not found.test.get(BASELINE):
        raise InputError(
            f"{record.folder}: no cell of the baseline ended well, so there is nothing to compare "
            f"with; `cxrsearch status {record.folder}` says why"
        )
    names = found.label_names
    columns = [names.index(name) for name in about["diseases"]]
    seed = derive(plan.seed, "verdict")
    judged = judge_arms(found.labels, found.patients, found.test, columns, BASELINE, seed=seed)
    positives = present(found.labels).sum(axis=0).tolist()
    arms = [_arm(name, plan, found, judged.get(name)) for name in plan.arms]
    verdict = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **about,
        "arms": arms,
        "seeds": plan.seeds,
        "budget": {"image_steps": plan.images, "search_trials": plan.search_trials,
                   "train_images": plan.train_images},
        "test": {"images": len(found.labels), "patients": len(np.unique(found.patients)),
                 "positives": dict(zip(names, positives, strict=True))},
        "level": COVERAGE,
        "resamples": VERDICT_RESAMPLES,
    }  # fmt: skip
    _count_looks(record.folder, verdict)
    verdict["looks"] = len(read_looks(record.folder))
    strict: dict[str, Any] = _plain(verdict)
    write_json(record.folder / VERDICT, strict)
    return strict


class _Cells:
    """The stored outputs of all cells, and the labels of the test images."""

    def __init__(self, record: StudyRecord) -> None:
        self.trials: dict[str, list[FrozenTrial]] = defaultdict(list)
        self.test: dict[str, dict[int, np.ndarray]] = defaultdict(dict)
        self.label_names: tuple[str, ...] = ()
        self.labels = np.zeros((0, 0), np.uint8)
        self.patients = np.zeros(0, np.str_)
        for trial in record.trials:
            self.trials[str(trial.params[ARM])].append(trial)

    @classmethod
    def read(cls, record: StudyRecord) -> _Cells:
        found = cls(record)
        known = load_labels(record.folder / "labels.npz")
        found.label_names = known.label_names
        row_of = {str(name): row for row, name in enumerate(known.names)}
        seen: np.ndarray | None = None
        for arm, trials in found.trials.items():
            for trial in trials:
                if trial.state != TrialState.COMPLETE:
                    continue
                path = record.folder / "trials" / str(trial.number) / SCORES
                arrays = load_arrays(path, ("test", "test_names"))
                seen = arrays["test_names"] if seen is None else seen
                if not np.array_equal(seen, arrays["test_names"]):
                    raise InputError(f"{path}: other test images than the other cells; restore it")
                found.test[arm][int(trial.params[REPEAT])] = arrays["test"]
        if seen is not None:
            rows = [row_of[str(name)] for name in seen]
            found.labels, found.patients = known.labels[rows], known.patients[rows]
        return found


def _arm(name: str, plan: Plan, found: _Cells, judged: Judged | None) -> dict[str, Any]:
    """What verdict.json says of one arm."""
    trials = found.trials.get(name, [])
    complete = [t for t in trials if t.state == TrialState.COMPLETE]
    patients = len(np.unique(found.patients))
    attrs = [t.user_attrs for t in complete]
    failed = [
        f"repeat {t.params[REPEAT]}: {t.user_attrs.get('reason')}: {t.user_attrs.get('detail', '')}"
        for t in trials
        if t.state == TrialState.FAIL
    ]
    entry: dict[str, Any] = {
        "name": name,
        "title": ARMS[name].title,
        "sentence": ARMS[name].sentence,
        "cells": len(complete),
        "failed": failed,
        "image_steps": float(np.mean([a["images_seen"] for a in attrs])) if attrs else None,
        "seconds": float(np.mean([_seconds(t) for t in complete])) if attrs else None,
        "validation": float(np.mean([t.values[0] for t in complete])) if attrs else None,
        "notes": sorted({note for a in attrs for note in a.get("notes", ())}),
        "answer": "failed" if judged is None else answer(name, judged, patients),
    }
    return entry if judged is None else entry | _figures(judged, patients, found.label_names)


def _figures(judged: Judged, patients: int, names: Sequence[str]) -> dict[str, Any]:
    labels = judged.labels or {}
    return {
        "test": {
            "mean": judged.mean, "interval": judged.interval, "by_seed": judged.by_seed,
        },
        "difference": {
            "value": judged.difference, "interval": judged.own,
            "simultaneous": judged.simultaneous, "repeats": len(judged.repeats),
            "comparable": comparable(judged, patients),
        },
        "diseases": {
            names[column]: {"auroc": value, "difference": difference, "interval": interval}
            for column, (value, difference, interval) in labels.items()
        },
    }  # fmt: skip


def answer(name: str, judged: Judged, patients: int = FEWEST_PATIENTS) -> str:
    """``helped`` or ``hurt`` where the interval for all arms together lies beside 0.

    Neither where arm and baseline are not `comparable`.
    """
    low, high = judged.simultaneous
    if name == BASELINE:
        return "baseline"
    if not comparable(judged, patients):
        return "unclear"
    return "helped" if low > 0 else "hurt" if high < 0 else "unclear"


def comparable(judged: Judged, patients: int) -> bool:
    """Whether an arm can be told apart from the baseline at all.

    Not with one seed: how far trainings differ by luck is not known then. Nor with very few
    patients in the test part, which resampled look less different than people are.
    """
    return len(judged.repeats) >= FEWEST_SEEDS and patients >= FEWEST_PATIENTS


def _seconds(trial: FrozenTrial) -> float:
    return sum(float(end) - float(start) for _, start, end in trial.user_attrs.get("spans", []))


def _count_looks(folder: Path, verdict: Mapping[str, Any]) -> None:
    """Count a look for each arm; none twice where this is done again on the same cells."""
    counted = {str(look.get("model")) for look in read_looks(folder)}
    for arm in verdict["arms"]:
        model = f"ablation: {arm['name']}, {arm['cells']} cells"
        if "test" not in arm or model in counted:
            continue
        look = {
            "time": verdict["written"], "model": model, "study": str(folder.resolve()),
            "trial": None,
            "data": verdict["data"], "part": "test", "n_images": verdict["test"]["images"],
            "n_patients": verdict["test"]["patients"], "mean": arm["test"]["mean"],
            "interval": list(arm["test"]["interval"]),
            "auroc": {d: v["auroc"] for d, v in arm["diseases"].items()}, "intervals": {},
        }  # fmt: skip
        record_look(None, folder, look)


def _plain(value: Any) -> Any:
    """``value`` as strict JSON has it: no NaN, no tuples."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
