"""Thresholds and recalibration of a model, chosen on validation and kept in its folder.

``operating.json`` lies beside the weights and is no part of them: `cxrsearch evaluate --at` writes
another. It says by which rule each threshold was chosen, on how many images, and by whose scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.marks import absent, known, present
from cxrsearch.errors import InputError, quoted
from cxrsearch.learn.calibrate import Calibration, platt
from search.files import write_json
from search.reading import FileError, number, read_json, whole

from .predictor import Predictor
from .rules import OperatingRule, choose_thresholds, parse_rule
from .validation import ValidationScores, validation_of

OPERATING = "operating.json"
OPERATING_FORMAT, OPERATING_VERSION = "cxrsearch operating points", 1
DEFAULT_RULE = "youden"
"""By what thresholds are chosen where nobody says."""


@dataclass(frozen=True)
class LabelPoint:
    """Where a label's score becomes a yes, and what makes a probability of it.

    Args:
        threshold: an image is positive from this score on; None: there is none.
        positives: of the images it was chosen on.
        negatives: of them.
        sensitivity: on these; None without a threshold or a positive.
        specificity: on these.
        slope: of the recalibrated logit over the score's own; None: not known.
        offset: of the recalibrated logit.
        reason: why something is None; None where nothing is.
    """

    threshold: float | None
    positives: int
    negatives: int
    sensitivity: float | None
    specificity: float | None
    slope: float | None
    offset: float | None
    reason: str | None = None


@dataclass(frozen=True)
class OperatingPoints:
    """The operating points of a model.

    Args:
        rule: how thresholds were chosen.
        of: whose scores they were chosen by; None: by none, as they were given.
        made_from: the digest of these scores; None: there were none.
        images: how many these are of.
        patients: of how many patients.
        labels: by label.
    """

    rule: OperatingRule
    of: str | None
    made_from: str | None
    images: int
    patients: int
    labels: Mapping[str, LabelPoint]

    @property
    def chosen_on(self) -> str | None:
        """The part that thresholds were chosen on; None where they were given."""
        return None if self.rule.given or self.of is None else "validation"

    def thresholds(self, names: Sequence[str]) -> np.ndarray:
        """(k,) the thresholds of the labels ``names``; NaN where there is none."""
        return self._each("threshold", names)

    def recalibrated(self, scores: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """(n, k) recalibrated probabilities; NaN of a label that has no recalibration.

        Args:
            scores: (n, k) probabilities as the model gives them.
            names: (k,) what the columns are.
        """
        none = np.full(len(names), np.nan)
        slope, offset = self._each("slope", names), self._each("offset", names)
        return Calibration(slope, offset, none, none).probabilities(scores)

    def _each(self, what: str, names: Sequence[str]) -> np.ndarray:
        found = [getattr(self.labels[n], what) if n in self.labels else None for n in names]
        return np.array([np.nan if value is None else value for value in found], float)

    def lacking(self, what: str, names: Sequence[str]) -> dict[str, str]:
        """Label -> why it has no ``what``: ``threshold`` or ``slope``."""
        missing = [
            n for n in names if n not in self.labels or getattr(self.labels[n], what) is None
        ]
        return {
            n: (self.labels[n].reason if n in self.labels else None) or "nothing is known of it"
            for n in missing
        }

    def to_dict(self) -> dict[str, Any]:
        """As ``operating.json`` keeps them."""
        return {
            "format": OPERATING_FORMAT,
            "version": OPERATING_VERSION,
            "rule": str(self.rule),
            "chosen_on": self.chosen_on,
            "of": self.of,
            "made_from": self.made_from,
            "images": self.images,
            "patients": self.patients,
            "labels": {name: asdict(point) for name, point in self.labels.items()},
        }


def choose_points(
    rule: OperatingRule, names: Sequence[str], validation: ValidationScores | None
) -> OperatingPoints:
    """Thresholds by ``rule``, and recalibration, of the labels ``names``.

    Recalibration is Platt's (see `cxrsearch.learn.calibrate.platt`).

    Args:
        rule: how thresholds are chosen.
        names: (k,) the labels.
        validation: what they are chosen by; None with a rule that gives them.

    Raises:
        InputError: where there is nothing to choose by, and the rule needs it.
    """
    if validation is None:
        if not rule.given:
            raise InputError(f"operating point {rule}: there are no validation scores to choose by")
        why = "no validation scores to fit a recalibration by"
        given = LabelPoint(rule.number, 0, 0, None, None, None, None, why)
        return OperatingPoints(rule, None, None, 0, 0, dict.fromkeys(names, given))
    validation = validation.of_labels(names)
    chosen = choose_thresholds(rule, validation.marks, validation.scores)
    points = {
        name: _point(marks, scores, threshold, reason)
        for name, marks, scores, threshold, reason in zip(
            names, validation.marks.T, validation.scores.T, chosen.values.tolist(),
            chosen.reasons, strict=True,
        )
    }  # fmt: skip
    people = len(np.unique(validation.patients))
    return OperatingPoints(
        rule, validation.of, validation.digest, len(validation.names), people, points
    )


def _point(
    marks: np.ndarray, scores: np.ndarray, threshold: float, reason: str | None
) -> LabelPoint:
    """One label's point, on images that nothing was trained on."""
    there, away, told = present(marks), absent(marks), known(marks)
    slope, offset = platt(present(marks[told]), scores[told]) if told.any() else (np.nan, np.nan)
    if np.isnan(slope) and reason is None:
        reason = "no recalibration without positives and negatives on validation"
    usable = reason is None or not np.isnan(threshold)
    yes = scores >= threshold if usable else None

    def share(of: np.ndarray, wanted: bool) -> float | None:
        return float((yes[of] == wanted).mean()) if yes is not None and of.any() else None

    return LabelPoint(
        threshold=_known(threshold),
        positives=int(there.sum()),
        negatives=int(away.sum()),
        sensitivity=share(there, True),
        specificity=share(away, False),
        slope=_known(slope),
        offset=_known(offset),
        reason=reason,
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def write_points(folder: Path, points: OperatingPoints) -> None:
    """Keep ``points`` in a model's folder, in the place of those before."""
    write_json(folder / OPERATING, points.to_dict())


def write_first_points(folder: Path, names: Sequence[str], validation: ValidationScores) -> None:
    """Keep the points of `DEFAULT_RULE` in a folder that is being made."""
    write_points(folder, choose_points(parse_rule(DEFAULT_RULE), names, validation))


def read_points(folder: Path) -> OperatingPoints | None:
    """The points that a model's folder keeps; None where it keeps none.

    Raises:
        InputError: where the file is damaged.
    """
    path = folder / OPERATING
    try:
        found = read_json(path, "the model's operating points")
    except FileNotFoundError:
        return None
    except FileError as error:
        raise InputError(error.problems) from None
    way_out = f"write it again with `cxrsearch evaluate {quoted(folder)} --at {DEFAULT_RULE}`"
    wrong = InputError(f"{path}: not the operating points of a model; {way_out}")
    if not isinstance(found, dict) or found.get("format") != OPERATING_FORMAT:
        raise wrong
    if found.get("version") != OPERATING_VERSION:
        raise InputError(
            f"{path}: format version {found.get('version')!r}, but this program reads "
            f"{OPERATING_VERSION}; {way_out}"
        )
    rule, labels = found.get("rule"), found.get("labels")
    texts = [found.get(name) for name in ("of", "made_from")]
    counts = [whole(found.get(name), 0) for name in ("images", "patients")]
    if (
        not isinstance(rule, str)
        or not isinstance(labels, dict)
        or not all(text is None or isinstance(text, str) for text in texts)
        or None in counts
    ):
        raise wrong
    points = {name: _read_point(point) for name, point in labels.items()}
    if None in points.values():
        raise wrong
    return OperatingPoints(
        parse_rule(rule), texts[0], texts[1], counts[0] or 0, counts[1] or 0,
        {name: point for name, point in points.items() if point is not None},
    )  # fmt: skip


def _read_point(value: Any) -> LabelPoint | None:
    """A label's point, or None where it is none."""
    if not isinstance(value, dict):
        return None
    limits = {
        "threshold": (-1, 2), "sensitivity": (0, 1), "specificity": (0, 1),
        "slope": (0,), "offset": (),
    }  # fmt: skip
    figures = {name: value.get(name) for name in limits}
    fits = all(
        figures[name] is None or number(figures[name], *ends) is not None
        for name, ends in limits.items()
    )
    positives, negatives = (whole(value.get(name), 0) for name in ("positives", "negatives"))
    reason = value.get("reason")
    if not fits or positives is None or negatives is None or not isinstance(reason, str | None):
        return None
    return LabelPoint(positives=positives, negatives=negatives, reason=reason, **figures)


def points_of(
    model: Predictor, study: Path | None = None, at: str | None = None
) -> tuple[OperatingPoints | None, str]:
    """The operating points that a model is to be used at.

    Args:
        model: a model or an ensemble.
        study: its study, for a folder of an earlier version; None where it is not here.
        at: a rule, see `cxrsearch.model.rules.parse_rule`; None: as the folder keeps them, or by
            `DEFAULT_RULE` where it keeps none.

    Returns:
        the points; or None, and why there are none.

    Raises:
        InputError: where the rule is none, or a file is damaged.
    """
    rule = parse_rule(at or DEFAULT_RULE)
    names = [model.labels[column] for column in model.covered]
    if at is None and (kept := read_points(model.folder)) is not None:
        return kept, ""
    validation, why = validation_of(model, study)
    if validation is None and not rule.given:
        return None, why
    return choose_points(rule, names, validation), ""
