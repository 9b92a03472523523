"""A learning curve of a study of drawn X-rays, through the command line."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.seeding import SeedProportional
from cxrsearch.study.cost.stopwatches import TimingError
from cxrsearch.systems.learning_curve import cli, command, judging
from cxrsearch.systems.learning_curve.job import (
    CurveRequest,
    _check_recipe,
    prepare_curve,
    trainings_of,
)
from cxrsearch.systems.learning_curve.judging import in_words
from cxrsearch.systems.learning_curve.page import curve_html
from search.reading import read_json

Run = Callable[..., tuple[int, str, str]]

SMALL = ("--shares", "0.3,0.5,0.7,1", "--repeats", "2")
REQUEST = CurveRequest(shares=(0.3, 0.5, 0.7, 1.0), repeats=2)


pytestmark = pytest.mark.usefixtures("tiny_model_throughout", "_no_stopwatch")


@pytest.fixture(scope="module")
def _no_stopwatch() -> Iterator[None]:
    """A second an image, without a process that takes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "timed", lambda kinds, *_, **__: (dict.fromkeys(kinds, 1.0), True))
        yield


@pytest.fixture(scope="module")
def drawn(
    _finished_study: Path,
    tiny_model_throughout: None,
    _no_stopwatch: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, str]:
    """A page, and what was said while it was made. Read only."""
    out = tmp_path_factory.mktemp("drawn") / "curve.html"
    words = [str(_finished_study), "--out", str(out), *SMALL]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "LEAST_JUDGED", 2)
        done = CliRunner().invoke(cli.COMMANDS["learning-curve"], words)
    assert done.exit_code == 0, done.output
    return out, done.output


def test_page_and_record_say_what_twice_the_patients_would_add(
    drawn: tuple[Path, str], finished_study: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, said = drawn
    record = read_json(out.with_suffix(".json"))
    assert record["sentence"] in said
    assert f"8 trainings of {record['image_steps']} image-steps each: about" in said
    every = record["patients"]
    assert record["predictions"]["2"]["patients"] == 2 * every
    gain = record["predictions"]["2"]["gain"]
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert gain["part"] == gain["chosen_on"] == "validation"
    assert gain["n"] > 0
    gains = [found["gain"] for found in record["labels"].values()]
    for found in gains:
        assert (found["value"] is None) == ("reason" in found) == (found["positives"] < 2)
    assert 0 < sum(found["value"] is None for found in gains) < len(gains)
    for label in record["labels"].values():
        known = label["gain"]["value"] is not None
        for found in label["auroc"]:  # of too few cases there is a value at most, and why no more
            assert known == ("reason" not in found) == (found["low"] is not None)
            assert not known or found["low"] <= found["value"] <= found["high"]
            assert found["part"] == "validation"
    # as many images for a few patients as for all
    assert {t["images_seen"] for t in record["trainings"]} == {record["image_steps"]}
    assert len({t["images"] for t in record["trainings"]}) > 2
    assert not out.with_name(".curve.html.work").exists()
    assert not (finished_study / "test_looks.jsonl").exists()
    page = out.read_text()
    begin = page.index("<header>")
    assert record["sentence"] in page[begin : begin + 3000]
    outside = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert re.findall(r"(?:src|href)=[\"']?(?:https?:)?//", outside) == []

    monkeypatch.setattr(command, "train", None)  # another call trains nothing
    out.unlink()
    code, said, _ = run("learning-curve", finished_study, "--out", out, *SMALL)
    assert code == 0
    assert "done before" in said
    same = out.read_text() == page
    assert same, "the page is written anew from the record"


def test_cut_off_and_called_again_it_comes_to_the_same(
    drawn: tuple[Path, str], finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "LEAST_JUDGED", 2)
    whole = read_json(drawn[0].with_suffix(".json"))
    out, trained, real = tmp_path / "again.html", [], command.train

    def counted(*given: Any, **named: Any) -> Any:
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(named["folder"].name)
        return real(*given, **named)

    monkeypatch.setattr(command, "train", counted)
    with pytest.raises(KeyboardInterrupt):
        list(command.learning_curve(finished_study, out, REQUEST))
    assert not out.exists()
    assert not out.with_suffix(".json").exists()
    monkeypatch.setattr(command, "train", real)
    lines = list(command.learning_curve(finished_study, out, REQUEST))
    assert sum("done before" in line for line in lines) == 3
    assert any("8 trainings, 5 of them left," in line for line in lines)
    again = read_json(out.with_suffix(".json"))
    for record in (whole, again):
        record.pop("written")
        for training in record["trainings"]:
            training.pop("seconds")
    assert [name for name in whole if again[name] != whole[name]] == []


def test_what_cannot_work_is_said_before_anything_is_trained(
    finished_study: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "train", None)
    out = tmp_path / "curve.html"
    out.with_suffix(".json").write_text("{}")
    code, _, err = run(
        "learning-curve", finished_study, "--out", out, "--shares", "0,0.5,0.5,2",
        "--repeats", "1", "--trial", "77",
    )  # fmt: skip
    assert code == 2
    for words in ("--shares 0:", "--shares 2:", "given twice", "3 of them", "--repeats 1",
                  "--trial 77", "holds something else"):  # fmt: skip
        assert words in err
    out.with_suffix(".json").unlink()
    code, _, err = run("learning-curve", finished_study, "--out", out, "--shares", "a,b")
    assert code == 2
    assert "0.1,0.25,0.5,1" in err
    code, _, err = run("learning-curve", finished_study, "--out", out, "--shares", "0.01,0.3,0.5,1")
    assert code == 2
    assert "--shares 0.01" in err
    assert "name larger shares" in err
    code, _, err = run("learning-curve", finished_study, "--out", tmp_path / "folder")
    assert code == 2
    assert "folder.html" in err
    code, _, err = run("learning-curve", tmp_path, "--out", out)
    assert code == 2
    assert str(tmp_path) in err
    assert not out.with_name(".curve.html.work").exists()


def test_smaller_shares_lie_in_the_larger_ones_and_patients_stay_whole(
    finished_study: Path, tmp_path: Path
) -> None:
    job = prepare_curve(finished_study, tmp_path / "curve.html", REQUEST, {})
    first, second = job.trainings[:4], job.trainings[4:]
    people = job.data.patients
    for each in (first, second):
        for small, large in itertools.pairwise(each):
            assert set(small.rows) < set(large.rows)
        for training in each:
            inside = np.isin(people[job.data.train], people[training.rows])
            assert np.array_equal(job.data.train[inside], training.rows)
        assert np.array_equal(each[-1].rows, job.data.train)
    assert set(first[0].rows) != set(second[0].rows)
    assert first[0].seed != second[0].seed
    gone = replace(job.data, labels=np.zeros_like(job.data.labels))
    with pytest.raises(InputError, match="both positives and negatives of no label"):
        trainings_of(gone, REQUEST)
    people = job.train_patients
    same = CurveRequest(shares=(0.3, 0.5, 0.7, 0.700000001))
    assert same.problems() == []
    with pytest.raises(InputError) as refused:  # one point of the curve, and one folder
        trainings_of(job.data, same)
    (said,) = refused.value.problems
    assert said.startswith("--shares 0.7, 0.700000001: each is ")
    assert f"{round(0.7 * people)} of {people} training patients" in said
    assert f"or name shares further apart than {1 / people:.2g}" in said
    near = [0.3, 0.3 + 1.0 / people, 0.7, 1.0]
    named = [t.name for t in trainings_of(job.data, CurveRequest(shares=tuple(near), repeats=2))]
    assert len(set(named)) == 8


def test_a_recipe_with_a_teacher_is_refused() -> None:
    with pytest.raises(InputError, match=r"gene pseudo\).*--trial"):
        _check_recipe(Recipe(pseudo="hard"), 3)
    with pytest.raises(InputError, match="gene distill"):
        _check_recipe(Recipe(distill=0.5), 3)


def test_without_a_timed_step_the_trial_itself_is_the_measure(
    finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TimingError("no memory")

    monkeypatch.setattr(command, "timed", fail)
    job = prepare_curve(finished_study, tmp_path / "curve.html", REQUEST, {})
    assert "as long as the trial took" in command._projected(job)


def test_an_epoch_of_few_images_draws_them_all_as_often() -> None:
    labels = np.eye(10, dtype=np.uint8)
    sampler = SeedProportional(labels, [f"l{i}" for i in range(10)], Recipe(), 0, images=24)
    counts = np.bincount(sampler.draw(1), minlength=10)
    assert sampler.images_per_epoch == counts.sum() == 24
    assert set(counts.tolist()) == {2, 3}
    assert not np.array_equal(sampler.draw(1), sampler.draw(2))


def figure(value: float, low: float, high: float) -> dict[str, Any]:
    return {"patients": 2400, "gain": {"value": value, "low": low, "high": high}}


FITS: dict[str, Any] = {"fits": True}


def test_the_sentence_is_as_sure_as_the_interval() -> None:
    assert in_words(figure(0.012, 0.004, 0.020), FITS) == (
        "helps",
        "Twice as many patients (2,400) would be expected to add +0.012 (0.004 to 0.020) to the "
        "mean AUROC.",
    )
    assert "too wide to plan by" in in_words(figure(0.05, 0.001, 0.09), FITS)[1]
    verdict, said = in_words(figure(0.003, -0.004, 0.02), FITS)
    assert verdict == "unknown"
    assert "cannot tell" in said
    assert "-0.004 to 0.020" in said
    assert in_words(figure(0.001, -0.002, 0.004), FITS)[0] == "hardly"
    surely_little, said = in_words(figure(0.002, 0.001, 0.004), FITS)
    assert surely_little == "hardly"
    assert "would hardly help" in said
    assert in_words(figure(-0.02, -0.03, -0.01), FITS)[0] == "falls"
    missed = {"fits": False, "difference": {"value": -0.03, "low": -0.04, "high": -0.02}}
    assert "do not trust it" in in_words(figure(0.012, 0.004, 0.020), missed)[1]


def test_names_of_users_cannot_become_html(drawn: tuple[Path, str]) -> None:
    record = json.loads(drawn[0].with_suffix(".json").read_text())
    evil = "<img src=x onerror=alert(1)>"
    record["name"] = evil
    record["notes"] = [evil]
    record["labels"] = {evil: next(iter(record["labels"].values()))}
    unescaped = evil in curve_html(record)
    assert not unescaped
