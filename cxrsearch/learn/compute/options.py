"""How a training or a prediction computes: one record, handed down to where it acts.

It is made where a command, a study or an experiment knows what was asked for, and passed on as it
is. So a further setting of this kind is a field here, and the place that heeds it. Imports no
torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ComputeOptions:
    """Where, how fast and in what memory; none of it changes what is computed, but for roundings.

    Args:
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        threads: CPU threads while work is done; None: as the process has it.
        precision: what convolutions and matrix products compute in: ``float32``, ``bf16``,
            ``fp16``, or ``auto``. For a training that is what the device is good at
            (`cxrsearch.learn.compute.precision.amp_dtype`), or what a training that goes on began
            with; for a stored model, what its card says.
        memory_share: share of the device's memory that may be used; less where workers share it.
        weights_dir: folder with pretrained weights under torchvision's file names; None:
            torchvision's own place.
        micro: images that go through the network at once in a new training, where there is
            memory for as many; None: as memory allows.
        steps: how they are taken: ``eager``, ``graph``, ``compiled``, or ``auto``, what repays.
        search_pixels: pixels that all trainings of a search go through, by network and input size
            in words (``densenet121 224x224``): the compiler's work is for all of them.
    """

    device: str = "auto"
    threads: int | None = None
    precision: str = "auto"
    memory_share: float = 0.8
    weights_dir: Path | None = None
    micro: int | None = None
    steps: str = "auto"
    search_pixels: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def asked(cls, settings: object, **known: Any) -> ComputeOptions:
        """What ``settings`` ask for in fields of the same names, and what else is ``known``.

        Args:
            settings: a user's, such as `cxrsearch.study.settings.Settings`; its paths are texts.
            known: fields that follow from elsewhere, such as from the machine.
        """
        given = {
            f.name: getattr(settings, f.name) for f in fields(cls) if hasattr(settings, f.name)
        }
        folder = given.pop("weights_dir", None)
        return cls(**{**given, "weights_dir": Path(folder) if folder else None, **known})


AS_IT_IS = ComputeOptions()
"""Whatever device there is, with whatever it has."""
