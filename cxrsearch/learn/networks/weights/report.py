"""What was loaded of a file, or would be, in numbers and in words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .reading import some_of

BACKBONE_SHARE = 0.95
"""Share of the backbone's bytes that a file must have, unless less is asked for."""


@dataclass(frozen=True)
class Loaded:
    """How a file of weights fits a network.

    Args:
        file: its path.
        kind: what was recognised, for people.
        place: where in the file the weights lie; empty: at the top.
        prefix: what was taken off their names.
        naming: how they are named; see `cxrsearch.learn.networks.weights.renaming.NAMINGS`.
        renamed: tensors whose name is otherwise in the file.
        tensors: of the backbone, taken over, and all.
        bytes: of the backbone, taken over, and all.
        stem: how the first convolution became one of grey images.
        head: what became of the head.
        outputs: of the file's own head, where it would fit but for their number; None: it has none.
        missing: tensors of the backbone that the file lacks.
        misshapen: those that it has in another shape.
        foreign: the file's tensors that a deeper or another network would have.
        near: names in the file that come near those missing.
        left_out: what else in the file was not taken.
        notes: what there is to know besides.
        partial: whether less than nearly all was asked for.
        problem: why it is refused; None: it is not.
    """

    file: str
    kind: str
    place: str
    prefix: str
    naming: str
    renamed: int
    tensors: tuple[int, int]
    bytes: tuple[int, int]
    stem: str
    head: str
    outputs: int | None = None
    missing: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    partial: bool = False
    problem: str | None = None

    @property
    def share(self) -> float:
        """Of the backbone's bytes."""
        return self.bytes[0] / self.bytes[1] if self.bytes[1] else 0.0

    @property
    def amount(self) -> str:
        """Tensors and bytes, in words."""
        return (
            f"{self.tensors[0]} of {self.tensors[1]} tensors, {percent(self.share)} of the "
            "backbone's bytes"
        )

    @property
    def differences(self) -> str:
        """What of the backbone does not fit, in words."""
        kinds = {
            "missing": self.missing, "of another shape": self.misshapen, "unknown": self.foreign,
        }  # fmt: skip
        return "; ".join(f"{some_of(names)} {what}" for what, names in kinds.items() if names)

    @property
    def lines(self) -> list[str]:
        """For the notes of a trial and the card of a model."""
        found = [f"{self.file}: {self.amount}; head {self.head}"]
        if self.differences:
            found.append(f"{self.file}: not all of the network: {self.differences}")
        if self.left_out:
            found.append(f"{self.file}: left out: {', '.join(self.left_out)}")
        return found + [f"{self.file}: {note}" for note in self.notes]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "share": self.share}


_AMOUNT = re.compile(r"(.+): (\d+) of (\d+) tensors, ([\d.]+)% of the backbone's bytes; head (.+)")
"""The first of `Loaded.lines`."""


def loaded_in(notes: Iterable[str]) -> list[dict[str, Any]]:
    """What was loaded of files of starting weights, out of the notes of a training.

    Notes outlive a training that was cut off and went on, and cards of earlier versions have them.

    Args:
        notes: among them `Loaded.lines`.

    Returns:
        for each file ``file``, ``tensors`` (of the backbone, taken over and all), ``share`` (of
        the backbone's bytes; only all is 1) and ``head``: what became of it.
    """
    return [
        {
            "file": match[1],
            "tensors": [int(match[2]), int(match[3])],
            "share": float(match[4]) / 100,
            "head": match[5],
        }
        for note in dict.fromkeys(map(str, notes))
        if (match := _AMOUNT.fullmatch(note))
    ]


def percent(share: float) -> str:
    """A share, rounded so that only all is 100%."""
    if share >= 1:
        return "100%"
    return f"{min(share * 100, 99.9):.1f}%"


def grouped(names: Mapping[str, int]) -> tuple[str, ...]:
    """Names by their first part, with how many tensors each stands for."""
    return tuple(f"{name} ({count})" if count > 1 else name for name, count in names.items())
