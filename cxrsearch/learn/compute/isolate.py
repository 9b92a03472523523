"""A trial neither depends on what its process did before nor leaves a trace in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .device import pick_device
from .options import ComputeOptions


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
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        if threads is not None and threads != before:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)
