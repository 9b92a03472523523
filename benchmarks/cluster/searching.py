"""The driver of `benchmarks.cluster`: a process that is killed, and one that goes on.

    python -m benchmarks.cluster.searching FOLDER ADDRESS TRIALS SECONDS [URL]

Says ``start`` or ``end`` and the time for each event of its trials.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.kills_search import LEDGER, SPACE, Ledgered
from search.budget import Budget
from search.events import Event
from search.objective import Steps, Task
from search.space import SearchSpace
from search.study import Study, StudyConfig
from search.tune import Resources, run_tune


class Placed(Ledgered):
    """The objective; it also says on which node a trial ended."""

    def __call__(self, task: Task) -> Steps:
        """Run ``task``, or go on with it."""
        import ray

        outcome = yield from super().__call__(task)
        node = ray.get_runtime_context().get_node_id()
        return replace(outcome, attrs={**outcome.attrs, "node": node})


def say(event: Event) -> None:
    """A line an event, with a clock that all processes share."""
    if event.kind in ("start", "end"):
        print(event.kind, time.monotonic(), flush=True)


def main(folder: Path, address: str, trials: int, seconds: float, url: str | None) -> None:
    """Make the study, or go on with it, to its end."""
    home = folder / "study"
    if home.exists():
        study = Study.open(home, url)
    else:
        space = SearchSpace.from_dict(SPACE, "kills_search")
        study = Study.create(home, space, StudyConfig(folder.name, "random", 0), url)
    with study:
        objective = Placed(folder / LEDGER, seconds)
        run_tune(study, objective, Budget(trials=trials), Resources(address=address), say)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]).absolute(), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]),
        sys.argv[5] if len(sys.argv) > 5 else None,
    )  # fmt: skip
