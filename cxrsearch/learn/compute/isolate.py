"""A trial neither depends on what its process did before nor leaves a trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from .device import pick_device
from .options import ComputeOptions


@contextmanager
def forked(device: torch.device) -> Iterator[None]:
    """Inside, random numbers of the CPU and of ``device`` are drawn that nobody misses after."""
    # torch.mps has one state, and no place in it for a device.
    state = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)


@contextmanager
def isolated(compute: ComputeOptions, seed: int) -> Iterator[None]:
    """Run a block under its own random numbers and thread count; restore both afterwards.

    A generator must not hold this open across a ``yield``: between two steps of a trial
    the process belongs to whoever drives it.

    Args:
        compute: where the block computes, and with how many threads: sums are rounded
            differently with another number, so it is part of what makes two runs equal.
        seed: what the global generators (dropout, initial weights) start from.
    """
    device, threads, before = pick_device(compute.device), compute.threads, torch.get_num_threads()
    # What says no device, such as a stream or an event, is of the current one.
    current = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with current, forked(device):
        torch.manual_seed(seed)
        if threads is not None and threads != before:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)
