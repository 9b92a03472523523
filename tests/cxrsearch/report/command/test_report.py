"""One look, and a folder with page, JSON and tables in which every figure is accounted for."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.report.page import no_doubt_in_words, private_in_words, report_html
from cxrsearch.report.parts import origin_table
from cxrsearch.report.tables import FIGURE_KEYS, figures_in
from cxrsearch.report.words import origin_sentences
from cxrsearch.show import page

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class _Page(HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_every_figure_has_interval_count_and_part_or_says_why_not(content) -> None:
    found = list(figures_in(content))
    assert len(found) > 100
    for path, figure in found:
        assert set(figure) <= set(FIGURE_KEYS), path
        assert figure["part"] in ("test", "validation", "external", "given"), path
        assert isinstance(figure["n"], int), path
        assert isinstance(figure["positives"], int), path
        if None in (figure["value"], figure["low"], figure["high"]):
            assert figure["reason"], path
        else:
            rounded = 1e-12
            assert figure["low"] - rounded <= figure["value"] <= figure["high"] + rounded, path
    kinds = {path[0] for path, _ in found}
    assert {"labels", "mean", "macro", "micro", "case_mix"} <= kinds


def test_curves_are_points_of_plots_and_not_figures(content) -> None:
    assert list(figures_in(content["curves"])) == []
    for name in ("roc", "precision_recall", "reliability", "decision"):
        for points in content["curves"][name].values():
            assert len({len(values) for values in points.values() if isinstance(values, list)}) == 1


def test_no_number_of_a_label_is_anything_but_a_figure(content) -> None:
    bare = [
        (label, name)
        for label, figures in content["labels"].items()
        for name, value in figures.items()
        if not list(figures_in(value))
    ]
    assert bare == []
    for figures in content["labels"].values():
        wanted = {"auroc", "average_precision", "threshold", "sensitivity", "specificity"}
        assert wanted <= set(figures)


def test_thresholds_are_those_that_the_model_keeps(content, winner) -> None:
    kept = json.loads((winner / "operating.json").read_text())
    assert content["operating"]["rule"] == kept["rule"] == "youden"
    for name, point in kept["labels"].items():
        figure = content["labels"][name]["threshold"]
        assert figure["value"] == point["threshold"]
        if figure["value"] is not None:
            assert figure["chosen_on"] == "validation"
            assert content["labels"][name]["sensitivity"]["chosen_on"] == "validation"


def test_a_label_that_files_alone_tell_is_said_once(content) -> None:
    figure = {"value": 0.99, "low": 0.9, "high": 1.0, "n": 40, "positives": 9}
    label = next(iter(content["labels"]))
    told = [{"label": label, "property": name, "auroc": figure} for name in ("colours", "size")]
    found = origin_sentences({**content, "origin": {"told": told}})
    assert list(found) == [label]
    assert "colours of its files alone (and by size): AUROC 0.990 (0.900 to 1.000)" in found[label]
    assert origin_sentences({**content, "origin": {"told": []}}) == {}


def test_the_look_is_counted_once(content, made) -> None:
    looks = json.loads((Path(content["model"]) / "looks.json").read_text())
    looks = looks["content"] if isinstance(looks, dict) else looks
    assert content["looks"] >= 1
    assert len(looks) == 1
    assert looks[0]["mean"] == pytest.approx(content["mean"]["auroc"]["value"])


def test_tables_say_what_the_json_says(content, made) -> None:
    with (made / "labels.csv").open() as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    for name, figures in content["labels"].items():
        value = figures["auroc"]["value"]
        assert rows[name]["auroc"] == ("" if value is None else str(value))
        assert rows[name]["n"] == str(figures["auroc"]["n"])
    with (made / "figures.csv").open() as file:
        assert sum(1 for _ in csv.DictReader(file)) == len(list(figures_in(content)))


def test_nothing_leaves_the_page(made) -> None:
    text = (made / "report.html").read_text()
    for tag, attrs in _Page(text).tags:
        assert tag not in {"link", "iframe", "object", "embed", "form"}
        assert (attrs.get("src") or "data:").startswith("data:")
        assert (attrs.get("href") or "#").startswith("#")
    assert "default-src 'none'" in text
    for word in ("http://", "https://", "url("):
        assert word not in text


def test_whatever_a_user_named_stays_text(content, made, monkeypatch) -> None:
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "/* plotly.js */")
    name = next(iter(content["labels"]))
    evil: dict[str, Any] = json.loads(json.dumps(content).replace(name, EVIL.replace("/", "\\/")))
    evil |= {"data": EVIL, "model_name": EVIL, "notes": [EVIL], "model": EVIL}
    evil["checks"] = [{"name": EVIL, "level": "doubtful", "sentence": EVIL, "evidence": {}}]
    text = report_html(evil, made, methods=EVIL)
    assert EVIL not in text
    assert "alert(1)</script>" not in text
    assert "<img src=x" not in text
    assert not any(key.startswith("on") for _, attrs in _Page(text).tags for key in attrs)


def test_commands_in_sentences_are_set_as_code(content, made, monkeypatch) -> None:
    monkeypatch.setattr(page, "get_plotlyjs", lambda: "/* plotly.js */")
    known = {**content, "notes": ["look at `cxrsearch <one>`"]}
    monkeypatch.setattr(
        "cxrsearch.report.page.calibration_sentences", lambda _: ["`cxrsearch two` writes them."]
    )
    text = report_html(known, made)
    assert "<code>cxrsearch &lt;one&gt;</code>" in text
    assert "<code>cxrsearch two</code>" in text
    told = re.sub(r"<(script|style|pre)\b.*?</\1>|<[^>]*>", "", text, flags=re.DOTALL)
    assert "`" not in told


def test_a_page_with_thumbnails_of_doubts_alone_says_that_it_holds_patients() -> None:
    one = {"image": "1.png", "file": "doubts/0001.png"}
    doubts = {"labels": {"Mass": {"shown": [one], "in_doubt": 1, "reason": None}}, "alike": []}
    assert "images of patients" in private_in_words({"maps": None, "doubts": doubts})
    one["file"] = ""
    assert private_in_words({"maps": None, "doubts": doubts}) == "names of files"
    assert private_in_words({"maps": {"reason": "none"}, "doubts": {"reason": "none"}}) == ""


def test_no_doubt_is_not_said_where_nothing_could_be_judged() -> None:
    few = {"in_doubt": None, "reason": "fewer than 5 positives or negatives", "shown": []}
    none = {"in_doubt": 0, "reason": None, "shown": []}
    said = no_doubt_in_words({"doubts": {"labels": {"Mass": few}}})
    assert said == "No label could be judged: fewer than 5 positives or negatives."
    said = no_doubt_in_words({"doubts": {"labels": {"Mass": few, "Hernia": none}}})
    assert said == "No mark is in doubt. 1 of 2 labels could not be judged."


def test_a_label_told_by_file_names_alone_is_no_shortcut_yet() -> None:
    figure = {"value": 0.99, "low": 0.9, "high": 1.0, "n": 40, "positives": 9}
    told = [{"label": "Mass", "property": "file name", "auroc": figure}]
    content = {"labels": {"Mass": {"auroc": figure}}, "origin": {"told": told}}
    assert "No network sees that" in origin_sentences(content)["Mass"]
    told.append({"label": "Mass", "property": "colours", "auroc": figure})
    said = origin_sentences(content)["Mass"]
    assert said.startswith("Mass is told by the colours of its files alone (and by file name)")
    assert "probably come from elsewhere" in said


def test_the_page_shows_what_files_tell_beside_the_model() -> None:
    figure = {"value": 0.9, "low": 0.8, "high": 1.0, "n": 40, "positives": 9}
    content = {
        "labels": {"Mass": {"auroc": {**figure, "value": 0.7}}},
        "origin": {"labels": {"Mass": {"colours": {"auroc": figure}}}, "told": []},
    }
    table = origin_table(content)
    assert table["heads"] == ["colours", "this model"]
    assert [one["text"][:5] for one in table["rows"][0]["cells"]] == ["0.900", "0.700"]
    assert origin_table({"labels": {}, "origin": {"reason": "drawn"}})["reason"] == "drawn"
