"""The command that writes what a model is worth as a page, JSON, tables and a methods section."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cxrsearch.data.request import DataRequest
from cxrsearch.durations import clock
from cxrsearch.study.options import PATH_TYPE, example, option_of
from cxrsearch.study.settings import TrainingRequest


@click.command(
    epilog=example(
        "cxrsearch report model --out model-report",
        "cxrsearch report model --at sensitivity=0.9 --prevalence 0.05 --out model-report",
        "cxrsearch report model --data other-hospital --against second-model --out elsewhere",
        "cxrsearch report model --boxes BBox_List_2017.csv --groups Scanner --out model-report",
    )
)
@click.argument("model", type=PATH_TYPE)
@click.option("--out", type=PATH_TYPE, required=True, help="Folder to write.")
@option_of(
    DataRequest,
    "data",
    default=None,
    metavar=None,
    help="Data to judge on. [default: the test part of those it was trained on]",
)
@option_of(DataRequest, "labels")
@option_of(DataRequest, "images")
@click.option("--map", "maps", multiple=True, metavar='"THEIRS=OURS"',
              help="A label of the data that the model calls otherwise; may be "
              "repeated.")  # fmt: skip
@click.option("--against", type=PATH_TYPE, metavar="MODEL|CSV", help="Another model, or a table "
              "with a reader's marks or another model's probabilities, compared on the same "
              "images.")  # fmt: skip
@click.option("--boxes", type=PATH_TYPE, metavar="FILE", help="Table of boxes, as NIH's "
              "BBox_List_2017.csv: heat maps are held against them.")  # fmt: skip
@click.option("--at", metavar="RULE", help="Operating points, chosen on validation: "
              "sensitivity=0.9, specificity=0.9, youden, threshold=0.3. [default: as the model "
              "keeps them]")  # fmt: skip
@click.option(
    "--prevalence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share that has a label where the model is to be used; predictive values are given at "
    "it too.",
)
@click.option("--groups", multiple=True, metavar="COLUMN", help="A further column of the label "
              "table to judge subgroups by; may be repeated.")  # fmt: skip
@click.option("--heat-maps/--no-heat-maps", default=True, show_default=True, help="Draw where the "
              "network looks.")  # fmt: skip
@click.option("--study", type=PATH_TYPE, help="The study it was trained from, if that moved.")
@option_of(TrainingRequest, "precision", help="Of the computing; auto: float32, the same on every "
           "machine, unless the model was trained otherwise.")  # fmt: skip
def report(model: Path, out: Path, **how: Any) -> None:
    """Write what a model is worth: one offline page, JSON, tables and a methods section.

    Judged on the test part of its own data, or on other data that it has not seen. Every number
    has an interval over patients, every choice is made on validation. The look is counted.
    """
    from cxrsearch.model.suspicion.check import refuse_false

    from .command import REPORT_JSON, REPORT_PAGE
    from .command import report as write

    made = write(model, out, on_progress=lambda line: click.echo(line, err=True), **how)
    for note in made.content["notes"]:
        click.echo(f"note: {note}", err=True)
    for check in made.content["checks"]:
        if check["level"] == "doubtful":
            click.echo(f"doubtful: {check['sentence']}", err=True)
    click.echo(f"look number {made.content['looks']} at these images; {clock(made.seconds)}")
    click.echo(made.folder / REPORT_JSON)
    click.echo(made.folder / REPORT_PAGE)
    refuse_false(made.content["checks"])
