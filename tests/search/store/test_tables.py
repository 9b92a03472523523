"""The layout of Optuna's tables, as it is known here, against the Optuna that is installed."""

from __future__ import annotations

import ast
import inspect
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages._rdb import models
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, Trial
from packaging.requirements import Requirement

from search.errors import StudyError
from search.space import SearchSpace
from search.store import tables
from search.store.places import HISTORY
from search.store.record import read_study
from search.study import Study, StudyConfig

ROOT = Path(__file__).parents[3]
SPACE = SearchSpace.from_dict({"name": "s", "genes": {"x": {"low": 0.0, "high": 1.0}}}, "s")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Study.create(tmp_path / "s", SPACE, StudyConfig("s", "random", 0)) as study:
        study.ask()
    return tmp_path / "s"


def change(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / HISTORY)
    connection.execute(statement)
    connection.commit()
    connection.close()


# Should one of these fail with a new Optuna: compare its optuna/storages/_rdb/models.py with
# search/store, mend that, and then LAYOUT, COLUMNS, OPTUNA and the bound in pyproject.toml.


def test_this_optuna_makes_the_layout_that_is_known_here(tmp_path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/theirs.db")
    assert storage.get_head_version() == tables.LAYOUT
    made = sa.inspect(storage.engine)
    found = {
        name: tuple(column["name"] for column in made.get_columns(name))
        for name in made.get_table_names()
        if name in tables.COLUMNS
    }
    assert found == tables.COLUMNS


def test_this_optuna_has_every_private_part_that_is_used() -> None:
    parameters = {
        name: list(inspect.signature(part).parameters)
        for name, part in {
            "value": models.TrialValueModel.value_to_stored_repr,
            "of value": models.TrialValueModel.stored_repr_to_value,
            "step": models.TrialIntermediateValueModel.intermediate_value_to_stored_repr,
            "of step": models.TrialIntermediateValueModel.stored_repr_to_intermediate_value,
            "trial": FrozenTrial,
            "study": FrozenStudy,
        }.items()
    }
    assert parameters["value"] == parameters["step"] == ["value"]
    assert parameters["of value"] == parameters["of step"] == ["value", "float_type"]
    assert {"trial_id", "distributions", "intermediate_values"} <= set(parameters["trial"])
    assert {"study_id", "directions", "system_attrs"} <= set(parameters["study"])
    frozen = optuna.trial.create_trial(value=1.0)
    assert {"_trial_id", "_distributions"} <= vars(frozen).keys()
    study = optuna.create_study()
    assert {"_storage", "_study_id"} <= vars(study).keys()
    assert list(inspect.signature(Trial).parameters)[:2] == ["study", "trial_id"]
    # What samplers use, as Optuna's own do.
    assert callable(study._get_trials)
    assert callable(optuna.samplers.TPESampler._sample)
    assert optuna.distributions.FloatDistribution(0.0, 1.0)._contains(0.5)


def test_the_installed_optuna_is_within_the_bounds_and_the_bounds_end_after_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    found = next(r for r in map(Requirement, project["dependencies"]) if r.name == "optuna")
    assert found.specifier.contains(optuna.__version__)
    major, minor = map(int, optuna.__version__.split(".")[:2])
    assert not found.specifier.contains(f"{major}.{minor + 1}.0"), "no test has seen that one"
    assert f"{major}.{minor}" == tables.OPTUNA


def test_optuna_s_private_modules_are_imported_in_this_folder_alone() -> None:
    named = {
        path.parent.name
        for top in ("search", "cxrsearch")
        for path in (ROOT / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
        if name.startswith("optuna.") and "._" in name
    }  # fmt: skip
    assert named == {"store"}


def test_a_history_of_another_layout_says_which_and_what_to_do(folder: Path) -> None:
    change(folder, "update alembic_version set version_num = 'v9.0.0.a'")
    change(folder, "update version_info set library_version = '9.0.0'")
    said = r"layout v9\.0\.0\.a .*Optuna 9\.0\.0.* kept in v3\.2\.0\.a, that of Optuna 5\.0; run"
    for opened in (Study.open, read_study):
        with pytest.raises(StudyError, match=said):
            opened(folder)


def test_another_optuna_says_which_and_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    known = {**tables.COLUMNS, "trials": (*tables.COLUMNS["trials"], "heat")}
    monkeypatch.setattr(tables, "COLUMNS", known)
    said = r"Optuna \(\d.*another way than v3\.2\.0\.a.*\(trials\); install Optuna 5\.0"
    for opened in (Study.open, read_study):
        with pytest.raises(StudyError, match=said):
            opened(folder)
    with pytest.raises(StudyError, match=said):
        Study.create(tmp_path / "new", SPACE, StudyConfig("s", "random", 0))
    assert not (tmp_path / "new").exists()
