"""Pre-training as a user meets it: which images, which folder, which words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from cxrsearch.data.pixels.cache import default_cache_root
from cxrsearch.data.read import read_dataset
from cxrsearch.data.request import DataRequest
from cxrsearch.data.unlabelled import with_unlabelled
from cxrsearch.study.unlabelled import find_unlabelled
from cxrsearch.systems.pretrain.cli import pretrain as group
from cxrsearch.systems.pretrain.command import read_pool
from cxrsearch.systems.pretrain.run import PretrainPlan
from cxrsearch.writing import alone

Run = Callable[..., tuple[int, str, str]]
TINY = ("--input-size", 32, "--epochs", 1, "--batch-size", 16, "--device", "cpu")


@pytest.fixture(autouse=True)
def _small(tiny_model: None) -> None:
    """What is called densenet121 is a small network here."""


@pytest.mark.parametrize("name", sorted(group.commands))
def test_every_method_has_help_examples_and_options_that_speak(name: str, run: Run) -> None:
    code, out, _ = run("pretrain", name, "--help")
    assert code == 0
    assert "Examples:" in out
    assert all(getattr(option, "help", None) for option in group.commands[name].params)


def test_a_search_starts_from_what_a_pretraining_wrote(
    xrays: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("pretrain", "autoencoder", "--data", xrays, "--out", "ae", *TINY)
    assert code == 0, out
    assert "epoch 1/1: loss" in out
    page = (tmp_path / "ae" / "pretraining.html").read_text()
    assert "data:image/png;base64," in page
    assert "http://" not in page.split("<script>")[0]
    space = {
        "name": "started",
        "genes": {"init": {"choices": ["none", "ae/weights.safetensors"]}},
        "fixed": {"model": "densenet121", "input_size": 32, "epochs": 1, "batch_size": 16},
        "points": [{"name": "pretrained", "params": {"init": "ae/weights.safetensors"}}],
    }
    (tmp_path / "started.yaml").write_text(yaml.safe_dump(space))
    code, out, err = run(
        "optuna", "--data", xrays, "--space", "started.yaml", "--trials", 1, "--runner", "serial",
        "--sampler", "random", "--study", "study", "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    assert "autoencoder, 1 epochs on" in out
    assert "none of a patient of this study's validation or test part" in out
    _, out, _ = run("status", "study", "--json")
    assert json.loads(out)["trials"]["complete"] == 1
    assert run("train", "study", "--out", "model")[0] == 0
    seen = json.loads((tmp_path / "model" / "model.json").read_text())["also_seen"]
    splits = json.loads((tmp_path / "study" / "splits.json").read_text())
    assert set(splits["train"]) < set(seen["images"])
    assert len(seen["images"]) == len(splits["train"]) + 4
    assert seen["unknown"] == []


def test_the_same_command_again_trains_nothing_and_another_is_refused(
    xrays: Path, run: Run, tmp_path: Path
) -> None:
    words = ("pretrain", "contrastive", "--data", xrays, "--out", tmp_path / "v", *TINY)
    assert run(*words)[0] == 0
    written = (tmp_path / "v" / "weights.safetensors").stat().st_mtime_ns
    code, out, _ = run(*words)
    assert code == 0
    assert "epoch 1/1" not in out
    assert (tmp_path / "v" / "weights.safetensors").stat().st_mtime_ns == written
    code, _, err = run(*words, "--seed", 7, "--lr", 0.01)
    assert code == 2
    assert "seed was 0, is 7" in err
    assert "lr was 0.001, is 0.01" in err


def test_a_second_process_is_refused_and_nothing_is_left_of_one_that_was_killed(
    xrays: Path, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "ae"
    words = ("pretrain", "autoencoder", "--data", xrays, "--out", out, *TINY)
    with alone(out):
        code, _, err = run(*words)
    assert (code, f"{out}: another process is at work there" in err) == (2, True)
    assert run(*words)[0] == 0


def test_all_that_is_wrong_is_said_at_once_and_before_data_are_read(
    run: Run, tmp_path: Path
) -> None:
    code, _, err = run(
        "pretrain", "contrastive", "--data", tmp_path / "nowhere", "--out", tmp_path / "p",
        "--model", "resnet", "--input-size", "8", "--batch-size", 4, "--lr", 0, "--test-share", 2,
    )  # fmt: skip
    assert code == 2
    for word in ("--model resnet", "--input-size 8", "--batch-size 4", "--lr 0", "--test-share 2"):
        assert word in err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    code, _, err = run("pretrain", "autoencoder", "--out", tmp_path / "full")
    assert code == 2
    assert "no pre-training of ours" in err
    code, _, err = run("pretrain", "autoencoder", "--out", tmp_path / "p", "--init", "gone.pt")
    assert code == 2
    assert "no weights file gone.pt" in err
    weights = tmp_path / "full" / "thesis.txt"
    weights.write_bytes(b"not weights at all")
    words = ("pretrain", "autoencoder", "--out", tmp_path / "p")
    code, _, err = run(*words, "--init", weights)
    assert (code, f"--init {weights}: cannot be read" in err, "weights_only" in err) == (
        2, True, False,
    )  # fmt: skip
    code, _, err = run(*words, "--lr", "nan", "--weight-decay", "inf", "--input-size", 7)
    assert code == 2
    assert "--lr nan: is not a number" in err
    assert "--weight-decay inf" in err
    assert err.count("--input-size 7") == 1


def test_nobody_of_validation_or_test_is_trained_on(xrays: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(xrays, data)
    dataset = read_dataset(data)
    by_patient = {
        patient: name for name, patient in zip(dataset.names, dataset.patients, strict=True)
    }
    settings = DataRequest(data=str(data))
    plan = PretrainPlan(input_size=32)
    before = read_pool(settings, plan)
    part_of = {
        name: part for part in ("train", "val", "test") for name in getattr(before.splits, part)
    }
    noise = np.random.default_rng(0)
    added = {}
    for patient, name in by_patient.items():
        new = f"{int(patient):08d}_900.png"
        added[new] = part_of[name]
        picture = noise.integers(0, 256, (48, 48), dtype=np.uint8)
        Image.fromarray(picture).save(data / "images" / new)
    pool = read_pool(settings, plan)
    assert pool.splits.fingerprint == before.splits.fingerprint
    used = {Path(str(pool.data.names[row])).name for row in pool.data.train}
    assert {name for name, part in added.items() if part == "train"} <= used
    assert not {name for name, part in added.items() if part != "train"} & used
    assert any("are left out: by their names" in note for note in pool.notes)
    assert set(pool.splits.train) <= used
    assert not (set(pool.splits.val) | set(pool.splits.test)) & used


def test_unlabelled_images_may_lie_elsewhere_and_be_smaller(xrays: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    noise = np.random.default_rng(0)

    def draw(name: str) -> None:
        Image.fromarray(noise.integers(0, 256, (20, 20), dtype=np.uint8)).save(more / name)

    for number in range(3):
        draw(f"scan{number}.png")
    pool = read_pool(DataRequest(data=str(xrays)), PretrainPlan(input_size=32), more)
    assert pool.unlabelled == 3
    assert any("20 pixels a side" in note for note in pool.notes)
    joined = with_unlabelled(read_dataset(xrays), more)  # as a self-training reads them
    found = find_unlabelled(joined, pool.splits, pool.frame, default_cache_root())
    assert list(found.names) == pool.data.names[pool.data.train[-3:]].tolist()
    assert pool.data.shelf is not None
    assert pool.data.shelf.folder.parent == found.cache.path
    draw(read_dataset(xrays).names[0])
    again = read_pool(DataRequest(data=str(xrays)), PretrainPlan(input_size=32), more)
    assert again.unlabelled == 4
    assert any("1 images below" in note and "are other files" in note for note in again.notes)
    assert any("is not known" in note for note in pool.notes)
