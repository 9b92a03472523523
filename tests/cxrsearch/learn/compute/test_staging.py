from __future__ import annotations

import torch

from cxrsearch.learn.compute.staging import Staging

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
