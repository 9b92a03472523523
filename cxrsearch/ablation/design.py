"""From what is asked of an ablation to the plan that comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cxrsearch.data.dataset import names_digest
from cxrsearch.data.splits.counts import negatives
from cxrsearch.data.unlabelled import with_unlabelled
from cxrsearch.equal_compute.plan import Plan, baseline_of, budget_problems, narrowed
from cxrsearch.errors import InputError, attempt
from cxrsearch.study.cost.sharing import OnNote
from cxrsearch.study.data import cache_root
from cxrsearch.study.folder import new_folder
from cxrsearch.study.prepare import Prepared, prepare
from cxrsearch.study.settings import Settings
from cxrsearch.study.unlabelled import Unlabelled, find_unlabelled
from search.space import SearchSpace

from .arms import ARMS, BASELINE
from .settings import MOST_SEEDS, Design

FEWEST_OF_A_CLASS = 5
"""Positive (and negative) images of a label that make its AUROC worth a share of the mean."""


@dataclass(frozen=True)
class ReadyAblation:
    """An ablation that may start."""

    prepared: Prepared
    plan: Plan
    labels: tuple[str, ...]
    left_out: Mapping[str, str]
    unlabelled: Unlabelled | None = None
    unlabelled_from: str | None = None

    @classmethod
    def again(cls, prepared: Prepared, kept: Mapping[str, Any]) -> ReadyAblation:
        """What was begun before: ``kept`` is what `record` gave.

        Raises:
            InputError: where ``kept`` is damaged, or unlabelled images have changed.
        """
        rest = dict(kept)
        labels, left_out = rest.pop("diseases", ()), rest.pop("left_out", {})
        source, names = rest.pop("unlabelled_from", None), rest.pop("unlabelled_names", None)
        plan = Plan.from_dict(rest)
        free = None
        if plan.unlabelled:
            free = unlabelled_of(prepared, None if source is None else Path(source))
            _check_same(free, plan.unlabelled, names, source or prepared.dataset.label)
        return cls(prepared, plan, tuple(labels), left_out, free, source)

    def record(self) -> dict[str, Any]:
        """What study.yaml keeps of it beside the settings."""
        return {
            **self.plan.to_dict(),
            "diseases": list(self.labels),
            "left_out": dict(self.left_out),
            "unlabelled_from": self.unlabelled_from,
            "unlabelled_names": names_digest(self.unlabelled.names) if self.unlabelled else None,
        }

    @property
    def cells(self) -> int:
        """How many trainings of an arm there are."""
        return len(self.plan.arms) * self.plan.seeds


def prepare_ablation(
    settings: Settings, design: Design, folder: Path, on_note: OnNote = lambda line: None
) -> ReadyAblation:
    """Check everything, build the cache, and lay out the budget.

    Args:
        settings: data and how it runs; what concerns a search's sampler is set here.
        design: arms, seeds and budget.
        folder: the study's, to be written by `cxrsearch.ablation.study.start`.
        on_note: told of the measurement of how many cells to run side by side.

    Raises:
        InputError: naming every problem found.
    """
    asked = len(design.arms or ARMS) * min(max(1, design.seeds), MOST_SEEDS)
    settings = replace(
        settings, sampler="random", trials=asked, early_stopping=False, reuse=False,
        keep_checkpoints="none", confirm=0.0,
    )  # fmt: skip
    found: dict[str, Any] = {}

    def narrow(space: SearchSpace) -> SearchSpace:
        budget = (design.epochs, design.input_size)
        # What is wrong with it the design's own check names.
        found.update(baseline_of(space, *(() if budget_problems(*budget) else budget)))
        return narrowed(space, found)

    checks = (design.check, lambda: new_folder(settings, folder))
    prepared = prepare(settings, on_note, narrow, checks)
    images = len(prepared.splits.train)
    problems: list[str] = []
    free = attempt(lambda: unlabelled_of(prepared, design.unlabelled), problems)
    judged = [name for name in prepared.dataset.label_names if name in prepared.judged]
    labels = attempt(lambda: judged_labels(prepared.counts, judged), problems)
    plan = Plan(
        arms=(), seeds=design.seeds, baseline=found, images=found["epochs"] * images,
        train_images=images, search_trials=design.search_trials, space=prepared.space.to_dict(),
        seed=settings.seed,
        unlabelled=len(free.names) if free else 0,
    )  # fmt: skip
    with_arms = attempt(lambda: _with_arms(plan, design.arms), problems)
    if problems or with_arms is None or labels is None:
        raise InputError(problems)
    plan, left_out = with_arms
    total = len(plan.arms) * plan.seeds
    prepared = replace(prepared, settings=replace(prepared.settings, trials=total))
    source = None if design.unlabelled is None else str(design.unlabelled.resolve())
    return ReadyAblation(prepared, plan, labels, left_out, free, source)


def unlabelled_of(prepared: Prepared, folder: Path | None) -> Unlabelled | None:
    """The images without a label, in one cache with the labelled ones; None where there are none.

    Raises:
        InputError: where ``folder`` was named and holds none that can be used.
    """
    data = prepared.dataset if folder is None else with_unlabelled(prepared.dataset, folder)
    if not data.unlabelled and folder is None:
        return None
    root = cache_root(prepared.settings)
    return find_unlabelled(data, prepared.splits, prepared.cache.frame, root)


def _check_same(free: Unlabelled | None, count: int, names: str | None, place: str) -> None:
    """Refuse other unlabelled images than the ``count`` of digest ``names`` of the beginning."""
    found = free.names if free else ()
    if len(found) != count:
        raise InputError(
            f"{place}: {len(found)} images without a label, {count} when the ablation began; "
            "restore them"
        )
    if names is not None and names_digest(found) != names:
        raise InputError(
            f"{place}: the {count} images without a label have other names than when the ablation "
            "began; restore them"
        )


def _with_arms(plan: Plan, asked: Sequence[str] | None) -> tuple[Plan, dict[str, str]]:
    """The plan with the arms that can be had, and why the others cannot.

    Raises:
        InputError: where one of those that were named cannot be had.
    """
    wanted = [name for name in ARMS if asked is None or name in asked or name == BASELINE]
    missing = {name: why for name in wanted if (why := ARMS[name].missing(plan)) is not None}
    if asked is not None and missing:
        raise InputError([f"--arms {name}: {why}" for name, why in missing.items()])
    return replace(plan, arms=tuple(name for name in wanted if name not in missing)), missing


def judged_labels(counts: Mapping[str, Mapping[str, int]], asked: Sequence[str]) -> tuple[str, ...]:
    """The labels of ``asked`` with positives to train on, and enough to choose and judge by.

    The mean of every arm is over these alone, on validation and on test, so that no arm is
    judged by a label that another could not choose by, and none by a label of which one
    or two patients decide.

    Raises:
        InputError: where there is none.
    """
    parts = {
        "train": 1,
        "val": FEWEST_OF_A_CLASS,
        "val_seed": FEWEST_OF_A_CLASS,
        "test": FEWEST_OF_A_CLASS,
    }
    found = tuple(
        name
        for name in asked
        if all(
            min(counts[part][name], negatives(counts[part], name)) >= few
            for part, few in parts.items()
        )
    )
    if not found:
        raise InputError(
            f"no label has {FEWEST_OF_A_CLASS} positive images in the validation and in the test "
            "part, and one to train on; give more data, or larger --val-share and --test-share"
        )
    return found
