"""Every command, on every data set of `SOURCES`, and what came of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .running import Ran, cxrsearch, write_space
from .sources import SOURCES, MissingError

STEPS = ("dataset", "eda", "search", "train", "evaluate", "predict")


@dataclass
class Outcome:
    """What came out on one data set.

    Args:
        name: of the data set.
        reason: why it was not tried; empty otherwise.
        steps: what was to be done.
        ran: step -> what it did.
        described: what ``dataset --json`` says.
        labels: the columns that ``predict`` wrote, after the image's.
        rows: how many images it wrote.
        best: the search's best validation AUROC.
        test: the model's AUROC on the test part.
    """

    name: str
    reason: str = ""
    steps: Sequence[str] = STEPS
    ran: dict[str, Ran] = field(default_factory=dict)
    described: dict[str, Any] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    rows: int = 0
    best: float | None = None
    test: float | None = None

    @property
    def failed(self) -> list[str]:
        """The steps that did not end well, or did not come to pass."""
        return [s for s in self.steps if s not in self.ran or self.ran[s].code]


def run_through(
    name: str, home: Path, tables: Path, count: int, trials: int, steps: Sequence[str] = STEPS
) -> Outcome:
    """The ``steps`` on the data set ``name``, below ``home``; each only after the one before."""
    found = Outcome(name, steps=steps)
    try:
        source = SOURCES[name](home / "data", tables, count)
    except MissingError as missing:
        found.reason = str(missing)
        return found
    study, model, scores = home / "study", home / "model", home / "scores.csv"
    cache = ("--cache", home / "cache")
    space = write_space(home / "space.yaml")
    calls: dict[str, tuple[object, ...]] = {
        "dataset": ("dataset", source.data),
        "eda": ("eda", source.data, "--out", home / "eda.html", *cache),
        "search": (
            "optuna", "--data", source.data, "--trials", trials, "--runner", "serial",
            "--space", space, "--study", study, *cache,
        ),
        "train": ("train", study, "--out", model, *cache),
        "evaluate": ("evaluate", model, "--json"),
        "predict": ("predict", model, source.images, "--out", scores),
    }  # fmt: skip
    for step in steps:
        done = found.ran[step] = cxrsearch(*calls[step], cwd=home)
        if step == "dataset" and not done.code:
            found.described = _json(cxrsearch("dataset", source.data, "--json", cwd=home).out)
        if done.code and step not in ("dataset", "eda"):
            break
    if "predict" in found.ran and not found.ran["predict"].code:
        found.best = _best(study)
        found.test = _json(found.ran["evaluate"].out).get("mean")
        with scores.open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        found.labels, found.rows = header[1:], len(rows)
    return found


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text[text.index("{") :])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _best(study: Path) -> float | None:
    """The best value of a study, as ``status --json`` has it."""
    status = _json(cxrsearch("status", study, "--json").out)
    best = status.get("best")
    value = best.get("value", best.get("score")) if isinstance(best, dict) else best
    return float(value) if isinstance(value, int | float) else None


def table(outcomes: list[Outcome]) -> str:
    """A line a data set."""
    head = (
        f"{'data set':12}{'format':18}{'images':>7}{'patients':>9}{'labels':>7}{'unc.':>6}"
        f"{'split':>7}{'validation':>11}{'test':>7}{'predicted':>12}{'seconds':>8}  not done"
    )
    lines = [head]
    for found in outcomes:
        if found.reason:
            lines.append(f"{found.name:12}skipped: {found.reason}")
            continue
        said = found.described
        marks = said.get("labels") or {}
        uncertain = sum(m.get("uncertain") or 0 for m in marks.values())
        images, patients = said.get("images"), said.get("patients")
        lines.append(
            f"{found.name:12}{said.get('format', '?')!s:18}{_number(images):>7}"
            f"{_number(patients):>9}{len(marks):>7}{uncertain:>6}"
            f"{'given' if said.get('split') else 'drawn':>7}{_score(found.best):>11}"
            f"{_score(found.test):>7}{f'{found.rows} x {len(found.labels)}':>12}"
            f"{sum(r.seconds for r in found.ran.values()):>8.0f}"
            f"  {', '.join(found.failed) or 'nothing'}"
        )
    return "\n".join(lines)


def _number(value: object) -> str:
    if isinstance(value, dict):
        value = value.get("count", value.get("found", value.get("labelled")))
    return f"{value}" if isinstance(value, int) else "-"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
