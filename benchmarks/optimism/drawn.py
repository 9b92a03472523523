"""Small phantom X-rays, drawn once and kept: a pool for searches, and a judge."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrsearch.phantom.dataset import phantom_dataset

SIDE = 32
POOL, JUDGES = 10_000, 20_000
POOL_SEED, JUDGE_SEED = 1, 2


@dataclass(frozen=True)
class Drawn:
    """Images with their labels and patients.

    Args:
        pixels: (n, side, side) uint8.
        labels: (n, 14) of 0 and 1.
        patients: (n,) numbers.
    """

    pixels: np.ndarray
    labels: np.ndarray
    patients: np.ndarray


def drawn(folder: Path, images: int, seed: int, difficulty: float = 0.25) -> Drawn:
    """So many images of a seed, from ``folder`` where they were drawn before.

    Args:
        folder: where they are kept, as one NumPy file a set.
        images: how many.
        seed: of the set; two seeds share no patient.
        difficulty: of the phantom.
    """
    kept = folder / f"phantom-{images}-{SIDE}-{seed}-{difficulty}.npz"
    if not kept.exists():
        data = phantom_dataset(images, 0, seed=seed, difficulty=difficulty)
        pixels = np.stack([data.source.decode(name, SIDE) for name in data.names])
        folder.mkdir(parents=True, exist_ok=True)
        part = kept.with_name(f"part-{kept.name}")
        np.savez(part, pixels=pixels, labels=data.labels, patients=np.asarray(data.patients))
        part.replace(kept)
    with np.load(kept, allow_pickle=False) as file:
        return Drawn(file["pixels"], file["labels"], file["patients"])
