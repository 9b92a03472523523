"""A search's winner and its ensemble against a plain script that had the same wall-clock.

    python -m experiments.winner run --data my-xrays --minutes 30 --seeds 0 1 2 --out scratch/winner
    python -m experiments.winner report --out scratch/winner

``run`` makes, for each seed, what a user would: ``cxrsearch ga --space SPACE --time-budget``, then
``train``, ``train --ensemble 5`` and, which takes five trainings more, the same with ``--retrain``.
The plain script then gets as many seconds as search and training of the single model took together,
on as many cores, once for each setting. All are
scored on the test part of the search's own split. ``report`` prints each against each setting of
the script: the mean over seeds, and the paired difference with an interval over patients and
seeds. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.metrics import auroc, mean_auroc
from search.files import write_json
from search.reading import read_json

from .plain import Setting, probabilities, read_xrays, train_plainly

SCRATCH = {
    "resnet18-96": Setting("resnet18", size=96, mixup=0.4, ema=0.998),
    "densenet121-64": Setting("densenet121", size=64, mixup=0.4, ema=0.998),
    "densenet121-64-plain": Setting("densenet121", size=64, epochs=12),
    "resnet18-64-short": Setting("resnet18", size=64, lr=2e-3, mixup=0.4, ema=0.98, epochs=10),
    "resnet18-96-short": Setting("resnet18", size=96, lr=2e-3, mixup=0.4, ema=0.98, epochs=12),
}
"""The script's settings from scratch: what did best of what was tried by hand, and a plain one."""


MODELS = {
    "single": (), "ensemble": ("--ensemble", "5"), "retrained": ("--ensemble", "5", "--retrain"),
}  # fmt: skip
"""What ``train`` makes of a search, and the words that it is asked by."""


def finetuned(init: str, model: str) -> dict[str, Setting]:
    """The script's settings with starting weights: a short one, and all of the time."""
    return {
        "finetune-128-8": Setting(model, init, 128, lr=3e-4, epochs=8),
        "finetune-128": Setting(model, init, 128, lr=3e-4),
        "finetune-128-mixup": Setting(model, init, 128, lr=3e-4, mixup=0.4, ema=0.998),
    }


def cxrsearch(*words: object) -> None:
    """Run the command line in a process of its own; what it prints goes on to the terminal."""
    subprocess.run([sys.executable, "-m", "cxrsearch", *map(str, words)], check=True)


def table_scores(path: Path, names: list[str]) -> np.ndarray:
    """(n, 14) probabilities of ``names`` out of a table that ``cxrsearch predict`` wrote."""
    table = pd.read_csv(path).set_index("image")
    wide = table.pivot(columns="label", values="probability") if "label" in table else table
    return wide.loc[names, list(DISEASES)].to_numpy(np.float32)


def searched(args: argparse.Namespace, seed: int) -> Path:
    """Search, train and predict as a user would; the folder that holds the outcome."""
    folder: Path = args.out / f"{args.space}-{args.minutes}m-seed{seed}"
    done = folder / "done.json"
    if done.exists():
        return folder
    study = folder / "study"
    folder.mkdir(parents=True, exist_ok=True)
    took, begin = {}, time.perf_counter()
    cxrsearch("ga", "--data", args.data, "--space", args.space, "--time-budget",
              f"{args.minutes}m", "--seed", seed, "--study", study, *args.more)  # fmt: skip
    took["search"] = time.perf_counter() - begin
    for name in args.models:
        words = MODELS[name]
        begin = time.perf_counter()
        cxrsearch("train", study, *words, "--out", folder / name)
        took[name] = time.perf_counter() - begin
        cxrsearch("predict", folder / name, args.data / "images", "--out", folder / f"{name}.csv")
    write_json(done, took)
    return folder


def run(args: argparse.Namespace) -> None:
    """Make whatever is not there yet."""
    xrays = read_xrays(args.data)
    settings = finetuned(args.init, args.model) if args.init else SCRATCH
    for seed in args.seeds:
        folder = searched(args, seed)
        took = read_json(folder / "done.json", "what a search took")
        parts = read_json(folder / "study" / "splits.json", "the splits")
        known = [name for part in ("train", "val") for name in parts[part]]
        marks = np.array([xrays[name][1] for name in known])
        torch.set_num_threads(args.threads)
        for name in args.settings or settings:
            path = folder / f"plain-{name}.npz"
            if path.exists():
                continue
            net, epochs = train_plainly(
                [xrays[each][0] for each in known], marks, settings[name],
                took["search"] + took["single"], seed,
            )  # fmt: skip
            files = [xrays[each][0] for each in parts["test"]]
            np.savez(path, scores=probabilities(net, files, settings[name].size), epochs=epochs)
            print(f"{path}: {epochs} epochs", flush=True)
    report(args)


def report(args: argparse.Namespace) -> None:
    """Print the mean test AUROC of each, and paired differences."""
    xrays = read_xrays(args.data)
    every: dict[str, list[np.ndarray]] = {}
    tests: list[list[str]] = []
    for folder in sorted(args.out.glob(f"{args.space}-{args.minutes}m-seed*")):
        if not (folder / "done.json").exists():
            continue
        test = read_json(folder / "study" / "splits.json", "the splits")["test"]
        tests.append(test)
        for name in MODELS:
            if (folder / f"{name}.csv").exists():
                every.setdefault(name, []).append(table_scores(folder / f"{name}.csv", test))
        for path in sorted(folder.glob("plain-*.npz")):
            every.setdefault(path.stem, []).append(np.load(path)["scores"])
    labels = [np.array([xrays[name][1] for name in test]) for test in tests]
    owners = [np.array([xrays[name][2] for name in test]) for test in tests]
    rows = {}
    rng = np.random.default_rng(0)
    drawn = {name: [] for name in every}
    for _ in range(args.resamples):
        chosen = rng.integers(len(tests), size=len(tests))
        picks = [_patients(owners[seed], rng) for seed in chosen]
        for name, scores in every.items():
            found = [
                _mean(labels[s][pick], scores[s][pick])
                for s, pick in zip(chosen, picks, strict=True)
                if s < len(scores)
            ]
            drawn[name].append(float(np.mean(found)) if found else float("nan"))
    for name, scores in every.items():
        values = [_mean(labels[s], each) for s, each in enumerate(scores)]
        rows[name] = {"auroc": float(np.mean(values)), "seeds": values}
        for mine in MODELS:
            if name.startswith("plain") and mine in every:
                ends = np.nanpercentile(
                    np.array(drawn[mine]) - np.array(drawn[name]), [2.5, 97.5]
                ).tolist()
                rows[name][mine] = {"difference": rows[mine]["auroc"] - rows[name]["auroc"],
                                    "interval": ends}  # fmt: skip
        print(f"{name}: test AUROC {rows[name]['auroc']:.3f} over {len(values)} seeds")
        for mine in MODELS:
            if mine in rows[name]:
                low, high = rows[name][mine]["interval"]
                gain = rows[name][mine]["difference"]
                print(f"    {mine} minus it: {gain:+.3f} ({low:+.3f} to {high:+.3f})")
    write_json(args.out / f"{args.space}-{args.minutes}m.json", rows)


def _mean(labels: np.ndarray, scores: np.ndarray) -> float:
    return float(mean_auroc(auroc(labels, scores)))


def _patients(owners: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rows of as many patients as there are, drawn with replacement."""
    people, where = np.unique(owners, return_inverse=True)
    groups = np.split(np.argsort(where, kind="stable"), np.cumsum(np.bincount(where))[:-1])
    return np.concatenate([groups[i] for i in rng.integers(len(people), size=len(people))])


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("command", choices=("run", "report"))
    parser.add_argument("--data", type=Path, required=True, help="a folder in NIH's format")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--space", default="cpu")
    parser.add_argument("--minutes", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2, help="cores of the plain script")
    parser.add_argument("--init", help="weights file that both sides start from")
    parser.add_argument("--model", default="timm:tf_efficientnet_lite0", help="network of --init")
    parser.add_argument("--settings", nargs="+", help="of the plain script; default: all")
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS),
                        help="what is trained of the search; default: all")  # fmt: skip
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--more", nargs=argparse.REMAINDER, default=[], help="further words of ga")
    args = parser.parse_args()
    {"run": run, "report": report}[args.command](args)


if __name__ == "__main__":
    main()
