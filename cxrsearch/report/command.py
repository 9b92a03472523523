"""``cxrsearch report MODEL``: one look at the test part, and all that can be said of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.data.labels.boxes import read_boxes
from cxrsearch.errors import InputError
from cxrsearch.model.folder import check_out, whole_folder
from cxrsearch.model.operating import DEFAULT_RULE
from cxrsearch.model.rules import parse_rule
from cxrsearch.model.suspicion.check import DOUBTFUL, Check, by_gravity
from cxrsearch.study.inference.opening import OpenedModel, open_with_data
from cxrsearch.version import __version__
from search.files import write_json, write_text
from search.seeds import derive

from .against import OtherReader, open_other
from .checks.command import checks_of
from .doubts import doubts_of
from .evidence import Evidence
from .figures.comparison import Beside
from .figures.contents import figures_of
from .figures.operating import ChosenThresholds, kept_thresholds
from .groups import Groups, column_groups, file_groups, people_groups
from .looking import Looked, look_once, objective_of
from .maps.command import check_boxes, maps_of
from .methods.text import methods_text
from .origin import told_by_files
from .page import report_page
from .tables import write_tables
from .words import origin_sentences

REPORT_JSON, REPORT_PAGE, METHODS_FILE = "report.json", "report.html", "methods.md"
REPORT_FORMAT, REPORT_VERSION = "cxrsearch report", 1

ORIGIN = "origin"
"""The check of what files give away."""

MOST_FILE_GROUPS = 5000
"""Judged images at most whose files' headers are read for subgroups."""


class ReportMade(NamedTuple):
    """A report that was written.

    Args:
        folder: where it lies.
        content: of its ``report.json``.
        seconds: that it took.
    """

    folder: Path
    content: Mapping[str, Any]
    seconds: float


def report(
    model: Path,
    out: Path,
    *,
    at: str | None = None,
    prevalence: float | None = None,
    against: Path | None = None,
    boxes: Path | None = None,
    groups: Sequence[str] = (),
    heat_maps: bool = True,
    maps: Sequence[str] = (),
    on_progress: Callable[[str], None] = lambda line: None,
    **where: Any,
) -> ReportMade:
    """Judge a model by one look, and write the report as a folder, whole or not at all.

    Args:
        model: a model folder or an ensemble folder.
        out: the folder to write.
        at: a rule for operating points; None: as the model keeps them.
        prevalence: at which predictive values are wished too.
        against: a second model, or a table of another's marks.
        boxes: a table of boxes, as NIH's.
        groups: further columns of the label table to judge by.
        heat_maps: whether maps are drawn, which takes a forward and a backward pass an image.
        maps: labels of the data that the model calls otherwise.
        on_progress: told what is being done.
        where: what else `cxrsearch.study.inference.opening.open_with_data` takes.

    Raises:
        InputError: where model, data, options or ``out`` cannot be used.
    """
    started = time.monotonic()
    check_out(out)
    _check_files(against, boxes)
    if at is not None:
        parse_rule(at)
    on_progress("reading model and data")
    opened = open_with_data(model, maps=maps, **where)
    every = np.arange(len(opened.dataset.names))
    column_groups(opened.dataset, every[:1], groups)  # before a look is spent
    if boxes is not None:
        read_boxes(boxes)
    beside = None
    if against is not None:
        on_progress(f"reading {against}")
        beside = open_other(against, opened, tuple(maps), where.get("precision", "auto"))
    said: list[OtherReader] = []

    def ready(evidence: Evidence) -> None:
        if boxes is not None:
            check_boxes(evidence, boxes)
        if beside is not None:
            on_progress(f"comparing with {against}")
            said.append(beside.said(evidence))

    on_progress("looking at the images")
    looked = look_once(opened, maps=tuple(maps), at=at, ready=ready)
    other = beside.counted(said[0]) if beside is not None else None
    with whole_folder(out) as work:
        content = _content(looked, work, at, prevalence, other, boxes, groups, heat_maps,
                           on_progress)  # fmt: skip
        write_json(work / REPORT_JSON, content)
        write_tables(work, content)
        methods = methods_text(looked.evidence, content)
        write_text(work / METHODS_FILE, methods)
        report_page(content, work, work / REPORT_PAGE, methods)
    return ReportMade(out, content, time.monotonic() - started)


def _check_files(against: Path | None, boxes: Path | None) -> None:
    """Refuse what is not there, before anything is read."""
    problems = []
    if against is not None and not against.exists():
        problems.append(f"--against {against}: no such model folder or CSV file")
    if boxes is not None and not boxes.is_file():
        problems.append(f"--boxes {boxes}: no such file")
    if problems:
        raise InputError(problems)


def _content(
    looked: Looked,
    work: Path,
    at: str | None,
    prevalence: float | None,
    other: OtherReader | None,
    boxes: Path | None,
    columns: Sequence[str],
    heat_maps: bool,
    on_progress: Callable[[str], None],
) -> dict[str, Any]:
    """All that ``report.json`` holds; pictures go to ``work``."""
    evidence = looked.evidence
    opened, seen = evidence.opened, evidence.seen
    rule = at or (str(looked.points.rule) if looked.points is not None else DEFAULT_RULE)
    on_progress("figures and their intervals")
    groups, files = _groups(opened, seen.places, columns)
    figures = figures_of(
        evidence.judged,
        evidence.validation,
        rule=rule,
        prevalence=prevalence,
        groups=groups,
        against=None if other is None else Beside(other.name, other.scores),
        objective=objective_of(seen),
        kept=_kept(looked),
        seed=derive("report", opened.dataset.fingerprint),
    )
    on_progress("what the files give away")
    origin = told_by_files(evidence)
    on_progress("where it looks")
    maps = _maps(looked, work, boxes) if heat_maps else None
    on_progress("marks in doubt")
    doubts = _or_reason(lambda: doubts_of(evidence, work))
    content = {
        "format": REPORT_FORMAT,
        "version": REPORT_VERSION,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": str(opened.model.folder),
        "model_name": opened.model.folder.resolve().name,
        "study": None if opened.study is None else str(opened.study),
        "data": opened.dataset.label,
        "data_fingerprint": opened.dataset.fingerprint,
        "split_fingerprint": opened.model.split,
        "looks": looked.number,
        "promised": looked.result.get("validation"),
        **figures,
        "operating": _operating(looked, rule),
        "against": _against(figures, other),
        "origin": origin,
        "maps": maps,
        "doubts": doubts,
        "file_groups": files,
        "notes": [*looked.result["notes"], *([f"subgroups by files: {files}"] if files else [])],
        "versions": _versions(),
    }
    told = [
        Check(ORIGIN, DOUBTFUL, sentence, {"label": label})
        for label, sentence in origin_sentences(content).items()
    ]
    checks = by_gravity([*told, *checks_of(evidence, looked.before)])
    content["checks"] = [check.to_json() for check in checks]
    return dict(plain_json(content))


def _kept(looked: Looked) -> ChosenThresholds | None:
    """The thresholds that the model keeps, where those at hand are not what they came from."""
    points = looked.points
    if points is None or not looked.kept:
        return None
    found = [points.labels.get(name) for name in looked.evidence.judged.label_names]
    each = [
        (None, 0, 0, None) if one is None
        else (one.threshold, one.positives + one.negatives, one.positives, one.reason)
        for one in found
    ]  # fmt: skip
    return kept_thresholds(points.rule, each, points.chosen_on)


def _maps(looked: Looked, work: Path, boxes: Path | None) -> dict[str, Any]:
    """Where the network looks; why nowhere, unless it is for the boxes that were asked for."""
    if boxes is not None:
        return maps_of(looked.evidence, work, boxes=boxes, points=looked.points)
    return _or_reason(lambda: maps_of(looked.evidence, work, points=looked.points))


def _or_reason(make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``make`` returns, or why there is nothing: the other parts stand without it."""
    try:
        return make()
    except InputError as error:
        return {"reason": "; ".join(error.problems)}


def _groups(opened: OpenedModel, places: np.ndarray, columns: Sequence[str]) -> tuple[Groups, str]:
    """Every grouping of the images that are judged, and what is to be said of that by files."""
    found = people_groups(opened.dataset, places)
    files = f"{len(places):,} images are more than the {MOST_FILE_GROUPS:,} whose files are read"
    if len(places) <= MOST_FILE_GROUPS:
        by_files, files = file_groups(opened.dataset, places)
        found |= by_files
    return found | column_groups(opened.dataset, places, columns), files


def _operating(looked: Looked, rule: str) -> dict[str, Any]:
    """The rule of the operating points and what they were chosen by."""
    points = looked.points
    return {
        "rule": rule,
        "chosen_on": None if points is None else points.chosen_on,
        "of": (points.of if points is not None and looked.kept else looked.of) or None,
        "images": 0 if points is None else points.images,
        "patients": 0 if points is None else points.patients,
        "made_from": None if points is None else points.made_from,
        "recalibration": {} if points is None else {
            name: {"slope": point.slope, "offset": point.offset}
            for name, point in points.labels.items()
        },
        **({"reason": looked.why} if looked.why else {}),
    }  # fmt: skip


def _against(figures: Mapping[str, Any], other: OtherReader | None) -> dict[str, Any] | None:
    """The comparison, with whom it is with."""
    if other is None:
        return None
    return {**(figures.get("against") or {}), **other.described()}


def _versions() -> dict[str, str]:
    return {"cxrsearch": __version__} | {
        name: metadata.version(name) for name in ("torch", "numpy", "scipy")
    }


def plain_json(value: Any) -> Any:
    """``value`` as JSON can hold it: arrays as lists, and null for what is no number."""
    if isinstance(value, Mapping):
        return {str(key): plain_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(one) for one in value]
    if isinstance(value, np.ndarray):
        return plain_json(value.tolist())
    if isinstance(value, np.generic):
        return plain_json(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
