"""The confirmation of a search: its part of the budget, and who its finalists are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from cxrsearch.show.view import CONFIRM
from cxrsearch.show.worth.confirmation import parts_of
from search.confirm.confirming import Confirming
from search.confirm.race import Doubt, finalist_count
from search.confirm.reruns import FINALISTS, Rerun
from search.confirm.reruns import finalists_of as finalists_in
from search.confirm.result import Parts
from search.expectation import finalists
from search.store.record import StudyRecord
from search.study import Study
from search.trials.marks import is_rerun, searched
from search.trials.pareto import judged

from .prepare import Prepared
from .settings import TOP, ConfirmRequest


@dataclass(frozen=True)
class ConfirmPlan:
    """What a study is to confirm, as its attribute `CONFIRM` keeps it; earlier ones have none.

    With ``target_trials`` and ``target_seconds`` it is all that a resume goes on to.

    Args:
        share: of the budget, of what is added to it too; 0: reruns were asked for once.
        reruns: in all, once ``after`` trials have searched, and in proportion where time has cut
            that short; None: as many as the trials that searched let the share be.
        after: trials that search; None: until their share of the time is up.
        top: finalists; None: by the number of reruns.
        search_seconds: the running time in which the search itself ends, or None: any.
        least: trials that must have searched by then; otherwise the search takes all of the time.
        asked: whether `cxrsearch confirm` asked for it, whose own limit it has then: `seconds`.
        seconds: running time of the study in all, or None: any.
        renewed: trials of the search that had ended when trials or time were last added, so that
            finalists of then are not confirmed before the search has gone on; None: never.
    """

    share: float
    reruns: int | None = None
    after: int | None = None
    top: int | None = None
    search_seconds: float | None = None
    least: int = 0
    asked: bool = False
    seconds: float | None = None
    renewed: int | None = None

    @classmethod
    def of(cls, prepared: Prepared) -> ConfirmPlan | None:
        """The plan of a new study; None where it confirms nothing."""
        settings = prepared.settings
        if not settings.confirm:
            return None
        return cls(
            settings.confirm,
            settings.reruns,
            settings.search_trials,
            search_seconds=_before(settings.confirm, 0.0, settings.seconds),
            least=prepared.confirm_from,
        )

    @classmethod
    def read(cls, attrs: Mapping[str, Any]) -> ConfirmPlan | None:
        """The plan among a study's attributes; None where there is none."""
        found = attrs.get(CONFIRM)
        if not isinstance(found, dict):
            return None
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in found.items() if name in known})

    def to_dict(self) -> dict[str, Any]:
        """As the study keeps it, beside ``target_trials``, which is `trials`."""
        return asdict(self)

    def longer(
        self, more: int, trials: Sequence[FrozenTrial], elapsed: float, seconds: float | None
    ) -> ConfirmPlan:
        """The plan once trials or time are added, of which it gets its share.

        Args:
            more: trials.
            trials: all of the study's.
            elapsed: seconds spent.
            seconds: that the study may run in all now, or None: any.
        """
        reruns, after, extra = self.reruns, self.after, round(self.share * more)
        if more:
            reruns = (self.total(trials) if reruns is None else reruns) + extra
            after = max(after or 0, len(searched(trials))) + more - extra
        return replace(
            self,
            reruns=reruns,
            after=after,
            search_seconds=_before(self.share, elapsed, seconds),
            asked=False,
            renewed=sum(trial.state.is_finished() for trial in searched(trials)),
        )

    @property
    def trials(self) -> int | None:
        """Trials in all, reruns among them; None: until the time is up."""
        return None if self.after is None else self.after + (self.reruns or 0)

    def by(
        self, request: ConfirmRequest, record: StudyRecord, seconds: float | None
    ) -> ConfirmPlan:
        """The plan once ``request`` is made.

        Args:
            request: how many finalists, and how often.
            record: the study.
            seconds: running time of the study in all, or None: any.
        """
        top = request.top or len(finalists_in(record.attrs)) or TOP
        there = len(judged(record.trials, record.config.directions))
        reruns = min(top, there) * request.repeats
        return replace(self, reruns=reruns, top=top, asked=True, seconds=seconds)

    def limit(self, seconds: float | None) -> float | None:
        """Running time of the study in all by which reruns end; its search's is ``seconds``."""
        return self.seconds if self.asked else seconds

    def search_ends(self, count: int, seconds: float | None) -> float | None:
        """Running time at which the search ends once ``count`` of its trials have ended.

        Where these are too few to confirm any, it is all of the study's ``seconds``.
        """
        if self.search_seconds is None or count < self.least:
            return seconds
        return self.search_seconds

    def total(self, trials: Sequence[FrozenTrial]) -> int:
        """Reruns in all of a study whose search has come to ``trials``."""
        count = len(searched(trials))
        if self.reruns is None:
            return math.ceil(self.share / (1 - self.share) * count)
        if self.asked or self.after is None or count >= self.after:
            return self.reruns
        return math.ceil(self.reruns * count / self.after)


def _before(share: float, elapsed: float, seconds: float | None) -> float | None:
    """When the last ``share`` of the time from ``elapsed`` to ``seconds`` begins."""
    return None if seconds is None else elapsed + (1 - share) * max(0.0, seconds - elapsed)


def confirming_of(
    plan: ConfirmPlan, study: Study | StudyRecord, objective: str, seconds: float | None
) -> Confirming:
    """``plan`` as runners take it.

    Args:
        plan: the study's.
        study: the study.
        objective: as the settings name it.
        seconds: running time of the study in total, its search's; None: any.
    """
    space, directions = study.space.distributions(), study.config.directions

    def choose(trials: Sequence[FrozenTrial]) -> list[int]:
        count = plan.top or finalist_count(plan.total(trials))
        return finalists(trials, count, directions, space)

    parts = parts_of(study.folder, objective)
    doubt = None if parts is None else _doubt(parts)
    return Confirming(choose, plan.total, doubt, plan.limit(seconds), plan.top)


def to_confirm(
    plan: ConfirmPlan, study: Study | StudyRecord, stored: object, confirm: Confirming
) -> bool:
    """Whether reruns are left in a study whose search is over.

    Args:
        plan: the study's.
        study: the study.
        stored: its attribute `FINALISTS`.
        confirm: as from `confirming_of`.
    """
    trials = study.trials if isinstance(study, StudyRecord) else study.trials()
    if any(is_rerun(trial) and not trial.state.is_finished() for trial in trials):
        return True
    found = confirm.plan(trials, stored)
    if not plan.share and stored is not None and found != stored:
        return False  # the search has gone on since; nobody asked for another confirmation
    return confirm.next(trials, found, study.config.retries) is not None


def under_way(plan: ConfirmPlan, study: Study, confirm: Confirming) -> bool:
    """Whether reruns are left of a confirmation that has begun, since when nobody searched."""
    stored = study.get(FINALISTS)
    if not isinstance(stored, dict):
        return False
    before = plan.renewed is not None and stored.get("after", 0) <= plan.renewed
    return (
        (plan.asked or not before)
        and confirm.plan(study.trials(), stored) == stored
        and to_confirm(plan, study, stored, confirm)
    )


def _doubt(parts: Parts) -> Doubt:
    """How sure the difference of two reruns of a round is, by the patients that judge both."""

    def doubt(one: Rerun, other: Rerun) -> float | None:
        ours, theirs = parts(one, None), parts(other, None)
        if ours is None or theirs is None or not np.array_equal(ours[0], theirs[0]):
            return None
        return float(np.sqrt(((ours[1] - theirs[1]) ** 2).sum()))

    return doubt


def confirm_problems(request: ConfirmRequest, record: StudyRecord, ablation: bool) -> list[str]:
    """Everything that speaks against confirming the study in ``record`` as asked for.

    Args:
        request: how.
        record: the study.
        ablation: whether it is one.
    """
    problems, where = request.problems(), record.folder
    if ablation:
        problems.append(f"{where}: an ablation, whose trials are no recipes to be confirmed")
    if record.driver_alive:
        problems.append(
            f"{where}: a search is running there; stop it first, or let it end: it confirms by "
            "itself where it was told to"
        )
    if len(record.config.directions) > 1:
        names = ", ".join(record.config.metrics) or f"{len(record.config.directions)} of them"
        problems.append(f"{where}: has several objectives ({names}), so no one best to confirm")
    elif record.best() is None and not ablation:
        problems.append(f"{where}: no trial is complete yet; let the search go on")
    return problems
