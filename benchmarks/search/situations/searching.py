"""One search in a situation: in the product's own study, judged by both ways to choose."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.search.cells import BUDGETS, Course, improvements
from benchmarks.search.contender import Contender
from benchmarks.search.fingerprint import fingerprint
from benchmarks.search.replay import Replay, Training
from search.expectation import finalists
from search.objective import Task
from search.study import Study, StudyConfig

from .learners import learner, offered
from .situation import Situated


def run(this: Situated, contender: Contender, seed: int, trials: int) -> Course:
    """Run one search here, in a study that is thrown away.

    Args:
        this: what is searched, and in which situation.
        contender: who proposes.
        seed: of the search.
        trials: how many.

    Raises:
        ValueError: no trial was complete after one of the budgets.
    """
    with (
        offered(learner(contender, this)) as name,
        tempfile.TemporaryDirectory(prefix="situation-") as folder,
    ):
        config = StudyConfig("situation", name, seed, halving=this.halving, n_trials=trials)
        with (
            Study.create(Path(folder) / "s", this.space(seed), config) as study,
            study.batch(),  # one transaction: nothing here is to survive a kill
        ):
            return SituatedReplay(study, this, seed, trials).course()


class SituatedReplay(Replay):
    """The search, and what would be chosen after each of `BUDGETS`."""

    def __init__(self, study: Study, this: Situated, seed: int, trials: int) -> None:
        super().__init__(study, trials, self._training)
        self._this, self._seed = this, seed
        self._scores: list[tuple[int, float, float]] = []
        self._spent: list[float] = []
        self._recommended: list[float] = []

    def course(self) -> Course:
        """Runs it."""
        self.run()
        self._judge()
        rule = fingerprint("expectation", "finalists")
        return Course(improvements(self._scores), self._spent, tuple(self._recommended), rule)

    def ask(self) -> Task:
        """The next new trial, timed."""
        self._judge()
        start = time.perf_counter()
        task = super().ask()
        self._spent.append(time.perf_counter() - start)
        return task

    def completed(self, number: int) -> None:
        """Notes the scores."""
        found = self.trainings[number]
        self._scores.append((len(self.study.trials()) - 1, found.value, found.true))

    def _training(self, task: Task) -> Training:
        return self._this.train(task.params, self._seed, task.number)

    def _judge(self) -> None:
        """What the product would recommend, if a budget has just been spent."""
        asked = len(self.study.trials())
        if asked not in BUDGETS:
            return
        found = finalists(self.study.trials(), 1, space=self.study.space.distributions())
        if not found:
            raise ValueError(
                f"{self._this.name}, seed {self._seed}: none of the first {asked} trials is "
                "complete, so that nothing can be chosen"
            )
        self._recommended.append(self.trainings[found[0]].true)
