"""A model for each disease, out of a finished search."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.learn.train import PREDICTIONS
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.folder import load_model
from cxrsearch.study.experiment import Settings, search
from cxrsearch.study.folder import load_alone, load_study, trial_config
from cxrsearch.study.winner import chosen_trial
from cxrsearch.systems.per_disease.command import best_for, per_disease
from search.store.record import read_study

CPU = ComputeOptions("cpu")

Run = Callable[..., tuple[int, str, str]]

pytestmark = pytest.mark.usefixtures("tiny_model_throughout")


@pytest.fixture(scope="module")
def quick_study(
    tiny_model_throughout: None,
    xrays: Path,
    tiny_space: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A search of two trials for three diseases."""
    settings = Settings(
        data=str(xrays), space=str(tiny_space), trials=2, population=2, runner="serial",
        objective="auroc:Infiltration,Effusion,Atelectasis", precision="float32",
    )  # fmt: skip
    return search(settings, tmp_path_factory.mktemp("quick") / "study")


def scores_of(model: Path, study: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the model in ``model`` says of the study's validation images; the joint model's."""
    data = load_trial_data(trial_config(study, load_study(study)))
    number = chosen_trial(read_study(study)).number
    joint = load_arrays(study / "trials" / str(number) / PREDICTIONS, ("scores",))["scores"]
    return load_predictor(model, CPU).predict(data.images, data.val), joint


def test_networks_for_each_disease_share_the_joint_models_compute(
    quick_study: Path, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "singles"
    steps = per_disease(quick_study, out)
    assert next(steps).startswith("epoch 1")  # cut off after the first, and gone on with
    steps.close()
    with pytest.raises(InputError, match="seed was 0, is 1"):
        next(per_disease(quick_study, out, seed=1))
    code, text, _ = run("ensemble", quick_study, "--per-disease", "--out", out, "--json")
    found = json.loads(text)
    assert code == 0
    joint, single = found["image_steps"]
    assert single == pytest.approx(joint, abs=len(found["labels"]))
    best = best_for(
        read_study(quick_study).trials, chosen_trial(read_study(quick_study)), (3,), DISEASES
    )
    assert all(recipe.startswith("trial ") for _, _, recipe in found["labels"].values())
    assert best[3].user_attrs["auroc"]["Infiltration"] == max(
        t.user_attrs["auroc"]["Infiltration"] for t in read_study(quick_study).trials
    )
    members = {path.name for path in (out / "members").iterdir()}
    assert members == set(found["labels"])
    assert found["single"] == pytest.approx(np.mean([v for _, v, _ in found["labels"].values()]))
    for name, (_, single, recipe) in found["labels"].items():
        card = load_model(out / "members" / name).card
        assert card["validation"]["value"] == pytest.approx(single)
        low, high = card["validation"]["interval"]
        assert low <= single <= high
        assert card["study"]["objective"] == [name]
        assert recipe == f"trial {card['study']['trial']}"
    assert not list(tmp_path.glob(".*"))


def test_heads_on_a_shared_backbone_come_out_as_one_model(
    quick_study: Path, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "heads"
    words = ("--per-disease", "--backbone", "shared", "--out", out)
    code, text, _ = run("ensemble", quick_study, *words)
    assert code == 0
    assert "a head each, one backbone" in text
    ours, joint = scores_of(out, quick_study)
    kept = load_model(out).card["training"]["heads"]
    data = load_trial_data(trial_config(quick_study, load_study(quick_study)))
    columns = list(data.columns)
    value = mean_auroc(auroc(data.labels[data.val][:, columns], ours[:, columns]))
    assert load_model(out).card["validation"]["value"] == pytest.approx(value, abs=1e-4)
    assert value != pytest.approx(chosen_trial(read_study(quick_study)).values[0], abs=1e-4)
    assert load_model(out).card["study"]["trial"] is None
    own = [i for i, name in enumerate(load_model(out).card["labels"])
           if kept.get(name, "joint") == "joint"]  # fmt: skip
    assert any(recipe != "joint" for recipe in kept.values())
    assert np.allclose(ours[:, own], joint[:, own], atol=1e-4)
    state = load_model(out).network.state_dict()
    assert all(torch.isfinite(value).all() for value in state.values())


def test_diseases_without_a_model_are_called_not_covered(
    quick_study: Path, xrays: Path, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "singles"
    found = [step for step in per_disease(quick_study, out) if not isinstance(step, str)]
    covered = set(found[0].labels)
    code, text, _ = run("evaluate", out, "--json")
    result = json.loads(text)
    assert code == 0
    assert set(result["auroc"]) == set(result["intervals"]) == covered
    assert set(result["not_covered"]) == set(DISEASES) - covered
    assert result["mean"] == pytest.approx(np.mean([v for v in result["auroc"].values() if v]))
    table, _, notes = run("evaluate", out)[1].partition("note:")
    assert "Hernia" not in table
    assert "no model, left out of table and mean: " in notes
    assert "Hernia" in notes
    member = out / "members" / sorted(covered)[0]
    assert [DISEASES[column] for column in load_model(member).covered] == [member.name]
    _, _, err = run("predict", out, xrays / "images", "--out", tmp_path / "p.csv")
    assert "Hernia" in err
    assert "their numbers mean nothing" in err


def test_nothing_is_trained_for_a_folder_that_was_filled_while_data_were_read(
    quick_study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "singles"

    def slowly(study: Path) -> object:
        out.mkdir()
        (out / "model.json").touch()
        return load_alone(study)

    monkeypatch.setattr("cxrsearch.systems.per_disease.command.load_alone", slowly)
    with pytest.raises(InputError, match="not empty"):
        next(per_disease(quick_study, out))


def test_what_is_missing_is_said(quick_study: Path, run: Run, tmp_path: Path) -> None:
    code, _, err = run("ensemble", quick_study, "--per-disease")
    assert (code, "--out" in err) == (2, True)
    study = tmp_path / "study"
    shutil.copytree(quick_study, study)
    for path in study.rglob("best.safetensors"):
        path.unlink()
    words = ("--per-disease", "--backbone", "shared", "--out", tmp_path / "m")
    code, _, err = run("ensemble", study, *words)
    assert (code, "--keep-checkpoints" in err) == (2, True)
