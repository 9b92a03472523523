"""The command that asks whether more labels would help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cxrsearch.study import options
from cxrsearch.study.options import PATH_TYPE, STUDY, example, seed_option


def _shares(value: object) -> tuple[float, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(float(part) for part in str(value).split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r}: give shares such as 0.1,0.25,0.5,1") from None


@click.command(
    "learning-curve",
    epilog=example(
        "cxrsearch learning-curve results/first --out curve.html",
        "cxrsearch learning-curve results/first --out curve.html --shares 0.25,0.5,0.75,1 "
        "--repeats 5",
        "cxrsearch learning-curve results/first --out curve.html --trial 12",
    ),
)
@STUDY
@click.option("--out", type=PATH_TYPE, required=True, metavar="FILE.html",
              help="Page to write; the record goes beside it as FILE.json.")  # fmt: skip
@click.option("--trial", type=int, help="Whose recipe is trained. [default: the recommended "
              "trial's]")  # fmt: skip
@click.option("--shares", type=_shares, metavar="S,S,...", default="0.1,0.2,0.35,0.5,0.7,1",
              show_default=True, help="Of the training part's patients.")  # fmt: skip
@click.option("--repeats", type=int, default=3, show_default=True,
              help="Trainings of each share, with other patients and seeds.")  # fmt: skip
@seed_option("shares and trainings")
@options.moved_options
@options.alone_options
@options.goes_on(options.AGAIN)
def learning_curve(
    study: Path, out: Path, trial: int | None, shares: tuple[float, ...], repeats: int, seed: int,
    **moved: Any,
) -> None:  # fmt: skip
    """Would more labels help? Train a recipe on growing shares of the patients.

    Each training takes as many image-steps and is judged on the validation part; a curve through
    them says what twice and four times as many patients would add. Killed, it goes on when called
    again.
    """
    from .command import learning_curve as run
    from .job import CurveRequest, json_of
    from .page import curve_text

    steps = run(study, out, CurveRequest(trial, shares, repeats, seed), **moved)
    while True:
        try:
            click.echo(next(steps))
        except StopIteration as end:
            click.echo(curve_text(end.value))
            break
    click.echo(f"page: {out}   record: {json_of(out)}")


COMMANDS = {"learning-curve": learning_curve}
