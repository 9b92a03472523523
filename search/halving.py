"""Who stops early: asynchronous successive halving, and what a stopped trial is worth.

The rule is the stopping variant of ASHA (Li et al., "A System for Massively Parallel
Hyperparameter Tuning", MLSys 2020, section 3.2): nobody waits for a rung to fill; a trial
that reaches a rung is compared at once with those that have been there. Every function
here is pure, so a resumed search decides what the interrupted one would have decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from .estimates import estimates as estimates  # what a stopped trial would have come to


@dataclass(frozen=True)
class Halving:
    """A halving policy.

    Trials of different lengths are compared at the same step, which favours the schedules
    that are nearer to their end there: keep the range of epochs in a space narrow, or fix it.

    Args:
        grace: step of the first rung; no trial stops before it.
        reduction: a trial goes on if it is among the top ``1 / reduction`` at a rung; each
            rung lies ``reduction`` times as far as the one before.
        min_peers: trials that must have reached a rung, the asking one included, before
            anybody is stopped there.
    """

    grace: int
    reduction: int = 3
    min_peers: int = 6

    def __post_init__(self) -> None:
        if self.grace < 1 or self.reduction < 2 or self.min_peers < 1:
            raise ValueError(
                "halving wants grace >= 1, reduction >= 2 and min_peers >= 1, got "
                f"(grace={self.grace}, reduction={self.reduction}, min_peers={self.min_peers})"
            )

    def rungs(self, up_to: int) -> list[int]:
        """The rungs' steps, ``grace * reduction**k``, that are at most ``up_to``."""
        steps = []
        step = self.grace
        while step <= up_to:
            steps.append(step)
            step *= self.reduction
        return steps

    def keep(self, value: float, peers: Sequence[float]) -> bool:
        """Whether a trial with ``value`` at a rung goes on.

        Args:
            value: the trial's best value up to the rung; more is better.
            peers: the same of the other trials that have reached the rung.

        The number kept is ``floor(n / reduction)`` of all ``n``, at least one. Ties go on.
        """
        reached = len(peers) + 1
        if reached < self.min_peers:
            return True
        better = sum(peer > value for peer in peers)
        return better < max(1, reached // self.reduction)


def default_halving(max_epochs: int) -> Halving | None:
    """A policy that is safe for learning curves, or ``None`` where nothing can be saved.

    The first rung comes after a third of the longest trial's epochs, never before the
    second epoch, and half of the trials go on at each. The usual "first epoch, best third"
    is not safe: on measured training curves of image classifiers only 41% of the trials
    that ended in the top tenth survived such a cut after one epoch, and 66% after ten. So
    the cut comes late and takes the worse half only, which saves less and loses the winner
    less often. Fewer than six trials at a rung are too few to call a median.
    """
    if max_epochs < 3:
        return None
    return Halving(grace=max(2, math.ceil(max_epochs / 3)), reduction=2, min_peers=6)


OTHERS = "others"
"""Trial attribute: what a trial's further objectives are expected to be, by its latest step."""


def value_at(values: Mapping[int, float], step: int) -> float | None:
    """The best finite value reported up to ``step``, or ``None``."""
    seen = [v for s, v in values.items() if s <= step and math.isfinite(v)]
    return max(seen, default=None)


def peers_at(
    trials: Iterable[FrozenTrial],
    number: int,
    rung: int,
    rival: Callable[[FrozenTrial], bool] = lambda peer: True,
) -> list[float]:
    """Values at ``rung`` of the trials, other than ``number``, that have reached it.

    Those that are no ``rival`` count among them, at minus infinity: never as better.
    """
    found = []
    for trial in trials:
        values = trial.intermediate_values
        if trial.number != number and values and max(values) >= rung:
            value = value_at(values, rung)
            if value is not None:
                found.append(value if rival(trial) else -math.inf)
    return found


def others_of(trial: FrozenTrial) -> Sequence[float]:
    """A trial's further objectives: final where it is complete, else as it expects them."""
    if trial.state == TrialState.COMPLETE:
        return (trial.values or [])[1:]
    found = trial.user_attrs.get(OTHERS)
    return found if isinstance(found, list) else []


def rivalry(trial: FrozenTrial, directions: Sequence[str]) -> Callable[[FrozenTrial], bool]:
    """Whether a peer is at least as good as ``trial`` in every objective but the first.

    Where either says nothing about its further objectives, the first one decides alone.
    """
    own, signs = others_of(trial), [1 if d == "maximize" else -1 for d in directions[1:]]

    def rival(peer: FrozenTrial) -> bool:
        theirs = others_of(peer)
        if not len(own) == len(theirs) == len(signs):
            return True
        return all(s * a >= s * b for s, a, b in zip(signs, theirs, own, strict=True))

    return rival


def goes_on(
    halving: Halving | None,
    trials: Sequence[FrozenTrial],
    number: int,
    step: int,
    directions: Sequence[str] = ("maximize",),
) -> bool:
    """Whether trial ``number`` goes on after ``step``, by the history in ``trials`` alone.

    A trial that skips steps is judged at the rungs it has passed since its previous one.

    With several objectives a trial stops where too many peers dominate it, as far as can be
    said by then: they are better at the rung and expected to be no worse in any other
    objective. The number of those who dominate is the rank of Fonseca and Fleming, "Genetic
    Algorithms for Multiobjective Optimization" (ICGA 1993). So a recipe that is cheap is not
    stopped for a score that only dearer ones surpass.
    """
    trial = next((t for t in trials if t.number == number), None)
    if halving is None or trial is None:
        return True
    before = max((s for s in trial.intermediate_values if s < step), default=0)
    rival = rivalry(trial, directions)
    for rung in halving.rungs(step):
        value = value_at(trial.intermediate_values, rung)
        if (
            rung > before
            and value is not None
            and not halving.keep(value, peers_at(trials, number, rung, rival))
        ):
            return False
    return True


def credit(trial: FrozenTrial) -> tuple[float, float] | None:
    """What ``trial`` is worth to a sampler: ``(steps reached, value)``, compared in order.

    A complete trial has reached infinity, so it stands above every stopped one; among the
    stopped, who came further is worth more. Of several objectives the first counts. ``None``
    for failed trials, for values that are not finite, and for trials that have reported
    nothing yet.
    """
    if trial.state == TrialState.FAIL:
        return None
    if trial.state == TrialState.COMPLETE:
        value = trial.values[0] if trial.values else math.nan
        return (math.inf, value) if math.isfinite(value) else None
    reached = max(trial.intermediate_values, default=0)
    best = value_at(trial.intermediate_values, reached)
    return None if best is None else (float(reached), best)
