"""The searching arms: a whole search inside one cell, within the cell's budget."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, NamedTuple

from cxrsearch.equal_compute.cell import SCORES, Cell, Scores
from cxrsearch.equal_compute.plan import SEARCHED_SHARE, image_steps
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_arrays, save_arrays
from cxrsearch.learn.saved.keep import BEST
from cxrsearch.learn.train import train
from search.budget import Budget
from search.files import write_text
from search.objective import Outcome, Step, Steps, Task, TrialError
from search.serial import run_serial
from search.space import SearchSpace
from search.store.places import HISTORY
from search.study import Study, StudyConfig
from search.trials.pareto import judged

SEARCH_FOLDER, MADE = "search", "made"


class FoundBySearch(NamedTuple):
    """What a search inside a cell came to.

    Args:
        recipe: the best trial's.
        best: numbers of the complete trials, best first.
    """

    recipe: Recipe
    best: tuple[int, ...]


def search(
    cell: Cell, sampler: str, share: float = SEARCHED_SHARE, keep: bool = False
) -> Generator[Step, None, FoundBySearch]:
    """Search within a ``share`` of the cell's budget.

    Each trial has the same image-steps, whatever share of the images its recipe draws. The
    trials are a study of their own below the cell's folder, which a cell that was cut off goes
    on with.

    Args:
        cell: the cell.
        sampler: of the search.
        share: of the budget.
        keep: whether each trial keeps what it says of both parts, for `scores_of`.

    Yields:
        a step a trial: the best value so far.

    Raises:
        TrialError: where no trial came to a value.
    """
    trials = cell.plan.search_trials
    each = cell.images * share / trials
    objective = _ShortTrial(cell, each, keep)
    with _opened(cell, sampler) as study:
        for count in range(1, trials + 1):
            run_serial(study, objective, Budget(trials=count))
            found = study.best()
            if found is not None:
                yield cell.step(count, float(found.values[0]))
        best = study.best()
        if best is None:
            last = study.trials()[-1].user_attrs
            why = f"{last.get('reason')}: {last.get('detail', '')}"
            raise TrialError("crash", f"no trial of the search came to a value; the last: {why}")
        recipe = Recipe.from_params(best.user_attrs["params"])
        complete = judged(study.trials(), study.config.directions)
    cell.advance(trials)
    used = cell.allotted(recipe, each)
    cell.count(trials * image_steps(used, cell.plan.train_images, cell.recipe))
    ranked = sorted(complete, key=lambda trial: (-trial.values[0], trial.number))
    return FoundBySearch(recipe, tuple(trial.number for trial in ranked))


def scores_of(cell: Cell, number: int) -> Scores:
    """What trial ``number`` of a search that kept it says of both parts."""
    path = cell.folder / SEARCH_FOLDER / "trials" / str(number) / SCORES
    found = load_arrays(path, ("val", "test"))
    return Scores(found["val"], found["test"])


def _opened(cell: Cell, sampler: str) -> Study:
    """The cell's own study, made or resumed."""
    folder: Path = cell.folder / SEARCH_FOLDER
    if (folder / MADE).exists():
        return Study.open(folder)
    for left in folder.glob(f"{HISTORY}*"):  # of a cell that was killed while it made its study
        left.unlink()
    options: dict[str, Any] = {}
    if sampler == "genetic":  # a population that has offspring within the few trials
        options = {"population_size": max(2, cell.plan.search_trials // 3)}
    config = StudyConfig(
        name=f"{cell.folder.name}-{sampler}",
        sampler=sampler,
        seed=cell.seed_of("search"),
        sampler_options=options,
        n_trials=cell.plan.search_trials,
    )
    space = SearchSpace.from_dict(dict(cell.plan.space), "ablation")
    study = Study.create(folder, space, config)
    write_text(folder / MADE, "")
    return study


class _ShortTrial:
    """A trial of the search: a recipe, trained for so many image-steps, by its validation AUROC."""

    def __init__(self, cell: Cell, images: float, keep: bool) -> None:
        self.cell, self.images, self.keep = cell, images, keep

    def __call__(self, task: Task) -> Steps:
        cell = self.cell
        recipe = cell.allotted(Recipe.from_params(task.params), self.images)
        result = yield from train(
            recipe, cell.data, seed=task.seed, folder=task.folder, compute=cell.config.compute,
            resamples=1,
        )  # fmt: skip
        if self.keep:
            test = cell.score(recipe, task.folder / BEST, cell.test)
            save_arrays(task.folder / SCORES, val=result.scores, test=test)
        for left in task.folder.glob("*.safetensors"):
            left.unlink()
        return Outcome(value=result.value, attrs=result.attrs)
