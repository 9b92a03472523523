"""Commands about spaces and drawn X-rays."""

from __future__ import annotations

import re
from pathlib import Path

import click

from cxrsearch.study.options import PATH_TYPE, example, seed_option


@click.command(epilog=example("cxrsearch spaces", "cxrsearch spaces report"))
@click.argument("name", required=False)
def spaces(name: str | None) -> None:
    """List the search spaces, or explain one (a name or a file)."""
    from cxrsearch.study.printing import explain_space, list_spaces

    click.echo(explain_space(name) if name else list_spaces())


@click.command(epilog=example("cxrsearch phantom drawn --images 300"))
@click.argument("folder", type=PATH_TYPE)
@click.option("--images", type=int, default=600, show_default=True, help="Labelled images.")
@click.option("--unlabelled-images", "--unlabelled", "unlabelled", type=int, metavar="N",
              default=100, show_default=True,
              help="Images without a label. --unlabelled N is the older spelling.")  # fmt: skip
@click.option("--side", type=int, default=256, show_default=True, help="Pixels a side.")
@seed_option("whom and what is drawn")
@click.option("--difficulty", type=float, default=0.5, show_default=True, help="0 to 1.")
@click.option("--boxes", type=PATH_TYPE, metavar="FILE",
              help="Also write where the drawn signs are, as a table like NIH's "
              "BBox_List_2017.csv.")  # fmt: skip
def phantom(
    folder: Path,
    images: int,
    unlabelled: int,
    side: int,
    seed: int,
    difficulty: float,
    boxes: Path | None,
) -> None:
    """Write drawn chest X-rays as NIH-style files."""
    from cxrsearch.data.labels.boxes import BOX_HEADER, write_boxes
    from cxrsearch.phantom.dataset import phantom_dataset, write_phantom
    from cxrsearch.phantom.places import sign_boxes
    from cxrsearch.writing import check_file

    dataset = phantom_dataset(
        images=images, unlabelled=unlabelled, seed=seed, difficulty=difficulty
    )
    if boxes is not None:
        check_file(boxes, "boxes.csv", re.compile(re.escape(BOX_HEADER.encode())))
    write_phantom(folder, dataset, side=side)
    click.echo(f"{folder}: {images} labelled and {unlabelled} unlabelled images")
    if boxes is not None:
        write_boxes(boxes, sign_boxes(dataset))
        click.echo(f"{boxes}: where their signs are")
