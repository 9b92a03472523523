"""What the reruns come to: which finalist, how good it is on new patients, and who is as good."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from .effects import Array, Placing, effects
from .race import finished
from .reruns import Rerun

Parts = Callable[[Rerun, int | None], tuple[NDArray[Any], Array] | None]
"""``(ids, psi)`` of a rerun at a step (``None``: its final value): the validation patients, shape
(p,), and what each adds to the value's error, shape (p,), so that ``sum(psi**2)`` is its variance.
"""

MISSED = 0.05
"""One minus the coverage of an interval."""


class Confirmed(NamedTuple):
    """A search's winner by its reruns.

    Args:
        number: the finalist chosen by all reruns.
        step: the last one, or an earlier one at which its reruns are clearly better; ``None``
            where curves are missing.
        value: what such a choice is worth on splits that it was not made on: finalist and step are
            chosen on all rounds but one and scored on that one, averaged over the rounds. ``None``,
            like ``low`` and ``high``, where there is only one round: then nothing was left out.
        low: lower end of the 95% interval of ``value``, over patients, seeds and splits.
        high: its upper end.
        reruns: finished reruns of the winner.
        alike: finalists that cannot be told from the winner.
        differences: winner minus each other finalist, over the rounds that both have run:
            ``(difference, low, high)``. All intervals hold together with 95%, whoever is chosen.
    """

    number: int
    step: int | None
    value: float | None
    low: float | None
    high: float | None
    reruns: int
    alike: tuple[int, ...]
    differences: dict[int, tuple[float, float, float]]


def confirmed(
    finalists: Sequence[int],
    done: Sequence[Rerun],
    parts: Parts | None = None,
    val_share: float = 0.2,
) -> Confirmed | None:
    """The winner, its cross-fitted value with an interval, and its lead over the others.

    A finalist's score in a round is that of the last step, so that no rerun is judged by its own
    luckiest one; of an earlier step where it is ahead of the last by more than luck explains, the
    95% interval of its lead over the rounds being above 0. The winner has the highest expected
    score; a finalist with fewer reruns is compared within the rounds that it shares with others and
    drawn to the mean of all (`effects`).

    An interval adds two variances. The patients': each one's ``psi`` averaged over the rounds, as
    one patient is judged in several of them. And that of seeds and splits: what scores vary from
    round to round beyond the patients, times ``1 / rounds + val_share / (1 - val_share)``, since
    the rounds train on much the same patients (Nadeau and Bengio, Machine Learning 2003); an
    interval that took them for independent would be too narrow (Bates, Hastie and Tibshirani, JASA
    2024).
    Without ``parts`` all variance is treated like the second.

    The patients of the round left out judge in other rounds too. What they add to the scores there
    is taken off, to first order, before the finalist is chosen. Two debts remain, small beside the
    interval: who is trained again depends on what reruns have said, which flatters finalists that
    are as good as each other, and the step is chosen with all patients. And the
    finalists themselves were chosen by patients that reruns are judged by as well: of those only a
    test part knows nothing.

    Args:
        finalists: trial numbers, the most promising first: it decides ties.
        done: their reruns; unfinished ones don't count, and a failed one puts its finalist out.
        parts: what the patients add; ``None`` where predictions weren't kept.
        val_share: share of the patients of train + validation that a round judges by.

    Returns:
        ``None`` where no finalist has a finished rerun.

    Raises:
        ValueError: ``val_share`` is not between 0 and 1.
    """
    if not 0 < val_share < 1:
        raise ValueError(f"val_share must be between 0 and 1, got {val_share}")
    failed = {r.finalist for r in done if r.value is not None and not math.isfinite(r.value)}
    values = finished(done)
    mine = {
        pair: rerun
        for rerun in done
        if (pair := (rerun.finalist, rerun.round)) in values and rerun.finalist not in failed
    }
    left = [n for n in dict.fromkeys(finalists) if any(pair[0] == n for pair in mine)]
    mine = {pair: rerun for pair, rerun in mine.items() if pair[0] in left}
    if not left:
        return None
    overlap = val_share / (1 - val_share)
    choice = _choose(left, mine, overlap)
    shared = _Shared(choice, mine, parts, overlap)
    value, low, high = _cross_fitted(left, mine, shared)
    differences = {}
    for other in left:
        found = shared.difference(other)
        if found is not None:
            differences[other] = found
    alike = tuple(n for n in left if n != choice.number and not _behind(differences.get(n)))
    count = sum(pair[0] == choice.number for pair in mine)
    step = choice.steps[choice.number]
    return Confirmed(choice.number, step, value, low, high, count, alike, differences)


Owed = Callable[[Rerun, int | None], float]
"""What a rerun's score at a step owes to patients who are to have no say."""


class _Choice(NamedTuple):
    """A choice: the finalist, each finalist's step, and the score of each rerun."""

    number: int
    steps: Mapping[int, int | None]
    scores: Mapping[Placing, float]


def _choose(
    finalists: Sequence[int],
    done: Mapping[Placing, Rerun],
    overlap: float,
    owed: Owed = lambda rerun, step: 0.0,
) -> _Choice:
    by_finalist = {n: [r for pair, r in done.items() if pair[0] == n] for n in finalists}
    common = {n: _common_steps(mine) for n, mine in by_finalist.items() if mine}
    steps: dict[int, int | None] = dict.fromkeys(finalists)
    if all(common.values()):
        for n, shared in common.items():
            steps[n] = _step([r.curve for r in by_finalist[n]], shared, overlap)
    scores = {pair: _score(rerun, steps[pair[0]]) for pair, rerun in done.items()}
    told = {pair: score - owed(done[pair], steps[pair[0]]) for pair, score in scores.items()}
    found = effects(finalists, told)
    return _Choice(finalists[int(np.argmax(found.mean))], steps, scores)


def _step(curves: Sequence[Mapping[int, float]], shared: Sequence[int], overlap: float) -> int:
    """The step of ``shared``, in ascending order, that a finalist is scored at."""
    mean = {s: float(np.mean([curve[s] for curve in curves])) for s in shared}
    last = shared[-1]
    best = max(shared, key=lambda s: (mean[s], -s))
    rounds = len(curves)
    if best == last or rounds < 2:
        return last
    spread = float(np.std([curve[best] - curve[last] for curve in curves], ddof=1))
    sure = -float(stdtrit(rounds - 1, MISSED / 2)) * spread * math.sqrt(1 / rounds + overlap)
    return best if mean[best] - mean[last] > sure else last


def _common_steps(mine: Sequence[Rerun]) -> list[int]:
    """Steps at which every one of these reruns has a finite value."""
    found = [{s for s, value in r.curve.items() if math.isfinite(value)} for r in mine]
    return sorted(set.intersection(*found))


def _score(rerun: Rerun, step: int | None) -> float:
    value = rerun.value if step is None else rerun.curve.get(step, math.nan)
    return math.nan if value is None else float(value)


def _cross_fitted(
    finalists: Sequence[int], done: Mapping[Placing, Rerun], shared: _Shared
) -> tuple[float, float, float] | tuple[None, None, None]:
    """(value, low, high) of what is chosen on all rounds but one, on that one."""
    scores, judged = [], []
    for left_out in sorted({pair[1] for pair in done}):
        others = {pair: rerun for pair, rerun in done.items() if pair[1] != left_out}
        known = [n for n in finalists if any(pair[0] == n for pair in others)]
        if not known:
            continue
        judges = {p for (_, r), one in done.items() if r == left_out for p in shared.judges(one)}
        choice = _choose(known, others, shared.overlap, partial(shared.owed, judges))
        rerun, step = done.get((choice.number, left_out)), choice.steps[choice.number]
        if rerun is None or not math.isfinite(score := _score(rerun, step)):
            continue  # the one chosen did not run in this round
        scores.append(score)
        judged.append((rerun, step))
    if not scores:
        return None, None, None
    half = shared.half_width([shared.psi(*one) for one in judged], *shared.within(), MISSED)
    value = float(np.mean(scores))
    return value, value - half, value + half


class _Shared:
    """What all intervals of one result have in common.

    Args:
        choice: by all reruns.
        done: the reruns.
        parts: what the patients add.
        overlap: patients judged over patients trained on.
    """

    def __init__(
        self, choice: _Choice, done: Mapping[Placing, Rerun], parts: Parts | None, overlap: float
    ) -> None:
        self._choice = choice
        self._done = done
        self._parts = parts
        self.overlap = overlap
        self._known: dict[tuple[int, int | None], dict[Any, float] | None] = {}
        self._finalists = sorted({pair[0] for pair in done})
        self._effects = effects(self._finalists, choice.scores)

    def psi(self, rerun: Rerun, step: int | None) -> dict[Any, float] | None:
        """What each patient adds to the error of a rerun at a step."""
        key = rerun.number, step
        if key not in self._known:
            found = None if self._parts is None else self._parts(rerun, step)
            self._known[key] = found and dict(
                zip(found[0].tolist(), found[1].tolist(), strict=True)
            )
        return self._known[key]

    def judges(self, rerun: Rerun) -> Collection[Any]:
        """The patients that a rerun is judged by; none where nobody knows."""
        return self.psi(rerun, None) or ()

    def owed(self, patients: Collection[Any], rerun: Rerun, step: int | None) -> float:
        """What a rerun's score owes to ``patients``, to first order."""
        psi = (self.psi(rerun, step) if patients else None) or {}
        return sum(part for patient, part in psi.items() if patient in patients)

    def within(self) -> tuple[float, float]:
        """(variance of one rerun's score over rounds, degrees of freedom), from all finalists.

        Finalists share what is peculiar to a round, so that several of them tell less about it than
        as many independent ones would (Satterthwaite, Biometrics Bulletin 1946).
        """
        scores, left, freedom = self._choice.scores, 0.0, 0
        for number in self._finalists:
            mine = np.array([value for pair, value in scores.items() if pair[0] == number])
            left += float(((mine - mine.mean()) ** 2).sum())
            freedom += len(mine) - 1
        if freedom < 1 or left <= 0:
            return 2 * self._effects.noise, 1.0
        variance = left / freedom
        rounds = len({pair[1] for pair in scores})
        width = max(len(scores) / rounds, 1.0)  # finalists in a round, on average
        apart = min(self._effects.noise, variance)
        common = width * variance - (width - 1) * apart
        error = common**2 / max(rounds - 1, 1)
        if width > 1:
            error += (width - 1) * apart**2 / max(rounds - 1, 1)
        return variance, min((width * variance) ** 2 / max(error, 1e-300), float(freedom))

    def difference(self, other: int) -> tuple[float, float, float] | None:
        """(winner minus ``other``, low, high) over the rounds of both; ``None`` without any."""
        scores, steps, winner = self._choice.scores, self._choice.steps, self._choice.number
        rounds = [r for f, r in scores if f == other and (winner, r) in scores]
        if not rounds or other == winner:
            return None
        gaps = [scores[winner, r] - scores[other, r] for r in rounds]
        parts = []
        for r in rounds:
            ours = self.psi(self._done[winner, r], steps[winner])
            theirs = self.psi(self._done[other, r], steps[other])
            known = ours is not None and theirs is not None
            parts.append(_minus(ours, theirs) if known else None)
        # The winner is whoever looked best: any two finalists might have been compared.
        pairs = len(self._finalists) * (len(self._finalists) - 1) / 2
        noise, freedom = 2 * self._effects.noise, max(self._effects.freedom, 1)
        gap, half = float(np.mean(gaps)), self.half_width(parts, noise, freedom, MISSED / pairs)
        return gap, gap - half, gap + half

    def half_width(
        self,
        parts: Sequence[Mapping[Any, float] | None],
        variance: float,
        freedom: float,
        level: float,
    ) -> float:
        """Half of an interval's width.

        Args:
            parts: of each round: what each patient adds, ``None`` if unknown.
            variance: of one round's score, patients included.
            freedom: degrees of freedom of ``variance``.
            level: one minus the interval's coverage.
        """
        weight = 1 / len(parts) + self.overlap
        known = [one for one in parts if one is not None]
        patients, inside, count = 0.0, 0.0, 2
        if len(known) == len(parts):
            patients, inside, count = _over_patients(known)
        seeds = max(variance - inside, 0.0) * weight
        error = (weight * variance) ** 2 / freedom + patients**2 / (count - 1)
        freedom = max((patients + seeds) ** 2 / max(error, 1e-300), 1.0)
        return -float(stdtrit(freedom, level / 2)) * math.sqrt(patients + seeds)


def _over_patients(parts: Sequence[Mapping[Any, float]]) -> tuple[float, float, int]:
    """(variance of the mean, variance from round to round, number of patients)."""
    ids = {patient: k for k, patient in enumerate(dict.fromkeys(p for one in parts for p in one))}
    psi = np.zeros((len(parts), len(ids)))
    for row, one in zip(psi, parts, strict=True):
        row[[ids[patient] for patient in one]] = list(one.values())
    mean = psi.mean(axis=0)
    inside = float(((psi - mean) ** 2).sum()) / (len(parts) - 1) if len(parts) > 1 else 0.0
    if len(parts) == 1:
        inside = float((psi**2).sum())
    return float((mean**2).sum()), inside, max(len(ids), 2)


def _minus(
    ours: Mapping[Any, float] | None, theirs: Mapping[Any, float] | None
) -> dict[Any, float]:
    ours, theirs = ours or {}, theirs or {}
    return {
        patient: ours.get(patient, 0.0) - theirs.get(patient, 0.0) for patient in {**ours, **theirs}
    }


def _behind(difference: tuple[float, float, float] | None) -> bool:
    return difference is not None and difference[1] > 0
