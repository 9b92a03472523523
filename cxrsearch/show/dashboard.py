"""The dashboard: a study's whole history as one HTML page that works offline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from . import notes
from .page import render, write_page
from .panels import (
    ancestry,
    curves,
    exposure,
    front_figures,
    genes,
    history,
    labels,
    population,
    ratios,
    table,
    workers,
    worth,
)
from .section import Section
from .view import StudyView, read_view

SECTIONS: tuple[Callable[[StudyView, float], list[Section]], ...] = (
    history.sections,
    worth.sections,
    front_figures.sections,
    table.sections,
    curves.sections,
    genes.sections,
    labels.sections,
    population.sections,
    ancestry.sections,
    workers.sections,
    exposure.sections,
    ratios.sections,
    notes.sections,
)
"""Every part of the page, in reading order: what of it there is to say of a study at a moment.

A new one is a function ``sections(view, now)`` in a file of its own, and a line here."""


def dashboard(study_folder: Path, out: Path) -> Path:
    """Write the dashboard of the study in ``study_folder`` to the file ``out``.

    Works while the search runs; the page shows one moment of it.

    Raises:
        search.errors.StudyError: where there is no study in ``study_folder``.
    """
    return write_page(out, dashboard_html(read_view(study_folder), time.time()))


def dashboard_html(view: StudyView, now: float, refresh: bool = False) -> str:
    """The page's text. ``now``: seconds since 1970; ``refresh``: reloads while running."""
    return render(
        "dashboard.html",
        title=view.name,
        tagline=notes.tagline(view),
        facts_list=notes.headline(view, now),
        sections=[section for part in SECTIONS for section in part(view, now)],
        written=notes.moment(now),
        refresh=30 if refresh and view.record.driver_alive else 0,
    )
