"""The parts of a run, one after the other: the search, and then the reruns of its finalists.

A runner (`search.serial`, `search.tune`) runs trials; where they come from is a phase's.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator

from .asking import build_sampler
from .budget import Budget, Clock
from .confirm.confirming import Confirming
from .confirm.reruns import FINALISTS
from .events import Event, OnEvent
from .objective import Task
from .study import Study
from .trials.exhausted import Exhaustion


class Phase(ABC):
    """A part of a run: the trials that it has, and when there are no more.

    Args:
        study: the study, driven by this process.
        seconds: running time of the study in total, summed over its runs; ``None``: any.
        on_event: told what happens.

    Attributes:
        clock: the study's running time.
    """

    def __init__(
        self, study: Study, seconds: float | None = None, on_event: OnEvent | None = None
    ) -> None:
        self.clock = Clock(study, seconds)
        self._study = study
        self._tell = on_event or (lambda event: None)

    @abstractmethod
    def unfinished(self) -> list[Task]:
        """The trials that an earlier run left running; they go first."""

    @abstractmethod
    def next(self, running: bool, patience: float = 0.0) -> Task | None:
        """The next trial to be run, or ``None``: not now.

        Args:
            running: whether some run now.
            patience: seconds for which new trials that need not be run may be asked for.
        """

    @property
    @abstractmethod
    def wants_more(self) -> bool:
        """Whether new trials are wanted, now or when others have ended."""

    @property
    def over(self) -> bool:
        """Whether no trial will come any more where none is left to be run."""
        return not self.wants_more

    def happened(self) -> None:  # noqa: B027, not every phase has to know
        """Something happened to a trial: what comes next may be something else now."""

    def finish(self) -> None:  # noqa: B027, as above
        """All its trials were run."""


class Searching(Phase):
    """The search itself: paused trials that go on, and new ones, until its budget is spent.

    Args:
        study: as in `Phase`.
        budget: the search's trials in total, reruns not counted, and its time.
        on_event: as in `Phase`.
    """

    def __init__(self, study: Study, budget: Budget, on_event: OnEvent | None = None) -> None:
        super().__init__(study, budget.seconds, on_event)
        self._budget = budget
        asked = study.searched()
        self._asked = len(asked)
        self._stock = Exhaustion(study.space, study.repeats, asked)
        self._exhausted = False
        self._looked = False  # for a trial to promote, since something last happened

    def unfinished(self) -> list[Task]:
        """The search's own; none where the time is up."""
        return [] if self.clock.over else self._study.unfinished()

    def next(self, running: bool, patience: float = 0.0) -> Task | None:
        """A paused trial that is among the best of its rung by now, or a new one."""
        return self._promoted() or self._new(running, patience)

    def _promoted(self) -> Task | None:
        """The paused trial that goes on next. Looked for once after each thing that happened."""
        if self._looked:
            return None
        task = self._study.promote(closing=not self.wants_more)
        self._looked = task is None
        return task

    def _new(self, running: bool, patience: float) -> Task | None:
        """The next new trial that has to be run. Repeats of others have ended when asked for.

        After ``patience`` seconds of these it is not now: workers may have something to say.
        """
        end = time.monotonic() + patience
        while self.wants_more and not self.clock.over:
            if not self._may_ask(running) or not self._in_stock(running):
                break
            task = self._study.ask()
            self._asked += 1
            self._looked &= self.wants_more  # more may be promoted after the last
            trial = self._study.trials()[task.number]
            self._stock.asked(trial.state.is_finished())
            if not trial.state.is_finished():
                return task
            self._tell(Event("end", task.number, task, trial=trial))
            if time.monotonic() > end:
                break
        return None

    def _may_ask(self, running: bool) -> bool:
        """A generational barrier says no until its trials are told."""
        if not running:
            return True
        study = self._study
        ready = getattr(build_sampler(study.config, study.space), "ready", None)
        return ready is None or bool(ready(study.sampled(), self._asked))

    def _in_stock(self, running: bool) -> bool:
        """Whether to ask now. A search that nothing but its time limits may have tried all."""
        if self._budget.trials is not None:
            return True
        trials = self._study.searched()
        found = self._stock.look(trials, running)
        if found == "over":
            self._exhausted, self._looked = True, False
            last = self._study.task(trials[-1].number)
            self._tell(Event("note", last.number, last, text=self._stock.reason))
        return found == "open"

    @property
    def wants_more(self) -> bool:
        """Whether the budget allows for new trials, and there is something left to try."""
        if self._budget.trials is None:
            return not self._exhausted
        return self._asked < self._budget.trials

    @property
    def over(self) -> bool:
        """Whether no trial is wanted, and no paused one will go on."""
        return not self.wants_more and self._study.promotable(closing=True) is None

    def happened(self) -> None:
        """A result may let a paused trial go on, and change the sampler's mind."""
        self._stock.happened()
        self._looked = False

    def finish(self) -> None:
        """End what is still paused, and tell so: no result can make it go on any more."""
        for task in self._study.settle():
            trial = self._study.trials()[task.number]
            self._tell(Event("end", task.number, task, trial=trial))


class Rerunning(Phase):
    """The confirmation: finalists are trained again, until all their reruns are spent.

    The finalists are chosen now, unless the history has them already.

    Args:
        study: as in `Phase`.
        confirming: who, and how often.
        on_event: as in `Phase`.
    """

    def __init__(
        self, study: Study, confirming: Confirming, on_event: OnEvent | None = None
    ) -> None:
        super().__init__(study, confirming.seconds, on_event)
        self._confirming = confirming
        stored = study.get(FINALISTS)
        self._plan = confirming.plan(study.trials(), stored)
        if self._plan != stored:
            study.set(FINALISTS, self._plan)
        self._looked = False
        self._pair: tuple[int, int] | None = None

    def unfinished(self) -> list[Task]:
        """Reruns alone; what was cut off of the search stays for the search."""
        return [] if self.clock.over else self._study.unfinished(reruns=True)

    def next(self, running: bool, patience: float = 0.0) -> Task | None:
        """A new rerun."""
        pair = self._next()
        if pair is None or self.clock.over:
            return None
        self._looked = False
        return self._study.ask_rerun(*pair)

    def _next(self) -> tuple[int, int] | None:
        """Which one. Looked for once after each thing that happened: it may take a while."""
        if not self._looked:
            study = self._study
            self._pair = self._confirming.next(study.trials(), self._plan, study.config.retries)
            self._looked = True
        return self._pair

    @property
    def wants_more(self) -> bool:
        """Whether there is a rerun to be asked for now."""
        return self._next() is not None

    def happened(self) -> None:
        """A result may say who is trained again next."""
        self._looked = False


def phases(
    study: Study,
    budget: Budget | None,
    confirm: Confirming | None,
    on_event: OnEvent | None = None,
) -> Iterator[Phase]:
    """The parts of a run, each made when the one before has ended.

    Args:
        study: the study, driven by this process.
        budget: of the search; ``None``: it is over, and only its finalists are confirmed.
        confirm: who is confirmed, and how often; ``None``: nobody.
        on_event: told what happens.

    Raises:
        ValueError: where neither is given.
    """
    if budget is None and confirm is None:
        raise ValueError("a run needs a budget to search with, finalists to confirm, or both")
    if budget is not None:
        yield Searching(study, budget, on_event)
    if confirm is not None:
        yield Rerunning(study, confirm, on_event)
