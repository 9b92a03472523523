"""The bridge to the engine: a trial of the ablation's study is one cell, an arm and a repeat."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from cxrsearch.data.splits import Splits
from cxrsearch.equal_compute.cell import SCORES, Cell, Scores
from cxrsearch.equal_compute.plan import Plan
from cxrsearch.errors import InputError
from cxrsearch.learn.data import TrainData
from cxrsearch.learn.metrics import judge
from cxrsearch.learn.objective import TrialConfig, load_trial_data, same_everywhere
from cxrsearch.learn.saved.arrays import save_arrays
from cxrsearch.systems.gan.arm import GENERATED_FILE
from search.objective import Outcome, Step, Steps, Task, TrialError
from search.seeds import derive
from search.space import SearchSpace

from .arms import ARMS

ARM, REPEAT = "arm", "repeat"
"""The two genes of a cell."""


def cells(plan: Plan) -> SearchSpace:
    """The space whose known-good points are the plan's cells: repeat by repeat, arm by arm.

    So a study that is cut off has judged all arms with the first seeds, not some with all.
    """
    points = [
        {"name": f"{arm}, repeat {repeat}", "params": {ARM: arm, REPEAT: repeat}}
        for repeat in range(plan.seeds)
        for arm in plan.arms
    ]
    genes = {
        ARM: {"choices": list(plan.arms)},
        REPEAT: {"type": "int", "low": 0, "high": max(1, plan.seeds - 1)},
    }
    return SearchSpace.from_dict({"name": "ablation", "genes": genes, "points": points}, "ablation")


@dataclass(frozen=True)
class CellObjective:
    """Implements `search.objective.Objective`: trains the cell that a task's genes name.

    Args:
        config: as of a search's trials; its cache holds the unlabelled images too.
        plan: what all cells share.
        unlabelled: names of the images without a label.
    """

    config: TrialConfig
    plan: Plan
    unlabelled: tuple[str, ...] = ()

    def __call__(self, task: Task) -> Steps:
        """Train, or go on with, the cell ``task`` in its folder."""
        try:
            data = load_trial_data(self.config)
            test, names = test_rows(data, self.config)
            seed = derive(self.plan.seed, "repeat", int(task.params[REPEAT]))
            free = rows_of(data, self.unlabelled)
            cell = Cell(self.plan, self.config, data, test, seed, task.folder, free)
            scores = yield from self._trained(cell, str(task.params[ARM]))
        except InputError as error:
            raise TrialError("bad data", "; ".join(error.problems)) from error
        save_arrays(
            task.folder / SCORES, val=scores.val, test=scores.test, test_names=names,
            val_names=data.names[data.val],
        )  # fmt: skip
        for large in ("*.safetensors", GENERATED_FILE):
            for left in task.folder.rglob(large):
                left.unlink()
        value, details, notes = judge(
            data.labels[data.val], scores.val, data.patients[data.val], data.columns,
            self.config.resamples, derive(seed, "bootstrap"), data.label_names,
        )  # fmt: skip
        spent = {"images_seen": round(cell.spent), "split": data.split, "notes": cell.notes + notes}
        return Outcome(
            value=value, attrs={**details, **spent, "device": self.config.compute.device}
        )

    def preflight(self) -> dict[str, str]:
        """What must be the same on every machine that trains a cell."""
        return same_everywhere(self.config)

    def _trained(self, cell: Cell, arm: str) -> Generator[Step, None, Scores]:
        scores = yield from ARMS[arm].train(cell)
        return scores


def rows_of(data: TrainData, names: Sequence[str]) -> np.ndarray:
    """(m,) rows of the images ``names``."""
    row_of = {str(name): row for row, name in enumerate(data.names)}
    return np.array([row_of[name] for name in names], np.int64)


def test_rows(data: TrainData, config: TrialConfig) -> tuple[np.ndarray, np.ndarray]:
    """Rows and names of the usable test images; nobody here looks at their labels."""
    splits = Splits.load(config.splits_path)
    ok = {str(name) for name, fine in zip(data.names, config.cache.ok, strict=True) if fine}
    names = [name for name in splits.test if name in ok]
    return rows_of(data, names), np.array(names, dtype=np.str_)
