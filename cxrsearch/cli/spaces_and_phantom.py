"""Commands about spaces and drawn X-rays."""

from __future__ import annotations

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
def phantom(
    folder: Path, images: int, unlabelled: int, side: int, seed: int, difficulty: float
) -> None:
    """Write drawn chest X-rays as NIH-style files."""
    from cxrsearch.phantom.dataset import phantom_dataset, write_phantom

    dataset = phantom_dataset(
        images=images, unlabelled=unlabelled, seed=seed, difficulty=difficulty
    )
    write_phantom(folder, dataset, side=side)
    click.echo(f"{folder}: {images} labelled and {unlabelled} unlabelled images")
