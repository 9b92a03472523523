from __future__ import annotations

import gc

import pytest
import torch
from torch import nn

from cxrsearch.errors import InputError
from cxrsearch.learn.compute import device as devices
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe
from search.cores import MemoryGroup

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


@pytest.mark.parametrize("name", ["gpu", "", "xpu", "meta", "cuda:x", "cuda:-1"])
def test_unknown_devices_are_bad_input(name: str) -> None:
    with pytest.raises(InputError, match="use auto, cpu, cuda, cuda:N or mps"):
        devices.pick_device(name)


def test_a_containers_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "memory_groups", list)
    whole, free = devices.total_memory(CPU), devices.free_memory(CPU)
    assert 0 < free <= whole
    groups = [MemoryGroup(5_000_000, 700_000), MemoryGroup(6_000_000, 3_000_000)]
    monkeypatch.setattr(devices, "memory_groups", lambda: groups)
    assert devices.free_memory(CPU) == 3_000_000
    assert devices.total_memory(CPU) == 5_000_000


def test_planned_memory_is_the_same_whatever_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    GiB = 1 << 30
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 0)
    for total, planned in ((80, 76), (24, 21), (8, 7)):
        for free in (total, total // 2, 0):
            info = free * GiB, total * GiB
            monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _, found=info: found)
            assert devices.planned_memory(CUDA) == planned * GiB
    for total, planned in ((64, 62), (4, 3)):
        for free in (total, 0):
            monkeypatch.setattr(devices, "total_memory", lambda _, n=total: n * GiB)
            monkeypatch.setattr(devices, "free_memory", lambda _, n=free: n * GiB)
            assert devices.planned_memory(CPU) == planned * GiB


def test_free_gpu_memory_counts_what_torch_holds_in_reserve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 70)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: 50)
    assert devices.free_memory(CUDA) == 120


def test_apples_gpu_has_the_memory_that_metal_recommends(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no device 'mps' here"):
        devices.pick_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    mps = devices.pick_device("mps")
    assert mps.type == "mps"
    assert devices.pick_device("auto") == CPU, "it was never measured there"
    emptied: list[bool] = []
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 32 << 30)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 2 << 30)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: emptied.append(True))
    assert (devices.total_memory(mps), devices.free_memory(mps)) == (32 << 30, 30 << 30)
    assert devices.planned_memory(mps) == 28 << 30
    devices.release_memory(mps)
    assert emptied == [True]


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
    model = build_model(Recipe(), n_classes=14)
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


def kept_bytes(model: nn.Module, size: int, images: int) -> int:
    """What autograd really keeps for a batch, without the weights."""
    kept: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = model(torch.rand(images, 1, size, size))
    own = {v.untyped_storage().data_ptr() for v in (*model.parameters(), *model.buffers())}
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in kept}
    del output
    return sum(size for place, size in storages.items() if place not in own)


@pytest.mark.parametrize("kind", [None, torch.bfloat16])
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(model="densenet121"),
        Recipe(model="vgg16", vgg_head="full"),
        Recipe(model="vgg16", vgg_head="pooled", freeze=2),
    ],
    ids=["densenet121", "vgg16", "vgg16-frozen"],
)
def test_activations_are_counted_in_the_type_that_is_trained_in(
    recipe: Recipe, kind: torch.dtype | None
) -> None:
    model = build_model(recipe, n_classes=14)
    estimate = devices.footprint(model, 64, kind)
    with torch.autocast("cpu", kind, enabled=kind is not None):
        few, more = (kept_bytes(model, 64, images) for images in (2, 6))
    assert estimate.image / devices._HEADROOM == pytest.approx((more - few) / 4, rel=0.01)
    # Weights, gradients and two moments lie beside; copies of weights in another type are kept.
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    assert estimate.bytes(6) - 4 * weights >= more


def test_half_the_bytes_are_kept_under_autocast() -> None:
    model = build_model(Recipe(), n_classes=14)
    whole, half = (devices.footprint(model, 64, kind).image for kind in (None, torch.bfloat16))
    assert 0.49 < half / whole < 0.52
    with torch.autocast("cpu", torch.bfloat16):  # nor is a count of one taken for the other
        assert devices.activation_bytes(model, 64) == half // devices._HEADROOM


def test_an_average_is_a_further_copy_of_the_weights() -> None:
    plain, averaged = (devices.footprint(Tiny(), 32, average=a).fixed for a in (False, True))
    assert averaged - plain == 4 * sum(p.numel() for p in Tiny().parameters())


def test_micro_batch_follows_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Tiny()
    need = devices.footprint(model, 32)

    def with_room(images: float, batch: int) -> int:
        room = need.bytes(0) + images * need.image * 1.02
        monkeypatch.setattr(devices, "planned_memory", lambda _: int(room / 0.8))
        return devices.micro_batch(model, 32, batch, ComputeOptions("cpu", precision="float32"))

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
