"""The command line as a user meets it: codes, messages, files."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from cxrsearch.cli import cli
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.boxes import Box, read_boxes

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("name", [None, *sorted(cli.commands)])
def test_every_command_has_help_and_examples(name: str | None, run: Run) -> None:
    code, out, _ = run(*([name] if name else []), "--help")
    assert code == 0
    assert "Usage:" in out
    assert "Examples:" in out


def test_every_option_says_what_it_does() -> None:
    silent = [
        f"{name} {parameter.name}"
        for name, command in cli.commands.items()
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help and parameter.name != "port"
    ]
    assert silent == []


def _options(name: str) -> dict[str, click.Option]:
    """The option of that name of each command that has it."""
    commands = dict(cli.commands)
    for group in list(commands.values()):
        commands |= group.commands if isinstance(group, click.Group) else {}
    return {
        command: parameter
        for command, found in commands.items()
        for parameter in found.params
        if isinstance(parameter, click.Option) and name in parameter.opts
    }


def test_every_seed_is_asked_for_alike() -> None:
    found = _options("--seed")
    assert {"ga", "train", "ablate", "augment", "ensemble", "autoencoder", "gan"} < set(found)
    for command, option in found.items():
        assert (option.metavar, option.default) == ("N", 0), command
        assert (option.help or "").startswith("Seed of "), command


def test_unlabelled_images_are_asked_for_alike() -> None:
    found = _options("--unlabelled")
    drawn = found.pop("phantom")
    assert {"ablate", "self-train", "autoencoder", "contrastive", "gan"} == set(found)
    assert {(o.metavar, o.help, o.type.name) for o in found.values()} == {
        ("DIR", found["gan"].help, "path")
    }
    assert (drawn.opts[0], drawn.metavar) == ("--unlabelled-images", "N")  # a number, no folder


@pytest.mark.parametrize("option", ["--unlabelled-images", "--unlabelled"])
def test_phantoms_without_a_label_are_counted_by_either_spelling(
    option: str, run: Run, tmp_path: Path
) -> None:
    words = ("--images", 50, option, 3, "--side", 32)
    code, out, _ = run("phantom", tmp_path / "drawn", *words)
    assert (code, "50 labelled and 3 unlabelled images" in out) == (0, True)


def test_places_of_drawn_signs_are_a_table_of_boxes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = Box("00000001_000.png", "Mass", 0.25, 0.25, 0.5, 0.5, 2)
    monkeypatch.setattr("cxrsearch.phantom.places.sign_boxes", lambda dataset: [box])
    words = ("--images", 50, "--unlabelled", 0, "--side", 32, "--boxes", tmp_path / "boxes.csv")
    code, out, _ = run("phantom", tmp_path / "drawn", *words)
    assert (code, "boxes.csv: where their signs are" in out) == (0, True)
    assert read_boxes(tmp_path / "boxes.csv") == (box,)
    (tmp_path / "boxes.csv").write_text("mine")
    code, _, err = run("phantom", tmp_path / "other", *words)
    assert (code, "holds something else" in err) == (2, True)


def test_a_study_goes_from_search_to_predictions(
    xrays: Path, tiny_space: Path, run: Run, tmp_path: Path
) -> None:
    """With the network that it says, where most others here have a tiny one."""
    study = tmp_path / "study"
    words = ("--space", tiny_space, "--trials", 1, "--runner", "serial")
    assert run("ga", "--data", xrays, *words, "--study", study)[0] == 0
    code, out, _ = run("status", study, "--json")
    record = json.loads(out)
    assert code == 0
    assert record["trials"]["complete"] == 1
    assert record["best"]["test"] is None
    assert 0 <= record["best"]["interval"][0] <= record["best"]["value"] <= 1

    model = tmp_path / "model"
    assert run("train", study, "--out", model)[0] == 0
    assert "research use only" in (model / "model.json").read_text()

    code, out, _ = run("evaluate", model, "--data", xrays)
    assert code == 0
    assert "look number 1" in out
    code, out, _ = run("evaluate", model, "--data", xrays, "--json")
    assert json.loads(out)["looks"] == 2
    test = json.loads(run("status", study, "--json")[1])["best"]["test"]
    assert test["mean"] == json.loads(out)["mean"]

    code, _, err = run("evaluate", model, "--labels", tmp_path / "gone.csv")
    assert (code, "gone.csv" in err) == (2, True)

    moved = study.rename(tmp_path / "moved")
    code, _, err = run("evaluate", model)
    assert (code, "--study" in err) == (2, True)
    assert "counted in" in run("evaluate", model, "--data", xrays)[1]
    code, out, _ = run("evaluate", model, "--study", moved)
    assert (code, "look number 3" in out) == (0, True)

    table = tmp_path / "out.csv"
    assert run("predict", model, xrays / "images", "--out", table)[0] == 0
    rows = list(csv.reader(table.open()))
    assert rows[0] == ["image", *DISEASES]
    assert len(rows) == 81
    assert all(0 <= float(value) <= 1 for row in rows[1:] for value in row[1:])


def test_pages_and_tables_of_a_study(finished_study: Path, run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run("dashboard", finished_study, "--out", page)[0] == 0
    assert "<html" in page.read_text()
    assert run("export", finished_study, "--out", tmp_path / "trials.csv")[0] == 0
    assert len((tmp_path / "trials.csv").read_text().splitlines()) == 4
    both = tmp_path / "both.html"
    code, out, _ = run("compare", finished_study, finished_study, "--out", both)
    assert code == 0
    assert both.exists()
    assert "best AUROC" in out


def test_extend_adds_trials_under_new_numbers(
    finished_study: Path, run: Run, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    shutil.copytree(finished_study, study)
    code, out, _ = run("extend", study, "--trials", 1)
    assert code == 0
    assert "[    4/4] trial 3" in out
    assert json.loads(run("status", study, "--json")[1])["target_trials"] == 4


def test_confirm_trains_finalists_again_and_refuses_what_it_cannot(
    finished_study: Path, run: Run, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    shutil.copytree(finished_study, study)
    code, out, _ = run("confirm", study, "--top", 2, "--repeats", 2)
    assert code == 0
    assert "by 4 reruns on fresh seeds and splits" in out
    assert "[    4/4] trial 6" in out
    assert json.loads(run("status", study, "--json")[1])["best"]["number"] < 3
    code, _, err = run("confirm", study, "--top", 0, "--repeats", 0)
    assert code == 2
    assert "--top 0: must be from 1 to 50" in err
    assert "--repeats 0: must be from 2 to 1,000" in err


def test_a_dry_run_prints_hours_and_disk_and_makes_no_study(
    xrays: Path, tiny_space: Path, run: Run, tmp_path: Path
) -> None:
    study = tmp_path / "study"
    words = ("--data", xrays, "--space", tiny_space, "--study", study, "--concurrent", 1)
    code, out, _ = run("ga", *words, "--dry-run")
    assert code == 0
    assert " h with " in out
    assert re.search(r"densenet121 32x32 +\d+ s +100% +100% +timed", out)
    assert " GB at most" in out
    assert "budget: 50 trials (40 to search, 10 to confirm)" in out
    assert "h more for 10 reruns, none of them stopped early" in out
    assert not study.exists()
    believed = tmp_path / "believed.yaml"
    text = tiny_space.read_text().replace(
        "log: true}", "log: true, prior: {centre: 1e-3, width: 2}}"
    )
    believed.write_text(text)
    code, out, _ = run("ga", *words, "--space", believed, "--dry-run", "--confirm", 0)
    assert code == 0
    assert "genes (priors: lr); sampler: genetic" in " ".join(out.split())
    assert "budget: 50 trials;" in out
    assert "confirm" not in out


def test_spaces_are_listed_and_explained(run: Run) -> None:
    names = ("quick:", "report:", "full:", "seed-ratios:")
    assert all(name in run("spaces")[1] for name in names)
    code, out, _ = run("spaces", "full")
    assert code == 0
    assert "optimizer is sgd" in out
    assert "[timm]" in out
    assert "known-good points: plain-densenet121" in out


def test_phantom_writes_files_that_a_search_can_read(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "drawn"
    code, _, _ = run("phantom", folder, "--images", 60, "--unlabelled", 2, "--side", 32)
    assert code == 0
    assert (folder / "Data_Entry_2017.csv").exists()
    assert len(list(folder.rglob("*.png"))) == 62


# Bad input: one screen, exit code 2, no traceback


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ga", "--data", "nowhere"], "nowhere"),
        (["ga", "--data", "{empty}"], "the folder is empty"),
        (["ga", "--data", "{data}", "--space", "quik"], "did you mean 'quick'"),
        (["ga", "--data", "{data}", "--space", "gone.yaml"], "gone.yaml"),
        (["ga", "--data", "{data}", "--labels", "gone.csv"], "gone.csv"),
        (["ga", "--data", "{data}", "--test-list", "gone.txt"], "gone.txt"),
        (["ga", "--data", "{data}", "--gpus-per-trial", "1"], "no GPU"),
        (["ga", "--data", "{data}", "--device", "cuda"], "no GPU"),
        (["ga", "--data", "{data}", "--trials", "0"], "--trials 0"),
        (["ga", "--data", "{data}", "--time-budget", "soon"], "soon"),
        (["ga", "--data", "{data}", "--keep-checkpoints", "few"], "best:N"),
        (["ga", "--data", "{data}", "--objective", "f1"], "--objective f1"),
        (["ga", "--data", "{data}", "--study", "{study}"], "exists already"),
        (["ga", "--data", "{data}", "--study", "{data}/Data_Entry_2017.csv/x"], "is a file"),
        (["optuna", "--sampler", "tpee"], "did you mean 'tpe'"),
        (["optuna", "--wings", "2"], "--wings"),
        (["resume", "nowhere"], "no study"),
        (["extend", "{study}", "--trials", "0"], "--trials 0"),
        (["status", "nowhere"], "nowhere"),
        (["dashboard", "nowhere"], "nowhere"),
        (["train", "nowhere", "--out", "{empty}/m"], "nowhere"),
        (["train", "{study}", "--out", "{empty}/m", "--trial", "99"], "--trial 99"),
        (["train", "{study}", "--out", "{data}"], "not empty"),
        (["evaluate", "nowhere"], "no such model folder"),
        (["predict", "nowhere", "{data}", "--out", "x.csv"], "no such model folder"),
        (["compare", "{study}", "nowhere"], "nowhere"),
        (["export", "nowhere"], "nowhere"),
        (["spaces", "ful"], "did you mean 'full'"),
        (["phantom", "{data}"], "not empty"),
        (["phantom", "new", "--difficulty", "2"], "difficulty"),
    ],
)
def test_bad_input_is_one_screen_and_exit_code_2(
    words: list[str], message: str, run: Run, xrays: Path, finished_study: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"data": xrays, "empty": empty, "study": finished_study}
    code, _, err = run(*(word.format(**places) for word in words))
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 24
    assert not (tmp_path / "results").exists()


def test_everything_wrong_is_said_at_once(run: Run, tmp_path: Path) -> None:
    words = ["--data", tmp_path / "gone", "--space", "quik", "--gpus-per-trial", 1, "--trials", 0]
    code, _, err = run("ga", *words)
    assert code == 2
    assert [part for part in ("gone", "quik", "no GPU", "--trials 0") if part not in err] == []


def test_a_study_made_with_other_data_is_named_as_such(
    finished_study: Path, tiny_space: Path, run: Run, tmp_path: Path
) -> None:
    code, _, err = run("ga", "--data", tmp_path, "--space", tiny_space, "--study", finished_study)
    assert code == 2
    assert "made with data" in err


def test_resume_refuses_changed_labels(
    xrays: Path, tiny_space: Path, tiny_model: None, run: Run, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(xrays, data)
    study = tmp_path / "study"
    words = ("--space", tiny_space, "--trials", 1, "--runner", "serial", "--study", study)
    assert run("ga", "--data", data, *words)[0] == 0
    table = data / "Data_Entry_2017.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    code, _, err = run("extend", study, "--trials", 1)
    assert code == 2
    assert "not those that" in err


def test_a_corrupt_image_is_left_out_and_reported(
    xrays: Path, tiny_space: Path, tiny_model: None, run: Run, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(xrays, data)
    spoilt = sorted((data / "images").iterdir())[0]
    spoilt.write_bytes(spoilt.read_bytes()[:200])
    study = tmp_path / "study"
    code, out, _ = run(
        "optuna", "--sampler", "random", "--data", data, "--space", tiny_space, "--trials", 1,
        "--runner", "serial", "--study", study,
    )  # fmt: skip
    assert code == 0
    assert "1 unreadable image is left out" in out
    assert spoilt.name in out
    assert spoilt.name in (study / "study.yaml").read_text()


def test_a_full_disk_is_said_before_anything_runs(
    xrays: Path, tiny_space: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cxrsearch.study import prepare

    usage = prepare.shutil.disk_usage
    monkeypatch.setattr(prepare.shutil, "disk_usage", lambda path: usage(path)._replace(free=1000))
    study = tmp_path / "study"
    code, _, err = run("ga", "--data", xrays, "--space", tiny_space, "--study", study)
    assert code == 2
    assert "GB free" in err
    assert not study.exists()


def test_a_taken_port_is_said(finished_study: Path, run: Run) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, _, err = run("dashboard", finished_study, "--serve", "--port", port)
    assert code == 2
    assert f"--port {port}" in err


def test_commands_in_messages_can_be_pasted(finished_study: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "my study"
    shutil.copytree(finished_study, folder)
    _, _, err = run("resume", folder)
    assert f"cxrsearch extend '{folder}' --trials 50" in err
