"""A study folder: what it holds, and going on with it."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from functools import partial
from importlib import metadata
from pathlib import Path

import pytest
import torch
import yaml
from optuna.trial import FrozenTrial, TrialState, create_trial

from cxrsearch.errors import InputError
from cxrsearch.learn.saved.keep import EpochScoresRoom
from cxrsearch.show.status import status
from cxrsearch.show.view import CONFIRM
from cxrsearch.study import experiment
from cxrsearch.study.confirmation import ConfirmPlan
from cxrsearch.study.cost.stopwatches import MEMORY_SHARE_OF_ALL
from cxrsearch.study.experiment import (
    TARGET_SECONDS,
    Settings,
    best_values,
    extend,
    resume,
    search,
    start,
    to_keep,
)
from cxrsearch.study.folder import load_study, new_folder, study_values, trial_config
from cxrsearch.study.prepare import prepare
from cxrsearch.study.progress import Progress
from cxrsearch.study.winner import chosen_trial
from search.budget import ELAPSED
from search.errors import SearchError
from search.events import Event
from search.reading import read_json, read_yaml
from search.store.record import read_study
from search.study import Study
from search.trials.marks import CONFIRMS, ROUND, SAME_AS

pytestmark = pytest.mark.usefixtures("tiny_model")


def test_a_study_folder_holds_what_repeats_the_search(finished_study: Path) -> None:
    record = yaml.safe_load((finished_study / "study.yaml").read_text())
    splits = read_json(finished_study / "splits.json")
    assert record["settings"]["seed"] == 1
    assert record["splits"]["fingerprint"] == splits["fingerprint"]
    assert record["versions"]["torch"]
    trials = read_study(finished_study).trials
    assert {t.user_attrs["split"] for t in trials} == {splits["fingerprint"]}
    for trial in trials:
        folder = finished_study / "trials" / str(trial.number)
        assert (folder / "val.npz").exists()
        assert (folder / "best.safetensors").exists()
        assert not (folder / "checkpoint.safetensors").exists()


def test_a_study_says_which_libraries_were_not_there(
    xrays: Path, tiny_space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def version(library: str) -> str:
        if library == "ray":
            raise metadata.PackageNotFoundError(library)
        return "1.0"

    monkeypatch.setattr("cxrsearch.study.folder.metadata.version", version)
    settings = Settings(data=str(xrays), space=str(tiny_space), trials=1, runner="serial")
    versions = study_values(prepare(settings))["versions"]
    assert versions["ray"] == "not installed"
    assert versions["torch"] == "1.0"


def test_the_same_seed_gives_the_same_history(
    finished_study: Path, xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    settings = Settings(
        data=str(xrays), space=str(tiny_space), trials=3, population=2, runner="serial", seed=1
    )
    again = search(settings, tmp_path / "again")
    pairs = zip(read_study(finished_study).trials, read_study(again).trials, strict=True)
    for first, second in pairs:
        assert first.params == second.params
        assert first.value == second.value
        assert first.intermediate_values == second.intermediate_values


def test_a_study_stopped_by_ctrl_c_goes_on_to_the_same_end(
    finished_study: Path, xrays: Path, tiny_space: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from cxrsearch.study.progress import Progress

    seen = []

    def stop_at_the_second_start(self: Progress, event: object) -> None:
        seen.append(event)
        if len([e for e in seen if getattr(e, "kind", "") == "start"]) == 2:
            raise KeyboardInterrupt

    settings = Settings(
        data=str(xrays), space=str(tiny_space), trials=3, population=2, runner="serial", seed=1
    )
    folder = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "__call__", stop_at_the_second_start)
        with pytest.raises(KeyboardInterrupt):
            search(settings, folder)
    assert status(folder)["trials"] == {
        "complete": 1, "pruned": 0, "failed": 0, "repeated": 0, "running": 0, "paused": 0,
        "interrupted": 1, "reruns": 0, "total": 2,
    }  # fmt: skip
    resume(folder)
    ended = read_study(folder).trials
    whole = read_study(finished_study).trials
    assert [(t.params, t.value) for t in ended] == [(t.params, t.value) for t in whole]


def test_splits_that_were_edited_are_refused(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished_study, folder)
    splits = read_json(folder / "splits.json")
    splits["train"].append(splits["test"].pop())
    (folder / "splits.json").write_text(json.dumps(splits))
    with pytest.raises(InputError, match=r"splits\.json"):
        resume(folder)


def test_a_damaged_study_yaml_is_refused(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished_study, folder)
    whole = (folder / "study.yaml").read_text()
    assert whole.count("digest") == 2
    flipped = whole.replace("best:10", "best:14")
    whole = "\n".join(whole.splitlines()[1:-1])  # as an earlier version wrote it
    cut = whole[: whole.index("\nsplits:")]
    odd = whole.replace("frame: 32", "frame: wide"), whole.replace("trials: 3", "trials: many")
    for text in ("settings: [", "- 1", "", "\x00", cut, *odd, flipped):
        assert text != whole
        (folder / "study.yaml").write_text(text)
        with pytest.raises(SearchError, match=r"study\.yaml"):
            resume(folder)


def test_a_study_yaml_that_contradicts_the_history_is_refused_with_both_values(
    finished_study: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished_study, folder)
    record = read_yaml(folder / "study.yaml")
    history = read_study(folder).config
    changed = {"seed": 77, "sampler": "qmc", "objective": "auroc,seconds", "trials": 30}
    text = yaml.safe_dump({**record, "settings": {**record["settings"], **changed}})
    (folder / "study.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_study(folder)
    assert len(caught.value.problems) == len(changed), caught.value.problems
    said = str(caught.value)
    assert f"seed is 77, but {history.seed} in the study's history" in said
    assert f"sampler is 'qmc', but {history.sampler!r}" in said
    assert f"trials is 30, but {history.n_trials}" in said


def test_a_folder_that_a_kill_left_before_the_first_trial_is_taken_again(
    xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "splits.json").write_text("{}")
    (folder / "history.db").write_text("")
    assert new_folder(Settings(), folder) == folder
    settings = Settings(data=str(xrays), space=str(tiny_space), trials=1, runner="serial")
    assert status(search(settings, folder))["trials"]["complete"] == 1


def test_someone_elses_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("dear")
    with pytest.raises(InputError, match="not empty"):
        new_folder(Settings(), tmp_path)


def test_resuming_a_finished_study_says_how_to_go_on(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished_study, folder)
    said: list[str] = []
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert resume(folder, on_note=said.append) == folder
    assert len(said) == 1
    assert "all 3 trials are done" in said[0]
    assert "cxrsearch extend" in said[0]
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_damaged_label_file_of_a_study_is_made_anew(finished_study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished_study, folder)
    (folder / "labels.npz").write_bytes(b"no")
    extend(folder, 1)
    assert status(folder)["trials"]["complete"] == 4


def test_a_used_up_time_budget_is_said_and_can_be_renewed(
    xrays: Path, tiny_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is the number of steps: how many trials a second holds is not the machine's."""
    steps = [0.0]

    def tick(self: Progress, event: Event) -> None:
        steps[0] += event.kind == "step"

    monkeypatch.setattr(Progress, "__call__", tick)
    monkeypatch.setattr("search.budget.Clock.__init__.__defaults__", (lambda: steps[0],))
    settings = Settings(
        data=str(xrays), space=str(tiny_space), time_budget="1s", trials=200, runner="serial"
    )
    folder = search(settings, tmp_path / "study")
    before = status(folder)["trials"]
    assert before["interrupted"] + before["complete"] == 1
    said: list[str] = []
    resume(folder, on_note=said.append)
    assert len(said) == 1
    assert "time budget is used up" in said[0]
    assert status(folder)["trials"] == before
    resume(folder, time_budget="2s")
    assert status(folder)["trials"]["complete"] > before["complete"]


def test_a_used_up_part_of_the_time_budget_is_said_where_the_reruns_left_some_over(
    finished_study: Path, tmp_path: Path
) -> None:
    """The search's own part ended before its trials were all run; its reruns were soon done."""
    folder = tmp_path / "study"
    shutil.copytree(finished_study, folder)
    study = Study.open(folder)
    study.set(TARGET_SECONDS, 2000.0)
    study.set(ELAPSED, 1900.0)
    plan = ConfirmPlan(share=0.2, reruns=0, after=160, search_seconds=1600.0)
    study.set(CONFIRM, plan.to_dict())
    study.set("target_trials", plan.trials)
    study.close()
    before = (folder / "history.db").read_bytes()
    said: list[str] = []
    resume(folder, on_note=said.append)
    assert said == [
        f"{folder}: the search's part of its time budget is used up, and its reruns are done; give "
        f"more with --time-budget 2h, or add trials with `cxrsearch extend {folder} --trials 50`"
    ]
    assert (folder / "history.db").read_bytes() == before


def test_of_two_searches_for_one_folder_the_second_deletes_nothing(
    finished_study: Path, xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    """Both looked before either had made its study, so the first look is not enough."""
    settings = Settings(data=str(xrays), space=str(tiny_space), trials=1, runner="serial")
    prepared = prepare(settings)
    folder = tmp_path / "study"
    shutil.copytree(finished_study, folder)
    before = (folder / "history.db").read_bytes()
    with pytest.raises(InputError, match="exists already"):
        start(prepared, folder)
    assert (folder / "history.db").read_bytes() == before

    (folder / "study.yaml").unlink()
    shutil.rmtree(folder / "trials")
    study = Study.open(folder)
    try:
        with pytest.raises(InputError, match="another search is starting"):
            start(prepared, folder)
    finally:
        study.close()
    assert len(read_study(folder).trials) == 3


def test_a_sampler_chosen_by_us_is_named_with_its_reason_and_stays(
    xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    settings = Settings(
        data=str(xrays), space=str(tiny_space), sampler="auto", trials=1, runner="serial"
    )
    folder = search(settings, tmp_path / "auto")
    record = yaml.safe_load((folder / "study.yaml").read_text())
    assert record["sampler"] == {
        "asked": "auto", "name": "gp", "options": {}, "reason": record["sampler"]["reason"],
    }  # fmt: skip
    assert record["settings"]["sampler"] == "gp"
    assert any(note.startswith("sampler auto: gp; 1 trials of 4 genes") for note in record["notes"])
    extend(folder, 1)
    assert read_study(folder).config.sampler == "gp"


FLIPS = """
name: flips
genes:
  horizontal_flip: {choices: [false, true]}
  balance: {low: 0.0, high: 1.0}
fixed: {model: densenet121, input_size: 32, epochs: 1, batch_size: 16}
"""


@pytest.mark.parametrize("reuse", [True, False])
def test_recipes_that_differ_in_idle_genes_only_are_trained_once_unless_told_otherwise(
    reuse: bool, xrays: Path, tmp_path: Path
) -> None:
    space = tmp_path / "flips.yaml"
    space.write_text(FLIPS)
    settings = Settings(
        data=str(xrays), space=str(space), trials=4, sampler="random", runner="serial",
        reuse=reuse, early_stopping=False,
    )  # fmt: skip
    folder = search(settings, tmp_path / "study")
    counts = status(folder)["trials"]
    assert (counts["complete"], counts["repeated"]) == ((2, 2) if reuse else (4, 0))
    assert len(list(folder.glob("trials/*/val.npz"))) == counts["complete"]
    record = read_study(folder)
    again = [t for t in record.trials if "same_as" in t.user_attrs]
    for trial in again:
        assert chosen_trial(record, trial.number).number == trial.user_attrs["same_as"]
    if not reuse:  # each with a seed of its own
        assert len({t.user_attrs["seed"] for t in record.trials}) == 4


def test_whoever_loses_its_place_loses_its_weights(
    xrays: Path, tiny_space: Path, tmp_path: Path
) -> None:
    settings = Settings(
        data=str(xrays), space=str(tiny_space), trials=4, population=2, runner="serial", seed=1,
        keep_checkpoints="best:1", early_stopping=False,
    )  # fmt: skip
    folder = search(settings, tmp_path / "study")
    best = status(folder)["best"]["number"]
    kept = [int(path.parent.name) for path in folder.glob("trials/*/best.safetensors")]
    assert kept == [best]
    assert not list(folder.glob("trials/*/checkpoint.safetensors"))


def test_all_trials_of_a_study_have_one_precision_whatever_machine_goes_on_with_it(
    finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(finished_study, folder)
    path = folder / "study.yaml"
    record = yaml.safe_load(path.read_text())
    had = record["precision"]
    assert record["settings"]["precision"] == "auto"
    assert {t.user_attrs["precision"] for t in read_study(folder).trials} == {had}
    others = [{}, {"avx512_bf16": True}]
    # Also where study.yaml, of an earlier version, does not say it.
    for text in (path.read_text(), yaml.safe_dump({**record, "precision": None})):
        path.write_text(text)
        for able in others:
            monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=able: found)
            notes: list[str] = []
            prepared = load_study(folder, notes.append)
            assert trial_config(folder, prepared).compute.precision == had
            slow = had == "bf16" and not able
            assert any("emulates" in note for note in notes) == slow


def test_scores_of_epochs_make_room_from_the_weakest_trial_on(
    finished_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(finished_study, folder)
    room = partial(EpochScoresRoom, most=0, least=2)
    monkeypatch.setattr(experiment, "EpochScoresRoom", room)
    study = Study.open(folder)
    try:
        values = best_values(study.trials())
        experiment._tidier(study, 5)()
    finally:
        study.close()
    weakest = min(values, key=lambda number: values[number])
    left = {int(path.parent.name) for path in folder.glob("trials/*/epochs.npz")}
    assert left == set(values) - {weakest}


def test_best_values_are_those_of_any_epoch_of_the_searchs_own_trials() -> None:
    trials = [
        create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.6, 2: 0.5}),
        create_trial(value=0.8, intermediate_values={1: 0.7}),
        create_trial(state=TrialState.FAIL),
        create_trial(state=TrialState.RUNNING, intermediate_values={1: 0.9}),
        create_trial(value=0.95, user_attrs={CONFIRMS: 1, ROUND: 0}),
        create_trial(value=0.8, user_attrs={SAME_AS: 1}),
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    assert best_values(trials) == {0: 0.6, 1: 0.8, 2: -math.inf}


def test_weights_are_kept_of_finalists_and_of_different_recipes_first() -> None:
    def trial(number: int, value: float, lr: float) -> FrozenTrial:
        made = create_trial(value=value, user_attrs={"params": {"lr": lr}})
        made.number = number
        return made

    trials = [trial(0, 0.9, 0.1), trial(1, 0.8, 0.1), trial(2, 0.7, 0.2), trial(3, 0.6, 0.3)]
    assert to_keep(trials, ("maximize",)) == [0, 2, 3, 1]
    assert to_keep(trials, ("maximize",), finalists=(3, 0)) == [0, 3, 2, 1]


def test_a_trial_that_is_given_a_gpu_computes_there_and_nowhere_else(finished_study: Path) -> None:
    prepared = load_study(finished_study)
    for gpus, device, share in ((0.0, "cpu", 1.0), (0.25, "cuda", 0.25), (2.0, "cuda", 1.0)):
        settings = replace(prepared.settings, runner="serial", gpus_per_trial=gpus)
        compute = trial_config(finished_study, replace(prepared, settings=settings)).compute
        assert compute.device == device
        assert compute.memory_share == pytest.approx(MEMORY_SHARE_OF_ALL * share)
