"""methods.md says what is recorded, guesses nothing, and goes through both checklists."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.model.unseen import look_at
from cxrsearch.report.evidence import Evidence, JudgedImages
from cxrsearch.report.methods.items import CHECKLISTS, CLAIM, TRIPOD_AI, Item
from cxrsearch.report.methods.recorded import recorded_of
from cxrsearch.report.methods.text import checklist_page, methods_text, numbered, sections_of
from cxrsearch.study.inference.opening import open_with_data
from cxrsearch.study.winner import train_winner

ROOT = Path(__file__).parents[4]
FIGURE = {"value": 0.71, "low": 0.6, "high": 0.8, "n": 16, "positives": 3}
CONTENT: dict[str, Any] = {
    "labels": {"Mass": {"auroc": FIGURE, "brier": FIGURE}},
    "mean": {"auroc": FIGURE},
    "resamples": 1000,
    "rule": "sensitivity=0.9",
    "subgroups": {"sex": {}},
    "checks": [
        {"name": "inverted", "level": "false", "sentence": "all are <b>inverted</b>"},
        {"name": "weights", "level": "note", "sentence": "fine"},
    ],
}


@pytest.fixture(scope="module")
def model(
    _finished_study: Path, tiny_model_throughout: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("methods") / "model"
    for _ in train_winner(_finished_study, out):
        pass
    return out


def evidence_of(model: Path) -> Evidence:
    opened = open_with_data(model)
    seen = look_at(opened.model, opened.dataset, opened.cache)
    places = list(seen.covered)
    names = tuple(seen.label_names[place] for place in places)
    judged = JudgedImages(
        seen.part, seen.marks[:, places], seen.scores[:, places], seen.patients, names
    )
    return Evidence(opened, seen, judged, None)


@pytest.fixture(scope="module")
def evidence(model: Path) -> Evidence:
    return evidence_of(model)


def sections(items: tuple[Item, ...]) -> list[str]:
    return [item.number for item in items]


def test_each_number_of_both_lists_occurs_once() -> None:
    letters = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef",
               20: "abc", 23: "ab", 27: "abc"}  # fmt: skip
    wanted = [f"{n}{letter}" for n in range(1, 28) for letter in letters.get(n, ("",))]
    assert sections(TRIPOD_AI) == wanted
    assert sections(CLAIM) == [str(n) for n in range(1, 45)]


def test_each_item_is_answered_by_a_sentence_or_left_to_the_author(evidence: Evidence) -> None:
    numbers = numbered(sections_of(recorded_of(evidence, CONTENT)))
    for items in CHECKLISTS.values():
        for item in items:
            assert item.keys or item.author, item
            assert set(item.keys) <= numbers.keys(), item


def test_the_text_reads_study_model_and_figures(evidence: Evidence) -> None:
    text = methods_text(evidence, CONTENT)
    assert "Trials by outcome: 3 complete" in text
    assert "The sampler genetic proposed them, seed 1" in text
    assert f"`{evidence.opened.model.split}`" in text
    assert f"`{evidence.opened.dataset.fingerprint}`" in text
    assert "Mean AUROC over the labels: 0.710 (0.600 to 0.800)." in text
    assert "| Mass | 16 | 3 | 0.710 (0.600 to 0.800) |" in text
    assert "sensitivity=0.9" in text
    assert "Seeds: study 1, parts 1" in text
    assert "false: all are &lt;b&gt;inverted&lt;/b&gt;." in text
    assert "<b>" not in text


def test_every_row_of_the_tables_points_to_a_sentence_that_is_there(evidence: Evidence) -> None:
    text = methods_text(evidence, CONTENT)
    there = set(re.findall(r"^\*\*([\d.]+)\*\* ", text, re.MULTILINE))
    there |= set(re.findall(r"^## (\d+)\. ", text, re.MULTILINE))
    for name, items in CHECKLISTS.items():
        table = text.split(f"## {name}, item by item")[1].split("\n## ")[0]
        rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
        assert [row[0] for row in rows] == sections(items)
        for row in rows:
            named = row[2].removeprefix("not recorded: ")
            assert named == "author" or set(named.split(", ")) <= there


def test_a_model_folder_alone_says_what_is_not_known(
    evidence: Evidence, model: Path, xrays: Path
) -> None:
    alone = evidence.opened._replace(study=None)
    bare = Evidence(alone, evidence.seen, evidence.judged, None)
    text = methods_text(bare, {})
    assert "whether and how a recipe was searched for is not recorded" in text.lower()
    assert "Not recorded: how long the training took, and on which machine." in text
    assert "The mean AUROC is in `report.json`." in text
    numbers = numbered(sections_of(recorded_of(bare, {})))
    assert {key for items in CHECKLISTS.values() for i in items for key in i.keys} <= numbers.keys()


def test_a_damaged_study_is_said_to_be(evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("nothing: [")
    broken = Evidence(
        evidence.opened._replace(study=tmp_path), evidence.seen, evidence.judged, None
    )
    assert "the study cannot be read" in methods_text(broken, CONTENT)


def test_content_of_other_shapes_is_no_error(evidence: Evidence) -> None:
    odd = {"labels": {"Mass": None}, "mean": None, "subgroups": [], "checks": [1], "against": {}}
    assert methods_text(evidence, odd).startswith("# Methods")


def test_the_page_of_checklists_is_up_to_date() -> None:
    page = (ROOT / "docs" / "checklists.md").read_text(encoding="utf-8")
    assert page.endswith(checklist_page())


def test_no_sentence_has_a_key_twice(evidence: Evidence) -> None:
    keys = [s.key for section in sections_of(recorded_of(evidence, CONTENT))
            for s in section.sentences]  # fmt: skip
    assert len(keys) == len(set(keys))


def said(evidence: Evidence, content: dict[str, Any]) -> dict[str, str]:
    """Sentences by their keys."""
    every = sections_of(recorded_of(evidence, content))
    return {one.key: one.text for section in every for one in section.sentences}


def test_shares_are_said_of_parts_that_were_drawn_by_them(evidence: Evidence) -> None:
    known = recorded_of(evidence, CONTENT)

    def told(split: str, notes: tuple[str, ...] = (), **settings: Any) -> str:
        study = {
            "settings": {"test_share": 0.2, "val_share": 0.3, "seed": 1, **settings},
            "data": {"description": {"split": split}},
        }
        assert known.splits is not None
        other = replace(known, study=study, splits=replace(known.splits, notes=notes))
        every = [one for section in sections_of(other) for one in section.sentences]
        return next(one.text for one in every if one.key == "parts.how")

    drawn = told("drawn")
    assert "test share 0.2 of the patients, validation share 0.3 of the other patients" in drawn
    given = told(
        "lists", ("parts are those that the data give: train 3; val (share 0.3) is drawn",)
    )
    assert "The parts come from lists beside the table" in given
    assert "Parts are those that the data give: train 3; val (share 0.3) is drawn. Images" in given
    assert "share 0.2" not in given
    listed = told("drawn", test_list="a_list.txt")
    assert "given as a list (a\\_list.txt), the rest drawn by patient" in listed
    assert "test share" in drawn
    assert "test share" not in listed
    assert "validation share 0.3" in listed


def test_an_item_of_which_nothing_is_recorded_is_the_authors(evidence: Evidence) -> None:
    table = methods_text(evidence, CONTENT).split("## TRIPOD+AI, item by item")[1]
    row = next(line for line in table.splitlines() if line.startswith("| 5b |"))
    assert re.fullmatch(r"\| 5b \| dates of the data \| not recorded: [\d.]+ \| all of it \|", row)


@pytest.mark.parametrize(
    ("operating", "wanted"),
    [
        ({"rule": "threshold=0.3", "chosen_on": None}, "given threshold"),
        ({"rule": "youden", "chosen_on": "validation"}, "youden, chosen on validation"),
        (
            {"rule": "youden", "chosen_on": None, "reason": "no scores"},
            "could be chosen: no scores",
        ),
    ],
)
def test_thresholds_are_said_to_be_chosen_where_they_were(
    evidence: Evidence, operating: dict[str, Any], wanted: str
) -> None:
    assert wanted in said(evidence, {"operating": operating})["evaluation.threshold"]


def test_what_could_not_be_made_is_not_said_to_be_there(evidence: Evidence) -> None:
    none = {"value": None, "low": None, "high": None, "n": 0, "positives": 0, "reason": "no line"}
    content = {
        "labels": {"Mass": {"ece": FIGURE, "recalibrated_ece": none}},
        "operating": {"rule": "youden", "recalibration": {"Mass": {"slope": None}}},
        "maps": {"reason": "no last layer"}, "doubts": {"reason": "no study"},
        "checks": [
            {"name": "weights", "level": "note", "sentence": "fine"},
            {"name": "constant", "level": "note", "sentence": "validation: not looked at, for x"},
        ],
    }  # fmt: skip
    told = said(evidence, content)
    assert told["evaluation.calibration"] == "Calibration is judged as the network says it."
    assert told["evaluation.maps"] == "No heat maps were drawn: no last layer."
    assert told["results.failures"] == "No single cases were gone through: no study."
    assert told["checks.made"].startswith("1 checks were made")
    assert "1 more could not be made" in told["checks.made"]
    assert "for nothing but the figures" in told["parts.use"]


def test_what_is_fitted_on_the_judged_images_is_said(evidence: Evidence) -> None:
    content = {
        "labels": {"Mass": {"ece": FIGURE, "cross_fitted_ece": FIGURE}},
        "against": {
            "name": "a reader", "labels": {"Mass": {"threshold_at_readers_specificity": FIGURE}},
        },
    }  # fmt: skip
    told = said(evidence, content)
    assert "crosswise on the judged images" in told["evaluation.calibration"]
    assert "at the reader's own specificity" in told["evaluation.against"]
    assert "crosswise on them and thresholds at a reader's specificity" in told["parts.use"]


def test_patients_in_two_parts_are_said_as_the_check_found_them(evidence: Evidence) -> None:
    check = {
        "name": "same patient",
        "level": "false",
        "sentence": "3 of 9 patients are in two parts",
    }
    told = said(evidence, {"checks": [check]})["parts.patients"]
    assert told == "3 of 9 patients are in two parts."
    assert "in two parts" in said(evidence, {})["parts.patients"]


def test_folders_have_no_table_to_speak_of(evidence: Evidence) -> None:
    known = recorded_of(evidence, CONTENT)
    study = {**known.study, "data": {"blank_as": "ignore", "description": {"labels": ["Mass"]}}}
    every = sections_of(replace(known, study=study))
    told = {one.key: one.text for section in every for one in section.sentences}
    assert told["missing.blank"] == "There is no label table, and so no blank cell."
    assert "filter" not in told["patients.excluded"]


def test_maps_of_one_place_are_not_said_to_show_where(evidence: Evidence) -> None:
    told = said(evidence, {"maps": {"no_place": "one place", "labels": {}}})["evaluation.maps"]
    assert told == "Class activation maps cannot show where the network looks: one place."
