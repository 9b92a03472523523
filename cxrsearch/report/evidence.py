"""Everything that a report is made of: looked at once, and then read by all of its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxrsearch.model.unseen import UnseenImages
from cxrsearch.study.inference.opening import OpenedModel


@dataclass(frozen=True, eq=False)
class JudgedImages:
    """Images with what is known of them and what a model says, a row an image.

    Args:
        part: "validation", "test" or "external".
        marks: (n, k) see `cxrsearch.data.marks`.
        scores: (n, k) probabilities as the network gives them.
        patients: (n,) whom each image shows.
        label_names: (k,) what the columns are.
    """

    part: str
    marks: np.ndarray
    scores: np.ndarray
    patients: np.ndarray
    label_names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Evidence:
    """A model, the images that it is judged on, and those that it was chosen by.

    Args:
        opened: the model, its study, the data and their pictures.
        seen: what the model says of images that nothing was chosen by; ``seen.places`` are their
            rows in ``opened.dataset`` (age, sex, view and other columns are in its ``extra``), and
            ``seen.rows`` those in ``opened.cache``.
        judged: the same, of the labels that the model says something of.
        validation: what the network said of the validation part before it was trained on it, the
            same labels in the same order; None where the model folder does not hold it.
    """

    opened: OpenedModel
    seen: UnseenImages
    judged: JudgedImages
    validation: JudgedImages | None
