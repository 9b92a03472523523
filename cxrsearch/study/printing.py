"""What commands print: tables and short texts for people, in a terminal or a log file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.labels.names import some_names
from cxrsearch.data.splits.counts import KNOWN_NEGATIVES
from cxrsearch.durations import clock
from cxrsearch.learn.networks.weights.asked import start_of
from cxrsearch.learn.recipe import RATIO_PREFIX, Recipe
from cxrsearch.model.promise import promises
from cxrsearch.model.suspicion.check import Check, grave
from cxrsearch.show.marks import count_marks, marks_text
from cxrsearch.show.plain_text import to_text
from search.space import read_space_file

from .folder import marks_of
from .label_genes import BESIDE, DOUBTS, EVERY_RATIO, known_genes, optional_genes, read_space
from .prepare import Prepared
from .projection import Projection, project
from .settings import Settings
from .space import shipped_spaces, space_path

if TYPE_CHECKING:  # they load torch
    from cxrsearch.learn.train import Result

    from .one_recipe import Epoch, ReadyRecipe

PARTS = ("train", "val", "test")


def describe(prepared: Prepared) -> str:
    """Data, splits and notes of a search that is about to start."""
    settings, data = prepared.settings, prepared.dataset
    head = (
        f"data: {data.label}, {len(data.names)} labelled images of "
        f"{len(set(data.patients.tolist()))} patients, {len(data.unlabelled)} unlabelled; "
        f"cached at {prepared.cache.frame} x {prepared.cache.frame}\n"
        f"space: {prepared.space.name}, {len(prepared.space.genes)} genes{_priors(prepared)}; "
        f"sampler: {settings.sampler}; budget: {_budget(settings)}; seed: {settings.seed}"
    )
    head += f"\n{_confirmation(prepared)}" * bool(settings.confirm)
    notes = "".join(f"\nnote: {note}" for note in prepared.notes)
    table = counts_table(prepared.counts, data.label_names)
    return f"{head}\n{to_text(table)}{_marks(data)}{notes}"


def _priors(prepared: Prepared) -> str:
    """Which genes have a prior."""
    named = list(prepared.space.priors)
    return f" (priors: {some_names(named)})" if named else ""


def _budget(settings: Settings) -> str:
    """How long a search is to go on."""
    trials = f"{settings.target_trials} trials" if settings.target_trials else ""
    if settings.reruns:
        trials += f" ({settings.search_trials} to search, {settings.reruns} to confirm)"
    limit = f"{settings.time_budget} at most" if settings.time_budget else ""
    return ", ".join(filter(None, (trials, limit)))


def _confirmation(prepared: Prepared) -> str:
    """What becomes of the last share of a budget."""
    settings, least = prepared.settings, prepared.confirm_from
    which, share = f"the last {settings.reruns} trials", f"{settings.confirm:.0%}"
    if not settings.reruns:
        which = f"the last {share} of the time"
        which += f", where {least} trials have ended by then," * bool(least)
    elif settings.time_budget:
        which = f"the last {settings.reruns} trials (or the last {share} of the time)"
    verb = "train" if settings.reruns else "trains"
    return (
        f"confirmation: {which} {verb} the most promising recipes again on fresh seeds and splits "
        "of train + validation, each to its end; the winner is chosen by that (--confirm 0: none)"
    )


def describe_ready(ready: ReadyRecipe) -> str:
    """Recipe, data and notes of a training that is about to start."""
    data, parts, recipe = ready.parts.dataset, ready.parts, ready.named.recipe
    head = (
        f"recipe: {ready.named.name}\n"
        f"  {recipe.model}, weights {recipe.init}, {_fitted_by(recipe)}, window {recipe.crop} at "
        f"{recipe.input_size}\n"
        f"data: {data.label}, {len(data.names)} labelled images of "
        f"{len(set(data.patients.tolist()))} patients; cached at {parts.cache.frame} x "
        f"{parts.cache.frame}"
    )
    notes = "".join(f"\nnote: {note}" for note in (*ready.named.notes, *parts.notes))
    table = counts_table(parts.counts, data.label_names)
    return f"{head}\n{to_text(table)}{_marks(data)}{notes}"


def _fitted_by(recipe: Recipe) -> str:
    """How a recipe's network is trained."""
    if start_of(recipe.init).frozen:
        return f"its last layer by a regression of penalty {recipe.weight_decay:g}"
    return (
        f"{recipe.optimizer} at {recipe.lr:g}, {recipe.epochs} epochs, batches of "
        f"{recipe.batch_size}"
    )


def describe_epoch(epoch: Epoch) -> str:
    """One epoch of such a training, and the time that is left."""
    left = epoch.seconds / epoch.epoch * (epoch.epochs - epoch.epoch)
    return (
        f"epoch {epoch.epoch}/{epoch.epochs}: validation AUROC {epoch.value:.4f}"
        f"{' *' if epoch.best_epoch == epoch.epoch else ''} | {clock(epoch.seconds)} gone, "
        f"about {clock(left)} left"
    )


def describe_trained(result: Result) -> str:
    """What came out of it on validation."""
    attrs = result.attrs
    notes = "".join(f"\nnote: {note}" for note in attrs["notes"])
    return (
        f"validation: {result.value:.3f} ({_interval(attrs['interval'])}), of epoch "
        f"{attrs['best_epoch']}, the best of {attrs['epochs_run']} by this part, so it flatters"
        f"{notes}"
    )


LABELS_LISTED = 40
"""Labels that a table in a terminal names at most."""


def counts_table(counts: Mapping[str, Mapping[str, int]], labels: Sequence[str]) -> Table:
    """Positives by label and part; of very many labels those with the most.

    Args:
        counts: as `cxrsearch.data.splits.counts.label_counts` gives them.
        labels: of the data.
    """
    table = Table(title="images with each label", title_justify="left", box=None)
    table.add_column("", justify="left", overflow="fold")
    for part in PARTS:
        table.add_column(part, justify="right")
    often = sorted(labels, key=lambda label: -counts["train"].get(label, 0))[:LABELS_LISTED]
    for row in ("images", "patients"):
        table.add_row(row, *(str(counts[part].get(row, 0)) for part in PARTS))
    for label in labels:
        if label in often:
            table.add_row(escape(label), *(_positives(counts[part], label) for part in PARTS))
    table.add_row(NO_FINDING, *(str(counts[part].get(NO_FINDING, 0)) for part in PARTS))
    if len(labels) > LABELS_LISTED:
        table.caption = f"and {len(labels) - LABELS_LISTED} rarer labels"
        table.caption_justify = "left"
    return table


def _positives(counts: Mapping[str, int], label: str) -> str:
    """``12``, or ``12 of 340`` where the label is known of 340 images alone."""
    positives = counts.get(label, 0)
    if label + KNOWN_NEGATIVES not in counts:
        return str(positives)
    return f"{positives} of {positives + counts[label + KNOWN_NEGATIVES]}"


def _marks(data: Dataset) -> str:
    """A line on the marks that are not plain, where there are some."""
    said = marks_text(count_marks(marks_of(data)))
    return f"\n{said}" if said else ""


def describe_projection(prepared: Prepared) -> str:
    """What ``--dry-run`` prints: timed steps, hours and disk."""
    found: Projection = project(prepared)
    steps = ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in found.steps.items())
    return (
        f"{_networks_cost(found)}\n"
        f"one optimiser step: {steps}\n"
        f"one trial: about {found.seconds_per_trial / 60:.1f} min; the search: about "
        f"{found.hours:.2f} h with {found.concurrent} trial{'s' * (found.concurrent > 1)} at once "
        "(early stopping will make it less)"
        f"{_reruns_cost(found, prepared.settings)}\n"
        f"image cache: {prepared.cache.images.nbytes / 1e9:.2f} GB in {prepared.cache.path}\n"
        f"checkpoints: {found.disk_bytes / 1e9:.1f} GB at most\n"
        "dry run: everything checked, nothing written but the image cache"
    )


MOST_ROWS = 20
"""Networks and sizes that the table of a projection has at most."""


def _networks_cost(found: Projection) -> str:
    """What a trial takes by network and size of image, as a table."""
    table = Table(title=None, box=None)
    for column in ("network", "a trial", "of the trials", "of the time", ""):
        table.add_column(column, justify="left" if column in ("network", "") else "right")
    for row in found.networks[:MOST_ROWS]:
        table.add_row(
            escape(row.kind),
            f"{row.seconds_per_trial:.0f} s",
            f"{row.drawn:.0%}",
            f"{row.of_time:.0%}",
            "timed" if row.timed else "scaled by operations",
        )
    more = len(found.networks) - MOST_ROWS
    if more > 0:
        table.add_row(f"and {more} that take less")
    return to_text(table)


def _reruns_cost(found: Projection, settings: Settings) -> str:
    """What the confirmation takes, in words; nothing where there is none, or only time is left."""
    if not settings.reruns:
        return ""
    return (
        f"; confirming: about {found.confirm_hours:.2f} h more for {settings.reruns} reruns, none "
        "of them stopped early"
    )


def describe_evaluation(result: Mapping[str, Any]) -> str:
    """The figures of one look at the test part."""
    table = Table(title=None, box=None)
    for column in ("", "AUROC", "95% interval", "positives", "negatives"):
        table.add_column(column, justify="left" if not column else "right", overflow="fold")
    for label, value in result["auroc"].items():
        shown = "not defined" if value is None else f"{value:.3f}"
        table.add_row(
            escape(label),
            shown,
            _interval(result["intervals"].get(label)),
            str(result["positives"].get(label, "")),
            str(result.get("negatives", {}).get(label, "")),
        )
    table.add_row("mean", f"{result['mean']:.3f}", _interval(result["interval"]))
    looks = result.get("looks")
    these = "this test part" if result["part"] == "test" else "these images"
    counted = f"\nlook number {looks} at {these}" if looks else ""
    notes = "".join(f"\nnote: {note}" for note in result.get("notes", ()))
    return (
        f"{result['part']}: {result['n_images']} images of {result['n_patients']} patients, "
        f"{result['data']}\n"
        f"{to_text(table)}{_promised(result)}{counted}{notes}{_checks(result)}\nresearch use only"
    )


def _checks(result: Mapping[str, Any]) -> str:
    """What a person must look at, the gravest first."""
    found = [Check(**check) for check in result.get("checks", ())]
    return "".join(f"\n{check.line}" for check in grave(found))


def _promised(result: Mapping[str, Any]) -> str:
    """What validation promised, and what came of it, one below the other."""
    said = result.get("validation")
    if not said:
        return ""
    table = Table(title="promised by validation", title_justify="left", box=None)
    for column in ("", "AUROC", "95% interval", ""):
        table.add_column(column, justify="left" if not column else "right", overflow="fold")
    for one in promises(said):
        table.add_row(one.name, f"{one.value:.3f}", _interval(one.interval), one.words)
    table.add_row(result["part"], f"{result['mean']:.3f}", _interval(result["interval"]), "")
    return f"\n{to_text(table)}"


def _interval(bounds: Any) -> str:
    return "" if not bounds or bounds[0] is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"


def list_spaces() -> str:
    """The shipped spaces with their size and description."""
    lines = []
    for name, path in shipped_spaces().items():
        space = read_space(path)
        each = " and one for each label" if EVERY_RATIO in space.genes else ""
        genes = sum(gene != EVERY_RATIO for gene in space.genes)
        lines.append(
            f"{name}: {genes} gene{'s' * (genes > 1)}{each}, {len(space.points)} known-good points"
        )
        lines.append(to_text(f"  {space.description.strip()}"))
    return "\n".join(lines)


NEEDS = {
    DOUBTS: "the data have uncertain marks",
    BESIDE: "the data say age, sex or view",
}
"""What an optional gene hangs on."""


def explain_space(name: str) -> str:
    """Every gene of one space, with its range, condition and meaning."""
    path = space_path(name)
    space, optional = read_space(path), optional_genes(read_space_file(path))
    limits = known_genes(space.to_dict())
    table = Table(box=None)
    for column in ("gene", "range", "only when", "what it is"):
        table.add_column(column, overflow="fold")
    for gene in space.genes.values():
        when = ", ".join(
            [f"{parent} is {' or '.join(map(str, values))}" for parent, values in gene.when.items()]
            + ([NEEDS.get(gene.name, "the data have the label")] if gene.name in optional else [])
        )
        values = _range(gene.distribution) + f"; prior: {gene.prior_words}" * bool(gene.prior)
        cells = (gene.name, values, when, limits[gene.name]["help"])
        table.add_row(*map(escape, cells))
    fixed = ", ".join(f"{key}={value}" for key, value in space.fixed.items())
    points = ", ".join(point.name for point in space.points)
    defaults = ", ".join(
        f"{key}={spec['default']}"
        for key, spec in limits.items()
        if key not in space.genes and key not in space.fixed and not key.startswith(RATIO_PREFIX)
    )
    return "\n".join(
        (
            f"{space.name}: {space.description.strip()}",
            to_text(table),
            f"fixed: {fixed or 'nothing'}",
            f"known-good points: {points or 'none'}",
            f"left at their default: {defaults}",
        )
    )


def _range(distribution: Any) -> str:
    if hasattr(distribution, "choices"):
        return ", ".join(map(str, distribution.choices))
    scale = ", log" if distribution.log else ""
    step = f", step {distribution.step:g}" if distribution.step not in (None, 1) else ""
    return f"{distribution.low:g} to {distribution.high:g}{scale}{step}"
