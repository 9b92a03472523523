from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.errors import InputError
from cxrsearch.learn.calibrate import Calibration
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.criterion import build_loss
from cxrsearch.learn.losses import LOSSES
from cxrsearch.learn.pseudo import Pseudo, distilled, load_pseudo, save_pseudo
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.unlabelled import pseudo_problems

ONE = ComputeOptions("cpu", threads=1)
LINE = Calibration(np.ones(2), np.zeros(2), np.full(2, 0.6), np.full(2, 0.4))
TEACHER = Pseudo(
    np.array(["new"]), np.zeros((1, 2), np.float32), LINE, "split", ("A", "B"),
    taught=np.array(["b", "a"]),
    taught_scores=np.array([[0.5, 0.25], [0.75, 0.125]], np.float32),
)  # fmt: skip


def test_targets_go_part_of_the_way_to_what_the_teacher_says_of_the_same_image() -> None:
    marks = np.array([[1, 0], [0, np.nan], [1, 1]], np.float32)
    names = np.array(["a", "b", "c"])  # of c the teacher says nothing
    mixed = distilled(marks, names, TEACHER, Recipe(distill=0.5))
    np.testing.assert_allclose(mixed, [[0.875, 0.0625], [0.25, np.nan], [1, 1]])
    assert distilled(marks, names, None, Recipe()) is marks


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "auc_margin"])
def test_the_loss_is_as_much_of_agreeing_with_the_teacher_and_the_rest_of_the_label(
    name: str,
) -> None:
    loss = build_loss(Recipe(loss=name), np.array([0.3, 0.4]))
    logits = torch.randn((2, 2), generator=torch.Generator().manual_seed(0))
    marks = np.array([[1, 0], [0, 1]], np.float32)
    said = torch.tensor([[0.75, 0.125], [0.5, 0.25]])
    mixed = distilled(marks, np.array(["a", "b"]), TEACHER, Recipe(distill=0.3))
    whole = 0.7 * loss(logits, torch.from_numpy(marks)) + 0.3 * loss(logits, said)
    torch.testing.assert_close(loss(logits, torch.from_numpy(mixed)), whole)


def test_without_a_teacher_that_knows_the_training_images_it_is_refused(
    study: Any, recipe: Recipe, tiny_model: None
) -> None:
    with pytest.raises(InputError, match="distill: no teacher says anything"):
        Learner(replace(recipe, distill=0.5), study.data, seed=0, compute=ONE)


def test_a_teacher_is_saved_with_what_it_says_of_its_own_images(tmp_path: Path) -> None:
    path = tmp_path / "pseudo.npz"
    save_pseudo(path, TEACHER)
    back = load_pseudo(path)
    assert back.taught.tolist() == ["b", "a"]
    np.testing.assert_array_equal(back.taught_scores, TEACHER.taught_scores)
    assert back.fingerprint == TEACHER.fingerprint
    silent = replace(TEACHER, taught=TEACHER.taught[:0], taught_scores=np.zeros((0, 0), np.float32))
    assert silent.fingerprint != TEACHER.fingerprint
    save_pseudo(path, silent)
    assert not len(load_pseudo(path).taught)
    save_pseudo(path, replace(TEACHER, taught=TEACHER.taught[:1]))
    with pytest.raises(InputError, match="learnt from do not fit together"):
        load_pseudo(path)


def test_a_space_that_distills_asks_for_a_teacher_and_one_that_knows_the_images(
    tmp_path: Path,
) -> None:
    assert "distill: no teacher" in pseudo_problems(["none"], 0.5, None)[0]
    save_pseudo(tmp_path / "pseudo.npz", TEACHER)
    assert pseudo_problems(["none"], 0.5, str(tmp_path)) == []
    assert "distill: {low" in pseudo_problems(["none"], 0.0, str(tmp_path))[0]
    silent = replace(TEACHER, taught=TEACHER.taught[:0], taught_scores=np.zeros((0, 0), np.float32))
    save_pseudo(tmp_path / "pseudo.npz", silent)
    assert "distill: no teacher" in pseudo_problems(["none"], 0.5, str(tmp_path))[0]
