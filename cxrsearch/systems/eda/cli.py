"""The command that looks at a data set before anything is searched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cxrsearch.data.request import DataRequest
from cxrsearch.study.options import PATH_TYPE, example, goes_on, in_groups, option_of, options


@click.command(
    epilog=example(
        "cxrsearch eda my-xrays --out my-xrays.html",
        "cxrsearch eda Data_Entry_2017.csv.gz --out labels.html",
        "cxrsearch eda train.csv --images CheXpert-v1.0-small --out chexpert.html",
        "cxrsearch eda my-xrays --test-list test_list.txt --out my-xrays.html",
    )
)
@click.argument("source", type=PATH_TYPE, metavar="SOURCE")
@click.option("--out", type=PATH_TYPE, required=True, help="HTML file to write.")
@options(
    [
        option_of(DataRequest, "labels"),
        option_of(DataRequest, "images"),
        *in_groups(DataRequest, "split", "seed"),
        option_of(
            DataRequest,
            "frame",
            help="Side of the cached images; default: the source's own, 224 at most. A search's "
            "own shares its cache.",
        ),
        option_of(DataRequest, "cache"),
    ]
)
@goes_on("nothing is written yet; the same command uses the images that are decoded")
def eda(source: Path, out: Path, **given: Any) -> None:
    """Look at a data set: labels, patients, images and split, as one offline HTML page.

    SOURCE is a folder of X-rays, a dataset.yaml, or a label table; a table is looked at alone, or
    with its --images. Says what to mend before a search:
    duplicates, patients across parts, blank, turned or inverted images, too few positives,
    and labels that the files alone give away.
    """
    from .command import explore
    from .page import check_out, explore_page

    check_out(out)
    found = explore(DataRequest(data=str(source), **given))
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    for caution in found.cautions:
        click.echo(f"{caution.level}: {caution.what}. {caution.todo}", err=True)
    click.echo(explore_page(found, out))


COMMANDS = {"eda": eda}
