"""Cells: every arm within the budget, cut off anywhere, gone on with."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cxrsearch.ablation.arms import ARMS, TEAM
from cxrsearch.ablation.objective import CellObjective
from cxrsearch.equal_compute import cell as cells
from cxrsearch.equal_compute.cell import Cell
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.systems.gan import arm as generated
from cxrsearch.systems.gan.arm import costs, side_of, with_generated
from cxrsearch.systems.per_disease.arm import one_each
from cxrsearch.systems.pretrain.arm import passes, pool_of
from search.objective import Step, Task

Make = Callable[..., Cell]


def finish(steps: Generator[Step, None, Any]) -> tuple[list[Step], Any]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return seen, stop.value


OTHERS = ("scratch", "crop", "report", "half", "tpe")
"""Arms that other tests train, or that differ by a gene from one that is trained here."""


@pytest.mark.parametrize("name", [name for name in ARMS if name not in OTHERS])
def test_every_arm_keeps_to_the_budget_and_scores_both_parts(make_cell: Make, name: str) -> None:
    cell = make_cell()
    steps, scores = finish(ARMS[name].train(cell))
    assert cell.spent == pytest.approx(
        cell.plan.images, abs=8
    )  # whole images in each epoch of each fit
    assert scores.val.shape == (16, 14)
    assert scores.test.shape == (14, 14)
    assert np.isfinite(scores.val).all()
    assert np.isfinite(scores.test).all()
    assert [step.number for step in steps] == sorted({step.number for step in steps})


def test_a_gan_s_images_join_the_real_ones_and_none_but_labels_stay_out(make_cell: Make) -> None:
    cell = make_cell()
    data, pool = cell.data, pool_of(cell)
    drawn = np.full((7, 16, 16), 9, np.uint8)
    cell.folder.mkdir(parents=True)
    found = with_generated(data, pool, {"images": drawn}, cell.folder / "pixels")
    real = len(pool)
    assert np.array_equal(found.images[found.train[:real]], data.images[pool])
    assert np.array_equal(found.images[found.val], data.images[data.val])
    assert (found.images[found.train[real:]] == 9).all()
    assert len(found.train) == real + 7
    assert not set(found.names[found.train]) & set(data.names[cell.test])
    assert found.shelf is None


def test_what_a_gan_costs_is_counted_by_its_networks() -> None:
    train, draw = costs(64, Recipe(input_size=64), 14)
    assert 0.2 < train < 3
    assert 0 < draw < train / 8
    assert side_of(Recipe(input_size="100x134"), 224) == 64
    assert side_of(Recipe(input_size=224), 96) == 64


def test_a_gan_is_not_trained_again_after_a_kill(
    make_cell: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = finish(ARMS["gan"].train(make_cell("whole")))[1]
    steps = ARMS["gan"].train(make_cell("cut"))
    next(steps)
    steps.close()

    def refuse(*args: Any, **named: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(generated, "train_epochs", refuse)
    assert np.array_equal(finish(ARMS["gan"].train(make_cell("cut")))[1].test, whole.test)


def test_a_cell_that_is_done_leaves_no_weights_and_no_images(make_cell: Make) -> None:
    cell = make_cell()
    free = tuple(str(name) for name in cell.data.names[cell.unlabelled])
    objective = CellObjective(cell.config, cell.plan, free)
    finish(objective(Task(0, {"arm": "gan", "repeat": 0}, 0, cell.folder)))
    left = {path.name for path in cell.folder.rglob("*") if path.is_file()}
    assert "scores.npz" in left
    assert not left & {"generated.npz", "pixels.u8"}
    assert not any(name.endswith(".safetensors") for name in left)


def test_arms_of_one_repeat_start_alike_and_repeats_do_not(make_cell: Make) -> None:
    short = Recipe(input_size=32, epochs=1, batch_size=10)
    one, again, other = (make_cell(name) for name in "abc")
    other.seed = 8
    found = [finish(cell.fit("m", short, 20))[1].test for cell in (one, again, other)]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_a_cell_that_was_cut_off_ends_as_one_that_was_not(make_cell: Make) -> None:
    whole = finish(ARMS["self-training"].train(make_cell("whole")))
    steps = ARMS["self-training"].train(make_cell("cut"))
    for _ in range(2):
        next(steps)
    steps.close()
    seen, scores = finish(ARMS["self-training"].train(make_cell("cut")))
    assert np.array_equal(scores.test, whole[1].test)
    assert [(s.number, s.value) for s in seen] == [(s.number, s.value) for s in whole[0]]


def test_what_is_done_is_not_trained_again(
    make_cell: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = finish(ARMS["per-disease-shared"].train(make_cell()))[1]

    def refuse(*args: Any, **named: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(cells, "train", refuse)
    cell = make_cell()
    again = finish(ARMS["per-disease-shared"].train(cell))[1]
    assert np.array_equal(first.test, again.test)
    assert cell.spent == pytest.approx(cell.plan.images, abs=3)


def test_a_search_in_a_cell_goes_on_where_it_was_cut_off(make_cell: Make) -> None:
    whole = finish(ARMS["tpe"].train(make_cell("whole")))[1]
    steps = ARMS["tpe"].train(make_cell("cut"))
    next(steps)
    steps.close()
    assert np.array_equal(finish(ARMS["tpe"].train(make_cell("cut")))[1].test, whole.test)


def test_weights_go_when_they_are_no_longer_needed(make_cell: Make) -> None:
    cell = make_cell()
    finish(cell.fit("gone", cell.recipe, 20))
    assert not list(cell.folder.rglob("*.safetensors"))
    kept = finish(cell.fit("kept", cell.recipe, 20, keep=True))[1]
    assert (kept.folder / BEST).is_file()
    cell.forget("kept")
    assert not list(cell.folder.rglob("*.safetensors"))


def test_epochs_that_patience_saved_are_not_spent(make_cell: Make) -> None:
    cell = make_cell()
    steps = cell.fit("model", replace(cell.recipe, patience=1, lr=1e-7), 300)
    count = sum(1 for _ in steps)
    assert count < 10
    assert cell.spent == 30 * count


def test_a_single_model_gives_its_own_disease_alone(make_cell: Make) -> None:
    scores, fits = finish(one_each(make_cell()))[1]
    own = list(fits)
    assert len(own) == 2
    others = [column for column in range(14) if column not in own]
    assert (scores.val[:, others] == 0).all()
    for column in own:
        assert np.array_equal(scores.test[:, column], fits[column].test[:, column])


def test_the_outputs_of_the_test_images_are_those_of_the_best_epoch(make_cell: Make) -> None:
    cell = make_cell()
    fitted = finish(cell.fit("model", cell.recipe, keep=True))[1]
    again = cell.score(fitted.recipe, fitted.folder / BEST, cell.data.val)
    assert np.allclose(again, fitted.val, atol=1e-5)


def test_what_a_pre_trainings_image_costs_is_counted_in_the_classifiers() -> None:
    recipe = Recipe(input_size=32)
    assert 1.1 < passes("autoencoder", recipe, 14) < 2
    assert 2 < passes("contrastive", recipe, 14) < 2.5


def test_a_search_s_own_trials_are_averaged_and_charged_once(make_cell: Make) -> None:
    cell = make_cell()
    _, scores = finish(ARMS["ga-ensemble"].train(cell))
    saved = [np.load(path) for path in sorted((cell.folder / "search").rglob("scores.npz"))]
    assert len(saved) == cell.plan.search_trials <= TEAM
    assert np.allclose(scores.test, np.mean([one["test"] for one in saved], axis=0), atol=1e-6)
    assert np.allclose(scores.val, np.mean([one["val"] for one in saved], axis=0), atol=1e-6)
    assert not list(cell.folder.rglob("*.safetensors"))
    again = finish(ARMS["ga-ensemble"].train(make_cell()))[1]
    assert np.array_equal(again.test, scores.test)


def test_views_are_charged_as_scoring_and_not_scored_again_after_a_kill(
    make_cell: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    _, scores = finish(ARMS["views"].train(cell))
    looks = 4 * (len(cell.data.val) + len(cell.test)) / 3
    plain = make_cell("plain")
    _, once = finish(plain.fit("model", plain.recipe, plain.images - looks))
    assert plain.spent + looks == pytest.approx(cell.spent, abs=1)
    assert not np.allclose(once.test, scores.test, atol=1e-7)
    assert np.abs(once.test - scores.test).max() < 0.2

    def refuse(*args: Any, **named: Any) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr(Cell, "model", refuse)
    assert np.array_equal(finish(ARMS["views"].train(make_cell()))[1].test, scores.test)
