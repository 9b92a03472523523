from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.errors import InputError
from cxrsearch.learn import objective as trial
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.objective import TrialConfig, TrialObjective
from cxrsearch.learn.saved.arrays import (
    Labels,
    load_arrays,
    load_labels,
    save_arrays,
    save_labels,
)
from search.objective import Outcome, Step, Task, drive

PARAMS = {"epochs": 2, "batch_size": 8, "input_size": 32, "optimizer": "adamw", "lr": 1e-2,
          "ratio_Mass": 2.0, "horizontal_flip": True}  # fmt: skip


@pytest.fixture
def config(study, tmp_path) -> TrialConfig:
    cache = open_cache(study.dataset, 40, root=tmp_path / "cache", workers=1)
    return TrialConfig(
        cache, study.splits_path, study.labels_path, study.splits.fingerprint,
        ComputeOptions("cpu", threads=1), resamples=20,
    )  # fmt: skip


def run(config: TrialConfig, folder: Path, **params: Any) -> tuple[list[Step], Outcome]:
    steps = []
    running = drive(TrialObjective(config), Task(0, {**PARAMS, **params}, 7, folder))
    while True:
        try:
            steps.append(next(running))
        except StopIteration as stop:
            return steps, stop.value


def test_a_trial_whose_gpu_does_not_answer_fails_by_the_machine(config, tmp_path) -> None:
    """It must neither train on the cores that it was not given, nor count against its recipe."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    steps, outcome = run(replace(config, compute=ComputeOptions("cuda", threads=1)), tmp_path / "0")
    assert (steps, outcome.reason) == ([], "machine")
    assert "no CUDA device answers" in outcome.detail
    assert not (tmp_path / "0").exists()


@pytest.mark.usefixtures("tiny_model")
def test_a_task_becomes_steps_and_an_outcome(config, tmp_path) -> None:
    steps, outcome = run(config, tmp_path / "0")
    assert [step.number for step in steps] == [1, 2]
    assert outcome.reason is None
    assert outcome.value is not None
    assert {"auroc", "interval", "intervals", "best_epoch", "epochs_run", "images_seen", "seconds",
            "parameters",
            "exposure", "notes", "device", "precision", "threads", "micro_batch",
            "split"} == set(outcome.attrs)  # fmt: skip


@pytest.mark.usefixtures("tiny_model")
def test_the_objective_is_small_when_pickled_and_does_the_same_elsewhere(config, tmp_path) -> None:
    _, here = run(config, tmp_path / "0")
    data = pickle.dumps(TrialObjective(config))
    assert len(data) < 3000
    _, there = run(pickle.loads(data).config, tmp_path / "1")
    assert there.value == here.value


@pytest.mark.usefixtures("tiny_model")
def test_a_worker_loads_the_data_once(config, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(trial, "_held", type(trial._held)())
    run(config, tmp_path / "0")
    monkeypatch.setattr(trial, "_load", None)
    _, outcome = run(config, tmp_path / "1")
    assert outcome.reason is None


def test_before_a_trial_a_machine_names_what_must_be_the_same_there(config, tmp_path) -> None:
    found = TrialObjective(config).preflight()
    assert {"cxrsearch", "torch"} < set(found)
    assert "+" not in found["torch"], "a build for a GPU beside one for a CPU is no other version"
    known = load_labels(config.labels_path)
    marks = known.labels.copy()
    marks[0, 0] = 1 - marks[0, 0]
    save_labels(config.labels_path, replace(known, labels=marks))
    other = TrialObjective(config).preflight()
    assert [name for name in found if found[name] != other[name]] == [
        f"the labels in {config.labels_path}"
    ]


def test_a_cache_that_is_not_on_a_machine_is_told_with_the_way_out(config, tmp_path) -> None:
    pickled = pickle.dumps(TrialObjective(config))
    config.cache.path.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"is not there .* all machines have with --cache"):
        pickle.loads(pickled)


def test_another_split_is_bad_data(config, study, tmp_path) -> None:
    other = replace(study.splits, seed=9, fingerprint="")
    other.save(config.splits_path)
    _, outcome = run(config, tmp_path / "0")
    assert outcome.reason == "bad data"
    assert other.fingerprint in outcome.detail
    assert study.splits.fingerprint in outcome.detail


def test_lost_labels_are_bad_data(config, tmp_path) -> None:
    config.labels_path.unlink()
    _, outcome = run(config, tmp_path / "0")
    assert outcome.reason == "bad data"
    assert "labels.npz" in outcome.detail


def test_missing_starting_weights_are_bad_data(config, tmp_path) -> None:
    _, outcome = run(config, tmp_path / "0", init=str(tmp_path / "none.safetensors"))
    assert outcome.reason == "bad data"
    assert "none.safetensors" in outcome.detail


def test_an_unknown_gene_is_a_crash_with_its_name(config, tmp_path) -> None:
    _, outcome = run(config, tmp_path / "0", learning_rate=1)
    assert outcome.reason == "crash"
    assert "learning_rate" in outcome.detail


def test_a_real_densenet_trains_and_is_resumed(config, tmp_path) -> None:
    running = TrialObjective(config)(Task(0, PARAMS | {"dropout": 0.2}, 7, tmp_path / "0"))
    first = next(running)
    running.close()
    steps, outcome = run(config, tmp_path / "0", dropout=0.2)
    assert steps[0].value == first.value
    assert outcome.value is not None
    assert 0 <= outcome.value <= 1


def test_unreadable_images_are_left_out_with_a_note(config, study) -> None:
    ok = config.cache.ok.copy()
    ok[[0, 17, 30]] = False
    cache = replace(config.cache, ok=ok, bad={"x": "broken"})
    labels = load_labels(config.labels_path)
    data = trial.make_data(cache, labels, study.splits)
    assert len(data.train) == 15
    assert len(data.val) == 11
    assert data.notes == ("2 unreadable images are left out of training and validation",)


def test_a_split_of_other_data_is_refused(config, study) -> None:
    other = replace(study.splits, train=("unknown.png", *study.splits.train), fingerprint="")
    with pytest.raises(InputError, match=r"unknown\.png"):
        trial.make_data(config.cache, load_labels(config.labels_path), other)


def test_labels_round_trip_without_pickle(tmp_path) -> None:
    path = tmp_path / "labels.npz"
    labels = np.eye(14, dtype=np.uint8)[:3]
    save_labels(path, Labels(np.array(["a", "bé", "c"]), labels, np.array(["1", "1", "22"])))
    found = load_labels(path)
    assert found.names.tolist() == ["a", "bé", "c"]
    assert np.array_equal(found.labels, labels)
    assert found.labels.dtype == np.uint8
    assert found.patients.tolist() == ["1", "1", "22"]
    assert found.label_names == DISEASES
    unsure = np.array([[True, False]])
    half = np.array([[np.nan, 0.5]], np.float32)
    some = Labels(np.array(["a"]), half, np.array(["1"]), ("A b", "C"), unsure, ("soft", "ignore"))
    save_labels(path, some)
    found = load_labels(path)
    assert np.array_equal(found.labels, half, equal_nan=True)
    assert (found.label_names, found.uncertain_as) == (("A b", "C"), ("soft", "ignore"))
    assert np.array_equal(found.uncertain, unsure)
    np.savez(path, names=np.array([{"an": "object"}], dtype=object), labels=labels, patients=[1])
    with pytest.raises(InputError, match=r"labels\.npz"):
        load_labels(path)
    save_arrays(path, names=np.array(["a"]), labels=labels, patients=np.array(["1"]))
    with pytest.raises(InputError, match="fit together"):
        load_labels(path)
    path.write_bytes(b"PK rubbish")
    with pytest.raises(InputError, match="cannot be read"):
        load_arrays(path, ("names",))
