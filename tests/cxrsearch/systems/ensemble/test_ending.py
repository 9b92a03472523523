"""A study that ends in an ensemble of its own trials."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from optuna.trial import FrozenTrial

from cxrsearch import train
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.ensemble import nested
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.learn.train import PREDICTIONS
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.folder import load_model
from cxrsearch.model.promise import promised_in
from cxrsearch.show.chosen import choice_of
from cxrsearch.show.view import view_of
from cxrsearch.study.folder import load_alone, trial_config
from cxrsearch.study.winner import winner_of
from cxrsearch.systems.ensemble.ending.choice import member_candidates
from cxrsearch.systems.ensemble.ending.lessons import lessons_of
from cxrsearch.systems.ensemble.ending.seeds import train_seeds
from cxrsearch.systems.ensemble.ending.seen import by_gain, choose_views
from cxrsearch.systems.ensemble.ending.team import train_ensemble
from cxrsearch.systems.ensemble.pool import ALL, study_pool
from search.confirm.result import Confirmed
from search.reading import read_json
from search.store.record import read_study

CPU = ComputeOptions("cpu")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def study(finished_study: Path, tmp_path: Path) -> Path:
    """A copy of the finished study that nobody has looked at the test part of."""
    unseen = shutil.ignore_patterns("*looks.json*")
    return Path(shutil.copytree(finished_study, tmp_path / "study", ignore=unseen))


@pytest.fixture
def nothing_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **how: object) -> None:
        raise AssertionError("a training")

    monkeypatch.setattr("cxrsearch.systems.ensemble.members.retrain", refuse)


def test_a_study_ends_in_an_ensemble_without_a_training(
    study: Path, xrays: Path, run: Run, tmp_path: Path, nothing_trains: None
) -> None:
    team = tmp_path / "team"
    code, out, _ = run("train", study, "--ensemble", 2, "--out", team)
    assert code == 0
    shown = " ".join(out.split())
    for words in ("2 of 3 trials with equal weights", "recommended", "promised: 0.",
                  "best single trial", "next: cxrsearch evaluate"):  # fmt: skip
        assert words in shown
    card = read_json(team / "ensemble.json")
    best = choice_of(view_of(read_study(study))).recommended
    assert card["ensemble"]["members"][0] == str(best)
    assert next(one["why"] for one in card["validation"]["members"]) == "recommended"
    page = (team / "README.md").read_text()
    assert "Ensemble of 2 models" in page
    assert "| corrected |" in page
    assert "recommended" in page

    loaded = load_predictor(team, CPU)
    pictures = np.full((2, loaded.frame, loaded.frame), 90, np.uint8)
    members = [load_model(team / name, CPU).predict(pictures) for name in card["members"]]
    assert np.allclose(loaded.predict(pictures), np.mean(members, axis=0), atol=1e-6)

    code, out, _ = run("evaluate", team, "--json")
    result = json.loads(out)
    assert (code, result["part"], result["looks"]) == (0, "test", 1)
    assert result["validation"].keys() >= {"observed", "corrected", "corrected_interval"}
    code, out, _ = run("predict", team, xrays / "images", "--out", tmp_path / "p.csv")
    assert code == 0


def test_the_promise_leaves_the_choice_of_the_members_to_other_patients(
    study: Path, tmp_path: Path
) -> None:
    list(train_ensemble(study, tmp_path / "team", 2))
    card = read_json(tmp_path / "team" / "ensemble.json")
    promised, last = promised_in(card), card["validation"]["estimates"][-1]
    assert promised["corrected"] == last["nested"]
    assert promised["selected_from"] == card["validation"]["selected_from"] == 3
    assert last["method"] == "uniform"


def test_a_member_without_weights_is_left_out_and_said(study: Path, tmp_path: Path) -> None:
    best = choice_of(view_of(read_study(study))).recommended
    (study / "trials" / str(best) / BEST).unlink()
    lines = list(train_ensemble(study, tmp_path / "team", 3))
    said = " ".join(lines)
    assert f"trial {best}, the recommended one, has not kept its weights" in said
    assert "2 members, as no more trials have kept their weights" in said
    members = read_json(tmp_path / "team" / "ensemble.json")["ensemble"]["members"]
    assert len(members) == 2
    assert str(best) not in members
    for folder in (study / "trials").iterdir():
        (folder / BEST).unlink(missing_ok=True)
    with pytest.raises(InputError, match="train its members again with --retrain"):
        list(train_ensemble(study, tmp_path / "other", 2))


def test_no_more_is_promised_than_trials_with_weights_can_keep(study: Path, tmp_path: Path) -> None:
    best = choice_of(view_of(read_study(study))).recommended
    (study / "trials" / str(best) / BEST).unlink()
    list(train_ensemble(study, tmp_path / "team", 2))
    pool = study_pool(study, ALL)
    rows = [row for row, name in enumerate(pool.names) if name != str(best)]
    folds = min(5, len(np.unique(pool.patients)) // 2)
    # Two of two: there is no choice left, and each fold is scored by the same mean.
    *_, wanted = nested(
        pool.scores[rows], pool.labels, pool.patients, ["uniform"], columns=pool.columns,
        averaging="probability", folds=folds,
    )  # fmt: skip
    *_, of_all = nested(
        pool.scores, pool.labels, pool.patients, ["uniform"], columns=pool.columns,
        averaging="probability", most=2, folds=folds,
    )  # fmt: skip
    promised = promised_in(read_json(tmp_path / "team" / "ensemble.json"))
    assert promised["corrected"] == pytest.approx(wanted.nested)
    assert promised["corrected"] != pytest.approx(of_all.nested)


def test_a_trial_without_predictions_is_left_out_and_said(study: Path, tmp_path: Path) -> None:
    best = choice_of(view_of(read_study(study))).recommended
    other = next(n for n in (0, 1, 2) if n != best)
    (study / "trials" / str(best) / PREDICTIONS).unlink()
    lines = list(train_ensemble(study, tmp_path / "team", 3))
    assert "note: 1 complete trials have no val.npz and are left out" in lines
    assert "note: 2 members, as no more trials have kept their weights and predictions" in lines
    gone = f"note: trial {best}, the recommended one, has not kept its val.npz and is left out"
    assert f"{gone}; restore that from a copy" in lines
    (study / "trials" / str(other) / PREDICTIONS).unlink()
    few = r"1 of 3 complete trials have predictions, .*; restore val\.npz of the others"
    with pytest.raises(InputError, match=few):
        list(train_ensemble(study, tmp_path / "other", 2))


def test_a_member_that_was_taken_away_is_missed_by_name(study: Path, tmp_path: Path) -> None:
    team = tmp_path / "team"
    list(train_ensemble(study, team, 2))
    name = read_json(team / "ensemble.json")["members"][1]
    shutil.rmtree(team / name)
    with pytest.raises(InputError, match=f"{name}: this member is missing; restore it from a copy"):
        load_predictor(team, CPU)


def test_members_are_trained_again_for_the_epochs_that_were_chosen(
    study: Path, run: Run, tmp_path: Path
) -> None:
    for folder in (study / "trials").iterdir():
        (folder / BEST).unlink(missing_ok=True)
    team = tmp_path / "team"
    code, out, _ = run("train", study, "--ensemble", 2, "--retrain", "--out", team)
    assert (code, out.count("epoch 1/1")) == (0, 2)
    card = read_json(team / "ensemble.json")
    rows = [read_json(team / name / "model.json")["training"]["rows"] for name in card["members"]]
    assert rows == ["train + validation"] * 2
    assert card["training"]["rows"] == "train + validation"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--ensemble", 1), "two members or more"),
        (("--ensemble", 2, "--trial", 0), "--trial: not with --ensemble"),
        (("--ensemble", 2, "--device", "cpu"), "trains nothing without --retrain"),
        (("--ensemble", 2, "--epochs", 4), "--epochs: not with --ensemble"),
        (("--ensemble", 2, "--seeds", 2), "--seeds: not with --ensemble"),
        (("--ensemble", 0), "two members or more"),
        (("--retrain",), "only with --ensemble"),
        (("--seeds", 1), "from 2 to 100"),
        (("--epochs", 0), "--epochs 0: must be from 1"),
        (("--seeds", 2, "--epochs", 0), "--epochs 0: must be from 1"),
    ],
)
def test_what_does_nothing_is_refused(
    study: Path, run: Run, tmp_path: Path, words: tuple[object, ...], said: str
) -> None:
    code, _, err = run("train", study, *words, "--out", tmp_path / "team")
    assert (code, said in err) == (2, True)
    assert not (tmp_path / "team").exists()


def test_the_confirmed_come_first_and_a_recipe_again_last(study: Path) -> None:
    record = read_study(study)
    chosen = choice_of(view_of(record))
    numbers = [trial.number for trial in record.trials]
    same = record.trials[numbers[0]]
    record.trials[1].user_attrs["params"] = same.user_attrs["params"]
    expected = {0: 0.9, 1: 0.8, 2: 0.7}
    plain = replace(chosen, recommended=0, expected=expected, result=None, steps=None)
    found = member_candidates(record, plain, numbers)
    assert [(one.trial.number, one.repeat) for one in found] == [(0, False), (2, False), (1, True)]
    assert found[0].why == "recommended"
    assert "another seed" in found[-1].why
    without = member_candidates(record, plain, [1, 2])
    assert [(one.trial.number, one.repeat) for one in without] == [(1, False), (2, False)]


def test_of_several_objectives_a_cheap_weak_trial_comes_after_better_ones(study: Path) -> None:
    record = read_study(study)
    for trial, values in zip(record.trials, ([0.8, 9.0], [0.5, 1.0], [0.7, 9.5]), strict=True):
        trial.values = values
    two = {"directions": ("maximize", "minimize"), "metrics": ("auroc", "seconds")}
    both = replace(record, config=replace(record.config, **two))
    chosen = replace(choice_of(view_of(read_study(study))), recommended=0, expected={}, result=None)
    found = member_candidates(both, chosen, [0, 1, 2])
    assert [(one.trial.number, one.why) for one in found] == [
        (0, "recommended"), (2, "by its AUROC"), (1, "by its AUROC"),
    ]  # fmt: skip


def test_finalists_that_reruns_put_behind_are_trials_like_others(study: Path) -> None:
    record = read_study(study)
    chosen = choice_of(view_of(record))
    reruns = [
        _rerun(record.trials[of], number, of, round, value)
        for number, (of, round, value) in enumerate(
            [(2, 0, 0.7), (2, 1, 0.7), (1, 0, 0.6), (1, 1, 0.8), (0, 0, 0.2)], start=3
        )
    ]
    record = replace(record, trials=[*record.trials, *reruns])
    result = Confirmed(2, 1, 0.7, 0.6, 0.8, 2, (1,), {})
    known = replace(
        chosen, recommended=2, steps=1, result=result, expected={0: 0.9, 1: 0.5, 2: 0.6}
    )
    found = member_candidates(record, known, [0, 1, 2])
    assert [one.trial.number for one in found] == [2, 1, 0]
    assert [one.why for one in found] == [
        "confirmed by 2 reruns", "confirmed by 2 reruns", "by its expected value",
    ]  # fmt: skip


def _rerun(of: FrozenTrial, number: int, finalist: int, round: int, value: float) -> FrozenTrial:
    trial = copy.deepcopy(of)
    trial.number, trial.values = number, [value]
    trial.user_attrs = {**trial.user_attrs, "confirms": finalist, "round": round}
    return trial


def test_a_schedule_is_stretched_and_the_card_and_the_command_say_so(
    study: Path, run: Run, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    code, out, _ = run("train", study, "--epochs", 3, "--out", model)
    said = "the schedule of the trial's 1 epochs is stretched to 3"
    assert (code, out.count(said), "for 3 of 3 epochs, on" in out) == (0, 1, True)
    card = read_json(model / "model.json")
    assert (card["recipe"]["epochs"], card["training"]["epochs"]) == (3, 3)
    assert said in card["training"]["notes"]
    assert card["training"]["threads"] >= 1
    assert (
        said.replace("'", "&#x27;") in (model / "README.md").read_text()
        or said in (model / "README.md").read_text()
    )


def test_the_best_epoch_keeps_its_place_in_the_schedule(study: Path) -> None:
    winner = winner_of(read_study(study))
    trial = copy.deepcopy(winner.trial)
    trial.user_attrs["params"] = {**trial.user_attrs["params"], "epochs": 10}
    at = winner._replace(trial=trial, epochs=7)
    assert [(at.of_length(n).epochs, at.of_length(n).recipe.epochs) for n in (20, 5, 1)] == [
        (14, 20), (4, 5), (1, 1),
    ]  # fmt: skip
    assert at.of_length(None) == at
    assert at.of_length(10).stretched == at.stretched == ""
    assert "cut to 5" in at.of_length(5).stretched


def test_a_winner_of_several_seeds_is_an_ensemble_of_them(
    study: Path, run: Run, tmp_path: Path
) -> None:
    team = tmp_path / "team"
    lines = train_seeds(study, team, 2, length=2)
    next(line for line in lines if "epoch 2/2" in line)
    next(lines)  # the first is written before the second one is begun
    lines.close()
    assert not team.exists()
    code, out, _ = run("train", study, "--seeds", 2, "--epochs", 2, "--out", team)
    assert (code, out.count("trained already"), out.count("epoch 2/2")) == (0, 1, 1)
    card = read_json(team / "ensemble.json")
    cards = [read_json(team / name / "model.json") for name in card["members"]]
    best = winner_of(read_study(study))
    assert cards[0]["training"]["seed"] == best.trial.user_attrs["seed"]
    assert cards[1]["training"]["seed"] != cards[0]["training"]["seed"]
    assert [one["recipe"]["epochs"] for one in cards] == [2, 2]
    assert promised_in(card)["observed"] == best.trial.values[0]
    code, _, _ = run("evaluate", team)
    assert code == 0


def test_the_winner_learns_what_the_best_trials_say_together(
    study: Path, run: Run, tmp_path: Path
) -> None:
    winner = winner_of(read_study(study))
    lessons = lessons_of(study, 2, winner)
    assert lessons is not None
    assert len(lessons.trials) == 2
    assert lessons.trials[0] == winner.trial.number
    parts = read_json(study / "splits.json")
    assert sorted(lessons.said.taught.tolist()) == sorted(parts["train"] + parts["val"])
    list(train_ensemble(study, tmp_path / "team", 2))
    team = load_predictor(tmp_path / "team", CPU)
    config = trial_config(study, load_alone(study))
    data = load_trial_data(config)
    rows = data.with_validation_for_training().train
    assert np.allclose(lessons.said.taught_scores, team.predict(data.images, rows), atol=1e-6)

    code, out, _ = run("train", study, "--distill", 2, "--out", tmp_path / "taught")
    assert code == 0
    assert " ".join(out.split()).count(lessons.sentence) == 1
    card = read_json(tmp_path / "taught" / "model.json")
    assert card["recipe"]["distill"] == lessons.share == 0.9
    assert lessons.sentence in card["training"]["notes"]
    assert card["training"]["images"] == len(rows)
    assert run("train", study, "--out", tmp_path / "plain")[0] == 0
    pictures = np.asarray(data.images[:4])
    said = [load_model(tmp_path / name, CPU).predict(pictures) for name in ("taught", "plain")]
    assert not np.allclose(*said)
    code, out, _ = run("evaluate", tmp_path / "taught", "--json")
    assert (code, json.loads(out)["part"]) == (0, "test")
    by_function = load_model(train(study, tmp_path / "again", distill=2), CPU).predict(pictures)
    assert np.array_equal(by_function, said[0])


def test_each_of_several_seeds_is_taught(study: Path, tmp_path: Path) -> None:
    lines = list(train_seeds(study, tmp_path / "team", 2, teachers=3))
    assert sum("taught by trials" in line for line in lines) == 1
    card = read_json(tmp_path / "team" / "ensemble.json")
    for name in card["members"]:
        assert read_json(tmp_path / "team" / name / "model.json")["recipe"]["distill"] == 0.9


def test_who_cannot_teach_or_be_taught_is_named(study: Path, run: Run, tmp_path: Path) -> None:
    winner, out = winner_of(read_study(study)), tmp_path / "out"
    for words, why in (
        (("--distill", 1), "--distill 1: two trials or more teach"),
        (("--distill", 2, "--ensemble", 2), "--distill: not with --ensemble"),
        (("--distill", 2, "--ensemble", 2, "--retrain"), "--distill: not with --ensemble"),
    ):
        code, _, error = run("train", study, *words, "--out", out)
        assert code != 0
        assert why in " ".join(error.split())
    own = winner._replace(trial=copy.deepcopy(winner.trial))
    own.trial.user_attrs["params"] |= {"distill": 0.3}
    with pytest.raises(InputError, match=r"has a teacher of its own \(pseudo: none, distill: 0.3"):
        lessons_of(study, 2, own)
    own.trial.user_attrs["params"] |= {"distill": 0.0, "init": "frozen-features"}
    with pytest.raises(InputError, match="linear probe"):
        lessons_of(study, 2, own)
    kept = sorted((study / "trials").glob(f"*/{BEST}"))
    for path in kept[1:]:
        path.unlink()
    with pytest.raises(InputError, match=r"1 of the 3 complete trials .* have kept their weights"):
        lessons_of(study, 2, winner)
    assert not out.exists()


def test_a_member_of_another_precision_is_trained_anew(study: Path, tmp_path: Path) -> None:
    team = tmp_path / "team"
    cut = train_seeds(study, team, 2)
    next(line for line in cut if "epoch 1/1" in line)
    next(cut)
    cut.close()
    said = list(train_seeds(study, team, 2, precision="bf16"))
    assert sum("epoch 1/1" in line for line in said) == 2
    cards = [read_json(place / "model.json") for place in (team / "members").iterdir()]
    assert [card["precision"] for card in cards] == ["bf16", "bf16"]


def test_views_are_kept_in_the_cards_and_taken_by_predict(study: Path, tmp_path: Path) -> None:
    team = tmp_path / "team"
    list(train_ensemble(study, team, 2, tta="shift-flip"))
    card = read_json(team / "ensemble.json")
    cards = [read_json(team / name / "model.json") for name in card["members"]]
    assert [card["tta"], *(one["tta"] for one in cards)] == ["shift-flip"] * 3
    assert "several views" in (team / "README.md").read_text()
    loaded, plain = load_predictor(team, CPU), load_predictor(team, CPU, "none")
    pictures = np.random.default_rng(0).integers(0, 255, (2, loaded.frame, loaded.frame))
    found, once = (one.predict(pictures.astype(np.uint8)) for one in (loaded, plain))
    assert (loaded.tta, plain.tta) == ("shift-flip", "none")
    assert not np.allclose(found, once, atol=1e-7)


def test_a_single_model_keeps_its_views_too(study: Path, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("train", study, "--tta", "auto", "--out", tmp_path / "model")
    assert (code, "views: " in out) == (0, True)
    code, _, _ = run("train", study, "--tta", "shift", "--out", tmp_path / "shift")
    assert (code, read_json(tmp_path / "shift" / "model.json")["tta"]) == (0, "shift")
    code, out, _ = run("evaluate", tmp_path / "shift", "--json")
    assert (code, json.loads(out)["tta"]) == (0, "shift")
    code, out, _ = run("evaluate", tmp_path / "shift", "--tta", "none", "--json")
    assert (code, json.loads(out)["tta"]) == (0, "none")


def test_weights_that_cannot_choose_views_need_not(study: Path, tmp_path: Path) -> None:
    best = choice_of(view_of(read_study(study))).recommended
    path = study / "trials" / str(best) / BEST
    path.write_bytes(path.read_bytes()[:-9])
    way = "restore it from a copy, or name the views with --tta"
    with pytest.raises(InputError, match=f"trials/{best}: {BEST} .*; {way}"):
        list(train_ensemble(study, tmp_path / "team", 2, again=True, tta="auto"))


def test_mirror_images_are_tried_where_recipes_mirror(study: Path) -> None:
    record = read_study(study)
    trial = copy.deepcopy(record.trials[0])
    for mirrors in (True, False):
        trial.user_attrs["params"] = {**trial.user_attrs["params"], "horizontal_flip": mirrors}
        reason = choose_views(study, [trial], "auto").reason
        assert ("shift-flip" in reason) is mirrors
    assert choose_views(study, [trial], "flip") == ("flip", "")
    (study / "trials" / "0" / BEST).unlink()
    assert choose_views(study, [trial], "auto").tta == "none"


@pytest.mark.parametrize(
    ("gains", "tta"),
    [
        ({"shift": (0.004, 0.003), "flip": (0.005, 0.006)}, "shift"),
        ({"shift": (0.004, 0.003), "flip": (0.005, 0.004)}, "flip"),
        ({"shift": (0.002, 0.003), "flip": (-0.005, 0.001)}, "none"),
    ],
)
def test_views_are_taken_for_a_gain_above_its_error(
    gains: dict[str, tuple[float, float]], tta: str
) -> None:
    assert by_gain(gains).tta == tta
