"""The benchmark of corrected figures: its truths, its alternatives, and how it judges."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import roc_auc_score

from benchmarks.optimism import cells, curves, drawn, logits, phantom
from benchmarks.optimism.alternatives import BBC, EFRON, NAIVE, Reported, bootstrapped, weighted
from benchmarks.optimism.judging import OURS, Repetition, findings, keep, show


def _repetition(true: float, naive: float, value: float, reach: float = 0.02) -> Repetition:
    said = Reported(value, value - reach, value + reach)
    return Repetition(true, naive, math.nan, math.nan, {OURS: said})


def test_weighted_auroc_is_that_of_rows_given_so_often():
    rng = np.random.default_rng(0)
    labels = (rng.random((30, 2)) < 0.4).astype(float)
    scores = rng.integers(5, size=(3, 30, 2)).astype(float)
    weights = rng.integers(3, size=(2, 30))
    found = weighted(scores, labels, weights)
    for draw, often in enumerate(weights):
        rows = np.repeat(np.arange(30), often)
        for model in range(3):
            for label in range(2):
                expected = roc_auc_score(labels[rows, label], scores[model, rows, label])
                assert found[draw, model, label] == pytest.approx(expected)


def test_a_class_that_a_draw_lacks_leaves_it_undefined():
    labels, scores = np.array([[1.0], [0.0], [0.0]]), np.zeros((1, 3, 1))
    found = weighted(scores, labels, np.array([[0, 1, 2], [1, 1, 1]]))
    assert math.isnan(found[0, 0, 0])
    assert found[1, 0, 0] == 0.5


def test_alternatives_take_luck_off_models_that_know_nothing():
    rng = np.random.default_rng(1)
    labels = (np.arange(100) % 3 == 0).astype(float)[:, None]
    said = bootstrapped(rng.standard_normal((30, 100, 1)), labels, np.arange(100), 100, 0)
    assert said[NAIVE].value > said[EFRON].value > said[BBC].value
    assert said[BBC].value == pytest.approx(0.5, abs=0.1)
    assert all(each.low < each.high for each in said.values())


def test_a_method_is_judged_by_what_it_leaves_and_how_often_it_holds():
    (found,) = findings(
        "here", [_repetition(0.70, 0.72, 0.702)] * 19 + [_repetition(0.7, 0.72, 0.75)]
    )
    assert found.flattery == pytest.approx(0.02)
    assert found.share == pytest.approx((0.002 * 19 + 0.05) / 20 / 0.02)
    assert found.coverage == 0.95
    assert found.coverage_interval[0] < 0.95 < found.coverage_interval[1]
    assert math.isnan(found.sharper)
    assert not found.holds


def test_findings_are_shown_with_what_is_missed_and_kept(tmp_path, capsys):
    found = findings("here", [_repetition(0.70, 0.72, 0.71)] * 20)
    show(Console(width=200), "title", found)
    said = capsys.readouterr().out
    assert "missed: here: share +0.500" in said
    assert "0 of 1 situations hold" in said
    keep(tmp_path, "curves", {"draws": 1}, found)
    read = json.loads((tmp_path / "curves.json").read_text())
    assert read["findings"][0]["share"] == pytest.approx(0.5)
    assert read["findings"][0]["sharper"] is None


def test_simulated_scores_have_the_auroc_that_they_are_said_to_have():
    search = curves.Search(patients=3000, trials=3, epochs=3, labels=3, keep=1.0)
    scores, labels, _, true = curves.drawn(search, np.random.default_rng(0))
    seen = weighted(scores, labels, np.ones((1, len(labels)), dtype=int))[0]
    assert np.abs(seen - true)[:, 1:].max() < 0.03


def test_trials_that_are_stopped_have_fewer_epochs():
    search = curves.Search(patients=50, trials=8, epochs=6, labels=2)
    scores, labels, patients, true = curves.drawn(search, np.random.default_rng(0))
    assert len(scores) == len(true) == 4 * 2 + 2 * 4 + 2 * 6
    assert scores.shape[1:] == labels.shape
    assert len(patients) == len(labels)


def _logits(folder):
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 3)) < 0.3).astype(np.uint8)
    models = {
        f"m{i}": (labels + rng.standard_normal((200, 3))).astype(np.float16) for i in range(4)
    }
    np.savez(folder / "l.npz", labels=labels, patient=rng.integers(80, size=200), **models)
    return folder / "l.npz"


def test_real_logits_are_drawn_by_patient(tmp_path):
    population = logits.Population.read(_logits(tmp_path))
    assert sum(len(rows) for rows in population.rows) == 200
    situation = logits.Situation(30, 3, 2, jitter=0.3)
    noisy = logits.of_models(population, situation.jitter)
    assert len(noisy.scores) == 2 * len(population.scores)
    made = logits.one(noisy, situation, 5, 50, 20)
    assert len(made.methods) == 4
    assert made.best >= made.true
    assert logits.one(noisy, situation, 5, 50, 20) == made
    assert logits.one(noisy, situation, 6, 50, 20) != made


def test_one_image_of_each_patient_can_be_the_population(tmp_path):
    population = logits.Population.read(_logits(tmp_path), one_image=True)
    assert {len(rows) for rows in population.rows} == {1}
    assert population.scores.shape[1] == len(population.rows)


def test_drawn_images_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(drawn, "SIDE", 16)
    first = drawn.drawn(tmp_path, 50, 3)
    assert first.pixels.shape == (50, 16, 16)
    monkeypatch.setattr(drawn, "phantom_dataset", None)
    np.testing.assert_array_equal(drawn.drawn(tmp_path, 50, 3).pixels, first.pixels)


def test_a_small_network_learns_and_is_judged_by_the_weights_that_were_kept():
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 2)) < 0.5).astype(np.uint8)
    pixels = rng.integers(60, 100, size=(400, 4, 4)).astype(np.uint8)
    pixels[:, 0, 0] += 60 * labels[:, 0]
    pixels[:, 3, 3] += 60 * labels[:, 1]
    images = drawn.Drawn(pixels, labels, np.arange(400))
    training = phantom.Training(images, images)
    genes = {
        "lr": 0.01, "decay": 1e-4, "hidden": 8, "blur": 1, "noise": 0.1, "flip": False, "batch": 16,
    }  # fmt: skip
    task = phantom.Task(0, genes, 5, None)
    values = [step.value for step in training(task)]
    assert values[-1] > 0.9
    true = phantom.judged(training.kept[0][-1][0], images, {16: phantom.small(pixels, 1)})
    assert true.mean() == pytest.approx(values[-1], abs=0.01)


def test_repetitions_that_are_there_are_not_made_again(tmp_path, monkeypatch):
    asked = []

    def one(number):
        asked.append(number)
        return _repetition(0.7, 0.72, 0.7 + number / 100)

    file = tmp_path / "cells" / "here.jsonl"
    first = cells.collect(file, "here", one, 2)
    with file.open("a") as out:
        out.write('{"number": 2, "vers')  # cut off by a kill
    again = cells.collect(file, "here", one, 3)
    assert asked == [0, 1, 2]
    assert [each.methods for each in again[:2]] == [each.methods for each in first]
    assert math.isnan(again[0].luck)
    monkeypatch.setattr(cells, "version", lambda: "another")
    cells.collect(file, "here", one, 1)
    assert asked == [0, 1, 2, 0]
