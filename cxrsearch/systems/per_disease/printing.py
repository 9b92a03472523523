"""Single-label models beside the joint one: the figures, and what is printed of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from cxrsearch.show.plain_text import to_text


@dataclass(frozen=True)
class SingleAndJoint:
    """Single models beside the joint one, both on the validation part.

    Args:
        trial: of the joint model.
        backbone: ``own`` or ``shared``.
        joint: its mean AUROC over ``labels``.
        single: the single models'.
        difference: of the two, with its paired 95% interval over patients in ``interval``.
        interval: see there.
        labels: by name: joint AUROC, single AUROC, and what the label's recipe was.
        image_steps: of the joint model and of the single ones, in all.
        notes: what speaks against taking the figures at face value.
    """

    trial: int
    backbone: str
    joint: float
    single: float
    difference: float
    interval: tuple[float, float]
    labels: Mapping[str, tuple[float, float, str]]
    image_steps: tuple[float, float]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values for JSON."""
        return asdict(self)


def head_text(recipe: Mapping[str, Any] | None) -> str:
    """What a head was fitted with, None for the joint model's own."""
    if recipe is None:
        return "joint head"
    return f"penalty {recipe['penalty']:g}{', balanced' if recipe['balanced'] else ''}"


def describe_compared(found: SingleAndJoint) -> str:
    """What ``cxrsearch ensemble --per-disease`` prints."""
    table = Table(box=None)
    for column in ("", "joint", "single", "difference", "recipe"):
        table.add_column(column, justify="right" if column not in ("", "recipe") else "left")
    for name, (joint, single, recipe) in found.labels.items():
        difference = f"{single - joint:+.3f}"
        table.add_row(name, f"{joint:.3f}", f"{single:.3f}", difference, recipe)
    what = "a network each" if found.backbone == "own" else "a head each, one backbone"
    plural = "s" if len(found.labels) > 1 else ""
    joint, single = found.image_steps
    low, high = found.interval
    return "\n".join(
        (
            f"{len(found.labels)} single-label model{plural} ({what}) beside trial {found.trial}",
            f"image-steps: joint {joint:,.0f}, single {single:,.0f} in all",
            "AUROC on validation",
            to_text(table),
            f"mean: joint {found.joint:.4f}, single {found.single:.4f}: "
            f"{found.difference:+.4f} ({low:+.4f} to {high:+.4f}, 95%, paired over patients; "
            "what choosing adds is not in it)",
            *(f"note: {note}" for note in found.notes),
        )
    )
