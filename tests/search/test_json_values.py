"""What an objective says is stored so that it is read back, whatever it says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.budget import Budget
from search.json_values import plain
from search.objective import Outcome, Step, Steps, Task
from search.reading import DEEPEST
from search.serial import run_serial
from search.space import SearchSpace
from search.store.record import read_study
from search.study import Study, StudyConfig

SPACE = {
    "genes": {"x": {"low": -1.0, "high": 1.0}},
    "points": [{"name": "zero", "params": {"x": -0.0}}],
}


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def ran(folder: Path, step: Step, error: str = "") -> Any:
    """The first trial, as it is read back, of an objective that says ``step``."""

    def objective(task: Task) -> Steps:
        yield step
        if error:
            raise RuntimeError(error)
        return Outcome(step.value, attrs=step.attrs)

    space = SearchSpace.from_dict(SPACE, "s")
    with Study.create(folder / "s", space, StudyConfig("s", "genetic", 3)) as study:
        run_serial(study, objective, Budget(trials=1))
        written = study.trials()[0]
    read = read_study(folder / "s").trials[0]
    assert read.user_attrs == written.user_attrs
    with Study.open(folder / "s") as study:
        assert study.trials()[0].values == read.values
    return read


def test_the_sign_of_a_zero_damages_no_history(tmp_path: Path) -> None:
    read = ran(tmp_path, Step(1, -0.0))
    assert (read.value, read.params["x"], read.intermediate_values[1]) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("attrs", "stored"),
    [
        ({"note": "half \ud83d of one"}, {"note": "half \\ud83d of one"}),
        ({"name": "R\udcf6ntgen.png"}, {"name": "R\udcf6ntgen.png"}),
        ({"R\udcf6ntgen.png": 1}, {"R\\udcf6ntgen.png": 1}),
        ({"inner": {"\ud83d": 1}}, {"inner": {"\\ud83d": 1}}),
        ({"large": 10**400}, {"large": 10**400}),
        ({"larger": 16**5000}, {"larger": "0x1" + "0" * 5000}),
        ({"deep": nested(DEEPEST - 2)}, {"deep": nested(DEEPEST - 2)}),
    ],
)
def test_odd_attributes_are_read_back(
    tmp_path: Path, attrs: dict[str, Any], stored: dict[str, Any]
) -> None:
    read = ran(tmp_path, Step(1, 0.5, attrs))
    assert {name: read.user_attrs[name] for name in stored} == stored


def test_what_is_nested_too_deeply_becomes_its_text(tmp_path: Path) -> None:
    assert ran(tmp_path, Step(1, 0.5, {"deep": nested(300)})).state.name == "COMPLETE"
    endless: list[Any] = []
    endless.append(endless)
    assert "..." in str(plain(endless))


def test_an_error_with_half_a_character_is_kept(tmp_path: Path) -> None:
    assert "\\ud83d" in ran(tmp_path, Step(1, 0.5), "no such file: \ud83d").user_attrs["detail"]


@pytest.mark.parametrize("number", [-1, 2**31, 10**300])
def test_a_step_without_a_usable_number_fails_its_trial(tmp_path: Path, number: int) -> None:
    read = ran(tmp_path, Step(number, 0.5))
    assert read.user_attrs["reason"] == "crash"
    assert "number of a step" in read.user_attrs["detail"]
