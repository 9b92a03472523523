from __future__ import annotations

import argparse
import json
import pickle
import re
import struct
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.networks.models import Network, build_model, weights_problem
from cxrsearch.learn.networks.stem import IMAGENET_MEAN, IMAGENET_STD
from cxrsearch.learn.networks.torchvision_import import models as vision_models
from cxrsearch.learn.networks.weights.fitting import starting_weights
from cxrsearch.learn.networks.weights.places import download_weights, find_weights
from cxrsearch.learn.networks.weights.reading import read_weights
from cxrsearch.learn.networks.weights.renaming import Target
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.checkpoint import save_tensors


def taken(path: Path, **own: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a network with the tensors ``own``, in a part of its own, takes of a file."""
    named = {f"body.{name}": value for name, value in own.items()}
    target = Target(named, "stem", "classifier", ("body",), IMAGENET_MEAN, IMAGENET_STD)
    found = starting_weights(target, read_weights(path)).tensors
    return {name.removeprefix("body."): value for name, value in found.items()}


def test_hub_folder_is_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    expected = tmp_path / "hub" / "checkpoints" / "densenet121-a639ec97.pth"
    assert find_weights("imagenet", "densenet121") == expected


def test_failed_download_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, path: str, prefix: str) -> None:
        raise OSError(f"no route for {prefix}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(InputError, match="no route for 397923af"):
        download_weights("vgg16", tmp_path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 broken"])
def test_damaged_files_are_bad_input(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        read_weights(path)


def test_truncated_file_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="cannot be read as weights"):
        read_weights(path)


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, (f"__import__('pathlib').Path({str(self.path)!r}).touch()",))


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"weight": Trap(mark)}, tmp_path / "evil.pth")
    with pytest.raises(InputError):
        read_weights(tmp_path / "evil.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "more than tensors"),
        ({}, "no state dict"),
        (torch.zeros(3), "no state dict"),
    ],
)
def test_other_content_is_bad_input(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "other.pth")


KINDS = {
    "sparse": lambda a: a.to_sparse(),
    "quantised": lambda a: torch.quantize_per_tensor(a, 0.1, 0, torch.qint8),
    "float8_e4m3fn": lambda a: a.to(torch.float8_e4m3fn),
    "without numbers": lambda a: a.to("meta"),
    "nested": lambda a: torch.nested.nested_tensor([a[0], a[1, :2]]),
    "complex64": lambda a: a.to(torch.complex64),
    "int64": lambda a: a.long(),
    "bool": lambda a: a > 0,
    "expanded": lambda a: a[:1, :1].expand(100_000, 100_000),
    "not finite in float32": lambda a: a.double() * 1e300,
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_weight_is_refused_by_name_and_reason(tmp_path: Path, kind: str) -> None:
    good = torch.arange(1.0, 7.0).reshape(2, 3)
    bad = KINDS[kind](good)
    torch.save({"body.good": good, "body.bad": bad}, tmp_path / "w.pth")
    shape = good if bad.is_nested else torch.empty(bad.shape, device="meta")
    with pytest.raises(InputError, match=rf"w\.pth: 1 tensor \(body\.bad\) .*{kind}"):
        taken(tmp_path / "w.pth", good=good, bad=shape)
    torch.save({"body.good": good, "aside.bad": bad}, tmp_path / "w.pth")
    assert taken(tmp_path / "w.pth", good=good).keys() == {"good"}  # nobody wants the other


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_types_and_layouts_become_plain_float32(
    tmp_path: Path, dtype: torch.dtype, zipped: bool
) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    state = {
        "a": whole.to(dtype), "b": whole[:, ::2].t(), "c": whole, "d": whole[1:],
        "p": torch.nn.Parameter(whole.to(dtype)), "n_num_batches_tracked": torch.tensor(3),
    }  # fmt: skip
    named = {f"body.{name}": value for name, value in state.items()}
    torch.save(named, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    found = taken(tmp_path / "w.pth", **state)
    assert found.keys() == state.keys()
    for name, value in found.items():
        assert torch.equal(value, state[name].to(value.dtype))
        assert value.dtype == (torch.int64 if name.startswith("n_") else torch.float32)


ONE, ZERO = {"body.a": torch.ones(2)}, {"body.a": torch.zeros(2)}


@pytest.mark.parametrize(
    "content",
    [
        {"epoch": 3, "lr": 0.1, **ONE},
        {"state_dict": ONE, "best": torch.tensor(0.3), "epoch": torch.tensor(3)},
        {"run": {"model": {"state_dict": {"module.body.a": torch.ones(2)}}}, "epoch": 3},
        {"model": ONE, "optimizer": {"state": {0: {"body.a": torch.zeros(2)}}}},
        {"ema": ZERO, "model": ONE},
        {"model": ONE, "model_ema": ZERO},
        {"student": ZERO, "teacher": ONE, "args": argparse.Namespace(lr=0.1)},
        {"generator": ONE, "copy": ONE},
    ],
)
def test_the_state_dict_is_found_among_what_a_script_keeps(
    tmp_path: Path, content: dict[str, object]
) -> None:
    torch.save(content, tmp_path / "w.pt")
    found = taken(tmp_path / "w.pt", a=torch.zeros(2))
    assert torch.equal(found["a"], torch.ones(2))


def test_several_state_dicts_are_no_choice_of_ours(tmp_path: Path) -> None:
    torch.save({"generator": ONE, "judge": ZERO}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"'generator', 'judge' could each be the weights"):
        taken(tmp_path / "w.pt", a=torch.zeros(2))


def test_one_tensor_by_two_names_is_refused(tmp_path: Path) -> None:
    torch.save({**ONE, "module.body.a": torch.zeros(2)}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"names 1 tensor \(body\.a\) twice"):
        taken(tmp_path / "w.pt", a=torch.zeros(2))


def test_the_usual_chexnet_file_is_taken_over_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    given = vision_models.densenet121(weights=None).eval()
    state = {}
    for name, value in given.state_dict().items():
        old = re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name)
        if not name.startswith("classifier") and not name.endswith("num_batches_tracked"):
            state[f"module.densenet121.{old}"] = value
    state["module.densenet121.classifier.0.weight"] = torch.zeros(14, 1024)
    state["module.densenet121.classifier.0.bias"] = torch.zeros(14)
    path = tmp_path / "model.pth.tar"
    content = {"epoch": 9, "state_dict": state, "best_loss": 0.2, "optimizer": {"state": {}}}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert weights_problem(Recipe(init=str(path), model="densenet121")) is None
    network = build_model(Recipe(init=str(path)), n_classes=14).eval()
    grey = torch.rand(1, 1, 32, 32)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406),
                                                           (0.229, 0.224, 0.225)))  # fmt: skip
    with torch.inference_mode():
        expected = torch.relu(given.features((grey - mean) / std))
        torch.testing.assert_close(network.features(grey), expected, rtol=1e-3, atol=1e-4)
    assert "605 of 605 tensors, 100% of the backbone's bytes; head new" in network.notes[0]
    assert "left out: densenet121.classifier (2), epoch, best_loss, optimizer" in network.notes[1]


def _claims_safetensors(path: Path) -> None:
    header = json.dumps(
        {"a": {"dtype": "F32", "shape": [100_000, 100_000], "data_offsets": [0, 40_000_000_000]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(1000))


def _claims_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 40_000_000_000) + bytes(1000))


def _claims_storage(path: Path) -> None:
    """An old file of torch whose pickle says that its storage has 10**10 numbers."""
    torch.save({"a": torch.ones(300)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    assert b"M,\x01" in data
    path.write_bytes(data.replace(b"M,\x01", b"\x8a\x05" + (10**10).to_bytes(5, "little")))


def _bomb(path: Path) -> None:
    """A file of torch, packed to a thousandth of what it becomes."""
    torch.save({"a": torch.zeros(50_000_000)}, path)
    with zipfile.ZipFile(path) as file:
        parts = {info.filename: file.read(info) for info in file.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(name, data)
    assert path.stat().st_size < 1_000_000


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("a.safetensors", _claims_safetensors),
        ("b.safetensors", _claims_header),
        ("c.pth", _claims_storage),
        ("d.pth", _bomb),
    ],
)
def test_a_small_file_that_claims_much_is_refused(tmp_path: Path, name: str, make) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read as weights"):
        read_weights(tmp_path / name)


def test_our_own_weights_are_held_against_their_checksum(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    checkpoint.save_tensors(path, {"net.body.a": torch.ones(20)})
    assert torch.equal(taken(path, a=torch.zeros(20))["a"], torch.ones(20))
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read_weights(path)
    save_file({"net.body.a": torch.ones(20)}, path)  # somebody else's have none
    assert set(taken(path, a=torch.zeros(20))) == {"a"}


def test_one_wrong_bit_in_a_file_of_torch_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": torch.full((500,), 1.5)}, path)
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\0\0\xc0\x3f", b"\0\0\xc0\x3e", 1))
    with pytest.raises(InputError, match=r"checksum of .*/data/0"):
        read_weights(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, object] = {"epoch": 3}
    content["model"] = content
    with (tmp_path / "w.pth").open("wb") as file:
        pickle.dump(content, file)
    with pytest.raises(InputError):
        read_weights(tmp_path / "w.pth")
    with pytest.raises(InputError, match="is a folder, not a file of weights"):
        read_weights(tmp_path)


@pytest.fixture(params=[{"model": "densenet121"}, {"model": "vgg16", "vgg_head": "pooled"}])
def shape(request: pytest.FixtureRequest) -> Recipe:
    return Recipe(**request.param)


def saved_head(path: Path, recipe: Recipe, info: Any) -> torch.Tensor:
    """A network's weights in a file of ours; its last layer's rows are told apart."""
    network = build_model(recipe, n_classes=3)
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    key = next(name for name in state if name.endswith("classifier.weight"))
    state[key] = torch.arange(3.0)[:, None].expand_as(state[key]).clone()
    save_tensors(path, state, info)
    return state[key]


def head_of(network: Network) -> torch.Tensor:
    return network.state_dict()["net.classifier.weight"]


def test_a_head_is_taken_over_by_a_network_of_the_same_labels(
    shape: Recipe, tmp_path: Path
) -> None:
    path, ours = tmp_path / "m.safetensors", ("Mass", "COVID-19", "Nodule")
    head = saved_head(path, shape, {"epoch": 2, "labels": list(ours)})
    asked = replace(shape, init=str(path))
    same = build_model(asked, n_classes=3, labels=ours)
    assert torch.equal(head_of(same), head)
    assert "100% of the backbone's bytes; head kept" in same.notes[0]
    turned = build_model(asked, n_classes=3, labels=("Nodule", "Mass", "COVID-19"))
    assert torch.equal(head_of(turned), head[[2, 0, 1]])
    assert "in the order of the data's" in turned.notes[0]
    others = build_model(asked, n_classes=3, labels=("Mass", "COVID-19", "Effusion"))
    assert not torch.equal(head_of(others), head)
    assert "head new (its own is of other labels, 'Mass', 'COVID-19', 'Nodule')" in others.notes[0]
    fewer = build_model(asked, n_classes=1, labels=("Mass",))
    assert "head new (its own is (3, " in fewer.notes[0]


def test_a_head_without_names_is_nihs_in_a_file_of_before_and_named_as_such_else(
    shape: Recipe, tmp_path: Path
) -> None:
    before = build_model(shape, n_classes=14)
    save_tensors(tmp_path / "m.safetensors", before.state_dict())
    asked = replace(shape, init=str(tmp_path / "m.safetensors"))
    again = build_model(asked, n_classes=14, labels=DISEASES)
    assert torch.equal(head_of(again), head_of(before))
    assert again.notes[0].endswith("head kept")
    other = build_model(asked, n_classes=14, labels=tuple(map(str, range(14))))
    assert "its own is of other labels" in other.notes[0]
    torch.save(before.state_dict(), tmp_path / "m.pt")
    foreign = replace(shape, init=str(tmp_path / "m.pt"))
    found = build_model(foreign, n_classes=14, labels=DISEASES)
    assert torch.equal(head_of(found), head_of(before))
    assert "nothing says what labels it is of" in found.notes[-1]
