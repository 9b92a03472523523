"""Whether a search still gains: its best as observed, and as expected, by number of trials.

What is chosen for its value keeps rising by luck alone, however long the search: overtuning
(Schneider, Bischl & Feurer, "Overtuning in Hyperparameter Optimization", AutoML 2025). So beside
the observed best stands what is expected of it by all that is known now, and the highest expected
value by then. Where the first rises and the others do not, more trials buy luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import pstdev
from typing import NamedTuple

from cxrsearch.show.rows import Row

TOLD_FROM = 15
"""Complete trials from which on it is said whether more of them help."""
AVERAGED = 4
"""An expected value rests on about so many observed ones: its own and its neighbours'."""


class CoursePoint(NamedTuple):
    """How the search stood after a complete trial.

    Args:
        number: of that trial.
        best: the trial of the highest value by then.
        observed: its value.
        expected: what is expected of it, by all that is known now.
        highest: the highest expected value of a complete trial by then.
    """

    number: int
    best: int
    observed: float
    expected: float
    highest: float


class Course(NamedTuple):
    """The course of a search.

    Args:
        points: after each complete trial with an expected value.
        since: the trial with which the last third begins; None where there are too few.
        rise: of the highest expected value since then.
        luck: rise of the observed best since then, less what is expected of that rise.
        noise: standard deviation of an expected value.
    """

    points: Sequence[CoursePoint] = ()
    since: int | None = None
    rise: float = 0.0
    luck: float = 0.0
    noise: float = 0.0

    @property
    def sentence(self) -> str:
        """Whether more trials help; empty where there are too few to say."""
        if self.since is None:
            return ""
        amount = f"by {max(self.rise, 0.0):.4f}, where its noise is {self.noise:.4f}"
        if self.rise > self.noise:
            return (
                f"Since trial {self.since}, in the last third of the search, the expected best has "
                f"risen {amount}: more trials may still help."
            )
        found = (
            f"Since trial {self.since}, in the last third of the search, the expected best has not "
            f"risen beyond its noise ({amount}): more trials no longer help."
        )
        if self.luck > self.noise:
            found += (
                f" The observed best has risen by {self.luck:.4f} more than is expected of it: "
                "that much is luck."
            )
        return found


def course(rows: Sequence[Row], expected: Mapping[int, float]) -> Course:
    """The course of the trials ``rows``, by what is ``expected`` of each, by number."""
    points: list[CoursePoint] = []
    best: Row | None = None
    residuals = []
    for row in sorted(rows, key=lambda r: r.number):
        if row.state != "complete" or row.value is None or row.number not in expected:
            continue
        residuals.append(row.value - expected[row.number])
        if best is None or best.value is None or row.value > best.value:
            best = row
        assert best.value is not None
        highest = max(expected[row.number], points[-1].highest if points else -1e9)
        point = CoursePoint(row.number, best.number, best.value, expected[best.number], highest)
        points.append(point)
    if len(points) < TOLD_FROM:
        return Course(points)
    first, last = points[len(points) * 2 // 3 - 1], points[-1]
    began = points[len(points) * 2 // 3].number
    seen = last.observed - first.observed
    return Course(
        points,
        began,
        last.highest - first.highest,
        seen - (last.expected - first.expected),
        pstdev(residuals) / AVERAGED**0.5,
    )
