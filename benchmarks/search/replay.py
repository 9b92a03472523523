"""A search in the product's own study in which training takes no time.

Asking, known-good points, rungs, pauses, promotions and what the history tells the sampler are the
product's; of a trial only its curve is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from search.objective import Outcome, Step, Task
from search.study import Study


class Training(NamedTuple):
    """How one trial goes, if nobody stops it.

    Args:
        reports: its value after each epoch; none where only its end is known.
        value: what it ends with.
        true: what that is really worth.
        failure: why it fails after its reports, one of `search.objective.REASONS`; or ``""``.
    """

    reports: Sequence[float]
    value: float
    true: float
    failure: str = ""


class Replay:
    """One search: trials one after another, as `search.serial` runs them.

    Args:
        study: the study, driven by this process.
        trials: how many are asked for.
        train: how a trial goes; called once for each.

    Attributes:
        trainings: by number.
        spent: epochs so far.
        pauses: how often a trial waited at a rung.
    """

    def __init__(self, study: Study, trials: int, train: Callable[[Task], Training]) -> None:
        self.study, self.trials = study, trials
        self.trainings: dict[int, Training] = {}
        self.spent = self.pauses = 0
        self._train = train

    def run(self) -> None:
        """All trials. A paused one that is among the best of its rung goes before a new one."""
        while True:
            task = self.study.promote(closing=self._enough)
            if task is None:
                if self._enough:
                    break
                task = self.ask()
            self._leg(task)
        self.study.settle()

    def ask(self) -> Task:
        """The next new trial."""
        return self.study.ask()

    def completed(self, number: int) -> None:
        """Called when a trial is complete."""

    @property
    def _enough(self) -> bool:
        return len(self.study.trials()) >= self.trials

    def _leg(self, task: Task) -> None:
        """A trial from where it stands to its end, or to a rung that it doesn't pass."""
        number = task.number
        if number not in self.trainings:
            self.trainings[number] = self._train(task)
        reports, value, _, failure = self.trainings[number]
        done = len(self.study.trials()[number].intermediate_values)
        for epoch, seen in enumerate(reports[done:], done + 1):
            self.spent += 1
            step = Step(epoch, float(seen), last=epoch == len(reports) and not failure)
            if not self.study.report(number, step):
                self.pauses += self.study.stop(number)
                return
        if failure:
            self.study.tell(number, Outcome.failed(failure))
            return
        self.study.tell(number, Outcome(value))
        self.completed(number)
