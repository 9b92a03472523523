"""What a pre-trained encoder makes of images that it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cxrsearch.learn.data import Pixels, even_slices

from .method import Pretraining

SHEET_IMAGES, SHEET_NEIGHBOURS = 8, 4
"""Images on the sheet, and neighbours of each."""

NEIGHBOURS_AMONG = 2000
"""Images at most of either side that neighbours are looked for among."""

Judgement = tuple[dict[str, Any], dict[str, np.ndarray]]
"""Numbers for the record, and pictures (uint8) by name."""


def judge_drawings(learner: Pretraining, held: Pixels) -> Judgement:
    """How well an auto-encoder draws ``held``, beside what the mean image would come to.

    Returns:
        ``error``: mean squared error of a grey level in [0, 1]; ``error_of_mean``: that of the
        mean training image; ``explained``: the share of the latter that is gone. Pictures:
        ``originals`` and ``drawings``, (m, H, W).
    """
    mean = _mean_image(learner.pixels).to(learner.device)
    errors: list[Tensor] = []
    baseline: list[Tensor] = []

    def compare(images: Tensor) -> Tensor:
        drawn = learner.model(images).float()
        errors.append((drawn - images).square().mean(dim=(1, 2, 3)))
        baseline.append((mean - images).square().mean(dim=(1, 2, 3)))
        levels: Tensor = drawn[:, 0].clamp(0, 1).mul(255).round().to(torch.uint8)
        return levels.cpu()

    drawn = torch.cat(learner.outputs(held, compare))
    error, of_mean = (float(torch.cat(each).mean()) for each in (errors, baseline))
    shown = _spread_over(len(held))
    numbers = {
        "images": len(held),
        "error": error,
        "error_of_mean": of_mean,
        "explained": 1 - error / of_mean if of_mean > 0 else None,
    }
    return numbers, {"originals": _pictures(held, shown), "drawings": drawn[shown].numpy()}


def judge_embeddings(learner: Pretraining, held: Pixels) -> Judgement:
    """Whether embeddings have collapsed, and which training images are the nearest to ``held``.

    Returns:
        ``spread``: mean deviation of the normalised embeddings times the root of their
        dimensions, 0 where all are one, 1 where they fill all directions alike (Chen & He, CVPR
        2021, figure 2); ``rank``: how many directions they use, as the exponential of the
        entropy of the singular values (RankMe: Garrido et al., ICML 2023). Pictures:
        ``originals`` (m, H, W) and ``nearest`` (m, `SHEET_NEIGHBOURS`, H, W), with ``similarity``.
    """
    embedded = torch.cat(learner.outputs(held, learner.embed)).float()
    unit = F.normalize(embedded, dim=1)
    spread = unit.std(dim=0).mean() * unit.shape[1] ** 0.5
    values = torch.linalg.svdvals(embedded - embedded.mean(dim=0))
    shares = values / values.sum().clamp(min=1e-12) + 1e-12
    numbers = {
        "images": len(held),
        "dimensions": embedded.shape[1],
        "spread": float(spread),
        "rank": float(torch.exp(-(shares * shares.log()).sum())),
    }
    few = Pixels(
        learner.pixels.data, learner.pixels.rows[:NEIGHBOURS_AMONG], learner.recipe, learner.device
    )
    known = F.normalize(torch.cat(learner.outputs(few, learner.embed)).float(), dim=1)
    shown = _spread_over(len(held))
    similar, nearest = (unit[shown] @ known.T).topk(min(SHEET_NEIGHBOURS, len(few)), dim=1)
    around = [_pictures(few, row) for row in nearest.cpu().numpy()]
    return numbers, {
        "originals": _pictures(held, shown),
        "nearest": np.stack(around),
        "similarity": similar.cpu().numpy(),
    }


def _mean_image(pixels: Pixels) -> Tensor:
    """(1, 1, H, W) in [0, 1]."""
    total: Tensor | None = None
    for batch, _ in pixels.batches(np.arange(len(pixels)), even_slices(len(pixels), 256)):
        part = batch.double().sum(dim=0)
        total = part if total is None else total + part
    if total is None:
        raise ValueError("no images")
    return (total / len(pixels) / 255)[None, None].float()


def _spread_over(count: int) -> np.ndarray:
    """`SHEET_IMAGES` positions evenly over ``count``, or all."""
    return np.unique(np.linspace(0, count - 1, min(SHEET_IMAGES, count)).astype(np.int64))


def _pictures(pixels: Pixels, positions: np.ndarray) -> np.ndarray:
    """(m, H, W) uint8."""
    batches = pixels.batches(positions, [slice(0, len(positions))])
    return np.concatenate([batch.cpu().numpy() for batch, _ in batches])
