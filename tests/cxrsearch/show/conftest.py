"""Studies made of frozen trials, without a database, for the tests of what is shown."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from cxrsearch.learn.metrics import auroc
from cxrsearch.learn.saved.arrays import Labels, save_arrays, save_labels
from cxrsearch.learn.saved.epoch_scores import half_logits, save_epoch_scores
from cxrsearch.show.rows import row
from cxrsearch.show.view import StudyView, goals_of

FINAL = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
START = 1_700_000_000.0
GENES = {
    "model": CategoricalDistribution(["densenet121", "vgg16"]),
    "lr": FloatDistribution(1e-4, 1e-2, log=True),
    "epochs": IntDistribution(2, 6),
    "dropout": FloatDistribution(0.0, 0.5),
}


def make_trial(number: int, state: str = "complete", **given: Any) -> FrozenTrial:
    """One trial; ``dropout`` is a gene of vgg16 only, which every third trial is."""
    params: dict[str, Any] = {
        "model": "vgg16" if number % 3 == 2 else "densenet121",
        "lr": 1e-4 * 10 ** (2 * ((number * 7) % 30) / 30),
        "epochs": 2 + number % 5,
    }
    if number % 3 == 2:
        params["dropout"] = 0.05 * (number % 10)
    params = given.pop("params", params)
    value = given.pop("value", 0.6 + 0.003 * ((number * 11) % 30))
    begin = START + 60.0 * number
    known = {**GENES, **given.pop("extra", {})}
    attrs: dict[str, Any] = {
        "generation": number // 10,
        "params": {**params, "optimizer": "adamw"},
        "spans": [[f"worker {number % 2}", begin, begin + 50.0]],
        "started": begin,
        "seed": number,
        "images_seen": 100,
    }
    if state == "complete":
        attrs |= {
            "interval": [value - 0.05, value + 0.05],
            "auroc": {"Mass": value, "Edema": value + 0.02, "Hernia": None},
            "intervals": {"Mass": [value - 0.1, value + 0.1], "Edema": None},
            "exposure": {"Mass": 0.3, "Hernia": 0.0},
            "split": "s1",
        }
    if state == "failed":
        attrs["reason"] = "nan"
    if number >= 10:
        attrs["lineage"] = {
            "parents": [number - 10, number - 7],
            "operator": "crossover",
            "changed": {"lr": [1e-3, 2e-3]},
        }
    attrs |= given.pop("attrs", {})
    finished = state in FINAL
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=FINAL.get(state, TrialState.RUNNING),
        value=None,
        values=[value, *given.pop("others", ())] if state == "complete" else None,
        datetime_start=datetime.datetime.fromtimestamp(begin),
        datetime_complete=datetime.datetime.fromtimestamp(begin + 50) if finished else None,
        params=params,
        distributions={name: known[name] for name in params},
        user_attrs=attrs,
        system_attrs={},
        intermediate_values={1: 0.5, 2: value - 0.01} if state != "failed" else {},
    )


def make_view(trials: list[FrozenTrial], *, alive: bool = False, **given: Any) -> StudyView:
    """A view of ``trials``; keywords of `StudyView` and of its record's attributes."""
    space = SimpleNamespace(
        name="tiny", fingerprint="f1", to_dict=lambda: {"name": "tiny"}, distributions=lambda: None,
        genes={},
    )  # fmt: skip
    config = SimpleNamespace(
        name=given.pop("name", "tiny"),
        sampler="genetic",
        seed=7,
        sampler_options={"population_size": 10},
        population=10,
        halving=None,
        retries=2,
        prior=None,
        directions=given.pop("directions", ("maximize",)),
        metrics=given.pop("metrics", ("auroc",)),
    )
    record: Any = SimpleNamespace(
        folder=given.pop("folder", Path("tiny")),
        config=config,
        space=given.pop("space", space),
        trials=trials,
        attrs=given.pop("attrs", {}),
        driver_alive=alive,
    )
    goals = goals_of(record)
    rows = [row(t, alive, goals) for t in trials]
    own, again = (tuple(r for r in rows if r.rerun == rerun) for rerun in (False, True))
    return StudyView(record, own, reruns=again, **given)


def mixed() -> list[FrozenTrial]:
    """Thirty trials in every state, some with inactive genes, two that still run."""
    states = {4: "failed", 7: "pruned", 13: "pruned", 22: "failed", 28: "running", 29: "running"}
    return [make_trial(number, states.get(number, "complete")) for number in range(30)]


def make_rerun(
    number: int, finalist: int, round: int, curve: Any = (), **given: Any
) -> FrozenTrial:
    """A trial that trains trial ``finalist`` again on the split of ``round``."""
    state = given.pop("state", "complete")
    marks = {"confirms": finalist, "round": round, **given.pop("attrs", {})}
    trial = make_trial(number, state, attrs=marks, **given)
    trial.intermediate_values.clear()
    trial.intermediate_values.update(curve)
    return trial


def finalists_attr(numbers: list[int], reruns: int, after: int | None = None) -> dict[str, Any]:
    """The study attribute that names the finalists."""
    return {"finalists": {"numbers": numbers, "reruns": reruns, "after": after, "top": None}}


class Files:
    """The files of a study's trials, written by hand: ``images`` images of 2 labels.

    Args:
        folder: the study's.
        images: of which every patient has two.
        subset: those on which epochs are scored; all by default.
    """

    def __init__(self, folder: Path, images: int = 80, subset: int | None = None) -> None:
        self.folder, self.rng = folder, np.random.default_rng(1)
        self.names = np.array([f"{i:03}.png" for i in range(images)])
        self.scored = self.names[: subset or images]
        marks = self.rng.random((images, 2)) < 0.4
        self.labels = marks.astype(np.uint8)
        patients = np.array([f"p{i // 2}" for i in range(images)])
        save_labels(
            folder / "labels.npz", Labels(self.names, self.labels, patients, ("Mass", "Edema"))
        )

    def logits(self, strength: float) -> np.ndarray:
        """(n, 2) noise, and ``strength`` more where a label is there."""
        noise = self.rng.normal(size=self.labels.shape)
        return (noise + strength * self.labels).astype(np.float32)

    def auroc(self, logits: np.ndarray) -> float:
        """The mean over both labels, on the images that ``logits`` has."""
        return float(auroc(self.labels[: len(logits)], logits).mean())

    def trial(self, number: int, state: str = "complete", epochs: int = 3, **given: Any) -> Any:
        """A trial with its files; each epoch is as good as all others, but for luck or where
        ``strength`` says how good each is.
        """
        strength = given.pop("strength", 0.5)
        each_of = dict.fromkeys(range(1, epochs + 1), strength)
        if not isinstance(strength, float):
            each_of = dict(enumerate(strength, start=1))
        folder = self.folder / "trials" / str(number)
        all_ = {e: self.logits(each) for e, each in each_of.items()}
        curve = {e: self.auroc(each[: len(self.scored)]) for e, each in all_.items()}
        kept = {e: half_logits(sigmoid(each[: len(self.scored)])) for e, each in all_.items()}
        save_epoch_scores(folder, self.scored, kept)
        best = max(curve, key=lambda e: curve[e])
        attrs = {"best_epoch": best, "seconds": 10.0 + number, **given.pop("attrs", {})}
        value = self.auroc(all_[best])
        make = make_trial if "finalist" not in given else make_rerun
        trial = make(number, state=state, value=value, attrs=attrs, **given)
        trial.intermediate_values.clear()
        trial.intermediate_values.update(curve)
        if state == "complete":
            scores = sigmoid(all_[best])
            save_arrays(folder / "val.npz", names=self.names, labels=self.labels, scores=scores)
        return trial


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities of ``logits``."""
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), np.float32)


def make_repeat(number: int, same_as: int, state: str = "complete", **given: Any) -> FrozenTrial:
    """A trial that was answered by trial ``same_as``: nothing is known but how it ended."""
    trial = make_trial(number, state, **given)
    keep = ("generation", "params", "started", "seed")
    attrs = {name: trial.user_attrs[name] for name in keep}
    trial.user_attrs.clear()
    trial.user_attrs.update({**attrs, "same_as": same_as})
    trial.intermediate_values.clear()
    return trial


STUDIES: dict[str, Callable[[], list[FrozenTrial]]] = {
    "empty": list,
    "running": lambda: [make_trial(n, "running") for n in range(3)],
    "just asked": lambda: [
        make_trial(0, "running", params={}, attrs={"spans": [], "params": None})
    ],
    "failed": lambda: [make_trial(n, "failed") for n in range(3)],
    "one complete": lambda: [make_trial(0)],
    "mixed": mixed,
    "repeats": lambda: [make_trial(0), make_repeat(1, 0), make_repeat(2, 0, "pruned")],
    "reruns": lambda: [*(make_trial(n) for n in range(3)), make_rerun(3, 1, 0, {1: 0.6})],
}


@pytest.fixture(params=list(STUDIES))
def any_trials(request: pytest.FixtureRequest) -> list[FrozenTrial]:
    return STUDIES[request.param]()


@pytest.fixture
def make() -> SimpleNamespace:
    """The makers above: with importlib's import mode, a test cannot import its conftest."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return SimpleNamespace(
        trial=make_trial, view=make_view, mixed=mixed, repeat=make_repeat, genes=GENES, start=START,
        rerun=make_rerun, finalists=finalists_attr, files=Files, sigmoid=sigmoid,
    )  # fmt: skip
