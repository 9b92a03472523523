"""The one place that imports torchvision, so that it also imports beside a CPU-only torch.

torchvision's wheels on PyPI are built for CUDA torch. Beside a CPU build their compiled
operators do not load, and ``import torchvision`` fails while it describes the detection
operators ``nms`` and ``qnms`` to torch. Nothing here uses those: where they are missing,
their signatures alone are declared, and networks and transforms work.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

_SIGNATURES = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[Any] = []  # a Library that is freed takes its operators along


def _loads_operators() -> bool:
    """Whether torchvision's compiled operators load into this torch."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ImportError("torchvision is not installed; pip install torchvision")
    operators: Any = torch.ops
    for library in sorted(Path(spec.origin).parent.glob("_C.*")):
        try:
            operators.load_library(str(library))
        except OSError:
            continue
        return True
    return False


def _known(name: str) -> bool:
    try:
        getattr(torch.ops.torchvision, name)
    except AttributeError:
        return False
    return True


def _declare_missing_operators() -> None:
    if _loads_operators():
        return
    missing = [text for text in _SIGNATURES if not _known(text.partition("(")[0])]
    if missing:
        library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for text in missing:
            library.define(text)
        _declared.append(library)


_declare_missing_operators()

import torchvision  # noqa: E402  (only after the operators are declared)
import torchvision.models  # noqa: E402

models: Any = torchvision.models
"""``torchvision.models``: architectures and weight names."""

version: str = torchvision.__version__
