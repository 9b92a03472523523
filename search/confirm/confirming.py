"""Which finalists a study confirms, and which rerun is next: read off the history alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial

from search.trials.marks import confirms, round_of, searched
from search.trials.summary import is_blameless

from .race import Doubt, next_rerun
from .reruns import Rerun, numbers_in, reruns


@dataclass(frozen=True)
class Confirming:
    """How the finalists of a search are confirmed.

    Args:
        finalists: chooses them from the search's own trials; at most as many as are complete.
        reruns: of all finalists together, those of earlier runs included; or what says so, from
            the search's own trials.
        doubt: how sure the difference of two reruns is; see `search.confirm.race`.
        seconds: running time of the study in total, the search's included; ``None``: any.
        top: how many finalists are asked for, where that was said: where it is another number
            than before, they are chosen anew.
    """

    finalists: Callable[[Sequence[FrozenTrial]], Sequence[int]]
    reruns: int | Callable[[Sequence[FrozenTrial]], int]
    doubt: Doubt | None = None
    seconds: float | None = None
    top: int | None = None

    def plan(self, trials: Sequence[FrozenTrial], stored: object = None) -> dict[str, Any]:
        """Who is confirmed and by how many reruns, as the study attribute `FINALISTS` keeps it.

        Args:
            trials: all of the study's.
            stored: the attribute as it is. It holds as long as no further trial of the search has
                ended, and as many reruns and finalists are asked for.

        Raises:
            ValueError: where a finalist is none of the search's own trials.
        """
        own = searched(trials)
        key = {
            "after": sum(trial.state.is_finished() for trial in own),
            "reruns": self.reruns if isinstance(self.reruns, int) else self.reruns(own),
            "top": self.top,
        }
        if isinstance(stored, Mapping) and numbers_in(stored):
            kept = {name: stored.get(name) for name in key}
            if kept == key:
                return {**key, "numbers": list(numbers_in(stored))}
        numbers = [int(number) for number in self.finalists(own)]
        strange = sorted(set(numbers) - {trial.number for trial in own})
        if strange:
            raise ValueError(
                f"finalists {', '.join(map(str, strange))}: not among the {len(own)} trials that "
                "the search itself has asked for"
            )
        return {**key, "numbers": numbers}

    def next(
        self, trials: Sequence[FrozenTrial], plan: Mapping[str, Any], retries: int = 0
    ) -> tuple[int, int] | None:
        """The rerun to run next, as its finalist and its round; ``None``: nothing more, or nothing
        until one of those that run has ended.

        Args:
            trials: all of the study's.
            plan: from `plan`.
            retries: how often a rerun that the machine ended for good is asked for once more;
                after that its finalist is out, as where it had failed by its own fault.
        """
        finalists = numbers_in(plan)
        done = [rerun for rerun in reruns(trials) if rerun.finalist in finalists]
        done += [rerun for rerun in _lost(trials, retries) if rerun.finalist in finalists]
        return next_rerun(finalists, done, plan["reruns"], self.doubt)


def _lost(trials: Sequence[FrozenTrial], retries: int) -> list[Rerun]:
    """One failed rerun for each finalist and round that the machine has ended too often."""
    ended: Counter[tuple[int, int]] = Counter()
    last: dict[tuple[int, int], int] = {}
    for trial in trials:
        finalist, place = confirms(trial), round_of(trial)
        if finalist is not None and place is not None and is_blameless(trial):
            ended[finalist, place] += 1
            last[finalist, place] = trial.number
    return [Rerun(last[pair], *pair, math.nan) for pair, times in ended.items() if times > retries]
