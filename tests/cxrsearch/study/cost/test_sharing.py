"""How many trials run side by side: which are tried, which is taken, and what is kept of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.recipe import Recipe, gene_limits, size_of
from cxrsearch.study import prepare
from cxrsearch.study.cost import sharing, stopwatches
from cxrsearch.study.cost.recipe_kinds import (
    RecipeKind,
    kind_of,
    sample_recipes,
    trial_seconds,
    weightiest,
)
from cxrsearch.study.cost.sharing import MARGIN, Share, ShareRow, choose, measure, settle, shares
from cxrsearch.study.cost.stopwatch_process import CPU_PIXELS, sized
from cxrsearch.study.cost.stopwatches import TimingError, timed
from cxrsearch.study.experiment import Settings, resume, search
from search.space import SearchSpace

SPACE = SearchSpace.from_dict(
    {
        "name": "two",
        "genes": {"input_size": {"choices": [32, 64]}},
        "fixed": {"epochs": 2, "batch_size": 16},
    },
    "two",
    known=gene_limits(),
)
AUTO = Settings(trials=100)
GPU = AUTO  # as resolve_hardware leaves it where there is one
CPU = replace(AUTO, gpus_per_trial=0.0)


def rows(*per_hour: float) -> list[ShareRow]:
    return [ShareRow(Share(2**i, 1), {}, rate) for i, rate in enumerate(per_hour)]


@pytest.mark.parametrize(
    ("per_hour", "at_once"),
    [
        ((10.0, 20.0, 30.0), 4),
        ((10.0, 20.0, 20.0 / (1 - MARGIN / 2)), 2),
        ((10.0, 9.0, 8.0), 1),
        ((10.0, 9.0, 20.0), 4),
        ((10.0,), 1),
        ((10.0, 10.8, 11.1), 2),
    ],
)
def test_most_trials_an_hour_win_and_fewer_at_once_within_a_margin(
    per_hour: tuple[float, ...], at_once: int
) -> None:
    assert choose(rows(*per_hour)).share.at_once == at_once


@pytest.mark.parametrize(
    ("settings", "cores", "gpus", "wanted"),
    [
        (CPU, 8, 0, [(1, 8), (2, 4), (4, 2), (8, 1)]),
        (CPU, 6, 0, [(1, 6), (2, 3), (6, 1)]),
        (CPU, 1, 0, [(1, 1)]),
        (replace(CPU, concurrent=3), 8, 0, [(1, 8), (2, 4), (3, 2)]),
        (replace(CPU, trials=2), 8, 0, [(1, 8), (2, 4)]),
        (replace(CPU, concurrent=99), 2, 0, [(1, 2), (2, 1)]),
        (replace(CPU, runner="serial"), 8, 0, [(1, 8)]),
        (GPU, 8, 1, [(1, 8), (2, 4), (4, 2), (8, 1)]),
        (GPU, 64, 2, [(1, 32), (2, 16), (4, 8), (8, 4), (16, 2)]),
        (replace(GPU, cpus_per_trial=2.0), 8, 1, [(1, 2), (2, 2), (4, 2)]),
        (replace(GPU, concurrent=3), 16, 2, [(1, 8), (2, 4)]),
        (replace(GPU, gpus_per_trial=0.5), 12, 2, [(1, 3)]),
        (replace(GPU, gpus_per_trial=0.6), 12, 2, [(1, 6)]),  # a trial is on one GPU
        (replace(GPU, gpus_per_trial=1.0), 2, 8, [(1, 1)]),
    ],
)
def test_which_shares_are_tried(
    settings: Settings, cores: int, gpus: int, wanted: list[tuple[int, int]]
) -> None:
    assert [(s.at_once, s.threads) for s in shares(settings, cores, gpus)] == wanted


ONE = ComputeOptions("cpu", threads=1)


def times(figures: dict[int, float], doubles: int = 99) -> Callable[..., Any]:
    """In the place of `timed`: seconds an image by ``at_once``; memory ends at ``doubles``."""

    def told(recipes: Any, at_once: int, *others: Any, **options: Any) -> Any:
        if at_once not in figures:
            raise TimingError("out of memory")
        return dict.fromkeys(recipes, figures[at_once]), at_once < doubles

    return told


def tried(monkeypatch: pytest.MonkeyPatch, told: Callable[..., Any]) -> list[int]:
    monkeypatch.setattr(sharing, "timed", told)
    options = [Share(n, 8 // n) for n in (1, 2, 4, 8)]
    return [row.share.at_once for row in measure(options, SPACE, (100, 30), 14, ONE)]


def test_measuring_ends_where_more_at_once_no_longer_pays_fits_or_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flat = dict.fromkeys((1, 2, 4, 8), 1.0)
    assert tried(monkeypatch, times(flat)) == [1, 2, 4, 8]
    assert tried(monkeypatch, times({1: 1.0, 2: 2.5, 4: 9.0, 8: 9.0})) == [1, 2]
    assert tried(monkeypatch, times(flat, doubles=4)) == [1, 2, 4]
    assert tried(monkeypatch, times({1: 1.0, 2: 1.0})) == [1, 2]
    assert tried(monkeypatch, times({})) == []
    monkeypatch.setattr(sharing, "TOTAL_SECONDS", -1.0)
    assert tried(monkeypatch, times(flat)) == [1]


def test_trials_an_hour_are_weighed_by_what_recipes_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "timed", times({1: 0.5}))
    (row,) = measure([Share(1, 2)], SPACE, (100, 30), 14, ONE)
    assert row.per_hour == pytest.approx(3600 / (2 * 0.5 * (100 + 30 / 3)))


def test_auto_becomes_numbers_and_numbers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "detect_cpus", lambda: 8)
    monkeypatch.setattr(sharing, "_gpus", lambda: 2)
    notes: list[str] = []

    def found(settings: Settings, **figures: float) -> tuple[float | str, float | str, bool]:
        told = {int(key[1:]): value for key, value in figures.items()}
        monkeypatch.setattr(sharing, "timed", times(told))
        settled, measured = settle(settings, SPACE, (100, 30), 14, notes.append)
        return settled.cpus_per_trial, settled.gpus_per_trial, measured is not None

    assert found(replace(CPU, cpus_per_trial=3.0)) == (3.0, 0.0, False)
    assert found(CPU, _1=1.0, _2=1.1, _4=4.0) == (4.0, 0.0, True)
    assert found(GPU, _1=1.0, _2=1.1, _4=1.2) == (1.0, 0.25, True)
    assert found(replace(GPU, cpus_per_trial=2.0), _1=1.0, _2=1.1) == (2.0, 0.5, True)
    assert found(replace(CPU, runner="serial")) == (8.0, 0.0, False)
    assert found(replace(GPU, gpus_per_trial=0.5)) == (2.0, 0.5, False)
    assert found(replace(CPU, address="auto")) == (1.0, 0.0, False)
    assert not [note for note in notes if "could not" in note]
    assert found(CPU) == (1.0, 0.0, False)
    assert found(GPU) == (4.0, 1.0, False)
    assert "out of memory" in notes[-1]


def test_many_on_a_gpu_fit_it_as_ray_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for at_once in range(1, 17):
        monkeypatch.setattr(sharing, "shares", lambda *_, n=at_once: [Share(n, 1)])
        settled, _ = settle(replace(GPU, cpus_per_trial=1.0), SPACE, (1, 1), 14)
        assert at_once * round(settled.gpus * 10_000) <= 10_000
        assert int(1 / settled.gpus + 1e-4) == at_once


def test_the_choice_lies_in_study_yaml_and_a_resume_keeps_it(
    xrays: Path, tiny_space: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (sharing, prepare):
        monkeypatch.setattr(module, "detect_cpus", lambda: 4)
    monkeypatch.setattr(sharing, "timed", times({1: 1.0, 2: 1.0, 4: 9.0}))
    monkeypatch.setattr("search.tune.run_tune", lambda *_, **__: None)
    settings = Settings(data=str(xrays), space=str(tiny_space), trials=4)
    folder = search(settings, tmp_path / "study")
    record = yaml.safe_load((folder / "study.yaml").read_text())
    assert record["settings"]["cpus_per_trial"] == 2.0
    assert record["side_by_side"]["chosen"] == {"at_once": 2, "threads": 2}
    assert [row["at_once"] for row in record["side_by_side"]["measured"]] == [1, 2, 4]
    assert record["side_by_side"]["measured"][1]["images_per_second"] == {"densenet121 32x32": 2.0}
    assert any("2 x 2 threads" in note for note in record["notes"])
    used: list[float] = []
    monkeypatch.setattr("search.tune.run_tune", lambda *given, **_: used.append(given[3].cpus))
    monkeypatch.setattr(sharing, "timed", times({1: 1.0, 2: 9.0}))
    notes: list[str] = []
    resume(folder, on_note=notes.append)
    assert not notes
    resume(folder, on_note=notes.append, cpus_per_trial="auto")
    assert notes
    resume(folder, cpus_per_trial=1.0)
    assert used == [2.0, 4.0, 1.0]


def test_kinds_are_those_that_take_the_time_and_the_nearest_stands_for_others() -> None:
    recipes = sample_recipes(SPACE)
    assert [kind.size for kind in weightiest(recipes)] == [(64, 64), (32, 32)]
    small, large = Recipe(input_size=32, epochs=3), Recipe(input_size=64, epochs=3)
    steps = {kind_of(large): 4.0, RecipeKind("vgg16", ("full",), (32, 32)): 100.0}
    assert trial_seconds(large, steps, 10, 6) == 3 * 4.0 * 12
    assert trial_seconds(small, steps, 10, 6) == pytest.approx(3 * 1.0 * 12, rel=0.05)


def test_a_timed_batch_is_small_on_a_cpu_and_whole_on_a_gpu() -> None:
    recipe = Recipe(input_size="600x800", batch_size=12, init="imagenet", train_seed=0.2)
    small = sized(recipe, "cpu")
    height, width = size_of(small.input_size)
    assert small.batch_size * height * width <= CPU_PIXELS * 1.02
    assert height / width == pytest.approx(0.75, abs=0.01)
    patches = sized(replace(recipe, model="timm:vit_tiny_patch16_224", input_size=224), "cpu")
    assert (patches.input_size, patches.batch_size) == ("224x224", 2)
    assert sized(recipe, "cuda") == replace(recipe, init="none", crop=1024, train_seed=1.0)


ROOMY = """
from cxrsearch.learn.compute import device
from cxrsearch.study.cost import stopwatch_process

device.planned_memory = lambda _: {bytes}
stopwatch_process.main()
"""


@pytest.mark.parametrize(("planned", "roomy"), [(1 << 40, True), (1 << 20, False)])
def test_real_steps_are_timed_side_by_side_with_their_threads(
    planned: int, roomy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of a memory given here, as whether more would fit follows from it."""
    (tmp_path / "roomy.py").write_text(ROOMY.format(bytes=planned))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    begun = partial(stopwatches.started, module=("roomy",))
    monkeypatch.setattr(stopwatches, "started", begun)
    monkeypatch.setattr("cxrsearch.learn.compute.device.free_memory", lambda _: planned << 20)
    monkeypatch.setattr(stopwatches, "SECONDS", 0.01)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    told, read = [], stopwatches.answers

    def answers(processes: Any) -> list[dict[str, Any]]:
        told.append(read(processes))
        return told[-1]

    monkeypatch.setattr(stopwatches, "answers", answers)
    recipe = Recipe(input_size=32, batch_size=4)
    begin, before = time.perf_counter(), _children()
    seconds, doubles = timed({kind_of(recipe): recipe}, 2, ONE, n_classes=3)
    assert [len(found) for found in told] == [2, 2]
    assert [found["threads"] for found in told[0]] == [1, 1]
    assert set(seconds) == {RecipeKind("densenet121", ("full",), (32, 32))}
    assert 0 < seconds[kind_of(recipe)] < time.perf_counter() - begin
    assert doubles is roomy
    assert _children() <= before


def test_a_recipe_that_cannot_be_timed_is_a_reason_and_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe, before = Recipe(input_size=32, batch_size=4), _children()
    with pytest.raises(TimingError, match="KeyError"):
        timed({kind_of(recipe): replace(recipe, model="none")}, 1, ONE, n_classes=3)
    monkeypatch.setattr(stopwatches, "LIMIT_SECONDS", 0.05)
    with pytest.raises(TimingError, match="took too long"):
        timed({kind_of(recipe): recipe}, 1, ONE, n_classes=3)
    monkeypatch.setattr(stopwatches, "WORKER_BYTES", 1 << 60)
    with pytest.raises(TimingError, match="memory"):
        timed({kind_of(recipe): recipe}, 2, ONE, n_classes=3)
    assert _children() <= before


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children())
