"""What the gene ``init`` asks for, read without torch: which weights, and how they are taken."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from search.files import as_given

RANDOM, IMAGENET, DRAWN = "none", "imagenet", "drawn"
"""Weights that have a name: random ones, ImageNet's, and those of X-rays that we draw."""

PARTIAL = "partial:"
"""Before a file: what fits of it is taken over, however little that is."""

FROZEN = "frozen-features"
"""Alone, or with ``:`` and other weights: only a linear layer on their features is fitted."""


class Start(NamedTuple):
    """A value of the gene ``init`` in its parts.

    Args:
        source: ``none``, ``imagenet``, ``drawn``, or a path as it was written.
        partial: whether less than nearly all of a network will do.
        frozen: whether the network's features stay as the weights have them.
    """

    source: str
    partial: bool = False
    frozen: bool = False

    @property
    def file(self) -> str | None:
        """The user's file; None where it is none."""
        return None if self.source in (RANDOM, IMAGENET, DRAWN) else self.source

    @property
    def text(self) -> str:
        """The value of the gene."""
        source = PARTIAL * self.partial + self.source
        if not self.frozen:
            return source
        return FROZEN if source == IMAGENET else f"{FROZEN}:{source}"


def start_of(init: str) -> Start:
    """The parts of ``init``: ``none``, ``imagenet``, ``drawn``, ``FILE``, ``partial:FILE``,
    ``frozen-features`` (of ImageNet's weights) or ``frozen-features:`` with one of the others."""
    if init == FROZEN:
        return Start(IMAGENET, frozen=True)
    frozen = init.startswith(f"{FROZEN}:")
    rest = init.removeprefix(f"{FROZEN}:") if frozen else init
    return Start(rest.removeprefix(PARTIAL), rest.startswith(PARTIAL), frozen)


def start_problem(init: str) -> str | None:
    """Why ``init`` can mean no weights, whatever files there are, or None."""
    start = start_of(init)
    if not start.source:
        return f"init {init!r}: names no weights; give none, imagenet, drawn or a file"
    if start.partial and start.file is None:
        return f"init {init}: partial is said of a file; write partial:FILE, or {start.source}"
    if start.frozen and start.source == RANDOM:
        return (
            f"init {init}: features of random weights say little; give frozen-features (of "
            "ImageNet's weights) or frozen-features:FILE"
        )
    return None


def placed(init: str, *folders: Path) -> str:
    """``init`` with a relative path made absolute, so that it means the same from anywhere.

    Args:
        init: a value of the gene.
        folders: where the file is looked for, in this order; where it is nowhere, the first.
    """
    start = start_of(init)
    if start.file is None or not start.file:
        return init
    given = Path(start.file).expanduser()
    places = [as_given(folder / given) for folder in folders]
    found = next((place for place in places if place.exists()), places[0])
    return start._replace(source=str(found)).text
