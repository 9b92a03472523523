"""For how many epochs a trial's recipe is trained where nothing is left to choose an epoch by.

The best of a trial's epochs is the luckiest of many, and rates fall to nothing towards the end of a
schedule, so that its last epochs are the calmest: a network that stops earlier has never settled.
So a recipe is trained to its end, unless an earlier epoch was so far ahead on validation that luck
does not explain it.
"""

from __future__ import annotations

from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from cxrsearch.errors import InputError
from cxrsearch.show.rows import mapping, whole
from cxrsearch.show.view import StudyView
from search.trials.marks import same_as

from .luck import Truth, epoch_scores, trial_folder

STANDARD_ERRORS = 2.0
"""Standard errors over patients by which an earlier epoch must lead."""


class TrainedFor(NamedTuple):
    """How long a recipe is trained.

    Args:
        epochs: of its schedule.
        reason: why that is not the trial's best epoch, in a sentence; empty where it is.
    """

    epochs: int
    reason: str = ""


def trained_for(view: StudyView, trial: FrozenTrial) -> TrainedFor | None:
    """The epochs to train a trial's recipe for; None where it has no best epoch.

    Its best epoch, too, where its schedule was not seen to the end.

    Args:
        view: of its study.
        trial: one of the search; for one that repeats another it is that one.
    """
    earlier = same_as(trial)
    if earlier is not None:
        trial = view.record.trials[earlier]
    best = whole(trial.user_attrs.get("best_epoch"))
    if not best:
        return None
    last = whole(mapping(trial.user_attrs.get("params")).get("epochs"))
    curve = trial.intermediate_values
    if last is None or trial.state != TrialState.COMPLETE or max(curve, default=0) != last:
        return TrainedFor(best)
    if best >= last or best not in curve:
        return TrainedFor(best)
    lead, error = curve[best] - curve[last], _error(view, trial.number, best, last)
    if error is not None and lead > STANDARD_ERRORS * error:
        return TrainedFor(best)
    known = "how sure that is cannot be said" if error is None else f"standard error {error:.4f}"
    return TrainedFor(
        last,
        f"Trial {trial.number} was best after epoch {best} of {last}, {lead:.4f} ahead of the last "
        f"({known}): its recipe is trained to the end.",
    )


def _error(view: StudyView, number: int, one: int, other: int) -> float | None:
    """The standard error over patients of the difference of two epochs; None: not known."""
    from search.optimism import gain, influence  # it loads SciPy

    try:
        truth = Truth.of(view)
        said = epoch_scores(trial_folder(view, number), truth, (one, other))
        if len(said) < 2:
            return None
        labels, patients = truth(said[one].names.tolist())
        found = [influence(labels, said[epoch].logits, patients) for epoch in (one, other)]
    except (InputError, ValueError):  # of files that are gone, or no longer the study's
        return None
    return gain(*found)[1]
