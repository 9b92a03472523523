"""What an ablation is going to do, for people: arms, compute, hours."""

from __future__ import annotations

from rich.table import Table

from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.show.panels.labels import named
from cxrsearch.show.plain_text import to_text
from cxrsearch.study.cost.recipe_kinds import kind_of, trial_seconds
from cxrsearch.study.cost.stopwatches import TimingError, timed
from cxrsearch.study.prepare import trials_at_once
from cxrsearch.study.printing import counts_table
from search.cores import threads_of

from .arms import ARMS
from .design import ReadyAblation


def describe_ablation(ready: ReadyAblation) -> str:
    """Data, arms and what is held equal, of an ablation that is about to start."""
    plan, prepared = ready.plan, ready.prepared
    recipe, data = plan.recipe, prepared.dataset
    table = Table(box=None)
    for column in ("arm", "what it does"):
        table.add_column(column, overflow="fold")
    for name in plan.arms:
        table.add_row(name, ARMS[name].sentence)
    starts = {"none": "without ImageNet weights", "drawn": "from drawn X-rays"}
    start = starts.get(recipe.init, f"from {recipe.init}")
    lines = [
        f"data: {data.label}, {len(data.names)} labelled images of "
        f"{len(set(data.patients.tolist()))} patients, {plan.unlabelled:,} without a label",
        to_text(counts_table(prepared.counts, data.label_names)),
        f"baseline: {recipe.model} at {recipe.input_size}, {start}; searched: {plan.space['name']}",
        f"held equal: {plan.images:,} image-steps an arm and seed ({recipe.epochs} epochs of "
        f"{plan.train_images:,} images), pre-training and search included",
        f"cells: {len(plan.arms)} arms x {plan.seeds} seeds = {ready.cells}",
        to_text(table),
        f"judged by: {named(ready.labels)}",
    ]
    notes = [*prepared.notes, *(ready.unlabelled.notes if ready.unlabelled else ())]
    lines += [f"left out: {ARMS[name].title}: {why}" for name, why in ready.left_out.items()]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def describe_time(ready: ReadyAblation) -> str:
    """What ``--dry-run`` prints: a timed step, and the hours of all cells.

    Raises:
        InputError: where not one step could be timed.
    """
    plan, settings = ready.plan, ready.prepared.settings
    recipe, at_once = plan.recipe, trials_at_once(settings)
    kind, device = kind_of(recipe), "cuda" if settings.gpus else "cpu"
    compute = ComputeOptions.asked(settings, device=device, threads=threads_of(settings.cpus))
    each = min(at_once, max(1, int(1 / settings.gpus + 1e-4))) if settings.gpus else at_once
    try:
        n_classes = len(ready.prepared.dataset.label_names)
        steps, _ = timed({kind: recipe}, each, compute, n_classes=n_classes)
    except TimingError as error:
        raise InputError(
            f"no training step could be timed with {each} at once ({error})"
        ) from error
    splits = ready.prepared.splits
    cell = trial_seconds(recipe, steps, len(splits.train), len(splits.val_seed))
    return (
        f"one image-step: {steps[kind] * 1000:.1f} ms; one cell: about {cell / 60:.1f} min; all "
        f"{ready.cells}: about {cell * ready.cells / at_once / 3600:.2f} h with {at_once} at once\n"
        "dry run: everything checked, nothing written but the image cache"
    )
