"""What every sampler must hold, run over all of them."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from search.errors import SearchError
from search.samplers import SAMPLERS, build, options_of
from search.samplers.quasi import sobol_point
from search.space import SearchSpace

every = pytest.mark.parametrize("name", list(SAMPLERS))
LEARNERS = sorted(set(SAMPLERS) - {"random", "qmc"})

SPACE: dict[str, BaseDistribution] = {
    "model": CategoricalDistribution(["dense", "vgg"]),
    "lr": FloatDistribution(1e-5, 1e-1, log=True),
    "shift": FloatDistribution(-1.0, 1.0),
    "drop": FloatDistribution(0.0, 0.5, step=0.1),
    "crop": IntDistribution(64, 256, step=64),
    "size": IntDistribution(1, 64, log=True),
    "depth": IntDistribution(1, 5),
}
BOWL: dict[str, BaseDistribution] = {f"x{i}": FloatDistribution(-1, 1) for i in range(4)}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def suggest(trial: Any) -> dict[str, Any]:
    """Conditional genes two deep: drop belongs to vgg, depth to vgg with much drop."""
    names = ["lr", "shift", "crop", "size", "model"]
    params = {n: trial._suggest(n, SPACE[n]) for n in names}
    if params["model"] == "vgg":
        params["drop"] = trial._suggest("drop", SPACE["drop"])
        if params["drop"] > 0.15:
            params["depth"] = trial._suggest("depth", SPACE["depth"])
    return params


def score(params: dict[str, Any]) -> float:
    value = -((math.log10(params["lr"]) + 3) ** 2) - (params["shift"] - 0.3) ** 2
    value -= abs(params["crop"] - 128) / 64 + abs(math.log2(params["size"]) - 3) / 3
    return value + (1 - params.get("drop", 0.5) if params["model"] == "vgg" else 0)


def make(name: str, seed: int = 1, space: dict[str, BaseDistribution] = SPACE, **options: Any):
    small = {"tpe": {"n_startup_trials": 5}, "gp": {"n_startup_trials": 4}}
    return build(name, seed=seed, distributions=space, options={**small.get(name, {}), **options})


def asks_of(name: str, usual: int) -> int:
    """Fitting a Gaussian process takes a good part of a second: fewer asks for it."""
    return 6 if name == "gp" else usual


def run(name: str, trials: int, tell: Callable[..., Any] | None = None, **how: Any):
    """A search whose sampler is made anew for every ask, as the runners do it."""
    study = optuna.create_study(direction=how.pop("direction", "maximize"))
    for _ in range(trials):
        study.sampler = make(name, **how)
        trial = study.ask()
        params = suggest(trial)
        if tell is None:
            study.tell(trial, score(params))
        else:
            tell(study, trial, params)
    return study


def params_of(study: optuna.Study) -> list[dict[str, Any]]:
    return [t.params for t in study.trials]


@every
def test_values_keep_to_ranges_steps_and_conditions(name: str) -> None:
    for trial in run(name, asks_of(name, 16)).trials:
        vgg = trial.params["model"] == "vgg"
        assert ("drop" in trial.params) == vgg
        assert ("depth" in trial.params) == (vgg and trial.params["drop"] > 0.15)
        for gene, value in trial.params.items():
            assert SPACE[gene]._contains(SPACE[gene].to_internal_repr(value))
            assert isinstance(value, int) == isinstance(SPACE[gene], IntDistribution)


@every
def test_the_same_history_gives_the_same_trials(name: str) -> None:
    asks = asks_of(name, 14)
    assert params_of(run(name, asks)) == params_of(run(name, asks))
    assert params_of(run(name, 6)) != params_of(run(name, 6, seed=2))


@every
def test_made_once_or_made_for_every_ask_is_the_same(name: str) -> None:
    kept = optuna.create_study(direction="maximize", sampler=make(name))
    asks = asks_of(name, 14)
    kept.optimize(lambda trial: score(suggest(trial)), n_trials=asks)
    assert params_of(kept) == params_of(run(name, asks))


class Killed(Exception):  # noqa: N818  # a kill, not an error
    pass


@every
@pytest.mark.parametrize("kept", range(6))
def test_an_ask_cut_off_anywhere_is_made_again_exactly(name: str, kept: int) -> None:
    """Kill after ``kept`` genes of every ask, then ask again in a new study object."""
    if name == "gp" and kept != 2:
        pytest.skip("fitting a Gaussian process is slow, and this is the same code path")
    asks = asks_of(name, 14)
    whole = run(name, asks)
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(study_name="s", storage=storage, direction="maximize")

    for _ in range(asks):
        study = optuna.load_study(study_name="s", storage=storage, sampler=make(name))
        trial = study.ask()
        stored = storage.set_trial_param
        calls = iter(range(100))

        def limited(*args: Any, stored: Any = stored, calls: Any = calls) -> None:
            if next(calls) == kept:
                raise Killed
            stored(*args)

        storage.set_trial_param = limited  # type: ignore[method-assign]
        try:
            suggest(trial)
        except Killed:
            pass
        finally:
            storage.set_trial_param = stored  # type: ignore[method-assign]
        study = optuna.load_study(study_name="s", storage=storage, sampler=make(name))
        again = Trial(study, trial._trial_id)
        study.tell(again.number, score(suggest(again)))
    assert params_of(study) == params_of(whole)


def bowl(name: str, seed: int, direction: str, trials: int) -> float:
    """How far the best of ``trials`` lies from the bottom of a bowl of four genes."""
    sign = -1.0 if direction == "maximize" else 1.0
    study = optuna.create_study(direction=direction, sampler=make(name, seed=seed, space=BOWL))
    study.optimize(
        lambda t: sign * sum((t._suggest(n, d) - 0.3) ** 2 for n, d in BOWL.items()), trials
    )
    return abs(study.best_value)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("name", LEARNERS)
def test_it_learns_a_bowl_better_than_random(name: str, direction: str) -> None:
    if name == "gp" and direction == "minimize":
        pytest.skip("slow, and Optuna's own affair")
    seeds, trials = (range(1), 20) if name == "gp" else (range(4), 100)
    learnt = sum(bowl(name, seed, direction, trials) for seed in seeds)
    drawn = sum(bowl("random", seed, direction, trials) for seed in seeds)
    assert learnt < 0.7 * drawn


def fates(study: optuna.Study, trial: Trial, params: dict[str, Any]) -> None:
    """Every way a trial can end, in turn, and some that never end."""
    fate = trial.number % 7
    if fate == 0:
        study.tell(trial, state=TrialState.FAIL)
    elif fate == 1:
        study.tell(trial, state=TrialState.PRUNED)
    elif fate == 2:
        trial.report(score(params), 1)
        study.tell(trial, state=TrialState.PRUNED)
    elif fate == 3:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.tell(trial, math.nan)
    elif fate == 4:
        trial.report(math.nan, 1)
        study.tell(trial, state=TrialState.PRUNED)
    elif fate == 5:
        study.tell(trial, score(params))


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@every
def test_it_survives_every_fate(name: str, direction: str) -> None:
    asks = asks_of(name, 29)
    study = run(name, asks, fates, direction=direction)
    assert len(study.trials) == asks
    assert params_of(study) == params_of(run(name, asks, fates, direction=direction))


@pytest.mark.parametrize(
    "fate",
    [
        lambda study, trial, params: study.tell(trial, state=TrialState.FAIL),
        lambda study, trial, params: study.tell(trial, state=TrialState.PRUNED),
        lambda study, trial, params: study.tell(trial, 0.5),
        lambda study, trial, params: study.tell(trial, math.inf),
        lambda study, trial, params: None,
    ],
    ids=["all fail", "all pruned", "all equal", "all infinite", "none ends"],
)
@every
def test_it_survives_a_history_that_teaches_nothing(name: str, fate: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GPSampler says that it clips infinities
        asks = asks_of(name, 16)
        assert len(run(name, asks, fate).trials) == asks


@pytest.mark.parametrize(
    "space",
    [
        {"x": FloatDistribution(0, 1)},
        {"k": IntDistribution(0, 3)},
        {"c": CategoricalDistribution(["a", "b", "c"])},
        {"c": CategoricalDistribution(["a", "b"]), "d": CategoricalDistribution([1, 2, None])},
        {"one": IntDistribution(3, 3), "x": FloatDistribution(0, 1)},
        {"one": CategoricalDistribution(["only"])},
    ],
    ids=["a float", "an int", "a choice", "choices", "a constant beside", "a constant"],
)
@every
def test_small_spaces_work(name: str, space: dict[str, BaseDistribution]) -> None:
    study = optuna.create_study(direction="maximize", sampler=make(name, space=space))

    def objective(trial: Any) -> float:
        params = {n: trial._suggest(n, d) for n, d in space.items()}
        return sum(len(repr(v)) for v in params.values())

    study.optimize(objective, n_trials=asks_of(name, 16))
    assert len(study.trials) == asks_of(name, 16)


@every
def test_known_points_are_part_of_the_history(name: str) -> None:
    point = {"lr": 1e-3, "shift": 0.3, "crop": 128, "size": 8, "model": "vgg", "drop": 0.0}
    study = optuna.create_study(direction="maximize")
    study.enqueue_trial(point)
    for _ in range(asks_of(name, 14)):
        study.sampler = make(name)
        trial = study.ask()
        study.tell(trial, score(suggest(trial)))
    assert study.trials[0].params == point
    assert study.best_trial.number == 0 or study.best_value > study.trials[0].value


@every
def test_attributes_are_json_without_pickles(name: str) -> None:
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(direction="maximize", storage=storage)
    for _ in range(asks_of(name, 16)):
        study.sampler = make(name)
        trial = study.ask()
        study.tell(trial, score(suggest(trial)))
    attrs: list[Any] = [storage.get_study_system_attrs(study._study_id), study.user_attrs]
    attrs += [a for t in study.trials for a in (t.user_attrs, t.system_attrs)]
    assert json.loads(json.dumps(attrs)) == attrs
    assert "pickle" not in json.dumps(attrs)
    # A pickle as text: Optuna's own CMA-ES stores its optimiser in hexadecimal, "80 04 95".
    assert "800495" not in json.dumps(attrs)


def test_qmc_is_one_sobol_sequence_with_a_point_for_each_trial() -> None:
    study = run("qmc", 32)
    shifts = sorted(int((t.params["shift"] + 1) / 2 * 32) for t in study.trials)
    assert shifts == list(range(32))
    assert sobol_point(1, 0, 3) != sobol_point(2, 0, 3)
    assert [sobol_point(1, i, 3) for i in range(4)] == [sobol_point(1, i, 3) for i in range(4)]


@pytest.mark.filterwarnings("error::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("error::DeprecationWarning")
@pytest.mark.filterwarnings("error::FutureWarning")
@every
def test_nothing_is_warned_about_that_a_user_cannot_act_on(name: str) -> None:
    run(name, asks_of(name, 8))


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(SearchError, match=r"did you mean 'genetic'\?"):
        build("genetics", seed=1, distributions=SPACE)
    with pytest.raises(SearchError, match=r"did you mean 'population_size'\?"):
        build("genetic", seed=1, distributions=SPACE, options={"populationsize": 4})


def test_all_bad_options_are_told_at_once() -> None:
    options = {"population_size": "many", "tournament": 2.5, "colour": 1, "scheme": True}
    with pytest.raises(SearchError) as error:
        build("genetic", seed=1, distributions=SPACE, options=options)
    assert len(error.value.problems) == 4


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("genetic", {"population_size": 1}),
        ("genetic", {"scheme": "random"}),
        ("cmaes", {"sigma": 0}),
        ("cmaes", {"population_size": 2}),
        ("nsga2", {"population_size": 1}),
        ("tpe", {"n_startup_trials": True}),
    ],
)
def test_values_out_of_range_are_told(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(SearchError, match=name):
        build(name, seed=1, distributions=SPACE, options=options)


@every
def test_options_have_defaults_that_can_be_given(name: str) -> None:
    defaults = {n: p.default for n, p in options_of(name).items()}
    build(name, seed=1, distributions=SPACE, options=defaults)


def test_small_budgets_start_the_model_earlier() -> None:
    def modelled(n_trials: int | None) -> list[FrozenTrial]:
        study = optuna.create_study(direction="maximize")
        for _ in range(8):
            study.sampler = build("tpe", seed=1, distributions=SPACE, n_trials=n_trials)
            trial = study.ask()
            study.tell(trial, score(suggest(trial)))
        return [t for t in study.trials if any(k.startswith("tpe:") for k in t.system_attrs)]

    assert modelled(12)
    assert not modelled(None)


@pytest.mark.parametrize(("budget", "size"), [(25, 6), (50, 6), (51, 10), (None, 10)])
def test_nsga2_starts_with_a_small_population_in_a_small_budget(
    budget: int | None, size: int
) -> None:
    sampler = build("nsga2", seed=1, distributions=SPACE, n_trials=budget)
    assert sampler._make(1)._population_size == size
    options = {"population_size": 4}
    given = build("nsga2", seed=1, distributions=SPACE, n_trials=budget, options=options)
    assert given._make(1)._population_size == 4


def test_tpe_ranks_stopped_trials_by_the_share_of_their_own_length() -> None:
    def first(length: str | None) -> dict[str, Any]:
        study = optuna.create_study(direction="maximize")
        for n in range(12):
            short = n < 4  # half of 6 steps, at the good end; the others a tenth of 50
            params = {"x0": 0.9 + n / 100 if short else -0.9 + n / 100}
            steps = range(1, 4 if short else 6)
            trial = optuna.trial.create_trial(
                state=TrialState.PRUNED, params=params, distributions={"x0": BOWL["x0"]},
                intermediate_values=dict.fromkeys(steps, 0.5),
                user_attrs={"params": {"epochs": 6 if short else 50}},
            )  # fmt: skip
            study.add_trial(trial)
        found = []
        for _ in range(6):
            study.sampler = build(
                "tpe", seed=1, distributions=BOWL, length=length,
                options={"n_startup_trials": 4, "constant_liar": False},
            )  # fmt: skip
            found.append(study.ask({"x0": BOWL["x0"]}).params["x0"])
        return {"mean": sum(found) / len(found)}

    assert first("epochs")["mean"] > 0.3
    assert first(None)["mean"] < 0.3


@every
def test_conditions_that_the_space_states_and_lengths_that_differ_are_taken(name: str) -> None:
    space = SearchSpace.from_dict(
        {
            "genes": {
                "model": {"choices": ["a", "b"]},
                "drop": {"low": 0.0, "high": 0.5, "when": {"model": "b"}},
                "epochs": {"type": "int", "low": 2, "high": 9},
            }
        },
        "space",
    )

    def asked() -> list[dict[str, Any]]:
        study = optuna.create_study(direction="maximize")
        for number in range(asks_of(name, 14)):
            study.sampler = build(
                name, seed=2, distributions=space.distributions(), n_trials=20, length="epochs"
            )
            trial = study.ask()
            params = space.suggest(trial)
            trial.set_user_attr("params", params)
            value = params["epochs"] / 9 + params.get("drop", 0.2)
            trial.report(value / 2, 1)
            if number % 3 == 2:
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, value)
        return params_of(study)

    found = asked()
    assert found == asked()
    assert all(("drop" in params) == (params["model"] == "b") for params in found)
