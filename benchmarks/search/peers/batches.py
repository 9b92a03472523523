"""Ask and tell, one trial at a time, around a method that works in batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .genes import Params


class Batches(ABC):
    """A method that proposes a batch and continues when all of it has a score."""

    def __init__(self) -> None:
        self._batch: list[Params] = []
        self._scores: dict[int, float] = {}
        self._asked = 0

    @abstractmethod
    def first(self) -> list[Params]:
        """The configurations of the first batch, at least one."""

    @abstractmethod
    def next(self, scores: list[float]) -> list[Params]:
        """The next batch, given the scores of the last one in its order."""

    def ask(self) -> tuple[Any, Params]:
        """One of the current batch.

        Raises:
            RuntimeError: all of the batch is asked and not all of it told.
        """
        if not self._batch:
            self._batch = self.first()
        if self._asked == len(self._batch):
            if len(self._scores) < self._asked:
                raise RuntimeError(
                    f"{type(self).__name__} works in batches: {self._asked - len(self._scores)} "
                    "trials must be told before the next can be asked"
                )
            scores = [self._scores[k] for k in range(self._asked)]
            self._batch, self._scores, self._asked = self.next(scores), {}, 0
        self._asked += 1
        return self._asked - 1, self._batch[self._asked - 1]

    def tell(self, handle: Any, score: float) -> None:
        """The score of one of the current batch."""
        self._scores[handle] = score
