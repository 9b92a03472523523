"""Do draw ratios, one a disease, find better models than `balance` alone?

    python -m experiments.seed_ratios --seeds 6 --trials 16 --minutes 9
    python -m experiments.seed_ratios --network densenet121 --side 64 --epochs 24 --seeds 10

Searches the shipped space `seed-ratios` and the same space without its ratios, with the same
number of trials, on drawn X-rays: for each seed another phantom, split and search. Both begin
with the same two points, the natural draw and the balanced one. The trial with the best
validation score of each is then judged on the test part, which decides nothing, and the
differences are paired by seed; their 95% interval is Student's over the seeds. What the two points
themselves come to on the test part is printed beside it.

`small` is a network of five convolutions in DenseNet121's place, so that minutes on one core hold
several seeds. Goes on where it was cut off; `--minutes` ends it after the seed under way.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from scipy.stats import t as student
from torch import nn

from cxrsearch.learn.augment.frames import prepare, to_float
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.networks import models
from cxrsearch.learn.networks.architectures import NetworkParts
from cxrsearch.learn.networks.head import DropoutLinear
from cxrsearch.learn.networks.stem import GreyStem
from cxrsearch.learn.recipe import RATIO_PREFIX, Recipe
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.study.experiment import resume, search
from cxrsearch.study.folder import load_study
from cxrsearch.study.settings import Settings
from cxrsearch.study.space import shipped_spaces
from search.files import write_json
from search.reading import read_json
from search.store.record import read_study

ARMS = ("balance", "ratios")
POINTS = ("as the data is", "balanced")
"""The first two trials of both arms."""
JUDGED = "judged.json"


class Judged(NamedTuple):
    """One finished search.

    Args:
        best: mean AUROC on the test part of the trial that is best on validation.
        validation: what that trial has there.
        points: of the natural and of the balanced draw, on the test part.
        trials: complete ones.
    """

    best: float
    validation: float
    points: list[float]
    trials: int


def small(n_classes: int, *, dropout: float) -> NetworkParts:
    """Five convolutions and a linear layer, 0.2 million weights."""
    layers: list[nn.Module] = [GreyStem(nn.Conv2d(3, 16, 3, 2, 1, bias=False))]
    for inputs, outputs, stride in ((16, 32, 2), (32, 64, 1), (64, 96, 2), (96, 128, 1)):
        layers += [nn.BatchNorm2d(inputs), nn.ReLU()]
        layers += [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)]
    layers += [nn.BatchNorm2d(128), nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten()]
    net = nn.Sequential(*layers)
    net.add_module("classifier", DropoutLinear(9 * 128, n_classes, dropout))
    maps = len(layers) - 2  # before the pooling
    return NetworkParts(net, [[layers[0]]], "0", lambda net, grey: net[:maps](grey))


def space_of(arm: str, side: int, epochs: int) -> dict[str, Any]:
    """The shipped space as the ``arm`` searches it, with pictures and epochs of the benchmark."""
    space = yaml.safe_load(shipped_spaces()["seed-ratios"].read_text())
    space["name"] = f"seed-ratios-{arm}"
    space["fixed"] |= {"input_size": side, "epochs": epochs}
    if arm == "balance":
        parts = [space["genes"], *(point["params"] for point in space["points"])]
        for genes in parts:
            for name in [name for name in genes if name.startswith(RATIO_PREFIX)]:
                del genes[name]
    return dict(space)


def run(arm: str, seed: int, args: argparse.Namespace, place: Path) -> Judged:
    """One search, or what is left of it, and its judgement."""
    folder = place / f"seed-{seed}-{arm}"
    if (folder / JUDGED).exists():
        return Judged(**read_json(folder / JUDGED))
    if (folder / "study.yaml").exists():
        counts = read_study(folder).counts()
        if counts["interrupted"] + counts["paused"] or sum(counts.values()) < args.trials:
            resume(folder)
    else:
        path = place / f"{arm}.yaml"
        path.write_text(yaml.safe_dump(space_of(arm, args.side, args.epochs), sort_keys=False))
        settings = Settings(
            space=str(path), seed=seed, phantom_images=args.images, trials=args.trials,
            phantom_difficulty=args.difficulty, test_share=0.5, val_share=0.3, runner="serial",
            cpus_per_trial=1, device="cpu", cache=args.cache, keep_checkpoints="all", confirm=0.0,
        )  # fmt: skip
        search(settings, folder)
    found = judge(folder)
    write_json(folder / JUDGED, found._asdict())
    return found


def judge(folder: Path) -> Judged:
    """The winner of the study in ``folder``, and its two points, on the test part."""
    prepared = load_study(folder)
    row_of = {name: row for row, name in enumerate(prepared.cache.names)}
    rows = np.array([row_of[name] for name in prepared.splits.test])
    label_of = dict(zip(prepared.dataset.names, prepared.dataset.labels, strict=True))
    labels = np.stack([label_of[name] for name in prepared.splits.test])
    record = read_study(folder)
    best = record.best()
    assert best is not None
    assert best.value is not None

    def score(number: int) -> float:
        params = record.trials[number].user_attrs["params"]
        weights, _ = checkpoint.load_tensors(folder / "trials" / str(number) / BEST)
        recipe = Recipe.from_params(params)
        network = models.build_model(recipe, n_classes=14)
        network.load_state_dict(weights)
        network.eval()
        pixels = prepare(prepared.cache.images, rows, recipe.crop, recipe.input_size)
        with torch.inference_mode():
            logits = torch.cat([network(to_float(part)) for part in pixels.split(64)])
        return mean_auroc(auroc(labels, logits.numpy()))

    done = record.counts()["complete"]
    return Judged(score(best.number), best.value, [score(n) for n in range(len(POINTS))], done)


def interval(differences: Sequence[float]) -> tuple[float, float]:
    """Student's 95% interval of the mean of at least two ``differences``."""
    half = student.ppf(0.975, len(differences) - 1) * stdev(differences) / len(differences) ** 0.5
    return fmean(differences) - half, fmean(differences) + half


def show(found: dict[int, dict[str, Judged]]) -> None:
    """Print the seeds and the paired differences."""
    print("mean AUROC on the test part, of the trial that is best on validation")
    print(
        f"{'seed':>4}{'balance':>10}{'ratios':>10}{'difference':>12}   "
        f"{POINTS[0]:>15}{POINTS[1]:>10}   trials trained to the end"
    )
    for seed, arms in found.items():
        one, other = arms["balance"], arms["ratios"]
        print(
            f"{seed:>4}{one.best:>10.3f}{other.best:>10.3f}{other.best - one.best:>+12.3f}   "
            f"{one.points[0]:>15.3f}{one.points[1]:>10.3f}   {one.trials} and {other.trials}"
        )
    rows = list(found.values())
    pairs = {
        "ratios - balance": [r["ratios"].best - r["balance"].best for r in rows],
        "balance - as the data is": [r["balance"].best - r["balance"].points[0] for r in rows],
        "ratios - as the data is": [r["ratios"].best - r["balance"].points[0] for r in rows],
        "the same on validation, ratios - balance": [
            r["ratios"].validation - r["balance"].validation for r in rows
        ],
    }
    for name, values in pairs.items():
        span = "one seed, no interval"
        if len(values) > 1:
            low, high = interval(values)
            span = f"95% {low:+.3f} to {high:+.3f}, {len(values)} seeds"
        print(f"{name}: {fmean(values):+.3f} ({span})")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("results/bench-seed-ratios"))
    parser.add_argument("--cache", help="folder of the decoded cache")
    parser.add_argument("--network", choices=("small", "densenet121"), default="small")
    parser.add_argument("--images", type=int, default=1500, help="half of them judge")
    parser.add_argument("--difficulty", type=float, default=0.5)
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--trials", type=int, default=16, help="of each search")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--minutes", type=float, help="begin no further seed after so many")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing, print what there is after each seed."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    args, start = parse(arguments), time.monotonic()
    torch.set_num_threads(1)
    size = f"{args.images}-{args.difficulty:g}-{args.side}px-{args.epochs}-{args.trials}"
    place = args.out / f"{args.network}-{size}"
    place.mkdir(parents=True, exist_ok=True)
    original = models.NETWORKS["densenet121"]
    if args.network == "small":  # for this process alone
        models.NETWORKS["densenet121"] = small
    found: dict[int, dict[str, Judged]] = {}
    try:
        for seed in range(args.seeds):
            if args.minutes and time.monotonic() - start > 60 * args.minutes:
                print(f"{args.minutes:g} minutes are over: {seed} of {args.seeds} seeds")
                break
            found[seed] = {arm: run(arm, seed, args, place) for arm in ARMS}
            show(found)
    finally:
        models.NETWORKS["densenet121"] = original


if __name__ == "__main__":
    main()
