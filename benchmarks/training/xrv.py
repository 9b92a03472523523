"""(c): torchxrayvision's own pipeline, where it can be imported.

Its dataset class, its transforms, its DenseNet, and the loop that its training script has: a
``DataLoader``, Adam, binary cross-entropy disease by disease, AUROC each epoch, ``torch.save``.
It needs torch and torchvision as they are here and some small packages; beside a CPU-only torch
its own import of torchvision fails until `cxrsearch.learn.networks.torchvision_import` has
declared the operators that are missing, so that is imported first. Into an
environment of the project:

    pip install --no-deps torchxrayvision
    pip install scikit-image tqdm requests imageio pandas
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

import cxrsearch.learn.networks.torchvision_import  # noqa: F401  (lets torchvision import beside a CPU-only torch)

from .plain import mean_auroc


def missing() -> str | None:
    """Why it cannot run here, or None."""
    try:
        importlib.import_module("torchxrayvision")
    except Exception as error:  # its imports fail in many ways
        return f"{type(error).__name__}: {error}"
    return None


def datasets(
    folder: Path, table: Path, train: Collection[str], val: Collection[str], size: int
) -> tuple[Any, Any]:
    """Its ``NIH_Dataset`` of each part, the first with augmentation.

    Args:
        folder: what the files' names start from; all lie in one folder below it.
        table: NIH's label table.
        train: files.
        val: likewise.
        size: side of the input.
    """
    from torchvision import transforms

    xrv: Any = importlib.import_module("torchxrayvision")
    shape = transforms.Compose(
        [xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(size, engine="skimage")]
    )
    augmentation = transforms.Compose(
        [
            xrv.datasets.ToPILImage(),
            transforms.RandomAffine(10, translate=(0.05, 0.05), scale=(0.96, 1.04), shear=0.04),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
        ]
    )
    parts = []
    images = folder / Path(next(iter(train))).parent
    for names, extra in ((train, augmentation), (val, None)):
        whole = xrv.datasets.NIH_Dataset(
            str(images), str(table), views=["PA", "AP"], unique_patients=False, transform=shape,
            data_aug=extra,
        )  # fmt: skip
        rows = np.flatnonzero(whole.csv["Image Index"].isin({Path(n).name for n in names}))
        parts.append(xrv.datasets.SubsetDataset(whole, rows))
    return parts[0], parts[1]


def seconds(
    folder: Path,
    table: Path,
    train: Collection[str],
    val: Collection[str],
    out: Path,
    *,
    size: int,
    epochs: int,
    batch_size: int,
    workers: int,
    threads: int,
    device: str,
) -> float:
    """Seconds of a whole training."""
    start = time.perf_counter()
    torch.set_num_threads(threads)
    xrv: Any = importlib.import_module("torchxrayvision")
    first, second = datasets(folder, table, train, val, size)
    kept = {"batch_size": batch_size, "num_workers": workers}
    loader = DataLoader(first, shuffle=True, drop_last=len(first) % batch_size == 1, **kept)
    scored = DataLoader(second, **kept)
    net = xrv.models.DenseNet(num_classes=14, in_channels=1).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, weight_decay=1e-5, amsgrad=True)
    criterion = nn.BCEWithLogitsLoss()
    best = 0.0
    for _ in range(epochs):
        net.train()
        for batch in loader:
            optimizer.zero_grad()
            logits, targets = net(batch["img"].to(device)), batch["lab"].to(device)
            loss = torch.zeros((), device=device)
            for disease in range(targets.shape[1]):
                loss = loss + criterion(logits[:, disease], targets[:, disease])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        net.eval()
        scores, truth = [], []
        with torch.no_grad():
            for batch in scored:
                scores.append(net(batch["img"].to(device)).cpu().numpy())
                truth.append(batch["lab"].numpy())
        value = mean_auroc(np.concatenate(truth), np.concatenate(scores))
        if value > best:
            best = value
            torch.save(net.state_dict(), out)
    return time.perf_counter() - start
