"""The command that writes augmented copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cxrsearch.errors import quoted

from .options import AGAIN, FOLDER, example, goes_on, options, seed_option

_RANGES = [
    click.option("--rotation", type=float, default=10.0, show_default=True,
                 help="Degrees to either side."),
    click.option("--width-shift", type=float, default=0.05, show_default=True,
                 help="Share of the width, to either side."),
    click.option("--height-shift", type=float, default=0.05, show_default=True,
                 help="Share of the height, up or down."),
    click.option("--shear", type=float, default=0.04, show_default=True,
                 help="Degrees to either side."),
    click.option("--zoom", type=float, default=0.04, show_default=True,
                 help="1 - ZOOM to 1 + ZOOM, on each axis."),
    click.option("--brightness", type=float, default=0.0, show_default=True,
                 help="Factor 1 - B to 1 + B."),
    click.option("--contrast", type=float, default=0.0, show_default=True,
                 help="Factor 1 - C to 1 + C."),
    click.option("--horizontal-flip/--no-horizontal-flip", default=True, show_default=True,
                 help="Flip half of the copies left to right: the heart changes sides."),
    click.option("--vertical-flip/--no-vertical-flip", default=False, show_default=True,
                 help="Flip half of the copies top to bottom."),
]  # fmt: skip


@click.command(
    epilog=example(
        "cxrsearch augment my-xrays my-xrays-x10 --copies 10",
        "cxrsearch augment my-xrays upright --copies 5 --rotation 5 --no-horizontal-flip",
        "cxrsearch ga --data my-xrays-x10",
    )
)
@click.argument("data", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--copies", type=int, default=10, show_default=True, help="Of each labelled image.")
@click.option("--labels", type=FOLDER, help="Label table, where it lies elsewhere.")
@seed_option("what happens to a copy")
@options(_RANGES)
@goes_on(AGAIN)
def augment(
    data: Path, out: Path, copies: int, labels: Path | None, seed: int, **ranges: Any
) -> None:
    """Write augmented copies of labelled X-rays, with their label table, into a new folder.

    8-bit grey PNG files of the images' own size, with the labels and the patient of their image.
    The ranges are the report's unless you give others. A search augments while it trains (and
    searches the ranges), so it needs no such files: they are for other tools, or to look at.

    Searched as they are (--data OUT), all copies of an image stay in its part, as splits are by
    patient. But the validation and test parts hold copies too, so scores there are not those of
    untouched X-rays. Goes on where it was cut off.
    """
    from cxrsearch.systems.augment.command import SHEET, Wanted
    from cxrsearch.systems.augment.command import augment as write

    found = write(Wanted(data, out, copies, ranges, seed, labels))
    for note in found.notes:
        click.echo(f"note: {note}")
    fresh = f"{found.fresh:,} of them new" if found.fresh else "all were there already"
    click.echo(f"{out}: {found.copies:,} copies of {found.images:,} images, {fresh}")
    click.echo(f"look at the extremes of each range: {out / SHEET}")
    click.echo(f"next: cxrsearch ga --data {quoted(out)}")
