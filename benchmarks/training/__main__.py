"""Measure training: ``python -m benchmarks.training COMMAND --fast``; see ``--help``."""

from __future__ import annotations

import functools
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from benchmarks.measure import ROUNDS
from cxrsearch.errors import InputError

from .material import ROOT, Setup, setup
from .report import Report

MODELS = ("densenet121", "vgg16")
console = Console() if Console().is_terminal else Console(width=150)
Command = Callable[..., Report]


@click.group()
def main() -> None:
    """How fast a trial trains: ratios to baselines of the same run.

    Each command prints tables, writes them to OUT/COMMAND.json, and exits with 1 where a target
    is missed.
    """


def command(function: Command) -> Any:
    """A command with the options that all share; it shows and saves what ``function`` finds."""

    @functools.wraps(function)
    def run(**given: Any) -> None:
        fast = given["fast"]
        shared = {
            name: given.pop(name)
            for name in ("device", "threads", "data", "cache", "out", "rounds", "seed", "fast")
        }
        try:
            report = function(setup(**shared), **_quickened(given, fast))
        except InputError as error:
            raise click.ClickException("\n".join(error.problems)) from None
        report.show(console)
        console.print(f"Written: {report.save()}", highlight=False, soft_wrap=True)
        if report.missed:
            raise SystemExit(1)

    for option in reversed(_SHARED):
        run = option(run)
    return main.command(function.__name__)(run)


_FAST: dict[str, Any] = {
    "images": 64, "epochs": 1, "sizes": ("32",), "size": 32, "seeds": 2, "searches": 1,
    "trials": 4, "seconds": 0.5, "batch": 16, "naive": 2,
}  # fmt: skip


def _quickened(given: dict[str, Any], fast: bool) -> dict[str, Any]:
    """With ``--fast``, small values for all that was not given on the command line."""
    source = click.get_current_context().get_parameter_source
    default = click.core.ParameterSource.DEFAULT
    smaller = {k: v for k, v in _FAST.items() if fast and k in given and source(k) == default}
    return {**given, **smaller}


_SHARED = [
    click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda."),
    click.option("--threads", type=click.IntRange(1), help="CPU threads. [default: all cores]"),
    click.option("--data", type=click.Path(exists=True, path_type=Path),
                 help="X-rays with a label table. [default: $NIH_SMALL, else ../shared/nih-small "
                 "where it is, else drawn ones]"),
    click.option("--cache", type=click.Path(path_type=Path), help="Folder of decoded images."),
    click.option("--out", type=click.Path(path_type=Path),
                 default=ROOT / "results" / "bench-training", help="[results/bench-training]"),
    click.option("--rounds", type=click.IntRange(1), default=ROUNDS, show_default=True),
    click.option("--seed", default=0, show_default=True),
    click.option("--fast", is_flag=True, help="About a minute; targets are not judged."),
]  # fmt: skip
IMAGES = click.option(
    "--images", type=int, default=640, show_default=True, callback=lambda _c, _p, n: n or None,
    help="To train on and to validate, together; 0: all.",
)  # fmt: skip
NETWORKS = click.option(
    "--models", default=",".join(MODELS), show_default=True,
    callback=lambda _c, _p, text: _known(text, MODELS), help="With commas.",
)  # fmt: skip
NETWORK = click.option("--model", type=click.Choice(MODELS), default=MODELS[0], show_default=True)
BATCH = click.option("--batch", type=click.IntRange(2), default=32, show_default=True)


def _sizes(default: str) -> Any:
    return click.option(
        "--sizes", default=default, show_default=True, callback=lambda _c, _p, text: _split(text),
        help="With commas.",
    )  # fmt: skip


def _split(text: Any) -> tuple[str, ...]:
    return tuple(text.split(",")) if isinstance(text, str) else tuple(text)


def _known(text: str, names: Any) -> list[str]:
    """Names with commas, each one of ``names``."""
    found = _split(text)
    if unknown := [name for name in found if name not in names]:
        raise click.BadParameter(f"no {', '.join(unknown)}; there are {', '.join(names)}")
    return list(found)


@command
@_sizes("64,128")
@NETWORKS
@IMAGES
@BATCH
def model(where: Setup, sizes: Any, models: Any, images: int | None, batch: int) -> Report:
    """The full loop as a share of the model alone (target 0.95)."""
    from . import shares

    return shares.model(where, sizes, models, images, batch)


@command
@click.option("--size", default=64, show_default=True)
@IMAGES
@click.option("--epochs", default=2, show_default=True)
@BATCH
@NETWORK
def plain(where: Setup, **given: Any) -> Report:
    """Trials an hour beside a plain script (b), the same tuned (b+), torchxrayvision (c)."""
    from . import against

    return against.plain(where, **given)


@command
@click.option("--size", default=64, show_default=True)
@click.option("--images", type=int, default=0, callback=lambda _c, _p, n: n or None,
              help="0: all.")  # fmt: skip
@click.option("--epochs", default=6, show_default=True)
@click.option("--seeds", type=click.IntRange(2), default=6, show_default=True)
@BATCH
@NETWORK
def quality(where: Setup, **given: Any) -> Report:
    """Validation AUROC beside the plain script's, over seeds."""
    from . import quality as judging

    return judging.quality(where, **given)


@command
@_sizes("32,64,128,224,300x400,600x800")
@NETWORKS
@click.option("--epochs", default=10, show_default=True, help="Of the trial whose time is told.")
def sizes(where: Setup, sizes: Any, models: Any, epochs: int) -> Report:
    """Images a second, seconds a trial and memory by input size."""
    from . import shares

    return shares.sizes(where, sizes, models, epochs)


@command
@click.option("--size", default="64", show_default=True)
@NETWORKS
@IMAGES
def parts(where: Setup, size: Any, models: Any, images: int | None) -> Report:
    """Where an epoch's time goes."""
    from . import parts as timing

    return timing.parts(where, str(size), models, images)


@command
@_sizes("64,128,224")
@NETWORKS
def bounds(where: Setup, sizes: Any, models: Any) -> Report:
    """What FLOPs and bytes would allow, and the share that is reached."""
    from . import bounds as limits

    return limits.bounds(where, sizes, models)


@command
@_sizes("64,128,224")
@BATCH
def fetch(where: Setup, sizes: Any, batch: int) -> Report:
    """A batch from the cache against decoding and resizing files (target 50)."""
    from . import fetch as fetching

    return fetching.fetch(where, sizes, batch)


@command
@click.option("--file", type=click.Path(exists=True, path_type=Path),
              help="[default: $NIH_LOGITS, else ../shared/nih-logits]")  # fmt: skip
@click.option("--naive", default=5, show_default=True, help="Resamples with scikit-learn.")
def metrics(where: Setup, file: Path | None, naive: int) -> Report:
    """AUROC and bootstrap of real logits against scikit-learn (targets 8 and 1e-12)."""
    from . import scores

    return scores.metrics(where, file, naive)


@command
@click.option("--paths", help="Numbers with commas, from 1. [default: all]")
@click.option("--size", default=64, show_default=True)
@IMAGES
@click.option("--epochs", default=4, show_default=True)
@click.option("--seeds", type=click.IntRange(2), default=4, show_default=True)
@click.option("--same-draws/--other-draws", default=True, show_default=True,
              help="Whether the reference augments with the loop's own parameters.")  # fmt: skip
def equal(where: Setup, paths: str | None, **given: Any) -> Report:
    """Loss curves beside those of a simple float32 loop, over seeds."""
    from . import equal as curves

    names = list(curves.PATHS)
    chosen = [names[int(n) - 1] for n in paths.split(",")] if paths else names
    return curves.equal(where, chosen, **given)


@command
@click.option("--trials", default=40, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--searches", default=ROUNDS, show_default=True, help="One after another.")
def busy(where: Setup, trials: int, workers: int, searches: int) -> Report:
    """A search on Ray: the share of the cores' time in training (target 0.9)."""
    from . import busy as searching

    return searching.busy(where, trials, workers, searches)


@command
@click.option("--size", default="32", show_default=True)
@NETWORKS
@click.option("--counts", default="1,2,4", show_default=True, help="Trials at once.")
@click.option("--seconds", default=20.0, show_default=True, help="Of a window.")
@IMAGES
def together(where: Setup, size: Any, models: Any, counts: str, **given: Any) -> Report:
    """Aggregate speed of several trials at once."""
    from . import together as side

    return side.together(where, str(size), models, [int(n) for n in counts.split(",")], **given)


@command
@click.option(
    "--steps",
    default="ways,norms,silent,memory,large,compiled,small,together,crops,search",
    show_default=True,
)
@click.option("--batch", default=256, show_default=True, help="Of the large step.")
@click.option("--trials", type=click.IntRange(1), help="Of the search. [default: 20]")
@click.option("--short", is_flag=True, help="Fewer images, trials and epochs, shorter windows.")
@click.option("--time-budget", help="Of the search, such as 20m.")
@click.option("--tiny", is_flag=True, help="Every step in a minute or two, also on a CPU.")
def gpu(where: Setup, steps: str, batch: int, trials: int | None, short: bool,
        time_budget: str | None, tiny: bool) -> Report:  # fmt: skip
    """All that is to be measured on a CUDA device."""
    from dataclasses import replace

    from . import gpu as device

    if where.device.type != "cuda" and not tiny:
        raise click.ClickException(
            "there is no CUDA device here. On a machine that has one: python -m "
            "benchmarks.training gpu --data my-xrays. To see here that every step works: "
            "--device cpu --tiny"
        )
    scale = device.SHORT if short else device.Scale()
    scale = device.TINY if tiny else replace(scale, batch=batch, trials=trials or scale.trials)
    names = _known(steps, tuple(device.STEPS))
    where = replace(where, fast=where.fast or tiny)
    return device.gpu(where, names, scale, time_budget, console)


if __name__ == "__main__":
    # So that a run that is ended leaves neither scratch folders nor idle processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()
