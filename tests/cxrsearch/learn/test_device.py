from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
from torch import nn

from cxrsearch.errors import InputError
from cxrsearch.learn import device as devices
from cxrsearch.learn.models import build_model
from cxrsearch.learn.recipe import Recipe

CPU = torch.device("cpu")
CUDA = torch.device("cuda", 0)


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 0)
    assert devices.pick_device("auto") == CPU
    assert devices.pick_device("cpu") == CPU
    pretend_gpus(monkeypatch, 2)
    assert devices.pick_device() == torch.device("cuda")
    assert devices.pick_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize(("name", "count"), [("cuda", 0), ("cuda:2", 2), ("cuda:0", 0)])
def test_a_gpu_that_is_not_there_is_bad_input(
    monkeypatch: pytest.MonkeyPatch, name: str, count: int
) -> None:
    pretend_gpus(monkeypatch, count)
    with pytest.raises(InputError, match=f"no device '{name}' here"):
        devices.pick_device(name)


@pytest.mark.parametrize("name", ["gpu", "", "mps", "meta", "cuda:x", "cuda:-1"])
def test_unknown_devices_are_bad_input(name: str) -> None:
    with pytest.raises(InputError, match="use auto, cpu, cuda or cuda:N"):
        devices.pick_device(name)


def test_bfloat16_is_decided_by_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    for able, expected in (
        ({}, None), ({"avx512_f": True}, None), ({"avx512_bf16": False}, None),
        ({"avx512_bf16": True}, torch.bfloat16), ({"amx_bf16": True}, torch.bfloat16),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda a=able: a)
        assert devices.amp_dtype(CPU) == expected
        assert devices.amp_dtype(CPU, "float32") is None
        assert devices.amp_dtype(CPU, "bf16") == torch.bfloat16
    for capability, expected in (
        ((7, 5), None), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert devices.amp_dtype(CUDA) == expected


def test_a_containers_limit_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_CGROUP", tmp_path)
    whole = devices.free_memory(CPU)
    assert whole > 0
    (tmp_path / "memory.max").write_text("5000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    (tmp_path / "memory.stat").write_text("anon 700000\ninactive_file 300000\n")
    assert devices.free_memory(CPU) == 4_300_000
    (tmp_path / "memory.max").write_text("max\n")
    assert devices.free_memory(CPU) > 4_300_000


def test_free_gpu_memory_counts_what_torch_holds_in_reserve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 50)
    assert devices.free_memory(CUDA) == 120


class Tiny(nn.Module):
    """Keeps the input of each layer for the backward pass, and a ReLU's output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x)).square().flatten(1)


def test_activations_are_counted_once_and_without_weights() -> None:
    # The grey image, and the four channels that both the ReLU and the square keep.
    assert devices.activation_bytes(Tiny(), 32) == 32 * 32 * 4 * (1 + 4)


def test_counting_changes_nothing_and_grows_with_the_image() -> None:
    model = build_model(Recipe())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    small, large = (devices.activation_bytes(model, size) for size in (64, "128x64"))
    assert large == pytest.approx(2 * small, rel=0.05)
    assert 5e6 < small < 20e6
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_what_was_counted_is_told_apart_by_shapes_and_by_what_is_trained() -> None:
    wide, frozen = Tiny(), Tiny()
    wide.conv = nn.Conv2d(1, 8, 3, padding=1)
    frozen.requires_grad_(False)
    counts = [devices.activation_bytes(model, 32) for model in (Tiny(), wide, frozen, Tiny())]
    assert counts[0] == counts[3]
    assert len(set(counts)) == 3


def test_micro_batch_follows_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tiny()
    image = devices.activation_bytes(model, 32) * devices._HEADROOM

    def with_room(images: float, batch: int) -> int:
        monkeypatch.setattr(devices, "free_memory", lambda _: int(images * image * 1.02 / 0.8))
        return devices.micro_batch(model, 32, batch, CPU)

    assert with_room(1000, 32) == 32
    assert with_room(20, 32) == 16  # two equal parts rather than 20 and 12
    assert with_room(12, 32) == 11
    assert with_room(0, 32) == 1
    assert with_room(1000, 1) == 1


def test_kinds_of_out_of_memory_are_known() -> None:
    assert devices.is_out_of_memory(MemoryError())
    assert devices.is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert devices.is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert devices.is_out_of_memory(
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    )
    assert devices.is_out_of_memory(
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    )
    assert not devices.is_out_of_memory(RuntimeError("shapes do not match"))
    assert not devices.is_out_of_memory(ValueError("out of memory"))


def test_real_cpu_allocation_failure_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert devices.is_out_of_memory(caught.value)


def test_released_memory_is_collected() -> None:
    class Ring:
        def __init__(self) -> None:
            self.me = self

    before = len(gc.get_objects())
    for _ in range(100):
        Ring()
    devices.release_memory(CPU)
    assert len(gc.get_objects()) < before + 100
