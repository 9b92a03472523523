"""Commands that judge a model and use it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from cxrsearch.data.request import DataRequest
from cxrsearch.errors import InputError
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

AT = click.option("--at", metavar="RULE", help="Operating points, chosen on validation: "
                  "sensitivity=0.9, specificity=0.9, youden, or threshold=0.3.")  # fmt: skip

PREVALENCE = click.option(
    "--prevalence",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share that has a label where the model is to be used; predictive values are given at "
    "it too.",
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
        "cxrsearch evaluate model --at sensitivity=0.9 --prevalence 0.05",
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
@AT
@PREVALENCE
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def evaluate(
    model: Path, as_json: bool, at: str | None, prevalence: float | None, **where: Any
) -> None:
    """AUROC with patient-level intervals on the test part. Every look is counted.

    With --at, thresholds too: chosen on validation, kept in the model for `predict --decide`, and
    judged on the test part.
    """
    from cxrsearch.model.suspicion.check import refuse_false
    from cxrsearch.study.inference.counting import evaluate_model_folder
    from cxrsearch.study.printing import describe_evaluation

    if at is None:
        if prevalence is not None:
            raise InputError("--prevalence: only with --at, whose predictive values depend on it")
        result = evaluate_model_folder(model, **where)
        click.echo(json.dumps(result, indent=2) if as_json else describe_evaluation(result))
        refuse_false(result["checks"])
        return
    from cxrsearch.report.evaluating import describe_operating, evaluate_at

    result = evaluate_at(model, at, prevalence=prevalence, **where)
    told = f"{describe_evaluation(result)}\n\n{describe_operating(result['operating'])}"
    click.echo(json.dumps(result, indent=2) if as_json else told)
    refuse_false(result["checks"])


@click.command(
    epilog=example(
        "cxrsearch predict model new-xrays --out predictions.csv",
        "cxrsearch predict model new-xrays --decide",
        "cxrsearch predict team test-images --tta flip --sample sample.csv --out submission.csv",
    )
)
@click.argument("model", type=PATH_TYPE)
@click.argument("images", type=PATH_TYPE)
@click.option("--out", type=PATH_TYPE, help="CSV file to write. [default: predictions.csv, or "
              "decisions.csv with --decide, in this folder]")  # fmt: skip
@click.option("--decide", is_flag=True, help="Write 0 and 1, by the thresholds that the model "
              "keeps or that --at names.")  # fmt: skip
@click.option("--calibrated", is_flag=True, help="Write probabilities that were recalibrated on "
              "validation, instead of those of the network.")  # fmt: skip
@click.option("--at", metavar="RULE", help="With --decide: other thresholds than those that the "
              "model keeps: sensitivity=0.9, specificity=0.9, youden, threshold=0.3.")  # fmt: skip
@click.option("--study", type=PATH_TYPE, help="The study it was trained from, if that moved; for "
              "models of an earlier version.")  # fmt: skip
@click.option("--tidy", is_flag=True, help="One line an image and label.")
@click.option("--sample", type=PATH_TYPE, help="A competition's sample submission (CSV): its "
              "columns and rows, in its order, are written.")  # fmt: skip
@_TTA
@_PRECISION
def predict(model: Path, images: Path, out: Path | None, **how: Any) -> None:
    """Write the probabilities of every image in a folder, by a model or an ensemble.

    With --decide 0 and 1 instead.
    """
    from cxrsearch.study.inference.prediction_file import predict_to_file

    def told(done: int, of: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done} of {of} images", nl=done == of, err=True)

    out = out or Path("decisions.csv" if how["decide"] else "predictions.csv")
    for line in predict_to_file(model, images, out, on_progress=told, **how):
        click.echo(line, err=True)
    click.echo(out)
