from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.learn import data as training_data
from cxrsearch.learn.compute.staging import Staging
from cxrsearch.learn.data import Pixels, even_slices
from cxrsearch.learn.recipe import Recipe

CPU = torch.device("cpu")


class Event:
    """Notes what is waited for."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def synchronize(self) -> None:
        self.told.append("wait")

    def record(self) -> None:
        self.told.append("copy")


def test_batches_go_through_two_buffers_in_turn_each_waited_for_before_it_is_written() -> None:
    events, buffers = list[Event](), list[torch.Tensor]()

    def event() -> Event:
        events.append(Event())
        return events[-1]

    def buffer(shape: object) -> torch.Tensor:
        buffers.append(torch.zeros((3, 2, 2), dtype=torch.uint8))
        return buffers[-1]

    staging, written = Staging(CPU, (3, 2, 2), buffer, event), list[int]()

    def send(count: int, value: int) -> torch.Tensor:
        def write(part: torch.Tensor) -> None:
            (at,) = [i for i, each in enumerate(buffers) if each.data_ptr() == part.data_ptr()]
            assert events[at].told[-1] == "wait", "its copy before may not be through"
            written.append(at)
            part.fill_(value)

        return staging.send(count, write).clone()

    found = [send(count, value) for count, value in ((3, 1), (2, 2), (3, 3), (1, 4))]
    assert [(len(batch), int(batch.max())) for batch in found] == [(3, 1), (2, 2), (3, 3), (1, 4)]
    assert (written[0], written[1]) == (written[2], written[3])
    assert written[0] != written[1]
    assert all(each.told == ["wait", "copy"] * 2 for each in events)
    assert len(buffers) == 2


def test_more_than_a_buffer_holds_is_refused() -> None:
    staging = Staging(CPU, (3, 2, 2), lambda shape: torch.zeros(*shape, dtype=torch.uint8), Event)
    with pytest.raises(ValueError, match="4 images for buffers of 3"):
        staging.send(4, lambda part: None)


@pytest.mark.parametrize("stored", [True, False])
def test_larger_batches_of_the_same_pixels_get_larger_buffers(
    make_study: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, stored: bool
) -> None:
    """Statistics of batch normalisation are measured on larger batches than are trained on."""
    data, made = make_study().data, list[tuple[int, ...]]()

    def staging(device: torch.device, shape: tuple[int, ...]) -> Staging:
        made.append(shape)
        return Staging(CPU, shape, lambda size: torch.zeros(*size, dtype=torch.uint8), Event)

    monkeypatch.setattr(training_data, "Staging", staging)
    monkeypatch.setattr(Pixels, "_moved", lambda self, index: index)
    pixels = Pixels(data, data.train, Recipe(input_size=32), CPU)
    positions = np.arange(len(pixels))
    ((wanted, _),) = pixels.batches(positions, [slice(0, len(pixels))])
    pixels.device = torch.device("cuda")  # from here on, for where batches go
    if not stored:
        pixels.store = None
    for size in (4, 8, 4):
        batches = [b.clone() for b, _ in pixels.batches(positions, even_slices(len(pixels), size))]
        assert torch.equal(torch.cat(batches), wanted)
    assert made == [(4, 32, 32), (8, 32, 32)]
