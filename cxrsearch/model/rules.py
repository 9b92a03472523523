"""Where a score becomes a yes: rules such as ``sensitivity=0.9``, and the thresholds they choose.

An image is positive where its score is at least the threshold. NumPy only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxrsearch.data.marks import absent, present
from cxrsearch.errors import InputError
from search.errors import did_you_mean

WANTED = {
    "sensitivity": "share of the positives that are found, above 0 and at most 1",
    "specificity": "share of the negatives that are let go, above 0 and at most 1",
    "youden": "the highest sum of sensitivity and specificity; takes no number",
    "threshold": "the same score for every label, from 0 to 1",
}
"""Rules by name, and what their number means."""

_USAGE = "sensitivity=0.9, specificity=0.9, youden or threshold=0.3"


@dataclass(frozen=True)
class OperatingRule:
    """How thresholds are chosen.

    Args:
        name: one of `WANTED`.
        number: what is wanted; None with ``youden``.
    """

    name: str
    number: float | None = None

    def __str__(self) -> str:
        return self.name if self.number is None else f"{self.name}={self.number:g}"

    @property
    def given(self) -> bool:
        """Whether the threshold itself is given, so that nothing is chosen on any part."""
        return self.name == "threshold"


@dataclass(frozen=True, eq=False)
class Thresholds:
    """The thresholds that a rule chose, a label an entry.

    Args:
        rule: what chose them.
        values: (k,) NaN where there is none.
        reasons: (k,) why there is none; None where there is one.
    """

    rule: OperatingRule
    values: NDArray[np.float64]
    reasons: tuple[str | None, ...]


def parse_rule(text: str) -> OperatingRule:
    """What ``text`` asks for.

    Args:
        text: such as ``sensitivity=0.9``, ``specificity=0.95``, ``youden``, ``threshold=0.3``.

    Raises:
        InputError: which names the value and what may stand there.
    """
    name, equals, number = (part.strip() for part in text.partition("="))
    name = name.lower()
    if name not in WANTED:
        hint = did_you_mean(name, WANTED)
        raise InputError(f"operating point {text!r}: no rule {name!r}{hint or ';'} give {_USAGE}")
    if name == "youden":
        if equals:
            raise InputError(f"operating point {text!r}: youden takes no number; give youden")
        return OperatingRule(name)
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    lowest = value >= 0 if name == "threshold" else value > 0
    if not (lowest and value <= 1):
        said = f"{number!r} is not" if equals else "it lacks"
        raise InputError(
            f"operating point {text!r}: {said} a {WANTED[name]}; for instance {name}=0.9"
        )
    return OperatingRule(name, value)


def choose_thresholds(rule: OperatingRule, marks: NDArray[Any], scores: NDArray[Any]) -> Thresholds:
    """The threshold of each label by ``rule``, on images that nothing was trained on.

    Sensitivity: the highest score at which at least the wanted share of positives is found.
    Specificity: the lowest at which at least the wanted share of negatives is let go; it is above
    all scores where nothing less will do. Youden: the score with the highest sensitivity +
    specificity (Youden, Cancer 1950), of equal ones the highest. Equal scores are always on the
    same side.

    Args:
        rule: of `parse_rule`.
        marks: (n, k) see `cxrsearch.data.marks`; what is not known takes no part.
        scores: (n, k) finite.
    """
    k = np.shape(scores)[1]
    if rule.given and rule.number is not None:
        return Thresholds(rule, np.full(k, rule.number), (None,) * k)
    chosen = [
        _choose(rule, values[there], values[away])
        for values, there, away in zip(
            np.asarray(scores).T, present(marks).T, absent(marks).T, strict=True
        )
    ]
    return Thresholds(
        rule,
        np.array([value for value, _ in chosen], dtype=float),
        tuple(reason for _, reason in chosen),
    )


def _choose(
    rule: OperatingRule, positives: NDArray[Any], negatives: NDArray[Any]
) -> tuple[float, str | None]:
    """The threshold, or NaN and why there is none."""
    wants = {"sensitivity": [True], "specificity": [False]}.get(rule.name, [True, False])
    for there, found, word in ((True, positives, "positive"), (False, negatives, "negative")):
        if there in wants and not len(found):
            return math.nan, f"no {word} image to choose a threshold by"
    positives, negatives = np.sort(positives), np.sort(negatives)
    every = np.unique(np.concatenate([positives, negatives]))
    if rule.name == "sensitivity":
        needed = _at_least(rule.number, len(positives))
        return float(positives[len(positives) - needed]), None
    if rule.name == "specificity":
        needed = _at_least(rule.number, len(negatives))
        above = every[np.searchsorted(every, negatives[needed - 1], "right") :]
        beyond = np.nextafter(every[-1], np.array(np.inf, every.dtype))
        return float(above[0] if len(above) else beyond), None
    found = len(positives) - np.searchsorted(positives, every, "left")
    let_go = np.searchsorted(negatives, every, "left")
    worth = found * len(negatives) + let_go * len(positives)  # whole numbers: ties are ties
    return float(every[np.flatnonzero(worth == worth.max())[-1]]), None


def _at_least(share: float | None, count: int) -> int:
    """The smallest whole number that is at least ``share`` of ``count``, and at least 1."""
    return min(count, max(1, math.ceil((share or 0.0) * count - 1e-9)))
