"""The commands' pieces on a few drawn X-rays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from benchmarks.measure import Spread
from benchmarks.training import (
    against,
    equal,
    fetch,
    gpu,
    gpu_search,
    reference,
    shares,
    together,
    ways,
)  # fmt: skip
from benchmarks.training import plain as plain_script
from benchmarks.training.__main__ import main
from benchmarks.training.gpu import PlainStep
from benchmarks.training.loop import Ceiling, Loop, Share
from benchmarks.training.material import AUGMENTATION, Setup, load, recipe
from benchmarks.training.report import Report
from cxrsearch.learn.augment.batch import Augment
from cxrsearch.learn.augment.draws import sample_parameters
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.recipe import Recipe
from search.space import SearchSpace


def test_parts_share_no_patient_and_have_about_the_images_asked_for(where: Setup) -> None:
    material = load(where, 30)
    owner = dict(zip(material.dataset.names, material.dataset.patients, strict=True))
    train, val = ({owner[n] for n in getattr(material.splits, p)} for p in ("train", "val"))
    assert not train & val
    assert (len(material.splits.train), len(material.splits.val)) == (24, 6)
    assert not material.splits.test
    assert len(load(where).splits.train) + len(load(where).splits.val) == 60


@pytest.mark.parametrize("images", [4, 5, 13])
def test_few_images_can_be_judged(where: Setup, images: int) -> None:
    data = load(where, images).data()
    assert len(data.train) + len(data.val) == images
    labels = data.labels[data.val_seed]
    assert ((labels.min(axis=0) == 0) & (labels.max(axis=0) == 1)).any()


def test_the_plain_script_trains_on_the_same_images(where: Setup, tmp_path: Path) -> None:
    material = load(where, 20)
    data = material.data()
    given = material.labelled("train")
    assert [Path(name).name for name in given] == data.names[data.train].tolist()
    assert list(given.values()) == data.labels[data.train].tolist()
    trained = plain_script.run(
        material.folder, given, material.labelled("val"), tmp_path / "best.pt", size=(32, 32),
        epochs=1, batch_size=8, workers=0, threads=1,
    )  # fmt: skip
    assert np.isfinite(trained.losses).all()
    assert 0 <= trained.aurocs[0] <= 1
    assert (tmp_path / "best.pt").exists()


def test_recipe_and_plain_script_augment_alike() -> None:
    text = str(plain_script.training_transform((32, 32)))
    assert "degrees=[-10.0, 10.0], translate=(0.05, 0.05), scale=(0.96, 1.04)" in text
    assert AUGMENTATION["rotation"] == 10
    assert (AUGMENTATION["width_shift"], AUGMENTATION["zoom"]) == (0.05, 0.04)


@pytest.mark.parametrize(
    ("size", "crop"), [(64, 1024), ("300x400", "768x1024"), ("600x800", "600x800")]
)
def test_windows_have_the_inputs_aspect(size: int | str, crop: int | str) -> None:
    assert recipe(size=size).crop == crop


@pytest.mark.usefixtures("small_network")
def test_the_loop_is_timed_by_whole_epochs_beside_the_model(where: Setup) -> None:
    material, made = load(where, 30), recipe(size=32, batch_size=16)
    with Loop(made, material, where, repeat=2) as loop:
        assert loop.images == 2 * len(material.splits.train)
        share = Share(loop, Ceiling(made, material, where), 2)
    assert share.share.rounds == 2
    assert 0.05 < share.share.median < 20
    assert not list(where.out.iterdir())  # scratch folders are gone


def test_a_ceilings_seconds_are_scaled_to_the_images(
    where: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    ceiling = Ceiling(recipe(size=32, batch_size=16), load(where, 30), where)
    counted: list[int] = []
    monkeypatch.setattr(ceiling, "step", lambda: counted.append(1))
    monkeypatch.setattr("benchmarks.training.loop.timed", lambda work, device: work() and 4.0)
    assert ceiling.train_seconds(24) == 4.0 * 24 / 32
    assert len(counted) == 2


def test_the_plain_step_is_of_three_channels(where: Setup) -> None:
    step = PlainStep(recipe(size=32, batch_size=4), load(where, 30), where)
    step.step()
    assert step.batch.shape == (4, 3, 32, 32)
    assert step.amp is None


def _one_step(**genes: Any) -> Recipe:
    """An epoch of one step on all images."""
    made = recipe(size=32, epochs=1, batch_size=64, **genes)
    none: dict[str, Any] = dict.fromkeys(AUGMENTATION, 0.0) | {"horizontal_flip": False}
    return replace(made, **none)


@pytest.mark.parametrize("genes", [{}, {"model": "vgg16"}, {"optimizer": "sgd", "ema": 0.9}])
def test_the_reference_equals_the_learner_for_a_step(where: Setup, genes: dict[str, Any]) -> None:
    made, data = _one_step(**genes), load(where, 20).data()
    learner = Learner(made, data, seed=3, compute=ComputeOptions("cpu", precision="float32"))
    with torch.random.fork_rng():
        loss = learner.epoch(1)
        curves = reference.train(made, data, 3, torch.device("cpu"))
    assert curves.losses == pytest.approx([loss], rel=1e-4)


def test_the_reference_augments_as_is_defined() -> None:
    made = recipe(size=32, brightness=0.2, contrast=0.2, vertical_flip=True)
    pixels = torch.randint(0, 256, (6, 32, 40), dtype=torch.uint8, generator=_seeded(1))
    drawn = sample_parameters(made, 6, _seeded(2))
    found = reference.augment(pixels, made, _seeded(2))
    assert torch.allclose(found, Augment(made).apply(pixels, drawn), atol=2e-4)
    assert not torch.allclose(found[:, 0], pixels / 255, atol=0.05)


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_curves_of_both_loops_are_close(where: Setup) -> None:
    made = equal.path("densenet121, sgd, averaged weights", 32, 1)
    fast, slow = equal.both(where, made, load(where, 12).data(), seed=0)
    assert fast.losses == pytest.approx(slow.losses, rel=0.05)


def test_every_path_is_a_recipe() -> None:
    made = [equal.path(name, 64, 3) for name in equal.PATHS]
    assert {m.model for m in made} == {"densenet121", "vgg16"}
    assert {m.optimizer for m in made} == {"adam", "adamw", "sgd"}
    assert all(m.dropout == 0 and m.epochs == 3 for m in made)


def test_trials_at_once_add_up(where: Setup) -> None:
    class Line:
        def send(self, asked: object) -> None:
            self.asked = asked

        def poll(self, seconds: float) -> bool:
            return True

        def recv(self) -> tuple[int, float]:
            return 100, 4.0

    lines = [Line(), Line()]
    assert together._window(lines, 1, 5.0) == 50.0  # type: ignore[arg-type]
    assert lines[1].asked == (5.0, 1)
    assert together.share_of_threads(replace(where, threads=8), 3) == 2


@pytest.mark.usefixtures("small_network")
def test_a_trial_of_each_contender_is_whole(where: Setup) -> None:
    material, made = load(where, 12), recipe(size=32, epochs=1, batch_size=8)
    assert against.ours(where, material, made) > 0
    assert against._plain(where, material, made, against.tuned.Knobs(0, 1, True)) > 0


def test_images_of_a_round_shrink_with_their_size(where: Setup) -> None:
    many, few = (shares.images_for(where, recipe(size=s)) for s in ("32", "600x800"))
    assert many > few >= 5
    assert shares.frame_of("224") is None
    assert (shares.frame_of("300x400"), shares.frame_of("600x800")) == (512, 1024)


def test_fetching_is_compared(where: Setup) -> None:
    report = fetch.fetch(where, ["32"], 8)
    assert report.targets[0].value > 1


def test_the_gpus_space_is_valid_also_when_tiny(tmp_path: Path) -> None:
    for tiny in (False, True):
        found = SearchSpace.load(gpu_search.space(tmp_path, 3, tiny))
        assert found.fixed["epochs"] == 3
        assert found.fixed["input_size"] == (32 if tiny else 224)


def _invoke(where: Setup, *words: str) -> str:
    shared = ["--data", str(where.data), "--cache", str(where.cache), "--out", str(where.out)]
    result = CliRunner().invoke(main, [*words, *shared, "--threads", "1", "--rounds", "2"])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.usefixtures("small_network")
def test_a_command_prints_and_writes(where: Setup) -> None:
    output = _invoke(where, "model", "--fast", "--models", "densenet121", "--images", "30",
                     "--device", "cpu")  # fmt: skip
    assert "share of model-only" in output
    assert (where.out / "model-fast.json").exists()


def test_without_a_gpu_its_command_says_what_to_do(where: Setup) -> None:
    result = CliRunner().invoke(main, ["gpu", "--device", "cpu", "--out", str(where.out)])
    assert result.exit_code == 1
    assert "--device cpu --tiny" in result.output


@pytest.mark.usefixtures("small_network")
def test_the_gpus_steps_run_on_a_cpu(where: Setup) -> None:
    output = _invoke(where, "gpu", "--device", "cpu", "--tiny", "--steps", "crops,norms,memory")
    assert "Large windows" in output
    assert "Share of batch normalisation" in output
    assert "most that was allocated" in output
    assert (where.out / "gpu-fast.json").exists()


def test_a_step_of_the_gpus_that_fails_is_told_and_ends_no_other(
    where: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(report: Report, *_: object) -> None:
        report.table("Half of it", "what").add("one")
        raise RuntimeError("CUDA error: [an] error")

    def works(report: Report, *_: object) -> None:
        report.table("The other", "what").add("two")

    monkeypatch.setattr(gpu, "STEPS", {"norms": fails, "memory": works})
    words = ["gpu", "--device", "cpu", "--tiny", "--steps", "norms,memory", "--out", str(where.out)]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "`norms` failed" in result.output
    assert "CUDA error: [an] error" in result.output
    told = json.loads((where.out / "gpu-fast.json").read_text())
    assert [table["title"] for table in told["tables"]] == ["Half of it", "The other"]
    assert len(told["failed"]) == 1


@pytest.mark.usefixtures("small_network")
def test_ways_are_compared_by_precision_and_nothing_waits(
    where: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "WAYS", ("eager", "graph"))

    class Small(ways.Scaled):
        """In the place of timm's network, which takes long to load."""

    monkeypatch.setattr(ways, "TimmStep", Small)
    report = Report("ways", replace(where, rounds=2, fast=True))
    ways.ways(report, {"32": 4}, 16)
    ways.silent(report, "32", 4, 8)
    rows, waits = (table.rows for table in report.tables)
    assert [row[2:4] for row in rows] == [
        ("bf16", "eager"), ("bf16", "graph"), ("fp16", "eager"), ("fp16", "graph"),
    ]  # fmt: skip
    assert all(isinstance(cell, Spread) and cell.median > 0 for row in rows for cell in row[4:])
    assert len(waits) == 8
    assert {row[-1] for row in waits} == {"none"}
    assert not [note for note in report.notes if "one by one" in note]


def test_without_timm_its_column_is_empty(where: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise ImportError("no timm")

    monkeypatch.setattr(ways, "TimmStep", missing)
    monkeypatch.setattr(ways, "WAYS", ("eager",))
    monkeypatch.setattr(ways, "HALF_TYPES", {"bf16": torch.bfloat16})
    report = Report("ways", replace(where, rounds=1, fast=True))
    ways.ways(report, {"32": 4}, 16)
    assert report.tables[0].rows[0][6] is None
    assert any("timm is not installed" in note for note in report.notes)


def test_what_finds_no_memory_is_a_row_that_says_so(
    where: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(ways, "learner_of", full)
    monkeypatch.setattr(ways, "HALF_TYPES", {"bf16": torch.bfloat16})
    report = Report("ways", replace(where, rounds=1, fast=True))
    ways.ways(report, {"32": 4}, 16)
    assert {row[4] for row in report.tables[0].rows} == {"out of memory"}
    assert not report.targets


@pytest.mark.parametrize("name", sorted(main.commands))
def test_every_command_has_help_and_a_fast_mode(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "--fast" in result.output
    assert main.commands[name].help


def test_a_wait_for_the_device_is_told_with_its_place() -> None:
    with ways._errors_of_waiting(torch.device("cpu")) as found:
        raise RuntimeError("called a synchronizing CUDA operation")
    assert len(found) == 1
    assert found[0].startswith(f"{Path(__file__).name}:")
    with pytest.raises(RuntimeError, match="another"), ways._errors_of_waiting(torch.device("cpu")):
        raise RuntimeError("another error")
