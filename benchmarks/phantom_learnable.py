"""Is the phantom learnable, and not trivial? A small reference network says.

    OMP_NUM_THREADS=1 python -m benchmarks.phantom_learnable

Prints, for patients that the network has not seen,
1. the AUROC of each of the 14 signs at difficulty 0, 0.5 (the default) and 1;
2. how much one recipe gene moves the mean AUROC, over how much the seed moves it:
   learning rate 1e-3 against 1e-5, and the full frame against the central 512 of 1024,
   which cuts off the costophrenic angles.
About three minutes on one free core.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn

from cxrsearch.data.diseases import DISEASES
from cxrsearch.phantom.dataset import phantom_dataset

SIDE = 64


def network() -> nn.Sequential:
    """Five convolutions and a linear layer, 0.2 million weights."""
    layers: list[nn.Module] = []
    for inputs, outputs, stride in (
        (1, 16, 2), (16, 32, 2), (32, 64, 1), (64, 96, 2), (96, 128, 2),
    ):  # fmt: skip
        layers += [
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    # Signs have their places, so what is left of the map (4 x 4) is not averaged away.
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(512, 14))


def auroc(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(14,) AUROC from the rank sum; every disease must occur."""
    ranks = rankdata(scores, axis=0)
    positive = labels.sum(0)
    excess = (ranks * labels).sum(0) - positive * (positive + 1) / 2
    return np.asarray(excess / (positive * (len(labels) - positive)))


def draw_set(images: int, difficulty: float, side: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Pictures, labels, and the first row of the test patients (the last third)."""
    data = phantom_dataset(images, 0, seed=1, difficulty=difficulty)
    pictures = np.stack([data.source.decode(name, side) for name in data.names])
    cut = 2 * images // 3
    while data.patients[cut] == data.patients[cut - 1]:
        cut += 1
    return pictures, data.labels, cut


def prepare(pictures: np.ndarray) -> torch.Tensor:
    """(n, side, side) uint8 to (n, 1, 64, 64) float about zero; larger sides are averaged."""
    x = torch.from_numpy(pictures).float()[:, None] / 128 - 1
    return nn.functional.avg_pool2d(x, x.shape[-1] // SIDE)


def train(
    pictures: np.ndarray, labels: np.ndarray, cut: int, *, lr: float, seed: int, epochs: int
) -> np.ndarray:
    """Train on the rows before ``cut``; (14,) AUROC on the others."""
    torch.manual_seed(seed)
    net = network()
    x, y = prepare(pictures), torch.from_numpy(labels).float()
    optimiser = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=0.02)
    batch, steps = 32, epochs * (cut // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps)
    for _ in range(epochs):
        for rows in torch.randperm(cut)[: cut // batch * batch].view(-1, batch):
            shift = torch.randint(-3, 4, (2,)).tolist()
            loss = nn.functional.binary_cross_entropy_with_logits(
                net(torch.roll(x[rows], shift, (2, 3))), y[rows]
            )
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    net.eval()
    with torch.no_grad():
        scores = torch.cat([net(part) for part in torch.split(x[cut:], 256)])
    return auroc(labels[cut:], scores.numpy())


def signs(images: int, epochs: int) -> None:
    """Part 1: AUROC by sign and difficulty."""
    columns = []
    for difficulty in (0.0, 0.5, 1.0):
        start = time.perf_counter()
        pictures, labels, cut = draw_set(images, difficulty, SIDE)
        drawn = time.perf_counter()
        columns.append(train(pictures, labels, cut, lr=3e-3, seed=0, epochs=epochs))
        took = time.perf_counter() - drawn
        print(
            f"difficulty {difficulty}: {cut} images to learn from, {images - cut} of other "
            f"patients to test; {1000 * (drawn - start) / images:.1f} ms to draw one, "
            f"{took:.0f} s to train",
            flush=True,
        )
    positives = labels[cut:].sum(0)
    print(f"{'AUROC':20}{'easy 0':>9}{'0.5':>9}{'hard 1':>9}{'test positives':>16}")
    for i, name in enumerate(DISEASES):
        print(f"{name:20}" + "".join(f"{c[i]:9.3f}" for c in columns) + f"{positives[i]:16d}")
    print(f"{'mean':20}" + "".join(f"{c.mean():9.3f}" for c in columns))
    print(f"{'lowest':20}" + "".join(f"{c.min():9.3f}" for c in columns), flush=True)


def genes(images: int, epochs: int, seeds: int) -> None:
    """Part 2: what a gene does, against what the seed does."""
    pictures, labels, cut = draw_set(images, 0.5, 2 * SIDE)
    quarter = SIDE // 2
    central = np.ascontiguousarray(pictures[:, quarter:-quarter, quarter:-quarter])
    recipes = {
        "lr 1e-3, full frame": (pictures, 1e-3),
        "lr 1e-5, full frame": (pictures, 1e-5),
        "lr 1e-3, crop 512": (central, 1e-3),
    }
    means = {
        name: np.array(
            [train(x, labels, cut, lr=lr, seed=s, epochs=epochs).mean() for s in range(seeds)]
        )
        for name, (x, lr) in recipes.items()
    }
    print(f"mean AUROC over {seeds} seeds ({cut} images, {epochs} epochs)")
    for name, values in means.items():
        print(f"{name:22}" + " ".join(f"{value:.3f}" for value in values))
    base, *others = means
    for other in others:
        moved = abs(means[base].mean() - means[other].mean())
        noise = max(np.sqrt((means[base].var(ddof=1) + means[other].var(ddof=1)) / 2), 1e-9)
        print(f"{base} / {other}: {moved:.3f} moved, seeds {noise:.4f}, ratio {moved / noise:.1f}")


def main() -> None:
    """Read the options, run both parts."""
    parser = argparse.ArgumentParser(description="Is the phantom learnable, and not trivial?")
    parser.add_argument("--images", type=int, default=2400, help="images of part 1")
    parser.add_argument("--epochs", type=int, default=10, help="epochs of part 1")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of part 2")
    parser.add_argument("--part", choices=("signs", "genes", "both"), default="both")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.part != "genes":
        signs(given.images, given.epochs)
    if given.part != "signs":
        genes(min(1200, given.images), max(1, given.epochs // 2), given.seeds)


if __name__ == "__main__":
    main()
