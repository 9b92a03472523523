"""The dashboard: a study's whole history as one HTML page that works offline."""

from __future__ import annotations

import time
from pathlib import Path

from cxrsearch.objectives import MEASURES

from . import notes
from .clock import duration
from .page import Panel, Section, render, write_page
from .panels.ancestry import Ancestry, ancestry, ancestry_figure, change_text
from .panels.curves import MOST, Curve, curves_figure, loss_curves, value_curves
from .panels.diseases import Diseases, diseases, diseases_figure, readable
from .panels.exposure import exposures, exposures_figure
from .panels.front import front, label
from .panels.front_figures import front_figure, volume_figure
from .panels.genes import MOST as MOST_GENES
from .panels.genes import ordered, parallel, parallel_figure, searched
from .panels.history import history, history_figure
from .panels.importance import FEWEST, Importance, importance, importance_figure
from .panels.population import generations, population_figure
from .panels.ratios import Ratios, gene, ratios, ratios_figure
from .panels.table import table
from .panels.workers import schedule, schedule_figure
from .theme import score
from .view import View, read_view


def dashboard(study_folder: Path, out: Path) -> Path:
    """Write the dashboard of the study in ``study_folder`` to the file ``out``.

    Works while the search runs; the page shows one moment of it.

    Raises:
        search.errors.StudyError: where there is no study in ``study_folder``.
    """
    return write_page(out, dashboard_html(read_view(study_folder), time.time()))


def dashboard_html(view: View, now: float, refresh: bool = False) -> str:
    """The page's text. ``now``: seconds since 1970; ``refresh``: reloads while running."""
    lineage = ancestry(view.rows, view.record.trials)
    look = (view.looks_at(None if view.best is None else view.best.number) or (None,))[-1]
    scores = diseases(view.best, look, view.counts.get("val"))
    return render(
        "dashboard.html",
        title=view.name,
        tagline=notes.tagline(view),
        facts_list=notes.headline(view, now),
        sections=sections(view, now, lineage, scores),
        table=table(view.rows),
        lineage=lineage,
        change_text=change_text,
        scores=scores,
        readable=readable,
        score=score,
        notes=notes.notes(view),
        left_out=notes.left_out(view),
        looks=notes.looks_table(view.looks),
        provenance=notes.provenance(view),
        citations=notes.citations(view),
        configuration=notes.configuration(view),
        written=notes.moment(now),
        refresh=30 if refresh and view.record.driver_alive else 0,
    )


def sections(view: View, now: float, lineage: Ancestry, scores: Diseases) -> list[Section]:
    """Every part of the page, in reading order; one without figures is filled by the template."""
    return [
        Section("progress", "Progress", "Best so far", _progress(view, now)),
        *_front(view),
        Section("trials", "Trials", "Every trial"),
        Section("curves", "Curves", "Learning curves", _curves(view)),
        *_about_genes(view),
        Section("diseases", "Diseases", "AUROC by disease", [_diseases(scores)]),
        Section("population", "Population", "Population by generation", [_population(view)]),
        Section("lineage", "Lineage", "Lineage of the winner", [_lineage(lineage)]),
        Section("workers", "Workers", "What ran when, and where", [_workers(view, now)]),
        Section("exposure", "Exposure", "What the best trial was shown", [_exposure(view)]),
        *_ratios(view),
        Section("notes", "Notes", "Notes and provenance"),
    ]


def _progress(view: View, now: float) -> list[Panel]:
    if not view.rows:
        return [Panel("", sentence="No trial has started yet.")]
    caption = (
        "The best so far counts complete trials only. A pruned trial shows its best epoch. "
        "Every value is on the validation part, from which the best is selected."
    )
    return [
        Panel(f"by {by}", history_figure(history(view.rows, by, now)), caption=caption)
        for by in ("trial", "generation", "time")
    ]


def _front(view: View) -> list[Section]:
    """The Pareto front, where there are several objectives."""
    if len(view.goals) < 2:
        return []
    numbers = front(view.rows, view.goals)
    panels = [Panel("", sentence="No trial is complete yet, so there is no front.")]
    if numbers.on:
        count, total = len(numbers.on), len(numbers.on) + len(numbers.off)
        caption = (
            f"{count} of {total} complete trials {'is' if count == 1 else 'are'} on the front: "
            "none is as good in every objective and better in one. Validation only, so its upper "
            "end flatters. Trials that were stopped early are not shown."
        )
        panels = [
            Panel(label(across), front_figure(numbers, across), caption=caption)
            for across in list(view.goals)[1:]
        ]
        panels.append(
            Panel(
                "hypervolume",
                volume_figure(numbers),
                caption="The share that the trials so far dominate of the box between the worst "
                "and the best value of each objective (time and size on a log scale). The dots are "
                "the trials on the front.",
            )
        )
    lead = "; ".join(f"{label(n)}: {MEASURES[n].meaning}" for n in view.goals if n in MEASURES)
    return [Section("front", "Front", "Pareto front", panels, f"{lead}.")]


def _curves(view: View) -> list[Panel]:
    def panel(label: str, curves: list[Curve], title: str, sentence: str) -> Panel:
        if not curves:
            return Panel(label, sentence=sentence)
        drawn = f" Drawn: the best and the latest, {MOST} at most." if len(curves) >= MOST else ""
        return Panel(
            label, curves_figure(curves, title), caption=f"Pruned trials are dashed.{drawn}"
        )

    values = value_curves(view.rows)
    losses = loss_curves(view.rows, view.epochs)
    found = [panel("validation", values, "mean AUROC (validation)", "No epoch is finished yet.")]
    if losses:
        found.append(panel("training loss", losses, "training loss", ""))
    return found


def _about_genes(view: View) -> list[Section]:
    numbers = importance(view.record.trials)
    genes = searched(view.record.trials)
    names = ordered(genes, numbers.shares)
    panels = []
    for first in range(0, len(names), MOST_GENES):
        part = names[first : first + MOST_GENES]
        lines = parallel(view.rows, genes, part)
        if lines.lines:
            hidden = f" {lines.hidden} trials without a value are not drawn." * bool(lines.hidden)
            panels.append(
                Panel(
                    f"genes {first + 1} to {first + len(part)}",
                    parallel_figure(lines),
                    caption="The better a trial, the more orange; trials that are not complete "
                    "are dotted. n/a: the gene was not active. Lines on one tick are spread a "
                    f"little.{hidden}",
                    wide=84 * (len(part) + 1),
                    shares=(("all", 1.0), ("best half", 0.5), ("best tenth", 0.1)),
                )
            )
    empty = "No trial has a value yet." if genes else "No gene takes more than one value yet."
    ranked = "the most important first" if numbers.shares else "in the order of the space"
    return [
        Section(
            "genes", "Genes", "Genes and score", panels or [Panel("", sentence=empty)],
            f"Each line is a trial; {ranked}.",
        ),
        Section("importance", "Importance", "Importance of the genes", [_importance(numbers)]),
    ]  # fmt: skip


def _importance(numbers: Importance) -> Panel:
    if not numbers.shares:
        few = numbers.trials < FEWEST
        why = f"it takes at least {FEWEST}" if few else "no gene tells the best from the others"
        return Panel("", sentence=f"Nothing to say from {numbers.trials} complete trials: {why}.")
    weak = " So few trials give a hint, no more." if numbers.trials < 50 else ""
    return Panel(
        "",
        importance_figure(numbers),
        caption=f"PED-ANOVA over {numbers.trials} complete trials: how far a gene tells the best "
        f"{numbers.top} from the rest. Pruned trials do not count.{weak} It says which genes "
        "mattered in this search, not which value is right.",
    )


def _diseases(numbers: Diseases) -> Panel:
    if not numbers.judged:
        return Panel("", sentence="No complete trial has scores by disease yet.")
    missing = ""
    if numbers.not_judged:
        names = ", ".join(readable(name) for name in numbers.not_judged)
        missing = f" Not judged, for want of positives or negatives: {names}."
    return Panel(
        "",
        diseases_figure(numbers),
        caption=f"The best trial, with 95% intervals over patients.{missing}",
    )


def _population(view: View) -> Panel:
    found = generations(view.rows, view.record.trials, view.record.config.population)
    if not found:
        return Panel("", sentence="No trial has a value yet.")
    return Panel(
        "",
        population_figure(found),
        caption="Diversity is the mean distance of two trials, each gene counted in [0, 1]: 0 "
        "where all are alike. It falls as the search settles.",
    )


def _lineage(numbers: Ancestry) -> Panel:
    if not numbers.line:
        return Panel("", sentence="No trial is complete yet, so there is no winner.")
    if len(numbers.line) == 1:
        origin = numbers.line[0].row.origin or "drawn without parents"
        return Panel(
            "",
            sentence=f"The best trial, {numbers.line[0].row.number}, has no recorded parents "
            f"({origin}).",
        )
    return Panel("", ancestry_figure(numbers))


def _workers(view: View, now: float) -> Panel:
    numbers = schedule(view.rows, now)
    if not numbers.bars:
        return Panel("", sentence="Nothing has run on a worker yet.")
    busy = ", ".join(f"{name} {share:.0%}" for name, share in numbers.busy.items())
    pauses = f" Pauses of {duration(numbers.paused)} are left out." if numbers.paused else ""
    return Panel("", schedule_figure(numbers), caption=f"Busy: {busy or 'not known yet'}.{pauses}")


def _exposure(view: View) -> Panel:
    found = exposures(view.best, view.counts.get("train"))
    if not found:
        return Panel("", sentence="No complete trial has recorded what it was shown.")
    none = [readable(e.name) for e in found if not e.drawn]
    never = f" Never drawn: {', '.join(none)}." if none else ""
    return Panel(
        "",
        exposures_figure(found),
        caption="Share of the images drawn for training that carry a disease, beside its share "
        f"in the training part: what seed and proportional sampling changed.{never}",
    )


def _ratios(view: View) -> list[Section]:
    """Draw ratios and what they led to, where there are some."""
    found = ratios(view.rows, view.counts.get("train"))
    if found is None:
        return []
    if not found.trials:
        panel = Panel("", sentence="No trial is complete yet, so no ratio has led to anything.")
    else:
        panel = Panel("", ratios_figure(found), caption=_about_ratios(found), wide=760)
    return [Section("ratios", "Ratios", "Draw ratios, and what they led to", [panel])]


def _about_ratios(found: Ratios) -> str:
    best, few = found.trials[0][0], len(found.trials)
    shown = f"The best {few} of {found.complete} complete trials. " * (few < found.complete)
    seed, balance = gene(best, "train_seed"), gene(best, "balance")
    limits = "An epoch drew every image, so ratios said nothing. "
    if seed is not None and 0 < seed < 1:
        limits = (
            f"An epoch of the best trial drew {seed:.0%} of the images without replacement: no "
            f"disease is shown more than {1 / seed:.3g} times as often as it occurs. "
        )
    on_top = "" if balance is None else f", on top of balance ({balance:.2f} in the best trial)"
    return (
        f"{shown}Only how ratios compare with one another counts{on_top}. {limits}"
        "Diseases come together in one image, so drawing one more often draws its companions too. "
        "AUROC by disease rests on few positives: see the intervals above before reading a pattern "
        "into it."
    )
