"""TRIPOD+AI and CLAIM item by item: which sentence answers it, and what the author must write.

Numbers are those of TRIPOD+AI (Collins et al., BMJ 2024; 385: e078378) and of CLAIM's update of
2024 (Tejani et al., Radiology: Artificial Intelligence 2024; 6: e240300). What an item is about is
said here in our own short words; the checklists themselves say what it asks for. Numbers and
subjects were checked against public copies of both checklists, item by item.
"""

from __future__ import annotations

from typing import NamedTuple


class Item(NamedTuple):
    """An item of a checklist.

    Args:
        number: as the checklist has it.
        about: what it is about, in short.
        keys: the sentences that answer it, or a part of it; empty: none can.
        author: what is left to the author; empty: nothing.
    """

    number: str
    about: str
    keys: tuple[str, ...] = ()
    author: str = ""


TRIPOD_AI = (
    Item("1", "title", author="all of it"),
    Item("2", "abstract", author="all of it"),
    Item("3a", "medical context, why a model", author="all of it"),
    Item("3b", "whom it is for, who uses it", ("purpose.use",), "patients and users"),
    Item("3c", "known inequalities", author="all of it"),
    Item("4", "objectives", ("purpose.model",), "the objectives"),
    Item("5a", "data sources", ("data.source", "data.judged"),
         "why these data, whom they stand for"),
    Item("5b", "dates of the data", ("data.dates",), "the dates"),
    Item("6a", "setting and centres", ("data.dates",), "setting and centres"),
    Item("6b", "who is eligible", ("patients.excluded",), "the criteria"),
    Item("6c", "treatments received", author="all of it"),
    Item("7", "data preparation and its quality", ("pixels.preparation", "data.reading"),
         "whether it was alike in all groups"),
    Item("8a", "outcome and how it is found", ("labels.definition",),
         "what makes a label positive"),
    Item("8b", "who judged the outcome", author="qualification of the readers"),
    Item("8c", "blinding of the outcome", author="what the readers knew"),
    Item("9a", "choice of predictors", ("pixels.predictors",)),
    Item("9b", "definition of predictors", ("pixels.preparation",), "how images were taken"),
    Item("9c", "who judged predictors", ("pixels.predictors",)),
    Item("10", "sample size", ("parts.size",), "whether the data are enough"),
    Item("11", "missing data", ("missing.uncertain", "missing.blank", "missing.unknown")),
    Item("12a", "how the data were used", ("parts.how", "parts.patients", "parts.use")),
    Item("12b", "handling of predictors", ("pixels.preparation", "pixels.augmentation")),
    Item("12c", "kind of model and how it was built",
         ("network.architecture", "search", "choice.how", "training.recipe")),
    Item("12d", "differences between clusters", ("subgroups.centres",), "differences by centre"),
    Item("12e", "measures of performance",
         ("evaluation.figures", "evaluation.uncertainty", "evaluation.calibration",
          "evaluation.against")),
    Item("12f", "updating of the model", ("evaluation.calibration", "results.updating")),
    Item("12g", "how predictions are computed", ("network.views", "network.output")),
    Item("13", "class imbalance, recalibration after it",
         ("training.imbalance", "evaluation.calibration")),
    Item("14", "fairness", ("subgroups.judged",), "what was done for it"),
    Item("15", "output of the model", ("network.output", "evaluation.threshold"),
         "why that rule"),
    Item("16", "training against evaluation data", ("data.source", "data.judged", "labels.mapped"),
         "differences in setting and criteria"),
    Item("17", "ethical approval", author="all of it"),
    Item("18a", "funding", author="all of it"),
    Item("18b", "conflicts of interest", author="all of it"),
    Item("18c", "protocol", author="all of it"),
    Item("18d", "registration", author="all of it"),
    Item("18e", "sharing of data", ("open.files",), "where they can be had"),
    Item("18f", "sharing of code", ("open.files", "compute.versions"), "where it can be had"),
    Item("19", "involvement of patients", author="all of it"),
    Item("20a", "flow of patients", ("patients.counts", "patients.excluded"), "the diagram"),
    Item("20b", "who the patients are", ("patients.characteristics",), "what the table lacks"),
    Item("20c", "development and evaluation compared", ("patients.characteristics",
                                                        "checks.made")),
    Item("21", "patients and events in each analysis", ("patients.counts", "labels.judged",
                                                        "results.labels")),
    Item("22", "the model in full", ("network.whole",), "restrictions on its use"),
    Item("23a", "performance with intervals, also of subgroups",
         ("results.mean", "results.labels", "subgroups.judged")),
    Item("23b", "performance by cluster", ("subgroups.centres",), "results by centre"),
    Item("24", "results of updating", ("results.updating",)),
    Item("25", "interpretation", author="all of it"),
    Item("26", "limitations", ("limits.known",), "the others"),
    Item("27a", "poor or missing input", ("limits.inputs", "missing.images"),
         "what is to be done with it in use"),
    Item("27b", "what users need to do and know", author="all of it"),
    Item("27c", "next steps", author="all of it"),
)  # fmt: skip
"""The 27 items, 52 with their letters."""

CLAIM = (
    Item("1", "title says that it is AI", author="all of it"),
    Item("2", "summary", author="all of it"),
    Item("3", "background and clinical role", ("purpose.use",), "the background"),
    Item("4", "aims and hypotheses", author="all of it"),
    Item("5", "prospective or retrospective", author="all of it"),
    Item("6", "goal of the study", ("purpose.model",)),
    Item("7", "data sources", ("data.source", "data.judged"), "dates and centres"),
    Item("8", "inclusion and exclusion", ("patients.excluded",), "the criteria"),
    Item("9", "preprocessing", ("pixels.preparation", "data.reading")),
    Item("10", "selected subsets of the data", ("pixels.predictors", "patients.excluded")),
    Item("11", "de-identification", author="all of it"),
    Item("12", "missing data", ("missing.uncertain", "missing.blank", "missing.unknown")),
    Item("13", "how images were taken", ("pixels.acquisition",), "the protocol"),
    Item("14", "reference standard", ("labels.definition",), "what makes a label positive"),
    Item("15", "why that reference standard", author="all of it"),
    Item("16", "source of the annotations", author="all of it"),
    Item("17", "annotation of the test set", ("labels.judged",), "how it was made"),
    Item("18", "agreement of readers", author="all of it"),
    Item("19", "how parts were assigned", ("parts.how", "parts.use")),
    Item("20", "what parts are apart by", ("parts.patients",)),
    Item("21", "sample size", ("parts.size",), "how it was found"),
    Item("22", "the model", ("network.architecture", "network.output")),
    Item("23", "software", ("compute.versions",)),
    Item("24", "starting weights", ("network.start",)),
    Item("25", "training", ("training.recipe", "training.run", "pixels.augmentation", "search")),
    Item("26", "how the final model was chosen", ("choice.how", "choice.confirmed")),
    Item("27", "ensembles", ("network.ensemble",)),
    Item("28", "metrics", ("evaluation.figures", "evaluation.threshold", "evaluation.calibration")),
    Item("29", "significance and uncertainty", ("evaluation.uncertainty",)),
    Item("30", "robustness", ("evaluation.robustness", "choice.confirmed")),
    Item("31", "explanations", ("evaluation.maps",)),
    Item("32", "internal test", ("evaluation.where",)),
    Item("33", "external test", ("evaluation.where",)),
    Item("34", "registration of a trial", author="all of it"),
    Item("35", "patients in and out", ("patients.counts", "patients.excluded"), "the diagram"),
    Item("36", "who is in each part", ("patients.characteristics", "patients.counts"),
         "what the table lacks"),
    Item("37", "performance and its uncertainty",
         ("results.mean", "results.labels", "subgroups.judged", "choice.validation")),
    Item("38", "diagnostic performance and its precision", ("results.labels",)),
    Item("39", "failures", ("results.failures",), "what they have in common"),
    Item("40", "limitations", ("limits.known",), "the others"),
    Item("41", "meaning for practice", author="all of it"),
    Item("42", "full protocol, technical details", author="all of it"),
    Item("43", "availability", ("open.files",), "where they can be had"),
    Item("44", "funding, role of funders", author="all of it"),
)  # fmt: skip
"""The 44 items."""

CHECKLISTS = {"TRIPOD+AI": TRIPOD_AI, "CLAIM 2024": CLAIM}
"""Name -> items, in their order."""
