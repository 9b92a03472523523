"""The page about a data set: figures, cautions and images, as one offline HTML file."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from cxrsearch.data.diseases import NO_FINDING
from cxrsearch.data.marks import all_known
from cxrsearch.show.marks import COUNT_AS
from cxrsearch.show.notes import CITATIONS, Fact, moment
from cxrsearch.show.page import render, write_page
from cxrsearch.show.panels.labels import LABELS_DRAWN, readable
from cxrsearch.show.picture import data_uri
from cxrsearch.show.section import Panel, Section
from cxrsearch.writing import PAGE, check_file

from .cautions import SERIOUS
from .command import Exploration
from .figures import (
    age_figure,
    balance_figure,
    bands_figure,
    conditional_figure,
    counts_figure,
    groups_figure,
    lift_figure,
    prevalence_figure,
    spread_figure,
)
from .label_counts import Prevalence
from .people import UNKNOWN_PERSON, Group, age_bands, groups_of

MOST_NAMES = 200
"""Names listed under a caution."""


def check_out(out: Path) -> None:
    """Check that a page can be written to ``out``, before any image is looked at.

    Raises:
        InputError: where it cannot.
    """
    check_file(out, "eda.html", PAGE)


def explore_page(found: Exploration, out: Path) -> Path:
    """Write the page to the file ``out``."""
    return write_page(out, explore_html(found, time.time()))


def explore_html(found: Exploration, now: float) -> str:
    """The page's text. ``now``: seconds since 1970."""
    return render(
        "explore.html",
        folder=Path(__file__).parent,
        title=Path(found.label).name or found.label,
        facts_list=facts(found),
        sections=sections(found),
        found=found,
        serious=SERIOUS,
        most_names=MOST_NAMES,
        parts=[p for p in ("train", "val", "test") if found.balance and _images(found, p)],
        rows_of_split=("images", "patients", *found.rows.label_names, NO_FINDING),
        marks=_marks(found),
        policies=_policies(found),
        all_known=all_known(found.rows.labels),
        readable=readable,
        data_uri=data_uri,
        written=moment(now),
        citation=CITATIONS[0],
    )


def facts(found: Exploration) -> list[Fact]:
    """The figures on top of the page."""
    labels = found.labels
    normal = labels.prevalences[-1]
    serious = sum(caution.level == SERIOUS for caution in found.cautions)
    rarest = min(labels.prevalences[:-1], key=lambda p: p.images)
    unlabelled = f"and {found.unlabelled:,} without a label" if found.unlabelled else ""
    return [
        Fact(
            "Things to look at",
            str(len(found.cautions)),
            f"{serious or 'none'} of them serious" if found.cautions else "nothing found",
        ),
        Fact("Labelled images", f"{labels.images:,}", unlabelled),
        Fact(
            "Patients",
            f"{labels.patients:,}",
            f"{labels.per_patient.mean:.1f} images each on average, {labels.per_patient.values[-1]}"
            " at most",
        ),
        Fact(
            "No finding",
            f"{normal.share:.0%}",
            f"{normal.images:,} images; {labels.cardinality.mean:.2f} labels an image",
        ),
        Fact("Rarest", readable(rarest.name), f"{rarest.images:,} images, {rarest.share:.2%}"),
    ]


def sections(found: Exploration) -> list[Section]:
    """Every part of the page, in reading order; the template fills those without figures."""
    return [
        Section("cautions", "To look at", "What to look at first"),
        Section("labels", "Labels", "How common each label is", _prevalences(found)),
        Section("together", "Together", "Which go together", _together(found)),
        Section("combinations", "On an image", "Labels on an image", _cardinality(found)),
        Section("patients", "Patients", "Images and labels of a patient", _patients(found)),
        Section("people", "Age, sex, view", "Age, sex and view", _people(found)),
        Section("split", "Split", "The split, as a search would make it", _split(found)),
        Section("examples", "Examples", "Examples of each label"),
        Section("notes", "Notes", "Notes"),
    ]


def _images(found: Exploration, part: str) -> int:
    return 0 if found.balance is None else found.balance.counts[part]["images"]


def _marks(found: Exploration) -> list[Prevalence]:
    """Labels with marks that are neither positive nor negative, those with the most first."""
    odd = [
        p for p in found.labels.prevalences if p.uncertain or p.unknown or p.name in found.blanks
    ]
    return sorted(odd, key=lambda p: -(p.uncertain + p.unknown))


def _policies(found: Exploration) -> dict[str, str]:
    """What an uncertain mark of each label counts as in training, in words."""
    policies = found.rows.uncertain_as or ("ignore",) * len(found.rows.label_names)
    return {
        name: COUNT_AS[policy]
        for name, policy in zip(found.rows.label_names, policies, strict=True)
    }


def _shown(found: Exploration) -> str:
    """That a figure shows some labels only, where it does."""
    count = len(found.rows.label_names)
    if count <= LABELS_DRAWN:
        return ""
    return f" Shown are the {LABELS_DRAWN} commonest of {count} labels."


def _prevalences(found: Exploration) -> list[Panel]:
    shown = found.labels.prevalences
    whole = "all" if all_known(found.rows.labels) else "those of which it is known"
    return [
        Panel(
            "images",
            prevalence_figure(shown, "images"),
            caption=f"Images with each label and their share of {whole}; alone: no other on the "
            f"same image.{_shown(found)}",
        ),
        Panel(
            "patients",
            prevalence_figure(shown, "patients"),
            caption="Patients with at least one such image. How well a label can be judged "
            f"depends on these, not on the images.{_shown(found)}",
        ),
    ]


def _together(found: Exploration) -> list[Panel]:
    numbers = found.labels.together
    if not numbers.counts.any():
        return [Panel("", sentence="No image has any of the labels.")]
    if len(numbers.names) == 1:
        return [Panel("", sentence="There is one label alone; it goes together with none.")]
    few = ""
    if len(numbers.names) < len(found.rows.label_names):
        few = (
            f" Shown are the {len(numbers.names)} commonest of {len(found.rows.label_names)} "
            "labels: more squares cannot be read."
        )
    return [
        Panel(
            "P(column | row)",
            conditional_figure(numbers),
            caption="Of the images with the label of the row, the percentage that also have the "
            f"label of the column.{few}",
            wide=760,
        ),
        Panel(
            "lift",
            lift_figure(numbers),
            caption="How many times as often as if the two were independent: above 1 they go "
            "together, below 1 they avoid one another. Of a handful of images it says little; the "
            f"counts are in the hover text.{few}",
            wide=760,
        ),
        Panel("counts", counts_figure(numbers), caption=f"Images with both.{few}", wide=760),
    ]


def _cardinality(found: Exploration) -> list[Panel]:
    numbers = found.labels.cardinality
    return [
        Panel(
            "",
            spread_figure(numbers, "labels on an image", "images"),
            caption=f"{numbers.mean:.2f} on average.",
        )
    ]


def _patients(found: Exploration) -> list[Panel]:
    labels = found.labels
    return [
        Panel(
            "images",
            spread_figure(labels.per_patient, "images of a patient", "patients"),
            caption=f"Median {labels.per_patient.median:g}, mean {labels.per_patient.mean:.1f}, "
            f"most {labels.per_patient.values[-1]}.",
        ),
        Panel(
            "labels",
            spread_figure(labels.findings, "different labels of a patient", "patients"),
            caption="Over all images of the patient.",
        ),
    ]


def _people(found: Exploration) -> list[Panel]:
    people, rows = found.people, found.rows
    panels = []
    if people.age is not None and np.isfinite(people.age).any():
        missing = int((~np.isfinite(people.age)).sum())
        left = f" {missing:,} images without a possible age are left out." if missing else ""
        panels.append(
            Panel("age", age_figure(people.age, people.sex), caption=f"Images by age.{left}")
        )
        bands = age_bands(people.age, rows.labels, rows.patients)
        panels.append(
            Panel(
                "labels by age",
                bands_figure(bands, rows.label_names),
                caption="The percentage of each age group's images that have a label. Small "
                f"groups jump; the counts are in the hover text.{_shown(found)}",
                wide=700,
            )
        )
    for name, values in (("sex", people.sex), ("view", people.view)):
        if values is not None and (values != UNKNOWN_PERSON).any():
            groups = groups_of(values, rows.labels, rows.patients)
            panels.append(
                Panel(
                    f"by {name}",
                    groups_figure(groups, rows.label_names),
                    caption=_sizes(groups, name) + _shown(found),
                )
            )
    sentence = "The table has no column of age, sex or view that could be read."
    return panels or [Panel("", sentence=sentence)]


def _sizes(groups: list[Group], name: str) -> str:
    total = sum(group.images for group in groups)
    listed = ", ".join(f"{g.name or 'unknown'} {g.images / total:.0%}" for g in groups[:6])
    return (
        f"Images by {name}: {listed}. Where a label is far commoner in one group, a network can "
        f"score by telling the {name}."
    )


def _split(found: Exploration) -> list[Panel]:
    if found.balance is None:
        return [Panel("", sentence="None can be made; the reason is among the things to look at.")]
    return [
        Panel(
            "",
            balance_figure(found.balance.counts, found.rows.label_names),
            caption="By patient, stratified over the labels. The nearer the marks of a row, the "
            f"better the balance.{_shown(found)}",
        )
    ]
