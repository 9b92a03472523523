"""What a methods section says of the judging: figures, subgroups, looks, checks, limits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cxrsearch.model.looks import looks_at_data
from cxrsearch.model.suspicion.check import NOTED

from .recorded import Recorded
from .sentence import MethodsSection, Sentence, at, author_writes, interval_text, listed, words

RESULT_COLUMNS = ("auroc", "average_precision", "brier")
CALIBRATION_FIGURES = ("brier", "calibration_slope", "slope", "ece", "expected_calibration_error")

UNTOLD = re.compile(
    r"cannot be told(;|$)|not looked at|too (few|many) |cannot be held against|"
    r"no AUROC has an interval"
)
"""What a note says that stands for a check which could not be made."""


def judging_sections(known: Recorded) -> list[MethodsSection]:
    """The sections on how the model was judged, and what came out."""
    return [
        MethodsSection("evaluation", "How it was judged", _evaluation(known)),
        MethodsSection("subgroups", "Subgroups and fairness", _subgroups(known)),
        MethodsSection("looks", "What was looked at, and how often", _looks(known)),
        MethodsSection("results", "Results", _results(known)),
        MethodsSection("checks", "What was checked", _checks(known)),
        MethodsSection("limits", "Limits and use", _limits(known)),
        MethodsSection("open", "Availability and declarations", _open(known)),
    ]


def _names(known: Recorded) -> list[str]:
    """The figures that the report has of its labels."""
    labels = at(known.content, "labels")
    found: dict[str, None] = {}
    for figures in labels.values() if isinstance(labels, Mapping) else ():
        found |= dict.fromkeys(figures if isinstance(figures, Mapping) else ())
    return list(found)


def _evaluation(known: Recorded) -> tuple[Sentence, ...]:
    names, content = _names(known), known.content
    resamples = content.get("resamples")
    maps, reason = content.get("maps"), at(content, "maps", "reason")
    return (
        Sentence(
            "evaluation.figures",
            f"Figures by label: {listed(name.replace('_', ' ') for name in names)}." if names
            else "No figures were handed to this text; they are in `report.json`.",
        ),
        Sentence(
            "evaluation.uncertainty",
            "Intervals are of 95%, over patients. Shares have Wilson's with an effective number of "
            "images; the expected calibration error and its parts have tests turned round; chosen "
            "thresholds have order statistics; the others have standard errors of whole patients "
            "drawn with replacement"
            + (f", {resamples:,} times" if isinstance(resamples, int) else "")
            + ". A figure without an interval, as the threshold of Youden's index, says why in "
            "`report.json`. No p-value is given.",
        ),
        Sentence("evaluation.threshold", _threshold(content)),
        Sentence(
            "evaluation.calibration",
            "Calibration is judged as the network says it"
            + (", and after a recalibration that was fitted on validation"
               if has_figure(content, "recalibrated_") else "")
            + (", and after one that was fitted crosswise on the judged images, each patient's by "
               "others" if has_figure(content, "cross_fitted_") else "") + "."
            if any(name in names for name in CALIBRATION_FIGURES)
            else "Calibration was not judged for this text.",
        ),
        Sentence(
            "evaluation.against",
            _against(content),
        ),
        Sentence(
            "evaluation.where",
            "The images are of other data than the model's own: an external test; no internal test "
            "is part of this report." if known.external
            else "The images are of the model's own data, patients kept aside: an internal test. "
            "No test on other data is part of this report.",
        ),
        Sentence(
            "evaluation.maps",
            f"No heat maps were drawn: {words(reason)}." if reason
            else f"Class activation maps cannot show where the network looks: {no_place}."
            if (no_place := at(maps, "no_place"))
            else "Where the network looks is shown by class activation maps." if maps
            else "No heat maps were drawn.",
        ),
        Sentence(
            "evaluation.robustness",
            "Sensitivity to choices of the analysis: AUROC and average precision among images with "
            "a finding only." if content.get("case_mix")
            else "No sensitivity analysis is part of this text.",
        ),
    )  # fmt: skip


def has_figure(content: Mapping[str, Any], head: str) -> bool:
    """Whether a label has a value of a figure whose name begins with ``head``."""
    labels = at(content, "labels")
    return any(
        name.startswith(head) and at(figure, "value") is not None
        for figures in (labels.values() if isinstance(labels, Mapping) else ())
        for name, figure in (figures.items() if isinstance(figures, Mapping) else ())
    )


def _threshold(content: Mapping[str, Any]) -> str:
    rule = at(content, "operating", "rule") or content.get("rule")
    chosen_on, why = at(content, "operating", "chosen_on"), at(content, "operating", "reason")
    if not rule:
        return "No threshold was chosen."
    if str(rule).startswith("threshold"):
        return f"Every label has the same given threshold ({words(rule)}), chosen on no image."
    if chosen_on:
        return (
            f"Thresholds follow the rule {words(rule)}, chosen on {words(chosen_on)} and judged on "
            "other images."
        )
    if not isinstance(content.get("operating"), Mapping):
        return (
            f"Thresholds follow the rule {words(rule)}; what they were chosen on is not recorded."
        )
    because = f": {words(why)}" if why else ""
    return f"By the rule {words(rule)} no threshold could be chosen{because}."


def readers_thresholds(content: Mapping[str, Any]) -> bool:
    """Whether a threshold was found on the judged images, at a reader's specificity."""
    labels = at(content, "against", "labels")
    return any(
        at(figures, "threshold_at_readers_specificity", "value") is not None
        for figures in (labels.values() if isinstance(labels, Mapping) else ())
    )


def _against(content: Mapping[str, Any]) -> str:
    against = content.get("against")
    if not against:
        return "It is compared with no other model and no reader."
    found = f"It is compared, on the same images, with {words(at(against, 'name') or 'another')}."
    if readers_thresholds(content):
        found += (
            " There the model's threshold is found on the judged images, at the reader's own "
            "specificity."
        )
    return found


def _subgroups(known: Recorded) -> tuple[Sentence, ...]:
    found = at(known.content, "subgroups")
    columns = list(found) if isinstance(found, Mapping | Sequence) and not isinstance(
        found, str) else []  # fmt: skip
    columns = [name for name in columns if isinstance(name, str)]
    return (
        Sentence(
            "subgroups.judged",
            f"Judged apart: {listed(columns)}, each group against the rest." if columns
            else "No subgroup was judged apart.",
        ),
        Sentence(
            "subgroups.centres",
            "Images are not told apart by centre unless a column above does.",
        ),
        Sentence("subgroups.author", author_writes(
            "which groups matter for fairness, and what is done for those it serves worse")),
    )  # fmt: skip


def _looks(known: Recorded) -> tuple[Sentence, ...]:
    seen = known.evidence.opened.dataset.fingerprint
    same = looks_at_data(known.looks, seen)
    models = {str(look.get("model")) for look in same}
    others = {str(look.get("data")) for look in known.looks} - {
        str(look.get("data")) for look in same
    }
    where = "the study" if known.evidence.opened.study is not None else "the model folder"
    return (
        Sentence(
            "looks.count",
            f"Looks at the data judged here, counted in {where}, this one among them where it was "
            f"counted: {len(same)}, by {len(models)} model{'s' * (len(models) != 1)}."
            + (f" Other data looked at: {listed(sorted(others))}." if others else ""),
        ),
        Sentence(
            "looks.search",
            "The search never sees the test part: it has no access to its labels.",
        ),
    )


def _results(known: Recorded) -> tuple[Sentence, ...]:
    content = known.content
    names = [name for name in RESULT_COLUMNS if name in _names(known)]
    labels = at(content, "labels")
    rows = [
        (words(label), at(figures, names[0], "n"), at(figures, names[0], "positives"),
         *(interval_text(at(figures, name)) for name in names))
        for label, figures in (labels.items() if isinstance(labels, Mapping) and names else ())
    ]  # fmt: skip
    mean = interval_text(at(content, "mean", "auroc") or at(content, "mean"))
    doubts = content.get("doubts")
    return (
        Sentence("results.mean", f"Mean AUROC over the labels: {mean}." if mean
                 else "The mean AUROC is in `report.json`."),
        Sentence(
            "results.labels",
            "By label, with 95% intervals:" if rows else "Figures by label are in `report.json`.",
            (("label", "images", "positives", *(n.replace("_", " ") for n in names)), *rows)
            if rows else (),
        ),
        Sentence(
            "results.failures",
            f"No single cases were gone through: {words(at(doubts, 'reason'))}."
            if at(doubts, "reason")
            else "Cases in which the model is surely at odds with the marks are listed with the "
            "report." if doubts else "No single cases were gone through.",
        ),
        Sentence(
            "results.updating",
            "The model was not updated on the judged images.",
        ),
        Sentence("results.author", author_writes(
            "the flow of patients as a diagram, what the wrong cases have in common, and what the "
            "figures mean")),
    )  # fmt: skip


def _checks(known: Recorded) -> tuple[Sentence, ...]:
    checks = [c for c in known.content.get("checks") or [] if isinstance(c, Mapping)]
    grave = [c for c in checks if c.get("level") != NOTED]
    untold = sum(
        c.get("level") == NOTED and bool(UNTOLD.search(str(c.get("sentence")))) for c in checks
    )
    return (
        Sentence(
            "checks.made",
            f"{len(checks) - untold} checks were made for what would make the figures false, "
            f"{len(grave)} of which found something."
            + (f" {untold} more could not be made; `report.json` says why." if untold else "")
            if checks
            else "No checks were handed to this text; see the report.",
        ),
        *(
            Sentence(f"checks.{place}", f"{words(check.get('level'))}: "
                     f"{words(check.get('sentence'))}.")
            for place, check in enumerate(grave, 1)
        ),
    )  # fmt: skip


def _limits(known: Recorded) -> tuple[Sentence, ...]:
    own = [
        "the labels are those of the table, with its errors",
        "one data set was judged" if not known.external else "the patients are of another source",
    ]
    if known.evidence.validation is None:
        own.append("what the network said of validation is not kept, so nothing was chosen by it")
    return (
        Sentence("limits.known", f"Known from the records: {'; '.join(own)}."),
        Sentence("limits.inputs", "Images that are damaged are refused; poor or turned ones are "
                 "not recognised when predicting, and get a probability like any other."),
        Sentence("limits.author", author_writes(
            "limits of design, sample and labels, what the model would change in practice, which "
            "skills its users need, and what should be studied next")),
    )  # fmt: skip


def _open(known: Recorded) -> tuple[Sentence, ...]:
    opened = known.evidence.opened
    study = f"; its search is in `{words(opened.study)}`" if opened.study is not None else ""
    return (
        Sentence("open.files", f"The model is in `{words(opened.model.folder)}`{study}. Whether "
                 "model, data and code are open to others is not recorded."),
        Sentence("open.author", author_writes(
            "ethical approval, funding, conflicts of interest, protocol and registration, where "
            "data, code and model can be had, and how patients were involved")),
    )  # fmt: skip
