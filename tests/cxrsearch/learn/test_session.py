"""What a training that goes on keeps of how it began."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.compute.steps import loss_scale
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.keep import CHECKPOINT
from cxrsearch.learn.train import train

pytestmark = pytest.mark.usefixtures("tiny_model")

NATIVE = {"avx512_bf16": True}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    """Sets what the processor can do."""

    def able(capabilities: dict[str, bool]) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)

    able({})
    return able


def computing(**options: Any) -> ComputeOptions:
    return ComputeOptions(**{"device": "cpu", "threads": 1, **options})


def begun(study, recipe, folder: Path, **options: Any) -> None:
    """One epoch, then closed."""
    running = train(recipe, study.data, seed=3, folder=folder, compute=computing(**options))
    next(running)
    running.close()


def ended(study, recipe, folder: Path, **options: Any):
    """The result of going on to the end."""
    compute = computing(**options)
    running = train(recipe, study.data, seed=3, folder=folder, compute=compute, resamples=20)
    while True:
        try:
            next(running)
        except StopIteration as stop:
            return stop.value


@pytest.mark.parametrize("first", ["float32", "bf16"])
def test_a_training_goes_on_in_the_precision_that_it_began_in(
    study, recipe, tmp_path, machine, first
) -> None:
    machine(NATIVE if first == "bf16" else {})
    whole = ended(study, recipe, tmp_path / "whole")
    assert whole.attrs["precision"] == first
    begun(study, recipe, tmp_path / "a")
    machine({} if first == "bf16" else NATIVE)
    found = ended(study, recipe, tmp_path / "a")
    assert found.attrs["precision"] == first
    assert np.array_equal(found.scores, whole.scores)
    slow = [note for note in found.attrs["notes"] if "emulates" in note]
    assert len(slow) == (first == "bf16")


def test_in_float16_a_training_cut_off_equals_one_that_was_not(
    study, recipe, tmp_path, machine, monkeypatch
) -> None:
    # So large a scale that gradients overflow: steps are skipped and the scale falls.
    monkeypatch.setattr(loss_scale, "FIRST_SCALE", 2.0**40)
    whole = ended(study, recipe, tmp_path / "whole", precision="fp16")
    assert whole.attrs["precision"] == "fp16"
    assert any("were left out, as gradients overflowed" in n for n in whole.attrs["notes"])
    begun(study, recipe, tmp_path / "a", precision="fp16")
    scale = checkpoint.load(tmp_path / "a" / CHECKPOINT)["learner"]["scale"]["scale"]
    assert 1 < scale < 2.0**40
    found = ended(study, recipe, tmp_path / "a")
    assert np.array_equal(found.scores, whole.scores)
    assert any("goes on in fp16, as it began" in note for note in found.attrs["notes"])


def test_another_precision_that_is_asked_for_begins_anew(study, recipe, tmp_path) -> None:
    whole = ended(study, recipe, tmp_path / "whole", precision="float32")
    begun(study, recipe, tmp_path / "a", precision="bf16")
    found = ended(study, recipe, tmp_path / "a", precision="float32")
    assert np.array_equal(found.scores, whole.scores)
    assert any("was trained in bf16, and float32 is asked for" in n for n in found.attrs["notes"])


def test_as_many_threads_are_kept_where_there_are_as_many(study, recipe, tmp_path) -> None:
    begun(study, recipe, tmp_path / "a", threads=1)
    more = ended(study, recipe, tmp_path / "a", threads=2)
    assert more.attrs["threads"] == 1
    assert any("as many threads as it began with (1, not 2)" in n for n in more.attrs["notes"])
    begun(study, recipe, tmp_path / "b", threads=2)
    fewer = ended(study, recipe, tmp_path / "b", threads=1)
    assert fewer.attrs["threads"] == 1
    assert any("with 1 threads what began with 2" in note for note in fewer.attrs["notes"])


def test_another_kind_of_device_is_noted(study, recipe, tmp_path) -> None:
    begun(study, recipe, tmp_path / "a")
    path = tmp_path / "a" / CHECKPOINT
    state = checkpoint.load(path)
    state["began"]["device"] = "cuda"
    checkpoint.save(path, state)
    found = ended(study, recipe, tmp_path / "a")
    assert any("on cpu what began on cuda" in note for note in found.attrs["notes"])


def test_a_checkpoint_of_an_earlier_version_goes_on(study, recipe, tmp_path) -> None:
    whole = ended(study, recipe, tmp_path / "whole")
    begun(study, recipe, tmp_path / "a")
    path = tmp_path / "a" / CHECKPOINT
    state = checkpoint.load(path)
    del state["began"]
    checkpoint.save(path, state)
    found = ended(study, recipe, tmp_path / "a")
    assert np.array_equal(found.scores, whole.scores)
    assert any("does not say in which precision" in note for note in found.attrs["notes"])


def test_a_training_says_how_many_images_went_through_at_once(study, recipe, tmp_path) -> None:
    recipe = replace(recipe, batch_size=6)
    assert ended(study, recipe, tmp_path / "a").attrs["micro_batch"] == 6
    assert ended(study, recipe, tmp_path / "b", micro=3).attrs["micro_batch"] == 3
