"""What each gene is worth on real X-rays: trainings with it and without, on the same splits.

    cxrsearch ga --data my-xrays --space cpu --trials 1 --study scratch/any
    python -m experiments.genes --study scratch/any --rounds 8 --out scratch/genes.jsonl
    python -m experiments.genes --out scratch/genes.jsonl --report
    python -m experiments.genes --points cpu --study scratch/any --out scratch/points.jsonl

A round deals the training and validation part of the study anew, by patient, as a confirmation's
does; the test part stays out. In each round the baseline and every arm train once with the same
seed on the same images. The value is the mean AUROC on the round's validation part after the last
epoch, which nothing was chosen by. Printed is, for each arm, the mean paired difference to the
baseline, its 95% interval by Student's t over rounds, and what a training took beside the
baseline's. ``--set`` changes the baseline. Trainings that are in the file are not made again.

An arm with ``distill`` learns from a teacher: ``--teachers`` trainings of the baseline on the same
images by other seeds, each to its last epoch, whose probabilities are averaged. The time of an arm
is without its teacher's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from cxrsearch.learn.data import Pixels, TrainData
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.pseudo import teaching
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.learn.student import classifier_session
from cxrsearch.learn.train import train
from cxrsearch.study.drawn_weights import make_missing
from cxrsearch.study.folder import load_alone, trial_config
from cxrsearch.study.label_genes import read_space
from cxrsearch.study.space import fixed_to, read_genes, space_path
from search.seeds import derive

BASELINE: dict[str, Any] = {
    "model": "regnet_x_400mf", "input_size": 64, "epochs": 10, "batch_size": 32, "lr": 2e-3,
    "weight_decay": 0.05, "rotation": 10.0, "width_shift": 0.05, "height_shift": 0.05, "zoom": 0.1,
    "head_bias": "prevalence", "ema_norms": "measured",
}  # fmt: skip
"""A plain recipe for two cores."""

ARMS: dict[str, dict[str, Any]] = {
    "head_bias zero": {"head_bias": "zero"},
    "ema 0.99": {"ema": 0.99},
    "ema 0.99, norms averaged": {"ema": 0.99, "ema_norms": "averaged"},
    "swa 0.3": {"swa": 0.3},
    "mixup": {"mix": "mixup"},
    "cutmix": {"mix": "cutmix"},
    "mosaic": {"mix": "mosaic"},
    "erasing 0.3": {"erasing": 0.3},
    "trivial 0.5": {"trivial": 0.5},
    "horizontal_flip": {"horizontal_flip": True},
    "brightness, contrast 0.2": {"brightness": 0.2, "contrast": 0.2},
    "label_smoothing 0.05": {"label_smoothing": 0.05},
    "dropout 0.3": {"dropout": 0.3},
    "drop_path 0.1": {"drop_path": 0.1},
    "layer_decay 0.8": {"layer_decay": 0.8},
    "auc_margin": {"loss": "auc_margin"},
    "auxiliary 0.2": {"auxiliary": 0.2},
    "sharpness 0.05": {"sharpness": 0.05},
    "start_size 0.5": {"start_size": 0.5},
    "distill 0.5": {"distill": 0.5},
    "distill 0.9": {"distill": 0.9},
    "init drawn": {"init": "drawn"},
    "init drawn, half the rate": {"init": "drawn", "lr": 1e-3},
    "half the rate": {"lr": 1e-3},
}
"""What an arm changes of the baseline."""


def last_value(
    params: Mapping[str, Any], data: TrainData, seed: int, compute: Any
) -> tuple[float, float]:
    """Mean AUROC on the validation part after the last epoch, and the seconds of the training."""
    folder = Path(tempfile.mkdtemp(prefix="genes-"))
    begin, value = time.perf_counter(), float("nan")
    try:
        recipe = Recipe.from_params(params)
        for step in train(recipe, data, seed=seed, folder=folder, compute=compute, resamples=1):
            value = step.value
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return value, time.perf_counter() - begin


def taught(
    params: Mapping[str, Any], data: TrainData, seed: int, teachers: int, compute: Any
) -> TrainData:
    """``data`` with what an ensemble of ``params`` says of its training part, for `distill`."""
    recipe, said = Recipe.from_params(params), []
    for member in range(teachers):
        folder = Path(tempfile.mkdtemp(prefix="genes-"))
        session = classifier_session(
            recipe, data, seed=derive(seed, "teacher", member), folder=folder, compute=compute
        )
        try:
            learner = session.learner
            for epoch in range(1, recipe.epochs + 1):
                learner.epoch(epoch)
            said.append(
                learner.scores(Pixels(data, data.train, recipe, learner.device, learner.room))
            )
        finally:
            session.close()
            shutil.rmtree(folder, ignore_errors=True)
    scores = np.mean(said, axis=0)
    return replace(
        data, pseudo=teaching(data.names[data.train], scores, data.split, data.label_names)
    )


def points_of(
    space: str, genes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The first known-good point of a space, and what each other one changes of it.

    Args:
        space: a shipped one's name, or a file.
        genes: fixed for all of them.
    """
    found, _ = fixed_to(read_space(space_path(space)), genes)
    first, *others = [{**found.fixed, **point.params} for point in found.points]
    absent = {gene: spec["default"] for gene, spec in gene_limits().items()}
    return first, {
        point.name: {gene: params.get(gene, absent[gene]) for gene in {**first, **params}
                     if params.get(gene, absent[gene]) != first.get(gene, absent[gene])}
        for point, params in zip(found.points[1:], others, strict=True)
    }  # fmt: skip


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The trainings that were made."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def measure(args: argparse.Namespace) -> None:
    """Train the baseline and the arms, round by round."""
    prepared = load_alone(args.study, cpus_per_trial=args.threads)
    config = trial_config(args.study, prepared)
    if args.points:
        baseline, arms = points_of(args.points, read_genes(args.set))
    else:
        baseline, arms = {**BASELINE, **read_genes(args.set)}, ARMS
    if unknown := set(args.arms or ()) - set(arms):
        raise SystemExit(f"no such arm: {', '.join(sorted(unknown))}; known: {', '.join(arms)}")
    wanted = {"baseline": {}, **{name: arms[name] for name in args.arms or arms}}
    recipes = [Recipe.from_params({**baseline, **changes}) for changes in wanted.values()]
    make_missing(recipes, prepared.settings)
    done = {(line["arm"], line["round"]) for line in read_lines(args.out)}
    for round in range(1, args.rounds + 1):
        data = load_trial_data(config, round)
        for name, changes in wanted.items():
            if (name, round) in done:
                continue
            if changes.get("distill") and data.pseudo is None:
                data = taught(baseline, data, round, args.teachers, config.compute)
            value, seconds = last_value({**baseline, **changes}, data, round, config.compute)
            line = {"arm": name, "round": round, "value": value, "seconds": seconds,
                    "baseline": baseline}  # fmt: skip
            with args.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(f"# round {round} {name}: {value:.4f}, {seconds:.0f} s", flush=True)


def report(lines: list[dict[str, Any]]) -> list[str]:
    """A line an arm: mean, paired difference with its interval, rounds, time."""
    if len({json.dumps(line["baseline"], sort_keys=True) for line in lines}) > 1:
        raise SystemExit("the file has trainings of several baselines; use a file for each")
    by_arm: dict[str, dict[int, dict[str, Any]]] = {}
    for line in lines:
        by_arm.setdefault(line["arm"], {})[line["round"]] = line
    plain = by_arm.pop("baseline")
    mean = np.mean([line["value"] for line in plain.values()])
    found = [f"baseline: {mean:.4f} over {len(plain)} rounds"]
    for name, rounds in by_arm.items():
        shared = sorted(set(rounds) & set(plain))
        gains = np.array([rounds[r]["value"] - plain[r]["value"] for r in shared])
        took = np.median([rounds[r]["seconds"] / plain[r]["seconds"] for r in shared])
        half = np.nan
        if len(gains) > 1:
            half = student.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
        found.append(
            f"{name:26s} {gains.mean():+.4f} ({gains.mean() - half:+.4f} to "
            f"{gains.mean() + half:+.4f}), {len(gains)} rounds, {took:.2f} of the time"
        )
    return found


def main() -> None:
    """Parse; train, then print."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--study", type=Path, help="any study of the data")
    parser.add_argument("--out", type=Path, required=True, help="a line of JSON a training")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--arms", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--points", metavar="SPACE", help="compare its known-good points")
    parser.add_argument("--set", action="append", default=[], metavar="GENE=VALUE")
    parser.add_argument("--teachers", type=int, default=3, help="trainings that teach `distill`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="print what is there")
    args = parser.parse_args()
    if not args.report:
        measure(args)
    print("\n".join(report(read_lines(args.out))))


if __name__ == "__main__":
    main()
