"""Should a recipe be trained again to its best epoch on validation, or to its last?

    python -m experiments.last_epoch halves STUDY ...
    python -m experiments.last_epoch test STUDY --trials 1 6

``halves`` trains nothing: it draws halves of the validation patients, chooses an epoch of each
complete trial by one half and judges it by the other, beside the trial's last epoch. ``test``
trains recipes on train + validation and scores the test part after both epochs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from optuna.trial import TrialState

from cxrsearch.data.marks import absent, present
from cxrsearch.learn.data import Pixels
from cxrsearch.learn.metrics import auroc, mean_auroc
from cxrsearch.learn.objective import load_trial_data
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.arrays import load_labels
from cxrsearch.learn.saved.epoch_scores import read_epoch_scores
from cxrsearch.learn.student import classifier_session
from cxrsearch.study.folder import load_alone, trial_config
from search.optimism import gain, influence
from search.store.record import read_study

EPOCH_RULES = {"the best epoch": 0.0, "best if ahead by 1 SE": 1.0, "best if ahead by 2 SE": 2.0}
FEWEST = 4
"""Epochs of a curve that says anything."""


def after(
    logits: list[np.ndarray], labels: np.ndarray, patients: np.ndarray, draws: int, seed: int = 0
) -> dict[str, float]:
    """Mean AUROC of the epoch that a rule takes by half of the patients, less that of the last.

    Args:
        logits: (n, k) after each epoch.
        labels: (n, k) in {0, 1, NaN}.
        patients: (n,).
        draws: halves.
        seed: of the draws.

    Returns:
        by rule, on the patients of the other half.
    """
    rng, people = np.random.default_rng(seed), np.unique(patients)
    found: dict[str, list[float]] = {rule: [] for rule in EPOCH_RULES}
    for _ in range(draws):
        here = np.isin(patients, rng.permutation(people)[: len(people) // 2])
        ours = [influence(labels[here], one[here], patients[here]) for one in logits]
        theirs = [influence(labels[~here], one[~here], patients[~here]).value for one in logits]
        best = int(np.argmax([one.value for one in ours]))
        lead, error = gain(ours[best], ours[-1])
        for rule, errors in EPOCH_RULES.items():
            taken = best if lead > errors * error else len(logits) - 1
            found[rule].append(theirs[taken] - theirs[-1])
    return {rule: float(np.mean(each)) for rule, each in found.items()}


def curves(study: Path) -> Iterator[tuple[int, list[np.ndarray], np.ndarray, np.ndarray]]:
    """(number, logits after each epoch, labels, patients) of the complete trials of a study."""
    known = load_labels(study / "labels.npz")
    place = {str(name): row for row, name in enumerate(known.names.tolist())}
    for trial in read_study(study).trials:
        said = read_epoch_scores(study / "trials" / str(trial.number))
        if trial.state != TrialState.COMPLETE or said is None or len(said.epochs) < FEWEST:
            continue
        rows = [place[str(name)] for name in said.names.tolist()]
        marks = known.labels[rows]
        labels = np.where(present(marks), 1.0, np.where(absent(marks), 0.0, np.nan))
        yield trial.number, list(said.scores.astype(np.float32)), labels, known.patients[rows]


def halves(studies: list[Path], draws: int) -> None:
    """Print what each rule does on each curve, and on all."""
    rows = []
    for study in studies:
        for number, logits, labels, patients in curves(study):
            found = after(logits, labels, patients, draws)
            rows.append(list(found.values()))
            told = ", ".join(f"{rule} {value:+.4f}" for rule, value in found.items())
            print(f"{study} trial {number}, {len(logits)} epochs: {told}", flush=True)
    if len(rows) < 2:
        print("too few curves for a standard error")
        return
    values = np.array(rows)
    errors = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    print(f"over the last epoch, {len(values)} curves, {draws} halvings each:")
    for rule, mean, error in zip(EPOCH_RULES, values.mean(axis=0), errors, strict=True):
        print(f"  {rule:24} {mean:+.4f} (SE {error:.4f})")


def test(study: Path, numbers: list[int]) -> None:
    """Train recipes on train + validation and print the test part's AUROC after both epochs."""
    config = trial_config(study, load_alone(study, cpus_per_trial=1))
    data = load_trial_data(config)
    place = {str(name): row for row, name in enumerate(data.names.tolist())}
    names = json.loads((study / "splits.json").read_text())["test"]
    rows = np.array([place[name] for name in names])
    every, trials = data.with_validation_for_training(), read_study(study).trials
    for number in numbers:
        attrs = trials[number].user_attrs
        recipe, best = Recipe.from_params(attrs["params"]), int(attrs["best_epoch"])
        with tempfile.TemporaryDirectory() as folder:
            session = classifier_session(
                recipe, every, seed=attrs["seed"], folder=Path(folder), compute=config.compute
            )
            learner = session.learner
            scores = {}
            for epoch in range(1, recipe.epochs + 1):
                learner.epoch(epoch)
                if epoch in (best, recipe.epochs):
                    seen = learner.scores(Pixels(every, rows, recipe, learner.device, learner.room))
                    found = auroc(data.labels[rows], seen)[list(data.columns)]
                    scores[epoch] = mean_auroc(found)
            session.close()
        print(
            f"{study} trial {number}: test AUROC {scores[best]:.4f} after epoch {best}, its best, "
            f"{scores[recipe.epochs]:.4f} after {recipe.epochs}, its last",
            flush=True,
        )


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked = parser.add_subparsers(dest="what", required=True)
    one = asked.add_parser("halves", help="from predictions that are kept")
    one.add_argument("studies", type=Path, nargs="+")
    one.add_argument("--draws", type=int, default=60)
    other = asked.add_parser("test", help="by training again")
    other.add_argument("study", type=Path)
    other.add_argument("--trials", type=int, nargs="+", required=True)
    given = parser.parse_args()
    if given.what == "halves":
        halves(given.studies, given.draws)
    else:
        test(given.study, given.trials)


if __name__ == "__main__":
    main()
