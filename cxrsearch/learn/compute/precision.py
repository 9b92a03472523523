"""In which precision a device computes: float32, bfloat16, or float16 with its loss scaled.

On a GPU the choice between the two half types is batch normalisation's. cuDNN's fused kernel takes
float16, and bfloat16 only in some versions; torch's own, which is taken in its place, reads and
writes the features more often, and a DenseNet has one before every convolution.
"""

from __future__ import annotations

import functools

import torch
from torch.nn import functional as F

HALF_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""The half types by the names that settings, checkpoints and models know them by."""

NEEDED_CAPABILITY = {torch.bfloat16: (8, 0), torch.float16: (7, 0)}
"""From this CUDA capability on (Ampere, Volta) a type has its own units and is fast."""

WITHOUT_UNITS = "GTX 16"
"""In the names of cards of capability 7.5 that have no tensor cores; some of their float16
convolutions give values that are no numbers."""

NEEDED_INSTRUCTIONS = {
    torch.bfloat16: ("avx512_bf16", "amx_bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16"),
}
"""Processors that have one of these multiply the type themselves; others emulate it, slowly."""


def amp_dtype(device: torch.device, precision: str = "auto") -> torch.dtype | None:
    """The type that matrix products and convolutions autocast to, or None for plain float32.

    Args:
        device: where to compute.
        precision: ``float32``, ``bf16``, ``fp16``, or ``auto``. That is a half type that
            ``device`` multiplies by itself: on CUDA the one whose batch normalisation is fused
            (bfloat16 where both or neither are), on a CPU bfloat16, on ``mps`` none.
    """
    if precision != "auto":
        return HALF_TYPES.get(precision)
    if device.type == "cuda":
        able = [kind for kind in HALF_TYPES.values() if multiplies(device, kind)]
        fused = [kind for kind in able if norm_is_fused(device, kind)] if len(able) > 1 else able
        return next(iter(fused or able), None)
    fast = device.type == "cpu" and multiplies(device, torch.bfloat16)
    return torch.bfloat16 if fast else None


def precision_of(device: torch.device, precision: str = "auto") -> str:
    """``float32``, ``bf16`` or ``fp16``: what ``precision`` comes to on ``device``."""
    kind = amp_dtype(device, precision)
    return next((name for name, half in HALF_TYPES.items() if half is kind), "float32")


def multiplies(device: torch.device, kind: torch.dtype) -> bool:
    """Whether ``device`` multiplies the half type ``kind`` by itself.

    A CPU or GPU that does not emulates it, many times slower. Apple's GPUs have both types.
    """
    if device.type == "cuda":
        lacks = kind == torch.float16 and WITHOUT_UNITS in torch.cuda.get_device_name(device)
        return not lacks and torch.cuda.get_device_capability(device) >= NEEDED_CAPABILITY[kind]
    if device.type != "cpu":
        return True
    able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(able.get(name, False) for name in NEEDED_INSTRUCTIONS[kind])


@functools.cache
def norm_is_fused(device: torch.device, kind: torch.dtype) -> bool:
    """Whether batch normalisation of ``kind`` in training is one fused kernel of a library.

    torch chooses among cuDNN, MIOpen and its own by type, shape and versions; the node that it
    leaves for the backward pass is named after the choice.
    """
    # Remembered, so it must not depend on where it is asked first.
    with torch.inference_mode(False), torch.enable_grad():
        features = torch.zeros((2, 8, 4, 4), device=device, dtype=kind)
        features = features.contiguous(memory_format=torch.channels_last).requires_grad_()
        weight, bias, mean, variance = torch.ones((4, 8), device=device).unbind()
        out = F.batch_norm(features, mean, variance, weight, bias, training=True)
    return out.grad_fn is not None and not out.grad_fn.name().startswith("Native")
