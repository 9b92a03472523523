"""Rules for operating points: what they accept, and which thresholds they choose."""

from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.errors import InputError
from cxrsearch.model.rules import choose_thresholds, parse_rule


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("sensitivity=0.9", "sensitivity", 0.9),
        (" Specificity = 1 ", "specificity", 1.0),
        ("youden", "youden", None),
        ("threshold=0", "threshold", 0.0),
    ],
)
def test_rules_are_read(text: str, name: str, number: float | None) -> None:
    rule = parse_rule(text)
    assert (rule.name, rule.number) == (name, number)
    assert parse_rule(str(rule)) == rule


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sensitivty=0.9", "did you mean 'sensitivity'"),
        ("sensitivity", "it lacks"),
        ("sensitivity=90", "'90' is not"),
        ("sensitivity=0", "'0' is not"),
        ("specificity=nan", "'nan' is not"),
        ("threshold=-0.1", "'-0.1' is not"),
        ("youden=3", "takes no number"),
        ("", "no rule ''"),
    ],
)
def test_a_wrong_rule_is_named_with_the_way_out(text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_rule(text)
    assert told in str(caught.value)
    assert repr(text) in str(caught.value)


def chosen(rule: str, marks: list[float], scores: list[float]) -> float:
    found = choose_thresholds(parse_rule(rule), np.array([marks]).T, np.array([scores]).T)
    return float(found.values[0])


def test_the_highest_score_with_the_wanted_sensitivity() -> None:
    marks, scores = [1, 1, 1, 1, 0], [0.1, 0.4, 0.6, 0.8, 0.9]
    assert chosen("sensitivity=0.75", marks, scores) == 0.4
    assert chosen("sensitivity=0.7", marks, scores) == 0.4
    assert chosen("sensitivity=0.76", marks, scores) == 0.1
    assert chosen("sensitivity=1", marks, scores) == 0.1


def test_the_lowest_score_with_the_wanted_specificity() -> None:
    marks, scores = [0, 0, 0, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.35]
    assert chosen("specificity=0.75", marks, scores) == 0.35
    assert chosen("specificity=0.5", marks, scores) == 0.3
    assert 0.4 < chosen("specificity=1", marks, scores) < 0.4 + 1e-9


def test_equal_scores_are_on_the_same_side() -> None:
    marks, scores = [1, 1, 0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5, 0.2, 0.1]
    assert chosen("sensitivity=0.5", marks, scores) == 0.5
    assert chosen("specificity=0.5", marks, scores) == 0.5
    assert chosen("specificity=0.6", marks, scores) > 0.5
    assert chosen("youden", marks, scores) == 0.5


def test_youden_is_that_of_scikit_learns_curve() -> None:
    from sklearn.metrics import roc_curve  # type: ignore[import-untyped]

    rng = np.random.default_rng(0)
    marks = (rng.random(200) < 0.2).astype(float)
    scores = np.round(rng.normal(size=200) + marks, 1)
    false, true, edges = roc_curve(marks, scores, drop_intermediate=False)
    assert chosen("youden", marks.tolist(), scores.tolist()) == edges[np.argmax(true - false)]


def test_what_is_unknown_takes_no_part_and_a_missing_class_is_said() -> None:
    marks = np.array([[1.0, np.nan], [np.nan, 0.0], [0.0, 0.0]])
    scores = np.array([[0.7, 0.1], [0.9, 0.2], [0.2, 0.3]], dtype=np.float32)
    found = choose_thresholds(parse_rule("sensitivity=0.9"), marks, scores)
    assert found.values[0] == np.float32(0.7)
    assert np.isnan(found.values[1])
    assert found.reasons == (None, "no positive image to choose a threshold by")
    given = choose_thresholds(parse_rule("threshold=0.3"), marks, scores)
    assert given.values.tolist() == [0.3, 0.3]
    assert given.reasons == (None, None)
