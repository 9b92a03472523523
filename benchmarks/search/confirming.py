"""Whether cells of older code still are what today's code does, by running some of them again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from . import cells, running


def confirm(path: Path, version: str, every: int, jobs: int) -> dict[str, Any]:
    """Give the stale cells of a file today's version, if every one run again agrees.

    Args:
        path: the cells of one sampler.
        version: today's, of the sampler.
        every: one stale cell in so many is run again, at least one.
        jobs: processes.

    Returns:
        ``confirmed``, the sampler; ``versions`` before and ``version`` now; how many ``cells``
        were confirmed and how many ran ``again``.

    Raises:
        ValueError: some came out otherwise, or failed; nothing was changed.
    """
    found = cells.read(path)
    stale = {
        key: cell
        for key, cell in sorted(found.items())
        if cell.version != version and cell.definition == running.definition(cell.problem)
    }
    sample = list(stale.values())[::every]
    work = [running.Job(c.sampler, version, c.slow, c.problem, c.seed, c.trials) for c in sample]
    fresh: dict[cells.Key, cells.Cell] = {}

    def keep(cell: cells.Cell) -> None:
        fresh[cell.key] = cell

    wrong = [
        f"{job.problem}, seed {job.seed}: {why}"
        for job, why in running.run_all(work, jobs, keep)
        if why
    ]
    wrong += [
        f"{cell.problem}, seed {cell.seed}: another result"
        for cell in sample
        if cell.key in fresh and fresh[cell.key].best != cell.best
    ]
    if wrong:
        raise ValueError(
            f"{len(wrong)} of {len(sample)} cells did not come out the same: {'; '.join(wrong)}; "
            "run all of them again with --fresh"
        )
    for cell in stale.values():
        cells.append(path, replace(cell, version=version))
    cells.tidy(path)
    return {
        "confirmed": path.stem,
        "versions": sorted({cell.version for cell in stale.values()}),
        "version": version,
        "cells": len(stale),
        "again": len(sample),
    }
