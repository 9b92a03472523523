"""What the best is worth in words: as observed, as corrected, as confirmed, and against others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cxrsearch.show.rows import Interval, count_states
from cxrsearch.show.view import StudyView

from .confirmation import ConfirmationState, TrainingCost, cheapest
from .luck import Luck

if TYPE_CHECKING:
    from search.confirm.result import Confirmed

FASTER = 0.9
"""Below this share of the winner's cost another finalist is worth naming for it."""
ALIKE_NAMED = 5
"""Finalists named that cannot be told from the winner."""
SHARE_NAMES = (
    (1 / 10, "a tenth"), (1 / 5, "a fifth"), (1 / 4, "a quarter"), (1 / 3, "a third"),
    (1 / 2, "half"), (2 / 3, "two thirds"), (3 / 4, "three quarters"),
)  # fmt: skip
NEAR = 0.06
"""A share is called by a name of `SHARE_NAMES` within this share of it."""


def value_words(value: float, interval: Interval | None) -> str:
    """``0.728 (0.700 to 0.755)``."""
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def counted_words(count: int, what: str) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def name_of(view: StudyView, number: int) -> str:
    """``trial 31``; of a known-good point its name, with the trial behind it."""
    point = point_of(view, number)
    return f"{point} (trial {number})" if point else f"trial {number}"


def point_of(view: StudyView, number: int) -> str:
    """The known-good point that trial ``number`` is; empty for other trials."""
    found = next((t for t in view.record.trials if t.number == number), None)
    return str((found.user_attrs.get("point") if found else None) or "")


def luck_sentences(view: StudyView, luck: Luck) -> list[str]:
    """What the best is worth, from how many it was chosen, and what that does not cover."""
    best, counts = view.best, count_states(view.rows)
    if best is None or best.value is None:
        return []
    complete, epochs = counts["complete"], luck.epochs or luck.value is None
    looked = complete + counts["pruned"] + counts["paused"]
    chosen = counted_words(complete, "trial") + " trained to the end"
    if epochs:
        chosen = (
            f"{counted_words(looked, 'trial')} ({complete} trained to the end) and their epochs"
        )
    head = f"{best.value:.3f} observed, chosen from {chosen}"
    if luck.value is None:
        return [f"{head}; the luck in that is not corrected for: {luck.reason}."]
    found = [f"{head}; about {value_words(luck.value, luck.interval)} on new patients."]
    if luck.trials < luck.of:
        found.append(
            f"That is from the predictions of {luck.trials} of {luck.of} trials; those of the "
            "others were not kept, so some luck may be left in it."
        )
    if not luck.epochs:
        where = "the predictions of single epochs were not kept"
        if luck.subset:
            where = (
                f"they were chosen on {luck.subset:,} of the {luck.images:,} validation images, "
                "trials on all of them"
            )
        found.append(f"The choice of epochs is not corrected for: {where}.")
    ended = sum(row.end is not None for row in view.rows)
    if luck.ended < ended:
        found.append(f"The correction is as of {luck.ended} ended trials, of {ended} now.")
    return found


def expected_sentences(
    view: StudyView, recommended: int, expected: dict[int, float]
) -> list[str]:  # fmt: skip
    """Why a trial is recommended that is not the best as observed."""
    best = view.best
    if best is None or recommended == best.number:
        return []
    figures = ""
    if recommended in expected and best.number in expected:
        figures = (
            f": {expected[recommended]:.3f}, where {expected[best.number]:.3f} is expected of "
            f"{name_of(view, best.number)}, the best as observed"
        )
    return [
        f"Recommended is {name_of(view, recommended)}, of the highest expected value by all "
        f"trials{figures}."
    ]


def progress_sentences(progress: ConfirmationState) -> list[str]:
    """How far the confirmation is, where not all of it is done, or the search has gone on since."""
    if not progress.finalists:
        return []
    said = []
    if not progress.whole:
        of = "" if progress.planned is None else f" of {progress.planned}"
        what = f"{progress.done}{of} reruns of {counted_words(len(progress.finalists), 'finalist')}"
        if progress.alive:
            said.append(f"Confirming: {what} have ended; its figures may still change.")
        else:
            said.append(f"The confirmation was cut off after {what}.")
    if progress.later:
        more = counted_words(progress.later, "trial")
        said.append(f"The search has gone on since the finalists were chosen, by {more}.")
    return said


def confirmed_sentences(view: StudyView, found: Confirmed, state: ConfirmationState) -> list[str]:
    """What the confirmed winner is worth, and how it compares with the other finalists."""
    winner = name_of(view, found.number)
    step = "" if found.step is None else f", trained for {counted_words(found.step, 'epoch')}"
    reruns = (
        f"{counted_words(state.done, 'rerun')} of "
        f"{counted_words(len(state.finalists), 'finalist')} on fresh seeds and splits"
    )
    so_far = "The reruns speak for " if state.over else "So far the reruns speak for "
    if found.value is None or found.low is None or found.high is None:
        said = [f"{so_far}{winner}{step}; by {reruns}; one split alone says nothing of its worth."]
    else:
        head = "Confirmed: " if state.over else so_far
        worth = value_words(found.value, (found.low, found.high))
        said = [
            f"{head}{winner}{step}: {worth} on new patients, from {reruns}; chosen on all splits "
            "but one and scored on that one."
        ]
    said += _against_points(view, found, state.finalists)
    others = {n for n in state.finalists if n != found.number}
    if others and not found.alike and others <= found.differences.keys():
        said.append("It is better than every other finalist by more than luck explains.")
    return said + _alike(view, found)


def _against_points(view: StudyView, found: Confirmed, finalists: Sequence[int]) -> list[str]:
    """The winner and each known-good point among the finalists."""
    if point := point_of(view, found.number):
        return [f"No recipe that was found is better than {point}, a known-good one."]
    said = []
    for number in finalists:
        if not point_of(view, number) or number not in found.differences:
            continue
        ahead, low, high = found.differences[number]
        name = name_of(view, number)
        if low > 0:
            said.append(f"It is better than {name} by {ahead:.3f} ({low:.3f} to {high:.3f}).")
        else:
            said.append(
                f"It cannot be told from {name}: the difference is {ahead:+.3f} "
                f"({low:+.3f} to {high:+.3f})."
            )
    return said


def _alike(view: StudyView, found: Confirmed) -> list[str]:
    """Whom the winner cannot be told from, and who of these trains fastest.

    Known-good points have a sentence of their own already, where the winner is none.
    """
    winner_is_point = bool(point_of(view, found.number))
    named = [n for n in found.alike if winner_is_point or not point_of(view, n)]
    text = f"It cannot be told from {_named(view, named)}" if named else ""
    cost = cheapest(view, found.number, found.alike) if found.alike else None
    if cost is None:
        return [f"{text}."] if text else []
    if cost.number == found.number or cost.share > FASTER:
        none = "; none of these trains" if len(named) > 1 else ", which does not train"
        return [f"{text}{none} much faster."] if text else []
    if named == [cost.number]:
        return [f"{text}, which trains {_cost_words(cost)}."]
    if cost.number in named:
        return [f"{text}; {name_of(view, cost.number)} trains {_cost_words(cost)}."]
    said = [f"{text}."] if text else []
    return [*said, f"Of those, {name_of(view, cost.number)} trains {_cost_words(cost)}."]


def _named(view: StudyView, numbers: Sequence[int]) -> str:
    """``trials 31, 12 and 4``; of very many the first `ALIKE_NAMED`."""
    if len(numbers) == 1:
        return name_of(view, numbers[0])
    shown = [str(n) for n in numbers[:ALIKE_NAMED]]
    rest = len(numbers) - len(shown)
    last = f"{rest} more" if rest else shown.pop()
    return f"trials {', '.join(shown)} and {last}"


def _cost_words(cost: TrainingCost) -> str:
    share = next(
        (name for size, name in SHARE_NAMES if abs(cost.share - size) <= NEAR * size),
        f"{cost.share:.0%}",
    )
    of = " of" if share.endswith("%") else "" if share == "half" else " of"
    return f"in {share}{of} the time" if cost.what == "time" else f"on {share}{of} the images"
