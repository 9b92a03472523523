"""A chest X-ray classifier as a user of torchvision writes it: script (b) of the comparison.

FROZEN. It was committed before anything was compared with it and stays as it is: a baseline
that moves is none. The arguments from ``workers`` on are torch's own knobs; `tuned.py` turns them
to get (b+), this script at its best. What it leaves alone is the way it works: PNG files decoded
by Pillow whenever they are drawn, torchvision transforms image by image, a ``DataLoader``,
float32, scikit-learn's AUROC, ``torch.save`` of the best epoch.

    python -m benchmarks.training.plain --images my-xrays/images --split split.json --size 64

``split.json`` holds ``{"train": {"file.png": [0, 1, ...14]}, "val": {...}}``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import cxrsearch.learn.networks.torchvision_import  # noqa: F401  (lets torchvision import beside a CPU-only torch)

from torchvision import models, transforms  # isort: skip

MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CLASSES = 14

Labelled = Mapping[str, Sequence[int]]


class XrayFolder(Dataset[tuple[Tensor, Tensor]]):
    """Image files of one folder with their 14 labels."""

    def __init__(self, folder: Path, labelled: Labelled, transform: Callable[[Any], Tensor]):
        self.folder = folder
        self.items = list(labelled.items())
        self.transform = transform

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        name, labels = self.items[index]
        image = Image.open(self.folder / name).convert("RGB")
        return self.transform(image), torch.tensor(labels, dtype=torch.float32)


def training_transform(size: tuple[int, int]) -> Any:
    """Resize, then the ranges that the team's report settled on."""
    return transforms.Compose(
        [
            transforms.Resize(size),
            transforms.RandomAffine(
                degrees=10, translate=(0.05, 0.05), scale=(0.96, 1.04), shear=0.04
            ),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, DEVIATION),
        ]
    )


def scoring_transform(size: tuple[int, int]) -> Any:
    """Resize alone."""
    return transforms.Compose(
        [
            transforms.Resize(size),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, DEVIATION),
        ]
    )


def build_model(name: str) -> nn.Module:
    """torchvision's network with 14 outputs; VGG16 with one layer after global pooling."""
    if name == "densenet121":
        net = models.densenet121(weights=None)
        net.classifier = nn.Linear(net.classifier.in_features, CLASSES)
    elif name == "vgg16":
        net = models.vgg16(weights=None)
        net.avgpool = nn.AdaptiveAvgPool2d(1)
        net.classifier = nn.Linear(512, CLASSES)
    else:
        raise ValueError(f"unknown model {name!r}; use densenet121 or vgg16")
    return net


def mean_auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """scikit-learn's AUROC, averaged over the diseases that have both classes."""
    values = [
        roc_auc_score(labels[:, i], scores[:, i])
        for i in range(CLASSES)
        if 0 < labels[:, i].sum() < len(labels)
    ]
    return float(np.mean(values))


@dataclass(frozen=True)
class Trained:
    """What a run gave.

    Args:
        losses: mean training loss of each epoch.
        aurocs: mean validation AUROC of each epoch.
        seconds: of each epoch, training and validation.
        total: seconds of the whole run.
    """

    losses: list[float]
    aurocs: list[float]
    seconds: list[float]
    total: float


def run(
    folder: Path,
    train: Labelled,
    val: Labelled,
    out: Path,
    *,
    model: str = "densenet121",
    size: tuple[int, int] = (224, 224),
    epochs: int = 10,
    batch_size: int = 32,
    lr: float = 1e-3,
    seed: int = 0,
    device: str = "cpu",
    workers: int = 2,
    persistent: bool = False,
    threads: int | None = None,
    channels_last: bool = False,
) -> Trained:
    """Train and validate; ``out`` gets the weights of the best epoch."""
    start = time.perf_counter()
    torch.manual_seed(seed)
    if threads is not None:
        torch.set_num_threads(threads)
    kept = {
        "num_workers": workers,
        "persistent_workers": persistent and workers > 0,
        "pin_memory": device.startswith("cuda"),
    }
    train_loader = DataLoader(
        XrayFolder(folder, train, training_transform(size)),
        batch_size=batch_size,
        shuffle=True,
        drop_last=len(train) % batch_size == 1,  # batch normalisation needs two
        **kept,
    )
    val_loader = DataLoader(
        XrayFolder(folder, val, scoring_transform(size)), batch_size=batch_size, **kept
    )
    net = build_model(model).to(device)
    if channels_last:
        net = net.to(memory_format=torch.channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=lr)
    losses, aurocs, seconds = [], [], []
    for _ in range(epochs):
        begin = time.perf_counter()
        net.train()
        total, seen = 0.0, 0
        for images, labels in train_loader:
            images = images.to(device, memory_format=layout)
            labels = labels.to(device)
            optimizer.zero_grad()
            loss = criterion(net(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(images)
            seen += len(images)
        net.eval()
        scores, truth = [], []
        with torch.no_grad():
            for images, labels in val_loader:
                logits = net(images.to(device, memory_format=layout))
                scores.append(torch.sigmoid(logits).cpu().numpy())
                truth.append(labels.numpy())
        losses.append(total / seen)
        aurocs.append(mean_auroc(np.concatenate(truth), np.concatenate(scores)))
        if aurocs[-1] == max(aurocs):
            torch.save(net.state_dict(), out)
        seconds.append(time.perf_counter() - begin)
    return Trained(losses, aurocs, seconds, time.perf_counter() - start)


def main() -> None:
    """Parse, train, print an epoch a line."""
    parser = argparse.ArgumentParser(description="Train a chest X-ray classifier.")
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("best.pt"))
    parser.add_argument("--model", default="densenet121", choices=("densenet121", "vgg16"))
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args()
    split = json.loads(given.split.read_text())
    trained = run(
        given.images, split["train"], split["val"], given.out, model=given.model,
        size=(given.size, given.size), epochs=given.epochs, batch_size=given.batch_size,
        lr=given.lr, seed=given.seed, device=given.device, workers=given.workers,
    )  # fmt: skip
    for epoch, (loss, auroc) in enumerate(zip(trained.losses, trained.aurocs, strict=True), 1):
        print(f"epoch {epoch}: loss {loss:.4f}, AUROC {auroc:.4f}")


if __name__ == "__main__":
    main()
