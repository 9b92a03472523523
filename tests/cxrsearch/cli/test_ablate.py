"""`cxrsearch ablate` as a user meets it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cxrsearch.ablation import describe, objective
from cxrsearch.ablation.arms import ARMS
from cxrsearch.ablation.design import judged_labels
from cxrsearch.equal_compute.arm import Arm
from cxrsearch.equal_compute.cell import Cell, CellRun
from cxrsearch.learn.recipe import Recipe
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom
from cxrsearch.study.cost.recipe_kinds import kind_of
from search.reading import read_json

Run = Callable[..., tuple[int, str, str]]


pytestmark = pytest.mark.usefixtures("tiny_model_throughout")


@pytest.fixture(scope="module")
def many_xrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many drawn X-rays as leave each part enough of some disease."""
    folder = tmp_path_factory.mktemp("ablated") / "data"
    write_phantom(folder, phantom_dataset(images=160, unlabelled=4, seed=3), side=32)
    return folder


@pytest.fixture(scope="module")
def words(tiny_space: Path, many_xrays: Path) -> list[object]:
    """The options of a small ablation."""
    return ["--data", many_xrays, "--space", tiny_space, "--arms", "half", "--seeds", 2,
            "--epochs", 2, "--runner", "serial", "--precision", "float32",
            "--test-share", 0.4, "--val-share", 0.6]  # fmt: skip


@pytest.fixture
def finished(
    words: list[object], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, run: Run
) -> Path:
    """A finished ablation, made once and copied."""
    kept = tmp_path_factory.getbasetemp() / "ablation-kept"
    if not kept.exists():
        code, _, err = run("ablate", "--study", kept, *words)
        assert code == 0, err
    copy = tmp_path / "study"
    shutil.copytree(kept, copy)
    return copy


def test_a_verdict_is_written_and_read(finished: Path, run: Run) -> None:
    verdict = json.loads((finished / "verdict.json").read_text())
    assert [a["name"] for a in verdict["arms"]] == ["baseline", "half"]
    assert {a["cells"] for a in verdict["arms"]} == {2}
    assert all(a["difference"]["comparable"] for a in verdict["arms"])
    base, half = (a["image_steps"] for a in verdict["arms"])
    assert base == verdict["budget"]["image_steps"] == 2 * half
    assert "without ImageNet weights" in (finished / "verdict.html").read_text()
    looks = read_json(finished / "looks.json")
    assert [look["part"] for look in looks] == ["test"] * 2
    assert verdict["looks"] == 2
    assert not list(finished.rglob("*.safetensors"))


def test_the_same_command_judges_again_and_counts_no_look_twice(finished: Path, run: Run) -> None:
    before = json.loads((finished / "verdict.json").read_text())
    (finished / "verdict.json").unlink()
    code, out, _ = run("ablate", "--study", finished)
    after = json.loads((finished / "verdict.json").read_text())
    assert code == 0
    assert "What helps" in out
    assert after["looks"] == 2
    assert after["arms"] == before["arms"]


def test_status_and_dashboard_show_an_ablation(finished: Path, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("status", finished)
    assert (code, "4 complete" in out, "looks at the test part: 2" in out) == (0, True, True)
    assert run("dashboard", finished, "--out", tmp_path / "d.html")[0] == 0
    assert run("export", finished, "--out", tmp_path / "t.csv")[0] == 0


@pytest.mark.parametrize(
    "command", [["resume"], ["extend", "--trials", 1], ["train", "--out", "model"]]
)
def test_commands_on_recipes_refuse_it_and_say_what_to_do(
    command: list[object], finished: Path, run: Run
) -> None:
    code, _, err = run(command[0], finished, *command[1:])
    assert code == 2
    assert err.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arms", "half,crop"], "--arms half, not crop,half"),
        (["--seeds", 3], "--seeds 2, not 3"),
        (["--data", "phantom"], "not phantom"),
        (["--input-size", 48], "--input-size 32, not 48"),
    ],
)
def test_going_on_with_other_options_is_refused(
    words: list[object], said: str, finished: Path, run: Run
) -> None:
    code, _, err = run("ablate", "--study", finished, *words)
    assert (code, said in err) == (2, True), err


def test_the_same_options_again_are_fine(finished: Path, words: list[object], run: Run) -> None:
    again = [word if word != "half" else "half, baseline" for word in words]
    assert run("ablate", "--study", finished, *again)[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--arms", "crp"], "did you mean"),
        (["--arms", "baseline"], "at least one arm"),
        (["--arms", "scratch"], "random weights already"),
        (["--seeds", 0], "--seeds 0"),
        (["--epochs", 0], "--epochs 0"),
        (["--input-size", "big"], "--input-size"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_is_said_before_anything_runs(
    options: list[object], said: str, words: list[object], run: Run, tmp_path: Path
) -> None:
    study = tmp_path / "new"
    code, _, err = run("ablate", "--study", study, *words, *options)
    assert (code, said in err) == (2, True), err
    assert not study.exists()


def test_all_mistakes_are_said_at_once(words: list[object], run: Run, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("")
    wrong = ["--arms", "crp", "--seeds", 0, "--epochs", 0, "--input-size", "big", "--space",
             "nowhere.yaml", "--val-share", 2, "--device", "gpu", "--data", tmp_path / "gone",
             "--unlabelled", tmp_path / "missing"]  # fmt: skip
    code, _, err = run("ablate", "--study", full, *words, *wrong)
    assert code == 2
    for said in ("--arms crp", "--seeds 0", "--epochs 0", "--input-size", "nowhere.yaml",
                 "--val-share 2", "--device gpu", "gone: ", "--unlabelled", "missing: no such",
                 "not empty"):  # fmt: skip
        assert err.count(said) == 1, (said, err)
    assert "--trials" not in err


def test_arms_and_diseases_that_cannot_be_had_are_said_together(
    xrays: Path, tiny_space: Path, run: Run, tmp_path: Path
) -> None:
    code, _, err = run("ablate", "--study", tmp_path / "few", "--data", xrays, "--space",
                       tiny_space, "--arms", "scratch")  # fmt: skip
    assert code == 2
    assert "no label has 5 positive images" in err
    assert "random weights already" in err


def test_other_unlabelled_images_are_refused_though_they_are_as_many(
    words: list[object], many_xrays: Path, run: Run, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(many_xrays, data)
    study, asked = tmp_path / "study", [data if word == many_xrays else word for word in words]
    assert run("ablate", "--study", study, *asked)[0] == 0
    table = next(data.glob("*.csv")).read_text()
    free = next(file for file in sorted(data.rglob("*.png")) if file.name not in table)
    free.rename(free.with_name("renamed.png"))
    code, _, err = run("ablate", "--study", study)
    assert code == 2
    assert "4 images without a label have other names" in err


@pytest.mark.parametrize(("positives", "judged"), [(4, ("Mass",)), (5, ("Mass", "Nodule"))])
def test_a_label_that_few_patients_would_decide_is_not_judged(
    positives: int, judged: tuple[str, ...]
) -> None:
    counts = {part: {"images": 40, "Mass": 9, "Nodule": 9} for part in ("train", "val", "val_seed")}
    counts["test"] = {"images": 40, "Mass": 9, "Nodule": positives}
    assert judged_labels(counts, ("Mass", "Nodule")) == judged


def test_a_label_that_is_known_to_be_absent_of_few_is_not_judged() -> None:
    parts = ("train", "val", "val_seed", "test")
    counts = {p: {"images": 40, "TB": 9, "TB:negative": 4, "Mass": 9} for p in parts}
    assert judged_labels(counts, ("TB", "Mass")) == ("Mass",)


def test_too_little_data_to_judge_by_is_said(xrays: Path, run: Run, tmp_path: Path) -> None:
    code, _, err = run("ablate", "--study", tmp_path / "few", "--data", xrays)
    assert code == 2
    assert "no label has 5 positive images" in err


def test_a_search_is_not_taken_for_an_ablation(finished_study: Path, run: Run) -> None:
    code, _, err = run("ablate", "--study", finished_study)
    assert (code, "a search, not an ablation" in err) == (2, True)


def test_a_dry_run_shows_arms_and_compute(
    words: list[object], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tmp_path / "dry"
    timed = {kind_of(Recipe(input_size=32)): 0.01}
    monkeypatch.setattr(describe, "timed", lambda *given, **options: (timed, True))
    code, out, _ = run("ablate", "--study", study, *words, "--dry-run")
    assert code == 0
    assert "cells: 2 arms x 2 seeds = 4" in out
    assert "image-steps an arm and seed" in out
    assert "one image-step: 10.0 ms" in out
    assert not study.exists()


def test_a_stopped_ablation_has_no_verdict_and_goes_on_to_the_same(
    finished: Path, words: list[object], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, trained = tmp_path / "cut", []

    def stop(cell: Cell) -> CellRun:
        trained.append(cell.folder)
        if len(trained) == 1:
            raise KeyboardInterrupt
        return (yield from ARMS["half"].train(cell))

    with monkeypatch.context() as patch:
        cut = Arm("half", "stops", stop)
        patch.setattr(objective, "ARMS", {**ARMS, "half": cut})
        assert run("ablate", "--study", study, *words)[0] == 130
    assert len(trained) == 1
    assert not (study / "verdict.json").exists()
    assert not (study / "looks.json").exists()
    code, _, err = run("ablate", "--study", study)
    assert code == 0, err
    whole, after = (json.loads((s / "verdict.json").read_text()) for s in (finished, study))
    assert [a["test"] for a in after["arms"]] == [a["test"] for a in whole["arms"]]


def test_where_the_time_is_up_it_says_how_to_go_on(
    words: list[object], run: Run, tmp_path: Path
) -> None:
    study = tmp_path / "short"
    code, out, err = run("ablate", "--study", study, *words, "--epochs", 400, "--time-budget", "1s")
    assert code == 0, err
    assert f"`cxrsearch ablate --study {study}` goes on" in out
    assert not (study / "looks.json").exists()


def test_an_arm_that_fails_is_left_out_of_the_verdict(
    words: list[object], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(cell: Cell) -> CellRun:
        raise RuntimeError("no luck")
        yield

    study = tmp_path / "failing"
    monkeypatch.setattr(objective, "ARMS", {**ARMS, "half": Arm("half", "fails", fail)})
    code, out, _ = run("ablate", "--study", study, *words, "--seeds", 1)
    assert code == 0
    assert "Not judged, as no training of theirs ended well: baseline, half the budget." in out
    kept = yaml.safe_load((study / "study.yaml").read_text())
    assert kept["ablation"]["seeds"] == 1
