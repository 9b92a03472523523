from __future__ import annotations

import pytest
import torch
from torch import nn

from cxrsearch.learn.compute import device as devices
from cxrsearch.learn.compute import micro_batch
from cxrsearch.learn.compute.memory import recomputes
from cxrsearch.learn.compute.micro_batch import choose_micro
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe

CPU = torch.device("cpu")
GiB = 1 << 30


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch):
    """Sets what a device has, and what of it is free; nobody waits for more."""
    monkeypatch.setattr(micro_batch, "WAIT", 0.0)

    def given(total: float, free: float | None = None) -> None:
        monkeypatch.setattr(devices, "planned_memory", lambda _: int(total * GiB))
        monkeypatch.setattr(
            devices, "free_memory", lambda _: int((total if free is None else free) * GiB)
        )

    return given


def chosen(recipe: Recipe, share: float, given: int | None = None, precision: str = "bf16"):
    model = build_model(recipe, n_classes=14)
    compute = ComputeOptions("cpu", None, precision, share, micro=given)
    found, notes = choose_micro(model, recipe, compute, 2)
    return found, notes, any(recomputes(module) for module in model.modules())


@pytest.mark.parametrize(
    ("size", "batch", "trials"),
    [(224, 64, 8), (320, 64, 4), ("300x400", 32, 8), (224, 256, 2), ("600x800", 16, 4)],
)
def test_trials_that_share_a_large_gpu_do_not_compute_again(
    memory, size: int | str, batch: int, trials: int
) -> None:
    memory(74)
    recipe = Recipe(input_size=size, batch_size=batch)
    assert chosen(recipe, 0.8 / trials) == (batch, (), False)
    assert chosen(recipe, 0.8 / trials, precision="float32")[2], "twice as much does not fit"


def test_what_neighbours_have_taken_changes_nothing(memory) -> None:
    recipe = Recipe(input_size=224, batch_size=64)
    answers = []
    for free in (5, 3, 1.1):  # each more than this trial's share
        memory(5, free)
        answers.append(chosen(recipe, 0.2))
    found, notes, again = answers[0]
    assert answers == [answers[0]] * 3
    assert again
    assert f"memory allows {found} of 64 images at once" in notes[-1]


def test_a_share_that_is_not_free_is_waited_for(memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory(10, 0)
    recipe, found = Recipe(input_size=64, batch_size=64), [0, 0, 10 * GiB]
    monkeypatch.setattr(micro_batch, "WAIT", 30.0)
    monkeypatch.setattr(micro_batch.time, "sleep", lambda _: None)
    monkeypatch.setattr(devices, "free_memory", lambda _: found.pop(0))
    assert chosen(recipe, 0.8) == (64, (), False)
    assert found == []


def test_less_than_the_share_is_said_with_both_figures(memory) -> None:
    memory(10, 0.2)
    found, notes, again = chosen(Recipe(input_size=64, batch_size=64), 0.8)
    assert again
    assert found < 64
    assert notes[0].startswith("0.2 GiB of memory are free on cpu, of the 8.0 GiB")
    assert f"memory allows {found} of 64 images at once" in notes[-1]


def test_a_smaller_device_says_so_to_a_training_that_goes_on(memory) -> None:
    recipe = Recipe(input_size=64, batch_size=64)
    memory(10)
    assert chosen(recipe, 0.8, given=24) == (24, (), False)
    memory(0.17)
    found, notes, _ = chosen(recipe, 0.8, given=24)
    assert found < 24
    assert f"memory allows {found} of the 24 images at once that went through" in notes[-1]


def test_a_network_that_cannot_compute_again_goes_in_parts(memory) -> None:
    memory(0.8)
    recipe = Recipe(model="vgg16", vgg_head="pooled", input_size=64, batch_size=64)
    model: nn.Module = build_model(recipe, n_classes=14)
    found, notes = choose_micro(model, recipe, ComputeOptions("cpu", None, "float32", 0.5), 1)
    assert 1 < found < 64
    assert notes == (), "without batch normalisation the parts add up to the same"
