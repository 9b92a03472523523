"""The verdict in words, figures and as a page, for every kind of verdict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.ablation import page
from cxrsearch.ablation.words import arms_of, conclusion, limits, reach, signed, title
from search.errors import SearchError


def arm(
    name: str, answer: str = "unclear", by: float = 0.0, half: float = 0.02, seeds: int = 3
) -> dict[str, Any]:
    own, joint = [by - half / 2, by + half / 2], [by - half, by + half]
    return {
        "name": name, "title": name.title(), "sentence": f"{name} does it.", "answer": answer,
        "cells": 3, "failed": [], "image_steps": 600.0, "seconds": 75.0, "validation": 0.7,
        "notes": [],
        "test": {"mean": 0.7 + by, "interval": [0.65 + by, 0.75 + by],
                 "by_seed": [0.69 + by, 0.7 + by, 0.71 + by]},
        "difference": {"value": by, "interval": own, "simultaneous": joint, "repeats": seeds,
                       "comparable": seeds > 1},
        "diseases": {"Mass": {"auroc": 0.7, "difference": by, "interval": own},
                     "Hernia": {"auroc": 0.6, "difference": -by, "interval": None}},
    }  # fmt: skip


def made(*arms: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "written": "2026-01-01T00:00:00+00:00", "data": "my-xrays", "phantom": False,
        "init": "imagenet", "model": "densenet121", "input_size": "64", "epochs": 6,
        "diseases": ["Mass", "Hernia"], "diseases_left_out": [], "arms_left_out": {},
        "split": "abc", "seeds": 3, "looks": 2, "resamples": 100,
        "budget": {"image_steps": 600}, "test": {"images": 200, "patients": 150},
        "arms": [arm("baseline", "baseline", half=0.0), *arms],
    } | more  # fmt: skip


def test_the_title_says_where_there_was_no_imagenet() -> None:
    assert title(made()) == "What helps on my-xrays"
    assert title(made(init="none")).endswith("without ImageNet weights")
    assert "ImageNet" in title(made(init="/some/other.safetensors"))
    drawn = title(made(phantom=True, init="none"))
    assert drawn == "What helps, on drawn X-rays, without ImageNet weights"


def test_what_helped_and_hurt_comes_first_in_order() -> None:
    found = conclusion(
        made(
            arm("little", "helped", 0.03),
            arm("most", "helped", 0.05),
            arm("crop"),
            arm("worst", "hurt", -0.06),
            arm("bad", "hurt", -0.04),
        )
    )
    assert found[0] == (
        "Better than the baseline: Most +0.050 (+0.030 to +0.070); "
        "Little +0.030 (+0.010 to +0.050)."
    )
    assert found[1].startswith("Worse than the baseline: Worst −0.060")
    assert found[2] == "No difference could be shown for Crop 0.000 (−0.020 to +0.020)."
    assert found[3] == (
        "With these 150 test patients and 3 seeds, a difference below about ±0.020 cannot be seen."
    )


@pytest.mark.parametrize("answer", ["hurt", "unclear"])
def test_where_nothing_helped_it_says_so(answer: str) -> None:
    by = -0.1 if answer == "hurt" else 0.0
    assert conclusion(made(arm("a", answer, by)))[0] == (
        "No arm was shown to be better than the baseline."
    )


def test_an_arm_whose_trainings_failed_is_named() -> None:
    gone = {"name": "a", "title": "A", "answer": "failed", "cells": 0,
            "failed": ["repeat 0: nan: the loss"]}  # fmt: skip
    verdict = made(gone)
    assert conclusion(verdict) == ["Not judged, as no training of theirs ended well: A."]
    assert any("repeat 0: nan" in line for line in limits(verdict))
    assert reach(arms_of(verdict)) is None
    assert "could be judged" in page.verdict_html(verdict, "s", 0.0)


def test_the_limits_say_what_the_verdict_does_not() -> None:
    left = {"scratch": "random already"}
    every = " ".join(
        limits(
            made(
                arm("a"), phantom=True, init="none", seeds=1,
                diseases_left_out=["Pleural_Thickening"], arms_left_out=left,
            )
        )
    )  # fmt: skip
    for said in ("drawn", "ImageNet", "One seed", "Pleural Thickening", "scratch: random already"):
        assert said in every
    few = " ".join(limits(made(arm("a"))))
    assert "Only 3 seeds" in few
    assert "drawn" not in few
    assert "ImageNet" not in few


def test_one_seed_promises_no_difference_that_could_be_seen() -> None:
    assert not any("cannot be seen" in line for line in conclusion(made(arm("a"), seeds=1)))


def test_of_very_many_labels_those_are_shown_that_differ_most() -> None:
    one = arm("crop", "helped", 0.03)
    one["diseases"] = {
        f"label {i}": {"auroc": 0.7, "difference": i / 1000, "interval": None} for i in range(193)
    }
    verdict = made(one, diseases=list(one["diseases"]), diseases_left_out=["A<B>"])
    heat = page.labels_figure([arms_of(verdict)[1]]).data[0]
    assert len(heat.x) == 40
    assert "label 192" in heat.x
    text = page.verdict_html(verdict, "study", 1.7e9)
    assert "The 40 of 193 labels with the largest differences" in text
    assert "and 173 more" in text
    assert "A<B>" not in text


def test_labels_with_few_positives_in_the_test_part_are_named() -> None:
    test = {"images": 200, "patients": 150, "positives": {"Mass": 40, "Hernia": 2}}
    (said,) = [line for line in limits(made(arm("a"), test=test)) if "positives in the" in line]
    assert "Hernia (2)" in said
    assert "Mass" not in said


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.000"), (0.0004, "0.000"), (-0.0004, "0.000"), (-0.02, "−0.020")]
)
def test_a_difference_has_a_sign_only_where_digits_show_it(value: float, text: str) -> None:
    assert signed(value) == text


def test_the_forest_has_both_intervals_of_every_arm_the_best_on_top() -> None:
    arms = [a for a in arms_of(made(arm("a", by=0.01), arm("b", by=0.04))) if a.name != "baseline"]
    figure = page.forest_figure(arms)
    dots = [trace for trace in figure.data if trace.mode == "markers"]
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    assert [(d.x[0], d.y[0]) for d in dots] == [(0.01, 0), (0.04, 1)]
    assert [x for line in lines[2:] for x in line.x] == pytest.approx([0.02, 0.06, 0.03, 0.05])
    assert figure.layout.yaxis.ticktext == ("A", "B")


def test_labels_are_in_hundredths_and_bold_beside_zero() -> None:
    arms = [a for a in arms_of(made(arm("a", by=0.04))) if a.name != "baseline"]
    heat = page.labels_figure(arms).data[0]
    assert heat.x == ("Hernia", "Mass")
    assert list(heat.text[0]) == ["-4.0", "<b>+4.0</b>"]


def test_with_one_seed_no_cell_is_bold_as_no_arm_is_named() -> None:
    alone = made(arm("lonely", by=0.04, seeds=1), seeds=1)
    arms = [a for a in arms_of(alone) if a.name != "baseline"]
    assert list(page.labels_figure(arms).data[0].text[0]) == ["-4.0", "+4.0"]
    html = page.verdict_html(alone, "s", 0.0)
    assert "No cell is bold" in html
    assert "Bold: " not in html
    both = made(arm("lonely", by=0.04, seeds=1), arm("well", by=0.04))
    arms = [a for a in arms_of(both) if a.name != "baseline"]
    bold = {a.name: "<b>" in page.labels_figure([a]).data[0].text[0][1] for a in arms}
    assert bold == {"lonely": False, "well": True}
    assert "too few test patients: Lonely." in page.verdict_html(both, "s", 0.0)


def test_the_page_escapes_what_users_name_and_stands_alone(tmp_path: Path) -> None:
    verdict = made(arm("a"), data="<script>x</script>", arms_left_out={"<b>": "<i>"})
    (tmp_path / "verdict.json").write_text(json.dumps(verdict))
    text = page.verdict_page(tmp_path, tmp_path / "v.html").read_text()
    assert "<script>x" not in text
    assert "<b>:" not in text
    assert "https://cdn" not in text.split("plotly.js v")[0]


def test_the_terminal_has_a_line_an_arm(tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text(json.dumps(made(arm("crop", "helped", 0.03))))
    lines = page.verdict_text(tmp_path).splitlines()
    assert lines[-1].split() == [
        "Crop", "test", "0.730", "(0.680", "to", "0.780)", "+0.030", "(+0.010", "to", "+0.050)",
        "better",
    ]  # fmt: skip
    assert lines[-2].split()[0] == "Baseline"


@pytest.mark.parametrize("text", [None, "{", "[]", '{"arms": 3}'])
def test_a_verdict_that_is_missing_or_damaged_is_said(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "verdict.json").write_text(text)
    with pytest.raises(SearchError):
        page.read_verdict(tmp_path)
