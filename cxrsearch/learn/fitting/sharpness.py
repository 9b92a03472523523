"""Steps away from sharp minima (Foret et al., "Sharpness-Aware Minimization", ICLR 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cxrsearch.learn.compute.steps.agreement import TrainingStep


class SharpnessAware:
    """Gradients where the loss is the highest nearby, in the place of those where the weights are.

    With gradient g of the whole batch the weights go to w + rho g / |g| (eq. 2), the gradient is
    taken there, and the weights go back (algorithm 1). So a step costs two. Running statistics of
    batch normalisation are the first pass's alone: those of the moved weights fit nothing that is
    kept. Dropout draws anew for the second pass.

    Args:
        model: whose gradients ``step`` sets.
        step: ``(images, targets) -> loss``; sets them from none at all, by micro-batches.
        rho: length of the way, above 0.
    """

    def __init__(self, model: nn.Module, step: TrainingStep, rho: float) -> None:
        self._step, self._rho = step, rho
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._buffers = list(model.buffers())

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Set the gradients for (b, 1, H, W) images; the mean loss an image before the move."""
        loss = self._step(images, targets)
        moved: list[Tensor] = [p for p in self._trained if p.grad is not None]
        with torch.no_grad():
            before = [p.clone() for p in moved]
            statistics = [buffer.clone() for buffer in self._buffers]
            gradients = [p.grad for p in moved if p.grad is not None]
            length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            ways = torch._foreach_mul(gradients, self._rho / (length + 1e-12))
            torch._foreach_add_(moved, ways)
        self._step(images, targets)
        with torch.no_grad():
            torch._foreach_copy_(moved, before)  # to the last bit, whatever the way was
            if statistics:
                torch._foreach_copy_(self._buffers, statistics)
        return loss
