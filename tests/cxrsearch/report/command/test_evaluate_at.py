"""Thresholds chosen on validation, judged on the test part, kept in the model, and used."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.operating import points_of, read_points, write_points
from cxrsearch.model.validation import read_validation
from cxrsearch.report.command import _kept, _operating
from cxrsearch.report.looking import look_once
from cxrsearch.study.inference.opening import open_with_data


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def images(xrays: Path) -> Path:
    return xrays / "images" if (xrays / "images").is_dir() else xrays


def test_evaluate_at_a_rule_judges_and_keeps_it(winner, run) -> None:
    code, out, error = run(
        "evaluate", winner, "--at", "sensitivity=0.8", "--prevalence", "0.05", "--json"
    )
    assert code == 0, error
    found = json.loads(out)["operating"]
    assert found["rule"] == "sensitivity=0.8"
    assert found["chosen_on"] == "validation"
    kept = read_points(winner)
    assert kept is not None
    assert str(kept.rule) == "sensitivity=0.8"
    assert set(found["labels"]) == set(kept.labels)
    for name, figures in found["labels"].items():
        assert figures["threshold"]["value"] == kept.labels[name].threshold
        assert "ppv_at_prevalence" in figures
        if figures["sensitivity"]["value"] is not None:
            assert figures["sensitivity"]["part"] == "test"
            assert figures["sensitivity"]["n"] == figures["sensitivity"]["positives"]
    code, out, _ = run("evaluate", winner, "--at", "youden")
    assert code == 0
    assert "at youden" in out
    assert "chosen on validation" in out
    assert len(json.loads((winner / "looks.json").read_text()).get("content", [1, 2])) == 2


def test_a_rule_that_is_none_costs_no_look(winner, run) -> None:
    code, _, error = run("evaluate", winner, "--at", "sensitivty=0.9")
    assert code == 2
    assert "sensitivity" in error
    assert not (winner / "looks.json").exists()
    assert run("evaluate", winner, "--prevalence", "0.1")[0] == 2


def test_decisions_are_the_scores_beyond_the_kept_thresholds(
    winner, images, run, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, error = run("predict", winner, images, "--decide")
    assert code == 0, error
    assert out.strip() == "decisions.csv"
    assert "written: 0 and 1, by thresholds of youden" in error
    assert run("predict", winner, images)[0] == 0
    model = load_predictor(winner)
    points, _ = points_of(model)
    assert points is not None
    said, decided = rows_of(tmp_path / "predictions.csv"), rows_of(tmp_path / "decisions.csv")
    assert len(said) == len(decided) > 0
    for name, edge in zip(model.labels, points.thresholds(model.labels).tolist(), strict=True):
        for one, other in zip(said, decided, strict=True):
            wanted = "" if np.isnan(edge) else str(int(float(one[name]) >= edge))
            assert other[name] == wanted
    lacking = points.lacking("threshold", model.labels)
    assert all(name in error for name in lacking)


def test_other_zeros_and_ones_are_not_written_over(
    winner, images, run, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("predict", winner, images, "--decide", "--tidy")[0] == 0
    first = (tmp_path / "decisions.csv").read_text()
    assert run("predict", winner, images, "--decide", "--tidy")[0] == 0  # the very same
    code, _, error = run(
        "predict", winner, images, "--decide", "--tidy", "--at", "threshold=0.0001"
    )
    assert code == 2
    assert "may be labels" in error
    assert (tmp_path / "decisions.csv").read_text() == first


def test_recalibrated_probabilities_are_platts(winner, images, run, tmp_path) -> None:
    plain, made = tmp_path / "plain.csv", tmp_path / "made.csv"
    code, _, error = run("predict", winner, images, "--out", plain)
    assert code == 0, error
    assert "as the network gives them" in error
    code, _, error = run("predict", winner, images, "--out", made, "--calibrated")
    assert code == 0, error
    assert "recalibrated on validation" in error
    points = read_points(winner)
    assert points is not None
    name = next(n for n, point in points.labels.items() if point.slope is not None)
    point = points.labels[name]
    for before, after in zip(rows_of(plain), rows_of(made), strict=True):
        p = float(before[name])
        logit = point.slope * np.log(p / (1 - p)) + point.offset
        assert float(after[name]) == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--decide", "--calibrated"), "choose one"),
        (("--at", "youden"), "only with --decide"),
        (("--decide", "--sample", "x.csv"), "holds probabilities"),
        (("--decide", "--at", "best"), "no rule 'best'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(winner, images, run, options, said) -> None:
    code, _, error = run("predict", winner, images, "--out", "none.csv", *options)
    assert code == 2
    assert said in error


def test_a_model_of_before_says_how_to_decide_all_the_same(winner, images, run, tmp_path) -> None:
    (winner / "operating.json").unlink()
    (winner / "validation.npz").unlink()
    out = tmp_path / "d.csv"
    code, _, error = run("predict", winner, images, "--decide", "--out", out)
    assert code == 0, error  # its study is still where it was
    assert "the network of trial" in error
    model = load_predictor(winner)
    assert read_validation(winner, model.card) is None


def test_kept_thresholds_are_judged_without_the_scores_they_came_from(winner) -> None:
    kept = read_points(winner)
    (winner / "validation.npz").unlink()
    opened = open_with_data(winner)
    opened = opened._replace(study=None)
    looked = look_once(opened)
    assert looked.kept
    assert looked.evidence.validation is None
    found = _kept(looked)
    assert found is not None
    assert kept is not None
    assert found.chosen_on == "validation"
    for column, name in enumerate(looked.evidence.judged.label_names):
        figure = found.figure(column).to_json()
        assert figure["value"] == kept.labels[name].threshold
        assert figure["reason"]
    said = _operating(looked, "youden")
    assert said["of"] == kept.of


def test_thresholds_of_other_scores_are_said_to_be(winner) -> None:
    kept = read_points(winner)
    assert kept is not None
    write_points(winner, replace(kept, made_from="sha256:other"))
    looked = look_once(open_with_data(winner))
    assert looked.kept
    assert any("was made from other scores" in note for note in looked.result["notes"])
