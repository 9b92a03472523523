"""Times training steps in a process of its own, in step with others beside it.

    python -m cxrsearch.study.cost.stopwatch_process

Lines of JSON go in and out. A first line names a recipe and how to train it; the process makes
the network, takes a step to warm up and says that it is ready. At the next line it trains on
random pictures for the time given and answers with the seconds of each image; then it waits
for another recipe, or ends with its input. What goes wrong is an answer too. So whoever starts
several of these has them all warm before any is timed, and sets their threads by the
environment, before torch is loaded.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, TextIO

import numpy as np

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks.architectures import TIMM
from cxrsearch.learn.recipe import Recipe, as_of_now, size_of

CPU_PIXELS = 16 * 64 * 64
"""Pixels of a timed batch on a CPU at most: there a step's time grows with them."""

GPU_STEPS = 8
"""Steps between two looks at a GPU's clock, which make it wait."""


def order(recipe: Recipe, compute: ComputeOptions, seconds: float, n_classes: int) -> str:
    """The line that asks for a timing.

    Args:
        recipe: what to train.
        compute: on ``cpu`` or ``cuda``, with the share of memory that the process may use.
        seconds: to train for once it is told to.
        n_classes: labels to learn.
    """
    how = asdict(replace(compute, weights_dir=None))  # a timed network starts from random ones
    return json.dumps(
        {"recipe": asdict(recipe), "compute": how, "seconds": seconds, "n_classes": n_classes}
    )


def sized(recipe: Recipe, device: str) -> Recipe:
    """``recipe`` without what takes no part in a step; on a CPU with no more than `CPU_PIXELS`.

    timm's networks keep their size, as not all of them take every one.
    """
    recipe = replace(recipe, init="none", crop=1024, start_size=1.0, train_seed=1.0, patience=0)
    if device != "cpu":
        return recipe
    height, width = size_of(recipe.input_size)
    shrink = math.sqrt(CPU_PIXELS / 2 / (height * width))
    if shrink < 1 and not recipe.model.startswith(
        TIMM
    ):  # not even two images: batch normalisation needs as many
        height, width = (max(32, round(side * shrink)) for side in (height, width))
    batch = max(2, min(recipe.batch_size, CPU_PIXELS // (height * width)))
    return replace(recipe, input_size=f"{height}x{width}", batch_size=batch)


class Stopwatch:
    """A recipe in training on random pictures.

    Args:
        recipe: as asked for; see `sized`.
        compute: as for `order`.
        n_classes: labels to learn.
    """

    def __init__(self, recipe: Recipe, compute: ComputeOptions, n_classes: int) -> None:
        from cxrsearch.learn.classifier import Learner
        from cxrsearch.learn.compute.device import micro_batch, pick_device
        from cxrsearch.learn.data import TrainData

        self.asked, self.recipe = recipe, sized(recipe, compute.device)
        self.on = pick_device(compute.device)
        self.images = self.recipe.batch_size * (GPU_STEPS if self.on.type == "cuda" else 1)
        rng, rows = np.random.default_rng(0), np.arange(self.images)
        frame = max(size_of(self.recipe.input_size))
        none = np.zeros(0, np.int64)
        data = TrainData(
            images=rng.integers(0, 256, (self.images, frame, frame), dtype=np.uint8),
            names=rows.astype(str),
            labels=(rng.random((self.images, n_classes)) < 0.2).astype(np.uint8),
            label_names=tuple(map(str, range(n_classes))),
            patients=rows.astype(str),
            train=rows,
            val=none,
            val_seed=none,
            split="",
            columns=tuple(range(n_classes)),
            learnt=tuple(range(n_classes)),
        )
        self.learner = Learner(self.recipe, data, seed=0, compute=compute)
        self.epochs = 0
        self._train()
        size, batch = recipe.input_size, recipe.batch_size
        # By the estimate that a trial goes by, of the recipe as it is and not as it is timed.
        half = replace(compute, memory_share=compute.memory_share / 2)
        most = micro_batch(self.learner.model, size, batch, half)
        self.doubles = most >= batch

    def _train(self) -> float:
        """Seconds an image of a pass over the pictures."""
        begin = time.perf_counter()
        self.epochs += 1
        self.learner.epoch(self.epochs)  # waits for the device at its end
        return (time.perf_counter() - begin) / self.images

    def run(self, seconds: float) -> float:
        """Median seconds an image over some ``seconds``, scaled to the recipe as asked for."""
        times: list[float] = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            times.append(self._train())
        asked, timed = (math.prod(size_of(r.input_size)) for r in (self.asked, self.recipe))
        return statistics.median(times) * asked / timed

    def close(self) -> None:
        """Give the memory back, to those beside as well."""
        from cxrsearch.learn.compute.device import release_memory

        del self.learner
        release_memory(self.on)


def answer(asked: Mapping[str, Any], lines: TextIO, out: TextIO) -> None:
    """Time one recipe as ``asked``, once ``lines`` says so."""
    import torch

    recipe = Recipe(**as_of_now(asked["recipe"]))
    watch = Stopwatch(recipe, ComputeOptions(**asked["compute"]), asked["n_classes"])
    ready = {"threads": torch.get_num_threads(), "doubles": watch.doubles}
    print(json.dumps(ready), file=out, flush=True)
    if lines.readline():
        print(json.dumps({"seconds": watch.run(asked["seconds"])}), file=out, flush=True)
    watch.close()


def main() -> None:
    """Answer until the input ends."""
    while line := sys.stdin.readline():
        try:
            answer(json.loads(line), sys.stdin, sys.stdout)
        except Exception as error:
            text = f"{type(error).__name__}: {error}".splitlines()[0]
            print(json.dumps({"error": text}), flush=True)


if __name__ == "__main__":
    main()
