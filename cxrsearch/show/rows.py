"""One flat row a trial: what every table and figure is made of.

A study's user attributes come from a database that another program may have written,
and a running trial has only some of them. Here, in one place, they are checked for type
and what does not fit is taken as missing, so that no figure has to care.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from search.trials.halving import paused_at
from search.trials.marks import CONFIRMS, confirms, round_of, same_as

STATES = ("complete", "pruned", "failed", "repeated", "running", "paused", "interrupted")
"""A trial's states, in the order in which they are shown."""

RERUNS = "reruns"
"""Beside `STATES`: trials that trained a finalist again, however they ended."""

_FINAL = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}

Interval = tuple[float, float]


class Span(NamedTuple):
    """A worker held a trial from ``start`` to ``end`` (seconds since 1970)."""

    worker: str
    start: float
    end: float


class Row(NamedTuple):
    """One trial.

    ``value`` is the final value of a complete trial and the best value so far of any
    other; ``seconds`` is the time that workers spent on it; ``origin`` says where its
    parameters came from (a known-good point, a trial of an earlier study, or the operator that
    made them). ``parameters`` is the number of weights that training changes. ``objectives`` are
    the final values by name, the first one's too, where the trial is complete; ``worth`` the
    same in order, with the sign turned where less is better. A ``rerun`` trains the finalist
    ``confirms`` again, on the fresh split of a ``round``.
    """

    number: int
    state: str
    value: float | None
    interval: Interval | None
    generation: int
    params: dict[str, Any]
    settings: dict[str, Any]
    origin: str
    parents: tuple[int, ...]
    changed: dict[str, tuple[Any, Any]]
    reason: str
    detail: str
    attempt: int
    curve: dict[int, float]
    spans: tuple[Span, ...]
    start: float | None
    end: float | None
    seconds: float | None
    auroc: dict[str, float | None]
    intervals: dict[str, Interval]
    exposure: dict[str, float]
    images_seen: int
    best_epoch: int | None
    epochs_run: int | None
    seed: int | None
    split: str
    device: str
    notes: tuple[str, ...]
    parameters: int | None = None
    objectives: Mapping[str, float] = {}
    worth: tuple[float, ...] = ()
    rerun: bool = False
    confirms: int | None = None
    round: int | None = None


def number(value: object) -> float | None:
    """``value`` as a finite float, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def whole(value: object) -> int | None:
    """``value`` as an int, or None."""
    found = number(value)
    return None if found is None else int(found)


def pair(value: object) -> Interval | None:
    """``value`` as (low, high), or None where it is not two finite numbers."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def mapping(value: object) -> dict[str, Any]:
    """``value`` as a dict with text keys; empty where it is not a mapping."""
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else {}


def intervals_of(value: object) -> dict[str, Interval]:
    """The intervals of a {name: [low, high] or None}, without the missing ones."""
    found = {name: pair(item) for name, item in mapping(value).items()}
    return {name: item for name, item in found.items() if item is not None}


def _listed(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _spans(value: object) -> tuple[Span, ...]:
    spans = []
    for item in _listed(value):
        parts = _listed(item)
        if len(parts) == 3 and (times := pair(parts[1:])) is not None:
            spans.append(Span(str(parts[0]), times[0], max(times)))
    return tuple(spans)


def state_of(trial: FrozenTrial, driver_alive: bool) -> str:
    """One of `STATES`. One that waits at a rung is paused; another without a driver interrupted;
    one that was given what an earlier trial came to is repeated."""
    if same_as(trial) is not None:
        return "repeated"
    if paused_at(trial) is not None:
        return "paused"
    return _FINAL.get(trial.state) or ("running" if driver_alive else "interrupted")


def _value(trial: FrozenTrial, curve: dict[int, float]) -> float | None:
    final = number(trial.values[0]) if trial.values else None
    if final is not None or trial.state == TrialState.FAIL:
        return final
    return max(curve.values(), default=None)


def _times(trial: FrozenTrial, spans: tuple[Span, ...]) -> tuple[float | None, float | None]:
    start = number(trial.user_attrs.get("started"))
    if start is None and trial.datetime_start is not None:
        start = trial.datetime_start.timestamp()
    end = None if trial.datetime_complete is None else trial.datetime_complete.timestamp()
    if spans:
        start = min(span.start for span in spans)
        end = max(span.end for span in spans) if trial.state.is_finished() else None
    return start, end


def _seconds(
    spans: tuple[Span, ...], attrs: Mapping[str, Any], start: float | None, end: float | None
) -> float | None:
    if spans:
        return sum(span.end - span.start for span in spans)
    if (given := number(attrs.get("seconds"))) is not None:
        return given
    return None if start is None or end is None else max(0.0, end - start)


def _origin(attrs: Mapping[str, Any], lineage: Mapping[str, Any]) -> str:
    if attrs.get("point"):
        return f"point {attrs['point']}"
    if prior := mapping(attrs.get("prior")):
        return f"prior (trial {prior.get('trial')} of {prior.get('study')})"
    return str(lineage.get("operator") or "")


def _changed(value: object) -> dict[str, tuple[Any, Any]]:
    pairs = {gene: _listed(item) for gene, item in mapping(value).items()}
    return {gene: (item[0], item[1]) for gene, item in pairs.items() if len(item) == 2}


def _objectives(trial: FrozenTrial, goals: Mapping[str, str]) -> dict[str, float]:
    """The final values by the names of ``goals``; empty unless all are there and finite."""
    values = [number(value) for value in trial.values or ()]
    found = {n: v for n, v in zip(goals, values, strict=False) if v is not None}
    fits = len(found) == len(values) == len(goals)
    return found if fits and state_of(trial, False) == "complete" else {}


def _reason(trial: FrozenTrial) -> str:
    """Why a trial ended as it did, where there is something to say."""
    earlier = same_as(trial)
    return str(trial.user_attrs.get("reason") or "") if earlier is None else f"as trial {earlier}"


SINGLE: Mapping[str, str] = {"auroc": "maximize"}


def row(trial: FrozenTrial, driver_alive: bool, goals: Mapping[str, str] = SINGLE) -> Row:
    """The row of one trial; ``goals`` are the study's objectives, name -> direction."""
    attrs = trial.user_attrs
    objectives = _objectives(trial, goals)
    curve = {
        step: float(value)
        for step, value in sorted(trial.intermediate_values.items())
        if number(value) is not None
    }
    lineage = mapping(attrs.get("lineage"))
    spans = _spans(attrs.get("spans"))
    start, end = _times(trial, spans)
    return Row(
        number=trial.number,
        state=state_of(trial, driver_alive),
        value=_value(trial, curve),
        interval=pair(attrs.get("interval")),
        generation=whole(attrs.get("generation")) or 0,
        params=dict(trial.params),
        settings=mapping(attrs.get("params")),
        origin=_origin(attrs, lineage),
        parents=()
        if attrs.get("prior")
        else tuple(int(p) for p in _listed(lineage.get("parents")) if whole(p) is not None),
        changed=_changed(lineage.get("changed")),
        reason=_reason(trial),
        detail=str(attrs.get("detail") or ""),
        attempt=whole(attrs.get("attempt")) or 0,
        curve=curve,
        spans=spans,
        start=start,
        end=end,
        seconds=_seconds(spans, attrs, start, end),
        auroc={name: number(v) for name, v in mapping(attrs.get("auroc")).items()},
        intervals=intervals_of(attrs.get("intervals")),
        exposure={
            name: float(v)
            for name, v in mapping(attrs.get("exposure")).items()
            if number(v) is not None
        },
        images_seen=whole(attrs.get("images_seen")) or 0,
        best_epoch=whole(attrs.get("best_epoch")),
        epochs_run=whole(attrs.get("epochs_run")) or (max(curve) if curve else None),
        seed=whole(attrs.get("seed")),
        split=str(attrs.get("split") or ""),
        device=str(attrs.get("device") or ""),
        notes=tuple(str(note) for note in _listed(attrs.get("notes"))),
        parameters=whole(attrs.get("parameters")),
        objectives=objectives,
        worth=tuple(v if goals[n] == "maximize" else -v for n, v in objectives.items()),
        rerun=CONFIRMS in trial.user_attrs,
        confirms=confirms(trial),
        round=round_of(trial),
    )


def count_states(rows: Iterable[Row]) -> dict[str, int]:
    """How many trials are in each of `STATES`, and ``total``; reruns that have ended apart."""
    counts = dict.fromkeys((*STATES, RERUNS), 0)
    for item in rows:
        counts[RERUNS if item.rerun and item.state in _FINAL.values() else item.state] += 1
    return {**counts, "total": sum(counts.values())}


def best_row(rows: Iterable[Row]) -> Row | None:
    """The complete trial with the highest finite value, or None.

    Of equals in the first objective the further ones decide, then the lower number.
    """
    complete = [r for r in rows if r.worth]
    return max(complete, key=lambda r: (r.worth, -r.number), default=None)
