"""Read a whole history in one snapshot, as Optuna's own frozen trials."""

from __future__ import annotations

import datetime
import functools
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from .errors import StudyError
from .settings import MARK


@dataclass
class Stored:
    """What the database holds of one study. ``trials[k]`` has number ``k``."""

    study_id: int
    name: str
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    directions: list[StudyDirection]
    trials: list[FrozenTrial]


def load(connection: sa.Connection, name: str | None, hint: str) -> Stored:
    """Everything about the study ``name``, or about the only one there is.

    Args:
        connection: within one transaction, so that all queries see one state.
        name: the study's name where it is known.
        hint: a name to try when there are several.

    Raises:
        StudyError: where there is no such study, or another Optuna made the tables.
    """
    version = connection.execute(sa.select(models.VersionInfoModel.schema_version)).scalar()
    if version != models.SCHEMA_VERSION:
        raise StudyError(
            f"the history has table layout {version}, this Optuna ({optuna.__version__}) works "
            f"with {models.SCHEMA_VERSION}; install the Optuna that made it, or run "
            "`optuna storage upgrade` on a copy"
        )
    study_id, found = _find(connection, name, hint)
    return Stored(
        study_id,
        found,
        _attributes(connection, models.StudyUserAttributeModel, study_id),
        _attributes(connection, models.StudySystemAttributeModel, study_id),
        _directions(connection, study_id),
        _trials(connection, study_id),
    )


def _find(connection: sa.Connection, name: str | None, hint: str) -> tuple[int, str]:
    study, mark = models.StudyModel, models.StudyUserAttributeModel
    rows = connection.execute(
        sa.select(study.study_id, study.study_name, mark.key)
        .join(mark, (mark.study_id == study.study_id) & (mark.key == MARK), isouter=True)
        .order_by(study.study_id)
    ).all()
    ours = {row[1]: row[0] for row in rows if row[2] is not None}
    if not ours:
        others = ", ".join(repr(row[1]) for row in rows[:3])
        raise StudyError(
            f"the history holds studies that were not made here ({others})"
            if rows
            else "the history holds no study; it was cut off while being made: make it again"
        )
    wanted = name if name is not None else next(iter(ours)) if len(ours) == 1 else hint
    if wanted not in ours:
        known = ", ".join(sorted(ours))
        raise StudyError(f"the history holds no study named {wanted!r}; it has {known}")
    return ours[wanted], wanted


def _attributes(connection: sa.Connection, model: Any, study_id: int) -> dict[str, Any]:
    rows = connection.execute(
        sa.select(model.key, model.value_json).where(model.study_id == study_id)
    )
    return {key: json.loads(value) for key, value in rows}


def _directions(connection: sa.Connection, study_id: int) -> list[StudyDirection]:
    model = models.StudyDirectionModel
    rows = connection.execute(
        sa.select(model.direction).where(model.study_id == study_id).order_by(model.objective)
    )
    return [row[0] for row in rows]


@functools.lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return optuna.distributions.json_to_distribution(text)


def _grouped(connection: sa.Connection, study_id: int, key: Any, *columns: Any) -> dict[int, Any]:
    """Rows of a table beside `trials`, by trial id, in the order they were written."""
    trial = models.TrialModel
    rows = connection.execute(
        sa.select(columns[0].class_.trial_id, *columns)
        .join(trial, trial.trial_id == columns[0].class_.trial_id)
        .where(trial.study_id == study_id)
        .order_by(key)
    )
    found: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row[1:])
    return found


def _local(utc: datetime.datetime | None) -> datetime.datetime | None:
    """Optuna's tables keep UTC, its trials local time, both without saying so."""
    if utc is None:
        return None
    return utc.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)


def _trials(connection: sa.Connection, study_id: int) -> list[FrozenTrial]:
    trial = models.TrialModel.__table__.c
    param = models.TrialParamModel
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    params = _grouped(
        connection, study_id, param.param_id, param.param_name, param.param_value,
        param.distribution_json,
    )  # fmt: skip
    values = _grouped(connection, study_id, value.objective, value.value, value.value_type)
    steps = _grouped(
        connection, study_id, step.trial_intermediate_value_id, step.step,
        step.intermediate_value, step.intermediate_value_type,
    )  # fmt: skip
    users = _grouped(connection, study_id, user.trial_user_attribute_id, user.key, user.value_json)
    systems = _grouped(
        connection, study_id, system.trial_system_attribute_id, system.key, system.value_json
    )
    rows = connection.execute(
        sa.select(
            trial.trial_id, trial.number, trial.state, trial.datetime_start,
            trial.datetime_complete,
        )
        .where(trial.study_id == study_id)
        .order_by(trial.number)
    )  # fmt: skip
    return [
        FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[value.stored_repr_to_value(*v) for v in values.get(key, ())] or None,
            datetime_start=_local(started),
            datetime_complete=_local(completed),
            params={n: _distribution(d).to_external_repr(v) for n, v, d in params.get(key, ())},
            distributions={n: _distribution(d) for n, _, d in params.get(key, ())},
            user_attrs={k: json.loads(v) for k, v in users.get(key, ())},
            system_attrs={k: json.loads(v) for k, v in systems.get(key, ())},
            intermediate_values={
                s: step.stored_repr_to_intermediate_value(*v) for s, *v in steps.get(key, ())
            },
            trial_id=key,
        )
        for key, number, state, started, completed in rows
    ]
