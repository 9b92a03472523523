from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search import recommend
from search.expectation import expected, finalists

X = {"x": FloatDistribution(0.0, 1.0)}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


def study_of(trials: list[FrozenTrial], direction: str = "maximize") -> optuna.Study:
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    return study


def at(x: float, value: float, **attrs: Any) -> FrozenTrial:
    return create_trial(params={"x": x}, distributions=X, value=value, user_attrs=attrs)


def hill(x: float) -> float:
    return 1.0 - 4.0 * (x - 0.4) ** 2


def noisy(seed: int = 0, count: int = 40, sd: float = 0.1) -> list[FrozenTrial]:
    rng = random.Random(seed)
    places = [rng.random() for _ in range(count)]
    return [at(x, hill(x) + rng.gauss(0.0, sd)) for x in places]


def numbered(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    for number, trial in enumerate(trials):
        trial.number = number
    return trials


def mixed(trial: optuna.Trial) -> float:
    value = -((trial.suggest_float("lr", 1e-5, 1.0, log=True) - 0.01) ** 2)
    if trial.suggest_categorical("model", ["a", "b"]) == "a":
        value -= 0.1 * abs(trial.suggest_int("layers", 1, 8) - 3)
    else:
        value -= 0.2 + trial.suggest_float("drop", 0.0, 0.5, step=0.1)
    return value - 0.1 * abs(math.log2(trial.suggest_int("batch", 4, 256, log=True)) - 5)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_without_noise_the_best_is_recommended(direction: str) -> None:
    sign = 1.0 if direction == "maximize" else -1.0
    study = optuna.create_study(direction=direction, sampler=optuna.samplers.TPESampler(seed=1))
    study.optimize(lambda t: sign * mixed(t), n_trials=40)
    assert recommend(study).number == study.best_trial.number


def test_with_noise_the_choice_is_nearer_to_the_truth_than_the_luckiest() -> None:
    lost = won = 0.0
    for seed in range(8):
        study = study_of(noisy(seed))
        lost += 1.0 - hill(study.best_trial.params["x"])
        won += 1.0 - hill(recommend(study).params["x"])
    assert won < 0.6 * lost


def test_less_is_more_where_the_study_minimises() -> None:
    turned = [at(t.params["x"], -t.value) for t in noisy() if t.value is not None]
    one, two = recommend(study_of(noisy())), recommend(study_of(turned, "minimize"))
    assert one.number == two.number
    up, down = expected(numbered(noisy())), expected(numbered(turned), ["minimize"])
    assert up == pytest.approx({n: -v for n, v in down.items()})


def test_expectations_are_in_units_of_the_value() -> None:
    trials = numbered([at(x / 20, 100.0 + 1e-3 * hill(x / 20)) for x in range(20)])
    found = expected(trials)
    assert found == pytest.approx({t.number: t.value for t in trials}, abs=1e-5)


def test_repeats_are_averaged_and_the_first_of_them_is_returned() -> None:
    # 0.9 is lucky once and poor twice, 0.3 is good each time.
    trials = [at(0.1 * k, 0.1) for k in range(1, 6)]
    trials += [at(0.95, 1.0), at(0.95, 0.2), at(0.95, 0.2)]
    trials += [at(0.05, 0.8), at(0.05, 0.85), at(0.05, 0.8)]
    assert recommend(study_of(trials)).number == 8


def test_few_trials_are_believed_as_they_are() -> None:
    trials = [at(0.1, 0.2), at(0.2, 0.9), at(0.3, 0.1)]
    assert expected(numbered(trials)) == {0: 0.2, 1: 0.9, 2: 0.1}
    assert recommend(study_of(trials)).number == 1
    assert recommend(study_of(trials[2:])).number == 0


def test_a_value_far_below_the_best_is_not_recommended() -> None:
    # All about it is good, it was not: a hole, and not ill luck.
    trials = [at(x / 40, hill(x / 40)) for x in range(40)]
    trials[16] = at(0.4, -3.0)
    assert recommend(study_of(trials)).params["x"] != 0.4


def test_a_lone_peak_is_recommended() -> None:
    rng = random.Random(3)
    trials = [at(rng.random(), 0.5 + 0.001 * rng.random()) for _ in range(30)]
    trials[11] = at(0.77, 0.9)
    assert recommend(study_of(trials)).number == 11


def test_what_breaks_a_constraint_is_not_recommended() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        trial.set_constraint("c", x - 0.5)
        return x

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=20)
    found = recommend(study)
    feasible = [t for t in study.trials if t.params["x"] <= 0.5]
    assert found.number == max(feasible, key=lambda t: t.params["x"]).number


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"])
    with pytest.raises(ValueError, match=r"2 objectives.*best_trials"):
        recommend(study)
    with pytest.raises(ValueError, match="2 objectives"):
        finalists([], 3, ["maximize", "minimize"])
    with pytest.raises(ValueError, match="2 objectives"):
        expected([], ["maximize", "minimize"])


def test_a_study_without_a_complete_trial_is_refused_by_name() -> None:
    study = optuna.create_study(study_name="empty")
    with pytest.raises(ValueError, match=r"'empty' has no complete trial \(0 trials\)"):
        recommend(study)
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.add_trial(create_trial(state=TrialState.COMPLETE, value=math.inf))
    with pytest.raises(ValueError, match="none with a finite value"):
        recommend(study)


def test_trials_without_parameters_are_repeats_of_one() -> None:
    assert recommend(study_of([create_trial(value=float(v)) for v in range(7)])).number == 0


def test_all_kinds_of_trials_may_be_among_them() -> None:
    def objective(trial: optuna.Trial) -> float:
        value = mixed(trial)
        if trial.number % 7 == 3:
            raise RuntimeError("broken")
        for step in range(4):
            trial.report(value - 0.1 * (3 - step), step)
            if trial.number % 5 == 2 and step == 1:
                raise optuna.TrialPruned
        return math.nan if trial.number % 11 == 6 else value

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=2))
    study.enqueue_trial({"lr": 0.01, "model": "a", "layers": 3, "batch": 32})
    study.optimize(objective, n_trials=50, catch=(RuntimeError,))
    study.enqueue_trial({"lr": 0.02})
    study.ask()
    assert recommend(study).number == study.best_trial.number == 0
    found = expected(study.trials)
    states = {study.trials[n].state for n in found}
    assert states == {TrialState.COMPLETE, TrialState.PRUNED}
    assert all(map(math.isfinite, found.values()))


def test_reruns_and_answered_repeats_are_no_values_of_their_own() -> None:
    trials = numbered(noisy())
    before = expected(trials)
    x = trials[5].params["x"]
    more = [at(x, 5.0, confirms=5, round=0), at(x, trials[5].value or 0.0, same_as=5)]
    found = expected(numbered([*trials, *more]))
    assert found == {**before, 41: before[5]}
    assert not {40, 41}.intersection(finalists([*trials, *more], 42))


@pytest.mark.parametrize("attrs", [{"confirms": 3, "round": 1}, {"confirms": True}, {"same_as": 0}])
def test_attributes_of_other_programs_are_no_marks(attrs: dict[str, Any]) -> None:
    plain = noisy()
    theirs = [at(trial.params["x"], trial.values[0], **attrs) for trial in plain]
    found = recommend(study_of(theirs))
    assert found.number == recommend(study_of(plain)).number
    assert found.user_attrs == attrs


def test_trials_after_reruns_keep_their_numbers() -> None:
    trials = noisy()
    again = at(trials[5].params["x"], 5.0, confirms=5, round=0)
    found = expected(numbered([*trials[:20], again, *trials[20:]]))
    plain = expected(numbered(trials))
    assert found == {n + (n >= 20): value for n, value in plain.items()}


def test_finalists_are_recipes_by_expected_value() -> None:
    trials = numbered([*noisy(), *noisy()[:3]])
    found = finalists(trials, 5)
    values = expected(trials)
    assert len(found) == len(set(found)) == 5
    assert not {40, 41, 42}.intersection(found)
    assert found[:4] == sorted(found[:4], key=lambda n: -values[n])
    assert len(finalists(trials, 100)) == 40


def test_the_known_good_point_and_the_best_seen_are_finalists() -> None:
    trials = noisy()
    trials[7] = at(0.99, -0.4, point="report")
    trials[8] = at(0.98, 1.3)
    found = finalists(numbered(trials), 4)
    assert found[-2:] in ([7, 8], [8, 7])
    assert len(found) == 4
    best = finalists(trials, 1)[0]
    assert finalists(trials, 2) == [best, 7]
    assert found[0] == best
    with pytest.raises(ValueError, match="at least 1, got 0"):
        finalists(trials, 0)


def test_a_point_that_is_among_them_anyway_keeps_its_place() -> None:
    trials = numbered(noisy())
    best = finalists(trials, 3)[0]
    trials[best].set_user_attr("point", "report")
    again = finalists(trials, 3)
    assert again[0] == best
    assert len(set(again)) == 3


def test_it_says_the_same_every_time() -> None:
    trials = numbered(noisy())
    assert expected(trials) == expected(list(reversed(trials)))


def test_a_long_history_takes_no_long_time() -> None:
    rng = random.Random(0)
    space = {f"x{k}": FloatDistribution(0.0, 1.0) for k in range(8)}
    trials = []
    for _ in range(1000):
        params = {name: rng.random() for name in space}
        value = -sum((v - 0.5) ** 2 for v in params.values()) + rng.gauss(0.0, 0.05)
        trials.append(create_trial(params=params, distributions=space, value=value))
    start = time.process_time()
    found = expected(numbered(trials))
    assert len(found) == 1000
    assert time.process_time() - start < 30.0  # about two seconds; a machine may be slow


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.25, 0.5, 1.0]),
            st.sampled_from(["a", "b"]),
            st.floats(allow_nan=False, allow_infinity=True),
            st.sampled_from(["complete", "pruned", "fail", "odd"]),
        ),
        max_size=14,
    )
)
def test_any_history_gives_a_complete_trial_or_a_sentence(
    rows: list[tuple[float, str, float, str]],
) -> None:
    make: dict[str, Callable[[float, str, float], FrozenTrial]] = {
        "complete": lambda x, c, v: create_trial(
            params={"x": x, "c": c},
            distributions={**X, "c": CategoricalDistribution(["a", "b"])},
            value=v,
        ),
        "pruned": lambda x, c, v: create_trial(
            state=TrialState.PRUNED, params={"x": x}, distributions=X, intermediate_values={1: v}
        ),
        "fail": lambda x, c, v: create_trial(
            state=TrialState.FAIL, params={"x": x}, distributions=X
        ),
        "odd": lambda x, c, v: create_trial(
            params={"n": 1 + round(3 * x)}, distributions={"n": IntDistribution(1, 4)}, value=v
        ),
    }
    study = study_of([make[kind](x, c, v) for x, c, v, kind in rows])
    able = [
        t
        for t in study.trials
        if t.state == TrialState.COMPLETE and t.value is not None and math.isfinite(t.value)
    ]
    if not able:
        with pytest.raises(ValueError, match="complete trial"):
            recommend(study)
        return
    assert recommend(study).number in {t.number for t in able}
    assert all(map(math.isfinite, expected(study.trials).values()))


def test_the_best_of_those_that_were_repeated_is_recommended_over_luckier_single_trials() -> None:
    rng = np.random.default_rng(3)
    study = optuna.create_study(direction="maximize")
    space = {"x": FloatDistribution(0.0, 1.0), "y": FloatDistribution(0.0, 1.0)}
    worth = rng.normal(0.0, 0.5, 80)  # peculiar to each recipe, and hidden by as much noise
    places = rng.random((80, 2))
    seen = worth + rng.normal(0.0, 1.0, 80)

    def add(k: int, value: float) -> None:
        params = dict(zip(space, map(float, places[k]), strict=True))
        study.add_trial(create_trial(params=params, distributions=space, value=value))

    for k in range(80):
        add(k, float(seen[k]))
    best_seen = np.argsort(-seen)[:5]
    means = {}
    for k in best_seen:
        again = worth[k] + rng.normal(0.0, 1.0, 4)
        means[int(k)] = float(np.mean([seen[k], *again]))
        for value in again:
            add(int(k), float(value))
    assert recommend(study).number == max(means, key=lambda k: means[k])
