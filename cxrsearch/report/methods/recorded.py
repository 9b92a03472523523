"""What is recorded of a model, its study and its data; what is not is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError
from cxrsearch.model.looks import read_looks
from cxrsearch.model.predictor import ModelPart
from cxrsearch.model.suspicion.together import EXTERNAL
from cxrsearch.report.evidence import Evidence
from cxrsearch.show.view import StudyView, view_of
from cxrsearch.study.folder import read_study_yaml
from search.errors import SearchError
from search.store.record import read_study

from .sentence import at


@dataclass(frozen=True, eq=False)
class Recorded:
    """Everything that a methods section may say.

    Args:
        evidence: model, data and scores.
        content: the report's figures, as ``report.json`` holds them.
        study: study.yaml; empty where the study is not here or cannot be read.
        view: its history; None likewise.
        why_not: why there is no study; empty where there is one.
        splits: the parts that the model was made with; None where not known.
        looks: those counted in the study, or else in the model folder.
    """

    evidence: Evidence
    content: Mapping[str, Any]
    study: Mapping[str, Any] = field(default_factory=dict)
    view: StudyView | None = None
    why_not: str = ""
    splits: Splits | None = None
    looks: tuple[Mapping[str, Any], ...] = ()

    @property
    def card(self) -> Mapping[str, Any]:
        """Of the model or ensemble."""
        return self.evidence.opened.model.card

    @property
    def parts(self) -> tuple[ModelPart, ...]:
        """The networks that a prediction takes."""
        return self.evidence.opened.model.parts

    @property
    def first(self) -> ModelPart:
        """The first of them, by which an ensemble's are described."""
        return self.parts[0]

    @property
    def external(self) -> bool:
        """Whether the model is judged on other data than its own."""
        return self.evidence.judged.part == EXTERNAL

    @property
    def training(self) -> Mapping[str, Any]:
        """How the first network was trained."""
        found = self.first.card.get("training")
        return found if isinstance(found, Mapping) else {}

    @property
    def description(self) -> Mapping[str, Any]:
        """How the data that the model was made with were read; empty where not recorded."""
        found = at(self.study, "data", "description") or at(self.card, "data", "description")
        return found if isinstance(found, Mapping) else {}

    def setting(self, name: str) -> Any:
        """A setting of the study, or of the training without one; None where not recorded."""
        found = at(self.study, "settings", name)
        return at(self.card, "data", "reading", name) if found is None else found

    @property
    def source(self) -> str | None:
        """What the data that the model was made with were called."""
        found = at(self.study, "data", "source") or self.setting("data")
        if found is None and not self.external:
            found = self.evidence.opened.dataset.label
        return None if found is None else str(found)


def recorded_of(evidence: Evidence, content: Mapping[str, Any]) -> Recorded:
    """Gather what is recorded; what cannot be read counts as not recorded, with the reason."""
    opened = evidence.opened
    study: Mapping[str, Any] = {}
    view, why_not = None, ""
    if opened.study is None:
        path = opened.model.card["study"].get("path")
        why_not = "the study is not where it was" if path else "the model was made without a study"
    else:
        try:
            study = read_study_yaml(opened.study)
            view = view_of(read_study(opened.study))
        except SearchError as error:
            why_not = f"the study cannot be read: {error}"
    try:
        splits = opened.model.splits()
    except InputError:
        splits = None
    try:
        looks = tuple(read_looks(opened.study or opened.model.folder))
    except SearchError:
        looks = ()
    return Recorded(evidence, content, study, view, why_not, splits, looks)
