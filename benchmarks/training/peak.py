"""The estimate of a training's memory, held against the peak that the card reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute import device as devices
from cxrsearch.learn.data import resident_bytes
from cxrsearch.learn.recipe import Recipe

from .material import Setup, load, recipe
from .report import Report
from .shares import frame_of
from .ways import learner_of

WITHIN = 1.0
"""The peak may be this multiple of the estimate at most: more would run out of memory."""


def memory(
    report: Report, networks: Sequence[str], sizes: Sequence[str], batch: int, steps: Sequence[str]
) -> None:
    """Estimate and peak of a training by network, input size and way of taking steps.

    Args:
        report: gets the table.
        networks: names of `cxrsearch.learn.networks.architectures.NETWORKS`.
        sizes: of the input.
        batch: images at once.
        steps: ways.
    """
    where = report.where
    table = report.table(
        "Memory of a training: what is planned for it, and the most that was allocated",
        "network", "input", "batch", "way", "estimate, MB", "peak, MB", "peak / estimate",
        "held from others, MB",
    )  # fmt: skip
    for network in networks:
        for size in sizes:
            for way in steps:
                made = recipe(network, size, batch_size=batch, ema=0.998)
                estimate, most, held = measured(where, made, way)
                share = None if most is None else most / estimate
                table.add(
                    network, size, batch, way, estimate / 1e6, _megabytes(most), share,
                    _megabytes(held),
                )  # fmt: skip
                if share is not None:
                    report.target(f"{network} at {size}, {way}: peak / estimate", share, WITHIN,
                                  most=True)  # fmt: skip
            report.save()


def _megabytes(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def measured(where: Setup, made: Recipe, way: str) -> tuple[int, int | None, int | None]:
    """Bytes that are planned for a training, that it allocated at most, and that it kept from
    others at the end, in use or not; None on a CPU."""
    material = load(where, 4 * made.batch_size, frame_of(str(made.input_size)))
    devices.release_memory(where.device)
    before = _restart(where.device)
    learner: Learner = learner_of(where, made, material, 2 * made.batch_size, steps=way)
    learner.epoch(1)
    most, kept = _peak(where.device), _held(where.device)
    planned = devices.footprint(learner.model, made.input_size, learner.kind, average=True)
    held = resident_bytes(len(learner.pixels), made, where.device, learner.room)
    found = planned.bytes(learner.micro) + held
    del learner
    devices.release_memory(where.device)
    if most is None or kept is None:
        return found, None, None
    return found, most - before, kept - before


def _restart(device: torch.device) -> int:
    """Count the peak from here on; bytes that are allocated now."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _held(device: torch.device) -> Any:
    """Bytes of the device that this process keeps from others."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else None


def _peak(device: torch.device) -> Any:
    """Bytes that were allocated at most; None where nobody counts them."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
