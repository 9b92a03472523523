"""What a whole training step changes on the device, and the numbers that the host gives it.

Where a step is recorded as a CUDA graph, whatever differs from one step to the next has to lie on
the device: learning rates, and how much of the average stays. And recording needs steps that are
undone afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from cxrsearch.learn.augment.draws import streams
from cxrsearch.learn.optim import EMA

from .agreement import undone
from .loss_scale import LossScale, ready

T = TypeVar("T")


class StepState:
    """Of a training whose step changes these and nothing else.

    Args:
        model: what is trained, on its device.
        optimizer: a fused one; it gets its state here, so that no step has to make it.
        averages: that each step updates, in place.
        scale: of the loss, in float16.
        generator: that the augmentation draws from, also by streams beside it.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        averages: Sequence[EMA],
        scale: LossScale | None,
        generator: torch.Generator,
    ) -> None:
        ready(optimizer)
        self._model, self._optimizer, self._averages = model, optimizer, averages
        self._scale, self._generator = scale, generator
        self.device = next(model.parameters()).device
        self._rates = [torch.zeros((), device=self.device) for _ in optimizer.param_groups]
        self._weights = [torch.zeros((), device=self.device) for _ in averages]

    def tensors(self) -> dict[str, list[Tensor]]:
        """All tensors that a step changes, by what they are of."""
        states = self._optimizer.state.values()
        return {
            "weights": [p for p in self._model.parameters() if p.requires_grad],
            "buffers": [*self._model.buffers()],
            "optimiser": [v for s in states for v in s.values() if isinstance(v, Tensor)],
            "averages": [value for average in self._averages for value in average.tensors],
        }

    def generators(self) -> list[torch.Generator]:
        """All that a step draws from, beside torch's own; some are made by the first step."""
        return streams(self._generator)

    def give_numbers(self) -> None:
        """Write the numbers of the next step to the device; nothing waits for that."""
        for rate, group in zip(self._rates, self._optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        for weight, average in zip(self._weights, self._averages, strict=True):
            weight.fill_(average.weight)

    def count(self) -> None:
        """Count on the host what a replayed step did on the device."""
        for average in self._averages:
            average.updates += 1

    @contextmanager
    def recordable(self) -> Iterator[None]:
        """Inside, steps take their numbers from the device, where `give_numbers` wrote them.

        Gradients are gone afterwards: those of a recording are its own.
        """
        groups = self._optimizer.param_groups
        before = [{k: g[k] for k in ("lr", "capturable") if k in g} for g in groups]
        for group, rate, kept in zip(groups, self._rates, before, strict=True):
            for name in kept:
                group[name] = rate if name == "lr" else True
        for average, weight in zip(self._averages, self._weights, strict=True):
            average.weight_there = weight
        try:
            yield
        finally:
            for group, kept in zip(groups, before, strict=True):
                for name, value in kept.items():
                    group[name] = value
            for average in self._averages:
                average.weight_there = None
            for parameter in self._model.parameters():
                parameter.grad = None

    def undone(self, function: Callable[[], T]) -> T:
        """What ``function`` finds; afterwards no step was taken and no random number drawn."""
        updates = [average.updates for average in self._averages]
        scale = (
            None if self._scale is None else (self._scale.skipped.clone(), self._scale.state_dict())
        )
        drawn = {each: each.get_state() for each in self.generators()}
        try:
            return undone(
                [t for some in self.tensors().values() for t in some], self.device, function
            )
        finally:
            for each in self.generators():
                if each in drawn:
                    each.set_state(drawn[each])
                else:
                    each.manual_seed(each.initial_seed())  # made within: it is to begin anew
            for average, count in zip(self._averages, updates, strict=True):
                average.updates = count
            if self._scale is not None and scale is not None:
                self._scale.skipped.copy_(scale[0])
                self._scale.load_state_dict(scale[1])

    def outline(self, steps: Callable[[], Tensor]) -> Tensor:
        """The losses that ``steps`` returns and how far it moves each kind of tensor; undone.

        Returns:
            (losses + 4,) float32.
        """

        def moves() -> Tensor:
            before = {k: [t.detach().clone() for t in some] for k, some in self.tensors().items()}
            losses = steps()
            after = self.tensors()
            far = [self._distance(after[kind], values) for kind, values in before.items()]
            return torch.cat([losses.float(), torch.stack(far)])

        return self.undone(moves)

    @torch.no_grad()
    def _distance(self, after: Sequence[Tensor], before: Sequence[Tensor]) -> Tensor:
        """The length of the difference of two lists of tensors; 0 where there are none."""
        each = [(a.float() - b.float()).norm() for a, b in zip(after, before, strict=True)]
        return torch.stack(each).norm() if each else torch.zeros((), device=self.device)
