"""A study's winner trained with several seeds: ``cxrsearch train STUDY --seeds K``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import load_labels
from cxrsearch.model.folder import check_out
from cxrsearch.model.views import NONE
from cxrsearch.study.folder import read_study_yaml
from cxrsearch.study.settings import Settings
from cxrsearch.study.winner import winner_of
from cxrsearch.systems.ensemble.members import write_retrained
from search.seeds import derive
from search.store.record import read_study

from .equally import equal_weights, next_steps, projected
from .lessons import lessons_of
from .seen import choose_views

MOST_TRAININGS = 100
"""Trainings of one recipe at most."""


def train_seeds(
    study: Path,
    out: Path,
    seeds: int,
    number: int | None = None,
    length: int | None = None,
    tta: str = NONE,
    teachers: int | None = None,
    **moved: Any,
) -> Iterator[str]:
    """Train a study's winner several times, with another seed each time, and average them.

    Each is trained as `cxrsearch.study.winner.train_winner` does, the first with the trial's own
    seed. What is promised is what the winner promises: the average is worth at least about that.

    Args:
        study: its folder.
        out: the ensemble folder to write.
        seeds: how often.
        number: the trial; None: the recommended one.
        length: epochs that its schedule is stretched to; None: as it is.
        tta: as for `cxrsearch.systems.ensemble.ending.team.train_ensemble`.
        teachers: trials that each of them learns from too, see `lessons_of`; None: none.
        moved: as for `cxrsearch.systems.ensemble.ending.team.train_ensemble`.

    Yields:
        lines that say what is trained and how far it is.

    Raises:
        InputError: where something cannot be used.
    """
    if not 2 <= seeds <= MOST_TRAININGS:
        raise InputError(f"--seeds {seeds}: must be from 2 to {MOST_TRAININGS}")
    check_out(out)
    asked = Settings.from_dict(read_study_yaml(study)["settings"])
    winner = winner_of(read_study(study, asked.storage), number).of_length(length)
    views = choose_views(study, [winner.trial], tta, **moved)
    lessons = lessons_of(study, teachers, winner, **moved)
    winner = winner._replace(tta=views.tta, lessons=lessons)
    labels = load_labels(study / "labels.npz").label_names
    winners = {
        f"{winner.trial.number}-seed-{place}": winner._replace(
            seed=None if place == 1 else derive(winner.trained_with, "ensemble", place)
        )
        for place in range(1, seeds + 1)
    }
    told = None if lessons is None else lessons.sentence
    yield from filter(None, [*winner.reasons, views.reason, told])
    yield from projected(study, winners.values())
    ensemble = equal_weights(tuple(winners), labels)
    yield from write_retrained(study, out, ensemble, winners, **moved)
    yield next_steps(out)
