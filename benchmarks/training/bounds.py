"""``bounds``: what FLOPs and bytes would allow, and the share of it that a step reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Spread, interleave, timed
from cxrsearch.learn.compute.device import activation_bytes
from cxrsearch.learn.recipe import Recipe

from .loop import Ceiling
from .material import Setup, load, recipe
from .report import Report
from .shares import frame_of

_UNWRITTEN = ("aten::empty", "aten::new_empty", "aten::empty_like", "aten::empty_strided")
"""Operators that hand out memory and move nothing."""


class ByteCounter(TorchDispatchMode):
    """Counts the bytes that each operator reads and writes, views aside.

    That is the traffic of a program that runs operator by operator with nothing left in any
    cache in between: fused kernels and caches need less.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # fmt: skip
        """Run the operator and add what it moved."""
        out = func(*args, **(kwargs or {}))
        name = func.name().partition(".")[0]
        if not func.is_view and not name.startswith(_UNWRITTEN) and name != "aten::detach":
            tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor)]
            self.total += sum(t.numel() * t.element_size() for t in tensors)
        return out


@dataclass(frozen=True)
class Work:
    """What one training step has to do.

    Args:
        flops: forward and backward.
        eager: bytes that its operators read and write, one after another.
        least: bytes that no schedule can spare: what autograd keeps, written and read once;
            weights read forward and backward; gradients and the optimiser's state.
    """

    flops: float
    eager: float
    least: float


@dataclass(frozen=True)
class Rates:
    """What the device was measured to do, a second.

    Args:
        flops: of a matrix product in the precision that the loop has there.
        bytes: of a copy, read and written.
    """

    flops: float
    bytes: float

    def seconds(self, flops: float = 0.0, moved: float = 0.0) -> float:
        """The longer of computing and moving: they can overlap at best."""
        return max(flops / self.flops, moved / self.bytes)


def count(ceiling: Ceiling, made: Recipe) -> Work:
    """Count a step of ``ceiling`` by taking one under each counter."""
    ceiling.model.train()
    ceiling.step()  # the optimiser's state is made at the first
    with FlopCounterMode(display=False) as flops:
        ceiling.step()
    with ByteCounter() as moved:
        ceiling.step()
    return Work(
        float(flops.get_total_flops()), float(moved.total), least_bytes(ceiling, made)
    )  # fmt: skip


def least_bytes(ceiling: Ceiling, made: Recipe) -> float:
    """See `Work.least`. Activations count in the width that autocast gives them."""
    width = torch.finfo(ceiling.amp or torch.float32).bits / 32
    kept = activation_bytes(ceiling.model, made.input_size) * len(ceiling.batch) * width
    weights = sum(p.numel() * p.element_size() for p in ceiling.model.parameters())
    state = sum(
        value.numel() * value.element_size()
        for values in ceiling.optimizer.state.values()
        for value in values.values()
        if isinstance(value, Tensor) and value.ndim
    )
    # Forward, backward, and the optimiser reads and writes them; so it does its state;
    # gradients are written once and read once.
    return float(2 * kept + 4 * weights + 2 * weights + 2 * state)


def rates(where: Setup, amp: torch.dtype | None, rounds: int) -> tuple[Rates, dict[str, Spread]]:
    """Measure matrix products and copies; the median rate of each."""
    gpu = where.device.type == "cuda"
    side = (4096 if where.fast else 8192) if gpu else (768 if where.fast else 2048)
    kind = amp or torch.float32
    left, right = (torch.randn(side, side, device=where.device).to(kind) for _ in range(2))
    source = torch.ones((1 << 30 if gpu else 1 << 27) // 4, device=where.device)
    target = torch.empty_like(source)
    repeats = 10 if gpu else 1
    calls: dict[str, Callable[[], float]] = {
        "flops": lambda: (
            repeats
            * 2
            * side**3
            / timed(lambda: [left @ right for _ in range(repeats)], where.device)
        ),
        "bytes": lambda: (
            repeats
            * 2
            * source.nbytes
            / timed(lambda: [target.copy_(source) for _ in range(repeats)], where.device)
        ),
    }
    interleave(calls, 2)  # warm
    found = {name: Spread.of(values) for name, values in interleave(calls, rounds).items()}
    return Rates(found["flops"].median, found["bytes"].median), found


def bounds(where: Setup, sizes: Sequence[str], models: Sequence[str]) -> Report:
    """The table of bounds, sizes by models."""
    report = Report("bounds", where)
    table = report.table(
        "A training step: what it has to do, and the share of each bound that it reaches",
        "input", "model", "batch", "GFLOP an image", "MB an image, operator by operator",
        "MB an image, at least", "step, ms", "of the FLOPs' bound",
        "of the least bytes' bound", "of the operators' bytes' bound",
        digits=3,
    )  # fmt: skip
    speeds = {}
    for size in sizes:
        for name in models:
            made = recipe(name, size)
            material = load(where, 4 * made.batch_size, frame_of(size))
            ceiling = Ceiling(made, material, where)
            if not speeds:
                known, speeds = rates(where, ceiling.amp, where.rounds)
            work, batch = count(ceiling, made), len(ceiling.batch)
            took = [ceiling.train_seconds(batch) for _ in range(where.rounds)]
            table.add(
                size, name, batch, work.flops / batch / 1e9, work.eager / batch / 1e6,
                work.least / batch / 1e6, Spread.of([1000 * s for s in took]),
                *(share(bound, took) for bound in (
                    known.seconds(flops=work.flops), known.seconds(moved=work.least),
                    known.seconds(moved=work.eager),
                )),
            )  # fmt: skip
    report.notes = [
        f"measured here: matrix product {speeds['flops'].median / 1e9:,.0f} GFLOP/s, copy "
        f"{speeds['bytes'].median / 1e9:,.1f} GB/s (read and written)",
        "a share above 1 of the operators' bytes: caches or fused kernels spare memory traffic",
    ]
    return report


def share(bound: float, took: Sequence[float]) -> Spread:
    """A bound in seconds as a share of what was needed."""
    return Spread.of([bound / seconds for seconds in took])
