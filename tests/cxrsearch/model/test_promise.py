"""What validation promised, out of a card, and the page of a model's folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cxrsearch.learn.recipe import Recipe
from cxrsearch.model.card import ModelMeta, make_card
from cxrsearch.model.promise import promised_in, promises, readme

SAID = {
    "value": 0.735,
    "interval": [0.7, 0.77],
    "selected_from": 24,
    "best": {"trial": 17, "value": 0.742},
    "corrected": 0.728,
    "corrected_interval": [0.7, 0.755],
    "confirmed": 0.731,
    "confirmed_interval": [0.69, 0.76],
    "reruns": 20,
    "finalists": [31, 17, 4],
    "sentences": ["0.742 observed; about 0.728 on new patients."],
}
META = ModelMeta(64, "data", "split", ("Mass", "a|b <i>"), study="s", trial=31, validation=SAID)


def test_what_was_promised_is_observed_corrected_and_confirmed() -> None:
    said = promises(promised_in(make_card(Recipe(), META)))
    assert [(one.name, one.value, one.interval) for one in said] == [
        ("observed", 0.735, (0.7, 0.77)),
        ("corrected", 0.728, (0.7, 0.755)),
        ("confirmed", 0.731, (0.69, 0.76)),
    ]
    assert [one.words for one in said] == [
        "trial 31 on validation, chosen from 24 trials",
        "without the luck of that choice; of trial 17, 0.742 as observed",
        "by 20 reruns of 3 finalists on fresh seeds and splits",
    ]


@pytest.mark.parametrize("said", [{}, {"value": None}, {"value": "0.7"}, {"value": True}])
def test_a_card_without_a_figure_promises_nothing(said: dict[str, Any]) -> None:
    card = make_card(Recipe(), replace(META, validation=said))
    assert promised_in(card) == {}
    assert promises({}) == []
    assert "What it is worth" not in readme(card)


def test_an_ensemble_promises_nothing_of_one_trial() -> None:
    assert promised_in({"study": {"path": None}}) == {}


@pytest.mark.parametrize(
    "odd", [{"best": {}}, {"best": 3}, {"best": {"trial": "x"}}, {"confirmed_interval": [1]},
            {"reruns": "many"}, {"finalists": 3}, {"selected_from": None}],
)  # fmt: skip
def test_odd_values_of_a_card_are_left_out(odd: dict[str, Any]) -> None:
    said = promised_in(make_card(Recipe(), replace(META, validation={**SAID, **odd})))
    assert len(promises(said)) == 3
    assert not set(odd) & set(said)


def test_the_page_says_use_labels_worth_and_training_without_markup_of_others() -> None:
    taught = {"Mass": {"positive": 3, "negative": 9, "uncertain": 0, "unknown": 1}}
    training = {"rows": "train + validation", "images": 1300, "epochs": 7, "labels": taught,
                "notes": ["<b>slow</b>"]}  # fmt: skip
    text = readme(make_card(Recipe(epochs=12), replace(META, training=training)))
    for part in (
        "# densenet121: 2 labels",
        "Research use only",
        "a|b &lt;i&gt;",
        "| confirmed | 0.731 | 0.690 to 0.760 | by 20 reruns",
        "0.742 observed; about 0.728 on new patients.",
        "Trained on train + validation, 1,300 images, 7 of 12 epochs.",
        "| Mass | 3 | 9 | 0 | 1 |",
        "- &lt;b&gt;slow",
    ):
        assert part in text
    assert "<b>" not in text
