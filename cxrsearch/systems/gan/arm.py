"""The arm whose GAN draws further images, for an auto-encoder beside the real ones."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxrsearch.equal_compute.arm import Arm
from cxrsearch.equal_compute.cell import Cell, CellRun
from cxrsearch.learn.augment.frames import prepare
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.epochs import told, train_epochs
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe, size_of
from cxrsearch.learn.saved.arrays import load_arrays, save_arrays
from cxrsearch.learn.saved.keep import CHECKPOINT
from cxrsearch.learn.session import Session
from cxrsearch.systems.pretrain.arm import fitted_from, flops, pool_of, portion, pretrained_on

from .networks import LARGEST_SIDE, LATENT, SMALLEST_SIDE, Discriminator, Generator, resolutions
from .settings import GanSettings
from .training import CHANNELS, PENALTY_EVERY, TASK, GanTraining, latents_of

GAN_SHARE = 1 / 4
"""Share of the budget that trains the GAN; drawing, pre-training and training have the rest."""

FEWEST_SEEN = 20_000
"""Images that a GAN has to see before it adds much to the linear one it begins as."""

GENERATED_FILE, GENERATED_PIXELS = "generated.npz", "pixels.u8"
_PART = 256  # images stretched at once


def generated(cell: Cell) -> CellRun:
    """A GAN learns from all images, and draws as many; an auto-encoder learns from both kinds."""
    folder, pool = cell.folder / "gan", pool_of(cell)
    side = side_of(cell.recipe, cell.data.images.shape[1])
    train_cost, draw_cost = costs(side, cell.recipe, len(cell.data.label_names))
    rows, epochs = portion(cell, pool, cell.images * GAN_SHARE / train_cost, "gan pool")
    cell.count(train_cost * epochs * len(rows) + draw_cost * len(pool))
    if not (folder / GENERATED_FILE).is_file():
        _draw(cell, side, rows, epochs, len(pool))
    seen = epochs * len(rows)
    few = (
        f"; its budget is too small to say what a GAN of {FEWEST_SEEN:,} could do"
        if seen < FEWEST_SEEN
        else ""
    )
    cell.notes.append(
        f"gan: trained on {seen:,} images at {side} pixels ({epochs} epochs of {len(rows):,}), "
        f"then {len(pool):,} drawn{few}"
    )
    joined = folder / GENERATED_PIXELS
    try:
        data = with_generated(
            cell.data, pool, load_arrays(folder / GENERATED_FILE, ("images",)), joined
        )
        weights = pretrained_on(cell, "autoencoder", data, data.train)
        del data
    finally:
        joined.unlink(missing_ok=True)
    return (yield from fitted_from(cell, weights))


def side_of(recipe: Recipe, frame: int) -> int:
    """The largest side that a GAN has, not above what the network sees or the cache holds."""
    most = min(*size_of(recipe.input_size), frame)
    return max(side for side in resolutions(LARGEST_SIDE) if side <= max(most, SMALLEST_SIDE))


def costs(side: int, recipe: Recipe, n_classes: int) -> tuple[float, float]:
    """What an image of the GAN's training costs, and one that it draws, in image-steps.

    By the arithmetic of forward passes, G and D, where a training pass counts three. The
    discriminator's step: an image drawn (G) and two images trained on (6 D); its penalties, on
    every `PENALTY_EVERY`-th step, differentiate twice (12 D). The generator's: trained on one
    (3 G), through a discriminator that stays as it is (2 D), which also scores a real one (D).
    """
    with torch.random.fork_rng(devices=[]):
        g = flops(Generator(side, CHANNELS), (LATENT,))
        d = flops(Discriminator(side, CHANNELS), (1, side, side))
        network = build_model(replace(recipe, init="none"), n_classes=n_classes)
        step = 3 * flops(network, (1, *size_of(recipe.input_size)))
    return (4 * g + (9 + 12 / PENALTY_EVERY) * d) / step, g / step


def _draw(cell: Cell, side: int, rows: np.ndarray, epochs: int, count: int) -> None:
    """Train a GAN on the images ``rows``, or go on with it, and write ``count`` of its images."""
    folder, compute = cell.folder / "gan", cell.config.compute
    asked = GanSettings(size=side, epochs=epochs)
    session = Session(
        GanTraining,
        asked.recipe(),
        replace(cell.data, train=rows),
        seed=cell.seed_of("gan"),
        folder=folder,
        compute=compute,
        settings={"task": TASK},
    )
    try:
        with told(compute):
            for _ in train_epochs(session, epochs):
                pass
            latents = latents_of(count, cell.seed_of("gan"), "images")
            images = session.work(lambda: session.learner.make(latents))
            session.settle()
    finally:
        session.close()
    save_arrays(folder / GENERATED_FILE, images=images)
    with suppress(OSError):
        (folder / CHECKPOINT).unlink()


def with_generated(
    data: TrainData, pool: np.ndarray, drawn: dict[str, np.ndarray], path: Path
) -> TrainData:
    """The images of ``pool`` and drawn ones to train on, and the validation part to look at.

    Args:
        data: the study's.
        pool: (m,) rows of the real images.
        drawn: ``images``, (k, S, S) uint8, stretched here to the frame of the cache.
        path: of the file that holds the pixels together; deleted by the caller.
    """
    images, frame = drawn["images"], data.images.shape[1]
    real = np.concatenate([pool, data.val])
    shape = (len(real) + len(images), frame, frame)
    pixels: Any = np.memmap(path, np.uint8, "w+", shape=shape)
    for start in range(0, len(real), _PART):
        part = real[start : start + _PART]
        pixels[start : start + len(part)] = data.images[part]
    for start in range(0, len(images), _PART):
        each = np.arange(start, min(len(images), start + _PART))
        pixels[len(real) + each] = prepare(images, each, 1024, frame).numpy()
    fresh = len(real) + np.arange(len(images))
    val = len(pool) + np.arange(len(data.val))
    blank = np.zeros(len(images), data.patients.dtype)
    names = np.array([f"drawn-{i}" for i in range(len(images))], np.str_)
    return replace(
        data,
        images=pixels,
        names=np.concatenate([data.names[real], names]),
        labels=np.concatenate(
            [data.labels[real], np.zeros((len(images), data.labels.shape[1]), np.uint8)]
        ),
        uncertain=None,
        patients=np.concatenate([data.patients[real], blank]),
        train=np.concatenate([np.arange(len(pool)), fresh]),
        val=val,
        val_seed=val,
        shelf=None,  # it belongs to the cache, whose rows have other numbers
        held=OrderedDict(),
    )


ARMS: dict[str, Arm] = {
    "gan": Arm(
        "+ GAN, auto-encoder",
        "A quarter of the budget trains a GAN, which draws as many images as there are real ones; "
        "a third of the rest trains the auto-encoder on both.",
        generated,
    ),
}
