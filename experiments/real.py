"""A genetic search, TPE and random search on the same real X-rays, judged on the test part.

    python -m experiments.real --data my-xrays --out scratch/real

Runs each as a user would (Ray, early stopping on), retrains the winner, evaluates it once on the
test part, and prints a table: the best validation score, the test score with its interval, and both
as a difference to random search with the same number of trials. One seed is one draw: the intervals
say how little a difference of a few hundredths means.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def cxrsearch(*words: object) -> str:
    """Run the command line in a process of its own; its output."""
    command = [sys.executable, "-m", "cxrsearch", *map(str, words)]
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def best_of_first(study: Path, count: int) -> float:
    """The best validation score among the first ``count`` trials."""
    from search.store.record import read_study

    values = [t.value for t in read_study(study).trials[:count] if t.state.name == "COMPLETE"]
    return max(values)


def search(name: str, words: list[object], args: argparse.Namespace) -> dict[str, object]:
    """One search (skipped where it is done already), its winner trained and judged."""
    study, model = args.out / name, args.out / f"{name}-model"
    if (study / "study.yaml").exists():
        cxrsearch("resume", study)
    else:
        cxrsearch(*words, "--data", args.data, "--space", args.space, "--seed", args.seed,
                  "--study", study)  # fmt: skip
    status = json.loads(cxrsearch("status", study, "--json"))
    if status["best"]["test"] is None:
        if not (model / "model.json").exists():
            cxrsearch("train", study, "--out", model)
        cxrsearch("evaluate", model)
        status = json.loads(cxrsearch("status", study, "--json"))
    return status


def main() -> None:
    """Parse, run the three searches, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--space", type=Path, default=HERE / "real_space.yaml")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    runs: dict[str, list[object]] = {
        "ga": ["ga", "--generations", 3, "--population", 6],
        "tpe": ["optuna", "--sampler", "tpe", "--trials", 12],
        "random": ["optuna", "--sampler", "random", "--trials", 18],
    }
    found = {name: search(name, words, args) for name, words in runs.items()}
    print("search  trials  validation  vs random, same trials  test   95% interval    model")
    for name, status in found.items():
        best, trials = status["best"], status["trials"]["total"]
        gain = best["value"] - best_of_first(args.out / "random", trials)
        test = best["test"]
        low, high = test["interval"]
        print(
            f"{name:<7} {trials:>6}  {best['value']:>10.3f}  {gain:>+23.3f}  "
            f"{test['mean']:.3f}  {low:.3f} to {high:.3f}  {best['params']['model']}"
        )
    for name, status in found.items():
        print(name, "trials by state:", status["trials"], "seconds:", round(status["elapsed"]))


if __name__ == "__main__":
    main()
