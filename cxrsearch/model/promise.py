"""What validation promised of a model: as observed, corrected for luck, confirmed by reruns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from search.reading import number, whole


class Promise(NamedTuple):
    """One of the figures.

    Args:
        name: ``observed``, ``corrected`` or ``confirmed``.
        value: mean AUROC.
        interval: 95%; None: not known.
        words: what it is of.
    """

    name: str
    value: float
    interval: tuple[float, float] | None
    words: str


def promised_in(card: Mapping[str, Any]) -> dict[str, Any]:
    """What validation promises of a model, out of its card; what isn't there is left out.

    Returns:
        ``trial`` and ``observed``, the value of its trial as it was seen, with ``selected_from``,
        how many trials it was chosen among; ``best``: the number and value of the trial that was
        seen best, where it is another; ``corrected``: that best value without the luck of having
        been chosen; ``confirmed``: what reruns on fresh splits say, with ``reruns``, how many, of
        how many ``finalists``. Of the three values ``<name>_interval`` (95%), where it is known.
    """
    said, study = card["validation"], card["study"]
    found: dict[str, Any] = {}
    for name, key in (("observed", "value"), ("corrected",) * 2, ("confirmed",) * 2):
        value = number(said.get(key), 0, 1)
        if value is None:
            continue
        found[name] = value
        bounds = said.get("interval" if key == "value" else f"{key}_interval")
        if isinstance(bounds, list) and len(bounds) == 2 and None not in map(number, bounds):
            found[f"{name}_interval"] = tuple(bounds)
    if found:
        trial = whole(study.get("trial"), 0)
        counts = {"trial": trial, **{n: whole(said.get(n), 0) for n in ("selected_from", "reruns")}}
        found |= {name: count for name, count in counts.items() if count is not None}
        if isinstance(finalists := said.get("finalists"), list):
            found["finalists"] = len(finalists)
        best = said.get("best") if isinstance(said.get("best"), dict) else {}
        seen, which = number(best.get("value"), 0, 1), whole(best.get("trial"), 0)
        if seen is not None and which not in (None, trial):
            found["best"] = {"trial": which, "value": seen}
    return found


def promises(said: Mapping[str, Any]) -> list[Promise]:
    """The figures that are in what `promised_in` found, each with what it is of."""
    best, trial = said.get("best"), f"trial {said['trial']} " if "trial" in said else ""
    count = f", chosen from {said.get('selected_from')} trials"
    of_best = f"; of trial {best['trial']}, {best['value']:.3f} as observed" if best else ""
    of = f" of {said['finalists']} finalists" if said.get("finalists", 0) > 1 else ""
    words = {
        "observed": f"{trial}on validation{count * (said.get('selected_from', 0) > 1)}",
        "corrected": f"without the luck of that choice{of_best}",
        "confirmed": f"by {said.get('reruns', 0)} reruns{of} on fresh seeds and splits",
    }
    return [
        Promise(name, said[name], said.get(f"{name}_interval"), text)
        for name, text in words.items()
        if name in said
    ]
