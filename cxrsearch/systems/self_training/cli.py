"""The command that learns from images without a label."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from cxrsearch.errors import quoted
from cxrsearch.learn.recipe import PSEUDO
from cxrsearch.study import options as cli_options
from cxrsearch.study.options import PATH_TYPE, STUDY, UNLABELLED, example


@click.command(
    "self-train",
    epilog=example(
        "cxrsearch self-train results/first --out student",
        "cxrsearch self-train results/first --out student --kind soft --teachers 3",
        "cxrsearch self-train results/first --out student --unlabelled more-xrays",
        "cxrsearch ga --pseudo student --space my-space.yaml   (a space with the gene pseudo)",
    ),
)
@STUDY
@click.option("--out", type=PATH_TYPE, required=True, help="Model folder to write.")
@click.option("--kind", type=click.Choice(PSEUDO[1:]), default="hard", show_default=True,
              help="hard: 0 and 1 at the ends; soft: their calibrated probability; calibrated: 0 "
              "and 1 beyond a threshold of the wanted precision; mean_teacher: no labels, but "
              "agreement with one's own average.")  # fmt: skip
@click.option("--share", type=float, default=0.05, show_default=True,
              help="Of the unlabelled images, taken at each end, a label.")  # fmt: skip
@click.option("--weight", type=float, default=1.0, show_default=True,
              help="Of a pseudo-label beside a label; mean_teacher: of disagreeing.")  # fmt: skip
@click.option("--wanted-precision", type=float, default=0.8, show_default=True,
              help="Of what lies beyond the calibrated thresholds.")  # fmt: skip
@click.option("--hidden", type=float, default=0.25, show_default=True,
              help="Share of the training patients whose labels are hidden for the "
              "check.")  # fmt: skip
@click.option("--teachers", type=int, default=1, show_default=True,
              help="Average the probabilities of so many of the best trials.")  # fmt: skip
@click.option("--trial", type=int, help="The teacher. [default: the best trial]")
@click.option("--control/--no-control", default=True, show_default=True,
              help="Also train the teacher's recipe at least as long as the student, without "
              "pseudo-labels.")  # fmt: skip
@UNLABELLED
@click.option("--truth", type=PATH_TYPE, metavar="FILE",
              help="Label table of unlabelled images, to judge by; nothing trains on "
              "it.")  # fmt: skip
@cli_options.moved_options
@cli_options.alone_options
@cli_options.goes_on(cli_options.AGAIN)
def self_train(study: Path, out: Path, **given: Any) -> None:
    """Label unlabelled X-rays with the best model, and train it again with them.

    First a check: labels of some patients are hidden, the recipe is trained without them, and the
    pseudo-labels of these are held against the truth. Killed, it goes on when called again.
    """
    from .command import Options
    from .command import self_train as run
    from .page import self_training_text

    names = {field.name for field in fields(Options)}
    options = Options(**{name: given.pop(name) for name in names})
    for line in run(study, out, options, **given):
        click.echo(line)
    click.echo(self_training_text(out))
    click.echo(f"model: {out}   (look at {out / 'self-training.html'})")
    click.echo(f"next: cxrsearch evaluate {quoted(out)}")


COMMANDS = {"self-train": self_train}
