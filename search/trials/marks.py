"""The mark of a trial that was answered from the history; see `search.trials.repeats`."""

from __future__ import annotations

from optuna.trial import FrozenTrial

SAME_AS = "same_as"
"""Trial attribute: the number of the trial whose end it was given."""


def same_as(trial: FrozenTrial) -> int | None:
    """The trial that ``trial`` repeats; ``None`` where it is one of its own."""
    found = trial.user_attrs.get(SAME_AS)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
