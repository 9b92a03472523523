"""What predicts, as a folder: what a single model and an ensemble have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cxrsearch.data.splits import Splits
from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import Recipe

from .card import check_files

SPLITS = "splits.json"


class ModelPart(NamedTuple):
    """A network that a prediction takes.

    Args:
        folder: its model folder.
        card: the content of ``model.json`` there.
        recipe: what it was built from.
    """

    folder: Path
    card: Mapping[str, Any]
    recipe: Recipe


@dataclass(frozen=True)
class Predictor(ABC):
    """A model or an ensemble that was loaded from its folder.

    Args:
        folder: where it was loaded from.
        card: what its JSON says: ``pixels``, ``data``, ``study`` and more.
    """

    folder: Path
    card: Mapping[str, Any]

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The k labels that it predicts, in the order of its scores."""

    @property
    @abstractmethod
    def tta(self) -> str:
        """What it predicts the mean over; see `cxrsearch.model.views`."""

    @property
    @abstractmethod
    def parts(self) -> tuple[ModelPart, ...]:
        """The networks that a prediction takes."""

    @property
    @abstractmethod
    def covered(self) -> tuple[int, ...]:
        """Columns of the labels that it says something of; the others' scores mean nothing."""

    @abstractmethod
    def predict(
        self,
        images: np.ndarray,
        rows: np.ndarray | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> np.ndarray:
        """Scores of its `labels`.

        Args:
            images: (n, F, F) uint8 grey, F its `frame`.
            rows: (m,) which of them; all by default.
            on_progress: called with how many are done, of how many, over all networks.

        Returns:
            (m, k) float32 in [0, 1].

        Raises:
            InputError: where the pictures are of another size or type.
        """

    @property
    def not_covered(self) -> list[str]:
        """The labels that it says nothing of."""
        return [name for column, name in enumerate(self.labels) if column not in self.covered]

    @property
    def frame(self) -> int:
        """Side of the square pictures that `predict` takes."""
        return int(self.card["pixels"]["frame"])

    @property
    def split(self) -> str:
        """The fingerprint of the parts of its data."""
        return str(self.card["data"]["split_fingerprint"])

    def splits(self) -> Splits | None:
        """The parts of the data that it was trained on; None where they are not known.

        Raises:
            InputError: where the file is damaged or of another split.
        """
        path = self.folder / SPLITS
        if not path.is_file():
            return None
        check_files(self.folder, self.card, [SPLITS])
        splits = Splits.load(path)
        if splits.fingerprint != self.split:
            raise InputError(
                f"{path}: fingerprint {splits.fingerprint}, but the model was trained on "
                f"{self.split}; restore the file"
            )
        return splits
