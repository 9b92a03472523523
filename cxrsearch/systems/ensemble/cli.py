"""The command that puts a study's models together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from cxrsearch.study import options
from cxrsearch.study.options import PATH_TYPE, LateChoice, example, seed_option


def _methods() -> tuple[str, ...]:
    from cxrsearch.learn.ensemble.fitting import AUTO, METHODS

    return (AUTO, *METHODS)


COMBINING = {"--method", "--averaging", "--members", "--most", "--retrain", "--folds"}
"""Options that say how models are put together."""

MOVED = {"--data", "--labels", "--cache"}
"""Options that say where a study's data lie."""

ALONE = {"--cpus-per-trial", "--device", "--precision"}
"""Options that say what trainings use of the machine."""


@click.command(
    epilog=example(
        "cxrsearch ensemble results/first --out team",
        "cxrsearch ensemble results/first --members all",
        "cxrsearch ensemble results/first --members all --retrain --out team",
        "cxrsearch ensemble logits.npz --method stacking --out weights.json",
        "cxrsearch ensemble results/first --per-disease --backbone shared --out heads",
    )
)
@click.argument("source", type=PATH_TYPE)
@click.option("--out", type=PATH_TYPE, help="Ensemble folder to write (for a file: JSON with the "
              "weights). Without it, only print.")  # fmt: skip
@click.option("--method", type=LateChoice(_methods), default="auto", show_default=True,
              help="How the weights are found; auto: stacking, greedy or uniform, whichever does "
              "best on patients it was not fitted on.")  # fmt: skip
@click.option("--averaging", type=click.Choice(("probability", "logit", "rank")),
              default="probability", show_default=True,
              help="What is averaged; stacking and logistic weigh z-scores of logits.")  # fmt: skip
@click.option("--members", type=click.Choice(("kept", "all")), default="kept", show_default=True,
              help="Trials that kept their weights (--keep-checkpoints), or all that have "
              "predictions.")  # fmt: skip
@click.option("--most", type=click.IntRange(min=1), help="Members at most, the best single ones. "
              "[default: 10; for a file, all]")  # fmt: skip
@click.option("--retrain", "again", is_flag=True, help="Train each member again, on train + "
              "validation.")  # fmt: skip
@click.option("--folds", type=click.IntRange(min=2), default=5, show_default=True,
              help="Of the patients, for the nested estimate.")  # fmt: skip
@seed_option("the folds, of the genetic method and of --per-disease", click.IntRange(0, 2**31 - 1))
@click.option("--per-disease", is_flag=True, help="Train a model for each label instead, within "
              "the best trial's image-steps, and hold them against it.")  # fmt: skip
@click.option("--backbone", type=click.Choice(("own", "shared")), default="own", show_default=True,
              help="With --per-disease: a network for each label with the recipe that was best "
              "for it, or heads on the best trial's network, frozen.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
@options.moved_options
@options.alone_options
@click.pass_context
@options.goes_on(options.AGAIN)
def ensemble(
    ctx: click.Context, /, source: Path, out: Path | None, per_disease: bool, backbone: str,
    as_json: bool, **given: Any,
) -> None:  # fmt: skip
    """Put a study's models together, and say what that gains.

    Weights come from the trials' saved validation predictions: nothing is trained for them.
    The gain over the best single model is estimated on patients that had no part in choosing the
    weights. Trials and their best epochs were chosen by all of them, so it may be a little high.
    A file (.npz) holds labels (n, k), patient (n,), the logits (n, k) of each model, and
    label_names (k,) where the labels are not NIH's.
    """
    _check(ctx, source.is_file(), per_disease)
    if per_disease:
        _per_disease(source, out, backbone, as_json, given)
        return
    from .command import ensemble_of
    from .printing import describe_ensemble

    def told(name: str) -> None:
        click.echo(f"estimated: {name}", err=True)

    for step in ensemble_of(source, out, on_progress=told, **given):
        if isinstance(step, str):
            click.echo(step, err=as_json)
        else:
            found = step.to_dict()
            click.echo(json.dumps(found, indent=2) if as_json else describe_ensemble(found))


def _check(ctx: click.Context, from_file: bool, per_disease: bool) -> None:
    """Refuse options that would do nothing."""
    from cxrsearch.errors import InputError

    said = {
        parameter.opts[0]
        for parameter in ctx.command.params
        if ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    }
    idle = [(COMBINING, "do nothing with --per-disease")] if per_disease else [
        ({"--backbone"}, "goes with --per-disease")]  # fmt: skip
    if not per_disease and "--retrain" not in said:
        idle.append((ALONE, "go with --retrain or --per-disease"))
    if from_file and not per_disease:
        idle.append((MOVED, "go with a study, not with a file"))
    problems = [
        f"{', '.join(sorted(said & names))}: {why}; leave out what does nothing"
        for names, why in idle
        if said & names
    ]
    if problems:
        raise InputError(problems)


def _per_disease(
    study: Path, out: Path | None, backbone: str, as_json: bool, given: dict[str, Any]
) -> None:
    from cxrsearch.errors import InputError
    from cxrsearch.systems.per_disease.command import per_disease
    from cxrsearch.systems.per_disease.printing import describe_compared

    if out is None:
        raise InputError("--per-disease: name the folder to write with --out")
    names = ("data", "labels", "images", "cache", "cpus_per_trial", "device", "precision")
    moved = {name: given[name] for name in names}
    for step in per_disease(study, out, backbone, given["seed"], **moved):
        if isinstance(step, str):
            click.echo(step, err=as_json)
        else:
            found = step.to_dict()
            click.echo(json.dumps(found, indent=2) if as_json else describe_compared(step))


COMMANDS = {"ensemble": ensemble}
