"""What a search optimises: ``auroc``, and what it may cost, by the text of ``--objective``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from search.errors import did_you_mean

from .data.diseases import DISEASES
from .errors import InputError


class Measure(NamedTuple):
    """One thing a trial is judged by.

    Args:
        label: on axes and in tables, with its unit.
        direction: ``maximize`` or ``minimize``.
        log: whether it spans orders of magnitude, so that ratios matter and not differences.
        meaning: a sentence for people.
    """

    label: str
    direction: str
    log: bool
    meaning: str


AUROC = "auroc"
MEASURES: Mapping[str, Measure] = {
    AUROC: Measure(
        "mean AUROC (validation)", "maximize", False, "mean AUROC of the best epoch on validation"
    ),
    "seconds": Measure(
        "training time (seconds)",
        "minimize",
        True,
        "epochs that the trial ran, times the median seconds of an epoch (training, scoring and "
        "saving; waiting, decoding and what a kill made it do again are left out). Measured, so "
        "it has noise, and trials that share a machine slow each other down",
    ),
    "parameters": Measure(
        "trainable parameters", "minimize", True, "weights that training changes; exact"
    ),
}
"""Every objective by its name in ``--objective``."""


class Objectives(NamedTuple):
    """What ``--objective`` asks for.

    Args:
        measures: names out of `MEASURES`, ``auroc`` first.
        diseases: those that the mean AUROC is over.
    """

    measures: tuple[str, ...]
    diseases: tuple[str, ...]

    @property
    def directions(self) -> tuple[str, ...]:
        """``maximize`` or ``minimize``, one for each measure."""
        return tuple(MEASURES[name].direction for name in self.measures)


def parse_objective(text: str) -> Objectives:
    """The objectives of ``auroc``, ``auroc:Mass,Nodule``, ``auroc,seconds``, and so on.

    Names of further objectives come after the diseases: ``auroc:Mass,Nodule,seconds``.

    Raises:
        InputError: naming every part that means nothing.
    """
    head, *rest = [part.strip() for part in text.split(",")]
    first, colon, disease = (part.strip() for part in head.partition(":"))
    further = [name for name in rest if name in MEASURES]
    names = [name for name in rest if name not in MEASURES]
    usage = (
        f"--objective {text}: write auroc, or auroc:Mass,Nodule for some diseases; for several "
        "objectives add seconds or parameters: auroc,seconds"
    )
    if first != AUROC or bool(colon) != bool(disease) or AUROC in further:
        raise InputError(usage)
    if not colon and names:
        known = [name for name in MEASURES if name != AUROC]
        raise InputError(
            [f"--objective: unknown objective {name!r}{did_you_mean(name, known)} (known: auroc, "
             f"{', '.join(known)}; diseases follow a colon: auroc:Mass)" for name in names]
        )  # fmt: skip
    diseases = [disease, *names] if colon else list(DISEASES)
    problems = [
        f"--objective: unknown disease {name!r}{did_you_mean(name, DISEASES)}"
        for name in diseases
        if name not in DISEASES
    ]
    if problems:
        raise InputError(problems)
    return Objectives((AUROC, *dict.fromkeys(further)), tuple(dict.fromkeys(diseases)))
