"""What a user asked of an ablation beside the data and how it runs.

Imports no torch: the command line reads its fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxrsearch.fields import Record, option

MOST_SEEDS = 100


@dataclass(frozen=True)
class Design(Record):
    """What is asked of an ablation beside the data and how it runs.

    Args:
        arms: names out of `cxrsearch.ablation.arms.ARMS`; None: all that can be had.
        seeds: how often each arm is trained.
        epochs: the budget, in passes of the baseline over the training part; None: its point's.
        input_size: what the network sees; None: the point's.
        search_trials: trials of an arm that searches.
        unlabelled: folder of images without a label; None: the data's own.
    """

    arms: tuple[str, ...] | None = option(
        None, "Arms beside the baseline. [default: all that can be had]", group="design",
        metavar="A,B,...",
    )  # fmt: skip
    seeds: int = option(
        5, "How often each arm is trained, each time with another seed.", group="design",
        low=1, high=MOST_SEEDS,
    )  # fmt: skip
    epochs: int | None = option(
        None,
        "Budget of each arm, in passes of the baseline over the training part. [default: the "
        "space's first point's]",
        group="design",
    )  # fmt: skip
    input_size: str | None = option(
        None, "What the network sees. [default: the space's first point's]", group="design",
        metavar="N|HxW",
    )  # fmt: skip
    search_trials: int = option(
        8, "Trials of an arm that searches.", group="design", low=2, high=1000
    )  # fmt: skip
    unlabelled: Path | None = None

    def problems(self) -> list[str]:
        """See `cxrsearch.fields.Record.problems`."""
        from cxrsearch.data.read import folder_problem
        from cxrsearch.equal_compute.plan import budget_problems
        from search.errors import did_you_mean

        from .arms import ARMS, BASELINE

        problems = [
            f"--arms {name}: there is no such arm{did_you_mean(name, ARMS)}; one of "
            f"{', '.join(ARMS)}"
            for name in self.arms or ()
            if name not in ARMS
        ]
        problems += super().problems()
        if self.arms is not None and not set(self.arms) - {BASELINE}:
            problems.append(f"--arms: give at least one arm beside the {BASELINE}")
        problems += budget_problems(self.epochs, self.input_size)
        if self.unlabelled is not None and (problem := folder_problem(self.unlabelled)):
            problems.append(f"--unlabelled {problem}")
        return problems
