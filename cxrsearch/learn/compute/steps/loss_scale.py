"""float16 in training: the loss is scaled so that its gradients don't vanish (Micikevicius et al.,
"Mixed Precision Training", ICLR 2018).

The scale falls by half where a gradient overflowed, and that step changes nothing; it doubles after
`GROWTH_STEPS` steps without. Nothing of that waits for the device: whether a gradient overflowed is
a tensor that the fused optimisers read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.optim import Optimizer

FIRST_SCALE = 2.0**16
"""The scale at first; torch's own."""
GROWTH_STEPS = 2000
"""Steps without an overflow after which it doubles; torch's own."""


class LossScale:
    """The scale of a training's loss, on ``device``.

    Args:
        device: where losses are.

    Attributes:
        skipped: how many steps were left out since `forget`, a number on the device.
    """

    def __init__(self, device: torch.device) -> None:
        self._scaler = GradScaler(device.type, init_scale=FIRST_SCALE, growth_interval=GROWTH_STEPS)
        self._one = torch.ones((), device=device)
        self.skipped = torch.zeros((), device=device)
        self.now()  # makes the tensors of the scaler

    def __call__(self, loss: Tensor) -> Tensor:
        """``loss`` times the scale: what the backward pass begins with."""
        return self._scaler.scale(loss)

    def now(self) -> Tensor:
        """The scale, a number on the device."""
        return self(self._one)

    def step(self, optimizer: Optimizer) -> None:
        """A step of ``optimizer`` by the scaled gradients; none where one of them overflowed.

        Args:
            optimizer: a fused one, or one for which torch waits for the device. The state of a
                fused one must be there already (`ready`), since torch's SGD begins with whatever
                lies in memory where its first step is left out.
        """
        before = self.now()
        self._scaler.step(optimizer)
        self._scaler.update()
        self.skipped += self.now() < before

    def forget(self) -> None:
        """Count skipped steps from 0 again."""
        self.skipped.zero_()

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers: the scale, and how many steps it has held."""
        return self._scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        self._scaler.load_state_dict(dict(state))


@torch.no_grad()
def ready(optimizer: Optimizer) -> None:
    """Give a new ``optimizer`` the state with which its first step begins, all of it zero.

    torch makes it in the first step, which may be left out, or recorded.

    Args:
        optimizer: Adam, AdamW or SGD; one that is not fused is left to torch, whose first step of
            it is never left out half.
    """
    for group in optimizer.param_groups:
        if not group["fused"]:
            continue
        if "betas" in group:
            names: tuple[str, ...] = ("exp_avg", "exp_avg_sq")
        else:
            names = ("momentum_buffer",) if group["momentum"] else ()
        for parameter in group["params"] if names else ():
            state = optimizer.state[parameter]
            if not state:
                if "betas" in group:
                    state["step"] = torch.zeros((), device=parameter.device)
                state |= {name: torch.zeros_like(parameter) for name in names}
