"""How many images go through a network at once, and what is said where that is not the batch.

The number decides over batch normalisation, so it follows from recipe, settings and device alone:
a trial's share is one of all the memory that trainings may plan with, whoever else has started.
Where less than its share is really free, a training waits for it, and says so where it has to do
with less.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from cxrsearch.learn.recipe import Recipe

from . import device as devices
from .device import Footprint
from .memory import recompute
from .options import ComputeOptions
from .precision import amp_dtype

WAIT = 30.0
"""Seconds to wait for memory that others should not have: a killed run takes some to end."""


def choose_micro(
    model: nn.Module,
    recipe: Recipe,
    compute: ComputeOptions,
    smallest: int,
    held: int = 0,
) -> tuple[int, tuple[str, ...]]:
    """Images that go through ``model`` at once, and notes on it.

    Where memory allows less than wanted, layers of ``model`` that can compute again what they
    would keep do so from then on.

    Args:
        model: the network, on the CPU.
        recipe: gives input size, batch size, and whether weights are averaged.
        compute: where it will run, in which precision and with what share of
            `devices.planned_memory`; ``micro`` where a training had so many before.
        smallest: images that have to go through together.
        held: bytes of the share that are for something else, such as pixels.
    """
    device, given = devices.pick_device(compute.device), compute.micro
    kind = amp_dtype(device, compute.precision)

    def needs() -> Footprint:
        average = max(recipe.ema, recipe.swa) > 0
        found = devices.footprint(model, recipe.input_size, kind, average)
        return found._replace(fixed=found.fixed + held)

    wanted, need = given or recipe.batch_size, needs()
    room, notes = _room(
        device, compute.memory_share * devices.planned_memory(device), need.bytes(wanted)
    )
    if need.images(room) < wanted and recompute(model):
        notes += ("memory is short: dense blocks are computed again for the gradients",)
        need = needs()
    chosen = max(smallest, devices.in_parts(wanted, need.images(room)))
    if chosen < wanted and given is not None:
        notes += (
            f"memory allows {chosen} of the {wanted} images at once that went through the network "
            "before: batch normalisation is over those from here on",
        )
    elif chosen < wanted and smallest > 1:
        notes += (
            f"memory allows {chosen} of {wanted} images at once: batch normalisation is over those",
        )
    return chosen, notes


def _room(device: torch.device, share: float, need: int) -> tuple[float, tuple[str, ...]]:
    """Bytes that a training may use, and a note where its ``share`` is not free.

    Args:
        device: where it will run.
        share: bytes that it may use by right.
        need: bytes that it would like.
    """
    enough, end = min(share, need), time.monotonic() + WAIT
    while (free := devices.free_memory(device)) < enough and time.monotonic() < end:
        time.sleep(1)
    if free >= enough:
        return share, ()
    return free, (
        f"{free / 2**30:.1f} GiB of memory are free on {device}, of the {share / 2**30:.1f} GiB "
        "that are this training's share: something else uses the rest",
    )
