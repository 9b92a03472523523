"""What a search optimises: ``auroc``, and what it may cost, by the text of ``--objective``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from search.errors import did_you_mean

from .data.labels.names import by_plain_name, some_names
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
        labels: those that the mean AUROC is over, as they were written; empty: all.
    """

    measures: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def directions(self) -> tuple[str, ...]:
        """``maximize`` or ``minimize``, one for each measure."""
        return tuple(MEASURES[name].direction for name in self.measures)

    def over(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the data's labels ``names`` that the mean AUROC is over.

        A label may be written otherwise than the data do where case and marks alone differ.

        Raises:
            InputError: naming each that the data do not have.
        """
        if not self.labels:
            return tuple(names)
        plain = by_plain_name(names)
        found: list[str] = []
        problems: list[str] = []
        for asked in self.labels:
            known = asked if asked in names else plain.get(next(iter(by_plain_name([asked]))))
            if known is not None:
                found.append(known)
                continue
            hint = did_you_mean(asked, [*names, *MEASURES])
            have = hint or f"; the data have {some_names(names)}"
            problems.append(f"--objective: unknown label {asked!r}{have}")
        if problems:
            raise InputError(problems)
        return tuple(dict.fromkeys(found))


def parse_objective(text: str) -> Objectives:
    """The objectives of ``auroc``, ``auroc:Mass,Nodule``, ``auroc,seconds``, and so on.

    Names of further objectives come after the labels: ``auroc:Mass,Nodule,seconds``. Whether the
    data have the labels is for `Objectives.over`.

    Raises:
        InputError: naming every part that means nothing.
    """
    head, *rest = [part.strip() for part in text.split(",")]
    first, colon, label = (part.strip() for part in head.partition(":"))
    further = [name for name in rest if name in MEASURES]
    names = [name for name in rest if name not in MEASURES]
    usage = (
        f"--objective {text}: write auroc, or auroc:Mass,Nodule for some labels; for several "
        "objectives add seconds or parameters: auroc,seconds"
    )
    if first != AUROC or bool(colon) != bool(label) or AUROC in further or "" in names:
        raise InputError(usage)
    if not colon and names:
        known = [name for name in MEASURES if name != AUROC]
        raise InputError(
            [f"--objective: unknown objective {name!r}{did_you_mean(name, known)} (known: auroc, "
             f"{', '.join(known)}; labels follow a colon: auroc:Mass)" for name in names]
        )  # fmt: skip
    labels = [label, *names] if colon else []
    return Objectives((AUROC, *dict.fromkeys(further)), tuple(dict.fromkeys(labels)))
