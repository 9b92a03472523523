"""Commands that judge a model and use it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from cxrsearch.data.request import DataRequest
from cxrsearch.study import options
from cxrsearch.study.options import PATH_TYPE, example, option_of
from cxrsearch.study.settings import TrainingRequest

_TTA = click.option(
    "--tta",
    type=options.LateChoice(options.views_of),
    help="Test-time augmentation: the mean of the logits over the mirror image too (flip), small "
    "shifts (shift, shift-flip), or the corners, the centre and their mirror images (ten-crop). "
    "[default: what the model was made with]",
)

_PRECISION = option_of(
    TrainingRequest,
    "precision",
    help="Of the computing; auto: float32, the same on every machine, unless the model was trained "
    "with --precision bf16 or fp16.",
)


@click.command(
    epilog=example(
        "cxrsearch evaluate model --data my-xrays",
        'cxrsearch evaluate model --data my-xrays --map "Pleural Effusion=Effusion"',
    )
)
@click.argument("model", type=PATH_TYPE)
@option_of(
    DataRequest,
    "data",
    default=None,
    metavar=None,
    help="Data to judge on. [default: those it was trained on]",
)
@option_of(DataRequest, "labels")
@option_of(DataRequest, "images")
@click.option("--map", "maps", multiple=True, metavar='"THEIRS=OURS"',
              help="A label of the data that the model calls otherwise; may be "
              "repeated.")  # fmt: skip
@click.option("--study", type=PATH_TYPE, help="The study it was trained from, if that moved.")
@_TTA
@_PRECISION
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def evaluate(model: Path, as_json: bool, **where: Any) -> None:
    """AUROC with patient-level intervals on the test part. Every look is counted."""
    from cxrsearch.study.printing import describe_evaluation
    from cxrsearch.study.winner import evaluate_model_folder

    result = evaluate_model_folder(model, **where)
    click.echo(json.dumps(result, indent=2) if as_json else describe_evaluation(result))


@click.command(
    epilog=example(
        "cxrsearch predict model new-xrays --out predictions.csv",
        "cxrsearch predict team test-images --tta flip --sample sample.csv --out submission.csv",
    )
)
@click.argument("model", type=PATH_TYPE)
@click.argument("images", type=PATH_TYPE)
@click.option("--out", type=PATH_TYPE, required=True, help="CSV file to write.")
@click.option("--tidy", is_flag=True, help="One line an image and label.")
@click.option("--sample", type=PATH_TYPE, help="A competition's sample submission (CSV): its "
              "columns and rows, in its order, are written.")  # fmt: skip
@_TTA
@_PRECISION
def predict(model: Path, images: Path, out: Path, **how: Any) -> None:
    """Write the probabilities of every image in a folder, by a model or an ensemble."""
    from cxrsearch.study.winner import predict_to_file

    def told(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {of} images", nl=done == of, err=True)

    for line in predict_to_file(model, images, out, on_progress=told, **how):
        click.echo(line, err=True)
    click.echo(out)
