"""What a model is worth at its thresholds: chosen on validation, judged on images kept apart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, expit, logit
from scipy.stats import norm

from cxrsearch.model.rules import OperatingRule, Thresholds, choose_thresholds

from .discrimination import Estimates
from .estimate import Estimate, correlation, undefined
from .figure import Figure
from .intervals import Ends, Z, difference, effective_size
from .sample import JudgedSample
from .shares import share_of

AT_THRESHOLD = (
    "sensitivity", "specificity", "ppv", "npv", "accuracy", "f1", "balanced_accuracy",
)  # fmt: skip
"""Figures at a threshold."""


@dataclass(frozen=True, eq=False)
class ChosenThresholds:
    """Thresholds of a report, with their intervals.

    Args:
        chosen: by which rule, a label an entry.
        ends: (k, 2) interval of each; NaN where there is none.
        counts: (k, 2) images and positives that each was chosen by.
        chosen_on: the part; None where the threshold was given.
        why_no_ends: why a threshold has no interval.
    """

    chosen: Thresholds
    ends: NDArray[np.float64]
    counts: NDArray[np.int64]
    chosen_on: str | None
    why_no_ends: str

    def figure(self, column: int) -> Figure:
        """The threshold of a label as a figure of the part that it was chosen on."""
        value, (low, high) = self.chosen.values[column], self.ends[column]
        n, positives = (int(count) for count in self.counts[column])
        reason = self.chosen.reasons[column]
        if reason is None and not (math.isfinite(low) and math.isfinite(high)):
            reason = self.why_no_ends
        part = self.chosen_on or "given"
        return Figure(value, low, high, n, positives, part, self.chosen_on, reason)


def thresholds_of(
    rule: OperatingRule, validation: JudgedSample | None, labels: int
) -> ChosenThresholds:
    """The thresholds of ``rule``, chosen on the validation part.

    Intervals are those of a quantile by its order statistics (Woodruff, JASA 1952), interpolated,
    with the effective number of images; they end at 0 or 1 where too few are beyond. Youden's has
    none: the maximum of a step function converges too slowly for a bootstrap (Abrevaya & Huang,
    Econometrica 2005).

    Args:
        rule: see `cxrsearch.model.rules`.
        validation: None where it is not known; then only a given threshold can be judged.
        labels: how many.
    """
    nothing = np.full((labels, 2), np.nan)
    if rule.given:
        chosen = choose_thresholds(rule, np.zeros((0, labels)), np.zeros((0, labels)))
        ends = np.repeat(chosen.values[:, None], 2, axis=1)
        return ChosenThresholds(chosen, ends, np.zeros((labels, 2), np.int64), None, "")
    if validation is None:
        reasons = ("the model folder holds no scores of its validation part",) * labels
        chosen = Thresholds(rule, nothing[:, 0], reasons)
        return ChosenThresholds(chosen, nothing, np.zeros((labels, 2), np.int64), None, "")
    marks = np.where(validation.there, 1.0, np.where(validation.away, 0.0, np.nan))
    chosen = choose_thresholds(rule, marks, validation.scores)
    ends = nothing if rule.name == "youden" else _woodruff(rule, validation)
    values = chosen.values[:, None]  # a score beside the quantile itself, where it is the last one
    ends = np.concatenate(
        [np.minimum(ends[:, :1], values), np.maximum(ends[:, 1:], values)], axis=1
    )
    counts = np.stack([(validation.there | validation.away).sum(0), validation.there.sum(0)], 1)
    why = "the highest sum of sensitivity and specificity has no interval that can be relied on"
    return ChosenThresholds(chosen, ends, counts, validation.part, why)


def kept_thresholds(
    rule: OperatingRule,
    kept: Sequence[tuple[float | None, int, int, str | None]],
    chosen_on: str | None,
) -> ChosenThresholds:
    """Thresholds that were chosen before, by images that are not at hand.

    Args:
        rule: by which they were chosen.
        kept: of each label the threshold, the images and positives that it was chosen by, and why
            there is none.
        chosen_on: the part.
    """
    values = np.array([np.nan if one[0] is None else one[0] for one in kept], float)
    reasons = tuple(
        None if one[0] is not None else one[3] or "the model keeps no threshold of it"
        for one in kept
    )
    counts = np.array([one[1:3] for one in kept], np.int64).reshape(-1, 2)
    why = "kept by the model: the scores that it was chosen by are not at hand for an interval"
    ends = np.full((len(kept), 2), np.nan)
    return ChosenThresholds(Thresholds(rule, values, reasons), ends, counts, chosen_on, why)


def _orders(n: float, share: float) -> tuple[float | None, float | None]:
    """Which order statistics of ``n`` are the ends of the interval of the quantile at ``share``.

    An order need not be whole: the share below it has a beta distribution (Stigler, JASA 1977;
    Hutson, J Appl Stat 1999). None: the quantile may lie beyond all of them. That end can't miss
    then, so that the other takes all of the error, or the interval would hold too often.
    """
    tail = norm.sf(Z)

    def order(error: float, lower: bool) -> float | None:
        wanted = 1 - error if lower else error

        def off(r: float) -> float:
            return float(betainc(r, n - r + 1, share)) - wanted

        if (off(1.0) < 0) if lower else (off(n) > 0):
            return None
        if (off(n) >= 0) if lower else (off(1.0) <= 0):  # so few that all are surely on one side
            return n if lower else 1.0
        return float(brentq(off, 1.0, n))

    low, high = order(tail, True), order(tail, False)
    if low is None and high is not None:
        return None, order(2 * tail, False)
    if high is None and low is not None:
        return order(2 * tail, True), None
    return low, high


def _woodruff(rule: OperatingRule, validation: JudgedSample) -> NDArray[np.float64]:
    """(k, 2) scores at the ends of the interval of the wanted share."""
    found = np.full((len(validation.label_names), 2), np.nan)
    of_positives = rule.name == "sensitivity"
    for column in range(len(found)):
        mask = (validation.there if of_positives else validation.away)[:, column]
        if not mask.any():
            continue
        values = np.sort(validation.scores[mask, column].astype(float))
        share = 1 - (rule.number or 0.0) if of_positives else (rule.number or 0.0)
        below = mask & (validation.scores[:, column] <= np.quantile(values, share))
        each = validation.draws.by_patient(np.stack([below, mask], axis=1))
        size, _ = effective_size(each[:, 0], each[:, 1])
        worth = max(1.0, min(size, len(values)))
        bounded = np.concatenate([[0.0], values, [1.0]])  # scores end there
        places = [
            beyond if order is None else order / (worth + 1) * (len(values) + 1)
            for order, beyond in zip(_orders(worth, share), (0, len(values) + 1), strict=True)
        ]
        found[column] = np.interp(places, np.arange(len(bounded)), bounded)
    return found


def at_threshold(
    called: NDArray[np.bool_], sample: JudgedSample, column: int, prevalence: float | None = None
) -> Estimates:
    """What calling ``called`` (n,) positive is worth for a label.

    Args:
        called: which images are called positive.
        sample: the images.
        column: the label.
        prevalence: at which predictive values are wished beside those of the images at hand.
    """
    there, away, draws = sample.there[:, column], sample.away[:, column], sample.draws
    known = there | away
    found: Estimates = {
        "sensitivity": share_of(called, there, draws, "no positive image", there),
        "specificity": share_of(~called, away, draws, "no negative image", there),
        "ppv": share_of(there, known & called, draws, "none is called positive", there),
        "npv": share_of(away, known & ~called, draws, "none is called negative", there),
        "accuracy": share_of(called == there, known, draws, "no mark is known", there),
        "f1": _f1(called, sample, column),
    }
    found["balanced_accuracy"] = _balanced(found["sensitivity"], found["specificity"])
    if prevalence is not None:
        found |= at_prevalence(found["sensitivity"], found["specificity"], prevalence)
    return found


def _f1(called: NDArray[np.bool_], sample: JudgedSample, column: int) -> Estimate:
    """F1, by the share of the right ones among images that are positive or called so.

    With J that share (Jaccard's), F1 is 2 J / (1 + J), so that J's interval is F1's.
    """
    there, away = sample.there[:, column], sample.away[:, column]
    either = there | (away & called)
    return share_of(
        called & there, either, sample.draws, "no image is positive or called so", there
    ).through(lambda share: 2 * share / (1 + share))


def _balanced(sensitivity: Estimate, specificity: Estimate) -> Estimate:
    """The mean of sensitivity and specificity."""
    n, positives = sensitivity.n + specificity.n, sensitivity.n
    for one in (sensitivity, specificity):
        if not one.defined:
            return undefined(str(one.reason), n, positives, len(one.draws))

    def ends(z: float) -> Ends:
        s, c = sensitivity.ends(z), specificity.ends(z)
        away = (1 - c[1], 1 - c[0])
        low, high = difference(
            sensitivity.value, s, 1 - specificity.value, away,
            -correlation(sensitivity, specificity),
        )  # fmt: skip
        return (1 + low) / 2, (1 + high) / 2

    return Estimate(
        (sensitivity.value + specificity.value) / 2,
        (sensitivity.draws + specificity.draws) / 2,
        min(sensitivity.freedom, specificity.freedom), "given", n, positives, given=ends,
    )  # fmt: skip


def at_prevalence(sensitivity: Estimate, specificity: Estimate, prevalence: float) -> Estimates:
    """``ppv_at_prevalence`` and ``npv_at_prevalence`` by Bayes' rule.

    Their intervals are those of the likelihood ratios, by MOVER on the logarithm's scale (Zou &
    Donner, Stat Med 2008) from the score intervals of sensitivity and specificity.

    Raises:
        ValueError: where ``prevalence`` is not between 0 and 1.
    """
    if not 0 < prevalence < 1:
        raise ValueError(f"prevalence must be between 0 and 1, got {prevalence}")
    odds = float(logit(prevalence))
    flipped = sensitivity.through(lambda share: 1 - share), specificity.through(lambda s: 1 - s)
    return {
        "ppv_at_prevalence": _by_ratio(sensitivity, flipped[1], odds),
        "npv_at_prevalence": _by_ratio(specificity, flipped[0], -odds),
    }


def _by_ratio(right: Estimate, wrong: Estimate, odds: float) -> Estimate:
    """Share of the right ones where ``right`` and ``wrong`` are the chances to be called so."""
    n, positives = right.n + wrong.n, max(right.positives, wrong.positives)
    for one in (right, wrong):
        if not one.defined:
            return undefined(str(one.reason), n, positives, len(one.draws))
    if right.value == 0 and wrong.value == 0:
        return undefined("none is called so", n, positives, len(right.draws))

    def ends(z: float) -> Ends:
        first, second = _log_ends(right, z), _log_ends(wrong, z)
        if right.value == 0 or wrong.value == 0:  # one end is certain, the other the two's worst
            low = first[0] - second[1] if right.value > 0 else -math.inf
            high = first[1] - second[0] if wrong.value > 0 else math.inf
        else:
            low, high = difference(
                math.log(right.value), first, math.log(wrong.value), second,
                correlation(right, wrong),
            )  # fmt: skip
        return float(expit(odds + low)), float(expit(odds + high))

    with np.errstate(divide="ignore", invalid="ignore"):
        draws = expit(odds + np.log(right.draws) - np.log(wrong.draws))
        value = float(expit(odds + np.log(right.value) - np.log(wrong.value)))
    return Estimate(
        value, draws, min(right.freedom, wrong.freedom), "given", n, positives, given=ends
    )


def _log_ends(one: Estimate, z: float) -> Ends:
    low, high = one.ends(z)
    return (math.log(low) if low > 0 else -math.inf), math.log(max(high, 1e-300))


def operating_points(
    sample: JudgedSample, thresholds: ChosenThresholds, prevalence: float | None = None
) -> dict[str, Estimates]:
    """Every figure of `AT_THRESHOLD` at each label's threshold.

    Args:
        sample: the images that are judged.
        thresholds: of each label; where there is none, neither is there a figure.
        prevalence: see `at_threshold`.
    """
    names = [*AT_THRESHOLD, *(["ppv_at_prevalence", "npv_at_prevalence"] if prevalence else [])]
    found: dict[str, Estimates] = {}
    for column, name in enumerate(sample.label_names):
        value = thresholds.chosen.values[column]
        if math.isfinite(value):
            called = sample.scores[:, column] >= value
            found[name] = at_threshold(called, sample, column, prevalence)
            continue
        there = sample.there[:, column]
        n, positives = int((there | sample.away[:, column]).sum()), int(there.sum())
        why = f"no threshold: {thresholds.chosen.reasons[column]}"
        found[name] = {
            which: undefined(why, n, positives, sample.draws.resamples) for which in names
        }
    return found
