"""Real learning curves, for the commands that replay a rule on them.

Recipes are drawn from `curves_space.yaml` and trained on real X-rays by the trainer's own
`Learner`. After each epoch two parts of other patients are scored: the *seen* one, which a
search would decide by, and the *judging* one, which says what a decision was worth: the best
of many noisy values is too good on the part that it was chosen on.

A finished curve is a line of JSON, so that a run that is cut off goes on where it stopped,
and curves can be committed: they are numbers only.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.read import read_dataset
from cxrsearch.data.splits import make_splits
from cxrsearch.learn.augment.frames import FRAME
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.isolate import isolated
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.data import Pixels, TrainData, make_data
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.learn.saved.arrays import Labels
from cxrsearch.study.space import gene_values
from search.space import SearchSpace

SPACE = Path(__file__).with_name("curves_space.yaml")
Key = tuple[int, int, int, int]
"""(recipe, seed, input size, epochs)."""


@dataclass(frozen=True)
class Curve:
    """One training run.

    Args:
        recipe: its number among the drawn ones.
        seed: of the training.
        size: side of what the network sees.
        epochs: of its schedule, all of them trained.
        params: its genes.
        seen: mean AUROC after each epoch on the part that decides.
        judged: the same on the part that judges.
        seconds: of training and scoring the seen part, each epoch.
    """

    recipe: int
    seed: int
    size: int
    epochs: int
    params: dict[str, Any]
    seen: list[float]
    judged: list[float]
    seconds: list[float]

    @property
    def key(self) -> Key:
        """What tells it from others."""
        return self.recipe, self.seed, self.size, self.epochs


def drawn(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """The first ``count`` recipes' genes; more of them begin with the same ones."""
    space = SearchSpace.load(SPACE, known=gene_limits())
    units = np.random.default_rng(seed).random((count, len(space.genes)))
    return [{**space.fixed, **space.decode(unit)} for unit in units]


def frame_for(size: int) -> int:
    """Side of the cached images from which every recipe's crop can be resized to ``size``."""
    smallest = min(gene_values(SearchSpace.load(SPACE, known=gene_limits()), "crop", Recipe.crop))
    return 32 * math.ceil(size * FRAME / smallest / 32)


def load(data: Path, cache: Path | None, frame: int, seed: int = 0) -> TrainData:
    """The X-rays in ``data``: ``val_seed`` is the seen part, ``val`` the judging one.

    Args:
        data: folder of images with a label table.
        cache: folder of the decoded cache.
        frame: its side.
        seed: of the split, by patients: a fifth judges, a fifth of the rest is seen.
    """
    dataset = read_dataset(data, None)
    decoded = open_cache(dataset, frame, root=cache)
    splits = make_splits(dataset.names, dataset.labels, dataset.patients, seed=seed)
    labels = Labels.of(dataset)
    seen = make_data(decoded, labels, splits)
    judging = make_data(decoded, labels, replace(splits, val=splits.test))
    return replace(seen, val_seed=seen.val, val=judging.val)


def train(data: TrainData, number: int, seed: int, size: int, epochs: int) -> Curve:
    """Train recipe ``number`` for ``epochs`` epochs on one thread."""
    params = {**drawn(number + 1)[number], "input_size": size, "epochs": epochs}
    recipe, device = Recipe.from_params(params), torch.device("cpu")
    compute = ComputeOptions("cpu", 1)
    found: dict[str, list[float]] = {"seen": [], "judged": [], "seconds": []}
    with isolated(compute, seed):
        learner = Learner(recipe, data, seed=seed, compute=compute)
        parts = [Pixels(data, rows, recipe, device) for rows in (data.val_seed, data.val)]
        for epoch in range(1, epochs + 1):
            start = time.perf_counter()
            learner.epoch(epoch)
            found["seen"].append(_score(learner, parts[0], data.labels[data.val_seed]))
            found["seconds"].append(round(time.perf_counter() - start, 2))
            found["judged"].append(_score(learner, parts[1], data.labels[data.val]))
    return Curve(number, seed, size, epochs, params, **found)


def _score(learner: Learner, pixels: Pixels, labels: np.ndarray) -> float:
    return round(float(mean_auroc(auroc(labels, learner.scores(pixels)))), 5)


def read(path: Path) -> dict[Key, Curve]:
    """The curves in ``path``. A last line that was cut off counts as none."""
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines()
    return {curve.key: curve for curve in (Curve(**json.loads(line)) for line in lines)}


def collect(wanted: Iterable[Key], data: TrainData, path: Path) -> dict[Key, Curve]:
    """All ``wanted`` curves: those in ``path``, and the others, trained and added to it."""
    found = read(path)
    missing = [key for key in wanted if key not in found]
    if path.exists() and (text := path.read_text(encoding="utf-8")) and not text.endswith("\n"):
        path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")  # a torn last line
    for done, key in enumerate(missing, 1):
        curve = train(data, *key)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(curve), separators=(",", ":")) + "\n")
        found[key] = curve
        print(
            f"{done} of {len(missing)}: recipe {key[0]}, seed {key[1]}, {key[2]} px, "
            f"{sum(curve.seconds):.0f} s, best {max(curve.seen):.3f}",
            flush=True,
        )
    return found
