"""Where training runs, in which precision, and how many images fit at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import size_of
from cxrsearch.learn.recompute import recomputes

BF16_CAPABILITY = (8, 0)
"""From this CUDA capability on (Ampere) bfloat16 has its own units and is fast."""

BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""Processors that have one of these multiply bfloat16 themselves; others emulate it, slowly."""

_OOM_PHRASES = (
    "out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory",
    "status_alloc_failed",  # cuBLAS and cuDNN, for their work space
)  # fmt: skip
_HEADROOM = 1.5  # gradients of activations and work space, over what autograd keeps
_CGROUP = Path("/sys/fs/cgroup")


def pick_device(name: str = "auto") -> torch.device:
    """The device ``name``: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:N``.

    Raises:
        InputError: where it is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        has = f"there are {count} CUDA devices" if count else "there is no CUDA device"
        raise InputError(f"no device {name!r} here ({has}); use auto or cpu")
    return device


def amp_dtype(device: torch.device, precision: str = "auto") -> torch.dtype | None:
    """The type that matrix products and convolutions autocast to, or None for plain float32.

    Args:
        device: where to compute.
        precision: ``float32``, ``bf16``, or ``auto``: bfloat16 where ``device`` multiplies it
            by itself (CUDA from Ampere on, processors with `BF16_INSTRUCTIONS`).
    """
    wanted = precision == "bf16" or (precision == "auto" and _multiplies_bf16(device))
    return torch.bfloat16 if wanted else None


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= BF16_CAPABILITY
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name, False) for name in BF16_INSTRUCTIONS)


def free_memory(device: torch.device) -> int:
    """Bytes that could still be had on ``device``; a container's own limit counts."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    available = int(psutil.virtual_memory().available)
    return max(0, min(available, _container_room(available)))


def _container_room(otherwise: int) -> int:
    """What a control group (version 2) still allows; ``otherwise`` where it sets no limit."""
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (_CGROUP / "memory.stat").read_text().splitlines())
        # Cached file pages, such as the images' memory map, make room when asked to.
        return limit - used + int(stat["inactive_file"])
    except (OSError, ValueError, KeyError):  # no such group, or "max"
        return otherwise


def micro_batch(
    model: nn.Module,
    input_size: int | str,
    batch: int,
    device: torch.device,
    share: float = 0.8,
) -> int:
    """How many of ``batch`` images to take through the network at a time.

    An estimate from what autograd keeps for one image, counted on shapes alone (nothing is
    computed). Work space differs between machines, so an out-of-memory error is still
    possible: halve and go on then. Parts come out as equal as they can be, as the smallest
    of them decides over batch normalisation.

    Args:
        model: the network, on ``device`` or not; it is not changed.
        input_size: a side or ``"HxW"``.
        batch: images of one optimiser step.
        device: where it will run.
        share: of the free memory that may be used; less where workers share a device.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    on_device = weights if next(model.parameters()).device == device else 0
    # Gradients and an optimiser's two moments beside the weights themselves.
    fixed = 4 * weights - on_device
    room = share * free_memory(device) - fixed
    fit = int(room / (_HEADROOM * max(1, activation_bytes(model, input_size))))
    most = max(1, min(batch, fit))
    parts = -(-batch // most)
    return -(-batch // parts)


_counted: dict[tuple[object, ...], int] = {}


def activation_bytes(model: nn.Module, input_size: int | str) -> int:
    """Bytes autograd keeps for each image in training, in float32, without weights.

    Remembered by the names and shapes of the parameters, as counting takes half a second.
    """
    shapes = ((name, p.shape, p.requires_grad) for name, p in model.named_parameters())
    again = sum(recomputes(module) for module in model.modules())
    key = (type(model), size_of(input_size), again, *shapes)
    if key not in _counted:
        _counted[key] = _count_activations(model, input_size)
    return _counted[key]


def _count_activations(model: nn.Module, input_size: int | str) -> int:
    n = 2  # batch normalisation refuses a single value a channel
    height, width = size_of(input_size)
    # Tensors without content: torch then works out shapes and computes nothing.
    state = {
        name: torch.empty_like(value, device="meta", requires_grad=value.requires_grad)
        for name, value in (*model.named_parameters(), *model.named_buffers())
    }
    image = torch.empty((n, 1, height, width), device="meta")
    with torch.enable_grad(), _saved(model) as kept:
        output = torch.func.functional_call(model, state, (image,))
        own = {value.untyped_storage()._cdata for value in state.values()}
        storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in kept}
        total = sum(size for key, size in storages.items() if key not in own)
        del output
    return total // n


@contextmanager
def _saved(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collects the tensors that autograd saves inside, and the inputs of layers that recompute."""
    kept: list[Tensor] = []

    def entered(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        for given in inputs:
            kept.extend([given] if isinstance(given, Tensor) else given)

    handles = [m.register_forward_pre_hook(entered) for m in model.modules() if recomputes(m)]

    def pack(tensor: Tensor) -> Any:
        kept.append(tensor)
        return tensor

    try:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            yield kept
    finally:
        for handle in handles:
            handle.remove()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` means that memory ran out, on the CPU or on a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _OOM_PHRASES)


def release_memory(device: torch.device) -> None:
    """Give back what nobody holds any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
