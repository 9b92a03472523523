"""What a search keeps of the studies that it starts from; `search.samplers.warm` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from optuna.trial import FrozenTrial

PRIOR = "prior"
"""User attribute of a trial that repeats an earlier one: ``study``, ``trial`` and ``point``."""


@dataclass(frozen=True)
class PriorPoint:
    """A trial of an earlier study, as the new space has it.

    Args:
        study: index of the earlier study in `Prior.studies`.
        trial: its number there.
        params: values of those genes of the new space that it knows.
    """

    study: int
    trial: int
    params: Mapping[str, Any]


@dataclass(frozen=True)
class EarlierStudy:
    """What is kept of an earlier study.

    Args:
        name: for people, such as its folder.
        fingerprint: see `Source.fingerprint`.
        trials: how many of its trials had a value.
        genes: the genes of the new space that it knew.
    """

    name: str
    fingerprint: str
    trials: int
    genes: tuple[str, ...]


@dataclass(frozen=True)
class Prior:
    """What a search may try of earlier studies; made by `learn`, and kept with the search.

    Args:
        studies: the earlier studies.
        points: of all studies; those of one study in the order in which they are tried.
    """

    studies: tuple[EarlierStudy, ...]
    points: tuple[PriorPoint, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `from_dict` makes the same of it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote.

        Raises:
            ValueError: where it did not.
        """
        try:
            studies = [EarlierStudy(**{**s, "genes": tuple(s["genes"])}) for s in data["studies"]]
            points = [
                PriorPoint(int(p["study"]), int(p["trial"]), dict(p["params"]))
                for p in data["points"]
            ]
            if any(not 0 <= point.study < len(studies) for point in points):
                raise ValueError("a point is of no study")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the prior cannot be read: {error!r}") from None
        return cls(tuple(studies), tuple(points))

    def mark(self, index: int) -> dict[str, Any]:
        """The user attribute `PRIOR` of a trial that repeats point ``index``."""
        point = self.points[index]
        return {
            "study": self.studies[point.study].name,
            "trial": point.trial,
            "point": index,
        }


def index_of(trial: FrozenTrial, prior: Prior) -> int | None:
    """The point of ``prior`` that ``trial`` repeats, by its mark."""
    mark = trial.user_attrs.get(PRIOR)
    index = mark.get("point") if isinstance(mark, Mapping) else None
    return index if type(index) is int and 0 <= index < len(prior.points) else None
