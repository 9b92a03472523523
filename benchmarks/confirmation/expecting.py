"""What the surrogate expects of a trace's trials, kept beside the traces: it takes a while."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.expectation import expected

from .problems import problem
from .traces import TRACES, Trace


def values(trace: Trace, trials: int, folder: Path = TRACES) -> dict[int, float]:
    """Expected value of each of the first trials, by number."""
    path = folder / "expected" / f"{trace.sampler}.jsonl"
    key = json.dumps([trace.version, trace.problem, trace.seed, trials])
    kept = _kept(path)
    if key not in kept:
        kept[key] = expected(
            frozen(trace, trials), space=dict(problem(trace.problem).distributions)
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps([key, list(kept[key].items())]) + "\n")
    return kept[key]


def frozen(trace: Trace, trials: int) -> list[FrozenTrial]:
    """The first trials as Optuna has them."""
    space: dict[str, Any] = dict(problem(trace.problem).distributions)
    study = optuna.create_study(direction="maximize")
    for params, value in zip(trace.params[:trials], trace.observed[:trials], strict=True):
        own = {name: space[name] for name in params}
        study.add_trial(
            create_trial(state=TrialState.COMPLETE, value=value, params=params, distributions=own)
        )
    return study.get_trials(deepcopy=False)


@cache
def _kept(path: Path) -> dict[str, dict[int, float]]:
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    lines = (json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines())
    return {key: {int(n): float(v) for n, v in pairs} for key, pairs in lines}
