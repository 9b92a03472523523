"""Where training runs, what memory it has there, and how many images fit at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import psutil
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode  # no public one counts under autocast

from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import size_of
from search.cores import memory_groups

from .memory import recomputes
from .options import ComputeOptions
from .precision import amp_dtype

_OOM_PHRASES = (
    "out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory",
    "status_alloc_failed",  # cuBLAS and cuDNN, for their work space
)  # fmt: skip
_HEADROOM = 1.5  # gradients of activations and work space, over what autograd keeps
_BATCHES = (2, 4)  # batch normalisation refuses a single value a channel

RESERVE = {"cuda": (4 << 30, 1 / 8), "cpu": (2 << 30, 1 / 4), "mps": (4 << 30, 1 / 4)}
"""Bytes of a device that trainings leave alone, and the share of it that these may be at most:
for the system, processes themselves and, on a GPU, their contexts."""


def pick_device(name: str = "auto") -> torch.device:
    """The device ``name``: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, or ``mps`` (Apple's GPU).

    ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        InputError: where it is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in RESERVE:
        raise InputError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:N or mps")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError(f"no device {name!r} here (there is no Apple GPU); use auto or cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        has = f"there are {count} CUDA devices" if count else "there is no CUDA device"
        raise InputError(f"no device {name!r} here ({has}); use auto or cpu")
    return device


def free_memory(device: torch.device) -> int:
    """Bytes that could still be had on ``device``; a container's own limit counts."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    groups = [group.limit - group.used for group in memory_groups()]
    return max(0, min([int(psutil.virtual_memory().available), *groups]))


def total_memory(device: torch.device) -> int:
    """Bytes that ``device`` has, in use or not; a container's own limit counts."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    return min([int(psutil.virtual_memory().total), *(group.limit for group in memory_groups())])


def planned_memory(device: torch.device) -> int:
    """Bytes of ``device`` that trainings may plan with, all of them together.

    What is free at the moment depends on who else has started; this does not, so that the same
    recipe gets the same micro-batch whatever runs beside it.
    """
    # Free memory is there, whatever a container's files say of the total.
    total = max(total_memory(device), free_memory(device))
    most, share = RESERVE[device.type]
    return total - min(most, int(share * total))


class Footprint(NamedTuple):
    """Bytes that a training needs, as an estimate.

    Args:
        fixed: whatever the number of images: weights, gradients, an optimiser's two moments,
            averaged weights, and what autocast keeps of weights in its own type.
        image: for each image that goes through the network at once.
    """

    fixed: int
    image: int

    def bytes(self, images: int) -> int:
        """Needed for so many ``images`` at once."""
        return self.fixed + images * self.image

    def images(self, room: float) -> int:
        """How many at once fit into ``room`` bytes; may be 0 or less."""
        return int((room - self.fixed) // self.image)


def footprint(
    model: nn.Module,
    input_size: int | str,
    kind: torch.dtype | None = None,
    average: bool = False,
) -> Footprint:
    """What training ``model`` needs, from what autograd keeps, counted on shapes alone.

    Nothing is computed. Work space differs between machines, so an out-of-memory error is still
    possible: halve and go on then.

    Args:
        model: the network; it is not changed.
        input_size: a side or ``"HxW"``.
        kind: what convolutions autocast to; None: plain float32.
        average: whether averaged weights are kept beside.
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    cast = sum(p.numel() for p in model.parameters()) * kind.itemsize if kind else 0
    with torch.autocast("cpu", kind, enabled=kind is not None):
        image = activation_bytes(model, input_size)
    return Footprint((4 + average) * weights + cast, max(1, int(_HEADROOM * image)))


def micro_batch(
    model: nn.Module,
    input_size: int | str,
    batch: int,
    compute: ComputeOptions,
) -> int:
    """How many of ``batch`` images to take through the network at a time; see `footprint`.

    Args:
        model: the network; it is not changed.
        input_size: a side or ``"HxW"``.
        batch: images of one optimiser step.
        compute: where it will run, in which precision and with what share of `planned_memory`.
    """
    device = pick_device(compute.device)
    need = footprint(model, input_size, amp_dtype(device, compute.precision))
    return in_parts(batch, need.images(compute.memory_share * planned_memory(device)))


def in_parts(batch: int, most: int) -> int:
    """The largest part where ``batch`` is cut into as few parts of at most ``most`` as can be.

    They come out as equal as they can be, as the smallest of them decides over batch
    normalisation.
    """
    parts = -(-batch // max(1, min(batch, most)))
    return -(-batch // parts)


_counted: dict[tuple[object, ...], int] = {}


def activation_bytes(model: nn.Module, input_size: int | str) -> int:
    """Bytes autograd keeps for each image in training, without weights.

    In the type that convolutions autocast to where it is called, on a CPU; a GPU's autocast
    treats the operators of our networks alike.

    Remembered by the names and shapes of the parameters, as counting takes a second.
    """
    shapes = ((name, p.shape, p.requires_grad) for name, p in model.named_parameters())
    again = sum(recomputes(module) for module in model.modules())
    half = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None
    key = (type(model), size_of(input_size), half, again, *shapes)
    if key not in _counted:
        few, more = (_kept_bytes(model, size_of(input_size), n) for n in _BATCHES)
        # The difference leaves out copies of weights, which don't grow with the images.
        _counted[key] = (more - few) // (_BATCHES[1] - _BATCHES[0])
    return _counted[key]


def _kept_bytes(model: nn.Module, size: tuple[int, int], images: int) -> int:
    """Bytes autograd keeps for a batch of ``images``, without the weights themselves."""
    # Tensors without content: torch then works out shapes and types and computes nothing. The
    # device "meta" does the same, but autocast leaves it alone.
    # Those of a model on a GPU are on the CPU too: that is where it is counted.
    with FakeTensorMode(), torch.enable_grad(), _saved(model) as kept:
        state = {
            name: torch.empty_strided(value.shape, value.stride(), dtype=value.dtype)
            .requires_grad_(value.requires_grad)
            for name, value in (*model.named_parameters(), *model.named_buffers())
        }  # fmt: skip
        output = torch.func.functional_call(model, state, (torch.empty((images, 1, *size)),))
        own = {value.untyped_storage()._cdata for value in state.values()}
        storages = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in kept}
        del output
    return sum(size for key, size in storages.items() if key not in own)


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
    elif device.type == "mps":
        torch.mps.empty_cache()
