"""For how many epochs a recipe is trained where no validation part is left."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cxrsearch.show import chosen as module
from cxrsearch.show.chosen import choice_of
from cxrsearch.show.worth.schedule import trained_for
from cxrsearch.study.winner import length_of

SETTLED, TIRED = (0.1, 1.1, 1.0), (0.1, 6.0, 0.3)
"""How good each epoch is: the second is hardly better than the last; it is far better."""


@pytest.fixture(autouse=True)
def forgotten() -> None:
    """Nothing is held from another test."""
    module._memory.clear()


def trial_of(make: SimpleNamespace, folder: Path, strength: Any, epochs: int = 3, **given: Any):
    """(its view, a trial of ``epochs`` whose best is the second)."""
    params = {"model": "densenet121", "lr": 1e-3, "epochs": epochs}
    trial = make.files(folder).trial(0, strength=strength, params=params, **given)
    trial.user_attrs["best_epoch"] = 2
    trial.intermediate_values[2] = max(trial.intermediate_values.values()) + 1e-4
    return make.view([trial], folder=folder), trial


def test_a_lead_within_luck_is_trained_to_the_end_and_said(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    view, trial = trial_of(make, tmp_path, SETTLED)
    found = trained_for(view, trial)
    assert found is not None
    assert found.epochs == 3
    lead = trial.intermediate_values[2] - trial.intermediate_values[3]
    head = f"Trial 0 was best after epoch 2 of 3, {lead:.4f} ahead of the last (standard error 0.0"
    assert found.reason.startswith(head)
    chosen = choice_of(view)
    assert (chosen.steps, chosen.recommendation) == (3, (found.reason,))
    module._memory.clear()
    kept = choice_of(view)  # of chosen.json
    assert (kept.steps, kept.recommendation) == (3, (found.reason,))


def test_an_epoch_that_is_clearly_better_than_the_last_is_trained_to(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    view, trial = trial_of(make, tmp_path, TIRED)
    assert trained_for(view, trial) == (2, "")
    chosen = choice_of(view)
    assert (chosen.steps, chosen.recommendation) == (2, ())


def test_a_schedule_whose_end_was_not_seen_is_trained_to_the_best_epoch(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    for state, epochs in (("pruned", 3), ("complete", 30)):
        view, trial = trial_of(make, tmp_path / state, SETTLED, epochs, state=state)
        assert trained_for(view, trial) == (2, "")


def test_where_nothing_says_how_sure_a_lead_is_the_schedule_is_trained_to_its_end(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    view, trial = trial_of(make, tmp_path, TIRED)
    (tmp_path / "trials" / "0" / "epochs.npz").unlink()
    found = trained_for(view, trial)
    assert found is not None
    assert found.epochs == 3
    assert "(how sure that is cannot be said): its recipe is trained to the end." in found.reason


def test_a_repeat_is_trained_as_the_trial_that_it_repeats(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    view, trial = trial_of(make, tmp_path, TIRED)
    again = make.repeat(1, 0, params=dict(trial.params), value=trial.value)
    view = make.view([trial, again], folder=tmp_path)
    assert trained_for(view, again) == (2, "")


def test_what_reruns_have_said_goes_before_what_the_trial_says(
    make: SimpleNamespace, tmp_path: Path
) -> None:
    view, trial = trial_of(make, tmp_path, SETTLED)
    chosen = choice_of(view)
    assert length_of(view, trial, replace(chosen, steps=1)) == (1, "")
    assert length_of(view, trial, replace(chosen, steps=9)).epochs == 3
    assert length_of(view, trial, replace(chosen, recommended=7, steps=1)).epochs == 3
    assert length_of(view, trial).epochs == 3


def test_a_trial_without_a_best_epoch_has_no_length(make: SimpleNamespace) -> None:
    view = make.view([make.trial(0, "failed")])
    assert trained_for(view, view.record.trials[0]) is None
