"""What a training leaves of each of its epochs, however it ends."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.learn import classifier, session
from cxrsearch.learn import student as students
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.epoch_scores import EPOCH_SCORES, EpochScores, read_epoch_scores
from cxrsearch.learn.train import train
from search.objective import TrialError

pytestmark = pytest.mark.usefixtures("tiny_model")


def start(study, recipe, folder: Path):
    compute = ComputeOptions("cpu", threads=1)
    return train(recipe, study.data, seed=3, compute=compute, resamples=20, folder=folder)


def kept(folder: Path) -> EpochScores:
    found = read_epoch_scores(folder)
    assert found is not None
    return found


def values(study, found: EpochScores) -> list[float]:
    labels = study.data.labels[study.data.val_seed]
    return [mean_auroc(auroc(labels, scores)) for scores in found.scores]


def test_every_epochs_scores_give_the_value_of_its_step(study, recipe, tmp_path) -> None:
    steps = list(start(study, recipe, tmp_path))
    found = kept(tmp_path)
    assert found.names.tolist() == list(study.splits.val_seed)
    assert found.epochs.tolist() == [step.number for step in steps]
    assert values(study, found) == [step.value for step in steps]


def test_a_stopped_trial_keeps_what_it_ran(study, recipe, tmp_path) -> None:
    running = start(study, recipe, tmp_path)
    steps = [next(running), next(running)]
    running.close()
    assert values(study, kept(tmp_path)) == [step.value for step in steps]


def test_a_failed_trial_keeps_the_epochs_before(study, recipe, tmp_path, monkeypatch) -> None:
    class Fails(classifier.Learner):
        def epoch(self, number: int) -> float:
            return math.nan if number == 3 else super().epoch(number)

    monkeypatch.setattr(students, "Learner", Fails)
    with pytest.raises(TrialError):
        list(start(study, recipe, tmp_path))
    assert kept(tmp_path).epochs.tolist() == [1, 2]


def test_a_checkpoint_has_them_beside_it_while_the_trial_runs(
    study, recipe, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(session, "CHECKPOINT_SHARE", math.inf)
    running = start(study, recipe, tmp_path)
    next(running)
    next(running)  # the write of the first epoch's checkpoint was waited for
    assert kept(tmp_path).epochs.tolist()[0] == 1
    running.close()


def test_a_lost_file_is_written_again_by_the_trial_that_goes_on(study, recipe, tmp_path) -> None:
    running = start(study, recipe, tmp_path)
    next(running)
    running.close()
    first = kept(tmp_path)
    (tmp_path / EPOCH_SCORES).unlink()
    list(start(study, recipe, tmp_path))
    again = kept(tmp_path)
    assert again.epochs.tolist() == [1, 2, 3]
    assert np.array_equal(again.scores[0], first.scores[0])


def test_a_checkpoint_of_before_goes_on_without_the_epochs_it_lacks(
    study, recipe, tmp_path
) -> None:
    running = start(study, recipe, tmp_path)
    seen = next(running)
    running.close()
    path = tmp_path / "checkpoint.safetensors"
    state = checkpoint.load(path)
    del state["book"]["epoch_logits"]
    checkpoint.save(path, state)
    steps = list(start(study, recipe, tmp_path))
    assert steps[0].value == seen.value
    assert not any("started over" in note for note in steps[-1].attrs["notes"])
    assert kept(tmp_path).epochs.tolist() == [2, 3]


def test_a_checkpoint_with_scores_of_later_epochs_is_started_over(study, recipe, tmp_path) -> None:
    running = start(study, recipe, tmp_path)
    next(running)
    running.close()
    path = tmp_path / "checkpoint.safetensors"
    state = checkpoint.load(path)
    state["book"]["epoch_logits"][2] = state["book"]["epoch_logits"][1]
    checkpoint.save(path, state)
    running = start(study, recipe, tmp_path)
    notes = next(running).attrs["notes"]
    running.close()
    assert any("scores in checkpoint.safetensors" in note for note in notes)


def test_epochs_scored_on_other_images_are_left_out(study, recipe, tmp_path) -> None:
    running = start(study, recipe, tmp_path)
    next(running)
    running.close()
    fewer = replace(study.data, val_seed=study.data.val_seed[:-1])
    list(start(replace(study, data=fewer), recipe, tmp_path))
    found = kept(tmp_path)
    assert found.epochs.tolist() == [2, 3]
    assert found.names.tolist() == list(study.splits.val_seed[:-1])
