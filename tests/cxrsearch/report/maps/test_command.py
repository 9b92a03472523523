from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch.nn.functional import adaptive_avg_pool2d

from cxrsearch.data.labels.boxes import Box, write_boxes
from cxrsearch.errors import InputError
from cxrsearch.model.operating import LabelPoint, OperatingPoints
from cxrsearch.model.rules import parse_rule
from cxrsearch.phantom.places import sign_boxes
from cxrsearch.report.evidence import Evidence
from cxrsearch.report.maps import frames
from cxrsearch.report.maps.cases import (
    CASE_OPEN,
    CASE_RIGHT,
    CASE_WRONG,
    extreme_cases,
    spread,
)
from cxrsearch.report.maps.command import maps_of
from cxrsearch.report.parts import map_rows


def test_maps_of_a_model_are_pictures_and_figures(evidence: Evidence, tmp_path: Path) -> None:
    table = tmp_path / "BBox_List_2017.csv"
    some = evidence.seen.names[::6]
    write_boxes(table, sign_boxes(evidence.opened.dataset, some))
    content = maps_of(evidence, tmp_path / "out", boxes=table)
    again = maps_of(evidence, tmp_path / "again", boxes=table)
    assert json.loads(json.dumps(content, allow_nan=False)) == again
    files = [case["file"] for case in content["cases"]]
    for label in content["labels"].values():
        files += [one["file"] for one in label["mean"].values() if one]
    assert len(files) == len(set(files))
    for file in files:
        with Image.open(tmp_path / "out" / file) as picture:
            assert picture.format == "PNG"
        same = (tmp_path / "out" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()
        assert same
    written = {f"heatmaps/{path.name}" for path in (tmp_path / "out" / "heatmaps").iterdir()}
    assert written == set(files)
    own = content["labels"]["Effusion"]
    assert own["outside"]["low"] < own["outside"]["value"] < own["outside"]["high"]
    assert own["outside"]["part"] == "external"
    assert own["outside"]["n"] == own["mean"]["positives"]["images"]
    assert own["mean"]["all"]["images"] == 60
    assert own["pointing"]["n"] <= content["boxes"]["images"] <= len(some)
    assert 0 < content["boxes"]["used"] < content["boxes"]["boxes"]
    assert content["boxes"]["mean"]["pointing"]["n"] > own["pointing"]["n"]


def test_cases_are_right_or_wrong_by_the_threshold(evidence: Evidence, tmp_path: Path) -> None:
    judged = evidence.judged
    column = judged.label_names.index("Mass")
    there = judged.marks[:, column] == 1
    scores = judged.scores[:, column]
    ends = [scores[there].max(), scores[~there].max(), scores[there].min()]
    expected = {0.0: [True, False, True], 1.0: [False, True, False], None: [None] * 3}
    for threshold, right in expected.items():
        point = None
        if threshold is not None:
            label = LabelPoint(threshold, 0, 0, None, None, None, None, "given")
            rule = parse_rule("threshold=0.5")
            point = OperatingPoints(rule, None, None, 0, 0, {"Mass": label})
        content = maps_of(evidence, tmp_path, points=point)
        assert content["boxes"] is None
        cases = [case for case in content["cases"] if case["label"] == "Mass"]
        assert [case["score"] for case in cases] == pytest.approx(ends)
        assert [case["mark"] for case in cases] == [1, 0, 1]
        kinds = {True: CASE_RIGHT, False: CASE_WRONG, None: CASE_OPEN}
        assert [case["kind"] for case in cases] == [kinds[one] for one in right]
        assert [case["threshold"] for case in cases] == [threshold] * 3
        assert [case["file"].split("Mass-")[1] for case in cases] == [
            "highest-positive.png", "highest-negative.png", "lowest-positive.png",
        ]  # fmt: skip
        assert "over all images; images mapped: 60 of 60" in content["notes"][0]


@pytest.mark.parametrize("side", [1, 2])
def test_maps_of_one_place_say_nothing_of_where_and_of_few_how_coarse_they_are(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    real = frames.placed

    def pooled(*given: Any) -> Any:
        found = real(*given)
        return found._replace(maps=adaptive_avg_pool2d(found.maps, side))

    monkeypatch.setattr(frames, "placed", pooled)
    table = tmp_path / "BBox_List_2017.csv"
    write_boxes(table, sign_boxes(evidence.opened.dataset, evidence.seen.names[::6]))
    content = maps_of(evidence, tmp_path / "out", boxes=table)
    (size,) = content["methods"]["places"].values()
    assert size == {"height": side, "width": side}
    page = map_rows({"maps": content})
    assert page["placed"] is (side > 1)
    said = " ".join(page["sentences"])
    lacking = [content["boxes"]["mean"]["pointing"]]
    for label in content["labels"].values():
        lacking += [label[name] for name in ("outside", "pointing", "energy", "overlap")]
        if side == 1:
            assert label["outside_more_than_chance"] is None
            assert label["mean"]["all"]["place"] is label["mean"]["all"]["on_chest"] is None
        assert label["outside_chance"]["value"] is not None
    if side > 1:
        assert f"{size['height']} x {size['width']}" in said
        assert any(one["value"] is not None for one in lacking)
        return
    for one in lacking:
        assert one["value"] is one["low"] is one["high"] is None
        assert "one place at 32 pixels" in one["reason"]
    assert len(page["sentences"]) == 1
    assert "cannot show where the network looks: this network's map has one place" in said
    assert not any("strongest" in mean["note"] for mean in page["means"])


def test_a_table_of_other_images_is_refused_with_its_first_line(
    evidence: Evidence, tmp_path: Path
) -> None:
    table = tmp_path / "boxes.csv"
    write_boxes(table, [Box("strange.png", "Mass", 0.1, 0.1, 0.2, 0.2, 0)])
    with pytest.raises(InputError, match=r"line 2: 'strange.png', 'Mass'"):
        maps_of(evidence, tmp_path / "out", boxes=table)
    assert not (tmp_path / "out").exists()


def test_a_label_without_positives_has_no_case_and_says_why(
    evidence: Evidence, tmp_path: Path
) -> None:
    evidence.judged.marks[:, 0] = 0
    content = maps_of(evidence, tmp_path)
    name = evidence.judged.label_names[0]
    own = content["labels"][name]
    assert own["mean"]["positives"] is None
    assert own["outside"]["value"] is None
    assert own["outside"]["reason"]
    assert [case["mark"] for case in content["cases"] if case["label"] == name] == [0]


def test_unknown_marks_are_no_cases() -> None:
    marks = np.array([[np.nan], [1.0], [0.0], [0.5]])
    found = extreme_cases(marks, np.array([[0.9], [0.4], [0.3], [0.8]]), np.array([0.35]))
    assert [(case.row, case.kind) for case in found] == [(1, CASE_RIGHT), (2, CASE_RIGHT)]


def test_images_are_spread_evenly() -> None:
    assert spread(np.arange(100, 200), 4).tolist() == [100, 133, 166, 199]
    assert spread(np.arange(3), 4).tolist() == [0, 1, 2]
