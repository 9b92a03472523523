"""What a study's finished trials add up to, so that an ask looks at the new ones only.

A finished trial does not change, so nor does what it says. `Past` is a memo and no state:
what it returns follows from the trials it is given alone, and where these are not those of
the last time it begins again.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.objective import MACHINE
from search.space.unit import from_unit, to_unit

from .halving import credit

Space = Mapping[str, BaseDistribution]
Worth = tuple[float, float]
Key = tuple[str, ...]


def params_of(trial: FrozenTrial) -> Mapping[str, Any]:
    """The trial's parameters, or those it will have if it still waits (a known-good point)."""
    fixed: Mapping[str, Any] = trial.system_attrs.get("fixed_params", {})
    return trial.params or fixed


def visible(trials: Iterable[FrozenTrial], number: int) -> list[FrozenTrial]:
    """The trials that trial ``number`` may know of, by number: finished, or asked for before."""
    known = (t for t in trials if t.state.is_finished() or t.number < number)
    return sorted((t for t in known if t.number != number), key=lambda t: t.number)


def merit(trial: FrozenTrial, direction: StudyDirection, length: str | None = None) -> Worth | None:
    """`search.trials.halving.credit`, with less counting as more where the study minimises."""
    if direction == StudyDirection.MINIMIZE:
        mirrored = copy.copy(trial)
        if trial.values is not None:
            mirrored.values = [-v for v in trial.values]
        mirrored.intermediate_values = {s: -v for s, v in trial.intermediate_values.items()}
        return credit(mirrored, length)
    return credit(trial, length)


def is_blameless(trial: FrozenTrial) -> bool:
    """Whether the machine made the trial fail, which says nothing about its recipe."""
    reason = trial.user_attrs.get("reason")
    return trial.state == TrialState.FAIL and isinstance(reason, str) and reason in MACHINE


def is_bad(trial: FrozenTrial) -> bool:
    """Whether the trial failed, diverged or met NaN: its neighbourhood is better avoided.

    A trial that got over a NaN and completed is as good as its value, as long as that is
    finite. One that the machine ended is as good as it was by then.
    """
    if trial.state == TrialState.COMPLETE:
        return not all(math.isfinite(value) for value in trial.values or ())
    reports = trial.intermediate_values.values()
    hopeless = bool(reports) and not any(math.isfinite(value) for value in reports)
    failed = trial.state == TrialState.FAIL and not is_blameless(trial)
    return failed or hopeless or any(map(math.isnan, reports))


def fit(dist: BaseDistribution, value: Any) -> Any:
    """``value`` if ``dist`` contains it, else the nearest that it contains."""
    try:
        if dist._contains(dist.to_internal_repr(value)):
            return value
        return from_unit(dist, to_unit(dist, value))
    except (ValueError, TypeError, OverflowError):  # another kind of gene under the same name
        return from_unit(dist, 0.5)


def place(dist: BaseDistribution, value: Any) -> Any:
    """Where a value lies: a number in [0, 1], a choice itself."""
    if isinstance(dist, CategoricalDistribution):
        return value
    return to_unit(dist, fit(dist, value))


def key_of(value: Any) -> str:
    """The same text for values that are the same to an objective: rounding noise is not."""
    return f"{value + 0.0:.9g}" if isinstance(value, float) else repr(value)


CARRIED = "carried"
"""User attribute: the value of every gene the sampler proposed, expressed or not."""


def carried_of(trial: FrozenTrial) -> dict[str, Any]:
    """What `CARRIED` holds; nothing where another program wrote something else there."""
    found = trial.user_attrs.get(CARRIED)
    return dict(found) if isinstance(found, Mapping) else {}


class Tried:
    """Combinations of genes that were tried, by the genes that took part.

    A trial that failed may have done so before its last gene. Its genes alone count as tried
    only where they are the genes of some trial that did not fail, else with all it carries.
    """

    def __init__(self) -> None:
        self._seen: dict[Key, Counter[str]] = {}
        self._cut: dict[Key, set[str]] = {}

    def add(self, params: Mapping[str, Any]) -> None:
        """Note ``params``; those of no gene are none."""
        if params:
            names = tuple(sorted(params))
            self._seen.setdefault(names, Counter())[self._text(params, names)] += 1

    def discard(self, params: Mapping[str, Any]) -> None:
        """Take back one `add` of ``params``."""
        if params:
            names = tuple(sorted(params))
            seen, text = self._seen[names], self._text(params, names)
            seen[text] -= 1
            if not seen[text]:
                del seen[text]
            if not seen:
                del self._seen[names]

    def add_cut(self, params: Mapping[str, Any], carried: Mapping[str, Any]) -> None:
        """Note a trial that may have ended before its last gene."""
        for values in (params, {**carried, **params}):
            if values:
                names = tuple(sorted(values))
                self._cut.setdefault(names, set()).add(self._text(values, names))

    def is_whole(self, params: Mapping[str, Any]) -> bool:
        """Whether some trial that did not fail had just these genes."""
        return tuple(sorted(params)) in self._seen

    def __contains__(self, values: Mapping[str, Any]) -> bool:
        if any(self._text(values, names) in seen for names, seen in self._seen.items()):
            return True
        return any(
            self._text(values, names) in seen
            for names, seen in self._cut.items()
            if names in self._seen or len(names) == len(values)
        )

    @staticmethod
    def _text(values: Mapping[str, Any], names: Key) -> str:
        # One text and not a tuple: its hash is computed once, a tuple's at every look.
        return "\0".join([key_of(values[name]) for name in names])


class Past:
    """What the finished trials of one study add up to. See `past_of` and `past`.

    Args:
        direction: the study's.
        length: the parameter that holds a trial's number of steps, where it is known.

    Attributes:
        trials: all of them, in the order given.
        running: the trials that have not finished, in the order given.
        ranked: (worth, trial), worst first; among equals the oldest first.
        learnt: the trials of `ranked`, by number.
        failed: those that failed by their own fault, by number.
        killed: those that the machine ended, by number.
        tried: what the finished trials tried.
        bad: where the failed ones lie, by gene, by number.
        genomes: for `search.genetic.history.History`, which fills it: finished trials as
            individuals, by number and then by the sampler's seed, in the genes summed up for.
        begun: for it too: the same of trials that are running, each with the genes that it had.
    """

    def __init__(self, direction: StudyDirection, length: str | None = None) -> None:
        self.lock = RLock()
        self.direction = direction
        self._length = length
        self._begin()

    def _begin(self) -> None:
        self.trials: list[FrozenTrial] = []
        self._open: list[int] = []
        self._latest: dict[str, tuple[int, BaseDistribution]] = {}
        self.running: list[FrozenTrial] = []
        self._sum_up({})

    def _sum_up(self, space: Space) -> None:
        self._space = dict(space)
        self._fresh = {t.number: t for t in self.trials if t.state.is_finished()}
        self.ranked: list[tuple[Worth, FrozenTrial]] = []
        self.learnt: list[FrozenTrial] = []
        self.failed: list[FrozenTrial] = []
        self.killed: list[FrozenTrial] = []
        self.tried = Tried()
        self._once: set[str] = set()
        self.bad: dict[int, dict[str, Any]] = {}
        self.genomes: dict[int, dict[int, Any]] = {}
        self.begun: dict[int, dict[int, tuple[dict[str, Any], Any]]] = {}

    def look(self, trials: Sequence[FrozenTrial]) -> None:
        """Take note of the trials that have finished since the last look.

        A trial that waited at a rung, and so counted as stopped, may have gone on since: it is
        taken out again.

        Args:
            trials: all of the study's; those that were there before in the same places.
        """
        known, new = self.trials, range(len(self.trials), len(trials))
        was_open = set(self._open)
        gone = [
            i
            for i, (a, b) in enumerate(zip(trials, known, strict=False))
            if a is not b and i not in was_open
        ]
        if len(trials) < len(known) or any(known[i].state != TrialState.PRUNED for i in gone):
            # Not the trials of the last time, or as a storage without a cache returns them.
            self._begin()
            was_open, new = set(), range(len(trials))
        else:
            self._take_out([known[i] for i in gone])
            was_open.update(gone)
        self._open = []
        for index in [*sorted(was_open), *new]:
            trial = trials[index]
            if trial.state.is_finished():
                self._fresh[trial.number] = trial
                for name, dist in trial.distributions.items():
                    number, _ = self._latest.get(name, (-1, None))
                    if trial.number > number:
                        self._latest[name] = trial.number, dist
            else:
                self._open.append(index)
        self.trials = list(trials)
        self.running = [trials[index] for index in self._open]

    def _take_out(self, trials: Sequence[FrozenTrial]) -> None:
        """Forget stopped ``trials``, in what was looked at and in what was summed up."""
        out = {trial.number for trial in trials}
        for trial in trials:
            if self._fresh.pop(trial.number, None) is None:
                self._subtract(trial)
        lost = {name for name, (number, _) in self._latest.items() if number in out}
        for name in lost:
            del self._latest[name]
        for trial in reversed(self.trials) if lost else ():
            if trial.state.is_finished() and trial.number not in out:
                for name in lost & trial.distributions.keys():
                    if trial.number > self._latest.get(name, (-1, None))[0]:
                        self._latest[name] = trial.number, trial.distributions[name]

    def genes(self, number: int, given: Space | None) -> dict[str, BaseDistribution]:
        """Every gene that trial ``number`` may know of, sorted by name.

        Optuna's own inference keeps what all trials have in common, which loses the
        conditional genes. The latest distribution counts where one changed; ``given`` counts
        before anything seen. Genes that can take one value only are left out.
        """
        latest = dict(self._latest)
        for trial in self.running:
            if trial.number < number:
                for name, dist in trial.distributions.items():
                    if trial.number > latest.get(name, (-1, None))[0]:
                        latest[name] = trial.number, dist
        seen = {name: dist for name, (_, dist) in latest.items()} | dict(given or {})
        return {name: seen[name] for name in sorted(seen) if not seen[name].single()}

    def sum_up(self, space: Space) -> None:
        """Bring `ranked`, `tried` and `bad` up to the last look, for the genes of ``space``."""
        if self._space != space:
            self._sum_up(space)
        fresh, self._fresh = self._fresh, {}
        ranked = []
        for trial in fresh.values():
            self.begun.pop(trial.number, None)
            params = self._params(trial)
            if is_blameless(trial):
                self._add_killed(trial, params)
                continue
            if trial.state == TrialState.FAIL:
                self.tried.add_cut(params, self._carried(trial))
            else:
                self.tried.add(params)
            worth = self._worth(trial)
            if worth is not None:
                ranked.append((worth, trial))
                insort(self.learnt, trial, key=_number)
            elif params and is_bad(trial):
                self._add_bad(trial, params)
        if len(ranked) > 8:
            self.ranked = sorted([*self.ranked, *ranked], key=_order)
        else:
            for pair in ranked:
                insort(self.ranked, pair, key=_order)

    def _add_bad(self, trial: FrozenTrial, params: Mapping[str, Any]) -> None:
        insort(self.failed, trial, key=_number)
        self.bad[trial.number] = {n: place(self._space[n], v) for n, v in params.items()}

    def _add_killed(self, trial: FrozenTrial, params: Mapping[str, Any]) -> None:
        """A recipe that the machine ended may be tried once more, as if it had not been."""
        carried = self._carried(trial)
        whole = {**carried, **params}
        text = repr(sorted((name, key_of(value)) for name, value in whole.items()))
        if text in self._once:
            self.tried.add_cut(params, carried)
        self._once.add(text)
        if is_bad(trial):
            if params:
                self._add_bad(trial, params)
        else:
            insort(self.killed, trial, key=_number)

    def _subtract(self, trial: FrozenTrial) -> None:
        """Undo what `sum_up` did with a stopped trial."""
        self.genomes.pop(trial.number, None)
        self.tried.discard(self._params(trial))
        worth = self._worth(trial)
        if worth is not None:
            del self.ranked[bisect_left(self.ranked, (worth, trial.number), key=_order)]
            del self.learnt[bisect_left(self.learnt, trial.number, key=_number)]
        elif self.bad.pop(trial.number, None) is not None:
            del self.failed[bisect_left(self.failed, trial.number, key=_number)]

    def _params(self, trial: FrozenTrial) -> dict[str, Any]:
        return {n: v for n, v in params_of(trial).items() if n in self._space}

    def _carried(self, trial: FrozenTrial) -> dict[str, Any]:
        return {n: v for n, v in carried_of(trial).items() if n in self._space}

    def _worth(self, trial: FrozenTrial) -> Worth | None:
        return None if is_bad(trial) else merit(trial, self.direction, self._length)


def _number(trial: FrozenTrial) -> int:
    return trial.number


def _order(pair: tuple[Worth, FrozenTrial]) -> tuple[Worth, int]:
    return pair[0], pair[1].number


_Which = tuple[int, StudyDirection, str | None]
_PASTS: WeakKeyDictionary[BaseStorage, dict[_Which, Past]] = WeakKeyDictionary()
_LOCK = RLock()


def past_of(study: Study, length: str | None = None) -> Past:
    """The memo of ``study``, whoever asks and however often its sampler is made anew.

    It dies with the study's storage. Hold its lock from `Past.look` on. ``length`` as in `Past`.
    """
    first = study.directions[0]  # of several objectives the reports are of the first
    with _LOCK:
        mine = _PASTS.setdefault(study._storage, {})
        return mine.setdefault((study._study_id, first, length), Past(first, length))


def past(trials: Iterable[FrozenTrial], direction: StudyDirection) -> Past:
    """What ``trials`` add up to, not remembered."""
    made = Past(direction)
    made.look(list(trials))
    return made
