"""The command that writes augmented copies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from cxrsearch.data.request import DataRequest
from cxrsearch.errors import quoted
from cxrsearch.learn.recipe import AUGMENTATION, group_of
from cxrsearch.study.options import (
    AGAIN,
    PATH_TYPE,
    Command,
    example,
    goes_on,
    option_of,
    options,
    seed_option,
)


def _range(gene: str, limits: Mapping[str, Any]) -> Callable[[Command], Command]:
    """The option of one gene, at what the report settled on unless it is given."""
    name = gene.replace("_", "-")
    return click.option(
        f"--{name}/--no-{name}" if limits["type"] == "bool" else f"--{name}",
        type={"bool": bool, "float": float, "int": int}[limits["type"]],
        default=limits.get("report", limits["default"]),
        show_default=True,
        help=f"{limits['help'][0].upper()}{limits['help'][1:]}.",
    )


_RANGES = [_range(gene, limits) for gene, limits in group_of(AUGMENTATION).items()]


@click.command(
    epilog=example(
        "cxrsearch augment my-xrays my-xrays-x10 --copies 10",
        "cxrsearch augment my-xrays upright --copies 5 --rotation 5 --no-horizontal-flip",
        "cxrsearch ga --data my-xrays-x10",
    )
)
@click.argument("data", type=PATH_TYPE)
@click.argument("out", type=PATH_TYPE)
@click.option("--copies", type=int, default=10, show_default=True, help="Of each labelled image.")
@option_of(DataRequest, "labels")
@option_of(DataRequest, "images")
@seed_option("what happens to a copy")
@options(_RANGES)
@goes_on(AGAIN)
def augment(
    data: Path,
    out: Path,
    copies: int,
    labels: str | None,
    images: str | None,
    seed: int,
    **ranges: Any,
) -> None:
    """Write augmented copies of labelled X-rays, with their label table, into a new folder.

    8-bit grey PNG files of the images' own size, with the labels and the patient of their image.
    The ranges are the report's unless you give others. A search augments while it trains (and
    searches the ranges), so it needs no such files: they are for other tools, or to look at.

    Searched as they are (--data OUT), all copies of an image stay in its part, as splits are by
    patient. But the validation and test parts hold copies too, so scores there are not those of
    untouched X-rays. Goes on where it was cut off.
    """
    from .command import SHEET, CopiesWanted
    from .command import augment as write

    asked = DataRequest(data=str(data), labels=labels, images=images, seed=seed)
    found = write(CopiesWanted(asked, out, copies, ranges))
    for note in found.notes:
        click.echo(f"note: {note}")
    fresh = f"{found.fresh:,} of them new" if found.fresh else "all were there already"
    click.echo(f"{out}: {found.copies:,} copies of {found.images:,} images, {fresh}")
    click.echo(f"look at the extremes of each range: {out / SHEET}")
    click.echo(f"next: cxrsearch ga --data {quoted(out)}")


COMMANDS = {"augment": augment}
