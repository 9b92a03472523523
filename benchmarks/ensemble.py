"""Ensembles of real models' predictions: what each way of weighting is worth on new patients.

    python -m benchmarks.ensemble --file fit_half.npz [--folds 5] [--methods greedy,stacking]

The file holds ``labels`` (n, 14), ``patient`` (n,) and one (n, 14) array of logits a model.
Every figure called nested comes from patients that neither the weights nor the choice of the
best single model have seen; the gain's interval resamples patients and is paired. Naive is
the same method fitted and scored on all images: selected, so too high.

`METHODS` below were all tried, and are all shown. Before `stacking` was settled its prior's
strength, the weight of the other diseases, the scale of the features and a linear
discriminant in its place were looked at on the same file, about 50 settings in all; between
the better twenty of them the nested mean AUROC differs by 0.002. Its own estimate here is
therefore too high by up to about that, and another half of the patients is the judge.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from cxrsearch.learn.ensemble import NestedEstimate, nested, read_predictions

METHODS: tuple[str | tuple[str, str], ...] = (
    ("uniform", "probability"), ("uniform", "logit"), ("uniform", "rank"),
    ("greedy", "probability"), ("greedy", "logit"), ("greedy", "rank"),
    ("greedy-each", "probability"), ("genetic", "probability"), "logistic", "stacking",
)  # fmt: skip


def table(found: Sequence[NestedEstimate]) -> str:
    """The estimates as lines of text."""
    lines = [f"{'':26}{'nested':>8}  {'gain (95% interval)':<31}{'naive':>8}{'gap':>8}"]
    for one in found:
        low, high = one.gain_interval
        gain = "" if one is found[0] else f"{one.gain:+.4f} ({low:+.4f} to {high:+.4f})"
        lines.append(f"{one.method:26}{one.nested:8.4f}  {gain:<31}{one.naive:8.4f}{one.gap:8.4f}")
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", help="names, with commas; all by default")
    chosen = parser.parse_args(words)
    half = read_predictions(chosen.file)
    wanted = set(chosen.methods.split(",")) if chosen.methods else None
    methods = [
        m for m in METHODS if wanted is None or (m if isinstance(m, str) else m[0]) in wanted
    ]
    people = len(set(half.patients.tolist()))
    print(
        f"{len(half.names)} models, {len(half.labels)} images, {people} patients, "
        f"{chosen.folds} folds by patient"
    )
    clock = time.perf_counter()

    def done(name: str) -> None:
        print(f"  {name}: {time.perf_counter() - clock:.0f} s", flush=True)

    found = nested(
        half.scores, half.labels, half.patients, methods, folds=chosen.folds, seed=chosen.seed,
        on_progress=done,
    )  # fmt: skip
    print(table(found))


if __name__ == "__main__":
    main()
