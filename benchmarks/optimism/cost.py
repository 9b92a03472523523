"""What the correction costs, beside a bootstrap of one model and an epoch of a small network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from rich.table import Table
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.measure import Spread, interleave, ratios
from benchmarks.phantom_learnable import SIDE, network
from cxrsearch.learn.metrics import bootstrap
from search.optimism import corrected

PATIENTS, LABELS, EPOCHS, IMAGES = 300, 14, 20, 1500


@contextmanager
def one_thread() -> Iterator[None]:
    """What runs inside has one core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clock(work: Callable[[], object]) -> Callable[[], float]:
    def run() -> float:
        start = time.process_time()  # of one core: other work on the machine does not count
        work()
        return time.process_time() - start

    return run


def _material(models: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random((PATIENTS, LABELS)) < np.geomspace(0.02, 0.25, LABELS)).astype(float)
    common = (labels + rng.standard_normal(labels.shape)).astype(np.float32)
    own = rng.standard_normal((models, *labels.shape), dtype=np.float32)
    return (common + 0.7 * own).astype(np.float16), labels, np.arange(PATIENTS)


def _epoch() -> None:
    torch.manual_seed(0)
    net = network()
    optimiser = torch.optim.Adam(net.parameters())
    images, labels = torch.randn(IMAGES, 1, SIDE, SIDE), (torch.rand(IMAGES, 14) < 0.1).float()
    for start in range(0, IMAGES, 32):
        rows = slice(start, start + 32)
        optimiser.zero_grad()
        binary_cross_entropy_with_logits(net(images[rows]), labels[rows]).backward()
        optimiser.step()


def measured(trials: tuple[int, ...], draws: int, rounds: int) -> dict[str, dict[str, Spread]]:
    """Core seconds of each correction, and its ratios to the two baselines.

    Args:
        trials: how many the searches have, each with 20 epochs.
        draws: of correction and bootstrap.
        rounds: at least five.
    """
    scores, labels, patients = _material(max(trials) * EPOCHS)
    calls: dict[str, Callable[[], float]] = {
        f"{number:,} trials": _clock(
            lambda number=number: corrected(scores[: number * EPOCHS], labels, patients, draws)
        )
        for number in trials
    }
    one = scores[0].astype(float)
    calls["bootstrap"] = _clock(lambda: bootstrap(labels, one, patients, draws))
    calls["epoch"] = _clock(_epoch)
    with one_thread():
        times = interleave(calls, rounds)
    return {
        name: {
            "seconds": Spread.of(times[name]),
            "bootstraps": ratios(times[name], times["bootstrap"]),
            "epochs": ratios(times[name], times["epoch"]),
        }
        for name in list(calls)[: len(trials)]
    }


def table(found: dict[str, dict[str, Spread]], draws: int) -> Table:
    """The figures for the terminal."""
    shown = Table(
        title=f"Correction of all epochs ({EPOCHS} a trial) on {PATIENTS} patients, {LABELS} "
        f"labels, {draws:,} draws, one core",
        title_justify="left",
    )
    shown.add_column("")
    shown.add_column("seconds", justify="right")
    shown.add_column("bootstraps of one model", justify="right")
    shown.add_column(f"epochs of a small network on {IMAGES:,} images", justify="right")
    for name, figures in found.items():
        shown.add_row(name, *(figures[kind].text(1) for kind in figures))
    return shown
