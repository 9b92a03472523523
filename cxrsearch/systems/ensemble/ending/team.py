"""A study's most promising trials put together: ``cxrsearch train STUDY --ensemble N``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble import NestedEstimate, nested
from cxrsearch.learn.ensemble.nested import FOLDS
from cxrsearch.learn.train import PREDICTIONS
from cxrsearch.model.folder import check_out
from cxrsearch.model.views import NONE
from cxrsearch.show.chosen import choice_of
from cxrsearch.show.plain_text import to_text
from cxrsearch.show.view import view_of
from cxrsearch.study.folder import read_study_yaml
from cxrsearch.study.settings import Settings
from cxrsearch.study.winner import Winner, length_of
from cxrsearch.systems.ensemble.combine import Combined
from cxrsearch.systems.ensemble.members import write_ensemble
from cxrsearch.systems.ensemble.pool import ALL, MemberPool, study_pool
from search.store.record import read_study

from .choice import MemberCandidate, member_candidates
from .equally import EQUALLY_AVERAGED, equal_weights, next_steps, projected
from .seen import choose_views


def train_ensemble(
    study: Path,
    out: Path,
    count: int,
    again: bool = False,
    length: int | None = None,
    tta: str = NONE,
    **moved: Any,
) -> Iterator[str]:
    """Put a study's most promising trials together, with equal weights, and write the folder.

    Their own weights are taken, which the search has paid for: nothing is trained, unless
    ``again``. What is promised is estimated on patients by whom no member was chosen: see
    `cxrsearch.learn.ensemble.nested`.

    Args:
        study: its folder.
        out: the ensemble folder to write.
        count: members at most.
        again: train each again, on train + validation. Goes on after a kill.
        length: epochs that their schedules are stretched to then; None: as they are.
        tta: what they predict the mean over, see `cxrsearch.model.views`; ``auto``: what gains on
            validation.
        moved: ``data``, ``labels`` and ``cache``, where they lie elsewhere now, and what else
            `cxrsearch.study.folder.load_alone` takes.

    Yields:
        lines that say what it is made of and how far it is.

    Raises:
        InputError: where fewer than two trials can be had, or something cannot be used.
    """
    if count < 2:
        raise InputError(f"--ensemble {count}: an ensemble has two members or more")
    check_out(out)
    pool = study_pool(study, ALL)
    record = read_study(study, Settings.from_dict(read_study_yaml(study)["settings"]).storage)
    view = view_of(record)
    chosen = choice_of(view)
    there = [int(name) for name in pool.names if again or name in pool.kept]
    ready = member_candidates(record, chosen, there)
    if len(ready) < 2:
        raise InputError(
            f"{study}: {len(pool.kept)} of its {len(pool.names)} complete trials have kept their "
            "weights, and an ensemble takes two or more; train its members again with --retrain"
        )
    team = ready[:count]
    order = [one.name for one in member_candidates(record, chosen, list(map(int, pool.names)))]
    last = max(order.index(one.name) for one in team)
    beyond = {name for name in order[:last] if int(name) not in there}
    combined = _combined(pool, team, beyond)
    yield describe_team(combined, team)
    yield from (f"note: {note}" for note in pool.notes)
    if len(team) < count:
        why = "are complete" if again else "have kept their weights and predictions"
        yield f"note: {len(team)} members, as no more trials {why}"
    best = chosen.recommended
    if best is not None and best not in (one.trial.number for one in team):
        lacks, way = "its weights", "--retrain trains every member again"
        if str(best) not in pool.names:
            lacks, way = f"its {PREDICTIONS}", "restore that from a copy"
        yield (
            f"note: trial {best}, the recommended one, has not kept {lacks} and is left out; {way}"
        )
    tried = pool.tried or len(pool.names)
    winners = {
        one.name: Winner(one.trial, length_of(view, one.trial, chosen).epochs, tried).of_length(
            length
        )
        for one in (team if again else ())
    }
    views = choose_views(study, [one.trial for one in team], tta, **moved)
    yield from filter(None, [views.reason])
    if again:
        yield from projected(study, winners.values())
    yield from write_ensemble(study, out, combined, winners if again else None, views.tta, **moved)
    yield next_steps(out)


def _combined(
    pool: MemberPool, team: Sequence[MemberCandidate], beyond: Collection[str]
) -> Combined:
    """The ensemble of ``team``, with what to expect of one that is chosen like it.

    Args:
        pool: all trials.
        team: the members.
        beyond: trials that would come before some of them, had they kept their weights: without
            these the members are chosen, and so their worth is estimated without them.
    """
    ensemble = equal_weights([one.name for one in team], pool.label_names)
    reasons = {one.name: one.why for one in team}
    return Combined(pool, ensemble, *_estimates(pool, len(team), beyond), reasons)


def _estimates(
    pool: MemberPool, count: int, beyond: Collection[str]
) -> tuple[tuple[NestedEstimate, ...], int]:
    """What ``count`` trials are worth together that are the best by other patients, but for those
    ``beyond``; and by how many folds. None where there are too few patients."""
    folds = min(FOLDS, len(np.unique(pool.patients)) // 2)
    if folds < 2:
        return (), folds
    try:
        within = [row for row, name in enumerate(pool.names) if name not in beyond]
        found = nested(
            pool.scores[within], pool.labels, pool.patients, ["uniform"],
            columns=pool.columns, averaging=EQUALLY_AVERAGED, most=count, folds=folds,
        )  # fmt: skip
    except ValueError:  # a fold takes all that are ill
        return (), folds
    return tuple(found), folds


def describe_team(combined: Combined, team: Sequence[MemberCandidate]) -> str:
    """Members and what they promise, as text.

    Args:
        combined: their ensemble.
        team: the members.
    """
    table = Table(box=None)
    for column in ("trial", "validation", "expected", ""):
        table.add_column(column, justify="left" if not column else "right")
    for one in team:
        expected = "" if one.expected is None else f"{one.expected:.4f}"
        table.add_row(one.name, f"{one.trial.values[0]:.4f}", expected, one.why)
    head = f"{len(team)} of {len(combined.pool.names)} trials with equal weights"
    return "\n".join((head, to_text(table), *_promise(combined)))


def _promise(combined: Combined) -> list[str]:
    if not combined.estimates:
        return ["note: too few patients validate to say what they are worth together"]
    _single, team = combined.estimates
    low, high = team.interval
    down, up = team.gain_interval
    return [
        f"promised: {team.nested:.3f} ({low:.3f} to {high:.3f}), mean AUROC on validation patients "
        "that had no part in the choice of the members",
        f"over the best single trial, chosen the same way: {team.gain:+.3f} ({down:+.3f} to "
        f"{up:+.3f})",
        f"note: {combined.pool.caution}",
    ]
