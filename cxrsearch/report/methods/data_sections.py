"""What a methods section says of the data: source, patients, labels, parts, pixels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrsearch.data.about import read_people
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.marks import absent, present
from cxrsearch.data.splits import ALL_PARTS
from cxrsearch.learn.recipe import AUGMENTATION, MIXING, Recipe, gene_limits
from cxrsearch.model.suspicion.parts import SAME_PATIENT, SAME_PICTURE, patients_check

from .judging_sections import has_figure, readers_thresholds
from .recorded import Recorded
from .sentence import MethodsSection, Sentence, at, author_writes, listed, not_recorded, words

WRITTEN_PARTS = {"train": "training", "val": "validation", "test": "test"}


def data_sections(known: Recorded) -> list[MethodsSection]:
    """The sections on the data."""
    return [
        MethodsSection("purpose", "Purpose and design", _purpose(known)),
        MethodsSection("data", "Sources of data", _data(known)),
        MethodsSection("patients", "Patients and images", _patients(known)),
        MethodsSection("labels", "Labels: the reference standard", _labels(known)),
        MethodsSection("missing", "Missing and uncertain data", _missing(known)),
        MethodsSection("parts", "Parts of the data", _parts(known)),
        MethodsSection("pixels", "From an image file to the network", _pixels(known)),
    ]


def _purpose(known: Recorded) -> tuple[Sentence, ...]:
    labels, judged = known.evidence.opened.model.labels, known.evidence.judged
    use = str(known.card.get("intended_use", ""))
    goal = (
        "evaluation of a finished model on other data than its own"
        if known.external
        else "development of a model, and its evaluation on patients kept aside"
    )
    return (
        Sentence(
            "purpose.model",
            f"A neural network reads one chest X-ray and gives a probability for each of "
            f"{len(labels)} labels: {listed(labels)}. This is the {goal}; "
            f"{len(judged.label_names)} of the labels are judged.",
        ),
        Sentence(
            "purpose.use", f"Intended use as recorded: {words(use) or 'not recorded'}.",
        ),
        Sentence(
            "purpose.author",
            author_writes(
                "title, abstract, the clinical question, who would use the model where in care, "
                "what models there are, known inequalities between groups of patients, objectives "
                "and hypotheses, and whether data were collected prospectively or retrospectively"
            ),
        ),
    )  # fmt: skip


def _data(known: Recorded) -> tuple[Sentence, ...]:
    data, card = known.evidence.opened.dataset, known.card
    fingerprint = words(at(card, "data", "fingerprint"))
    made = (
        not_recorded("which data the model was developed on, but for their fingerprint")
        if known.source is None
        else f"The model was developed on `{words(known.source)}`."
    )
    how = known.description
    columns = at(how, "columns")
    roles = (
        ", ".join(f"{words(role)}: {words(column)}" for role, column in columns.items())
        if isinstance(columns, Mapping)
        else ""
    )
    read = (
        f"Read as format {words(how.get('format', 'not recorded'))}, table "
        f"{words(how.get('table') or 'none')}" + (f"; columns {roles}" if roles else "") + "."
        if how
        else not_recorded("how the table of the data was read")
    )
    seen = known.evidence.seen
    return (
        Sentence("data.source", f"{made} Fingerprint of images, labels and patients: "
                 f"`{fingerprint}`."),
        Sentence("data.reading", read),
        Sentence(
            "data.judged",
            f"It is judged on the {seen.part} "
            f"{'data' if known.external else 'part'} of `{words(data.label)}` (fingerprint "
            f"`{data.fingerprint}`): {len(seen.names):,} images of "
            f"{len(np.unique(seen.patients)):,} patients.",
        ),
        Sentence("data.dates", not_recorded(
            "when and where the images were taken, at how many centres, and on which machines")
            + " " + author_writes("these, and why these data were chosen")),
        Sentence("data.deidentified", author_writes("how the images were de-identified")),
    )  # fmt: skip


def _patients(known: Recorded) -> tuple[Sentence, ...]:
    return (
        _counts(known),
        _excluded(known),
        *_characteristics(known),
        Sentence("patients.eligibility", author_writes(
            "by which criteria patients and images came into the data, from which care setting, "
            "and which treatments they had received")),
    )  # fmt: skip


def _counts(known: Recorded) -> Sentence:
    counts = at(known.study, "splits", "counts")
    if not isinstance(counts, Mapping):
        counts = _own_counts(known)
    if not counts:
        return Sentence(
            "patients.counts", not_recorded("how many images and patients each part has")
        )
    names = known.evidence.opened.model.labels
    rows = [
        (words(name), *(at(counts, part, name) if at(counts, part, name) is not None else ""
                        for part in WRITTEN_PARTS))
        for name in ("images", "patients", *names)
    ]  # fmt: skip
    return Sentence(
        "patients.counts",
        "Images, patients and positive images of each label, by part:",
        (("", *WRITTEN_PARTS.values()), *rows),
    )


def _own_counts(known: Recorded) -> dict[str, dict[str, int]]:
    """The counts of the parts, where the model's own data are at hand."""
    if known.splits is None:
        return {}
    if known.external:
        return {part: {"images": len(getattr(known.splits, part))} for part in WRITTEN_PARTS}
    return known.splits.counts(known.evidence.opened.dataset)


def _excluded(known: Recorded) -> Sentence:
    left = at(known.study, "data", "left_out")
    filters = known.description.get("filter")
    said = []
    if isinstance(left, Mapping):
        said.append(
            f"{len(left):,} images could not be read and were left out"
            + (f" ({listed(sorted(set(map(str, left.values()))), 5)})" if left else "")
        )
    else:
        said.append("how many images of the development data could not be read is not recorded")
    if isinstance(filters, Mapping) and filters:
        said.append("rows were kept where " + "; ".join(
            f"{words(column)} is {listed(kept if isinstance(kept, list) else [kept])}"
            for column, kept in filters.items()))  # fmt: skip
    elif known.description.get("table"):
        said.append("no row of the table was excluded by a filter")
    elif not known.description:
        said.append("whether rows of a table were excluded by a filter is not recorded")
    notes = [words(note) for note in known.evidence.seen.notes]
    judged = f" Of the judged images: {'; '.join(notes)}." if notes else ""
    text = "; ".join(said)
    return Sentence("patients.excluded", f"{text[:1].upper()}{text[1:]}.{judged}")


def _characteristics(known: Recorded) -> tuple[Sentence, ...]:
    data = known.evidence.opened.dataset
    places = {f"judged ({known.evidence.judged.part})": known.evidence.seen.places}
    if not known.external and known.splits is not None:
        row_of = {name: row for row, name in enumerate(data.names)}
        for part in ("train", "val"):
            rows = [row_of[n] for n in getattr(known.splits, part) if n in row_of]
            places[WRITTEN_PARTS[part]] = np.array(rows, np.int64)
    found = [(name, *_people(data, rows)) for name, rows in places.items()]
    if not any(any(line[1:]) for line in found):
        return (
            Sentence("patients.characteristics", not_recorded("age, sex and view of the images")
                     + " " + author_writes("who the patients are")),
        )  # fmt: skip
    return (
        Sentence(
            "patients.characteristics",
            "Who is on the images, an image each time it occurs; empty where the table does not "
            "say. Other characteristics, such as ethnicity or severity, are not recorded.",
            (("part", "median age (quartiles)", "sex", "view"), *found),
        ),
    )


def _people(data: Dataset, rows: np.ndarray) -> tuple[str, str, str]:
    people = read_people(data.extra, data.roles)
    age = ""
    if people.age is not None:
        years = people.age[rows]
        years = years[~np.isnan(years)]
        if len(years):
            low, middle, high = np.percentile(years, (25, 50, 75))
            age = f"{middle:.0f} ({low:.0f} to {high:.0f})"
    return age, _shares(people.sex, rows), _shares(people.view, rows)


def _shares(values: np.ndarray | None, rows: np.ndarray) -> str:
    if values is None or not len(rows):
        return ""
    counts = Counter(str(value) or "unknown" for value in values[rows].tolist())
    return ", ".join(f"{words(v)} {c / len(rows):.0%}" for v, c in counts.most_common(5))


def _labels(known: Recorded) -> tuple[Sentence, ...]:
    how = known.description
    sources = how.get("labels")
    listed_as = listed(_label_names(sources)) if sources else ""
    table = how.get("table")
    readers = how.get("readers") if table else None
    origin = "the label table, as columns or words" if table else "the names of folders"
    return (
        Sentence(
            "labels.definition",
            (f"Marks come from {origin}: {listed_as}." if listed_as
             else not_recorded("from which columns the labels were read"))
            + (f" Where several readers marked an image, one mark was made by: {words(readers)}."
               if readers else ""),
        ),
        Sentence("labels.counts", *_mark_counts(known)),
        Sentence("labels.judged", *_judged_counts(known)),
        Sentence("labels.mapped", _mapped(known)),
        Sentence("labels.author", author_writes(
            "what makes a label positive, who or what marked the images, with which "
            "qualification and tools, whether they knew anything else of the patient, why this "
            "reference standard was chosen, and how much readers differ")),
    )  # fmt: skip


def _label_names(sources: Any) -> list[str]:
    if isinstance(sources, Mapping):
        return [f"{name} from {source}" for name, source in sources.items()]
    return list(map(str, sources)) if isinstance(sources, Sequence) else []


def _mark_counts(known: Recorded) -> tuple[str, tuple[Sequence[object], ...]]:
    counts = at(known.study, "data", "labels")
    where = "in all development data"
    if not isinstance(counts, Mapping):
        counts, where = known.training.get("labels"), "in the data that it was trained on"
    if not isinstance(counts, Mapping) or not counts:
        return not_recorded("how often each label was marked in the development data"), ()
    columns = ("positive", "negative", "uncertain", "unknown")
    rows = [(words(n), *(at(each, c) for c in columns)) for n, each in counts.items()]
    return f"Marks of each label {where}:", (("label", *columns), *rows)


def _judged_counts(known: Recorded) -> tuple[str, tuple[Sequence[object], ...]]:
    judged = known.evidence.judged
    there, gone = present(judged.marks).sum(axis=0), absent(judged.marks).sum(axis=0)
    rows = [
        (words(name), int(p), int(n), len(judged.marks) - int(p) - int(n))
        for name, p, n in zip(judged.label_names, there, gone, strict=True)
    ]
    return "Marks of the judged images:", (("label", "positive", "negative", "not known"), *rows)


def _mapped(known: Recorded) -> str:
    mapped, seen = known.evidence.seen.mapped, known.evidence.seen
    said = [f"{words(theirs)} of the data counts as {words(o)}" for o, theirs in mapped.items()]
    if seen.only_in_model:
        said.append(f"not judged, for the data lack them: {listed(seen.only_in_model)}")
    if seen.only_in_data:
        said.append(f"not judged, for the model lacks them: {listed(seen.only_in_data)}")
    text = "; ".join(said) or "model and data have the same labels under the same names"
    return f"{text[:1].upper()}{text[1:]}."


def _missing(known: Recorded) -> tuple[Sentence, ...]:
    counts = known.training.get("labels")
    taken = sorted(
        {
            f"{words(name)}: {words(each['uncertain_as'])}"
            for name, each in (counts.items() if isinstance(counts, Mapping) else ())
            if isinstance(each, Mapping) and "uncertain_as" in each
        }
    )
    blank = at(known.study, "data", "blank_as") or known.description.get("blank")
    uncertain = (
        f"In training uncertain marks counted as {'; '.join(taken)}"
        if taken
        else "No uncertain mark was trained on"
        if isinstance(counts, Mapping) and counts
        else "What uncertain marks counted as in training is not recorded"
    )
    return (
        Sentence("missing.uncertain", f"{uncertain}. No uncertain mark takes part in any figure."),
        Sentence(
            "missing.blank",
            "There is no label table, and so no blank cell."
            if known.description and not known.description.get("table")
            else f"Blank cells of the label table count as: {_policy(blank)}."
            if blank and known.description
            else not_recorded("what blank cells of the label table count as"),
        ),
        Sentence(
            "missing.unknown",
            "Marks that are not known are left out of the loss and of every figure, label by "
            "label; nothing is imputed.",
        ),
        Sentence(
            "missing.images",
            "An image that cannot be read gets no prediction, and the command says so.",
        ),
    )


def _policy(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{words(n) or 'all others'}: {words(p)}" for n, p in value.items())
    return words(value)


def _parts(known: Recorded) -> tuple[Sentence, ...]:
    splits, split = known.splits, known.description.get("split")
    if split is None and known.setting("seed") is not None:
        split = "drawn"  # what has no description, as the phantom, comes without parts
    shares = {name: known.setting(f"{name}_share") for name in ("test", "val")}
    listed_test = known.setting("test_list")
    # Of given parts the notes of the split say which were drawn, and by which share.
    asked = {
        n: s for n, s in shares.items()
        if (n == "val" if listed_test else split == "drawn")
    }  # fmt: skip
    drawn = ", ".join(
        f"{WRITTEN_PARTS[n]} share {s:g} of the {'other patients' if n == 'val' else 'patients'}"
        for n, s in asked.items() if isinstance(s, int | float)
    )  # fmt: skip
    how = {
        "drawn": "The parts were drawn at random by patient, stratified over the labels",
        "column": "The parts come from a column of the table",
        "folders": "The parts come from the images' folders",
        "lists": "The parts come from lists beside the table",
    }.get(str(split), "How the parts came about is not recorded")
    if listed_test:
        how = f"The test part was given as a list ({words(listed_test)}), the rest drawn by patient"
    seed = f"; seed of what is drawn: {splits.seed}" if splits else ""
    notes = "; ".join(map(words, splits.notes)) if splits else ""
    made = f" {notes[:1].upper()}{notes[1:]}." if notes else ""
    if splits is None:
        sizes = not_recorded("which images are in which part: the model folder has no splits.json")
    else:
        sizes = ", ".join(
            f"{WRITTEN_PARTS[part]} {len(getattr(splits, part)):,}" for part in ALL_PARTS[:3]
        )
        sizes = f"Images: {sizes}."
    also = "; the judged images are used for nothing but the figures."
    if used := _used_for(known.content):
        also = f"; of the judged images nothing is used but for figures, and for these: {used}."
    return (
        Sentence("parts.how", f"{how}{seed}{'; ' + drawn if drawn else ''}.{made} {sizes}"),
        Sentence("parts.patients", _apart(known)),
        Sentence(
            "parts.fingerprint",
            f"Fingerprint of the parts: `{words(known.evidence.opened.model.split)}`; digests of "
            f"{len(splits.contents) if splits else 0:,} image files are kept with it.",
        ),
        Sentence(
            "parts.use",
            "Weights are fitted on the training part, and whatever is chosen is chosen on "
            f"validation, which a finished model may then be trained on too (see Training){also}",
        ),
        Sentence("parts.size", "All readable labelled images were used; a calculation of the "
                 "sample size is not recorded. " + author_writes(
                     "whether the data are enough, and by what calculation")),
    )  # fmt: skip


def _apart(known: Recorded) -> str:
    """Whether the judged patients were trained on, as the report's check found it."""
    data, splits, name = known.evidence.opened.dataset, known.splits, SAME_PATIENT
    if splits is None:
        return not_recorded(
            "whether the model was trained on the judged patients, which is not checked: the model "
            "folder has no splits.json"
        )
    if known.external:
        name = SAME_PICTURE
    checks = known.content.get("checks")
    told = [
        str(check.get("sentence"))
        for check in (checks if isinstance(checks, list) else ())
        if isinstance(check, Mapping) and check.get("name") == name
    ]
    if not told and known.external:
        return not_recorded("whether the model was trained on the judged images")
    if not told:
        of = {image: part for part in ALL_PARTS[:3] for image in getattr(splits, part)}
        told = [patients_check(data.names, data.patients.tolist(), of).sentence]
    text = words("; ".join(told))
    return f"{text[:1].upper()}{text[1:]}."


def _used_for(content: Mapping[str, Any]) -> str:
    """What is fitted or found on the judged images, each in the figures that say so."""
    used = []
    if has_figure(content, "cross_fitted_"):
        used.append("a recalibration fitted crosswise on them")
    if readers_thresholds(content):
        used.append("thresholds at a reader's specificity")
    return " and ".join(used)


def _pixels(known: Recorded) -> tuple[Sentence, ...]:
    pixels, recipe = known.card["pixels"], known.first.recipe
    own = known.first.card["pixels"]
    side = own.get("source_side")
    return (
        Sentence(
            "pixels.preparation",
            f"Each image becomes one channel of 8 bits and {words(pixels.get('frame'))} pixels a "
            f"side ({words(own.get('frame_filter', 'filter not recorded'))}); its middle "
            f"{words(own.get('crop'))} {words(own.get('crop_unit', ''))} are cut out, resized to "
            f"{words(own.get('input_size'))} ({words(own.get('resize_filter', ''))}) and scaled "
            f"to {words(own.get('range'))}.",
        ),
        Sentence("pixels.augmentation", _augmentation(recipe)),
        Sentence(
            "pixels.predictors",
            "Nothing but the pixels of one image goes into a prediction: no age, sex or earlier "
            "image. All images were used whole; no region was marked beforehand.",
        ),
        Sentence(
            "pixels.acquisition",
            (f"The development images were typically {side} pixels a side. " if side else "")
            + not_recorded("machine, exposure and protocol of the images")
            + " " + author_writes("how the images were taken"),
        ),
    )  # fmt: skip


def _augmentation(recipe: Recipe) -> str:
    limits = gene_limits()
    used = {
        name: getattr(recipe, name)
        for name, gene in limits.items()
        if gene.get("group") in (AUGMENTATION, MIXING) and getattr(recipe, name) != gene["default"]
    }
    if not used:
        return "Training images were not changed at random."
    each = ", ".join(f"{words(name)} {words(value)}" for name, value in used.items())
    return f"Training images, and no others, were changed at random: {each}."
