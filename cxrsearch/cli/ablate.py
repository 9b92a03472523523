"""The command that asks which system helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cxrsearch.ablation.settings import Design
from cxrsearch.errors import quoted
from cxrsearch.fields import options_of
from cxrsearch.study import options
from cxrsearch.study.options import (
    PATH_TYPE,
    UNLABELLED,
    example,
    in_groups,
    option_of,
    seed_option,
)
from cxrsearch.study.settings import Settings

DESIGN = (*options_of(Design, "design"), "unlabelled")
CHANGEABLE = ("runner", "cpus_per_trial", "gpus_per_trial", "concurrent", "max_concurrent",
           "address", "time_budget", "storage", "cache")  # fmt: skip
"""What may be another when a study goes on."""

_DESIGN = [
    click.option("--study", type=PATH_TYPE, required=True,
                 help="Study folder; one that is there already is resumed."),
    *in_groups(Design, "design"),
    UNLABELLED,
    option_of(Settings, "space", help="Its first known-good point, with nothing added, is the "
              "baseline, and its genes are what is searched. Default: quick, or gpu where there "
              "is a GPU and real data."),
    seed_option("the split, which stays, and of the repeats"),
    *in_groups(Settings, "weights"),
    option_of(Settings, "time_budget", help="Stop after so long; the same command goes on."),
    option_of(Settings, "storage"),
    click.option("--dry-run", is_flag=True,
                 help="Check everything, show arms and compute, time one step; run nothing."),
]  # fmt: skip


@click.command(
    epilog=example(
        "cxrsearch ablate --study results/verdict --input-size 32 --epochs 6",
        "cxrsearch ablate --data my-xrays --study results/verdict --dry-run",
        "cxrsearch ablate --data my-xrays --study results/verdict --arms crop,augmentation",
        "cxrsearch ablate --study results/verdict     # goes on, or judges again",
    )
)
@options.options(_DESIGN)
@options.data_options
@options.run_options
@click.pass_context
def ablate(context: click.Context, /, study: Path, dry_run: bool, **given: Any) -> None:
    """Judge which system helps: arms at equal compute, with repeated seeds.

    Every arm has the same image-steps in all, pre-training and search included. Choices are made
    on validation; differences to the baseline are judged on the test part, paired over patients
    and seeds, once all cells are there. Writes STUDY/verdict.html.
    """
    default = click.core.ParameterSource.DEFAULT
    said = {name: value for name, value in given.items()
            if context.get_parameter_source(name) is not default}  # fmt: skip

    def way() -> str:
        if not (study / "study.yaml").exists():
            return "nothing had been trained; the same command begins again"
        return f"`cxrsearch ablate --study {quoted(study)}` goes on"

    with options.goes_on(way):
        over = _run(study, given, said, dry_run)
    if over:
        from cxrsearch.ablation.page import verdict_page, verdict_text

        click.echo(verdict_text(study))
        click.echo(f"page: {verdict_page(study, study / 'verdict.html')}")
    elif not dry_run:
        click.echo(
            "the time is up and nothing is judged yet; "
            f"`cxrsearch ablate --study {quoted(study)}` goes on"
        )


def _run(study: Path, given: dict[str, Any], said: dict[str, Any], dry_run: bool) -> bool:
    """Whether there is a verdict now."""
    if not (study / "study.yaml").exists():
        return _begin(study, given, dry_run)
    from cxrsearch.ablation.study import resume

    _check_same(study, said)
    if dry_run:
        click.echo(f"{study}: there already; without --dry-run it goes on")
        return False
    changes = {name: value for name, value in said.items() if name in CHANGEABLE}
    return resume(study, on_note=click.echo, **changes) is not None


def _begin(study: Path, given: dict[str, Any], dry_run: bool) -> bool:
    """Run a new study; whether there is a verdict now."""
    from cxrsearch.ablation.describe import describe_ablation, describe_time
    from cxrsearch.ablation.design import prepare_ablation
    from cxrsearch.ablation.study import start

    arms = given["arms"]
    names = None if arms is None else tuple(n.strip() for n in arms.split(",") if n.strip())
    design = Design(**{name: given[name] for name in DESIGN} | {"arms": names})
    settings = Settings(**{name: v for name, v in given.items() if name not in DESIGN})
    ready = prepare_ablation(settings, design, study, click.echo)
    click.echo(describe_ablation(ready))
    if dry_run:
        click.echo(describe_time(ready))
        return False
    click.echo(f"study: {study}   (how far it is: cxrsearch status {quoted(study)})")
    return start(ready, study) is not None


def _check_same(study: Path, said: dict[str, Any]) -> None:
    """Refuse options that the study in ``study`` was not made with."""
    from cxrsearch.ablation.study import differences
    from cxrsearch.errors import InputError

    if found := differences(study, {k: v for k, v in said.items() if k not in CHANGEABLE}):
        raise InputError(
            f"--study {study}: made with {'; '.join(found)}; leave those options out to go on "
            "with it, or name another folder"
        )
