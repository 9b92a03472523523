"""A history that was changed since it was written gives the same values, or says so."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest

from search.errors import SearchError, StudyError
from search.objective import Outcome, Step
from search.space import SearchSpace
from search.store import places
from search.store.record import StudyRecord, read_study
from search.store.seal import KEY
from search.study import Study, StudyConfig
from search.trials.halving import Halving

SPACE = {
    "name": "small",
    "genes": {
        "kind": {"choices": ["a", "b"]},
        "x": {"low": 0.0, "high": 1.0},
        "n": {"type": "int", "low": 1, "high": 9, "when": {"kind": "b"}},
    },
    "points": [{"name": "by-hand", "params": {"kind": "a", "x": 0.25}}],
}
FLIPS = 400


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("studies") / "study"
    config = StudyConfig("small", "random", 3, halving=Halving(1, 2, 2))
    with Study.create(folder, SearchSpace.from_dict(SPACE, "small.yaml"), config) as study:
        study.set("target_trials", 7)
        for number in range(6):
            task = study.ask()
            study.report(number, Step(1, number / 7, {"auroc": {"Mass": number / 9}}))
            study.report(number, Step(2, number / 6))
            if number == 3:
                study.tell(number, Outcome.failed("crash", "a wire came loose"))
            else:
                study.tell(number, Outcome(number / 6, attrs={"seconds": 1.5}))
            study.span(task.number, "serial", 1.0, 2.0)
        study.ask()
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "study")
    return tmp_path / "study"


def told(record: StudyRecord) -> tuple[Any, ...]:
    """All that a history says, but for how it lies in its tables."""
    trials = [
        (t.number, t.state, t.values, t.params, t.distributions, t.user_attrs, t.system_attrs,
         t.intermediate_values, t.datetime_start, t.datetime_complete)
        for t in record.trials
    ]  # fmt: skip
    return record.config, record.space.to_dict(), record.attrs, trials


def change(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / places.HISTORY)
    for statement in statements:
        assert connection.execute(statement).rowcount, statement
    connection.commit()
    connection.close()


def test_flipped_bits_never_give_another_result(folder: Path) -> None:
    path = folder / places.HISTORY
    whole, before = path.read_bytes(), told(read_study(folder))
    random, refused = Random(7), 0
    used = [place for place, byte in enumerate(whole) if byte]  # most of a page is empty
    for _ in range(FLIPS):
        damaged = bytearray(whole)
        damaged[random.choice(used)] ^= 1 << random.randrange(8)
        path.write_bytes(damaged)
        try:
            found = told(read_study(folder))
        except SearchError:
            refused += 1
        else:
            assert found == before
    assert refused > FLIPS / 4


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("update trial_values set value=0.99 where trial_id=2", "trial 1 was changed"),
        ("update trials set state='PRUNED' where number=2", "trial 2 was changed"),
        ("update trials set state='HAPPY' where number=2", "HAPPY"),
        ("update trials set number=9 where number=2", "trial 2 is missing"),
        ("delete from trials where number=6", "of 7 trials only 6 are left"),
        ("update trial_params set param_value=0.3 where param_name='x' and trial_id=2", "trial 1"),
        ("update trial_params set param_value='x' where trial_id=2", "trial 1 is damaged"),
        ("update trial_params set distribution_json='{' where trial_id=2", "trial 1 is damaged"),
        ("update trial_params set param_value=7 where param_name='kind'", "trial 0 is damaged"),
        ("update trial_intermediate_values set intermediate_value=0.9 where step=2", "trial 0"),
        ("update trial_intermediate_values set intermediate_value='0.9e'", "trial 0 is damaged"),
        ("update trial_user_attributes set value_json='{' where trial_id=3", "trial 2 is damaged"),
        ("update trial_user_attributes set value_json=x'ff' where trial_id=3", "trial 2"),
        ("update trial_user_attributes set value_json=cast(x'ff22' as text)", "UTF-8"),
        ("update trial_user_attributes set value_json='\"x\"' where key='spans'", "trial 0 was"),
        ("delete from trial_user_attributes where key='seconds' and trial_id=2", "trial 1 was"),
        (f"delete from trial_system_attributes where key='{KEY}' and trial_id=2", "trial 1 has"),
        (f"update trial_system_attributes set value_json='[]' where key='{KEY}'", "trial 0"),
        ("update study_user_attributes set value_json='9' where key='target_trials'", "settings"),
        ("update study_user_attributes set value_json='{\"a\"' where key='target_trials'", "JSON"),
        (f"delete from study_system_attributes where key='{KEY}'", "digest is missing"),
        ("update study_directions set direction='MINIMIZE'", "settings"),
        ("update trials set datetime_start='yesterday' where number=1", "damaged"),
    ],
)
@pytest.mark.parametrize("opened", [read_study, Study.open])
def test_what_was_changed_is_named_with_the_way_out(
    folder: Path, statement: str, said: str, opened: Callable[[Path], Any]
) -> None:
    change(folder, statement)
    with pytest.raises(StudyError, match=said) as caught:
        opened(folder)
    for problem in caught.value.problems:
        assert problem.startswith(str(folder / places.HISTORY))
        assert "from a copy" in problem


def test_what_other_programs_add_is_left_alone(folder: Path) -> None:
    before = told(read_study(folder))
    url = f"sqlite:///{folder / places.HISTORY}"
    theirs = optuna.load_study(study_name="small", storage=url)
    theirs.set_user_attr("who", "a colleague")
    storage, trial = theirs._storage, theirs.trials[1]
    storage.set_study_system_attr(theirs._study_id, "note:0", {"text": float("nan")})
    for trial_id, key in ((trial._trial_id, "note:1"), (theirs.trials[6]._trial_id, "note:2")):
        change(
            folder,
            "insert into trial_user_attributes (trial_id, key, value_json) values "
            f"({trial_id}, '{key}', '\"good\"')",
        )
    theirs.enqueue_trial({"x": 0.5})
    theirs.add_trial(optuna.trial.create_trial(value=0.1, user_attrs={"seed": "own", "params": 1}))
    record = read_study(folder)
    assert [t.number for t in record.trials] == list(range(9))
    assert record.trials[1].user_attrs["note:1"] == "good"
    for place, trial in enumerate(record.trials[:7]):
        assert trial.values == before[3][place][2]
    with Study.open(folder) as study:
        assert study.unfinished()
        number = study.ask().number
        study.tell(number, Outcome(0.5))
    assert number == 9
    assert read_study(folder).trials[7].params["x"] == 0.5


def test_a_study_of_an_earlier_version_opens_and_its_new_trials_are_protected(
    folder: Path,
) -> None:
    change(
        folder,
        f"delete from trial_system_attributes where key='{KEY}'",
        f"delete from study_system_attributes where key='{KEY}'",
    )
    before = told(read_study(folder))
    with Study.open(folder) as study:
        number = study.ask().number
        study.tell(number, Outcome(0.75))
    after = told(read_study(folder))
    assert after[3][:7] == before[3]
    change(folder, "update trial_values set value=0.5 where trial_id=2")  # of before: believed
    read_study(folder)
    change(folder, f"update trial_values set value=0.9 where trial_id={number + 1}")
    with pytest.raises(StudyError, match=f"trial {number} was changed"):
        read_study(folder)


@pytest.mark.parametrize(
    ("key", "value"), [("attempt", "x"), ("spans", 3), ("params", []), ("seed", None)]
)
def test_an_attribute_of_another_type_is_noticed_without_a_digest_too(
    folder: Path, key: str, value: Any
) -> None:
    text = json.dumps(value)
    change(
        folder,
        f"delete from trial_system_attributes where key='{KEY}'",
        f"delete from study_system_attributes where key='{KEY}'",
        f"update trial_user_attributes set value_json='{text}' where key='{key}' and trial_id=2",
    )
    with pytest.raises(StudyError, match="trial 1 is damaged"):
        read_study(folder)
