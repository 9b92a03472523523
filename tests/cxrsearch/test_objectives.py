from __future__ import annotations

import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.objectives import parse_objective
from cxrsearch.settings import Settings


@pytest.mark.parametrize(
    ("text", "measures", "diseases"),
    [
        ("auroc", ("auroc",), DISEASES),
        ("auroc:Mass,Nodule", ("auroc",), ("Mass", "Nodule")),
        ("auroc,seconds", ("auroc", "seconds"), DISEASES),
        ("auroc, parameters ,seconds", ("auroc", "parameters", "seconds"), DISEASES),
        ("auroc:Mass,Nodule,seconds", ("auroc", "seconds"), ("Mass", "Nodule")),
        ("auroc:Mass,Mass,seconds,seconds", ("auroc", "seconds"), ("Mass",)),
    ],
)
def test_an_objective_is_auroc_over_diseases_and_what_it_costs(
    text: str, measures: tuple[str, ...], diseases: tuple[str, ...]
) -> None:
    found = parse_objective(text)
    assert found.measures == measures
    assert found.diseases == tuple(diseases)
    assert found.directions == ("maximize", *["minimize"] * (len(measures) - 1))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("loss", "write auroc, or auroc:Mass"),
        ("seconds,auroc", "write auroc, or auroc:Mass"),
        ("auroc,auroc", "write auroc"),
        ("auroc:", "write auroc"),
        ("auroc:,seconds", "write auroc"),
        ("auroc,second", "unknown objective 'second'; did you mean 'seconds'"),
        ("auroc,Mass", "diseases follow a colon"),
        ("auroc:Mas,seconds", "unknown disease 'Mas'; did you mean 'Mass'"),
        ("auroc:Mass,paramters", "unknown disease 'paramters'"),
    ],
)
def test_what_means_nothing_is_refused_with_the_way_out(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_objective(text)


def test_a_sampler_of_one_objective_is_refused_with_several() -> None:
    with pytest.raises(InputError, match=r"'cmaes': has one objective, the study has 2; use one"):
        Settings(sampler="cmaes", objective="auroc,seconds", trials=5).check()
    Settings(sampler="cmaes", trials=5).check()
    Settings(sampler="tpe", objective="auroc,seconds", trials=5).check()
