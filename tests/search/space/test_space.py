# ruff: noqa: E501 - a table of messages reads best with one case a line
from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search.errors import SpaceError
from search.space import SearchSpace

KNOWN: dict[str, dict[str, Any]] = {
    "model": {"type": "str", "choices": ("densenet121", "vgg16"), "default": "densenet121"},
    "size": {"type": "str", "choices": ("s", "m"), "also": {"x:NUMBER": r"x:\d+"}},
    "lr": {"type": "float", "above": 0.0, "high": 10.0},
    "epochs": {"type": "int", "low": 1, "high": 1000},
    "dropout": {"type": "float", "low": 0.0, "high": 0.95},
    "crop": {"type": "int", "low": 64, "high": 1024, "size": True},
    "flip": {"type": "bool"},
    "init": {"type": "str", "text": True},
}

WHOLE = """
name: whole
description: every kind of gene
genes:
  dropout: {low: 0.0, high: 0.5, step: 0.1, when: {model: vgg16, depth: [2, 3]}}
  depth: {type: int, low: 1, high: 3, when: {model: vgg16}}
  model: {choices: [densenet121, vgg16]}
  lr: {low: 1e-4, high: 1e-2, log: true}
  width: {low: 8, high: 64, step: 8}
  epochs: {type: int, low: 1, high: 64, log: true}
  momentum: {low: 0.5, high: 0.99, when: {optimizer: sgd}}
  beta: {low: 0.5, high: 0.99, when: {optimizer: [adam, adamw]}}
  flip: {choices: [true, false]}
fixed: {optimizer: adamw, alpha: 1e-3}
points:
  - name: by-hand
    params: {model: vgg16, depth: 2, dropout: 0.3, lr: 1e-3, width: 16, epochs: 5, beta: 0.9, flip: on}
"""


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., SearchSpace]:
    def loaded(text: str, known: Any = None) -> SearchSpace:
        path = tmp_path / "my.yaml"
        path.write_text(text, encoding="utf-8")
        return SearchSpace.load(path, known)

    return loaded


def problems(load: Callable[..., SearchSpace], text: str, known: Any = None) -> list[str]:
    with pytest.raises(SpaceError) as caught:
        load(text, known)
    assert all("my.yaml" in problem for problem in caught.value.problems)
    return [problem.split("my.yaml: ", 1)[1] for problem in caught.value.problems]


def test_a_space_is_read_with_parents_before_children(load: Callable[..., SearchSpace]) -> None:
    space = load(WHOLE)
    names = list(space.genes)
    assert names.index("model") < names.index("depth") < names.index("dropout")
    assert space.genes["lr"].distribution == FloatDistribution(1e-4, 1e-2, log=True)
    assert space.genes["width"].distribution == IntDistribution(8, 64, step=8)
    assert space.genes["model"].distribution == CategoricalDistribution(("densenet121", "vgg16"))
    assert space.fixed == {"optimizer": "adamw", "alpha": 1e-3}
    assert space.points[0].params["lr"] == 1e-3
    assert space.points[0].params["flip"] is True


def test_a_space_survives_its_dictionary(load: Callable[..., SearchSpace]) -> None:
    space = load(WHOLE)
    again = SearchSpace.from_dict(json.loads(json.dumps(space.to_dict())), "history")
    assert again.to_dict() == space.to_dict()
    assert again.fingerprint == space.fingerprint
    changed = {**space.to_dict(), "description": "other words"}
    assert SearchSpace.from_dict(changed, "x").fingerprint == space.fingerprint
    changed["fixed"] = {"optimizer": "adam"}
    assert SearchSpace.from_dict(changed, "x").fingerprint != space.fingerprint


def test_conditions_decide_what_is_active(load: Callable[..., SearchSpace]) -> None:
    space = load(WHOLE)
    always = {"model", "lr", "width", "epochs", "beta", "flip"}
    assert space.active({"model": "densenet121"}) == always
    assert space.active({"model": "vgg16", "depth": 1}) == always | {"depth"}
    assert space.active({"model": "vgg16", "depth": 3}) == always | {"depth", "dropout"}
    hidden = {"model": "densenet121", "depth": 3}
    assert space.active(hidden) == always, "an inactive parent's value counts for nothing"


def test_suggest_asks_for_active_genes_only(load: Callable[..., SearchSpace]) -> None:
    space = load(WHOLE)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for _ in range(40):
        trial = study.ask()
        params = space.suggest(trial)
        assert set(params) == space.active(trial.params) | {"optimizer", "alpha"}
        assert set(trial.params) == space.active(trial.params)
        seen |= set(params)
    assert seen == set(space.genes) - {"momentum"} | {"optimizer", "alpha"}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=9, max_size=9))
def test_unit_cube_and_back(units: list[float]) -> None:
    import yaml

    space = SearchSpace.from_dict(yaml.safe_load(WHOLE), "whole")
    params = space.decode(np.array(units))
    assert set(params) == space.active(params)
    code = space.encode(params)
    assert {name for name, u in zip(space.genes, code, strict=True) if not math.isnan(u)} == set(
        params
    )
    assert np.all(np.isnan(code) | ((code >= 0) & (code <= 1)))
    assert space.decode(code) == params


def test_encoding_wants_every_active_gene(load: Callable[..., SearchSpace]) -> None:
    with pytest.raises(ValueError, match="'lr' has no value"):
        load("genes: {lr: {low: 0.1, high: 1.0}}").encode({})


def test_numbers_that_yaml_reads_as_text_are_numbers(load: Callable[..., SearchSpace]) -> None:
    space = load(
        "genes: {a: {low: 1e-4, high: 1e-2}, b: {choices: [1e-4, 1e-3]}, c: {choices: [1, 2]}}"
    )
    assert space.genes["a"].distribution == FloatDistribution(1e-4, 1e-2)
    assert space.genes["b"].distribution == CategoricalDistribution((1e-4, 1e-3))
    assert space.genes["c"].distribution == CategoricalDistribution((1, 2))
    known = load("genes: {init: {choices: [1e-4, none]}, dropout: {low: 0, high: 0.5}}", KNOWN)
    assert known.genes["init"].distribution == CategoricalDistribution(("1e-4", "none"))


def test_a_known_float_is_a_float_however_it_is_written(load: Callable[..., SearchSpace]) -> None:
    space = load("genes: {lr: {low: 1, high: 2}}\nfixed: {dropout: 0}", KNOWN)
    assert isinstance(space.genes["lr"].distribution, FloatDistribution)
    assert isinstance(space.fixed["dropout"], float)


@pytest.mark.parametrize(
    ("gene", "message"),
    [
        ("{low: 0.01, high: 0.0001}", "x: low 0.01 is above high 0.0001; swap them"),
        ("{low: 0, high: 1.5, log: true}", "x: low 0 has no logarithm; make low positive, or leave out log"),
        ("{low: -1.0, high: 1.5, log: true}", "x: low -1 has no logarithm"),
        ("{low: 0.0, high: 1.0, step: 0.3}", "x: step 0.3 does not divide 0 to 1; make high 0.9"),
        ("{low: 0, high: 10, step: 4}", "x: step 4 does not divide 0 to 10; make high 8"),
        ("{low: 1, high: 2, step: 0}", "x: step 0 is not positive"),
        ("{low: 1, high: 1}", "x: low and high are both 1; put it under fixed: {x: 1}"),
        ("{low: 1.0, high: 2.0, log: true, step: 0.5}", "x: has log and step"),
        ("{low: .nan, high: 1}", "x: low is nan; write a finite number"),
        ("{low: 0, high: .inf}", "x: high is inf; write a finite number"),
        ("{low: on, high: 3}", "x: low is true; write a finite number"),
        ("{low: 1, hihg: 3}", "x: unknown key hihg; did you mean 'high'?"),
        ("{low: 1}", "x: high is missing; add high: NUMBER, or give choices"),
        ("{type: int, low: 0.5, high: 3}", "x: low 0.5 is no whole number"),
        ("{type: intt, low: 0, high: 3}", "x: type is intt; did you mean 'int'?"),
        ("{low: 0, high: 3, log: maybe}", "x: log is maybe; write true or false"),
        ("{low: 1, high: 9999999999999999999}", "x: high is 9999999999999999999; write a finite number up to"),
        ("{choices: []}", "x: choices is empty; give at least two"),
        ("{choices: [a]}", "x: has one choice only; put it under fixed: {x: a}"),
        ("{choices: [a, b, a]}", "x: choice a is there twice; keep one"),
        ("{choices: [1, true]}", "x: choice true equals 1; keep one"),
        ("{choices: [a, [b]]}", "x: choice ['b'] is no finite number"),
        ("{choices: [.nan, 1]}", "x: choice nan is no finite number"),
        ("{choices: a}", "x: choices is a; write a list"),
        ("{choices: [a, b], low: 1}", "x: has choices and low; keep one or the other"),
        ("3", "x: is 3; write {low: ..., high: ...} or {choices: [...]}"),
        ("{low: 0, high: 1, when: {y: 1}}", "x: when names y, which is unknown; it is neither"),
        ("{low: 0, high: 1, when: vgg16}", "x: when is vgg16; write when: {GENE: VALUE}"),
        ("{low: 0, high: 1, when: {x: 1}}", "x: conditions go in a circle"),
    ],
)  # fmt: skip
def test_a_wrong_gene_says_what_and_the_way_out(
    load: Callable[..., SearchSpace], gene: str, message: str
) -> None:
    found = problems(load, f"genes:\n  x: {gene}\n")
    assert any(problem.startswith(message) for problem in found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; write at least genes"),
        ("- a\n- b\n", "is ['a', 'b'], not a mapping"),
        ("genes: {}", "genes: is missing or empty"),
        ("gens: {x: {low: 0, high: 1}}", "unknown key gens; did you mean 'genes'?"),
        ("genes: {on: {low: 0, high: 1}}", "true: is no name; YAML reads on, off, yes and no"),
        ("genes:\n  x: {low: 0, high: 1\n", "line 3: "),
        ("genes:\n  x: {low: 0, high: 1}\n  x: {low: 0, high: 2}", "line 3: 'x' is there twice; keep one"),
        ("genes: {x: {low: 0, low: 1, high: 2}}", "line 1: 'low' is there twice"),
        ("genes: {x: {low: 0, high: 1}}\nfixed: {x: 1}", "x: is a gene and fixed; keep one of the two"),
        ("genes: {x: {low: 0, high: 1}}\nfixed: [1]", "fixed: is [1]; write NAME: VALUE"),
        ("genes: {x: {low: 0, high: 1}}\nfixed: {a: {b: 1}}", "a: (fixed) is fixed to {'b': 1}"),
        ("genes: {x: {low: 0, high: 1}}\npoints: 3", "points: is 3; write a list"),
        ("genes: {x: {low: 0, high: 1}}\npoints: [3]", "point 1: write {name: NAME"),
        ("genes: {x: {low: 0, high: 1}}\npoints: [{name: p, params: {x: 2}}]", "point p: x: 2 lies outside 0 to 1"),
        ("genes: {x: {low: 0, high: 1}}\npoints: [{name: p, params: {}}]", "point p: x is missing; add it"),
        ("genes: {x: {low: 0, high: 1}}\npoints: [{name: p, params: {x: 1, z: 2}}]", "point p: z is no gene of this space"),
        ("genes: {x: {low: 0, high: 1}}\npoints: [{name: p, params: {x: 1}}, {name: p, params: {x: 0}}]", "point p: the name is there twice"),
        ("genes: {x: {low: 0, high: 1}}\npoints: [{name: p, params: {x: 1}}, {name: q, params: {x: 1}}]", "point q: is the same as p"),
        ("genes: {x: {low: 0, high: 1}}\nfixed: {f: 1}\npoints: [{name: p, params: {x: 1, f: 2}}]", "point p: f is fixed to 1; leave it out"),
        ("genes: {m: {choices: [a, b]}, x: {low: 0, high: 1, when: {m: b}}}\npoints: [{name: p, params: {m: a, x: 1}}]", "point p: x is not active here"),
        ("genes: {m: {choices: [a, b]}, x: {low: 0, high: 1, when: {m: c}}}", "x: when m is c, but c is none of its choices (a, b)"),
        ("genes: {m: {low: 0, high: 5}, x: {low: 0, high: 1, when: {m: 7}}}", "x: when m is 7, but 7 lies outside 0 to 5"),
        ("genes: {a: {low: 0, high: 1, when: {b: 1}}, b: {low: 0, high: 1, when: {a: 1}}}", "a, b: conditions go in a circle"),
        ("genes: {x: {low: 2024-99-99, high: 1}}", "x: low is 2024-99-99; write a finite number"),
        ("a: !!python/object/apply:os.system [ls]", "line 1: could not determine a constructor"),
        ("[" * 3000, "line 1: it is nested more than 64 levels deep"),
        ("genes: {? [a] : 1}", "line 1: found unhashable key"),
        ("a: \x01", "unacceptable character"),
    ],
)  # fmt: skip
def test_a_wrong_file_says_what_and_the_way_out(
    load: Callable[..., SearchSpace], text: str, message: str
) -> None:
    found = problems(load, text)
    assert any(problem.startswith(message) for problem in found), found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("genes: {lrr: {low: 0.1, high: 1}}", "lrr: unknown gene; did you mean 'lr'?"),
        ("genes: {lr: {low: 0, high: 1}}", "lr: low 0 is too small; it must be above 0"),
        ("genes: {lr: {low: 1, high: 11}}", "lr: high 11 is too large; the most is 10"),
        ("genes: {model: {choices: [densenet121, vgg61]}}", "model: choice vgg61 is none of densenet121, vgg16; did you mean 'vgg16'?"),
        ("genes: {size: {choices: [s, 'x:', x:1]}}", "size: choice x: is none of s, m, x:NUMBER"),
        ("genes: {size: {choices: [s, x:1, y:1]}}", "size: choice y:1 is none of s, m, x:NUMBER"),
        ("genes: {model: {low: 0, high: 1}}", "model: takes no range; write {choices: [densenet121, vgg16]}"),
        ("genes: {flip: {low: 0, high: 1}}", "flip: takes no range; write {choices: [false, true]}"),
        ("genes: {flip: {choices: [0, 1]}}", "flip: choice 0 is neither true nor false"),
        ("genes: {epochs: {type: float, low: 1, high: 3}}", "epochs: takes whole numbers"),
        ("genes: {epochs: {low: 1.5, high: 3}}", "epochs: low 1.5 is no whole number"),
        ("genes: {epochs: {choices: [1, 2000]}}", "epochs: choice 2000 is too large"),
        ("genes: {crop: {choices: [600x800, 600by800]}}", "crop: choice 600by800 is not a size"),
        ("genes: {crop: {choices: [600x800, 32x800]}}", "crop: choice 32 is too small; the least is 64"),
        ("genes: {crop: {low: 32, high: 64}}", "crop: low 32 is too small; the least is 64"),
        ("genes: {init: {choices: [none, on]}}", "init: choice true is not text; YAML reads on"),
        ("genes: {lr: {low: 1, high: 2}}\nfixed: {modle: vgg16}", "modle: (fixed) unknown gene; did you mean 'model'?"),
        ("genes: {lr: {low: 1, high: 2}}\nfixed: {dropout: 2}", "dropout: (fixed) 2 is too large; the most is 0.95"),
    ],
)  # fmt: skip
def test_limits_of_known_genes_are_named(
    load: Callable[..., SearchSpace], text: str, message: str
) -> None:
    found = problems(load, text, KNOWN)
    assert any(problem.startswith(message) for problem in found), found


def test_a_text_of_a_known_form_is_a_choice_too(load: Callable[..., SearchSpace]) -> None:
    space = load("genes: {size: {choices: [s, x:1, x:22]}}", KNOWN)
    assert space.genes["size"].distribution == CategoricalDistribution(["s", "x:1", "x:22"])


HUGE = int("f" * 5000, 16)


@pytest.mark.parametrize("known", [None, KNOWN])
@pytest.mark.parametrize(
    "data",
    [
        {"genes": {"x": {"low": HUGE, "high": 1}}},
        {"genes": {"x": {HUGE: 1, "low": 0, "high": 1}}},
        {"genes": {HUGE: {"low": 0, "high": 1}}},
        {"genes": {"crop": {"choices": [HUGE, 224]}}},
        {"genes": {"model": {"choices": [HUGE, "vgg16"]}}},
        {"genes": {"x": {"low": 0, "high": 1, "when": {HUGE: HUGE}}}},
        {"genes": {"x": {"low": 0, "high": 1}}, "fixed": {"epochs": HUGE}},
        {"genes": {"x": {"low": 0, "high": 1}}, "points": [{"name": "p", "params": {"x": HUGE}}]},
        {"genes": {"x": {"type": HUGE, "low": 0, "high": 1}}},
    ],
)
def test_numbers_of_thousands_of_digits_are_refused(data: Any, known: Any) -> None:
    with pytest.raises(SpaceError, match=r"x\.yaml: "):
        SearchSpace.from_dict(data, "x.yaml", known)


def test_data_that_holds_itself_is_refused(load: Callable[..., SearchSpace]) -> None:
    for text in ("&a [*a]", "&a {genes: *a}", "genes: {x: &a {low: 0, high: 1, when: *a}}"):
        assert problems(load, text)
    knot = "genes: {x: {low: 0, high: 1}}\nfixed: {f: [1]}\npoints: [{name: p, params: {x: 0, f: &a [*a]}}]"
    assert problems(load, knot)


def test_all_problems_come_at_once(load: Callable[..., SearchSpace]) -> None:
    text = "nam: x\ngenes: {a: {low: 2, high: 1}, b: {choices: []}, c: {low: 0, high: 1, when: {z: 1}}}"
    assert len(problems(load, text)) == 4


def test_what_cannot_be_read_is_a_space_error(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    for path in (tmp_path / "none.yaml", tmp_path, tmp_path / "latin.yaml"):
        with pytest.raises(SpaceError, match=str(path)):
            SearchSpace.load(path)


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3),
    st.sampled_from(["1e-3", "a", "x", "on", 1, 2, 0.5, "int", "float"]),
)  # fmt: skip
keys = st.one_of(
    st.sampled_from(
        ["name", "description", "genes", "fixed", "points", "params", "low", "high", "step", "log", "type", "choices", "when", "x", "y", "lr"]
    ),
    st.text(max_size=3), st.integers(), st.booleans(), st.none(),
)  # fmt: skip
garbage = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=12,
)
genes = st.dictionaries(
    st.sampled_from(["x", "y", "lr", "model"]),
    st.one_of(
        garbage,
        st.fixed_dictionaries(
            {},
            optional={
                "low": scalars, "high": scalars, "step": scalars, "log": scalars, "type": scalars,
                "choices": st.lists(scalars, max_size=3), "when": garbage,
            },
        ),
    ),
    max_size=3,
)  # fmt: skip
likely = st.fixed_dictionaries(
    {"genes": genes}, optional={"fixed": garbage, "points": garbage, "name": scalars}
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(garbage, likely), st.booleans())
def test_any_data_is_a_space_or_a_space_error(data: Any, known: bool) -> None:
    found: list[str] = []
    try:
        space = SearchSpace.from_dict(data, "x.yaml", KNOWN if known else None)
    except SpaceError as error:
        found = error.problems
    if found:
        assert all(problem.startswith("x.yaml: ") for problem in found)
    else:
        again = SearchSpace.from_dict(json.loads(json.dumps(space.to_dict())), "x.yaml")
        assert again.fingerprint == space.fingerprint
        assert space.decode(space.encode(space.decode(np.full(len(space.genes), 0.3))))


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=40), st.text("{}[]:,-&*!|>#%@ \n\t\"'0123a.e", max_size=30)))
def test_any_text_is_a_space_or_a_space_error(text: str) -> None:
    from search.reading import FileError, parse_yaml

    found = ["x.yaml: fine"]
    try:
        SearchSpace.from_dict(parse_yaml(text, "x.yaml"), "x.yaml")
    except (FileError, SpaceError) as error:
        found = error.problems
    assert all(problem.startswith("x.yaml: ") for problem in found)
    assert found
