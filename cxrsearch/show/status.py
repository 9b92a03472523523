"""How a study stands, as numbers for scripts and as text for people."""

from __future__ import annotations

import io
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cxrsearch.errors import quoted
from cxrsearch.learn.saved.keep import BEST
from search.errors import SearchError
from search.prior import index_of
from search.store.places import HISTORY, URL_FILE

from .chosen import Chosen, choice_of
from .clock import SearchClock, duration
from .marks import marks_text
from .panels.front import front, value_text
from .rows import RERUNS, Interval, Row, count_states
from .view import StudyView, read_view
from .worth.confirmation import state_of_confirmation
from .worth.luck import trial_folder

MOST_PARAMS = 40
MOST_FRONT = 30
WORTH_CONFIRMING = 20
"""Trials among which the best is so lucky that reruns of the finalists are worth a word."""


def status(folder: str | Path) -> dict[str, Any]:
    """How the study in ``folder`` stands, JSON-able.

    Keys: ``name``, ``sampler``, ``data``, ``labels`` (their names), ``marks`` (those that are not
    plain, see `StudyView.marks`), ``space``, ``running`` (whether a driver is alive),
    ``trials`` (by state: ``complete``, ``pruned``, ``failed``, ``repeated`` (answered by what an
    earlier trial came to), ``running``, ``paused``, ``interrupted``, ``reruns`` (of finalists,
    ended), ``total``),
    ``searched`` (trials of the search, without reruns), ``to_search`` (how many are to),
    ``target_trials`` (in all, reruns too),
    ``elapsed`` (seconds in which a trial ran), ``images_seen``,
    ``looks`` (at the test part, in all), ``objectives`` (their names),
    ``front`` (where there are several: the trials that none dominates, the highest AUROC first,
    each with ``number`` and ``values`` by objective), ``best`` (always an object; its values
    are None while no trial is complete): ``number``, ``value`` (validation, selected from
    ``selected_from`` complete trials), ``interval``, ``params``, ``test`` (None until
    `evaluate` scored a model of this trial: ``mean``, ``interval``, ``looks``), ``corrected``
    (that value without the luck of having been chosen) and ``corrected_interval`` (None where that
    cannot be said), ``corrected_from`` (``trials`` whose predictions it is from, ``of`` how many,
    ``epochs``: whether the choice of epochs is covered, ``ended``: trials that had ended, and
    ``reason``: why there is none), ``confirmed`` (of the trial ``confirmation.winner``) and
    ``confirmed_interval`` (None until the confirmation is over);
    ``recommended`` (the trial to train, and None while none is complete), ``recommended_test`` (as
    ``best.test``, of that trial) and ``steps`` (its epochs);
    ``confirmation`` (None before it has begun): ``finalists``, ``reruns`` (how many are ``done``,
    ``failed``, ``running``, ``planned``), ``over``, ``winner``, ``step``, ``value`` and
    ``interval`` (so far), ``alike`` (finalists that cannot be told from the winner),
    ``differences`` (winner minus each other, with its interval), ``sentences``; ``sentences`` (all
    of what the best is worth, in words);
    ``from`` (one entry for each earlier study: ``study``, ``fingerprint``, and ``tried``, the
    trials that repeat one of its: ``number``, ``trial`` there, ``value``).

    Raises:
        search.errors.StudyError: where there is no study in ``folder``.
    """
    return status_of(read_view(Path(folder), curves=False))


def status_of(view: StudyView, now: float | None = None) -> dict[str, Any]:
    """`status` of a study that is already read."""
    trials, chosen = count_states(view.every_row), choice_of(view)
    return {
        "name": view.name,
        "sampler": view.record.config.sampler,
        "data": view.data_name,
        "labels": list(view.labels),
        "marks": view.marks,
        "space": view.record.space.name,
        "running": view.record.driver_alive,
        "trials": trials,
        "searched": len(view.rows),
        "to_search": view.to_search,
        "target_trials": view.record.attrs.get("target_trials"),
        "elapsed": round(
            SearchClock(view.every_row, now if now is not None else time.time()).worked, 3
        ),
        "images_seen": sum(r.images_seen for r in view.every_row),
        "looks": len(view.tested),
        "objectives": list(view.goals),
        "front": [
            {"number": r.number, "values": dict(r.objectives)}
            for r in front(view.rows, view.goals).on
        ],
        "best": _best(view, view.best, trials["complete"]) | _worth(chosen),
        "recommended": chosen.recommended,
        "recommended_test": _test(view, chosen.recommended),
        "steps": chosen.steps,
        "confirmation": _confirmation(chosen),
        "sentences": list(chosen.sentences),
        "from": _earlier(view),
    }


def _earlier(view: StudyView) -> list[dict[str, Any]]:
    prior = view.record.config.prior
    if prior is None:
        return []
    tried: dict[int, list[dict[str, Any]]] = {}
    for trial, row in zip(view.trials, view.rows, strict=True):
        index = index_of(trial, prior)
        if index is not None:
            point = prior.points[index]
            entry = {"number": row.number, "trial": point.trial, "value": row.value}
            tried.setdefault(point.study, []).append(entry)
    return [
        {"study": s.name, "fingerprint": s.fingerprint, "tried": tried.get(index, [])}
        for index, s in enumerate(prior.studies)
    ]


def _best(view: StudyView, best: Row | None, complete: int) -> dict[str, Any]:
    if best is None:
        empty = dict.fromkeys(("number", "value", "interval", "params", "test"))
        return {**empty, "selected_from": complete}
    return {
        "number": best.number,
        "value": best.value,
        "interval": None if best.interval is None else list(best.interval),
        "params": {name: _plain(value) for name, value in best.params.items()},
        "test": _test(view, best.number),
        "selected_from": complete,
    }


def _worth(chosen: Chosen) -> dict[str, Any]:
    """What ``best`` is worth."""
    luck = chosen.luck
    return {
        "corrected": chosen.corrected,
        "corrected_interval": _listed(chosen.corrected_interval),
        "corrected_from": {
            "trials": luck.trials,
            "of": luck.of,
            "epochs": luck.epochs,
            "ended": luck.ended,
            "reason": luck.reason,
        },
        "confirmed": chosen.confirmed,
        "confirmed_interval": _listed(chosen.confirmed_interval),
    }


def _confirmation(chosen: Chosen) -> dict[str, Any] | None:
    state, found = chosen.state, chosen.result
    if not state.finalists:
        return None
    ends = None if found is None or found.low is None else [found.low, found.high]
    differences = {} if found is None else found.differences
    return {
        "finalists": list(state.finalists),
        "reruns": {
            "done": state.done,
            "failed": state.failed,
            "running": state.running,
            "planned": state.planned,
        },
        "over": state.over,
        "winner": None if found is None else found.number,
        "step": None if found is None else found.step,
        "value": None if found is None else found.value,
        "interval": ends,
        "alike": [] if found is None else list(found.alike),
        "differences": {str(number): list(each) for number, each in differences.items()},
        "sentences": list(chosen.confirmation),
    }


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _test(view: StudyView, number: int | None) -> dict[str, Any] | None:
    """The latest look at the test part by a model of trial ``number``."""
    looks = view.looks_at(number)
    if not looks:
        return None
    interval = looks[-1].interval
    return {
        "mean": looks[-1].mean,
        "interval": None if interval is None else list(interval),
        "looks": len(looks),
    }


def _plain(value: Any) -> Any:
    """A parameter as JSON has it: a float that is not finite becomes its text."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def status_text(record: Mapping[str, Any]) -> str:
    """`status`'s ``record`` for a terminal, without colour codes."""
    out = Console(file=io.StringIO(), width=100, color_system=None, highlight=False)
    out.print(
        f"{escape(record['name'])}: {escape(record['sampler'])} on {escape(str(record['data']))}, "
        f"{_running(record)}",
        soft_wrap=True,
    )
    trials, target = record["trials"], record["to_search"]
    states = ", ".join(
        f"{n} {name}" for name, n in trials.items() if n and name not in ("total", RERUNS)
    )
    out.print(
        f"trials: {record['searched']}{f' of {target}' if target else ''}"
        f"{f' ({states})' if states else ''}{_reruns(record)}; {duration(record['elapsed'])} of "
        "search"
    )
    if marks := marks_text(record["marks"]):
        out.print(marks, soft_wrap=True)
    _print_earlier(out, record["from"])
    if record["front"]:
        _print_front(out, record)
    _print_best(out, record)
    if record["looks"]:
        out.print(f"looks at the test part: {record['looks']}")
    file = out.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().rstrip("\n")


def studies_in(folder: Path) -> list[Path]:
    """The studies that lie directly in ``folder``, by name; none where it is one itself."""
    if _is_study(folder) or not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _is_study(path))


def _is_study(path: Path) -> bool:
    return any((path / name).is_file() for name in (HISTORY, URL_FILE, "study.yaml"))


def statuses(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """`status` of each, with its ``folder``; of one that cannot be read its ``problems`` alone."""
    found: list[dict[str, Any]] = []
    for folder in folders:
        try:
            found.append({"folder": str(folder), **status(folder)})
        except SearchError as error:
            found.append({"folder": str(folder), "problems": error.problems})
    return found


def statuses_text(records: Sequence[Mapping[str, Any]]) -> str:
    """`statuses`, a line each, for a terminal."""
    return "\n".join(f"{record['folder']}: {_in_short(record)}" for record in records)


def _in_short(record: Mapping[str, Any]) -> str:
    if problems := record.get("problems"):
        return str(problems[0]).removeprefix(f"{record['folder']}: ")
    target, best = record["to_search"], record["best"]
    trials = f"{record['searched']}{f' of {target}' if target else ''} trials{_reruns(record)}"
    score = "none complete" if best["number"] is None else f"best {_score(best['value'], None)}"
    worth = {"corrected for luck": best["corrected"], "confirmed": best["confirmed"]}
    score += "".join(f", {v:.3f} {name}" for name, v in worth.items() if v is not None)
    return f"{record['sampler']}, {trials}, {score}, {_running(record)}"


def _running(record: Mapping[str, Any]) -> str:
    return "running" if record["running"] else "not running"


def _reruns(record: Mapping[str, Any]) -> str:
    """How many reruns of finalists have ended."""
    ended, found = record["trials"][RERUNS], record["confirmation"]
    planned = None if found is None else found["reruns"]["planned"]
    if not ended and not planned:
        return ""
    return f" and {ended}{f' of {planned}' if planned else ''} rerun{'s' * (ended != 1)}"


REMEDIES = {
    "nan": "try lower learning rates, or --precision float32",
    "out of memory": "try smaller batches or images, or fewer trials at once (--concurrent)",
    "bad data": "look at the images and labels with `cxrsearch eda`",
    "killed": "try fewer trials at once (--concurrent)",
}
"""By the reason of failed trials, what may help."""


def advice(folder: Path) -> str:
    """What to do after a search in ``folder`` has ended: train, or see to what went wrong."""
    view = read_view(folder, curves=False)
    if view.best is not None:
        train = f"next: cxrsearch train {quoted(folder)} --out MODEL_DIR"
        state = state_of_confirmation(view)
        if kept_weights(view) > 1:
            team = f"cxrsearch train {quoted(folder)} --ensemble 5 --out TEAM_DIR"
            train += f"\n   or its best trials together, at once: {team}"
        if state.finalists and state.whole:
            return train
        if state.left or state.running:
            return f"{train}\n   or first the rest of the reruns: cxrsearch resume {quoted(folder)}"
        if len(view.goals) == 1 and len(view.rows) >= WORTH_CONFIRMING:
            again = f"cxrsearch confirm {quoted(folder)}"
            return f"{train}\n   or first reruns of the finalists: {again}"
        return train
    failed = [row for row in view.rows if row.state == "failed"]
    if not failed:
        return (
            "no trial is complete, so there is nothing to train yet; go on with: cxrsearch extend "
            f"{quoted(folder)} --trials 10"
        )
    reason, count = Counter(row.reason for row in failed).most_common(1)[0]
    detail = next(row.detail for row in failed if row.reason == reason)
    last = (detail.strip().splitlines() or [""])[-1]
    remedy = REMEDIES.get(reason, "see to that")
    return (
        f"no trial is complete: {count} of {len(failed)} failed by {reason or 'an unknown cause'}"
        f"{f' ({last[:200]})' if last else ''}; {remedy}, then search again in another folder, or "
        f"go on with: cxrsearch extend {quoted(folder)} --trials 10"
    )


def kept_weights(view: StudyView) -> int:
    """How many complete trials have kept their weights."""
    folders = (trial_folder(view, row.number) for row in view.rows if row.state == "complete")
    return sum((folder / BEST).is_file() for folder in folders)


def _print_earlier(out: Console, earlier: Sequence[Mapping[str, Any]]) -> None:
    for source in earlier:
        tried = ", ".join(f"trial {t['number']} (its {t['trial']})" for t in source["tried"])
        out.print(f"from {escape(source['study'])}: {tried or 'none tried yet'}", soft_wrap=True)


def _print_front(out: Console, record: Mapping[str, Any]) -> None:
    names, found = record["objectives"], record["front"]
    more = f", the first {MOST_FRONT}" if len(found) > MOST_FRONT else ""
    out.print(f"Pareto front: {len(found)} of {record['trials']['complete']} complete trials{more}")
    table = Table(box=None, padding=(0, 2, 0, 2))
    for name in ("trial", *names):
        table.add_column(escape(name), justify="right")
    for item in found[:MOST_FRONT]:
        shown = (value_text(name, item["values"][name]) for name in names)
        table.add_row(str(item["number"]), *shown)
    out.print(table)


def _recommended(record: Mapping[str, Any]) -> str:
    """Which trial to train, for how long."""
    steps = record["steps"]
    epochs = "" if steps is None else f", for {steps} epoch{'s' * (steps != 1)}"
    return f"trial {record['recommended']}{epochs}"


def _print_best(out: Console, record: Mapping[str, Any]) -> None:
    best = record["best"]
    if best["number"] is None:
        out.print("best: none yet, no trial is complete")
        return
    out.print(
        f"best: trial {best['number']}, mean AUROC {_score(best['value'], best['interval'])} "
        f"(validation, selected from {best['selected_from']})"
    )
    for sentence in record["sentences"]:
        out.print(sentence, markup=False, soft_wrap=True)
    out.print(f"recommended: {_recommended(record)}", soft_wrap=True)
    test, number = record["recommended_test"], record["recommended"]
    if test is None:
        test, number = best["test"], best["number"]
    if test is None:
        out.print("test: not evaluated")
    else:
        of = "" if number == best["number"] else f" (trial {number})"
        out.print(f"test: mean AUROC {_score(test['mean'], test['interval'])}{of}")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for name, value in list(best["params"].items())[:MOST_PARAMS]:
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(escape(name), escape(shown))
    out.print(table)


def _score(value: float, interval: Any) -> str:
    return f"{value:.4f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
