"""``parts``: where an epoch's time goes, each part timed by itself beside whole epochs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from benchmarks.measure import Spread, interleave, ratios, timed
from cxrsearch.learn.classifier import Learner
from cxrsearch.learn.data import Pixels, even_slices
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.session import Session
from search.files import write_json

from .loop import Ceiling, Loop
from .material import Material, Setup, load, recipe
from .report import Report

PARTS = (
    "data", "augment", "forward", "backward", "optimiser", "validation", "metrics", "checkpoint",
    "report",
)  # fmt: skip


def parts(where: Setup, size: str, models: list[str], images: int | None) -> Report:
    """Shares of the epoch.

    Args:
        where: device and so on.
        size: of the input.
        models: networks.
        images: to train on and validate; None: all.
    """
    report = Report("parts", where)
    material = load(where, images)
    for model in models:
        made = recipe(model, size, epochs=2)
        table = report.table(
            f"{model} at {size}, {made.batch_size} images a step, {material.text()}",
            "part", "ms an epoch", "share of the epoch",
            digits=3,
        )  # fmt: skip
        with Loop(made, material, where) as loop, _pieces(where, material, made) as calls:
            took = interleave({"whole epoch": loop.seconds, **calls}, where.rounds)
        whole = took.pop("whole epoch")
        took["sum of the parts"] = [sum(row) for row in zip(*took.values(), strict=True)]
        for name, values in {**took, "whole epoch": whole}.items():
            table.add(name, Spread.of([1000 * s for s in values]), ratios(values, whole))
    report.notes = [
        "each part is timed by itself, waiting for the device: what overlaps in the loop (a "
        "checkpoint written beside the next epoch, work given to a GPU ahead) makes the sum "
        "exceed the epoch",
        "report: the curve's file, and where Optuna is installed the study's transaction",
    ]
    return report


@contextlib.contextmanager
def _pieces(
    where: Setup, material: Material, made: Recipe
) -> Iterator[dict[str, Callable[[], float]]]:
    """Part -> a function that does an epoch's worth of it and returns the seconds."""
    with where.scratch() as folder, contextlib.ExitStack() as stack:
        data = material.data()
        session = Session(
            Learner, made, data, seed=where.seed, folder=folder / "parts",
            compute=where.compute,
        )  # fmt: skip
        stack.callback(session.close)
        learner = session.learner
        learner.epoch(1)
        ceiling = Ceiling(made, material, where)
        pieces = even_slices(learner.sampler.images_per_epoch, made.batch_size, learner.smallest)
        val = Pixels(data, data.val_seed, made, where.device)
        scores = learner.scores(val)
        labels = data.labels[data.val_seed]
        generator = torch.Generator(where.device).manual_seed(where.seed)
        positions = learner.sampler.draw(1)
        batches = [batch for batch, _ in learner.pixels.batches(positions, pieces)]
        steps = _steps(ceiling, len(pieces))
        curve = [{"epoch": 1, "loss": 0.5, "lr": 1e-3, "value": 0.6, "seconds": 1.0}] * 10
        report = stack.enter_context(_study_report(folder))

        def reported() -> None:
            write_json(folder / "parts" / "curve.json", curve)
            report()

        work: dict[str, Callable[[], object]] = {
            "data": lambda: [0 for _ in learner.pixels.batches(learner.sampler.draw(2), pieces)],
            "augment": lambda: [learner.augment(batch, generator) for batch in batches],
            "validation": lambda: learner.scores(val),
            "metrics": lambda: mean_auroc(auroc(labels, scores)),
            "checkpoint": session.save,
            "report": reported,
        }
        calls = {name: (lambda w=each: timed(w, where.device)) for name, each in work.items()}  # type: ignore[misc]
        calls |= steps
        yield {name: calls[name] for name in PARTS}


def _steps(ceiling: Ceiling, count: int) -> dict[str, Callable[[], float]]:
    """Forward, backward and optimiser step on one batch, ``count`` times each."""
    device, model = ceiling.device, ceiling.model

    def forward() -> torch.Tensor:
        logits = ceiling.forward(ceiling.batch)
        return ceiling.loss(logits.float(), ceiling.targets)

    def forwards() -> float:
        model.train()
        return sum(timed(forward, device) for _ in range(count))

    def backwards() -> float:
        model.train()
        total = 0.0
        for _ in range(count):
            ceiling.optimizer.zero_grad(set_to_none=True)
            loss = forward()
            total += timed(loss.backward, device)  # type: ignore[arg-type]
        return total

    def optimise() -> float:
        return sum(timed(ceiling.optimizer.step, device) for _ in range(count))

    forward().backward()  # type: ignore[no-untyped-call]
    ceiling.optimizer.step()
    return {"forward": forwards, "backward": backwards, "optimiser": optimise}


@contextlib.contextmanager
def _study_report(folder: Path) -> Iterator[Callable[[], None]]:
    """A function that reports a step of a trial to a study, where Optuna is installed."""
    try:
        from search.objective import Step
        from search.space import SearchSpace
        from search.study import Study, StudyConfig
    except ImportError:
        yield lambda: None
        return
    space = SearchSpace.from_dict(
        {"name": "one", "genes": {"lr": {"low": 0.1, "high": 1.0}}}, "one"
    )
    with Study.create(folder / "study", space, StudyConfig("parts", "random", 0)) as study:
        number, epoch = study.ask().number, iter(range(1, 1 << 30))
        yield lambda: _report(study, number, Step(next(epoch), 0.6, {"seconds": 1.0}))


def _report(study: object, number: int, step: object) -> None:
    study.report(number, step)  # type: ignore[attr-defined]
