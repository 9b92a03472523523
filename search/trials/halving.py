"""Who stops early, who waits and who goes on: asynchronous successive halving.

The rule is ASHA's (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys
2020, section 3): nobody waits for a rung to fill; a trial that reaches a rung is compared at
once with those that have been there. Where it is not among the best it is stopped, or, with
promotion, it pauses: its worker takes another trial, and it goes on when later results have
made it one of the best. Every function here is pure, so a resumed search decides what the
interrupted one would have decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from .pareto import rivalry
from .wobble import wobble

PAUSED = "paused"
"""Trial attribute: the step at which a trial waits; ``None`` when it does not."""
PROMOTED = "promoted"
"""Trial attribute: the step at which a trial that had paused was let go on."""

LATE = 0.75
"""No rung lies beyond this share of a trial: too little is left to be saved."""
MOST_KEPT = 0.75
"""At a rung at least a quarter pauses or stops, however noisy the values are."""


@dataclass(frozen=True)
class Halving:
    """A halving policy.

    Args:
        grace: step of the first rung; no trial stops before it.
        reduction: a trial goes on if it is among the top ``1 / reduction`` at a rung; each
            rung lies ``reduction`` times as far as the one before.
        min_peers: trials that must have reached a rung, the asking one included, before
            anybody is stopped there. With ``promote`` everybody waits instead, until the
            first ``reduction`` are there.
        promote: a trial that is not among the top pauses, and goes on when it is. The
            study's first trial runs to its end and is compared with nobody, so that there
            is a result early.
        margin: a trial that is behind the last of the top by less than so many standard
            deviations of the values' own wobble goes on too; see `search.trials.wobble`.
        longest: steps of the longest trial, where it is known: rungs lie before three
            quarters of it.
        length: the parameter that holds a trial's number of steps, where trials differ. The
            rungs of a shorter trial lie at the same shares of its length.
        slope: beyond the first rung, how much of what a trial has gained since half-way to the
            rung is added to its value there: who still rises will rise.
    """

    grace: int
    reduction: int = 3
    min_peers: int = 6
    promote: bool = False
    margin: float = 0.0
    longest: int | None = None
    length: str | None = None
    slope: float = 0.0

    def __post_init__(self) -> None:
        if self.grace < 1 or self.reduction < 2 or self.min_peers < 1:
            raise ValueError(
                "halving wants grace >= 1, reduction >= 2 and min_peers >= 1, got "
                f"(grace={self.grace}, reduction={self.reduction}, min_peers={self.min_peers})"
            )
        if not 0 <= self.margin < math.inf or (self.longest is not None and self.longest < 1):
            raise ValueError(
                "halving wants margin >= 0 and longest >= 1, got "
                f"(margin={self.margin}, longest={self.longest})"
            )
        if not 0 <= self.slope < math.inf:
            raise ValueError(f"halving wants slope >= 0, got {self.slope}")
        if self.length is not None and self.longest is None:
            raise ValueError(f"halving by the length {self.length!r} wants longest, got None")

    def rungs(self, up_to: int) -> list[int]:
        """The rungs' steps in the longest trial, ``grace * reduction**k``, up to ``up_to``."""
        last = up_to if self.longest is None else min(up_to, LATE * self.longest)
        steps = []
        step = self.grace
        while step <= last:
            steps.append(step)
            step *= self.reduction
        return steps

    def own_rungs(self, trial: FrozenTrial, up_to: int) -> list[int]:
        """The steps of the same rungs in ``trial``, up to its step ``up_to``."""
        own = length_of(trial, self.length)
        if self.longest is None or own is None or own >= self.longest:
            return self.rungs(up_to)
        share = own / self.longest
        steps = [max(1, math.ceil(step * share - 1e-9)) for step in self.rungs(self.longest)]
        return [step for step in steps if step <= up_to]

    def score(self, trial: FrozenTrial, rung: int) -> float | None:
        """What ``trial`` is compared by at rung ``rung`` (from 0), or ``None`` short of it.

        The best value up to the rung and, beyond the first rung, ``slope`` times what of it
        was gained since half-way.
        """
        reports = trial.intermediate_values
        steps = self.own_rungs(trial, max(reports, default=0))
        value = value_at(reports, steps[rung]) if rung < len(steps) else None
        if value is None or not rung or not self.slope:
            return value
        half = value_at(reports, steps[rung] // 2)
        return value if half is None else value + self.slope * (value - half)

    def keep(self, value: float, peers: Sequence[float], noise: float = 0.0) -> bool:
        """Whether a trial with ``value`` at a rung goes on.

        Args:
            value: the trial's score at the rung; more is better.
            peers: the same of the other trials that have reached the rung.
            noise: standard deviation of the values' wobble.

        The number kept is ``floor(n / reduction)`` of all ``n``, without ``promote`` at least
        one. Ties go on. The margin lets at most three quarters
        of all go on.
        """
        reached = len(peers) + 1
        if not self.promote and reached < self.min_peers:
            return True
        places = reached // self.reduction
        if not self.promote:
            places = max(1, places)
        ahead = sum(peer > value + self.margin * noise for peer in peers)
        better = sum(peer > value for peer in peers)
        return ahead < places and better < max(places, math.floor(MOST_KEPT * reached))


def default_halving(
    max_epochs: int, *, promote: bool = True, length: str | None = None
) -> Halving | None:
    """A policy that is safe for learning curves, or ``None`` where nothing can be saved.

    With promotion the first rung comes after a twentieth of the longest trial, never before
    its second step. The better half goes on at each, and so does who is behind by less than two
    standard deviations of the curves' own wobble: smooth curves are cut early, noisy ones late.
    Who still rises is worth more: what starts slowly needs time to show. Stopping is final, so
    there the first rung comes after a third. `benchmarks/search/stopping.py` measures both.

    Args:
        max_epochs: steps of the longest trial.
        promote: whether those that are behind pause, or stop for good.
        length: the parameter that holds a trial's number of steps, where trials differ.
    """
    if max_epochs < 3:
        return None
    if not promote:
        return Halving(max(2, math.ceil(max_epochs / 3)), 2, 6, False, 2.0, max_epochs, length)
    return Halving(
        max(2, math.ceil(max_epochs / 20)),
        reduction=2,
        promote=True,
        margin=2.0,
        longest=max_epochs,
        length=length,
        slope=0.5,
    )


def value_at(values: Mapping[int, float], step: int) -> float | None:
    """The best finite value reported up to ``step``, or ``None``."""
    seen = [v for s, v in values.items() if s <= step and math.isfinite(v)]
    return max(seen, default=None)


def peers_at(
    halving: Halving,
    trials: Iterable[FrozenTrial],
    number: int,
    rung: int,
    rival: Callable[[FrozenTrial], bool] = lambda peer: True,
) -> list[float]:
    """Scores of the trials, other than ``number``, at rung ``rung`` (from 0), if they reached it.

    Failed trials are nobody's peers. Those that are no ``rival`` count among them, at minus
    infinity: never as better.
    """
    found = []
    for trial in trials:
        if trial.number == number or not _compared(halving, trial):
            continue
        value = halving.score(trial, rung)
        if value is not None:
            found.append(value if rival(trial) else -math.inf)
    return found


def _compared(halving: Halving, trial: FrozenTrial) -> bool:
    return trial.state != TrialState.FAIL and not (halving.promote and trial.number == 0)


def goes_on(
    halving: Halving | None,
    trials: Sequence[FrozenTrial],
    number: int,
    step: int,
    directions: Sequence[str] = ("maximize",),
) -> bool:
    """Whether trial ``number`` goes on after ``step``, by the history in ``trials`` alone.

    A trial that skips steps is judged at the rungs it has passed since its previous one, and
    never again at one where it was promoted.

    With several objectives a trial stops where too many peers dominate it, as far as can be
    said by then: they are better at the rung and expected to be no worse in any other
    objective. The number of those who dominate is the rank of Fonseca and Fleming, "Genetic
    Algorithms for Multiobjective Optimization" (ICGA 1993). So a recipe that is cheap is not
    stopped for a score that only dearer ones surpass.
    """
    trial = next((t for t in trials if t.number == number), None)
    if halving is None or trial is None or not _compared(halving, trial):
        return True
    before = max((s for s in trial.intermediate_values if s < step), default=0)
    before = max(before, _step(trial, PROMOTED) or 0)
    passed = [k for k, rung in enumerate(halving.own_rungs(trial, step)) if rung > before]
    noise = noise_of(halving, trials) if passed else 0.0
    return all(passes(halving, trials, trial, rung, noise, directions) for rung in passed)


def noise_of(halving: Halving, trials: Sequence[FrozenTrial]) -> float:
    """The wobble of the curves in ``trials``, where the policy's margin asks for it, else 0."""
    return wobble(trials) if halving.margin else 0.0


def passes(
    halving: Halving,
    trials: Sequence[FrozenTrial],
    trial: FrozenTrial,
    rung: int,
    noise: float,
    directions: Sequence[str],
) -> bool:
    """Whether ``trial`` goes on from rung ``rung`` (from 0); the rest as in `goes_on`."""
    value = halving.score(trial, rung)
    if value is None or not _compared(halving, trial):
        return True
    peers = peers_at(halving, trials, trial.number, rung, rivalry(trial, directions))
    return halving.keep(value, peers, noise)


def paused_at(trial: FrozenTrial) -> int | None:
    """The step at which ``trial`` waits to be promoted, or ``None`` where it doesn't."""
    return None if trial.state.is_finished() else _step(trial, PAUSED)


def _step(trial: FrozenTrial, key: str) -> int | None:
    found = trial.user_attrs.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def length_of(trial: FrozenTrial, name: str | None) -> float | None:
    """How many steps all of ``trial`` has by its parameter ``name``; ``None`` if it says nothing.

    What a study of ours fixed for all trials counts too.
    """
    if name is None:
        return None
    params = trial.user_attrs.get("params")
    known = params if isinstance(params, Mapping) and name in params else trial.params
    found = known.get(name)
    if not isinstance(found, int | float) or isinstance(found, bool):
        return None
    return float(found) if 0 < found < math.inf else None


def credit(trial: FrozenTrial, length: str | None = None) -> tuple[float, float] | None:
    """What ``trial`` is worth to a sampler: ``(how far it came, value)``, compared in order.

    A complete trial has come infinitely far, so it stands above every stopped one; among the
    stopped, who came further is worth more: by steps, or by the share of its own length where
    ``length`` names the parameter that holds it. Of several objectives the first counts. ``None``
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
    return None if best is None else (reached / (length_of(trial, length) or 1.0), best)
