"""Constant scores and AUROCs the wrong way round are named, with their numbers."""

from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.errors import InputError
from cxrsearch.model.suspicion.check import Check, by_gravity, grave, refuse_false
from cxrsearch.model.suspicion.outputs import below_chance_check, constant_check

NAMES = ("Mass", "Edema")


def scores(seed: int = 0, n: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.2, 0.8, (n, 2)).astype(np.float32)


def test_scores_that_differ_are_nothing_to_look_at() -> None:
    found = constant_check(scores(), NAMES, "test")
    assert found.level == "note"
    assert found.evidence["distinct"] == {"Mass": 60, "Edema": 60}


def test_the_same_score_for_every_image_is_false() -> None:
    found = constant_check(np.full((60, 2), 0.3, np.float32), NAMES, "test")
    assert (found.name, found.level) == ("constant", "false")
    assert "all 60 images" in found.sentence


def test_one_constant_label_is_named_and_the_other_is_not() -> None:
    values = scores()
    values[:, 1] = 0.25
    found = constant_check(values, NAMES, "test")
    assert found.level == "doubtful"
    assert "Edema" in found.sentence
    assert "Mass" not in found.sentence


@pytest.mark.parametrize("width", [1e-3, 1e-4])
def test_scores_within_a_hair_are_nearly_the_same(width: float) -> None:
    values = scores()
    values[:, 0] = 0.5 + width * (values[:, 0] - 0.5)
    found = constant_check(values, NAMES, "validation")
    assert found.level == "doubtful"
    assert "nearly the same for Mass" in found.sentence


def test_two_distinct_scores_among_many_images_are_nearly_the_same() -> None:
    values = scores()
    values[:, 0] = np.where(values[:, 0] > 0.5, 0.9, 0.1)
    assert "Mass" in constant_check(values, NAMES, "test").sentence


def test_no_image_and_one_image_end_in_a_note() -> None:
    for n in (0, 1):
        assert constant_check(scores(n=n), NAMES, "test").level == "note"


def test_an_interval_below_half_names_label_and_mean() -> None:
    ends = {"Mass": [0.2, 0.4], "Edema": [0.45, 0.7]}
    found = below_chance_check("test", ends, [0.3, 0.49], {"Mass": 0.3})
    assert (found.name, found.level) == ("below chance", "doubtful")
    assert "the mean (0.300 to 0.490), Mass (0.300, 0.200 to 0.400)" in found.sentence
    assert list(found.evidence["below"]) == ["Mass"]
    assert found.sentence.endswith("the wrong way round?")


def test_of_labels_alone_it_is_said_how_many_chance_would_put_below_half() -> None:
    ends = {"Mass": [0.2, 0.4], **{f"label {k}": [0.4, 0.7] for k in range(39)}}
    found = below_chance_check("test", ends, [0.4, 0.6])
    assert found.sentence.endswith("round? Of 40 labels, chance alone does that to 1.")


def test_an_interval_that_reaches_half_is_none() -> None:
    assert below_chance_check("test", {"Mass": [0.2, 0.5]}, [0.4, 0.6]).level == "note"


def test_missing_intervals_are_no_error() -> None:
    found = below_chance_check("test", {"Mass": None, "Edema": [None, 0.2]}, [None, None])
    assert found.level == "note"
    assert "no AUROC has an interval" in found.sentence


def test_false_findings_end_a_command_and_others_do_not() -> None:
    note, doubt = Check("a", "note", "fine"), Check("b", "doubtful", "look at it")
    false = Check("c", "false", "all is black", {"images": 3})
    assert [check.name for check in by_gravity([note, doubt, false])] == ["c", "b", "a"]
    assert [check.name for check in grave([note, doubt, false])] == ["c", "b"]
    refuse_false([note.to_json(), doubt.to_json()])
    with pytest.raises(InputError, match="all is black"):
        refuse_false([false.to_json()])


def test_a_level_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="'bad'"):
        Check("a", "bad", "x")  # type: ignore[arg-type]
