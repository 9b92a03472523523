"""Everything that would make a report's figures false, looked at in one go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cxrsearch.learn.metrics import judge
from cxrsearch.model.suspicion.before import looks_check
from cxrsearch.model.suspicion.check import NOTED, Check, by_gravity
from cxrsearch.model.suspicion.outputs import CONSTANT, below_chance_check
from cxrsearch.model.suspicion.together import judged_checks
from cxrsearch.model.suspicion.training import validation_checks
from cxrsearch.report.evidence import Evidence, JudgedImages
from search.seeds import derive

RESAMPLES = 1000


def checks_of(evidence: Evidence, before: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Look at a model, its weights, its images and what it says of them; the gravest first.

    Args:
        evidence: looked at once.
        before: the looks that were counted before this one, see `read_looks`.

    Raises:
        InputError: where the splits are damaged.
    """
    opened, judged = evidence.opened, evidence.judged
    fingerprint = opened.dataset.fingerprint
    found = [
        *judged_checks(opened.model, opened.dataset, opened.cache, evidence.seen),
        _below_chance(judged, fingerprint),
        *_validation(evidence.validation, fingerprint),
        looks_check(before, str(opened.model.folder), fingerprint),
    ]
    return by_gravity(found)


def _below_chance(judged: JudgedImages, fingerprint: str) -> Check:
    """Whether an AUROC's interval lies below one half, by label and in the mean."""
    details = _judged(judged, fingerprint)
    return below_chance_check(
        judged.part, details["intervals"], details["interval"], details["auroc"]
    )


def _validation(validation: JudgedImages | None, fingerprint: str) -> list[Check]:
    """The same of the validation part, and whether the network says something there."""
    if validation is None:
        told = "the model folder does not hold what the network said of the validation part"
        return [Check(CONSTANT, NOTED, f"validation: not looked at, for {told}")]
    details = _judged(validation, fingerprint)
    return validation_checks(validation.scores, validation.label_names, details)


def _judged(images: JudgedImages, fingerprint: str) -> dict[str, Any]:
    """AUROC with intervals, as `cxrsearch.learn.metrics.judge` gives them."""
    every = range(len(images.label_names))
    seed = derive("checks", fingerprint, images.part)
    marks, scores = np.asarray(images.marks), np.asarray(images.scores)
    _, details, _ = judge(
        marks, scores, images.patients, list(every), RESAMPLES, seed, images.label_names
    )
    return details
