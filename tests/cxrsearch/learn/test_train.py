from __future__ import annotations

import contextlib
import gc
import itertools
import json
import math
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn import classifier, session
from cxrsearch.learn import student as students
from cxrsearch.learn import train as module
from cxrsearch.learn import training as loop
from cxrsearch.learn.compute import device
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.compute.steps import choose
from cxrsearch.learn.compute.steps.compiled import Compiled
from cxrsearch.learn.data import Pixels, even_slices
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.saved import checkpoint
from cxrsearch.learn.saved.arrays import load_arrays
from cxrsearch.learn.saved.best_weights import BestWeights
from cxrsearch.learn.saved.checkpoint import load_tensors
from cxrsearch.learn.saved.epoch_scores import read_epoch_scores
from cxrsearch.learn.train import train
from search.objective import Step, TrialError
from search.reading import read_json

pytestmark = pytest.mark.usefixtures("tiny_model")

ONE = ComputeOptions("cpu", threads=1)


@pytest.fixture
def always_saving(monkeypatch) -> None:
    """A checkpoint after every epoch, however long writing it takes."""
    monkeypatch.setattr(session, "CHECKPOINT_SHARE", math.inf)


def run(study, recipe, folder: Path, **options: Any):
    """Steps and result of a whole training."""
    options = {"seed": 3, "compute": ONE, "resamples": 20, **options}
    steps, running = [], train(recipe, study.data, folder=folder, **options)
    while True:
        try:
            steps.append(next(running))
        except StopIteration as stop:
            return steps, stop.value


def without_seconds(step: Step) -> Step:
    attrs = {key: value for key, value in step.attrs.items() if key != "seconds"}
    return step._replace(attrs=attrs)


def same_scores(one: Path, other: Path) -> bool:
    """Whether two trainings said the same after every epoch, and of the same images."""
    found, wanted = read_epoch_scores(one), read_epoch_scores(other)
    assert found is not None
    assert wanted is not None
    return all(np.array_equal(getattr(found, key), getattr(wanted, key)) for key in vars(wanted))


def best_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_tensors(folder / "best.safetensors")[0]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.usefixtures("always_saving")
@pytest.mark.parametrize(("optimizer", "val_seed"), [("sgd", 8), ("adamw", 12)])
def test_a_run_cut_off_after_any_epoch_equals_an_uninterrupted_one(
    make_study, recipe, tmp_path, optimizer, val_seed
) -> None:
    study, recipe = make_study(val_seed), replace(recipe, optimizer=optimizer)
    steps, whole = run(study, recipe, tmp_path / "whole")
    last = load_tensors(tmp_path / "whole" / "checkpoint.safetensors")[0]
    for cut in (0, 1, 2, 3):
        folder = tmp_path / f"cut{cut}"
        first = train(recipe, study.data, seed=3, compute=ONE, resamples=20, folder=folder)
        seen = [next(first) for _ in range(cut)]
        first.close()
        torch.manual_seed(cut)  # whatever else the process does in between
        torch.rand(7)
        again, resumed = run(study, recipe, folder)
        assert [s.value for s in seen] == [s.value for s in again[:cut]]
        assert [s.value for s in again] == [s.value for s in steps]
        assert without_seconds(again[-1]) == without_seconds(steps[-1])
        assert resumed.value == whole.value
        assert np.array_equal(resumed.scores, whole.scores)
        assert equal(best_weights(folder), best_weights(tmp_path / "whole"))
        assert same_scores(folder, tmp_path / "whole")
        assert equal(load_tensors(folder / "checkpoint.safetensors")[0], last)


@pytest.mark.usefixtures("always_saving")
def test_kills_between_the_files_of_an_epoch_change_nothing(
    study, recipe, tmp_path, monkeypatch
) -> None:
    recipe = replace(recipe, epochs=2)
    _, whole = run(study, recipe, tmp_path / "whole")
    expected = best_weights(tmp_path / "whole")

    def killed(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    places = [
        (checkpoint, "save_tensors"), (session.Session, "save"), (module, "write_json"),
        (BestWeights, "_put"), (BestWeights, "forget_previous"), (module, "save_epoch_scores"),
    ]  # fmt: skip
    for number, (owner, name) in enumerate(places):
        folder = tmp_path / f"killed{number}"
        for epoch in (1, 2):
            running = train(recipe, study.data, seed=3, compute=ONE, resamples=20, folder=folder)
            with monkeypatch.context() as patch:
                for _ in range(epoch - 1):
                    next(running)
                patch.setattr(owner, name, killed)
                with contextlib.suppress(KeyboardInterrupt):
                    next(running)
                with contextlib.suppress(KeyboardInterrupt):
                    running.close()
        _, resumed = run(study, recipe, folder)
        assert resumed.value == whole.value, name
        assert equal(best_weights(folder), expected), name
        names = {p.name for p in folder.iterdir()} - {"best.previous.safetensors"}
        assert names == {
            "best.safetensors", "checkpoint.safetensors", "curve.json", "epochs.npz", "val.npz",
        }  # fmt: skip
        assert same_scores(folder, tmp_path / "whole"), name


def test_the_global_generator_and_thread_count_are_left_alone(study, recipe, tmp_path) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    running = train(
        recipe,
        study.data,
        seed=3,
        compute=ComputeOptions("cpu", threads + 1),
        folder=tmp_path / "a",
    )
    next(running)
    assert torch.get_num_threads() == threads
    next(running)
    running.close()
    assert torch.equal(torch.rand(3), expected)


def test_closing_frees_the_model(study, recipe, tmp_path, monkeypatch) -> None:
    alive: list[weakref.ref[torch.nn.Module]] = []
    build = classifier.models.build_model

    def tracked(*args: Any, **options: Any) -> torch.nn.Module:
        model = build(*args, **options)
        alive.append(weakref.ref(model))
        return model

    monkeypatch.setattr(classifier.models, "build_model", tracked)
    running = train(recipe, study.data, seed=0, compute=ONE, folder=tmp_path / "a")
    next(running)
    assert alive[0]() is not None
    running.close()
    gc.collect()
    assert alive[0]() is None


@pytest.mark.usefixtures("always_saving")
def test_best_weights_are_those_of_the_best_epoch_not_the_last(study, recipe, tmp_path) -> None:
    recipe = replace(recipe, epochs=6, lr=0.3, ema=0.0)
    steps, result = run(study, recipe, tmp_path / "a", seed=1)
    values = [step.value for step in steps]
    best = values.index(max(values)) + 1
    assert result.attrs["best_epoch"] == best
    assert best < len(values), "the setting must make an early epoch the best"
    saved, _ = load_tensors(tmp_path / "a" / "checkpoint.safetensors")
    live = {k.removeprefix("learner/model/"): v for k, v in saved.items() if "/model/" in k}
    assert not equal(best_weights(tmp_path / "a"), live)
    learner = classifier.Learner(recipe, study.data, seed=1, compute=ONE)
    assert result.attrs["precision"] in ("float32", "bf16")
    learner.adopt(best_weights(tmp_path / "a"))
    pixels = Pixels(study.data, study.data.val, recipe, torch.device("cpu"))
    assert np.allclose(learner.scores(pixels), result.scores, atol=1e-6)


def test_result_and_files_say_what_was_reached(study, recipe, tmp_path) -> None:
    steps, result = run(study, recipe, tmp_path / "a")
    assert [s.number for s in steps] == [1, 2, 3]
    assert [s.last for s in steps] == [False, False, True]
    saved = load_arrays(tmp_path / "a" / "val.npz", ("names", "labels", "scores"))
    assert saved["names"].tolist() == list(study.splits.val)
    assert saved["scores"].dtype == np.float32
    assert result.value == mean_auroc(auroc(saved["labels"], saved["scores"]))
    attrs = result.attrs
    json.dumps(attrs, allow_nan=False)
    assert attrs["split"] == study.splits.fingerprint
    assert attrs["auroc"]["Hernia"] is None
    assert attrs["intervals"]["Hernia"] is None
    assert any("Hernia" in note for note in attrs["notes"])
    assert attrs["interval"][0] <= attrs["interval"][1]
    assert attrs["epochs_run"] == 3
    assert attrs["images_seen"] == 3 * round(0.8 * 16)
    assert set(attrs["exposure"]) == {*DISEASES, "No Finding"}
    curve = read_json(tmp_path / "a" / "curve.json")
    assert [set(record) for record in curve] == [{"epoch", "loss", "lr", "value", "seconds"}] * 3
    assert [record["value"] for record in curve] == [s.value for s in steps]


def test_the_mean_is_over_the_objectives_diseases(study, recipe, tmp_path) -> None:
    some = replace(study.data, columns=(0, 3))
    steps, running = (
        [],
        train(recipe, some, seed=3, compute=ONE, resamples=20, folder=tmp_path / "a"),
    )
    try:
        while True:
            steps.append(next(running))
    except StopIteration as stop:
        result = stop.value
    values = [result.attrs["auroc"][DISEASES[c]] for c in (0, 3)]
    assert result.value == pytest.approx(np.mean(values))
    assert not any("Hernia" in note for note in result.attrs["notes"])


def test_patience_stops_and_marks_the_last_step(study, recipe, tmp_path, monkeypatch) -> None:
    values = iter([0.6, 0.7, 0.65, 0.6, 0.9])
    monkeypatch.setattr(module, "mean_auroc", lambda _: next(values))
    steps, result = run(study, replace(recipe, epochs=9, patience=2), tmp_path / "a")
    assert [s.value for s in steps] == [0.6, 0.7, 0.65, 0.6]
    assert [s.last for s in steps] == [False, False, False, True]
    assert result.attrs["best_epoch"] == 2


@pytest.mark.usefixtures("always_saving")
def test_a_damaged_checkpoint_is_noted_and_started_over(study, recipe, tmp_path) -> None:
    steps, _ = run(study, recipe, tmp_path / "a")
    path = tmp_path / "a" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    again, result = run(study, recipe, tmp_path / "a")
    assert [s.value for s in again] == [s.value for s in steps]
    assert any("started over" in note for note in result.attrs["notes"])


@pytest.mark.usefixtures("always_saving")
@pytest.mark.parametrize("change", [{"lr": 0.01}, {"epochs": 4}])
def test_a_checkpoint_of_another_recipe_is_not_gone_on_with(
    study, recipe, tmp_path, change
) -> None:
    run(study, replace(recipe, **change), tmp_path / "a")
    fresh, _ = run(study, recipe, tmp_path / "b")
    again, result = run(study, recipe, tmp_path / "a")
    assert [s.value for s in again] == [s.value for s in fresh]
    assert any("another recipe" in note for note in result.attrs["notes"])


def test_lost_best_weights_are_noticed(study, recipe, tmp_path) -> None:
    first = train(recipe, study.data, seed=3, compute=ONE, folder=tmp_path / "a")
    next(first)
    first.close()
    (tmp_path / "a" / "best.safetensors").unlink()
    _, result = run(study, recipe, tmp_path / "a")
    assert any("weights of epoch 1" in note for note in result.attrs["notes"])


def test_a_loss_that_is_not_finite_ends_the_trial(study, recipe, tmp_path) -> None:
    with pytest.raises(TrialError) as caught:
        run(study, replace(recipe, lr=1e30, optimizer="sgd", ema=0.0), tmp_path / "a")
    assert caught.value.outcome.reason == "nan"


def test_a_validation_part_that_judges_nothing_ends_the_trial(study, recipe, tmp_path) -> None:
    study = replace(study, data=replace(study.data, columns=(13,)))
    with pytest.raises(TrialError) as caught:
        run(study, recipe, tmp_path / "a")
    assert caught.value.outcome.reason == "bad data"


class Hungry(classifier.Learner):
    """Runs out of memory with more than ``limit`` images at once."""

    limit = 3
    at_step = 0

    def step(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        type(self).at_step += 1
        if self.micro > self.limit and type(self).at_step > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().step(images, targets)


def test_out_of_memory_halves_the_micro_batch_and_goes_on(
    study, recipe, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(students, "Learner", Hungry)
    monkeypatch.setattr(Hungry, "at_step", 0)
    recipe = replace(recipe, batch_size=6)
    steps, result = run(study, recipe, tmp_path / "a")
    assert len(steps) == 3
    assert any("out of memory" in note for note in result.attrs["notes"])
    assert result.attrs["images_seen"] == 3 * round(0.8 * 16)


def test_epochs_since_the_checkpoint_are_trained_again_after_out_of_memory(
    study, recipe, tmp_path, monkeypatch
) -> None:
    trained: list[tuple[int, int]] = []

    class Late(classifier.Learner):
        def epoch(self, number: int) -> float:
            trained.append((number, self.micro))
            if number == 3 and self.micro > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().epoch(number)

    monkeypatch.setattr(students, "Learner", Late)
    recipe = replace(recipe, batch_size=6)
    steps, result = run(study, recipe, tmp_path / "a")
    assert trained == [(1, 6), (2, 6), (3, 6), (1, 3), (2, 3), (3, 3)]
    assert [step.number for step in steps] == [1, 2, 3]
    alone, _ = run(study, recipe, tmp_path / "b", compute=replace(ONE, memory_share=0.0))
    curve = read_json(tmp_path / "a" / "curve.json")
    kept = read_epoch_scores(tmp_path / "a")
    assert kept is not None
    assert kept.epochs.tolist() == [1, 2, 3]
    assert len(curve) == len(alone) == 3
    assert result.attrs["best_epoch"] == max(curve, key=lambda r: r["value"])["epoch"]


def test_out_of_memory_at_the_last_scoring_loses_no_epoch(
    make_study, recipe, tmp_path, monkeypatch
) -> None:
    study = make_study(12)
    study = replace(study, data=replace(study.data, val_seed=study.data.val[:8]))
    _, whole = run(study, recipe, tmp_path / "whole")

    class Late(classifier.Learner):
        def scores(self, pixels: Pixels) -> np.ndarray:
            if len(pixels) == 12 and self.micro > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().scores(pixels)

    monkeypatch.setattr(students, "Learner", Late)
    steps, result = run(study, recipe, tmp_path / "a")
    assert len(steps) == result.attrs["epochs_run"] == 3
    assert result.attrs["best_epoch"] == whole.attrs["best_epoch"]
    assert same_scores(tmp_path / "a", tmp_path / "whole")
    assert result.value == pytest.approx(whole.value, abs=1e-6)
    assert equal(best_weights(tmp_path / "a"), best_weights(tmp_path / "whole"))


def test_checkpoints_take_a_small_share_of_the_time(study, recipe, tmp_path, monkeypatch) -> None:
    clock = itertools.count(step=0.2)  # each look at the clock is 0.2 seconds later
    monkeypatch.setattr(session.time, "perf_counter", lambda: next(clock))
    saved: list[int] = []
    save = session.Session.save

    def counted(self: session.Session, *args: Any, **options: Any) -> None:
        saved.append(len(self.book["curve"]))
        save(self, *args, **options)

    monkeypatch.setattr(session.Session, "save", counted)
    run(study, replace(recipe, epochs=100), tmp_path / "a")
    assert 1 <= len(saved) <= 20
    assert saved == sorted(set(saved))


def test_a_closed_run_leaves_a_checkpoint_of_its_last_epoch(study, recipe, tmp_path) -> None:
    running = train(recipe, study.data, seed=3, compute=ONE, resamples=20, folder=tmp_path / "a")
    seen = [next(running).value for _ in range(2)]
    assert not (tmp_path / "a" / "checkpoint.safetensors").exists(), "the test wants a late one"
    running.close()
    state = checkpoint.load(tmp_path / "a" / "checkpoint.safetensors")
    assert [record["value"] for record in state["book"]["curve"]] == seen


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state["book"].update(best_epoch=1), "is not the best of its curve"),
        (lambda state: state["book"].update(best_value=0.99), "is not the best of its curve"),
        (lambda state: state["book"]["curve"].append(state["book"]["curve"][0]), "epochs"),
        (lambda state: state["book"]["curve"][0].update(value="high"), "no training state"),
        (lambda state: state["learner"]["schedule"].update(last_epoch=7), "steps in"),
        (lambda state: state["learner"].pop("schedule"), "no training state"),
    ],
)
def test_a_checkpoint_that_contradicts_itself_is_started_over(
    study, recipe, tmp_path, change, reason
) -> None:
    running = train(recipe, study.data, seed=3, compute=ONE, resamples=20, folder=tmp_path / "a")
    curve = [next(running).value for _ in range(2)]
    running.close()
    path = tmp_path / "a" / "checkpoint.safetensors"
    state = checkpoint.load(path)
    state["book"]["best_epoch"] = 2  # whichever it was: the first change is always wrong
    state["book"]["curve"][1]["value"] = state["book"]["best_value"] = max(curve) + 0.01
    change(state)
    checkpoint.save(path, state)
    running = train(recipe, study.data, seed=3, compute=ONE, resamples=20, folder=tmp_path / "a")
    step = next(running)
    running.close()
    assert any("started over: " in note and reason in note for note in step.attrs["notes"])
    assert step.value == curve[0]


def test_a_disk_that_is_full_at_the_close_is_no_error(study, recipe, tmp_path, monkeypatch) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    running = train(recipe, study.data, seed=3, compute=ONE, resamples=20, folder=tmp_path / "a")
    next(running)
    monkeypatch.setattr(checkpoint, "save_tensors", full)
    running.close()


def test_what_is_written_is_the_state_at_the_call(study, recipe, tmp_path, monkeypatch) -> None:
    begin, write = threading.Event(), checkpoint.save_tensors

    def late(*args: Any) -> None:
        begin.wait()
        write(*args)

    run_of = session.Session(
        classifier.Learner,
        recipe,
        study.data,
        seed=3,
        folder=tmp_path / "a",
        compute=ONE,
    )
    before = {k: v.clone() for k, v in run_of.learner.model.state_dict().items()}
    run_of.book["note"] = ["as it was"]
    monkeypatch.setattr(checkpoint, "save_tensors", late)
    run_of.save()
    run_of.book["note"].append("later")
    run_of.work(lambda: run_of.learner.epoch(1))
    begin.set()
    run_of.close()
    state = checkpoint.load(tmp_path / "a" / "checkpoint.safetensors")
    assert state["book"] == {"note": ["as it was"]}
    assert equal(state["learner"]["model"], before)


def test_out_of_memory_with_the_smallest_micro_batch_ends_the_trial(
    study, recipe, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(students, "Learner", Hungry)
    monkeypatch.setattr(Hungry, "at_step", 4)
    monkeypatch.setattr(Hungry, "limit", 0)
    with pytest.raises(TrialError) as caught:
        run(study, recipe, tmp_path / "a")
    assert caught.value.outcome.reason == "out of memory"
    assert "2 images" in caught.value.outcome.detail


def test_a_batch_that_goes_through_in_parts_is_noted(study, recipe, monkeypatch) -> None:
    monkeypatch.setattr(device, "planned_memory", lambda _: 0)
    learner = classifier.Learner(recipe, study.data, seed=0, compute=ONE)
    assert any("2 of 5 images at once" in note for note in learner.notes)


def test_gradients_add_up_over_micro_batches(study, recipe) -> None:
    recipe = replace(recipe, dropout=0.0, batch_size=8, freeze=1, momentum=0.0)
    weights = []
    for micro in (8, 4, 2):
        learner = classifier.Learner(
            recipe, study.data, seed=0, compute=replace(ONE, micro=micro, precision="float32")
        )
        learner.epoch(1)
        weights.append(torch.cat([p.detach().ravel() for p in learner.model.parameters()]))
    # The frozen first block keeps batch normalisation out of it, so micro-batches are exact.
    assert torch.allclose(weights[0], weights[1], atol=1e-6)
    assert torch.allclose(weights[0], weights[2], atol=1e-6)


@pytest.mark.parametrize(
    ("count", "size", "smallest"),
    [(33, 32, 2), (7, 3, 2), (3, 2, 2), (1, 8, 2), (12, 1, 2), (10, 100, 1)],
)
def test_even_slices_cover_all_and_leave_no_small_rest(count, size, smallest) -> None:
    slices = even_slices(count, size, smallest)
    lengths = [s.stop - s.start for s in slices]
    assert sum(lengths) == count
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) >= min(smallest, count)
    assert max(lengths) <= max(size, 2 * smallest - 1)
    assert slices[0].start == 0
    assert all(a.stop == b.start for a, b in itertools.pairwise(slices))


def test_steps_that_cannot_be_made_faster_are_taken_one_by_one_and_it_is_noted(
    make_study, recipe, tmp_path, monkeypatch
) -> None:
    def refuse(images: torch.Tensor) -> Any:
        raise RuntimeError("no C compiler here")

    study = make_study(8)
    with monkeypatch.context() as patch:
        patch.setattr(choose, "repays", lambda *_: True)
        patch.setattr(loop, "Compiled", lambda step, net: Compiled(step, net, lambda _: refuse))
        steps, result = run(study, recipe, tmp_path / "trial")
    assert len([note for note in result.attrs["notes"] if "no C compiler here" in note]) == 1
    assert [s.value for s in steps] == [s.value for s in run(study, recipe, tmp_path / "e")[0]]


@pytest.mark.parametrize("precision", ["float32", "fp16"])
def test_recorded_steps_train_as_eager_ones_do_also_after_a_resume(
    study, recipe, tmp_path, monkeypatch, precision
) -> None:
    monkeypatch.setattr(session, "CHECKPOINT_SHARE", math.inf)
    recipe = replace(
        recipe, ema=0.9, dropout=0.2, schedule="cosine", batch_size=5, rotation=5.0, mix="mixup",
        erasing=0.5,
    )  # fmt: skip
    options = replace(ONE, precision=precision)
    _, eager = run(study, recipe, tmp_path / "eager", compute=options)
    graph = replace(options, steps="graph")
    running = train(recipe, study.data, seed=3, folder=tmp_path / "graph", compute=graph)
    next(running)
    running.close()
    _, recorded = run(study, recipe, tmp_path / "graph", compute=graph)
    # Rates are float32 on the device, and doubles on the host.
    assert recorded.scores == pytest.approx(eager.scores, abs=1e-3)
    assert not any("one by one" in note for note in recorded.attrs["notes"])


def test_a_checkpoint_of_before_labels_had_names_is_gone_on_with(
    study, recipe, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(session, "CHECKPOINT_SHARE", math.inf)
    recipe = replace(recipe, ratios=(("Mass", 2.0),))
    _, whole = run(study, recipe, tmp_path / "whole")
    now = session.Session._identity

    def before(self: Any) -> dict[str, Any]:
        found = now(self)
        numbers = tuple(2.0 if name == "Mass" else 1.0 for name in (*DISEASES, "No Finding"))
        old = {k: v for k, v in found["recipe"].items() if k != "uncertain"}
        return {**found, "recipe": {**old, "ratios": numbers}}

    with monkeypatch.context() as patch:
        patch.setattr(session.Session, "_identity", before)
        first = train(recipe, study.data, seed=3, compute=ONE, resamples=20, folder=tmp_path / "a")
        next(first)
        first.close()
    _, resumed = run(study, recipe, tmp_path / "a")
    assert resumed.attrs["notes"] == whole.attrs["notes"]
    assert resumed.value == whole.value
    assert np.array_equal(resumed.scores, whole.scores)
    other = replace(recipe, ratios=(("Mass", 3.0),))
    assert any(
        "another recipe" in note for note in run(study, other, tmp_path / "a")[1].attrs["notes"]
    )
