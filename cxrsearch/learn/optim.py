"""Optimisers, learning rate over the steps, and averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .recipe import Recipe, tail_epochs

ONECYCLE_START = 1 / 25
ONECYCLE_END = 1e-4 / 25
"""First and last factor of the one-cycle schedule, as in torch's ``OneCycleLR``."""

FUSED_ON = ("cpu", "cuda", "mps")
"""Devices on which torch's optimisers have a fused kernel."""

SCALED_ON = ("cpu", "cuda")
"""Those whose kernels heed a scaled loss. Adam's for Apple's GPU takes gradients as they are, and
steps by those that overflowed too."""


def has_fused(device: torch.device, scaled: bool) -> bool:
    """Whether ``device`` has fused kernels that will do, where the loss is ``scaled`` or not."""
    return device.type in (SCALED_ON if scaled else FUSED_ON)


def build_optimizer(model: nn.Module, recipe: Recipe, scaled: bool = False) -> Optimizer:
    """The optimiser of a recipe over the parameters that are trained.

    ``adam`` adds the decay to the gradient of every parameter (L2, as Kingma & Ba's users
    knew it); ``adamw`` decouples it (Loshchilov & Hutter, ICLR 2019); ``sgd`` has Nesterov
    momentum. In ``adamw`` and ``sgd`` biases and normalisation layers are not decayed.

    With ``layer_decay`` d, what is s stages away from the head learns at d^s times the rate
    (Howard & Ruder, ACL 2018, section 3.2; Clark et al., ICLR 2020, appendix A).

    Args:
        model: its parameters with ``requires_grad``.
        recipe: genes ``optimizer``, ``lr``, ``weight_decay``, ``momentum``, ``layer_decay``.
        scaled: whether gradients will be those of a scaled loss; see `LossScale`.
    """
    groups = _groups(model, recipe)
    # One pass over the weights instead of one for each term of the rule.
    fused = all(has_fused(p.device, scaled) for group in groups for p in group["params"])
    if recipe.optimizer == "adam":
        return Adam(groups, lr=recipe.lr, fused=fused)
    if recipe.optimizer == "adamw":
        return AdamW(groups, lr=recipe.lr, fused=fused)
    # Without momentum there is nothing to look ahead with, and torch refuses.
    nesterov = recipe.momentum > 0
    return SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov, fused=fused)


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """The trained parameters, by their weight decay and, with ``layer_decay``, by their stage."""
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if recipe.layer_decay == 1:
        return _by_decay(list(trained.values()), recipe)
    from_head: Mapping[str, int] = getattr(model, "from_head", {})
    stages: dict[int, list[Tensor]] = {}
    for name, parameter in trained.items():
        stages.setdefault(from_head.get(name, 0), []).append(parameter)
    return [
        {**group, "lr": recipe.lr * recipe.layer_decay**away}
        for away in sorted(stages)  # the head's first: its rate is the recipe's
        for group in _by_decay(stages[away], recipe)
        if group["params"]
    ]


def _by_decay(parameters: list[Tensor], recipe: Recipe) -> list[dict[str, Any]]:
    if recipe.optimizer == "adam":
        return [{"params": parameters, "weight_decay": recipe.weight_decay}]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def lr_factor(recipe: Recipe, step: int, total: int) -> float:
    """Learning rate at ``step`` as a share of ``lr``; a pure function.

    The first ``warmup`` share of the steps rises to 1: linearly, in ``onecycle`` along a
    half cosine from 1/25. Then ``constant`` stays, ``cosine`` falls to 0 at ``total``
    (Loshchilov & Hutter, ICLR 2017), ``onecycle`` to 4e-6 at the last step (Smith & Topin
    2018; the learning rate only, momentum stays). In the epochs that ``swa`` averages it stays
    where it was at the first of them, or at the end of the warm-up: weights have to go on moving
    for their mean to be another than the last (Izmailov et al., UAI 2018, section 3.2).

    Args:
        recipe: genes ``schedule``, ``warmup``, ``epochs`` and ``swa``.
        step: from 0; steps past the last get the last one's factor.
        total: steps of the whole training.
    """
    step = max(0, min(step, total - 1))
    rise = round(recipe.warmup * total)
    if tail := tail_epochs(recipe):
        step = min(step, max(rise, total - total * tail // recipe.epochs))
    if step < rise:
        if recipe.schedule == "onecycle":
            return _half_cosine(ONECYCLE_START, 1.0, step / rise)
        return (step + 1) / (rise + 1)
    if recipe.schedule == "cosine":
        return _half_cosine(1.0, 0.0, (step - rise) / max(1, total - rise))
    if recipe.schedule == "onecycle":
        return _half_cosine(1.0, ONECYCLE_END, (step - rise) / max(1, total - 1 - rise))
    return 1.0


def _half_cosine(start: float, end: float, way: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * way)) / 2


def build_schedule(optimizer: Optimizer, recipe: Recipe, total_steps: int) -> LambdaLR:
    """A scheduler to be stepped after each optimiser step; see `lr_factor`."""
    return LambdaLR(optimizer, lambda step: lr_factor(recipe, step, total_steps))


def load_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Go on from a ``state_dict``, which may have been on another device.

    Whether kernels are fused is this device's: the state would have it as it was there.
    """
    groups = zip(state["param_groups"], optimizer.param_groups, strict=True)
    here = [{**group, "fused": own["fused"]} for group, own in groups]
    optimizer.load_state_dict({**state, "param_groups": here})
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                # In the layout of a fresh start (channels_last), so that the same
                # vector instructions, and with them the same roundings, follow.
                kept[name] = torch.empty_like(parameter).copy_(value)


class EMA:
    """Exponential moving average of a model's weights (Polyak & Juditsky 1992).

    The decay warms up as min(decay, (1 + u) / (10 + u)) over the updates u, so that the
    random start does not linger. The statistics of batch normalisation are averaged alike, as
    those of the present weights don't fit others (timm's ``ModelEmaV2`` does so too); what fits
    better is measured (`cxrsearch.learn.fitting.norms`). Counts are copied.

    Args:
        model: whose weights to follow; the average starts from a copy of them.
        decay: share of the average that stays at each update, in (0, 1).

    Attributes:
        updates: so many.
        weight_there: `weight` as a number on the device, while updates are recorded: who replays
            them writes it, and counts `updates`.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.weight_there: Tensor | None = None
        self._shadow = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def _stays(self) -> float:
        """Share of the average that stays at the next update."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates))

    @property
    def weight(self) -> float:
        """Share of the present weights in the average after the next update."""
        return 1 - self._stays()

    @property
    def tensors(self) -> list[Tensor]:
        """What updates change."""
        return [*self._shadow.values()]

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's present weights; once after each optimiser step."""
        # Lists of tensors at once: one by one, hundreds of small calls take longer than the sums.
        present = model.state_dict()
        averaged = [name for name, value in present.items() if value.is_floating_point()]
        copied = [name for name in present if name not in set(averaged)]
        shadow, now = [self._shadow[n] for n in averaged], [present[n] for n in averaged]
        if self.weight_there is None:
            torch._foreach_lerp_(shadow, now, self.weight)
            self.updates += 1
        else:  # torch has no lerp of lists by one number on the device
            steps = torch._foreach_sub(now, shadow)
            torch._foreach_mul_(steps, self.weight_there)
            torch._foreach_add_(shadow, steps)
        if copied:
            torch._foreach_copy_([self._shadow[n] for n in copied], [present[n] for n in copied])

    def network(self, model: nn.Module) -> nn.Module:
        """A network like ``model`` over the average's own tensors: it follows every update."""
        network = deepcopy(model)
        network.load_state_dict(self._shadow, assign=True)
        return network.eval().requires_grad_(False)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights and the average, in place. Twice changes nothing."""
        for name, value in model.state_dict().items():
            kept = value.clone()
            value.copy_(self._shadow[name])
            self._shadow[name].copy_(kept)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Inside, ``model`` carries the averaged weights."""
        self.swap(model)
        try:
            yield
        finally:
            self.swap(model)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors by name: the average, and ``updates``. Copies, not views."""
        state = {f"shadow.{name}": value.clone() for name, value in self._shadow.items()}
        return {**state, "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from a `state_dict`.

        Raises:
            KeyError: where it is of another model.
        """
        for name, value in self._shadow.items():
            value.copy_(state[f"shadow.{name}"])
        self.updates = int(state["updates"])


class EqualAverage(EMA):
    """The mean of the weights at all updates (stochastic weight averaging, Izmailov et al. 2018).

    Before the first update it is nothing that is worth anything.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, decay=1.0)

    def _stays(self) -> float:
        return self.updates / (self.updates + 1)
