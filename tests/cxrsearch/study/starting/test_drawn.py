"""``init: drawn``: weights of drawn X-rays are made once, before the training that wants them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from cxrsearch.ablation.design import Design, prepare_ablation
from cxrsearch.ablation.study import start
from cxrsearch.data.pixels.cache import default_cache_root
from cxrsearch.errors import InputError
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.networks.weights.asked import DRAWN
from cxrsearch.learn.networks.weights.places import find_weights
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.model.folder import load_model
from cxrsearch.study import drawn_weights
from cxrsearch.study.experiment import Settings, resume, search
from cxrsearch.study.prepare import prepare
from cxrsearch.study.settings import TrainingRequest
from cxrsearch.study.space import without_missing_weights
from cxrsearch.study.starting import drawn
from cxrsearch.study.starting.drawn import DrawnPlan, announced, missing
from cxrsearch.study.starting.origins import also_seen, origin_notes
from search.space import SearchSpace
from search.store.record import read_study

Run = Callable[..., tuple[int, str, str]]
SMALL = DrawnPlan(images=60, epochs=2, input_size=32)
WANTED = Recipe(init=DRAWN)


@pytest.fixture(autouse=True)
def _quick(tiny_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called densenet121 is a small network here, and little is drawn."""
    monkeypatch.setattr(drawn, "PLAN", SMALL)
    monkeypatch.setattr(drawn_weights, "PLAN", SMALL)


@pytest.fixture
def asked(tmp_path: Path, xrays: Path) -> Settings:
    """A search of one trial that begins with drawn X-rays."""
    space = tmp_path / "s.yaml"
    plain = {
        "genes": {"lr": {"low": 1e-3, "high": 1e-1}, "init": {"choices": ["none", DRAWN]}},
        "fixed": {"epochs": 1, "input_size": 32, "batch_size": 16, "model": "densenet121"},
        "points": [{"name": "p", "params": {"lr": 0.01, "init": DRAWN}}],
    }
    space.write_text(yaml.safe_dump(plain))
    return Settings(
        data=str(xrays), space=str(space), trials=1, population=2, runner="serial", seed=1,
        weights_dir=str(tmp_path / "weights"),
    )  # fmt: skip


def test_a_search_makes_them_first_and_the_next_one_has_them(
    asked: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = search(asked, tmp_path / "first")
    said = capsys.readouterr().err
    assert "starting weights of densenet121: made once, from 60 drawn X-rays" in said
    assert "epoch 2/2" in said
    file = find_weights(DRAWN, "densenet121", tmp_path / "weights")
    noted = yaml.safe_load((study / "study.yaml").read_text())["weights"]
    assert noted == {str(file): hashlib.sha256(file.read_bytes()).hexdigest()}
    (trial,) = read_study(study).trials
    assert trial.user_attrs["params"]["init"] == DRAWN
    assert any("100% of the backbone's bytes" in note for note in trial.user_attrs["notes"])
    before = file.stat().st_mtime_ns
    search(asked, tmp_path / "second")
    assert file.stat().st_mtime_ns == before
    assert "made once" not in capsys.readouterr().err


def test_what_is_only_prepared_makes_nothing_and_says_what_would_be(
    asked: Settings, tmp_path: Path
) -> None:
    prepared = prepare(asked)
    (note,) = [note for note in prepared.notes if note.startswith("init drawn")]
    assert "weights of densenet121 are made first, from 60 drawn X-rays" in note
    assert len(prepared.space.points) == 1, "the known-good point was left out"
    assert not (tmp_path / "weights").exists()


def test_cut_off_it_goes_on_after_the_last_epoch(tmp_path: Path) -> None:
    out, said = tmp_path / "net", list[str]()

    def cut(line: str) -> None:
        said.append(line)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawn_weights.make("densenet121", out, TrainingRequest(device="cpu"), SMALL, cut)
    assert not out.exists()
    again = list[str]()
    drawn_weights.make("densenet121", out, TrainingRequest(device="cpu"), SMALL, again.append)
    assert [line.split(":")[0] for line in again] == ["epoch 1/2", "epoch 2/2"]
    assert again[0].split("|")[0] == said[0].split("|")[0], "the first epoch was made again"
    assert load_model(out).recipe.epochs == 2
    assert [path.name for path in tmp_path.iterdir()] == ["net"], "the drawn pictures stayed"


def test_they_lie_in_the_given_folder_or_with_the_decoded_images(tmp_path: Path) -> None:
    given = find_weights(DRAWN, "timm:resnet10t", tmp_path)
    assert given.relative_to(tmp_path).parts[1:] == ("timm-resnet10t", "model.safetensors")
    assert find_weights(DRAWN, "resnet18").is_relative_to(default_cache_root())


def test_what_needs_them_and_cannot_make_them_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cxrsearch pretrain drawn --model densenet121"):
        build_model(WANTED, tmp_path, n_classes=2)


def test_only_networks_that_begin_with_them_and_lack_them_are_missing(tmp_path: Path) -> None:
    others = [Recipe(model="vgg16"), Recipe(model="resnet18", init="imagenet")]
    assert missing([WANTED, *others], str(tmp_path)) == ["densenet121"]
    file = find_weights(DRAWN, "densenet121", tmp_path)
    file.parent.mkdir(parents=True)
    file.touch()
    assert missing([WANTED, *others], str(tmp_path)) == []
    assert announced([WANTED, *others], str(tmp_path)) == []


def test_a_damaged_file_is_named_and_left_out_before_the_search(tmp_path: Path) -> None:
    file = find_weights(DRAWN, "densenet121", tmp_path)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no weights")
    genes = {"lr": {"low": 1e-3, "high": 1e-1}, "init": {"choices": ["none", DRAWN]}}
    space = SearchSpace.from_dict({"name": "s", "genes": genes}, "s", known=gene_limits())
    left, notes = without_missing_weights(space, Settings(weights_dir=str(tmp_path)))
    assert "init" not in left.genes
    assert any(str(file) in note for note in notes)


def test_another_process_at_it_is_waited_for(tmp_path: Path) -> None:
    said = list[str]()
    settings = TrainingRequest(weights_dir=str(tmp_path), device="cpu")
    file = find_weights(DRAWN, "densenet121", tmp_path)
    file.parents[1].mkdir(parents=True)
    lock = FileLock(file.parents[1] / ".densenet121.lock")
    lock.acquire()

    def other(line: str) -> None:
        """Another search, which ends as soon as it is waited for."""
        said.append(line)
        file.parent.mkdir()
        file.touch()
        lock.release()

    drawn_weights.make_missing([WANTED], settings, other)
    assert len(said) == 1, "they were made a second time"
    assert "another process makes it; waiting" in said[0]


def test_a_place_that_cannot_be_written_is_said_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda place, mode: False)
    problem = drawn.starting_problem(WANTED, str(tmp_path / "w"))
    assert problem is not None
    assert f"nothing can be written to {tmp_path}; name another --weights-dir" in problem


def test_a_place_that_turns_out_bad_is_named_with_the_ways_out(tmp_path: Path) -> None:
    out = find_weights(DRAWN, "densenet121", tmp_path).parent
    out.mkdir(parents=True)
    (out / "something").touch()
    with pytest.raises(InputError, match="name another --weights-dir, or use init: none") as error:
        drawn_weights.make_missing([WANTED], TrainingRequest(weights_dir=str(tmp_path)))
    assert str(out) in str(error.value)


@pytest.mark.parametrize(
    ("genes", "problem"),
    [
        ({"init": "partial:drawn"}, "partial is said of a file"),
        ({"init": "frozen-features:partial:drawn"}, "partial is said of a file"),
        ({"init": "frozen-features:drawn", "model": "vgg16"}, "lacks layers of the head"),
        ({"init": "frozen-features:drawn", "model": "vgg16", "vgg_head": "pooled"}, None),
        ({"init": "drawn", "model": "vgg16"}, None),
    ],
)
def test_what_would_not_fit_is_refused_before_it_is_made(
    genes: dict[str, str], problem: str | None, tmp_path: Path
) -> None:
    found = drawn.starting_problem(Recipe(**genes), str(tmp_path))
    assert found is None if problem is None else found is not None and problem in found


def test_a_network_of_one_size_is_refused_where_it_is_made_at_another(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    recipe = Recipe(model="timm:mixer_s32_224", input_size=224, init=DRAWN)
    found = drawn.starting_problem(recipe, str(tmp_path))
    assert found is not None
    assert found.startswith("init: drawn: ")


def test_an_ablation_makes_what_its_arms_begin_with(asked: Settings, tmp_path: Path) -> None:
    design = Design(arms=("scratch",), seeds=2)
    settings = replace(
        asked, data="phantom", phantom_images=200, trials=None, runner="serial", cpus_per_trial=1
    )
    ready = prepare_ablation(settings, design, tmp_path / "ablation")
    assert find_weights(DRAWN, "densenet121", tmp_path / "weights").exists() is False
    start(ready, tmp_path / "ablation")
    trials = read_study(tmp_path / "ablation").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * len(trials)
    assert find_weights(DRAWN, "densenet121", tmp_path / "weights").is_file()


def test_a_study_without_its_weights_says_how_such_are_made(
    asked: Settings, tmp_path: Path
) -> None:
    study = search(asked, tmp_path / "study")
    shutil.rmtree(tmp_path / "weights")
    with pytest.raises(InputError, match="cxrsearch pretrain drawn --model densenet121") as error:
        resume(study)
    assert f"--weights-dir {tmp_path / 'weights'}" in str(error.value)


def test_other_pre_training_may_begin_with_them(run: Run, xrays: Path, tmp_path: Path) -> None:
    code, _, err = run(
        "pretrain", "autoencoder", "--data", xrays, "--init", "drawn", "--weights-dir",
        tmp_path / "w", "--input-size", 32, "--epochs", 1, "--batch-size", 16, "--device", "cpu",
        "--out", tmp_path / "ae",
    )  # fmt: skip
    assert code == 0, err
    assert find_weights(DRAWN, "densenet121", tmp_path / "w").is_file()


def test_nobody_is_in_them() -> None:
    assert also_seen(WANTED) == {}
    assert origin_notes([DRAWN], "split") == []


def test_the_command_makes_what_drawn_means_or_another_training_elsewhere(
    run: Run, tmp_path: Path
) -> None:
    weights = tmp_path / "w"
    given = ("--model", "densenet121", "--device", "cpu", "--weights-dir", weights)
    code, out, _ = run("pretrain", "drawn", *given)
    assert code == 0, out
    assert "init: {choices: [none, drawn], when: {model: densenet121}}" in out
    assert find_weights(DRAWN, "densenet121", weights).is_file()
    code, out, _ = run("pretrain", "drawn", *given)
    assert (code, "there already" in out) == (0, True)
    mine = tmp_path / "mine"
    code, out, _ = run("pretrain", "drawn", *given, "--epochs", 1, "--images", 50, "--out", mine)
    assert code == 0, out
    assert f"[none, {mine / 'model.safetensors'}]" in out
    model = build_model(Recipe(init=str(mine / "model.safetensors")), n_classes=14)
    assert any("100% of the backbone's bytes" in note for note in model.notes)


def test_the_command_names_all_that_cannot_be(run: Run, tmp_path: Path) -> None:
    wrong = ("--images", 3, "--epochs", 0, "--input-size", 8, "--model", "densenet12")
    code, _, err = run("pretrain", "drawn", *wrong, "--out", tmp_path / "o")
    assert code == 2
    assert all(f"{name}: " in err for name in ("--images", "--epochs", "--input-size", "--model"))
    assert "did you mean 'densenet121'" in err
    code, _, err = run("pretrain", "drawn", "--images", 100)
    assert code == 2
    assert "--images 100: only with --out" in err


def test_a_recipe_without_a_search_makes_them_too(run: Run, xrays: Path, tmp_path: Path) -> None:
    more = ("--set", "init=drawn", "--set", "input_size=32", "--set", "epochs=1")
    code, out, err = run(
        "train", "--recipe", "quick:plain-densenet121", *more, "--data", xrays,
        "--weights-dir", tmp_path / "w", "--out", tmp_path / "m",
    )  # fmt: skip
    assert code == 0, err
    assert "are made first, from 60 drawn X-rays" in out
    assert "made once, from 60 drawn X-rays" in err
    assert load_model(tmp_path / "m").recipe.init == DRAWN
