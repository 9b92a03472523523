"""Commands that train a network's starting weights, before it sees a label of the user's data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.study.options import (
    AGAIN,
    PATH_TYPE,
    UNLABELLED,
    data_options,
    example,
    goes_on,
    in_groups,
    option_of,
    options,
    seed_option,
    side,
)
from cxrsearch.study.settings import TrainingRequest

_PLAN = [
    click.option("--out", type=PATH_TYPE, required=True,
                 help="Folder to write; the same command again goes on where it was stopped."),
    UNLABELLED,
    click.option("--model", default="densenet121", show_default=True,
                 help=f"Network: {', '.join(NETWORKS)}, or timm:NAME."),
    click.option("--init", default="none", show_default=True, metavar="none|imagenet|drawn|FILE",
                 help="Weights to start from."),
    click.option("--input-size", type=side, default="224", show_default=True, metavar="SIDE|HxW",
                 help="What the network sees, in pixels."),
    click.option("--crop", type=side, default="1024", show_default=True, metavar="SIDE|HxW",
                 help="Central window kept, in units of a 1024 frame."),
    click.option("--epochs", type=int, default=50, show_default=True,
                 help="Times that each image is seen."),
    click.option("--batch-size", type=int, default=64, show_default=True,
                 help="Images a step (split by memory)."),
    click.option("--lr", type=float, default=1e-3, show_default=True,
                 help="Peak learning rate (AdamW, one cycle)."),
    click.option("--weight-decay", type=float, default=1e-2, show_default=True,
                 help="Weight decay."),
    option_of(TrainingRequest, "frame", help="Side of the cached images; default: what "
              "--input-size and --crop need."),
    *in_groups(TrainingRequest, "weights"),
    seed_option("everything, the split's too: give the search the same"),
    *in_groups(TrainingRequest, "device"),
]  # fmt: skip

_DRAWN = [
    click.option(
        "--model",
        default="resnet18",
        show_default=True,
        help=f"Network: {', '.join(NETWORKS)}, or timm:NAME.",
    ),
    click.option(
        "--out",
        type=PATH_TYPE,
        help="Model folder to write. [default: where init: drawn looks for it]",
    ),
    click.option("--images", type=int, metavar="N", help="With --out: X-rays to draw."),
    click.option(
        "--epochs", type=int, metavar="N", help="With --out: times that each is seen."
    ),
    click.option(
        "--input-size",
        type=side,
        metavar="SIDE|HxW",
        help="With --out: what the network sees, in pixels.",
    ),
    *in_groups(TrainingRequest, "weights", "device"),
]  # fmt: skip

_GENES = ("model", "init", "input_size", "crop", "epochs", "batch_size", "lr", "weight_decay")


@click.group(
    epilog=example(
        "cxrsearch pretrain autoencoder --data my-xrays --out results/ae",
        "cxrsearch pretrain contrastive --data my-xrays --out results/views",
        "cxrsearch pretrain drawn --model resnet18",
        "cxrsearch pretrain gan --data my-xrays --out results/gan --images 2000",
    )
)
def pretrain() -> None:
    """Train starting weights on images, labelled or not, without their labels, or on drawn ones.

    What comes out, OUT/weights.safetensors (of drawn ones: just drawn), is a value of the gene
    init. In a search space:

    \b
      genes:
        init: {choices: [none, results/ae/weights.safetensors]}

    Images of validation and test patients are left out; so give --data, --seed and the shares
    that the search is to have.
    """


@pretrain.command(
    epilog=example(
        "cxrsearch pretrain autoencoder --data my-xrays --out results/ae --input-size 96",
        "cxrsearch pretrain autoencoder --data my-xrays --unlabelled more --out results/ae",
        "cxrsearch pretrain autoencoder --out results/drawn --input-size 32 --epochs 5",
    )
)
@options(_PLAN)
@data_options
def autoencoder(**given: Any) -> None:
    """Draw the image again from what the network makes of it.

    The network is the encoder; a decoder of convolutions and upsampling draws the image from its
    last maps. The page OUT/pretraining.html shows the loss and drawings of images that were not
    trained on.
    """
    _run("autoencoder", **given)


@pretrain.command(
    epilog=example(
        "cxrsearch pretrain contrastive --data my-xrays --out results/views --batch-size 128",
        "cxrsearch pretrain contrastive --out results/drawn --input-size 32 --epochs 5",
    )
)
@options(_PLAN)
@data_options
def contrastive(**given: Any) -> None:
    """Give two views of an image the same embedding (VICReg).

    Views are turned, shifted, zoomed and toned, not flipped. The page OUT/pretraining.html shows
    the loss, whether embeddings have collapsed, and the nearest training images of some that were
    not trained on.
    """
    _run("contrastive", **given)


@pretrain.command(
    epilog=example(
        "cxrsearch pretrain drawn --model resnet18",
        "cxrsearch pretrain drawn --model densenet121 --images 30000 --out results/drawn",
    )
)
@options(_DRAWN)
def drawn(model: str, out: Path | None, **given: Any) -> None:
    """Name the signs in X-rays that are drawn: init: drawn, no data needed.

    A search whose space has that makes them by itself when they are first needed; so does `train
    --recipe`. Without --out they are made where those look, on the machine and in the way that
    all do. Nobody's images are in them.
    """
    from cxrsearch.learn.networks.weights.asked import DRAWN
    from cxrsearch.learn.recipe import Recipe
    from cxrsearch.model.folder import WEIGHTS
    from cxrsearch.study.drawn_weights import make, make_missing, place_of, plan_of
    from cxrsearch.study.starting.drawn import missing, starting_problem

    ways = {name: given.pop(name) for name in ("images", "epochs", "input_size")}
    settings = TrainingRequest(**given)
    plan = plan_of(model, ways, anywhere=out is not None)
    with goes_on(AGAIN):
        if out is None:
            place, recipe = place_of(model, settings), Recipe(model=model, init=DRAWN)
            if problem := starting_problem(recipe, settings.weights_dir):
                raise InputError(problem)
            if not missing([recipe], settings.weights_dir):
                click.echo(f"{place}: there already")
            make_missing([recipe], settings, click.echo)
        else:
            place = out
            make(model, place, settings, plan, click.echo)
    value = "drawn" if out is None else quoted(place / WEIGHTS)
    click.echo(f"in a space: init: {{choices: [none, {value}], when: {{model: {model}}}}}")


def _run(method: str, out: Path, unlabelled: Path | None, **given: Any) -> None:
    from .command import run
    from .page import pretraining_page, pretraining_text
    from .run import PretrainPlan

    plan = PretrainPlan(method, **{name: given.pop(name) for name in _GENES})
    with goes_on(AGAIN):
        for step in run(TrainingRequest(**given), plan, out, unlabelled, click.echo):
            done, loss = f"epoch {step.epoch}/{step.epochs}", f"loss {step.loss:.5f}"
            click.echo(f"{done}: {loss}, {step.seconds:.1f} s")
    click.echo(pretraining_text(out))
    click.echo(f"page: {pretraining_page(out)}")
    click.echo(f"in a space: init: {{choices: [none, {quoted(out / 'weights.safetensors')}]}}")


COMMANDS = {"pretrain": pretrain}
