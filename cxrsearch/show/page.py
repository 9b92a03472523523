"""One self-contained HTML page: template, style, script, Plotly and figures in one file.

Nothing is requested from anywhere: a content security policy in the page forbids it, so
that not even a bug in a library could send what are medical data. Figures travel as JSON
in which no ``<`` is left, so that no text of a user can end the element it stands in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

from cxrsearch.writing import PAGE, check_file
from search.files import write_text

TEMPLATES = Path(__file__).parent / "templates"
CONFIG: Mapping[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
    "modeBarButtonsToRemove": ["sendChartToCloud", "lasso2d", "select2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "svg", "filename": "cxrsearch"},
}
"""Plotly's buttons: zoom and save; none that sends a chart away."""


def safe_json(value: Any) -> Markup:
    """``value`` as JSON that may stand in a script element whatever its texts hold."""
    return _harmless(json.dumps(value))


def _harmless(text: str) -> Markup:
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def prose(text: str) -> Markup:
    """A sentence as it may stand in a page: escaped, what is between backticks set as code."""
    parts = str(text).split("`")
    if len(parts) % 2 == 0:  # a backtick without its partner is a character like others
        return escape(text)
    code = Markup("<code>{}</code>")
    return Markup("").join(
        code.format(part) if place % 2 else escape(part) for place, part in enumerate(parts)
    )


def _figure_json(figure: go.Figure) -> Markup:
    return _harmless(figure.to_json())


def _environment(folder: Path) -> Environment:
    environment = Environment(
        loader=FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure_json"] = _figure_json
    environment.filters["prose"] = prose
    return environment


def render(template: str, folder: Path = TEMPLATES, **values: Any) -> str:
    """The page of ``template``, with Plotly once where ``sections`` holds a figure.

    Templates are looked for in ``folder``, then among those that pages share.
    """
    panels = [panel for section in values.get("sections", ()) for panel in section.panels]
    drawn = any(panel.figure is not None for panel in panels)
    plotly = Markup(get_plotlyjs()) if drawn else None
    page = _environment(folder).get_template(template)
    return page.render(plotly=plotly, config=safe_json(dict(CONFIG)), **values)


def write_page(path: Path, text: str) -> Path:
    """Write ``text`` to ``path``, atomically; its folder is made where needed.

    Raises:
        InputError: where ``path`` cannot be written, or holds what is not a page, such as labels.
    """
    check_file(path, "page.html", PAGE)
    write_text(path, text)
    return path
