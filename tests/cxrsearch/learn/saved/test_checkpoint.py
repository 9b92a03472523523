from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.checkpoint import CheckpointError

plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
trees = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.dictionaries(st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(tree=trees)
def test_any_tree_of_plain_values_comes_back_as_it_was(tmp_path: Path, tree: object) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, tree)
    assert checkpoint.load(path) == tree


def test_tensors_come_back_bit_for_bit_whatever_their_kind(tmp_path: Path) -> None:
    layout = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    state = {
        "model": {"a.weight": layout, "empty": torch.zeros(0, 3), "one": torch.tensor(7)},
        "optimizer": {0: {"step": torch.tensor(3.0)}, 1: {"half": torch.ones(2).bfloat16()}},
        "betas": (0.9, 0.999),
    }
    checkpoint.save(tmp_path / "a.safetensors", state)
    back = checkpoint.load(tmp_path / "a.safetensors")
    assert torch.equal(back["model"]["a.weight"], layout)
    assert back["model"]["empty"].shape == (0, 3)
    assert back["model"]["one"].shape == ()
    assert torch.equal(back["optimizer"][1]["half"], torch.ones(2).bfloat16())
    assert back["betas"] == (0.9, 0.999)


def test_an_object_is_refused_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"deep/0: .*Path"):
        checkpoint.save(tmp_path / "a.safetensors", {"deep": [tmp_path]})
    assert list(tmp_path.iterdir()) == []


def test_any_program_that_reads_safetensors_can_read_the_weights(tmp_path: Path) -> None:
    checkpoint.save_tensors(tmp_path / "w.safetensors", {"net.a": torch.arange(3)}, {"epoch": 2})
    assert torch.equal(load_file(tmp_path / "w.safetensors")["net.a"], torch.arange(3))


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_truncated_file_is_an_error_with_its_name(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"w": torch.randn(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"a\.safetensors"):
        checkpoint.load(path)


def test_one_wrong_bit_among_the_weights_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"w": torch.randn(100)})
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match="checksum"):
        checkpoint.load(path)


def test_foreign_files_are_errors_and_not_crashes(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(FileNotFoundError):
        checkpoint.load(path)
    for content in (b"", b"not at all", b"\xff" * 64, b"\x80\x02}q\x00."):
        path.write_bytes(content)
        with pytest.raises(CheckpointError):
            checkpoint.load(path)
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match="format"):
        checkpoint.load(path)
    for header in ("[1, 2", json.dumps({"format": 99}), json.dumps([])):
        save_file({"w": torch.zeros(2)}, path, metadata={"cxrsearch": header})
        with pytest.raises(CheckpointError):
            checkpoint.load(path)


def test_a_tree_that_names_a_missing_tensor_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save_tensors(path, {"w": torch.zeros(2)}, {"x": {"__tensor__": "gone"}})
    with pytest.raises(CheckpointError, match="fit together"):
        checkpoint.load(path)


def test_a_kill_leaves_the_old_file_and_its_litter_goes_at_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"epoch": 1})

    def killed(temporary: Path, target: Path) -> None:
        raise SystemError

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "replace_file", killed)
        with pytest.raises(SystemError):
            checkpoint.save(path, {"epoch": 2})
    assert checkpoint.load(path) == {"epoch": 1}
    (tmp_path / ".a.safetensors.xyz.tmp").write_bytes(b"half")
    (tmp_path / ".b.safetensors.xyz.tmp").write_bytes(b"another writer's")
    checkpoint.save(path, {"epoch": 3})
    assert sorted(p.name for p in tmp_path.iterdir()) == [".b.safetensors.xyz.tmp", "a.safetensors"]


def test_no_bit_of_the_header_can_turn_into_another_state(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    curve = [{"epoch": 1, "value": 0.71, "lr": 1e-3}, {"epoch": 2, "value": 0.74, "lr": 5e-4}]
    state = {"book": {"curve": curve, "best_value": 0.74}, "model": {"w": torch.ones(2)}}
    checkpoint.save(path, state)
    data, same = path.read_bytes(), 0
    header = 8 + int.from_bytes(data[:8], "little")
    for bit in range(header * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = checkpoint.load(path)
        except CheckpointError:
            continue
        assert found["book"] == state["book"]
        assert torch.equal(found["model"]["w"], state["model"]["w"])
        same += 1
    assert same < header / 100


def test_a_file_of_an_earlier_version_has_no_digest_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"w": torch.arange(3.0)}
    header = {"format": 1, "crc32": checkpoint._checksum(tensors), "info": {"epoch": 3}}
    save_file(tensors, path, metadata={"cxrsearch": json.dumps(header)})
    assert checkpoint.load_tensors(path)[1] == {"epoch": 3}
    header["dogest"] = "sha256:" + "0" * 64
    save_file(tensors, path, metadata={"cxrsearch": json.dumps(header)})
    with pytest.raises(CheckpointError, match="digest"):
        checkpoint.load_tensors(path)
