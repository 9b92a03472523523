"""A finalist's recipe on the fresh split of a round."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.splits import Splits, fresh_splits
from cxrsearch.data.unlabelled import patients_by_name
from cxrsearch.learn import objective as trial
from cxrsearch.learn.calibrate import Calibration
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import Pixels
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.objective import TrialConfig, TrialObjective, load_trial_data
from cxrsearch.learn.pseudo import Pseudo, save_pseudo
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.learn.saved.epoch_scores import read_epoch_scores
from search.objective import Outcome, Step, Task, drive

PARAMS = {"epochs": 3, "batch_size": 8, "input_size": 32, "optimizer": "adamw", "lr": 1e-2}

pytestmark = pytest.mark.usefixtures("tiny_model")


@pytest.fixture
def config(study, tmp_path, monkeypatch) -> TrialConfig:
    monkeypatch.setattr(trial, "_held", type(trial._held)())
    cache = open_cache(study.dataset, 40, root=tmp_path / "cache", workers=1)
    return TrialConfig(
        cache, study.splits_path, study.labels_path, study.splits.fingerprint,
        ComputeOptions("cpu", threads=1), resamples=20,
    )  # fmt: skip


def task(folder: Path, round: int | None, seed: int = 7, **params: Any) -> Task:
    return Task(0, {**PARAMS, **params}, seed, folder, round=round)


def run(config: TrialConfig, wanted: Task) -> tuple[list[Step], Outcome]:
    steps, running = [], drive(TrialObjective(config), wanted)
    while True:
        try:
            steps.append(next(running))
        except StopIteration as stop:
            return steps, stop.value


def fresh_of(study, round: int) -> Splits:
    data = study.dataset
    return fresh_splits(study.splits, data.names, data.labels, data.patients, round)


def validated(folder: Path) -> list[str]:
    return load_arrays(folder / "val.npz", ("names",))["names"].tolist()


def test_a_rerun_trains_and_is_judged_on_the_rounds_split(config, study, tmp_path) -> None:
    steps, outcome = run(config, task(tmp_path / "0", 0))
    assert outcome.reason is None, outcome.detail
    names = validated(tmp_path / "0")
    own = study.splits
    assert set(names) != set(own.val)
    assert set(names) <= {*own.train, *own.val}
    assert outcome.attrs["split"] == steps[0].attrs["split"] != own.fingerprint
    kept = load_arrays(tmp_path / "0" / "val.npz", ("labels", "scores"))
    assert outcome.value == mean_auroc(auroc(kept["labels"], kept["scores"]))
    scores = read_epoch_scores(tmp_path / "0")
    assert scores is not None
    assert set(scores.names.tolist()) <= set(names)
    assert scores.epochs.tolist() == [1, 2, 3]


def test_finalists_of_a_round_share_its_split_and_rounds_do_not(config, tmp_path) -> None:
    _, first = run(config, task(tmp_path / "0", 0, seed=1))
    _, second = run(config, task(tmp_path / "1", 0, seed=2, lr=1e-3, input_size=40))
    _, other = run(config, task(tmp_path / "2", 1, seed=1))
    _, searched = run(config, task(tmp_path / "3", None, seed=1))
    assert validated(tmp_path / "0") == validated(tmp_path / "1") != validated(tmp_path / "2")
    assert first.attrs["split"] == second.attrs["split"]
    assert len({first.attrs["split"], other.attrs["split"], searched.attrs["split"]}) == 3


def test_a_rerun_runs_all_epochs_whatever_its_patience(config, tmp_path) -> None:
    params = {"epochs": 6, "patience": 1, "lr": 0.5, "optimizer": "sgd"}
    searched, _ = run(config, task(tmp_path / "0", None, **params))
    assert len(searched) < 6, "the setting must run out of patience"
    steps, outcome = run(config, task(tmp_path / "1", 0, **params))
    assert outcome.reason is None
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6]


def test_a_rerun_cut_off_goes_on_and_ends_as_if_it_had_not_been(config, tmp_path) -> None:
    steps, whole = run(config, task(tmp_path / "0", 2))
    running = TrialObjective(config)(task(tmp_path / "1", 2))
    next(running)
    running.close()
    again, resumed = run(config, task(tmp_path / "1", 2))
    assert [s.value for s in again] == [s.value for s in steps]
    assert resumed.value == whole.value
    assert not any("started over" in note for note in resumed.attrs["notes"])
    one, other = read_epoch_scores(tmp_path / "0"), read_epoch_scores(tmp_path / "1")
    assert one is not None
    assert other is not None
    assert np.array_equal(one.scores, other.scores)
    _, elsewhere = run(config, task(tmp_path / "1", 3))  # another round's checkpoint is of no use
    assert any("another recipe, seed or split" in note for note in elsewhere.attrs["notes"])


def test_a_round_is_other_rows_of_the_same_pixels(config, study, monkeypatch) -> None:
    own = load_trial_data(config)
    fresh = load_trial_data(config, 0)
    assert fresh.images is own.images
    assert fresh.labels is own.labels
    assert fresh.held is own.held
    test = {own.names.tolist().index(name) for name in study.splits.test}
    assert not test & {*fresh.train.tolist(), *fresh.val.tolist()}
    assert sorted([*fresh.train, *fresh.val]) == sorted([*own.train, *own.val])
    for round in range(1, 9):
        load_trial_data(config, round)
    monkeypatch.setattr(trial, "_load", None)
    assert load_trial_data(config) is own
    (held,) = trial._held.values()
    assert len(held) == 1 + trial.HELD_ROUNDS


def test_rounds_share_one_file_of_prepared_pixels(config, tmp_path) -> None:
    files = set()
    for round in range(4):
        _, outcome = run(config, task(tmp_path / str(round), round))
        assert outcome.reason is None
        files |= set((config.cache.path / "prepared").glob("*.u8"))
    assert len(files) == 1
    assert next(iter(files)).stat().st_size == 28 * 32 * 32 + 4


def test_pixels_out_of_the_shared_file_are_those_of_a_file_of_their_own(config) -> None:
    from dataclasses import replace

    data, recipe = load_trial_data(config, 0), Recipe(input_size=32)
    rows, device = data.train[::-1].copy(), torch.device("cpu")
    at, pieces = np.arange(len(rows)), [slice(0, len(rows))]
    ((shared, _),) = Pixels(data, rows, recipe, device).batches(at, pieces)
    alone = replace(data, together=None)
    ((own, _),) = Pixels(alone, rows, recipe, device).batches(at, pieces)
    assert torch.equal(shared, own)


def test_a_reruns_split_of_damaged_files_is_bad_data(config, tmp_path) -> None:
    config.splits_path.unlink()
    _, outcome = run(config, task(tmp_path / "0", 0))
    assert outcome.reason == "bad data"


def test_pseudo_labels_of_who_validates_a_rerun_are_left_out(config, study, tmp_path) -> None:
    names = np.array(study.splits.test[:4])  # stand for images without a label
    path = tmp_path / "pseudo.npz"
    scores = np.linspace(0.1, 0.9, 4 * 14, dtype=np.float32).reshape(4, 14)
    nothing = Calibration(*np.zeros((4, 14), np.float32))
    save_pseudo(
        path, Pseudo(names, scores, nothing, study.splits.fingerprint, study.data.label_names)
    )
    taught = replace(config, pseudo=path)
    data = load_trial_data(taught, 0)
    assert data.pseudo is not None
    assert data.pseudo_rows is not None
    assert data.names[data.pseudo_rows].tolist() == data.pseudo.names.tolist() == names.tolist()
    copy = f"{Path(str(data.names[data.val[0]])).stem}_aug01.png"
    kept = replace(
        data, pseudo=replace(data.pseudo, names=np.array([names[0], copy, *names[2:]]))
    ).parted(fresh_of(study, 0))
    assert kept.pseudo is not None
    assert kept.pseudo_rows is not None
    assert kept.pseudo.names.tolist() == [names[0], *names[2:]]
    assert kept.pseudo.scores.shape == (3, 14)
    assert kept.pseudo_rows.tolist() == data.pseudo_rows[[0, 2, 3]].tolist()
    _, outcome = run(taught, task(tmp_path / "0", 0, pseudo="hard"))
    assert outcome.reason is None, outcome.detail
    assert any("the teacher of the pseudo-labels" in note for note in outcome.attrs["notes"])


def test_unlabelled_images_of_nihs_patients_are_told_by_their_names() -> None:
    labelled = ["00000001_000.png", "00000002_000.png"]
    wanted = ["00000001_003.png", "00000002_000_aug01.png", "00000003_000.png"]
    assert patients_by_name(wanted, labelled, ["1", "2"]) == ["1", "2", "3"]
    assert patients_by_name(wanted, labelled, ["1", "7"]) == [None] * 3
