"""The making of starting weights from drawn X-rays, before the training that begins with them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cxrsearch.data.request import PHANTOM
from cxrsearch.errors import InputError
from cxrsearch.fields import flag
from cxrsearch.learn.networks.models import network_problem
from cxrsearch.learn.networks.weights.asked import DRAWN
from cxrsearch.learn.networks.weights.places import find_weights
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.phantom.dataset import FEWEST_IMAGES, MOST_IMAGES
from cxrsearch.writing import work_of
from search.space.values import limit_problem

from .named_recipes import Named
from .one_recipe import prepare_recipe, train_recipe
from .printing import describe_epoch
from .settings import TrainingRequest
from .starting.drawn import PLAN, DrawnPlan, missing

Say = Callable[[str], None]

DRAWN_SEED = 20_260
"""Of whom is drawn. No seed that a user would give: whose drawn X-rays are others."""


def plan_of(model: str, ways: Mapping[str, Any], anywhere: bool = True) -> DrawnPlan:
    """`PLAN` with what of it the user wants otherwise.

    Args:
        model: the network.
        ways: values of `DrawnPlan` by name; None: as planned.
        anywhere: whether the weights are for a folder of the user's; those of ``init: drawn`` are
            made in the same way for everybody.

    Raises:
        InputError: naming each value that cannot be.
    """
    given = {name: value for name, value in ways.items() if value is not None}
    problems = [] if anywhere else [
        f"{flag(name)} {value}: only with --out; what init: drawn means is the same for everybody"
        for name, value in given.items()
    ]  # fmt: skip
    limits = {**gene_limits(), "images": {"type": "int", "low": FEWEST_IMAGES, "high": MOST_IMAGES}}
    problems += [
        f"{flag(name)}: {problem}"
        for name, value in given.items()
        if (problem := limit_problem(value, limits[name]))
    ]
    plan = replace(PLAN, **given) if not problems else PLAN
    recipe = Recipe(model=model, input_size=plan.input_size)
    if problem := limit_problem(model, limits["model"]) or network_problem(recipe):
        problems.append(f"--model: {problem.removeprefix('model: ')}")
    if problems:
        raise InputError(problems)
    return plan


def to_stderr(line: str) -> None:
    """Say ``line`` beside what scripts read."""
    print(line, file=sys.stderr, flush=True)


def place_of(model: str, settings: TrainingRequest) -> Path:
    """The model folder that ``init: drawn`` means for ``model``."""
    folder = Path(settings.weights_dir) if settings.weights_dir else None
    return find_weights(DRAWN, model, folder).parent


def make_missing(
    recipes: Iterable[Recipe], settings: TrainingRequest, say: Say = to_stderr
) -> None:
    """Make the weights of drawn X-rays that ``recipes`` begin with, where they are not there.

    Cut off, it goes on from the last epoch when it is called again. Where another process is at
    it, that one is waited for.

    Args:
        recipes: what is to be trained.
        settings: where weights lie, device and precision.
        say: told what is made and how far it is.

    Raises:
        InputError: where they cannot be made.
    """
    wanted = list(recipes)
    for model in missing(wanted, settings.weights_dir):
        out = place_of(model, settings)
        try:
            with _one_at_a_time(out, say):
                if model not in missing(wanted, settings.weights_dir):
                    continue  # somebody has made them meanwhile
                say(
                    f"starting weights of {model}: made once, from {PLAN.images:,} drawn X-rays, "
                    f"and kept in {out}"
                )
                make(model, out, settings, PLAN, say)
        except (InputError, OSError) as error:
            why = "; ".join(error.problems) if isinstance(error, InputError) else str(error)
            raise InputError(
                f"init: drawn: weights of {model} cannot be made in {out} ({why}); name another "
                "--weights-dir, or use init: none"
            ) from error


@contextmanager
def _one_at_a_time(out: Path, say: Say) -> Iterator[None]:
    """Wait until nobody else makes ``out``; then nobody else does until the block is over."""
    out.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out.parent / f".{out.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"{out}: another process makes it; waiting for that")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def make(
    model: str, out: Path, settings: TrainingRequest, plan: DrawnPlan = PLAN,
    say: Say = lambda line: None,
) -> None:  # fmt: skip
    """Train ``model`` on drawn X-rays into the model folder ``out``, or go on with that.

    Args:
        model: a network.
        out: the model folder; its ``model.safetensors`` is a value of ``init``.
        settings: device and precision.
        plan: how much is drawn, and how often it is seen.
        say: told how far it is, after each epoch.

    Raises:
        InputError: where it cannot be made, or somebody else is at it.
    """
    # Of a cluster's machines this one need not be like the others.
    device = "auto" if getattr(settings, "address", None) else settings.device
    drawn = TrainingRequest(
        data=PHANTOM, phantom_images=plan.images, seed=DRAWN_SEED, test_share=0.02, val_share=0.05,
        cache=str((work_of(out) / "pictures").absolute()), device=device,
        precision=settings.precision,
    )  # fmt: skip
    ready = prepare_recipe(Named(f"{model} on drawn X-rays", plan.recipe(model)), drawn, out)
    for epoch in train_recipe(ready):
        say(describe_epoch(epoch))
