"""Optuna's tables: their layout, how a study is made in them, and rows of a transaction.

The tables are Optuna's own (`optuna.storages.RDBStorage` makes them), so that
optuna-dashboard and every Optuna tool open the same history. SQLite unless a URL names
another database.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from sqlalchemy.pool import NullPool

from search.errors import StudyError
from search.files import replace_file
from search.study_config import IDENTITY

from .connections import hold, lock_key, readable_errors, sqlite_writer, writing_engine
from .places import HistoryPlace, check_local
from .seal import KEY, StudySeal, sealed, study_content

LAYOUT = "v3.2.0.a"
"""The layout of Optuna's tables that is written and read here, as Optuna names its revisions.

Optuna keeps it in the history. Its ``SCHEMA_VERSION`` says nothing: it is not changed any more.
"""

COLUMNS: dict[str, tuple[str, ...]] = {
    "studies": ("study_id", "study_name"),
    "study_directions": ("study_direction_id", "direction", "study_id", "objective"),
    "study_user_attributes": ("study_user_attribute_id", "study_id", "key", "value_json"),
    "study_system_attributes": ("study_system_attribute_id", "study_id", "key", "value_json"),
    "trials": ("trial_id", "number", "study_id", "state", "datetime_start", "datetime_complete"),
    "trial_user_attributes": ("trial_user_attribute_id", "trial_id", "key", "value_json"),
    "trial_system_attributes": ("trial_system_attribute_id", "trial_id", "key", "value_json"),
    "trial_params": ("param_id", "trial_id", "param_name", "param_value", "distribution_json"),
    "trial_values": ("trial_value_id", "trial_id", "objective", "value", "value_type"),
    "trial_intermediate_values": (
        "trial_intermediate_value_id", "trial_id", "step", "intermediate_value",
        "intermediate_value_type",
    ),
    "version_info": ("version_info_id", "schema_version", "library_version"),
}  # fmt: skip
"""The tables of `LAYOUT` that are used here, and their columns."""

OPTUNA = "5.0"
"""The versions of Optuna whose tables are laid out so, and which the tests have seen."""

METRICS = "study:metric_names"


def check_installed() -> None:
    """Refuse an Optuna that lays its tables out in another way than the code here knows.

    Raises:
        StudyError: naming both, what differs, and the way out.
    """
    tables = models.BaseModel.metadata.tables
    found = {name: tuple(t.columns.keys()) for name, t in tables.items() if name in COLUMNS}
    differs = [
        name for name, columns in COLUMNS.items() if set(found.get(name, ())) != set(columns)
    ]
    if differs:
        raise StudyError(
            f"the installed Optuna ({optuna.__version__}) lays out its tables in another way than "
            f"{LAYOUT}, that of Optuna {OPTUNA}, which studies are kept in ({', '.join(differs)}); "
            f"install Optuna {OPTUNA}"
        )


def check_layout(connection: sa.Connection) -> None:
    """Refuse a history, or an Optuna, whose tables are not laid out as the code here knows them.

    Raises:
        StudyError: naming both layouts, and the way out.
    """
    check_installed()
    maker = connection.execute(sa.select(models.VersionInfoModel.library_version)).scalar()
    found = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if found != LAYOUT:
        raise StudyError(
            f"the history has the table layout {found} (it was made by Optuna {maker}), studies "
            f"are kept in {LAYOUT}, that of Optuna {OPTUNA}; run `optuna storage upgrade` of that "
            "Optuna on a copy of an older history, and open a newer one with the version of this "
            "program that made it"
        )


# Making


def create(
    place: HistoryPlace,
    name: str,
    attrs: Mapping[str, Any],
    directions: Sequence[str] = ("maximize",),
    metrics: Sequence[str] = (),
) -> None:
    """Make an empty history for the study ``name`` with the user attributes ``attrs``.

    In a database that is not SQLite the tables must be there: `make_tables`.

    ``directions`` and ``metrics`` are as in `search.study_config.StudyConfig`.

    A SQLite history is made under a temporary name and renamed when whole; elsewhere the
    study and its attributes are one transaction. So a kill leaves all of it or nothing.

    Raises:
        StudyError: where there is one already or the database cannot be used.
    """
    if place.path is None or place.path.exists():
        with readable_errors(place):
            _create_in(place, name, attrs, directions, metrics)
        return
    check_local(place.path.parent)
    place.path.parent.mkdir(parents=True, exist_ok=True)
    for left in place.path.parent.glob(f".{place.path.name}.new*"):
        left.unlink(missing_ok=True)
    new = HistoryPlace(place.path.with_name(f".{place.path.name}.new"), None)
    assert new.path is not None
    with readable_errors(place):
        _create_in(new, name, attrs, directions, metrics)
    replace_file(new.path, place.path)


def _create_in(
    place: HistoryPlace,
    name: str,
    attrs: Mapping[str, Any],
    directions: Sequence[str],
    metrics: Sequence[str],
) -> None:
    if place.path is not None:
        _tables(place).engine.dispose()
    engine = writing_engine(place)
    try:
        hold(engine, name)
        with engine.begin() as connection:
            taken = connection.execute(
                sa.select(models.StudyModel.study_id).where(models.StudyModel.study_name == name)
            ).first()
            if taken is not None:
                raise StudyError(
                    f"{place}: holds a study named {name!r} already; go on with it, or choose "
                    "another name"
                )
            key = connection.execute(
                sa.insert(models.StudyModel).values(study_name=name)
            ).inserted_primary_key
            assert key is not None
            connection.execute(
                sa.insert(models.StudyDirectionModel),
                [
                    {"direction": StudyDirection[d.upper()], "study_id": key[0], "objective": i}
                    for i, d in enumerate(directions)
                ],
            )
            # Optuna's own place for them (`Study.set_metric_names`): its plots read it.
            system = {METRICS: list(metrics)} if metrics else {}
            user = json.loads(json.dumps(attrs))  # as it is read back
            seal = StudySeal(frozenset(user), frozenset(system))
            ways = [StudyDirection[d.upper()] for d in directions]
            content = study_content(name, ways, {"user": user, "system": system}, seal, {})
            texts = {k: json.dumps(v) for k, v in system.items()} | {KEY: sealed(seal, content)}
            for model, cells in (
                (models.StudySystemAttributeModel, texts),
                (models.StudyUserAttributeModel, {k: json.dumps(v) for k, v in user.items()}),
            ):
                rows = [{"study_id": key[0], "key": k, "value_json": v} for k, v in cells.items()]
                connection.execute(sa.insert(model), rows)
    finally:
        engine.dispose()


def _tables(place: HistoryPlace) -> optuna.storages.RDBStorage:
    """Optuna's own storage, which makes its tables where they are missing."""
    check_installed()
    options: dict[str, Any] = {"poolclass": NullPool}
    if place.path is not None:
        options["creator"] = sqlite_writer(place.path)
    url = "sqlite://" if place.path is not None else (place.url or "")
    storage = optuna.storages.RDBStorage(url, engine_kwargs=options)
    storage.remove_session()
    return storage


def make_tables(place: HistoryPlace) -> None:
    """Make the tables in a database that is not SQLite, where they are missing.

    Raises:
        StudyError: where the database cannot be used.
    """
    with readable_errors(place):
        engine = writing_engine(place)
        try:
            with engine.begin() as connection:
                if engine.dialect.name == "postgresql":  # two who make them would collide
                    key = lock_key(connection, "")
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
                _tables(place).engine.dispose()
        finally:
            engine.dispose()


def delete(place: HistoryPlace) -> None:
    """Delete the history of a study that has no trial, where there is one.

    Of a database, only the study whose identity ``place`` knows.

    Raises:
        StudyError: where it cannot be deleted, or somebody is running it.
    """
    if place.url is None:
        assert place.path is not None
        for left in place.path.parent.glob(f"{place.path.name}*"):
            left.unlink(missing_ok=True)
        return
    if place.name is None or place.identity is None or (place.path and not place.path.exists()):
        return
    study, attribute = models.StudyModel, models.StudyUserAttributeModel
    with readable_errors(place):
        engine = writing_engine(place)
        try:
            hold(engine, place.name)
            with engine.begin() as connection:
                found = connection.execute(
                    sa.select(study.study_id)
                    .join(attribute, attribute.study_id == study.study_id)
                    .where(study.study_name == place.name, attribute.key == IDENTITY)
                    .where(attribute.value_json == json.dumps(place.identity))
                    .where(~sa.exists().where(models.TrialModel.study_id == study.study_id))
                ).scalar()
            if found is not None:
                storage = _tables(place)
                storage.delete_study(found)
                storage.engine.dispose()
        finally:
            engine.dispose()


# Rows


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
