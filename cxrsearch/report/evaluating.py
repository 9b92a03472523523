"""``cxrsearch evaluate MODEL --at RULE``: thresholds chosen on validation, judged on the test part.

They are kept in the model, so that `cxrsearch predict --decide` uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from cxrsearch.model.operating import write_points
from cxrsearch.model.rules import parse_rule
from cxrsearch.show.plain_text import to_text
from cxrsearch.study.inference.opening import open_with_data
from search.seeds import derive

from .figures.discrimination import averaged
from .figures.operating import operating_points, thresholds_of
from .figures.sample import sample_of
from .looking import Looked, look_once, objective_of

POINT_RESAMPLES = 1000

SHOWN_AT = (
    "threshold", "sensitivity", "specificity", "ppv", "npv",
    "ppv_at_prevalence", "npv_at_prevalence",
)  # fmt: skip
"""Figures that the printed table has, in its order."""


def evaluate_at(
    model: Path,
    at: str,
    *,
    prevalence: float | None = None,
    maps: tuple[str, ...] = (),
    **where: Any,
) -> dict[str, Any]:
    """Choose a model's thresholds on validation, keep them in it, and judge them.

    Args:
        model: a model folder or an ensemble folder.
        at: the rule, see `cxrsearch.model.rules.parse_rule`.
        prevalence: at which predictive values are wished beside those of the images at hand.
        maps: as for `cxrsearch.study.inference.opening.open_with_data`, as is ``where``.

    Returns:
        as `cxrsearch.study.inference.counting.evaluate_model_folder`, with ``operating``: ``rule``,
        ``chosen_on``, ``of`` (whose scores), ``prevalence``, ``labels`` (label -> name -> figure),
        ``mean``, ``kept`` (where the points are kept), and ``reason`` where there is none.

    Raises:
        InputError: where model, data or rule cannot be used.
    """
    parse_rule(at)
    looked = look_once(open_with_data(model, maps=maps, **where), maps=tuple(maps), at=at)
    return {**looked.result, "operating": operating_of(looked, at, prevalence, keep=True)}


def operating_of(
    looked: Looked, at: str, prevalence: float | None, *, keep: bool
) -> dict[str, Any]:
    """What a model is worth at its operating points.

    Args:
        looked: at the images.
        at: the rule.
        prevalence: see `evaluate_at`.
        keep: whether the points go into the model's folder.
    """
    evidence, points = looked.evidence, looked.points
    seed = derive("operating", evidence.opened.dataset.fingerprint)
    sample = sample_of(evidence.judged, POINT_RESAMPLES, derive(seed, "patients"))
    chosen_by = evidence.validation
    validation = (
        None
        if chosen_by is None
        else sample_of(chosen_by, POINT_RESAMPLES, derive(seed, "validation"))
    )
    thresholds = thresholds_of(parse_rule(at), validation, len(sample.label_names))
    found = operating_points(sample, thresholds, prevalence)
    on, part = thresholds.chosen_on, sample.part
    labels = {
        name: {
            "threshold": thresholds.figure(column).to_json(),
            **{what: one.figure(part, on).to_json() for what, one in found[name].items()},
        }
        for column, name in enumerate(sample.label_names)
    }
    which = list(next(iter(found.values())))
    mean = averaged(sample, found, objective_of(evidence.seen), which)
    kept = None
    if keep and points is not None:
        write_points(evidence.opened.model.folder, points)
        kept = str(evidence.opened.model.folder)
    return {
        "rule": str(parse_rule(at)),
        "chosen_on": on,
        "of": looked.of or None,
        "prevalence": prevalence,
        "labels": labels,
        "mean": {what: one.figure(part, on).to_json() for what, one in mean.items()},
        "kept": kept,
        **({"reason": looked.why} if points is None else {}),
    }


def describe_operating(found: Mapping[str, Any]) -> str:
    """The operating points as text.

    Args:
        found: what `operating_of` returned.
    """
    shown = [name for name in SHOWN_AT if any(name in one for one in found["labels"].values())]
    table = Table(title=f"at {found['rule']}", title_justify="left", box=None)
    table.add_column("")
    share = found["prevalence"]
    heads = {
        "ppv": "PPV",
        "npv": "NPV",
        "ppv_at_prevalence": f"PPV at {share}",
        "npv_at_prevalence": f"NPV at {share}",
    }
    for name in shown:
        table.add_column(heads.get(name, name), justify="right", overflow="fold")
    for label, figures in found["labels"].items():
        table.add_row(escape(label), *(_cell(figures.get(name)) for name in shown))
    table.add_row("mean", *(_cell(found["mean"].get(name)) for name in shown))
    lines = [to_text(table), _whence(found)]
    reasons = {
        figures["threshold"].get("reason")
        for figures in found["labels"].values()
        if figures["threshold"]["value"] is None
    }
    lines += [f"note: no threshold: {reason}" for reason in sorted(filter(None, reasons))]
    if found.get("reason"):
        lines.append(f"note: {found['reason']}")
    return "\n".join(lines)


def _whence(found: Mapping[str, Any]) -> str:
    kept = f"; kept in {found['kept']}" if found["kept"] else "; kept nowhere"
    if found["chosen_on"] is None:
        return f"thresholds: given, chosen on no image{kept}"
    return f"thresholds: chosen on {found['chosen_on']}, by {found['of']}{kept}"


def _cell(figure: Mapping[str, Any] | None) -> str:
    if figure is None or figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"
