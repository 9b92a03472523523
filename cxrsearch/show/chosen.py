"""Which trial of a study to take, and what it is worth: everything that a page says of a winner.

Read from the study's folder alone, also while the search runs and where nothing can be written.
What takes time is kept in the folder, in ``chosen.json``: the correction for luck and the expected
values, and the result of the reruns, each beside a digest of what it was computed from, so that it
is used while that is the same. While a search runs, a correction that is a tenth of the trials old
is used as well, as long as the best trial is the same; `Luck.ended` says how old it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cxrsearch.learn.saved.epoch_scores import EPOCH_SCORES
from search.confirm.reruns import finalists_of
from search.files import write_json
from search.reading import FileError, read_json

from .rows import Interval, Row, mapping, whole
from .view import StudyView
from .worth.confirmation import (
    ConfirmationState,
    confirmed_from,
    plain,
    result_of,
    state_of_confirmation,
)
from .worth.luck import FINAL_SCORES, Luck, luck_of, trial_folder
from .worth.schedule import TrainedFor, trained_for
from .worth.sentences import (
    confirmed_sentences,
    expected_sentences,
    luck_sentences,
    progress_sentences,
)

if TYPE_CHECKING:  # SciPy takes longer to load than a status that is kept takes to print
    from search.confirm.result import Confirmed

CHOSEN = "chosen.json"
"""Where a study's folder keeps what took time to compute."""
FORMAT = 2
"""Of that file, and of how its figures are computed: others are computed anew."""
STALE_TRIALS, STALE_SHARE = 4, 0.1
"""While a search runs, what so many trials have been added to, or such a share, is still used."""
_HELD = 8
_memory: dict[Path, dict[str, Any]] = {}


@dataclass(frozen=True)
class Chosen:
    """What is to be said of a study's winner.

    Args:
        best: the search's own best trial, by observed values; None while none is complete.
        observed: its value on validation.
        observed_interval: over patients, of that value alone.
        luck: that value without the luck of having been chosen.
        expected: what is expected of each trial, by number; empty for several objectives.
        recommended: the trial to train: the winner of the reruns, once two splits or more have
            spoken; else the one of the highest expected value; else ``best``. None while no trial
            is complete.
        steps: epochs to train it for.
        state: how far the confirmation is.
        result: what the reruns say by now; None while they are too few.
        selection: the best's value and its luck in words.
        confirmation: what the reruns say in words; empty before the first of them.
        recommendation: why ``recommended`` is not ``best`` and ``steps`` not its best epoch, where
            nothing is confirmed.
    """

    best: int | None
    observed: float | None
    observed_interval: Interval | None
    luck: Luck
    expected: dict[int, float]
    recommended: int | None
    steps: int | None
    state: ConfirmationState
    result: Confirmed | None
    selection: tuple[str, ...]
    confirmation: tuple[str, ...]
    recommendation: tuple[str, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of this in words."""
        return (*self.selection, *self.confirmation, *self.recommendation)

    @property
    def corrected(self) -> float | None:
        """What ``best`` is worth on new patients, corrected for the luck of selection."""
        return self.luck.value

    @property
    def corrected_interval(self) -> Interval | None:
        """Its 95% interval."""
        return self.luck.interval

    @property
    def confirmed(self) -> float | None:
        """What the confirmed winner is worth, cross-fitted over its reruns.

        None until the confirmation is over: all reruns have ended, or nobody is at work on them.
        """
        return self.result.value if self.result is not None and self.state.over else None

    @property
    def confirmed_interval(self) -> Interval | None:
        """Its 95% interval, over patients and splits."""
        found = self.result
        if self.confirmed is None or found is None or found.low is None or found.high is None:
            return None
        return found.low, found.high


def choice_of(view: StudyView) -> Chosen:
    """What is to be said of the winner of a study; see `Chosen`."""
    kept = _Kept(view)
    searched, result = kept.searched(), kept.result()
    best, state = view.best, state_of_confirmation(view)
    recommended = _first_choice(view, searched.recommended)
    confirmation, recommendation = progress_sentences(state), list[str]()
    if result is not None:
        confirmation += confirmed_sentences(view, result, state)
    if result is not None and result.value is not None:
        recommended = result.number
    elif recommended is not None:
        recommendation = expected_sentences(view, recommended, searched.expected)
        if searched.length is not None and searched.length.reason:
            recommendation.append(searched.length.reason)
    return Chosen(
        best=None if best is None else best.number,
        observed=None if best is None else best.value,
        observed_interval=None if best is None else best.interval,
        luck=searched.luck,
        expected=searched.expected,
        recommended=recommended,
        steps=_steps(view, recommended, searched, result),
        state=state,
        result=result,
        selection=tuple(luck_sentences(view, searched.luck)),
        confirmation=tuple(confirmation),
        recommendation=tuple(recommendation),
    )


def _steps(
    view: StudyView, recommended: int | None, searched: Searched, result: Confirmed | None
) -> int | None:
    """Epochs to train for: as the reruns say, else as the trial's own do."""
    if result is not None and result.step is not None and result.number == recommended:
        return result.step
    if recommended == _first_choice(view, searched.recommended):
        return None if searched.length is None else searched.length.epochs
    return next((row.best_epoch for row in view.rows if row.number == recommended), None)


def _first_choice(view: StudyView, recommended: int | None) -> int | None:
    """The trial that the search itself would have trained."""
    if recommended is not None or view.best is None:
        return recommended
    return view.best.number


class Searched(NamedTuple):
    """What the search's own trials say."""

    luck: Luck
    expected: dict[int, float]
    recommended: int | None
    length: TrainedFor | None


class _Kept:
    """What takes time, from ``chosen.json`` where that is of the same study, else computed."""

    def __init__(self, view: StudyView) -> None:
        self._view = view
        self._path = view.record.folder / CHOSEN
        self._held = _memory.get(self._path) or self._read()

    def _read(self) -> dict[str, Any]:
        try:
            return mapping(read_json(self._path))
        except (OSError, FileError):
            return {}

    def _keep(self, part: str, entry: dict[str, Any]) -> None:
        self._held = {**self._held, part: entry}
        _memory.pop(self._path, None)
        _memory[self._path] = self._held
        while len(_memory) > _HELD:
            _memory.pop(next(iter(_memory)))
        if self._path.parent.is_dir():
            with suppress(OSError):  # of a folder that cannot be written to
                write_json(self._path, self._held)

    def searched(self) -> Searched:
        """What `luck_of` and `search.expectation` say of the search's trials."""
        view, entry = self._view, mapping(self._held.get("searched"))
        ended = [row for row in view.rows if row.state not in ("running", "interrupted")]
        digest = _digest(view, ended, [str(view.asked.get("objective")), *view.goals])
        if entry.get("digest") == digest or self._fresh(entry, len(ended)):
            with suppress(KeyError, TypeError, ValueError):
                return _searched_from(entry)
        found = _search(view)
        if view.best is not None:
            best = view.best.number
            self._keep(
                "searched",
                {
                    "digest": digest,
                    "format": FORMAT,
                    "ended": len(ended),
                    "best": best,
                    "luck": found.luck._asdict(),
                    "expected": {str(n): value for n, value in found.expected.items()},
                    "recommended": found.recommended,
                    "length": found.length and list(found.length),
                },
            )
        return found

    def _fresh(self, entry: dict[str, Any], ended: int) -> bool:
        """Whether what was computed of fewer trials will do, while the search goes on."""
        view, then = self._view, whole(entry.get("ended"))
        if then is None or view.best is None or entry.get("format") != FORMAT:
            return False
        searching = view.record.driver_alive and not view.reruns
        new = ended - then
        close = 0 <= new <= max(STALE_TRIALS, STALE_SHARE * then)
        return searching and close and entry.get("best") == view.best.number

    def result(self) -> Confirmed | None:
        """What `result_of` says of the reruns."""
        view, entry = self._view, mapping(self._held.get("result"))
        numbers = finalists_of(view.record.attrs)
        if not numbers or not view.reruns:
            return None
        more = [str(numbers), *(str(view.asked.get(key)) for key in ("val_share", "objective"))]
        digest = _digest(view, view.reruns, more)
        if entry.get("digest") == digest:
            with suppress(KeyError, TypeError, ValueError):
                found = entry["result"]
                return None if found is None else confirmed_from(found)
        result = result_of(view)
        self._keep("result", {"digest": digest, "result": result and plain(result)})
        return result


def _search(view: StudyView) -> Searched:
    from search.expectation import expected, finalists

    trials, directions = view.record.trials, tuple(view.goals.values())
    values: dict[int, float] = {}
    first: list[int] = []
    if len(directions) == 1 and view.best is not None:
        space = view.record.space.distributions()
        values = expected(trials, directions, space)
        first = finalists(trials, 1, directions, space)
    chosen = _first_choice(view, first[0] if first else None)
    length = None if chosen is None else trained_for(view, view.record.trials[chosen])
    return Searched(luck_of(view), values, first[0] if first else None, length)


def _searched_from(entry: dict[str, Any]) -> Searched:
    kept = entry["luck"]
    luck = Luck(**{name: kept[name] for name in Luck._fields})
    values = {int(n): float(value) for n, value in mapping(entry["expected"]).items()}
    found = entry["recommended"]
    length = entry["length"]
    return Searched(
        luck,
        values,
        None if found is None else int(found),
        None if length is None else TrainedFor(int(length[0]), str(length[1])),
    )


def _digest(view: StudyView, rows: Sequence[Row], more: Sequence[str]) -> str:
    """Of all that figures follow from: the trials' ends, and the sizes of their files."""
    files = (FINAL_SCORES, EPOCH_SCORES)
    sizes = {r.number: [_size(trial_folder(view, r.number) / f) for f in files] for r in rows}
    of = [[r.number, r.state, r.value, r.confirms, r.round, *sizes[r.number]] for r in rows]
    said = [FORMAT, list(more), _size(view.record.folder / "labels.npz"), of]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
