"""Read a whole history in one snapshot, as Optuna's own frozen trials."""

from __future__ import annotations

import datetime
import functools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search.errors import StudyError
from search.reading import RESTORE, FileError, parse_json
from search.study_config import STUDY_CONFIG

from .seal import KEY, Hashes, Seal, StudySeal, fits, study_content, trial_content
from .tables import check_layout

DAMAGE = (
    FileError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError,
    AssertionError,
)  # fmt: skip
"""What reading a damaged row may raise, in Optuna and in SQLAlchemy."""

MOST_NAMED = 5
"""At most so many damaged trials are named."""

_TYPES: dict[str, type | tuple[type, ...]] = {
    "seed": int, "generation": int, "attempt": int, "params": dict,
    "deaths": int, "died_at": int, "spans": list, "started": (int, float),
}  # fmt: skip
"""Of attributes that going on relies on."""


@dataclass
class Stored:
    """What the database holds of one study. ``trials[k]`` has number ``k``.

    ``seal`` and ``seals``, by the number of a trial, say what their digests cover.
    """

    study_id: int
    name: str
    user_attrs: dict[str, Any]
    system_attrs: dict[str, Any]
    directions: list[StudyDirection]
    trials: list[FrozenTrial]
    seal: StudySeal | None = None
    seals: dict[int, Seal] = field(default_factory=dict)

    def content(self, seal: StudySeal, hashes: Hashes) -> Any:
        """What the digest of the study is of; see `search.store.seal.study_content`."""
        attrs = {"user": self.user_attrs, "system": self.system_attrs}
        return study_content(self.name, self.directions, attrs, seal, hashes)

    def copied(self) -> Stored:
        """The same, to come back to: what is put into it later is not in the copy."""
        return replace(
            self,
            user_attrs=dict(self.user_attrs),
            system_attrs=dict(self.system_attrs),
            trials=list(self.trials),
            seals=dict(self.seals),
        )


def load(connection: sa.Connection, name: str | None, hint: str) -> Stored:
    """Everything about the study ``name``, or about the only one there is.

    Args:
        connection: within one transaction, so that all queries see one state.
        name: the study's name where it is known.
        hint: a name to try when there are several.

    Raises:
        StudyError: where there is no such study, where the tables have another layout, or where
            something in it is damaged, or was changed since it was written.
    """
    try:
        return _load(connection, name, hint)
    except DAMAGE as error:
        raise StudyError(f"the history is damaged ({_first(error)}); {RESTORE}") from error


def _load(connection: sa.Connection, name: str | None, hint: str) -> Stored:
    check_layout(connection)
    study_id, found = _find(connection, name, hint)
    user = _attributes(connection, models.StudyUserAttributeModel, study_id)
    system = _attributes(connection, models.StudySystemAttributeModel, study_id)
    mark = system.pop(KEY, None)
    directions = _directions(connection, study_id)
    trials, marks = _trials(connection, study_id)
    stored = Stored(study_id, found, user, system, directions, trials)
    _check(stored, mark, marks)
    return stored


def _check(stored: Stored, mark: Any, marks: Mapping[int, Any]) -> None:
    """Compare a history with its digests, and keep what these cover."""
    problems = []
    for trial in stored.trials:
        if (value := marks.get(trial.number)) is None:
            if not _is_whole(trial, len(stored.directions)):
                problems.append(f"trial {trial.number} is damaged")
            continue
        seal = stored.seals[trial.number] = Seal.of(value)
        if not fits(seal, value, trial_content(trial, seal)):
            problems.append(f"trial {trial.number} was changed since it was written")
    if mark is None and marks:
        problems.append("the study's own digest is missing")
    elif mark is not None:
        study = stored.seal = StudySeal.of(mark)
        if not fits(study, mark, stored.content(study, {})):
            problems.append("the study's settings were changed since they were written")
        if (found := len(stored.trials)) < study.trials:
            problems.append(f"of {study.trials} trials only {found} are left")
        problems += [
            f"trial {number} has lost its digest"
            for number in range(min(found, study.trials))
            if number not in stored.seals and number not in study.without
        ]
    if problems:
        more = [f"and {len(problems) - MOST_NAMED} more of this kind"]
        shown = problems[:MOST_NAMED] + more * (len(problems) > MOST_NAMED)
        raise StudyError([f"{problem}; {RESTORE}" for problem in shown])


def _is_whole(trial: FrozenTrial, objectives: int) -> bool:
    """Whether nothing in a trial without a digest has another type than it must have."""
    if trial.state == TrialState.COMPLETE and len(trial.values or ()) != objectives:
        return False
    attrs = trial.user_attrs
    if len(_TYPES.keys() & attrs.keys()) < 3:
        return True  # another program's, whose attributes may be called the same
    return all(
        isinstance(attrs[key], kind) and not isinstance(attrs[key], bool)
        for key, kind in _TYPES.items()
        if key in attrs
    )


def _find(connection: sa.Connection, name: str | None, hint: str) -> tuple[int, str]:
    study, mark = models.StudyModel, models.StudyUserAttributeModel
    rows = connection.execute(
        sa.select(study.study_id, study.study_name, mark.key)
        .join(mark, (mark.study_id == study.study_id) & (mark.key == STUDY_CONFIG), isouter=True)
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
    return {key: _cell(value) for key, value in rows}


def _cell(text: Any) -> Any:
    """The value in a cell of JSON. Other programs may have written NaN into theirs."""
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} in the place of JSON")
    return parse_json(text, "its JSON", foreign=True)


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


def _trials(connection: sa.Connection, study_id: int) -> tuple[list[FrozenTrial], dict[int, Any]]:
    """All trials, and by the number of a trial what its digest's attribute says."""
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
    found, marks = [], {}
    for place, (key, number, state, started, completed) in enumerate(rows):
        if number != place:
            twice = f"trial {number} is there twice, as two programs wrote to it at once"
            problem = twice if number < place else f"trial {place} is missing"
            raise StudyError(f"{problem}; {RESTORE}")
        try:
            dists = {n: _distribution(d) for n, _, d in params.get(key, ())}
            attrs = {k: _cell(v) for k, v in systems.get(key, ())}
            mark = attrs.pop(KEY, None)
            made = FrozenTrial(
                number=number,
                state=state,
                value=None,
                values=[_float(value.stored_repr_to_value(*v)) for v in values.get(key, ())]
                or None,
                datetime_start=_local(started),
                datetime_complete=_local(completed),
                params={n: dists[n].to_external_repr(v) for n, v, _ in params.get(key, ())},
                distributions=dists,
                user_attrs={k: _cell(v) for k, v in users.get(key, ())},
                system_attrs=attrs,
                intermediate_values={
                    s: _float(step.stored_repr_to_intermediate_value(*v))
                    for s, *v in steps.get(key, ())
                },
                trial_id=key,
            )
            if mark is not None:
                marks[number] = mark
                Seal.of(mark)
        except DAMAGE as error:
            raise StudyError(f"trial {number} is damaged ({_first(error)}); {RESTORE}") from error
        found.append(made)
    return found, marks


def _float(value: Any) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{type(value).__name__} in the place of a number")
    return float(value)


def _first(error: BaseException) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
