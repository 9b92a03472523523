"""The page of a self-training: what its pseudo-labels are worth, and what they brought."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from cxrsearch.show.notes import Fact
from cxrsearch.show.page import render, write_page
from cxrsearch.show.panels.labels import readable
from cxrsearch.show.section import Panel, Section
from cxrsearch.show.theme import score, show
from search.reading import read_json

from .figures import (
    counts_figure,
    curves_figure,
    differences_figure,
    precision_figure,
    shares_figure,
)

SELF_TRAINING_REPORT, SELF_TRAINING_PAGE = "self-training.json", "self-training.html"

PRECISION_CAPTION = (
    "Dot: share of the pseudo-labels that are right, with its 95% interval over patients (no "
    "narrower than the binomial one). Mark: what drawing images at random would give, which is the "
    "label's prevalence for positives. A dot on its mark says that the teacher found nothing."
)


def self_training_page(report: Mapping[str, Any], path: Path) -> Path:
    """Write the page of a ``self-training.json`` to ``path``; it works offline."""
    return write_page(path, self_training_html(report))


def in_labels(report: Any) -> Any:
    """``report`` in today's words, where an earlier version spoke of diseases."""
    if isinstance(report, list):
        return [in_labels(each) for each in report]
    if not isinstance(report, dict):
        return report
    now = {"disease": "label", "diseases": "labels"}
    return {now.get(key, key): in_labels(value) for key, value in report.items()}


def self_training_html(report: Mapping[str, Any]) -> str:
    """The page's text."""
    name = PurePath(report["study"]).name
    columns, lines = table(report)
    return render(
        "self_training.html",
        folder=Path(__file__).parent,
        title=f"Self-training from {name}",
        facts_list=_facts(report),
        written=report["written"].replace("T", " ").replace("+00:00", " UTC"),
        sections=_sections(report),
        columns=columns,
        lines=lines,
        notes=_notes(report),
    )


def self_training_text(folder: Path) -> str:
    """What a terminal shows of the self-training that wrote ``folder``."""
    report = in_labels(read_json(folder / SELF_TRAINING_REPORT, "the report"))
    share, checked = report["options"]["share"], report["check"]
    lines = [f"pseudo-labels of {checked['images']} images with hidden labels, {share:.0%} an end:"]
    for found in checked["ends"]:
        lines.append(
            f"  {readable(found['label']):<18} prevalence {_prevalence(found)}   positives "
            f"right {_right(found['positive']):<36} negatives right {_right(found['negative'])}"
        )
    for fact in _facts(report):
        lines.append(f"{fact.label}: {fact.value}   {fact.note}")
    return "\n".join(lines)


def _facts(report: Mapping[str, Any]) -> list[Fact]:
    taught, learnt = report["teacher"], report["student"]
    facts = [
        Fact("Teacher, validation AUROC", score(taught["value"], taught["interval"]),
             f"selected from {taught['selected_from']}; trial {_numbers(report)}"),
        Fact("Student, validation AUROC", score(learnt["value"], learnt["interval"]),
             f"{learnt['images_seen']:,} image-steps, {learnt['pseudo_images']:,} images with "
             "pseudo-labels"),
    ]  # fmt: skip
    flattery = _flattery(report)
    for who, found in report["differences"].items():
        facts.append(
            Fact(f"Student minus {who}", signed(found["difference"], found["interval"]),
                 "paired bootstrap over patients" + (
                     "; the same recipe and seed, no pseudo-labels, no fewer image-steps"
                     if who == "control" else "") + (f"; {flattery}" if flattery else ""))
        )  # fmt: skip
    return facts


def _flattery(report: Mapping[str, Any]) -> str:
    """Why differences on the validation part favour the student; nothing where they do not."""
    if report["options"]["kind"] != "calibrated":
        return ""
    return "this favours the student: its thresholds were calibrated on this same validation part"


def signed(value: float | None, interval: list[float] | None) -> str:
    """``+0.012 (-0.004 to +0.030)``; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:+.3f}" + (f" ({interval[0]:+.3f} to {interval[1]:+.3f})" if interval else "")


def _numbers(report: Mapping[str, Any]) -> str:
    return ", ".join(str(number) for number in report["teachers"])


def _sections(report: Mapping[str, Any]) -> list[Section]:
    share = report["options"]["share"]
    checked, labels, flattery = report["check"], report["labels"], _flattery(report)
    sections = [
        Section(
            "precision", "Precision", f"How often pseudo-labels are right: {share:.0%} at each end",
            _precision_panels(checked, share),
            f"Labels of {checked['images']} training images ({checked['patients']} patients) were "
            f"hidden, the teacher's recipe trained on the other {checked['trained_on']}, and what "
            "it says of the hidden ones held against the truth.",
        ),
        Section("counts", "Counts", "Pseudo-labels", [
            Panel("", counts_figure(labels["counts"]),
                  caption=f"Of {report['unlabelled']['images']} unlabelled images. Positives and "
                  "negatives are images, each label for itself."),
        ]),
        Section("curves", "Curves", "Teacher and student", [
            Panel("", curves_figure(report), caption="Mean AUROC on the validation subset after "
                  "each epoch, over the images that training has gone through. Each best is "
                  "selected on validation."),
        ]),
        Section("gain", "Gain", "What it brought", [
            Panel(f"against the {who}", differences_figure(found),
                  caption="Difference of AUROC on the validation part, with its 95% interval by "
                  "a bootstrap that draws the same patients for both. An interval across 0 is no "
                  "difference that these images show."
                  + (f" But {flattery}; the test part knows nothing of it." if flattery else ""))
            for who, found in reversed(list(report["differences"].items()))
        ]),
    ]  # fmt: skip
    if labels["truth"] is not None:
        found = labels["truth"]
        sections.insert(1, Section(
            "truth", "Truth", "The unlabelled images themselves",
            [Panel(end + "s", precision_figure(found["labels"], end), caption=PRECISION_CAPTION)
             for end in ("positive", "negative")],
            f"A label table that nothing was trained on knows {found['images']} of them.",
        ))  # fmt: skip
    return sections


def _precision_panels(checked: Mapping[str, Any], share: float) -> list[Panel]:
    panels = [
        Panel(f"{end}s", precision_figure(checked["ends"], end), caption=PRECISION_CAPTION)
        for end in ("positive", "negative")
    ]
    for end in ("positive", "negative"):
        if any(d[end]["taken"] for d in checked["calibrated"]):
            panels.append(
                Panel(
                    f"{end}s beyond the threshold",
                    precision_figure(checked["calibrated"], end),
                    caption=PRECISION_CAPTION,
                )
            )
        else:
            panels.append(
                Panel(
                    f"{end}s beyond the threshold",
                    sentence="No image is beyond a calibrated threshold.",
                )
            )
    caption = "Mean over the labels with a positive among the hidden images; dotted: at random."
    panels.append(Panel("by share", shares_figure(checked["by_share"], share), caption=caption))
    return panels


def table(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines: precision, counts and gain by label."""
    checked, labels = report["check"], report["labels"]
    who = list(report["differences"])[-1]
    gains = report["differences"][who]["labels"]
    most = max(found["positive"]["taken"] for found in checked["ends"])
    fewer = any(found["positive"]["taken"] < most for found in checked["ends"])
    taken = f"{most} at most" if fewer else str(most)  # of some images a label may not be known
    columns = [
        "label", "prevalence", f"positives right (of {taken})", f"negatives right (of {taken})",
        "and beyond a threshold", "pseudo-labels 1 / 0", f"student minus {who}",
    ]  # fmt: skip
    if labels["truth"] is not None:
        columns[5:5] = ["unlabelled: positives right", "prevalence"]
    lines = []
    for row, found in enumerate(checked["ends"]):
        label, count = found["label"], labels["counts"][row]
        line = [
            readable(label), _prevalence(found), _precision(found["positive"]),
            _precision(found["negative"]), _beyond(checked["calibrated"][row]),
        ]  # fmt: skip
        if labels["truth"] is not None:
            known = labels["truth"]["labels"][row]
            line += [_right(known["positive"]), _prevalence(known)]
        gain = gains[label]
        line.append(f"{count['positive']} / {count['negative']}")
        lines.append([*line, signed(gain["difference"], gain["interval"])])
    return columns, lines


def _prevalence(found: Mapping[str, Any]) -> str:
    return "–" if found["prevalence"] is None else f"{found['prevalence']:.3f}"


def _precision(end: Mapping[str, Any]) -> str:
    return score(end["precision"], end["interval"]) if end["taken"] else "–"


def _beyond(found: Mapping[str, Any]) -> str:
    """``3 of 4 / 10 of 11``: right ones of the positives, and of the negatives."""
    ends = (found["positive"], found["negative"])
    return " / ".join(f"{e['right']} of {e['taken']}" if e["taken"] else "none" for e in ends)


def _right(end: Mapping[str, Any]) -> str:
    if not end["taken"]:
        return "none taken"
    return f"{end['right']} of {end['taken']}: {score(end['precision'], end['interval'])}"


def _notes(report: Mapping[str, Any]) -> list[str]:
    options, learnt, control = report["options"], report["student"], report.get("control")
    per_epoch = learnt["images_seen"] // max(1, learnt["epochs_run"])
    notes = [
        f"{name.replace('_', ' ')}: {show(value)}" for name, value in options.items()
        if value is not None
    ]  # fmt: skip
    notes = [
        f"Options: {'; '.join(notes)}.",
        f"The student trains the teacher's recipe for as many epochs, {per_epoch:,} images each: "
        f"{learnt['images_seen']:,} image-steps; the teacher had "
        f"{report['teacher']['images_seen']:,}"
        + (f", the control {control['images_seen']:,}." if control else "."),
        "The teacher was selected on the validation part, thresholds and calibration are fitted "
        "there, and so is each training's best epoch: scores on it flatter all of them. The test "
        "part was not looked at; `cxrsearch evaluate` does that, and is counted.",
        "One training each: another seed would give another difference. The interval is over "
        "patients, not over seeds.",
    ]
    return [*notes, *report["notes"], *learnt["notes"]]
