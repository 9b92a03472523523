"""One look at images that nothing was chosen by: what all parts of a report then read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from cxrsearch.model.looks import read_looks
from cxrsearch.model.operating import OPERATING, OperatingPoints, choose_points, points_of
from cxrsearch.model.rules import parse_rule
from cxrsearch.model.unseen import UnseenImages, look_at
from cxrsearch.model.validation import ValidationScores, validation_of
from cxrsearch.study.inference.counting import count_look
from cxrsearch.study.inference.opening import OpenedModel

from .evidence import Evidence, JudgedImages


class Looked(NamedTuple):
    """A look at a model that was counted.

    Args:
        evidence: what was seen.
        result: as `cxrsearch evaluate` prints it, and as it was counted.
        points: the operating points that the model is judged at; None where it has none.
        of: whose scores the validation part's are, in words; empty without.
        why: why there is no validation part or no point; empty where there is.
        kept: whether the points are the folder's own and not what the validation part at hand
            gives: there is none, or it is another.
        before: the looks that were counted before this one, see `read_looks`.
    """

    evidence: Evidence
    result: dict[str, Any]
    points: OperatingPoints | None
    of: str
    why: str
    kept: bool
    before: tuple[dict[str, Any], ...]

    @property
    def number(self) -> int:
        """Which look this is at the data that it is of."""
        return int(self.result["looks"])


def looks_so_far(opened: OpenedModel) -> tuple[dict[str, Any], ...]:
    """The looks that are counted where those of ``opened`` are, oldest first.

    Raises:
        SearchError: where their list is damaged.
    """
    return tuple(read_looks(opened.study or opened.model.folder))


def look_once(
    opened: OpenedModel,
    *,
    maps: tuple[str, ...] = (),
    at: str | None = None,
    ready: Callable[[Evidence], object] = lambda evidence: None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Looked:
    """Look at what a model says of the images that it is judged on, and count the look.

    Args:
        opened: the model and its data.
        maps: which labels of the data it calls otherwise.
        at: a rule for operating points; None: as the model keeps them.
        ready: called with what was seen before that is counted: what it raises costs no look.
        on_progress: called with how many images are done, of how many.

    Raises:
        InputError: where nothing can be judged, or the look cannot be counted.
    """
    if at is not None:
        parse_rule(at)  # before a look is spent
    validation, why = validation_of(opened.model, opened.study)
    seen = look_at(opened.model, opened.dataset, opened.cache, maps=maps, on_progress=on_progress)
    points, lacks = _points(opened, seen, validation, at)
    evidence = Evidence(opened, seen, judged_of(seen), _chosen_by(seen, validation))
    ready(evidence)
    before = looks_so_far(opened)
    result = count_look(opened, seen)
    of = validation.of if validation is not None else ""
    kept = at is None and points is not None and _otherwise(points, opened, validation)
    if kept and validation is not None:
        result["notes"].append(
            f"{opened.model.folder / OPERATING} was made from other scores than the validation "
            "part's here: judged at its thresholds; `cxrsearch evaluate --at` chooses them again"
        )
    return Looked(evidence, result, points, of, why or lacks, kept, before)


def _otherwise(
    points: OperatingPoints, opened: OpenedModel, validation: ValidationScores | None
) -> bool:
    """Whether points are of other validation scores than these."""
    if points.rule.given:
        return False
    ours = opened.model.labels
    names = [ours[c] for c in opened.model.covered if ours[c] in points.labels]
    if validation is None or not set(names) <= set(validation.label_names):
        return True
    return validation.of_labels(names).digest != points.made_from


def judged_of(seen: UnseenImages) -> JudgedImages:
    """Images of the labels that the model says something of."""
    columns = list(seen.covered)
    return JudgedImages(
        seen.part, seen.marks[:, columns], seen.scores[:, columns], seen.patients,
        tuple(seen.label_names[column] for column in columns),
    )  # fmt: skip


def objective_of(seen: UnseenImages) -> list[str]:
    """The labels that a mean is over."""
    return [seen.label_names[column] for column in seen.objective]


def _chosen_by(seen: UnseenImages, validation: ValidationScores | None) -> JudgedImages | None:
    """The validation part with the labels that are judged, in their order."""
    if validation is None:
        return None
    names = judged_of(seen).label_names
    same = validation.of_labels(names)
    return JudgedImages("validation", same.marks, same.scores, same.patients, names)


def _points(
    opened: OpenedModel, seen: UnseenImages, validation: ValidationScores | None, at: str | None
) -> tuple[OperatingPoints | None, str]:
    """The operating points; of the labels that are judged where they are chosen now."""
    if at is None:
        return points_of(opened.model, opened.study)
    rule = parse_rule(at)
    if validation is None and not rule.given:
        return None, "there are no validation scores to choose a threshold by"
    return choose_points(rule, [opened.model.labels[c] for c in opened.model.covered],
                         validation), ""  # fmt: skip
