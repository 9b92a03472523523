from __future__ import annotations

import pytest
import torch

from cxrsearch.learn.compute import precision
from cxrsearch.learn.compute.precision import HALF_TYPES, amp_dtype, multiplies, precision_of

CPU, CUDA, MPS = torch.device("cpu"), torch.device("cuda", 0), torch.device("mps")
BF16, FP16 = torch.bfloat16, torch.float16


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch):
    """Sets capability, name, and the types whose batch normalisation is fused, of a GPU."""

    def pretend(capability: tuple[int, int], *fused: torch.dtype, name: str = "H200") -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
        monkeypatch.setattr(precision, "norm_is_fused", lambda _, kind: kind in fused)

    return pretend


def test_a_gpu_takes_the_half_type_whose_batch_normalisation_is_fused(card) -> None:
    card((9, 0), FP16)
    assert (amp_dtype(CUDA), precision_of(CUDA)) == (FP16, "fp16")
    card((9, 0), BF16, FP16)
    assert (amp_dtype(CUDA), precision_of(CUDA)) == (BF16, "bf16")
    card((8, 0))
    assert amp_dtype(CUDA) == BF16, "where neither is, bfloat16 needs no scaled loss"


def test_a_gpu_takes_what_it_multiplies_by_itself(card) -> None:
    card((7, 5), FP16, name="Tesla T4")
    assert amp_dtype(CUDA) == FP16
    card((7, 5), FP16, name="NVIDIA GeForce GTX 1660 SUPER")
    assert (amp_dtype(CUDA), precision_of(CUDA)) == (None, "float32")
    card((6, 1), FP16)
    assert amp_dtype(CUDA) is None


def test_a_processor_takes_bfloat16_where_it_has_instructions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for able, expected in (
        ({}, None), ({"avx512_f": True}, None), ({"avx512_bf16": False}, None),
        ({"avx512_bf16": True}, BF16), ({"amx_bf16": True}, BF16), ({"avx512_fp16": True}, None),
    ):  # fmt: skip
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda a=able: a)
        assert amp_dtype(CPU) == expected
        assert multiplies(CPU, FP16) == ("avx512_fp16" in able)


def test_what_is_asked_for_by_name_is_taken_on_every_device() -> None:
    for device in (CPU, CUDA, MPS):
        assert amp_dtype(device, "float32") is None
        for name, kind in HALF_TYPES.items():
            assert (amp_dtype(device, name), precision_of(device, name)) == (kind, name)
    assert amp_dtype(MPS) is None


def test_the_kernel_of_batch_normalisation_is_known_by_its_backward_node() -> None:
    assert not precision.norm_is_fused(CPU, BF16), "on a CPU it is torch's own"

    class Node:
        def name(self) -> str:
            return "CudnnBatchNormBackward0"

    class Out:
        def __init__(self, features: torch.Tensor, *_: object, **__: object) -> None:
            watched = torch.is_grad_enabled() and features.requires_grad
            self.grad_fn = Node() if watched else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision.F, "batch_norm", Out)
        for asked in (torch.enable_grad, torch.no_grad, torch.inference_mode):
            with asked():
                assert precision.norm_is_fused.__wrapped__(CPU, FP16), asked
