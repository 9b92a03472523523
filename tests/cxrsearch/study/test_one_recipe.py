"""A recipe trained without a search: found by name, trained, kept, judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import Recipe
from cxrsearch.study.named_recipes import Named, find_recipe, known_recipes
from cxrsearch.study.one_recipe import prepare_recipe, train_recipe
from cxrsearch.study.settings import TrainingRequest
from cxrsearch.study.space import read_genes

Run = Callable[..., tuple[int, str, str]]
TINY = ("init=none", "epochs=3", "input_size=32", "batch_size=16", "lr=0.01")


pytestmark = pytest.mark.usefixtures("tiny_model")


def settings(xrays: Path, **given: object) -> TrainingRequest:
    return TrainingRequest(data=str(xrays), device="cpu", **given)  # type: ignore[arg-type]


def test_points_are_found_by_name_and_genes_set_otherwise() -> None:
    plain = find_recipe("report-densenet121").recipe
    assert (plain.optimizer, plain.schedule, plain.batch_size) == ("adam", "constant", 12)
    found = find_recipe("report-densenet121", ["init=none", "input_size=96x128", "lr=1e-4"])
    assert (found.recipe.init, found.recipe.input_size, found.recipe.lr) == ("none", "96x128", 1e-4)
    assert found.recipe.rotation == plain.rotation
    assert "init none" in found.name
    assert "quick:plain-densenet121" in known_recipes()
    assert find_recipe("quick:plain-densenet121").recipe.input_size == 48


def test_points_of_a_file_of_ones_own_are_found(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "genes: {lr: {low: 0.001, high: 0.1}}\nfixed: {epochs: 7}\n"
        "points: [{name: first, params: {lr: 0.01}}]\n"
    )
    found = find_recipe(f"{path}:first").recipe
    assert (found.lr, found.epochs) == (0.01, 7)
    with pytest.raises(InputError, match="did you mean 'first'"):
        find_recipe(f"{path}:frist")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("report-densnet121", "did you mean 'report-densenet121'"),
        ("plain-densenet121", "quick:plain-densenet121"),
        ("quik:plain-densenet121", "did you mean 'quick'"),
        ("gone.yaml:first", "gone.yaml"),
    ],
)
def test_an_unknown_recipe_is_named_with_those_there_are(name: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        find_recipe(name)


def test_every_wrong_gene_is_named_at_once() -> None:
    given = ["lrr=1", "init", "batch_size=0", "model=vgg", "horizontal_flip=maybe", "epochs=[1]"]
    with pytest.raises(InputError) as refused:
        read_genes(given)
    assert len(refused.value.problems) == len(given)
    for part in ("did you mean 'lr'", "GENE=VALUE", "the least is 1", "did you mean 'vgg16'"):
        assert part in str(refused.value)


def test_values_are_read_as_their_gene_has_them() -> None:
    texts = ["lr=1e-4", "epochs=5", "horizontal_flip=false", "input_size=224", "init=w.pth",
             "ratio_Mass=2"]  # fmt: skip
    found = read_genes([*texts, "epochs=6"])
    assert found == {
        "lr": 1e-4, "epochs": 6, "horizontal_flip": False, "input_size": 224, "init": "w.pth",
        "ratio_Mass": 2.0,
    }  # fmt: skip
    assert isinstance(found["ratio_Mass"], float)


def test_a_gene_that_cannot_act_is_said() -> None:
    idle = find_recipe("report-densenet121", ["momentum=0.8", "ratio_Hernia=4", "shear=1"]).notes
    assert ["momentum" in idle[0], "ratio_Hernia" in idle[1], len(idle)] == [True, True, 2]
    assert "train_seed below 1" in idle[1]
    acting = ["train_seed=0.5", "ratio_Hernia=4"]
    assert find_recipe("report-densenet121", acting).notes == ()


def test_the_best_epoch_is_kept_and_the_model_says_so(xrays: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    ready = prepare_recipe(find_recipe("report-densenet121", TINY), settings(xrays), out)
    steps = train_recipe(ready)
    epochs, result = [], None
    while result is None:
        try:
            epochs.append(next(steps))
        except StopIteration as stop:
            result = stop.value
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3]
    best = max(epochs, key=lambda e: (e.value, -e.epoch))
    card = json.loads((out / "model.json").read_text())
    assert card["training"]["epochs"] == best.epoch == epochs[-1].best_epoch
    assert card["training"]["rows"] == "train"
    assert card["validation"]["value"] == pytest.approx(result.value)
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md", "model.json", "model.safetensors", "operating.json", "splits.json",
        "validation.npz",
    ]  # fmt: skip
    assert not (tmp_path / ".model.work").exists()


def test_a_training_that_was_cut_off_goes_on_to_the_same_model(xrays: Path, tmp_path: Path) -> None:
    named = find_recipe("report-densenet121", TINY)
    for out in (tmp_path / "whole", tmp_path / "cut"):
        if out.name == "cut":
            steps = train_recipe(prepare_recipe(named, settings(xrays), out))
            next(steps)
            steps.close()
            assert not out.exists()
            assert (tmp_path / ".cut.work" / "checkpoint.safetensors").exists()
        for _ in train_recipe(prepare_recipe(named, settings(xrays), out)):
            pass
    whole, cut = ((tmp_path / n / "model.safetensors").read_bytes() for n in ("whole", "cut"))
    assert whole == cut


def test_everything_wrong_is_said_before_training(xrays: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    named = Named("own", Recipe(model="vgg16", init="imagenet"))
    wrong = TrainingRequest(data=str(tmp_path / "gone"), val_share=2.0, weights_dir=str(tmp_path))
    with pytest.raises(InputError) as refused:
        prepare_recipe(named, wrong, tmp_path / "file")
    text = str(refused.value)
    parts = ("gone", "--val-share 2.0", "that is a file", "vgg16-397923af.pth", "--set init=none")
    assert [part for part in parts if part not in text] == []


def test_the_command_trains_a_model_that_evaluates_and_predicts(
    xrays: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    genes = [word for gene in TINY for word in ("--set", gene)]
    words = ("train", "--recipe", "report-densenet121", "--data", xrays, "--out", model)
    code, out, err = run(*words, *genes, "--cpus-per-trial", 1)
    assert code == 0, err
    assert "epoch 3/3" in out
    assert "so it flatters" in out
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("evaluate", model)
    assert (code, "look number 1" in out, str(xrays) in out) == (0, True, True)
    assert "test: " in out
    assert "it has no study" in out
    table = tmp_path / "out.csv"
    assert run("predict", model, xrays / "images", "--out", table)[0] == 0
    assert len(table.read_text().splitlines()) == 81

    card = json.loads((model / "model.json").read_text())
    del card["digest"]
    for reading in ([1], {"data": 3}, {"wings": 2}):
        card["data"]["reading"] = reading
        (model / "model.json").write_text(json.dumps(card))
        code, _, err = run("evaluate", model)
        assert (code, "data.reading" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", "m"], "name a STUDY, or a recipe"),
        (["somewhere", "--recipe", "report-vgg16", "--out", "m"], "exclude each other"),
        (["--recipe", "report-vgg16", "--trial", "3", "--out", "m"], "--trial: only with a STUDY"),
        (["somewhere", "--set", "lr=1", "--seed", "0", "--out", "m"], "--set, --seed: only with"),
        (["--recipe", "report-vg16", "--out", "m"], "did you mean 'report-vgg16'"),
    ],
)
def test_the_two_ways_to_train_are_kept_apart(
    words: list[str], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run("train", *words)
    assert (code, message in err) == (2, True), err
    assert list(tmp_path.iterdir()) == []
