"""From a study to an ensemble folder, by the command line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.ensemble import Ensemble, logits_of
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.folder import load_model
from cxrsearch.systems.ensemble.command import ensemble_of
from cxrsearch.systems.ensemble.pool import study_pool
from search.files import write_json
from search.reading import read_json
from search.store.record import read_study

CPU = ComputeOptions("cpu")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def study(finished_study: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished_study, tmp_path / "study")
    return tmp_path / "study"


def test_a_study_goes_to_an_ensemble_that_is_judged_and_predicts(
    study: Path, xrays: Path, run: Run, tmp_path: Path
) -> None:
    team = tmp_path / "team"
    words = ("ensemble", study, "--folds", 2, "--method", "uniform")
    code, out, _ = run(*words, "--out", team)
    assert code == 0
    for word in ("best single", "naive", "held-out", "uniform", "Cardiomegaly", "evaluate"):
        assert word in out
    code, out, _ = run(*words, "--json")
    found = json.loads(out)
    assert [one["method"] for one in found["estimates"]][-1] == "uniform"
    assert len(found["members"]) == found["selected_from"] == found["trials"] == 3
    said = "each of the 3 trials is at its best epoch, chosen on these same images"
    assert found["caution"].startswith(said)
    assert json.loads((team / "ensemble.json").read_text())["validation"]["caution"] == said + (
        ": the nested estimate may still be a little high; the test part knows nothing of it"
    )
    shown = " ".join(run(*words)[1].split())
    assert shown.count(said) == 1

    loaded = load_predictor(team, CPU)
    images = np.random.default_rng(0).integers(0, 255, (2, loaded.frame, loaded.frame))
    pictures = images.astype(np.uint8)
    alone = [load_model(team / "members" / str(n), CPU).predict(pictures) for n in range(3)]
    expected = np.mean(alone, axis=0)
    shutil.move(study, tmp_path / "moved")  # the folder stands for itself
    assert np.allclose(load_predictor(team, CPU).predict(pictures), expected, atol=1e-5)
    shutil.move(tmp_path / "moved", study)

    code, out, _ = run("evaluate", team, "--tta", "flip", "--json")
    result = json.loads(out)
    assert (code, result["part"], result["looks"], result["tta"]) == (0, "test", 1, "flip")
    assert len(read_json(study / "looks.json")) == 1

    names = sorted(path.name for path in (xrays / "images").iterdir())[:3]
    sample = tmp_path / "sample.csv"
    sample.write_text("id,Mass,Hernia\n" + "".join(f"{name[:-4]},0,0\n" for name in names[::-1]))
    code, _, err = run("predict", team, xrays / "images", "--out", tmp_path / "s.csv",
                       "--tta", "ten-crop", "--sample", sample)  # fmt: skip
    assert (code, err.count("\n")) == (0, 1)
    assert "as the network gives them" in err
    rows = list(csv.reader((tmp_path / "s.csv").open()))
    assert rows[0] == ["id", "Mass", "Hernia"]
    assert [row[0] for row in rows[1:]] == [name[:-4] for name in names[::-1]]
    code, _, err = run("predict", team, xrays / "images", "--out", tmp_path / "s.csv",
                       "--tidy", "--sample", sample)  # fmt: skip
    assert (code, "--tidy" in err) == (2, True)


def test_members_that_lost_their_weights_are_trained_again_and_a_kill_costs_one(
    study: Path, run: Run, tmp_path: Path
) -> None:
    (study / "trials" / "1" / "best.safetensors").unlink()
    (study / "trials" / "2" / "best.safetensors").unlink()
    team, words = tmp_path / "team", ("ensemble", study, "--folds", 2, "--method", "uniform")
    code, _, err = run(*words)
    assert (code, "--members all --retrain" in err) == (2, True)
    code, out, _ = run(*words, "--members", "all")
    assert (code, "to be trained again" in out) == (0, True)
    code, _, err = run(*words, "--members", "all", "--out", team)
    assert (code, "trials 1, 2 are in the ensemble" in err) == (2, True)
    assert not team.exists()
    cut = ensemble_of(study, team, method="uniform", folds=2, members="all", again=True, most=2)
    next(line for line in cut if isinstance(line, str) and "epoch" in line)
    next(cut)  # the first member is written before the second one is begun
    cut.close()
    assert not team.exists()
    again = ("--members", "all", "--most", 2, "--retrain", "--out", team)
    code, out, _ = run(*words, *again)
    assert (code, out.count("trained already"), out.count("epoch 1/1")) == (0, 1, 1)
    assert not list(tmp_path.glob(".team*"))
    cards = [json.loads(path.read_text()) for path in team.glob("members/*/model.json")]
    assert [card["training"]["rows"] for card in cards] == ["train + validation"] * 2


def test_the_pool_is_what_the_trials_saved(study: Path) -> None:
    pool = study_pool(study)
    with np.load(study / "trials" / "1" / "val.npz") as saved:
        assert np.allclose(pool.scores[1], logits_of(saved["scores"]))
        assert np.array_equal(pool.labels, saved["labels"])
        arrays = dict(saved)
    arrays["names"] = arrays["names"][::-1]
    np.savez(study / "trials" / "1" / "val.npz", **arrays)
    with pytest.raises(InputError, match="other images"):
        study_pool(study)
    (study / "trials" / "1" / "val.npz").unlink()
    assert "1 complete trials have no val.npz" in study_pool(study).notes[0]


def test_candidates_that_were_chosen_on_the_same_images_are_called_so(study: Path) -> None:
    values = {t.number: t.values[0] for t in read_study(study).trials}
    worst, *_, best = sorted(values, key=lambda number: values[number])
    left = study / "trials" / str(worst) / "best.safetensors"
    kept = left.read_bytes()
    left.unlink()
    said = study_pool(study).caution
    assert said.startswith("members were chosen among the best 2 of 3 trials, and each at its best")
    assert "each of the 3 trials" in study_pool(study, "all").caution
    left.write_bytes(kept)
    (study / "trials" / str(best) / "best.safetensors").unlink()  # the others aren't the best
    assert study_pool(study).caution.startswith("members were chosen among 2 of 3 trials")


def test_a_file_of_logits_becomes_weights(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 14)) < 0.4).astype(np.uint8)
    models = {f"m{i}": rng.normal(size=(80, 14)) + labels for i in range(3)}
    half = tmp_path / "half.npz"
    np.savez(half, labels=labels, patient=np.arange(80) // 2, **models)
    weights = tmp_path / "weights.json"
    code, out, _ = run("ensemble", half, "--method", "stacking", "--folds", 3, "--out", weights)
    assert (code, "m2" in out, "z-scores" in out) == (0, True, True)
    assert "how these models and their epochs were chosen is not known here" in out
    assert "trials" not in out
    assert Ensemble.load(weights).apply(np.stack(list(models.values()))).shape == (80, 14)
    code, _, err = run("ensemble", half, "--retrain")
    assert (code, "study" in err) == (2, True)
    code, _, err = run("ensemble", tmp_path / "none")
    assert code == 2


def test_a_file_that_cannot_be_used_is_refused_before_anything_is_estimated(
    run: Run, tmp_path: Path
) -> None:
    labels = np.tile(np.array([0, 1], np.uint8), (60, 7))
    half = tmp_path / "half.npz"
    sound = {"labels": labels, "patient": np.arange(60), "a": np.ones((60, 14))}
    for change, word in (
        ({"a": np.full((60, 14), object())}, "Object arrays"),
        ({"a": np.full((60, 14), 1e300)}, "'a' holds numbers"),
        ({"a": np.full((60, 14), np.nan)}, "'a' holds numbers"),
    ):
        np.savez(half, **(sound | change))
        code, out, err = run("ensemble", half)
        assert (code, out, word in err) == (2, "", True)
    half.write_bytes(b"hello")
    code, _, err = run("ensemble", half)
    assert (code, "np.savez" in err, "pickle" in err) == (2, True, False)
    np.savez(half, **sound)
    before = half.read_bytes()
    for words, word in (
        (("--out", tmp_path), "a folder"),
        (("--out", half), "would be lost"),
        (("--out", half / "x.json"), "cannot be written to"),
        (("--data", "x", "--backbone", "own"), "--backbone: goes with --per-disease"),
        (("--per-disease", "--folds", 3, "--out", tmp_path / "new"), "--folds: do nothing"),
        (("--seed", -1), "--seed"),
        (("--seed", 2**31), "--seed"),
    ):
        code, out, err = run("ensemble", half, *words)
        assert (code, out, word in err) == (2, "", True)
    assert half.read_bytes() == before
    assert "no such study folder or .npz file" in run("ensemble", tmp_path / "gone.npz")[2]


def test_trials_whose_predictions_are_of_other_labels_are_no_members(study: Path) -> None:
    path = study / "trials" / "1" / "val.npz"
    found = dict(np.load(path))
    np.savez(path, **{**found, "scores": found["scores"][:, :13]})
    with pytest.raises(InputError, match="not probabilities of 14 labels"):
        study_pool(study)


def test_members_of_other_labels_are_refused(study: Path, run: Run, tmp_path: Path) -> None:
    team = tmp_path / "team"
    assert run("ensemble", study, "--folds", 2, "--method", "uniform", "--out", team)[0] == 0
    member = next(team.glob("members/*/model.json"))
    card = read_json(member)
    names = [*card["labels"][:13], "COVID-19"]
    write_json(member, card | {"labels": names, "study": card["study"] | {"objective": names}})
    whole = read_json(team / "ensemble.json")
    write_json(team / "ensemble.json", whole | {"files": {}})
    with pytest.raises(InputError, match="frame, split or labels differ"):
        load_predictor(team, CPU)


def test_a_file_of_logits_says_what_its_labels_are(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((120, 2)) < 0.4).astype(np.float32)
    scores = [(rng.normal(size=labels.shape) + labels).astype(np.float32) for _ in range(2)]
    labels[::7, 0] = np.nan
    path = tmp_path / "logits.npz"
    np.savez(path, labels=labels, patient=np.arange(120), label_names=["Nodule/Mass", "COVID-19"],
             a=scores[0], b=scores[1])  # fmt: skip
    code, out, err = run("ensemble", path, "--out", tmp_path / "weights.json", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["positives"] == {
        "Nodule/Mass": (labels[:, 0] == 1).sum(), "COVID-19": (labels[:, 1] == 1).sum()
    }  # fmt: skip
    assert list(found["estimates"][-1]["auroc"]) == ["Nodule/Mass", "COVID-19"]
    assert Ensemble.load(tmp_path / "weights.json").label_names == ("Nodule/Mass", "COVID-19")


def test_a_broken_ensemble_is_named(study: Path, run: Run, tmp_path: Path) -> None:
    team = tmp_path / "team"
    assert run("ensemble", study, "--folds", 2, "--method", "single", "--out", team)[0] == 0
    path = team / "ensemble.json"
    card = read_json(path)
    for change, word in (
        ({"version": 7}, "version"),
        ({"format": "x"}, "not an ensemble"),
        ({"members": ["../../model"]}, "do not fit"),
        ({"data": {"fingerprint": "a", "split_fingerprint": "b"}}, "not of this ensemble"),
        ({"pixels": None}, "pixels"),
    ):
        path.write_text(json.dumps(card | change))
        with pytest.raises(InputError, match=word):
            load_predictor(team, CPU)
    path.write_text(json.dumps(card))
    member = next(team.glob("members/*/model.json"))
    write_json(member, read_json(member) | {"validation": {}})
    with pytest.raises(InputError, match=r"model\.json: not the file that"):
        load_predictor(team, CPU)
