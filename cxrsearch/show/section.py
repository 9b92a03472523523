"""What pages are made of: panels, in sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import plotly.graph_objects as go


class Panel(NamedTuple):
    """One figure, or the sentence that stands in its place.

    ``wide`` is the width in pixels below which the figure scrolls instead of shrinking;
    ``shares`` offers buttons that show only that share of the lines, the best.
    """

    label: str
    figure: go.Figure | None = None
    sentence: str = ""
    caption: str = ""
    wide: int = 0
    shares: tuple[tuple[str, float], ...] = ()


class Section(NamedTuple):
    """A part of the page: anchor, short name for the navigation, title, panels as tabs.

    ``lead`` stands above them, a line a paragraph. On the dashboard, ``macro`` is one of parts.html
    that is shown below them, with ``values``.
    """

    anchor: str
    short: str
    title: str
    panels: Sequence[Panel] = ()
    lead: str = ""
    macro: str = ""
    values: Mapping[str, Any] = MappingProxyType({})
