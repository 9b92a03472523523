"""What somebody would write without this project: one training that takes all of the time.

PyTorch, a network of torchvision or timm, AdamW with a one-cycle rate, random affine augmentation,
and where asked for mixup (Zhang et al., ICLR 2018) and averaged weights. It trains on training and
validation part, for as many epochs as fit into the time, with the schedule laid out over those.
Nothing of `cxrsearch.learn` is in it but the networks, so that starting weights are the same ones.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe


@dataclass(frozen=True)
class Setting:
    """What the script is called with.

    Args:
        model: a name that the product knows too.
        init: starting weights; ``none`` or a file.
        size: side of the images in pixels.
        lr: peak learning rate.
        mixup: parameter of its Beta distribution; 0: none.
        ema: decay of the averaged weights; 0: none.
        epochs: at most; None: as many as fit into the time.
    """

    model: str
    init: str = "none"
    size: int = 64
    lr: float = 1e-3
    mixup: float = 0.0
    ema: float = 0.0
    epochs: int | None = None


BATCH = 32
DECAY = 0.01


def read_xrays(folder: Path) -> dict[str, tuple[Path, list[int], str]]:
    """File, marks of NIH's 14 diseases and patient of each image of a folder in NIH's format."""
    files = {path.name: path for path in sorted((folder / "images").rglob("*.png"))}
    found = {}
    with (folder / "Data_Entry_2017.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if row["Image Index"] in files:
                said = row["Finding Labels"].split("|")
                marks = [int(name in said) for name in DISEASES]
                found[row["Image Index"]] = (files[row["Image Index"]], marks, row["Patient ID"])
    return found


def pixels(files: Sequence[Path], size: int) -> Tensor:
    """(n, 1, size, size) float32 in [0, 1]."""
    side = (size, size)
    grey = (Image.open(file).convert("L").resize(side, Image.Resampling.BILINEAR) for file in files)
    return torch.from_numpy(np.stack([np.asarray(each) for each in grey])[:, None]).float() / 255


def augmented(images: Tensor) -> Tensor:
    """Rotated by up to 10 degrees, shifted by up to 5%, zoomed by up to 10%."""
    count = len(images)

    def within(reach: float) -> Tensor:
        return (2 * torch.rand(count) - 1) * reach

    angle, zoom = torch.deg2rad(within(10.0)), 1 + within(0.1)
    rows = torch.stack([angle.cos() * zoom, -angle.sin() * zoom, within(0.1)], 1)
    columns = torch.stack([angle.sin() * zoom, angle.cos() * zoom, within(0.1)], 1)
    grid = F.affine_grid(torch.stack([rows, columns], 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, "bilinear", "border", align_corners=False)


def train_plainly(
    files: Sequence[Path], marks: np.ndarray, setting: Setting, seconds: float, seed: int
) -> tuple[nn.Module, int]:
    """A network trained for ``seconds``, reading the images included, and its epochs.

    Args:
        files: (n,) of the images.
        marks: (n, 14) 0 or 1.
        setting: how.
        seconds: of wall-clock.
        seed: of everything random.
    """
    begin = time.perf_counter()
    torch.manual_seed(seed)
    images, targets = pixels(files, setting.size), torch.from_numpy(marks.astype(np.float32))
    recipe = Recipe(model=setting.model, init=setting.init, input_size=setting.size)
    net = build_model(recipe, n_classes=marks.shape[1])
    mean = torch.optim.swa_utils.get_ema_multi_avg_fn(setting.ema) if setting.ema else None
    average = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=mean, use_buffers=True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=setting.lr, weight_decay=DECAY)
    rng = np.random.default_rng(seed)

    def epoch(scheduler: torch.optim.lr_scheduler.LRScheduler | None, most: int) -> int:
        order = torch.randperm(len(images))[: len(images) // BATCH * BATCH].view(-1, BATCH)[:most]
        net.train()
        for index in order:
            batch, wanted = augmented(images[index]), targets[index]
            if setting.mixup:
                share, other = float(rng.beta(setting.mixup, setting.mixup)), torch.randperm(BATCH)
                batch = share * batch + (1 - share) * batch[other]
                wanted = share * wanted + (1 - share) * wanted[other]
            optimizer.zero_grad()
            batch = batch.contiguous(memory_format=torch.channels_last)
            F.binary_cross_entropy_with_logits(net(batch), wanted).backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
                if setting.ema:
                    average.update_parameters(net)
        return len(order)

    saved = {name: value.clone() for name, value in net.state_dict().items()}
    epoch(None, 3)  # the first steps are slower
    start = time.perf_counter()
    steps = epoch(None, 10)
    each = (time.perf_counter() - start) / steps * (len(images) // BATCH)
    net.load_state_dict(saved)
    optimizer = torch.optim.AdamW(net.parameters(), lr=setting.lr, weight_decay=DECAY)
    left = seconds - (time.perf_counter() - begin)
    epochs = min(setting.epochs or 10**6, max(1, int(0.98 * left / each)))
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, setting.lr, total_steps=epochs * (len(images) // BATCH), pct_start=0.1
    )
    for _ in range(epochs):
        epoch(scheduler, len(images))
    return (average.module if setting.ema else net), epochs


@torch.inference_mode()
def probabilities(net: nn.Module, files: Sequence[Path], size: int) -> np.ndarray:
    """(n, 14) float32."""
    net.eval()
    images = pixels(files, size)
    return np.concatenate([torch.sigmoid(net(part).float()).numpy() for part in images.split(64)])
