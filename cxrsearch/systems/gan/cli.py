"""The command that trains a GAN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cxrsearch.study.options import (
    PATH_TYPE,
    UNLABELLED,
    example,
    goes_on,
    in_groups,
    options,
)

from .settings import GanSettings

_GAN = [
    click.option("--out", type=PATH_TYPE, required=True,
                 help="Folder of the GAN. The same command goes on with one that was stopped."),
    UNLABELLED,
    click.option("--images", type=click.IntRange(0, 1_000_000), default=0, show_default=True,
                 help="Images to write into OUT/generated at the end; more with the same command "
                 "later on."),
    *in_groups(GanSettings, "gan", "seed", "device"),
]  # fmt: skip


@click.command(
    "gan",
    epilog=example(
        "cxrsearch pretrain gan --data my-xrays --out results/gan --images 2000",
        "cxrsearch pretrain gan --data my-xrays --out results/gan-128 --size 128",
        "cxrsearch pretrain gan --out results/drawn --epochs 20",
    ),
)
@options(_GAN)
@options(in_groups(GanSettings, "source", "split", "phantom", but="images"))  # --images N: to draw
def gan(out: Path, images: int, unlabelled: Path | None, **given: Any) -> None:
    """Train a generator of X-rays, and write images that can join the unlabelled ones.

    On the labelled training part and all unlabelled images but those of validation and test
    patients. Its page (OUT/gan.html) shows samples, their distance from the training images
    beside that of noise, of the mean image and of real images, and whether they are copies.
    """
    from .command import pretrain_gan
    from .page import gan_page

    settings = GanSettings(**given, unlabelled=None if unlabelled is None else str(unlabelled))
    with goes_on("the same command goes on from the last checkpoint"):
        for line in pretrain_gan(settings, out, images):
            click.echo(line)
    click.echo(f"page: {gan_page(out)}")


COMMANDS = {"pretrain gan": gan}
