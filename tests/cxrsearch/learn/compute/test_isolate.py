from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch

from cxrsearch.learn.compute import isolate
from cxrsearch.learn.compute.isolate import forked, isolated
from cxrsearch.learn.compute.options import ComputeOptions


def test_random_numbers_drawn_inside_are_not_missed_after() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with forked(torch.device("cpu")):
        torch.rand(7)
    assert torch.equal(torch.rand(3), expected)


def test_a_block_has_its_own_seed_and_threads() -> None:
    threads = torch.get_num_threads()
    found = []
    for _ in range(2):
        with isolated(ComputeOptions("cpu", threads=1), seed=9):
            assert torch.get_num_threads() == 1
            found.append(torch.rand(2))
    assert torch.equal(*found)
    assert torch.get_num_threads() == threads


def test_the_state_of_apples_gpu_is_put_back_also_after_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    states = [torch.tensor([1])]
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: states[-1])
    monkeypatch.setattr(torch.mps, "set_rng_state", states.append)

    def drawing() -> None:
        with forked(torch.device("mps")):
            states.append(torch.tensor([2]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drawing()
    assert [int(state) for state in states] == [1, 2, 1]


def test_the_device_is_the_current_one_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    class Current:
        def __init__(self, device: torch.device) -> None:
            self.device = device

        def __enter__(self) -> None:
            told.append(self.device)

        def __exit__(self, *_: object) -> None:
            told.append("left")

    monkeypatch.setattr(torch.cuda, "device", Current)
    monkeypatch.setattr(isolate, "pick_device", torch.device)
    monkeypatch.setattr(isolate, "forked", lambda device: nullcontext())
    monkeypatch.setattr(torch, "manual_seed", told.append)
    with isolated(ComputeOptions("cuda:1"), seed=4):
        told.append("work")
    assert told == [torch.device("cuda:1"), 4, "work", "left"]
