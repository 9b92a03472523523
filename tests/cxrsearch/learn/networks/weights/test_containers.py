"""Files by what is in them: read whatever they are called, or refused with what they are."""

from __future__ import annotations

import gzip
import json
import pathlib
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cxrsearch.errors import InputError
from cxrsearch.learn.networks.models import weights_problem
from cxrsearch.learn.networks.weights.reading import read_weights
from cxrsearch.learn.recipe import Recipe

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "norm.bias": torch.ones(4)}


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pth", "a.safetensors"])
def test_safetensors_are_known_by_their_content(tmp_path: Path, name: str) -> None:
    save_file(STATE, tmp_path / name)
    found = read_weights(tmp_path / name).dicts[""]
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_of_torch_is_read_under_the_name_of_safetensors(
    tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "w.safetensors"
    torch.save(STATE, path, _use_new_zipfile_serialization=zipped)
    found = read_weights(path).dicts[""]
    assert all(torch.equal(found[key], STATE[key]) for key in STATE)


def packed(path: Path) -> None:
    with gzip.open(path, "wb") as file:
        file.write(b"weights")


def tarred(path: Path) -> None:
    torch.save(STATE, path.with_suffix(".inner"))
    with tarfile.open(path, "w") as file:
        file.add(path.with_suffix(".inner"), "inner.pth")


def keras(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")
        file.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")


def scripted(path: Path) -> None:
    torch.jit.trace(torch.nn.Linear(2, 2), torch.rand(1, 2)).save(str(path))


def indexed(path: Path) -> None:
    parts = {"a.weight": "model-1-of-2.safetensors", "b.weight": "model-2-of-2.safetensors"}
    path.write_text(json.dumps({"metadata": {}, "weight_map": parts}))


def cut(path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:3000])


def arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


FILES: dict[str, Callable[[Path], object]] = {
    "it is empty; copy or download it again": lambda path: path.write_bytes(b""),
    "it is packed with gzip; unpack it": packed,
    "it is an archive of tar, of other files; unpack it": tarred,
    "it is HDF5, as Keras and TensorFlow write": lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n"),
    "it is a model of Keras; what is read: safetensors": keras,
    "it holds arrays of NumPy; what is read": arrays,
    "it is TorchScript, which is a program; where you trust it, torch.save(torch.jit": scripted,
    "the index of weights in 2 files ('model-1-of-2.safetensors', 'model-2-of-": indexed,
    "it is a text of JSON; what is read": lambda path: path.write_text('{"a": [1'),
    "it is a pointer of Git LFS": lambda path: path.write_text("version https://git-lfs.github\n"),
    "it is a web page, as a failed": lambda path: path.write_text("\n<!DOCTYPE html><html>"),
    "it was cut off or is damaged; copy or download it again": cut,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("said", FILES)
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_what_is_not_read_is_refused_with_what_it_is(tmp_path: Path, said: str, name: str) -> None:
    FILES[said](tmp_path / name)
    with pytest.raises(InputError) as error:
        read_weights(tmp_path / name)
    assert f"{tmp_path / name}: cannot be read as weights (" in str(error.value)
    assert said in str(error.value)


def test_a_folder_is_refused_with_the_files_in_it(tmp_path: Path, tiny_model: None) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("pytorch_model.bin", "model.safetensors", "notes.txt"):
        (folder / name).write_bytes(b"x")
    wanted = (
        f"{folder}: is a folder, not a file of weights; name a file in it ('model.safetensors', "
        "'pytorch_model.bin')"
    )
    with pytest.raises(InputError) as error:
        read_weights(folder)
    assert str(error.value) == wanted
    assert weights_problem(Recipe(init=str(folder))) == wanted


def test_what_scripts_keep_beside_weights_is_no_hindrance(tmp_path: Path) -> None:
    beside = {
        "best_auc": np.float64(0.81), "epoch": np.int64(3), "aucs": np.arange(14.0),
        "folder": pathlib.PosixPath("/somewhere"), "when": np.float32(2),
    }  # fmt: skip
    torch.save({"state_dict": STATE, **beside}, tmp_path / "w.pth")
    found = read_weights(tmp_path / "w.pth")
    assert all(torch.equal(found.dicts["state_dict"][key], STATE[key]) for key in STATE)
    assert found.beside == tuple(beside)


@pytest.mark.parametrize("place", ["optimal_weights", "optimised", "best_optimum", "scheduled"])
def test_places_that_only_sound_like_an_optimisers_hold_weights(tmp_path: Path, place: str) -> None:
    torch.save({place: STATE, "optimizer": {"a": torch.ones(2)}}, tmp_path / "w.pth")
    assert list(read_weights(tmp_path / "w.pth").dicts) == [place]


@pytest.mark.parametrize("place", ["optimizer", "optim_g", "lr_scheduler", "scaler", "optimisers"])
def test_what_an_optimiser_keeps_is_no_weights(tmp_path: Path, place: str) -> None:
    torch.save({place: STATE}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds more than tensors by name, or none"):
        read_weights(tmp_path / "w.pth")
