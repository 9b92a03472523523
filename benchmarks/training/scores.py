"""``metrics``: AUROC of real logits and its bootstrap against scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.measure import Spread
from benchmarks.metrics import against, naive_bootstrap, read, synthetic

from .material import LOGITS, Setup
from .report import Report

FASTER, DIFFERENCE = 8.0, 1e-12


def metrics(where: Setup, file: Path | None, naive: int) -> Report:
    """Speed and value beside scikit-learn's.

    Args:
        where: rounds and so on.
        file: logits as `benchmarks.metrics` reads them; None: the real ones where they are.
        naive: resamples of the bootstrap with scikit-learn, from which 1,000 are extrapolated.
    """
    report = Report("metrics", where)
    file = file or (LOGITS if LOGITS.exists() else None)
    labels, scores, patients = read(file) if file else synthetic()
    table = report.table(
        f"AUROC of {labels.shape[0]:,} x {labels.shape[1]} "
        f"{'real' if file else 'drawn'} logits ({scores.dtype})",
        "what", "ours, ms", "scikit-learn, ms", "ratio",
    )  # fmt: skip
    for name, given in (("as they are", scores), ("as float32", scores.astype(np.float32))):
        found = against(labels, given, max(where.rounds, 5))
        ours, theirs = (Spread.of([1000 * s for s in column]) for column in found.seconds)
        table.add(name, ours, theirs, found.ratio)
        report.target(f"AUROC, {name}: ratio to scikit-learn", found.ratio.median, FASTER)
        report.target(f"AUROC, {name}: difference", found.difference, DIFFERENCE, most=True)
    spread = np.random.default_rng(where.seed).uniform(0, 1e-3, scores.shape)
    found = against(labels, (scores + spread).astype(np.float32), max(where.rounds, 5))
    ours, theirs = (Spread.of([1000 * s for s in column]) for column in found.seconds)
    table.add("moved a little, so that none are equal, float32", ours, theirs, found.ratio)
    took = naive_bootstrap(labels, scores, patients, naive, where.rounds)
    ours, theirs = (Spread.of([1000 * s for s in column]) for column in took.seconds)
    table.add("bootstrap, 1,000 resamples of patients", ours, theirs, took.ratio)
    report.notes = [
        "logits of half precision have many ties and sort faster; float32 ones without ties are "
        "in the table and not judged",
        f"bootstrap with scikit-learn: {naive} resamples timed, 1,000 extrapolated from them",
    ]
    return report
