"""Rows to be written to Optuna's tables, many of them in one transaction."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from optuna.storages._rdb import models

from search.errors import StudyError


@dataclass(frozen=True)
class Write:
    """One row: inserted, or where ``where`` (column -> value) says which one, updated.

    A trial that is made in the same transaction has no id yet; its rows carry the
    negative one that it has in memory.
    """

    model: Any
    values: Mapping[str, Any]
    where: Mapping[str, Any] | None = None


def new_id(number: int) -> int:
    """The id in memory of a trial whose row is not written yet."""
    return -number - 1


def write_all(connection: sa.Connection, study_id: int, writes: Sequence[Write]) -> dict[int, int]:
    """Write the rows in order; neighbours for one table go as one statement.

    Returns:
        the real id of each new trial, by its id in memory.

    Raises:
        StudyError: where the study has trials that this driver does not know.
    """
    ids: dict[int, int] = {}
    batch: list[dict[str, Any]] = []
    for index, write in enumerate(writes):
        values = _real(write.values, ids)
        if write.where is not None:
            where = _real(write.where, ids)
            given = {f"old_{k}": v for k, v in where.items()}
            given |= {f"new_{k}": v for k, v in values.items()}
            connection.execute(_update(write.model, tuple(where), tuple(values)), given)
        elif write.model is models.TrialModel:
            ids[new_id(values["number"])] = _insert_trial(connection, study_id, values)
        else:
            batch.append(values)
            after = writes[index + 1] if index + 1 < len(writes) else None
            if after is None or after.model is not write.model or after.where is not None:
                connection.execute(sa.insert(write.model), batch)
                batch = []
    return ids


def utc(local: datetime.datetime) -> datetime.datetime:
    """A trial's local time as Optuna's tables keep it: in UTC, without saying so."""
    return local.astimezone(datetime.UTC).replace(tzinfo=None)


@functools.lru_cache(maxsize=64)
def _update(model: Any, where: tuple[str, ...], columns: tuple[str, ...]) -> sa.Update:
    """The statement; to put one together takes as long as to run it."""
    table = model.__table__
    rows = [table.c[name] == sa.bindparam(f"old_{name}") for name in where]
    return sa.update(table).where(*rows).values({k: sa.bindparam(f"new_{k}") for k in columns})


def _real(values: Mapping[str, Any], ids: Mapping[int, int]) -> dict[str, Any]:
    if "trial_id" not in values:
        return dict(values)
    return {**values, "trial_id": ids.get(values["trial_id"], values["trial_id"])}


def _insert_trial(connection: sa.Connection, study_id: int, values: dict[str, Any]) -> int:
    trial = models.TrialModel
    key = connection.execute(
        sa.insert(trial).values(study_id=study_id, **values)
    ).inserted_primary_key
    assert key is not None
    trials = connection.execute(
        sa.select(sa.func.count()).select_from(trial).where(trial.study_id == study_id)
    ).scalar()
    if trials != values["number"] + 1:
        raise StudyError(
            "another program adds trials to this study; only its driver may: stop the other "
            "one, and resume"
        )
    return int(key[0])
