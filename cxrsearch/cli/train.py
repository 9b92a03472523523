"""The command that makes a model: of a study's winner, or of one recipe without a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cxrsearch.errors import InputError, quoted
from cxrsearch.study.options import (
    AGAIN,
    PATH_TYPE,
    LateChoice,
    example,
    goes_on,
    recipe_options,
    views_of,
)

_MACHINE = ("cpus_per_trial", "device", "precision")
"""How something is trained."""

_BOTH = ("study", "out", "data", "labels", "images", "cache", *_MACHINE)
"""What a study's winner and a single recipe both take."""

_TRAINING = (*_MACHINE, "length")
"""What says how members are trained again."""

_STUDY = ("trial", "members", "again", "seeds", "teachers", "length", "tta")
"""What only a study's end takes."""


def _views() -> tuple[str, ...]:
    return (*views_of(), "auto")


@click.command(
    epilog=example(
        "cxrsearch train results/first --out model",
        "cxrsearch train results/first --trial 17 --out model-17",
        "cxrsearch train results/first --epochs 40 --out model-40",
        "cxrsearch train results/first --distill 5 --out model-taught",
        "cxrsearch train results/first --ensemble 5 --out team",
        "cxrsearch train --recipe report-densenet121 --data my-xrays --out model",
        "cxrsearch train --recipe report-vgg16 --set init=none --set epochs=20 --out model",
        "cxrsearch train --recipe my-space.yaml:first --data my-xrays --out model",
    )
)
@click.argument("study", required=False, type=PATH_TYPE)
@click.option("--out", type=PATH_TYPE, required=True, help="Model folder to write.")
@click.option("--trial", type=int, help="Its recipe. [default: the recommended trial's]")
@click.option("--ensemble", "members", type=int, metavar="N", help="Put the N most promising "
              "trials together instead, with the weights that the search has kept: nothing is "
              "trained.")  # fmt: skip
@click.option("--retrain", "again", is_flag=True, help="With --ensemble: train each of them again, "
              "on train + validation.")  # fmt: skip
@click.option("--seeds", type=int, metavar="K", help="Train the trial K times, with another seed "
              "each time, and average what they say.")  # fmt: skip
@click.option("--distill", "teachers", type=int, metavar="N", help="Let the model learn what the N "
              "most promising trials say together, by the weights that the search has kept: nine "
              "tenths of each training target, the rest is the label.")  # fmt: skip
@click.option("--epochs", "length", type=int, metavar="N", help="Epochs that the schedule is "
              "stretched to; where it stops keeps its place in it. [default: as in the "
              "trial]")  # fmt: skip
@click.option("--tta", type=LateChoice(_views), default="none", show_default=True, help="What the "
              "model predicts the mean over, kept in its card: flip, small shifts, or auto, what "
              "gains on validation by the weights that the search has kept.")  # fmt: skip
@click.option(
    "--recipe",
    metavar="NAME",
    help="Without a study: a known-good point of a shipped "
    "space (report-densenet121, report-vgg16, ...) or of your own (FILE.yaml:NAME).",
)
@click.option(
    "--set",
    "genes",
    metavar="GENE=VALUE",
    multiple=True,
    help="Another value for a gene of the recipe. May be repeated.",
)
@recipe_options
@click.pass_context
@goes_on(AGAIN)
def train(ctx: click.Context, /, study: Path | None, out: Path, **options: Any) -> None:
    """Retrain the best recipe into a model that predicts, or train one without a search.

    The recipe that a STUDY recommends: the one that its reruns confirmed, or without any the one
    of the highest expected value. On train + validation, to the end of its schedule, as no
    validation part is left to choose an epoch by; shorter where an earlier epoch was clearly
    better. Of an --ensemble the recommended trial comes
    first, then those that reruns cannot tell from it, then the highest expected values; different
    recipes before one again with another seed.

    A --recipe: on the training part, and the epoch with the best validation score is kept. Its
    data are split as a search with this seed would. Goes on where it was cut off.
    """
    _check(ctx, study, options["recipe"])
    several = options["members"] is not None or options["seeds"] is not None
    if study is not None and several:
        _train_ensemble(study, out, options)
        return
    if study is None:
        _train_recipe(out, options)
    else:
        _train_winner(study, out, options)
    model = quoted(out)
    click.echo(f"model: {out}\nnext: cxrsearch evaluate {model}")
    click.echo(f"   or cxrsearch predict {model} IMAGE_DIR --out predictions.csv")


def _check(ctx: click.Context, study: Path | None, recipe: str | None) -> None:
    """Refuse options of the other way to call the command."""
    if study is None and recipe is None:
        raise InputError("name a STUDY, or a recipe with --recipe NAME")
    if study is not None and recipe is not None:
        raise InputError(
            f"STUDY {study} and --recipe {recipe} exclude each other: a study's own recipe is "
            "trained with `cxrsearch train STUDY`, any other without the study"
        )
    wrong = [
        p.opts[0]
        for p in ctx.command.params
        if p.name not in _BOTH
        and (p.name in _STUDY) == (study is None)
        and ctx.get_parameter_source(p.name or "") is ParameterSource.COMMANDLINE
    ]
    if wrong:
        with_what = "a STUDY" if study is None else "--recipe"
        raise InputError(f"{', '.join(wrong)}: only with {with_what}; leave it out")
    _check_ensemble(ctx)


def _check_ensemble(ctx: click.Context) -> None:
    """Refuse what does nothing with or without ``--ensemble``."""
    given, again = ctx.params, ctx.params["again"]
    if given["members"] is None:
        if again:
            raise InputError("--retrain: only with --ensemble N; a single model is always trained")
        return
    idle = [
        p.opts[0]
        for p in ctx.command.params
        if p.name in ("trial", "seeds", "teachers", *(() if again else _TRAINING))
        and ctx.get_parameter_source(p.name or "") is ParameterSource.COMMANDLINE
    ]
    if idle:
        way = "" if again else ", which trains nothing without --retrain"
        raise InputError(f"{', '.join(idle)}: not with --ensemble{way}; leave it out")


def _train_ensemble(study: Path, out: Path, options: dict[str, Any]) -> None:
    from cxrsearch.systems.ensemble.ending.seeds import train_seeds
    from cxrsearch.systems.ensemble.ending.team import train_ensemble

    moved = {name: options[name] for name in (*_BOTH[2:], "length", "tta")}
    if options["members"] is None:
        asked = {"number": options["trial"], "teachers": options["teachers"]}
        lines = train_seeds(study, out, options["seeds"], **asked, **moved)
    else:
        lines = train_ensemble(study, out, options["members"], options["again"], **moved)
    for line in lines:
        click.echo(line)


def _train_winner(study: Path, out: Path, options: dict[str, Any]) -> None:
    from cxrsearch.model.folder import check_out
    from cxrsearch.study.winner import train_winner, winner_of
    from cxrsearch.systems.ensemble.ending.lessons import lessons_of
    from cxrsearch.systems.ensemble.ending.seen import choose_views
    from search.store.record import read_study

    moved = {name: options[name] for name in _BOTH[2:]}
    number, length, tta, lessons = options["trial"], options["length"], options["tta"], None
    if tta == "auto" or options["teachers"] is not None:
        check_out(out)
        winner = winner_of(read_study(study), number)
        views = choose_views(study, [winner.trial], tta, **moved)
        lessons = lessons_of(study, options["teachers"], winner, **moved)
        for line in filter(None, [views.reason, lessons and lessons.sentence]):
            click.echo(line)
        tta = views.tta
    steps = train_winner(study, out, number, click.echo, length, tta, lessons, **moved)
    for step in steps:
        click.echo(f"epoch {step.epoch}/{step.epochs}: loss {step.loss:.4f}, {step.seconds:.1f} s")


def _train_recipe(out: Path, options: dict[str, Any]) -> None:
    from cxrsearch.study.drawn_weights import make_missing
    from cxrsearch.study.named_recipes import find_recipe
    from cxrsearch.study.one_recipe import prepare_recipe, train_recipe
    from cxrsearch.study.printing import describe_epoch, describe_ready, describe_trained
    from cxrsearch.study.settings import TrainingRequest

    named = find_recipe(options["recipe"], options["genes"])
    skip = ("recipe", "genes", *_STUDY)
    given = {k: v for k, v in options.items() if k not in skip and v is not None}
    ready = prepare_recipe(named, TrainingRequest(**given), out)
    click.echo(describe_ready(ready))
    make_missing([ready.named.recipe], ready.settings)
    steps = train_recipe(ready)
    try:
        while True:
            click.echo(describe_epoch(next(steps)))
    except StopIteration as stop:
        click.echo(describe_trained(stop.value))
