"""Starting weights of a study: found where its space says, checked before it, kept by digest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from cxrsearch.errors import InputError
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.networks.weights.asked import Start, placed, start_of
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.model.folder import load_model
from cxrsearch.study.cost.recipe_kinds import kind_of, trial_seconds
from cxrsearch.study.experiment import Settings, confirm, extend, resume, search
from cxrsearch.study.label_genes import read_space
from cxrsearch.study.named_recipes import find_recipe
from cxrsearch.study.one_recipe import prepare_recipe, train_recipe
from cxrsearch.study.printing import describe_ready
from cxrsearch.study.settings import TrainingRequest
from cxrsearch.study.space import starting_recipes, without_missing_weights
from cxrsearch.study.winner import train_winner
from cxrsearch.systems.self_training.job import Options, prepare_job
from search.confirm.reruns import reruns
from search.space import SearchSpace
from search.store.record import read_study

GENES = {"lr": {"low": 1e-3, "high": 1e-1}}


def weights_of(path: Path, **genes: object) -> Path:
    """A file of weights of a network as it starts."""
    torch.save(build_model(Recipe(**genes), n_classes=2).net.state_dict(), path)
    return path


def space_of(**parts: object) -> SearchSpace:
    return SearchSpace.from_dict({"name": "s", **parts}, "s", known=gene_limits())


@pytest.mark.parametrize(
    ("init", "start"),
    [
        ("none", Start("none")),
        ("imagenet", Start("imagenet")),
        ("drawn", Start("drawn")),
        ("frozen-features:drawn", Start("drawn", frozen=True)),
        ("w.pth", Start("w.pth")),
        ("partial:a/w.pth", Start("a/w.pth", partial=True)),
        ("frozen-features", Start("imagenet", frozen=True)),
        ("frozen-features:w.pth", Start("w.pth", frozen=True)),
        ("frozen-features:partial:w.pth", Start("w.pth", partial=True, frozen=True)),
    ],
)
def test_init_is_read_and_written_alike(init: str, start: Start, tmp_path: Path) -> None:
    assert start_of(init) == start
    assert start.text == init
    named = placed(init, tmp_path)
    assert named == (
        init if start.file is None else init.replace(start.file, str(tmp_path / start.file))
    )
    assert placed(named, tmp_path / "elsewhere") == named


def test_relative_paths_are_of_the_space_or_of_where_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, here = tmp_path / "spaces", tmp_path / "here"
    folder.mkdir(), here.mkdir()
    (folder / "beside.pth").touch(), (here / "mine.pth").touch()
    monkeypatch.chdir(here)
    genes = {
        "init": {
            "choices": ["none", "beside.pth", "partial:mine.pth"],
            "prior": {"beside.pth": 3, "partial:mine.pth": 2},
        },
        "freeze": {"low": 0, "high": 2, "when": {"init": "beside.pth"}},
        **GENES,
    }
    point = {"lr": 0.01, "init": "beside.pth", "freeze": 1}
    plain = {"name": "s", "genes": genes, "points": [{"name": "p", "params": point}]}
    (folder / "s.yaml").write_text(yaml.safe_dump(plain))
    space = read_space(folder / "s.yaml")
    beside, mine = str(folder / "beside.pth"), f"partial:{here / 'mine.pth'}"
    assert space.to_dict()["genes"]["init"]["choices"] == ["none", beside, mine]
    assert space.to_dict()["genes"]["init"]["prior"] == [1, 3, 2]
    assert space.genes["freeze"].when == {"init": (beside,)}
    assert find_recipe(f"{folder / 's.yaml'}:p").recipe.init == beside
    named = find_recipe("quick:plain-densenet121", ["init=mine.pth"])
    assert named.recipe.init == str(here / "mine.pth")


@pytest.mark.usefixtures("tiny_model")
def test_a_file_that_fits_one_network_of_two_is_refused_with_the_condition_to_write(
    tmp_path: Path,
) -> None:
    file = str(weights_of(tmp_path / "w.pth"))
    models = {"choices": ["densenet121", "vgg16"]}
    init = {"choices": ["none", file]}
    with pytest.raises(InputError) as error:
        without_missing_weights(
            space_of(genes={**GENES, "model": models, "init": init}), Settings()
        )
    assert f"init {file}: fits densenet121 and not vgg16" in str(error.value)
    assert "when: {model: densenet121}" in str(error.value)
    conditional = {**init, "when": {"model": "densenet121"}}
    space = space_of(genes={**GENES, "model": models, "init": conditional})
    assert without_missing_weights(space, Settings()) == (space, [])
    assert [r.model for r in starting_recipes(space)[file]] == ["densenet121"]


def test_all_files_that_cannot_be_had_are_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "b.pth").write_bytes(b"no weights")
    gone, broken = str(tmp_path / "a.pth"), str(tmp_path / "b.pth")
    with pytest.raises(InputError) as error:
        without_missing_weights(
            space_of(genes={**GENES, "init": {"choices": ["none", gone, broken]}}), Settings()
        )
    assert gone in str(error.value)
    assert broken in str(error.value)


@pytest.fixture
def begun(xrays: Path, tiny_model: None, tmp_path: Path) -> Path:
    """A study of two trials, one that fine-tunes a file and one that probes it."""
    file = weights_of(tmp_path / "w.pth")
    genes = {"init": {"choices": [str(file), f"frozen-features:{file}"]}, **GENES}
    points = [
        {"name": name, "params": {"init": init, "lr": 0.01}}
        for name, init in (("tuned", str(file)), ("probe", f"frozen-features:{file}"))
    ]
    fixed = {"epochs": 2, "input_size": 32, "batch_size": 16}
    space = tmp_path / "s.yaml"
    space.write_text(yaml.safe_dump({"genes": genes, "fixed": fixed, "points": points}))
    settings = Settings(
        data=str(xrays), space=str(space), trials=2, population=2, runner="serial", seed=1,
        keep_checkpoints="all",
    )  # fmt: skip
    return search(settings, tmp_path / "study")


def test_a_study_searches_over_weights_and_probes_and_trains_either(
    begun: Path, tmp_path: Path
) -> None:
    record = yaml.safe_load((begun / "study.yaml").read_text())
    assert list(record["weights"]) == [str(tmp_path / "w.pth")]
    trials = read_study(begun).trials
    assert sorted(t.user_attrs["epochs_run"] for t in trials) == [1, 2]
    for trial in trials:
        assert any("100% of the backbone's bytes" in n for n in trial.user_attrs["notes"])
        out = tmp_path / f"model-{trial.number}"
        for _ in train_winner(begun, out, trial.number):
            pass
        assert load_model(out).recipe.init == trial.user_attrs["params"]["init"]


def test_weights_that_changed_or_have_gone_are_noticed(begun: Path, tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    extend(begun, 1)
    shutil.copy(file, tmp_path / "copy.pth")
    weights_of(file)
    for go_on in (lambda: resume(begun), lambda: extend(begun, 1)):
        with pytest.raises(InputError, match="no longer those that it was made with"):
            go_on()
    with pytest.raises(InputError, match="no longer those that it was made with"):
        list(train_winner(begun, tmp_path / "m"))
    file.unlink()
    with pytest.raises(InputError, match="not there; restore them"):
        resume(begun)
    shutil.copy(tmp_path / "copy.pth", file)
    extend(begun, 1)


@pytest.mark.usefixtures("tiny_model")
def test_a_probe_without_a_search_says_what_it_is(xrays: Path, tmp_path: Path) -> None:
    file = weights_of(tmp_path / "w.pth")
    genes = [f"init=frozen-features:{file}", "input_size=32", "weight_decay=0.3", "epochs=9"]
    named = find_recipe("quick:plain-densenet121", genes)
    assert any("epochs=9 changes nothing here" in note for note in named.notes)
    ready = prepare_recipe(named, TrainingRequest(data=str(xrays)), tmp_path / "m")
    assert "its last layer by a regression of penalty 0.3" in describe_ready(ready)
    assert [(epoch.epoch, epoch.epochs) for epoch in train_recipe(ready)] == [(1, 1)]
    assert load_model(tmp_path / "m").recipe.init == f"frozen-features:{file}"


def test_probes_are_confirmed_by_reruns_and_teach_nobody(begun: Path, tmp_path: Path) -> None:
    confirm(begun, top=2, repeats=2)
    done = reruns(read_study(begun).trials)
    assert len(done) == 4
    assert all(one.value is not None and 0 < one.value < 1 for one in done)
    probe = next(t for t in read_study(begun).trials if t.user_attrs.get("epochs_run") == 1)
    with pytest.raises(InputError, match="is a linear probe"):
        prepare_job(begun, tmp_path / "student", Options(trial=probe.number), {})


def test_the_projection_knows_that_a_probe_is_cheap() -> None:
    plain = Recipe(input_size=64, epochs=20)
    probe = replace(plain, init="frozen-features")
    steps = {kind_of(plain): 0.01}
    cost, cheap = (trial_seconds(each, steps, 1000, 200) for each in (plain, probe))
    assert cost == pytest.approx(20 * 0.01 * (1000 + 200 / 3))
    assert cheap == pytest.approx(0.01 * (1000 + 200) / 3)
