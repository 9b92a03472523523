"""The network by torch's compiler, for trainings so long that they repay the minutes it takes.

On a GPU a DenseNet at a large batch waits for memory: its normalisations, activations and
concatenations read and write each feature many times. The compiler fuses them. What it made is
kept on disk, by torch, for the trials and processes after.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from cxrsearch.data.pixels.cache import default_cache_root

from .agreement import TrainingStep, difference, undone

PIXELS = 5_000_000 * 224 * 224
"""Pixels in all (images of all epochs) from which on minutes of compiling are a small share.

An H200 trains DenseNet121 on some 2,500 images of 224 x 224 a second: half an hour for these."""


CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch keeps what it compiled; here a folder beside the decoded images, which outlives a
restart of the machine and is the same for all workers."""

REPEATS = 3
"""Steps that are timed, of each kind."""

ForwardPass = Callable[[Tensor], Any]
T = TypeVar("T")


def _seconds(call: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def repays(device: torch.device, model: nn.Module, pixels: float) -> bool:
    """Whether trainings of ``model`` on ``pixels`` in all are ones that compiling speeds up."""
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    return device.type == "cuda" and norms and pixels >= PIXELS


class Compiled:
    """A step by the compiled network, or the eager one where that fails, differs or isn't slower.

    Args:
        step: ``(network, images, targets) -> loss``; sets the gradients of ``model``.
        model: what is trained.
        compiler: ``torch.compile``; another one in tests.
        seconds: of a call; another clock in tests.

    Attributes:
        problem: why the eager network is used, where it is.
    """

    def __init__(
        self,
        step: Callable[[ForwardPass, Tensor, Tensor], Tensor],
        model: nn.Module,
        compiler: Callable[[nn.Module], ForwardPass] = torch.compile,
        seconds: Callable[[Callable[[], object]], float] = _seconds,
    ) -> None:
        os.environ.setdefault(CACHE, str(default_cache_root() / "compiled"))
        self._model, self._seconds = model, seconds
        self._buffers = list(model.buffers())
        compiled = compiler(model)

        def fast(images: Tensor) -> Any:
            # Batches differ by an image: one program for all of their sizes.
            torch._dynamo.maybe_mark_dynamic(images, 0)
            return compiled(images)

        self._eager: TrainingStep = lambda images, targets: step(model, images, targets)
        self._fast: TrainingStep = lambda images, targets: step(fast, images, targets)
        self._chosen: TrainingStep | None = None
        self.problem: str | None = None

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """One step on (b, 1, H, W) images and (b, ...) targets."""
        if self._chosen is None:
            self.problem = self._problem(images, targets)
            self._chosen = self._fast if self.problem is None else self._eager
        return self._chosen(images, targets)

    def _problem(self, images: Tensor, targets: Tensor) -> str | None:
        took: dict[TrainingStep, float] = {}

        def timed(step: TrainingStep) -> None:
            step(images, targets)
            took[step] = self._seconds(lambda: [step(images, targets) for _ in range(REPEATS)])

        def afterwards(function: Callable[[], T]) -> T:
            return undone(self._buffers, images.device, function)

        problem = difference(
            lambda: afterwards(lambda: timed(self._fast)),
            lambda: afterwards(lambda: self._outline(self._eager(images, targets))),
            lambda: afterwards(lambda: self._outline(self._fast(images, targets))),
        )
        if problem is None:
            afterwards(lambda: timed(self._eager))
            if took[self._fast] >= took[self._eager]:
                return "the compiled network is no faster"
        return problem

    def _outline(self, loss: Tensor) -> Tensor:
        """(2,) loss and length of all gradients."""
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        return torch.stack(
            [loss.float(), torch.stack([g.float().norm() for g in gradients]).norm()]
        )
