from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.objectives import parse_objective
from cxrsearch.study.prepare import resolve_sampler
from cxrsearch.study.settings import Settings
from search.samplers import SAMPLERS
from search.space import SearchSpace
from search.store.record import read_study


@pytest.mark.parametrize(
    ("text", "measures", "labels"),
    [
        ("auroc", ("auroc",), ()),
        ("auroc:Mass,Nodule", ("auroc",), ("Mass", "Nodule")),
        ("auroc,seconds", ("auroc", "seconds"), ()),
        ("auroc, parameters ,seconds", ("auroc", "parameters", "seconds"), ()),
        ("auroc:Mass,Nodule,seconds", ("auroc", "seconds"), ("Mass", "Nodule")),
        ("auroc:Mass,Mass,seconds,seconds", ("auroc", "seconds"), ("Mass",)),
        ("auroc:Pleural Effusion,Nodule/Mass", ("auroc",), ("Pleural Effusion", "Nodule/Mass")),
    ],
)
def test_an_objective_is_auroc_over_labels_and_what_it_costs(
    text: str, measures: tuple[str, ...], labels: tuple[str, ...]
) -> None:
    found = parse_objective(text)
    assert found.measures == measures
    assert found.labels == labels
    assert found.directions == ("maximize", *["minimize"] * (len(measures) - 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss", "write auroc, or auroc:Mass"),
        ("seconds,auroc", "write auroc, or auroc:Mass"),
        ("auroc,auroc", "write auroc"),
        ("auroc:", "write auroc"),
        ("auroc:,seconds", "write auroc"),
        ("auroc:Mass,,Nodule", "write auroc"),
        ("auroc,second", "unknown objective 'second'; did you mean 'seconds'"),
        ("auroc,Mass", "labels follow a colon"),
    ],
)
def test_what_means_nothing_is_refused_with_the_way_out(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_objective(text)


NAMES = ("Pleural Effusion", "Nodule/Mass", "COVID-19")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("auroc", NAMES),
        ("auroc:COVID-19,seconds", ("COVID-19",)),
        ("auroc:pleural_effusion, nodule mass", ("Pleural Effusion", "Nodule/Mass")),
        ("auroc:COVID-19,covid 19", ("COVID-19",)),
    ],
)
def test_labels_are_those_of_the_data_however_they_are_written(
    text: str, labels: tuple[str, ...]
) -> None:
    assert parse_objective(text).over(NAMES) == labels


def test_every_label_that_the_data_do_not_have_is_named() -> None:
    with pytest.raises(InputError) as error:
        parse_objective("auroc:Effusion,paramters,Hernia").over(NAMES)
    effusion, parameters, hernia = error.value.problems
    assert effusion == "--objective: unknown label 'Effusion'; did you mean 'Pleural Effusion'?"
    assert parameters == "--objective: unknown label 'paramters'; did you mean 'parameters'?"
    assert hernia.endswith("'Hernia'; the data have Pleural Effusion, Nodule/Mass, COVID-19")
    with pytest.raises(InputError, match=r"label 0, .* and 180 more"):
        parse_objective("auroc:x").over([f"label {i}" for i in range(200)])


def test_a_sampler_of_one_objective_is_refused_with_several() -> None:
    with pytest.raises(InputError, match=r"'cmaes': has one objective, the study has 2; use one"):
        Settings(sampler="cmaes", objective="auroc,seconds", trials=5).check()
    Settings(sampler="cmaes", trials=5).check()
    Settings(sampler="tpe", objective="auroc,seconds", trials=5).check()


def test_auto_knows_how_many_objectives_there_are(tiny_space: Path) -> None:
    space = SearchSpace.load(tiny_space)
    asked = Settings(sampler="auto", objective="auroc,seconds", trials=20, runner="serial")
    choice = resolve_sampler(asked, space)
    assert choice is not None
    assert SAMPLERS[choice.sampler].several
    assert "2 objectives" in choice.reason


def test_a_search_of_two_objectives_from_start_to_model(
    run: Callable[..., tuple[int, str, str]], xrays: Path, tiny_space: Path, tiny_model: None,
    tmp_path: Path,
) -> None:  # fmt: skip
    study = tmp_path / "study"
    code, out, err = run(
        "optuna", "--data", xrays, "--space", tiny_space, "--trials", 3, "--sampler", "nsga2",
        "--objective", "auroc:Mass,Effusion,parameters", "--runner", "serial", "--study", study,
    )  # fmt: skip
    assert code == 0, err
    assert "Pareto front" in out
    record = read_study(study)
    assert record.config.metrics == ("auroc", "parameters")
    (sizes,) = {t.values[1] for t in record.trials}  # one model, one size
    assert {t.user_attrs["parameters"] for t in record.trials} == {int(sizes)}
    run("extend", study, "--trials", 1)
    assert len(read_study(study).trials) == 4
    best = read_study(study).best()
    assert best is not None
    code, _, err = run("train", study, "--out", tmp_path / "model")
    assert code == 0, err
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["study"]["trial"] == best.number
    assert card["validation"]["value"] == best.values[0]
    assert run("dashboard", study)[0] == 0
    assert "Pareto front" in (study / "dashboard.html").read_text()
    code, _, err = run("optuna", "--objective", "auroc,seconds", "--sampler", "cmaes")
    assert code == 2
    assert "use one of" in err
