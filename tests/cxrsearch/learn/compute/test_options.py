"""How trainings and predictions compute: what users ask for, and what is handed down."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from cxrsearch.learn.compute.isolate import isolated
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.study.settings import Settings


def test_what_a_user_asks_for_is_taken_over_and_what_the_machine_says_comes_first() -> None:
    settings = Settings(trials=1, device="cpu", precision="bf16", weights_dir="somewhere")
    found = ComputeOptions.asked(settings, threads=3)
    assert found == ComputeOptions("cpu", 3, "bf16", weights_dir=Path("somewhere"))
    assert ComputeOptions.asked(settings, device="auto").device == "auto"


def test_settings_without_a_field_leave_it_as_it_is() -> None:
    @dataclass
    class Few:
        device: str = "cpu"

    assert ComputeOptions.asked(Few()) == ComputeOptions("cpu")


def test_threads_hold_inside_and_no_longer() -> None:
    before = torch.get_num_threads()
    with isolated(ComputeOptions("cpu", before + 1), seed=0):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
