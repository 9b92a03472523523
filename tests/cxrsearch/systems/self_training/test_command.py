"""Self-training of drawn X-rays with a network of two layers, through the command line."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.unlabelled import with_unlabelled
from cxrsearch.errors import InputError
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom
from cxrsearch.study.data import cache_root
from cxrsearch.study.experiment import Settings, search
from cxrsearch.study.folder import load_study
from cxrsearch.study.unlabelled import find_unlabelled
from cxrsearch.systems.self_training import stages
from cxrsearch.systems.self_training.command import Options, self_train
from cxrsearch.systems.self_training.job import _truth
from cxrsearch.systems.self_training.page import self_training_html, self_training_text
from search.reading import read_json

Run = Callable[..., tuple[int, str, str]]

TRAIN = 57
"""Images of the training part."""

SPACE = """
name: tiny
genes:
  lr: {low: 1.0e-3, high: 1.0e-2, log: true}
fixed: {model: densenet121, input_size: 32, epochs: 2, batch_size: 16, horizontal_flip: true}
"""
PSEUDO_SPACE = (
    SPACE
    + """
points:
  - {params: {pseudo: hard, pseudo_share: 0.2, lr: 5.0e-3}}
  - {params: {pseudo: mean_teacher, lr: 5.0e-3}}
"""
)
PSEUDO_SPACE = PSEUDO_SPACE.replace("genes:", """genes:
  pseudo: {choices: [none, hard, mean_teacher]}
  pseudo_share: {low: 0.05, high: 0.2, when: {pseudo: hard}}""")  # fmt: skip


pytestmark = pytest.mark.usefixtures("tiny_model_throughout")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "data"
    write_phantom(folder, phantom_dataset(images=90, unlabelled=24, seed=5), side=40)
    return folder


@pytest.fixture(scope="module")
def study(
    images: Path, tiny_model_throughout: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A study of two trials. Read only."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "space.yaml").write_text(SPACE)
    settings = Settings(
        data=str(images), space=str(folder / "space.yaml"), trials=2, population=2,
        runner="serial", seed=1,
    )  # fmt: skip
    return search(settings, folder / "first")


@pytest.fixture(scope="module")
def trained(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a self-training leaves. Read only."""
    out = tmp_path_factory.mktemp("out") / "student"
    lines = list(self_train(study, out, Options(share=0.1, teachers=2)))
    assert sum("student: epoch" in line for line in lines) == 2
    return out


def _report(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(folder / "self-training.json")
    return found


def test_the_student_is_a_model_that_can_be_judged_and_predicts(
    trained: Path, images: Path, run: Run, tmp_path: Path
) -> None:
    code, out, _ = run("evaluate", trained)
    assert (code, "look number 1" in out) == (0, True)
    table = tmp_path / "out.csv"
    assert run("predict", trained, images / "unlabelled", "--out", table)[0] == 0
    card = read_json(trained / "model.json")
    assert card["recipe"]["pseudo"] == "hard"
    assert card["training"]["images"] > 24


def test_images_that_the_student_learned_from_are_no_external_ones(
    trained: Path, images: Path, run: Run, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(images / "unlabelled", data)
    seen = sorted(path.name for path in data.iterdir())
    card = read_json(trained / "model.json")
    assert {Path(name).name for name in card["also_seen"]["images"]} == set(seen)
    for number, name in enumerate(seen[:10]):  # as if of others
        (data / f"fresh{number}.png").write_bytes((data / name).read_bytes() + b"\0")
    rows = [f"{path.name},{'Mass' if i % 2 else 'No Finding'},p{i}"
            for i, path in enumerate(sorted(data.iterdir()))]  # fmt: skip
    head = "Image Index,Finding Labels,Patient ID"
    (data / "Data_Entry_2017.csv").write_text("\n".join([head, *rows]) + "\n")
    code, out, err = run("evaluate", trained, "--data", data)
    assert (code, err.count("Traceback")) == (0, 0)
    assert "10 of 34 labelled images are scored" in out
    assert "24 images are left out: 24 that" in out


def test_a_look_at_a_student_is_none_at_its_teacher(trained: Path, run: Run) -> None:
    assert run("evaluate", trained)[0] == 0
    card = read_json(trained / "model.json")
    (*_, look) = read_json(Path(card["study"]["path"]) / "looks.json")
    assert look["model"] == str(trained)
    assert look["trial"] is None


def test_the_report_says_what_pseudo_labels_are_worth(trained: Path) -> None:
    report = _report(trained)
    checked = report["check"]
    taken = max(1, round(0.1 * checked["images"]))
    assert [d["label"] for d in checked["ends"]] == list(DISEASES)
    for found in checked["ends"]:
        assert found["positive"]["taken"] == found["negative"]["taken"] == taken
        low, high = found["positive"]["interval"]
        assert low <= found["positive"]["precision"] <= high
    assert checked["trained_on"] + checked["images"] == TRAIN
    counts = report["labels"]["counts"]
    assert {(c["positive"], c["negative"]) for c in counts} == {(2, 2)}
    rows = list(csv.DictReader((trained / "pseudo.csv").open()))
    assert len(rows) == 24 * 14
    assert sum(row["label"] == "1" for row in rows) == 2 * 14
    assert set(report["differences"]) == {"teacher", "control"}
    student, control = report["student"], report["control"]
    assert student["seed"] == control["seed"]
    assert 0 <= control["images_seen"] - student["images_seen"] < TRAIN


def test_the_page_works_offline_and_names_the_study(trained: Path) -> None:
    page = (trained / "self-training.html").read_text()
    assert "Self-training from first" in page
    assert "default-src 'none'" in page
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=""", page)
    for part in ("How often pseudo-labels are right: 10% at each end", "What it brought"):
        assert part in page


@pytest.mark.parametrize("kind", ["calibrated", "hard"])
def test_that_calibrated_thresholds_favour_the_student_is_said_beside_its_gain(
    kind: str, trained: Path, tmp_path: Path
) -> None:
    report = _report(trained)
    report["options"]["kind"] = kind
    (tmp_path / "self-training.json").write_text(json.dumps(report))
    gains = [line for line in self_training_text(tmp_path).splitlines()
             if line.startswith("Student minus")]  # fmt: skip
    page = self_training_html(report)
    said = "this favours the student: its thresholds were calibrated on this same validation part"
    assert len(gains) == 2
    assert all((said in line) == (kind == "calibrated") for line in gains)
    # Once in each of two facts, and below each of two figures.
    assert page.count(said) == (4 if kind == "calibrated" else 0)


def test_a_finished_stage_is_not_repeated_after_a_kill(study: Path, tmp_path: Path) -> None:
    options, out = Options(kind="soft", control=False), tmp_path / "student"
    first = self_train(study, out, options)
    for line in first:
        if line.startswith("student: epoch 1"):
            break
    with pytest.raises(InputError, match="another process is at work there"):
        list(self_train(study, out, options))
    first.close()
    assert not out.exists()
    with pytest.raises(InputError, match="kind was 'soft', is 'hard'"):
        list(self_train(study, out, Options(control=False)))
    _as_once(tmp_path / ".student.work" / "job.json", study)
    lines = list(self_train(study, out, options))
    assert "check on hidden labels: done before" in lines
    assert sum(line.startswith("student: epoch") for line in lines) == 2
    assert not (tmp_path / ".student.work").exists()
    assert set(_report(out)["differences"]) == {"teacher"}


def _as_once(path: Path, study: Path) -> None:
    """Give what tells a job from others the form that it had before."""
    now = read_json(path)
    prepared = load_study(study)
    frame, root = prepared.cache.frame, cache_root(prepared.settings)
    found = find_unlabelled(prepared.dataset, prepared.splits, frame, root)
    own = {"study", "trials", "split", "images"}
    path.write_text(json.dumps({
        "study": now["study"], "options": {k: v for k, v in now.items() if k not in own},
        "teachers": now["trials"], "split": now["split"], "unlabelled": list(found.names),
    }))  # fmt: skip


def test_images_of_another_folder_can_be_judged_by_a_table(
    study: Path, images: Path, run: Run, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    shutil.copytree(images / "unlabelled", more)
    for old in sorted(more.iterdir()):
        old.rename(more / f"x{old.name}")
    names = sorted(path.name for path in more.iterdir())
    lines = [f"{name},{'Mass' if i % 2 else 'No Finding'},0,{i}" for i, name in enumerate(names)]
    table = tmp_path / "truth.csv"
    table.write_text("\n".join(["Image Index,Finding Labels,Follow-up #,Patient ID", *lines]))
    code, out, err = run(
        "self-train", study, "--out", tmp_path / "s", "--unlabelled", more, "--truth", table,
        "--no-control", "--kind", "mean_teacher", "--hidden", "0.4",
    )  # fmt: skip
    assert (code, "decoded 24 images" in err) == (0, True)
    assert "positives right" in out
    truth = _report(tmp_path / "s")["labels"]["truth"]
    assert truth["images"] == 24
    assert {d["label"]: d["prevalence"] for d in truth["labels"]}["Mass"] == 0.5
    assert "The unlabelled images themselves" in (tmp_path / "s/self-training.html").read_text()


def test_a_truth_of_some_labels_and_some_of_the_images_judges_those(tmp_path: Path) -> None:
    table = tmp_path / "truth.csv"
    table.write_text("image,COVID-19,mass\na/1.png,1,0\nb/1.png,0,\nc/9.png,1,1\n")
    at, labels, _ = _truth(table, ("b/1.png", "a/1.png", "z.png"), ("Mass", "Hernia"))
    assert at.tolist() == [0, 1]
    assert np.isnan(labels[:, 1]).all()  # Hernia is not in the table
    assert labels[1, 0] == 0
    with pytest.raises(InputError, match=r"has none of the data's labels \(Hernia\)"):
        _truth(table, ("a/1.png",), ("Hernia",))


def test_a_search_can_choose_what_becomes_of_pseudo_labels(
    trained: Path, study: Path, images: Path, run: Run, tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    fixed = "horizontal_flip: true"
    space.write_text(PSEUDO_SPACE.replace(fixed, f"{fixed}, distill: 0.3"))
    common = ["--data", images, "--space", space, "--trials", 2, "--population", 2, "--runner",
              "serial", "--study", tmp_path / "second"]  # fmt: skip
    code, _, err = run("ga", *common, "--seed", 1)
    assert (code, "needs images without a label" in err) == (2, True)
    assert "distill: no teacher says anything" in err
    code, _, err = run("ga", *common, "--seed", 2, "--pseudo", trained)
    assert (code, "another split" in err) == (2, True)
    code, _, err = run("ga", *common, "--seed", 1, "--pseudo", trained)
    assert (code, "note" in err, "error" in err) == (0, False, False)
    status = json.loads(run("status", tmp_path / "second", "--json")[1])
    assert status["trials"]["complete"] == 2
    assert run("train", tmp_path / "second", "--out", tmp_path / "model")[0] == 0
    plain = tmp_path / "plain.yaml"
    plain.write_text(SPACE)
    code, _, err = run(
        "ga", "--data", images, "--space", plain, "--trials", 1, "--pseudo", trained, "--study",
        tmp_path / "third",
    )  # fmt: skip
    assert (code, "no gene pseudo" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--share", 0.7, "--hidden", 0, "--teachers", 0), ("--share 0.7", "--hidden 0", "teach")),
        (("--truth", "gone.csv"), ("gone.csv: no such label table",)),
        (("--unlabelled", "gone"), ("gone: no such folder",)),
        (("--teachers", 5), ("2 trials are complete",)),
        (("--trial", 9), ("0 to 1",)),
    ],
)
def test_what_cannot_work_is_said_before_anything_is_trained(
    study: Path, run: Run, tmp_path: Path, words: tuple[Any, ...], said: tuple[str, ...]
) -> None:
    code, _, err = run("self-train", study, "--out", tmp_path / "out", *words)
    assert code == 2
    assert all(part in err for part in said)
    assert not list(tmp_path.glob("**/check-*"))


def test_data_without_unlabelled_images_say_so(
    images: Path, study: Path, run: Run, tmp_path: Path
) -> None:
    few = tmp_path / "few"
    shutil.copytree(images, few, ignore=shutil.ignore_patterns("unlabelled"))
    code, _, err = run("self-train", study, "--out", tmp_path / "out", "--data", few)
    assert (code, "--unlabelled DIR" in err) == (2, True)


def test_generated_images_of_another_split_are_refused(
    images: Path, study: Path, run: Run, tmp_path: Path
) -> None:
    made = tmp_path / "gan" / "generated"
    shutil.copytree(images / "unlabelled", made)
    (made / "provenance.json").write_text('{"split": "another"}')
    code, _, err = run("self-train", study, "--out", tmp_path / "o", "--unlabelled", made.parent)
    assert code == 2
    assert "generated from the training part of split another" in err
    own = tmp_path / "own"
    shutil.copytree(images, own)
    shutil.copy(made / "provenance.json", own / "unlabelled")
    code, _, err = run("self-train", study, "--out", tmp_path / "o", "--data", own)
    assert (code, "generated from the training part of split another" in err) == (2, True)


def test_that_nobody_knows_whom_the_images_show_is_said(
    images: Path, study: Path, tmp_path: Path
) -> None:
    more = tmp_path / "more"
    more.mkdir()
    for number, file in enumerate(sorted((images / "unlabelled").iterdir())[:3]):
        shutil.copy(file, more / f"scan{number}.png")
    prepared = load_study(study)
    joined = with_unlabelled(prepared.dataset, more)
    found = find_unlabelled(joined, prepared.splits, 40, tmp_path / "cache")
    assert any("whom the unlabelled images show is not known" in note for note in found.notes)


def test_weights_that_are_gone_are_named(study: Path, run: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(study, copy)
    for file in copy.glob("trials/*/best.safetensors"):
        file.unlink()
    code, _, err = run("self-train", copy, "--out", tmp_path / "out")
    assert (code, "no weights are kept of trial" in err) == (2, True)


def test_thresholds_that_nothing_reaches_are_said(
    study: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = stages.calibrate

    def never(*args: Any) -> Any:
        found = known(*args)
        return found._replace(floor=found.floor * float("nan"), ceiling=found.floor * float("nan"))

    monkeypatch.setattr(stages, "calibrate", never)
    code, _, err = run("self-train", study, "--out", tmp_path / "out", "--kind", "calibrated")
    assert (code, "--wanted-precision 0.8" in err) == (2, True)
    assert not list(tmp_path.glob("**/check-*"))


def test_the_same_command_again_says_that_nothing_is_left_to_do(
    trained: Path, study: Path, run: Run
) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*")}
    words = ("self-train", study, "--out", trained, "--share", "0.1", "--teachers", "2")
    code, out, _ = run(*words)
    assert (code, "nothing is left to do" in out) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in trained.rglob("*")} == before
    code, _, err = run(*words[:-2])
    assert (code, "not empty" in err) == (2, True), "another one is not taken for it"


def test_a_report_that_spoke_of_diseases_is_read_as_before(trained: Path, tmp_path: Path) -> None:
    def before(value: Any) -> Any:
        names = {"label": "disease", "labels": "diseases"}
        if isinstance(value, dict):
            return {names.get(k, k): before(v) for k, v in value.items()}
        return [before(v) for v in value] if isinstance(value, list) else value

    report = _report(trained)
    old = before(report) | {"labels": before(report["labels"])}
    old.pop("diseases")
    old.pop("digest", None)
    (tmp_path / "self-training.json").write_text(json.dumps(old))
    assert self_training_text(tmp_path) == self_training_text(trained)
