from __future__ import annotations

import itertools
import math
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from deap import tools
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

from search.genetic import GeneticSampler
from search.genetic.design import design
from search.genetic.history import History
from search.genetic.operators import Layout, Operators, private, reflect
from search.genetic.sampler import INITIAL


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(before)


# Five mixed problems with conditions, the optimum of each near 0.


def recipe(trial: Any) -> float:
    model = trial.suggest_categorical("model", ["a", "b", "c"])
    value = -((math.log10(trial.suggest_float("lr", 1e-5, 1e-1, log=True)) + 3) ** 2) / 4
    value -= ((math.log10(trial.suggest_float("wd", 1e-6, 1e-1, log=True)) + 4) ** 2) / 9
    if model == "a":
        return value - 0.3
    if model == "b":
        value -= 4 * (trial.suggest_float("drop", 0, 0.5) - 0.2) ** 2
        return value - ((trial.suggest_int("layers", 1, 8) - 5) ** 2) / 16
    return value - 0.1 - 0.05 * abs(trial.suggest_int("kernel", 3, 15, step=2) - 7)


def two_optimizers(trial: Any) -> float:
    if trial.suggest_categorical("optimizer", ["sgd", "adam"]) == "sgd":
        x, y = trial.suggest_float("x", -5, 10), trial.suggest_float("y", 0, 15)
        b, c = 5.1 / (4 * math.pi**2), 5 / math.pi
        branin = (y - b * x * x + c * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x)
        return -(branin + 9.602) / 50
    value = -((math.log10(trial.suggest_float("lr", 1e-5, 1, log=True)) + 2) ** 2) / 4
    value -= 4 * (trial.suggest_float("momentum", 0.5, 0.999) - 0.9) ** 2
    return value - 0.05 * (math.log2(trial.suggest_int("batch", 1, 64, log=True)) - 4) ** 2


def ratios(trial: Any) -> float:
    value = 0.0
    for i in range(10):
        weight = 1 if i < 4 else 0.2
        value -= weight * (trial.suggest_float(f"ratio{i}", 0, 1) - (i * 0.37 % 1)) ** 2
    if trial.suggest_categorical("ema", [True, False]):
        return value - 20 * (trial.suggest_float("decay", 0.9, 0.9999) - 0.99) ** 2
    return value - 0.2


def choices(trial: Any) -> float:
    drawn = [trial.suggest_categorical(f"c{i}", [0, 1, 2, 3]) for i in range(5)]
    value = -0.2 * sum(abs(c - i % 4) for i, c in enumerate(drawn))
    if drawn[:2] == [0, 1]:
        value -= 0.3 * abs(trial.suggest_float("z", 0, 1) - 0.7)
    return value - 0.3 * abs(trial.suggest_int("k", 0, 20) - 13) / 20


def bumpy(trial: Any) -> float:
    x = [trial.suggest_float(f"x{i}", -3, 3) - 0.7 for i in range(4)]
    root = math.sqrt(sum(v * v for v in x) / 4)
    waves = sum(math.cos(2 * math.pi * v) for v in x) / 4
    return (20 * math.exp(-0.2 * root) + math.exp(waves) - 20 - math.e) / 10


PROBLEMS = [recipe, two_optimizers, ratios, choices, bumpy]


def best(problem: Callable[[Any], float], sampler: Any, trials: int = 100) -> float:
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(problem, n_trials=trials)
    return study.best_value


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_hundred_trials_beat_random_search_by_far(problem: Callable[[Any], float]) -> None:
    evolved = np.mean([best(problem, GeneticSampler(seed=s)) for s in range(3)])
    drawn = np.mean([best(problem, RandomSampler(seed=s)) for s in range(3)])
    assert evolved > 0.6 * drawn  # both are below the optimum, at 0


def test_the_generational_scheme_beats_random_search_too() -> None:
    def loss(problem: Callable[[Any], float], make: Callable[[int], Any]) -> float:
        return -float(np.mean([best(problem, make(s)) for s in range(2)]))

    def generational(seed: int) -> GeneticSampler:
        return GeneticSampler(seed=seed, scheme="generational")

    few = [recipe, choices, bumpy]
    ratio = [loss(p, generational) / loss(p, lambda s: RandomSampler(seed=s)) for p in few]
    assert np.mean(ratio) < 0.7


def sphere(trial: Any) -> float:
    return -sum(trial.suggest_float(f"x{i}", -1, 1) ** 2 for i in range(3))


def test_minimising_is_maximising_the_negative() -> None:
    up = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=3))
    up.optimize(recipe, n_trials=40)
    down = optuna.create_study(direction="minimize", sampler=GeneticSampler(seed=3))
    down.optimize(lambda t: -recipe(t), n_trials=40)
    assert [t.params for t in up.trials] == [t.params for t in down.trials]


def test_the_default_seed_differs_between_samplers_and_stays_within_one() -> None:
    assert GeneticSampler().seed != GeneticSampler().seed
    one = GeneticSampler()
    again = GeneticSampler(seed=one.seed)
    studies = [optuna.create_study(sampler=s) for s in (one, again)]
    for study in studies:
        study.optimize(recipe, n_trials=15)
    assert studies[0].trials[-1].params == studies[1].trials[-1].params


def test_a_seed_may_be_numpy_s() -> None:
    assert best(sphere, GeneticSampler(seed=np.int64(1)), 3) == best(
        sphere, GeneticSampler(seed=1), 3
    )


def test_python_and_numpy_global_generators_are_left_alone() -> None:
    random.seed(5)
    np.random.seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist()
    best(recipe, GeneticSampler(seed=1), 25)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_draws_of_other_threads_change_nothing() -> None:
    calm = optuna.create_study(sampler=GeneticSampler(seed=1))
    calm.optimize(recipe, n_trials=30)
    stop = threading.Event()

    def disturb() -> None:
        while not stop.is_set():
            random.random()

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        shaken = optuna.create_study(sampler=GeneticSampler(seed=1))
        shaken.optimize(recipe, n_trials=30)
    finally:
        stop.set()
        thread.join()
    assert [t.params for t in calm.trials] == [t.params for t in shaken.trials]


def test_storage_and_hash_seed_change_nothing(tmp_path: Path) -> None:
    """The order in which a storage or a set hands out genes must not matter."""
    code = (
        "import sys, optuna; sys.path.insert(0, sys.argv[1]); optuna.logging.set_verbosity(50)\n"
        "from test_sampler import recipe; from search.genetic import GeneticSampler\n"
        "s = optuna.create_study(storage=sys.argv[2], direction='maximize',"
        " sampler=GeneticSampler(seed=1))\n"
        "s.optimize(recipe, n_trials=16)\n"
        "print([sorted(t.params.items()) for t in s.trials])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), f"sqlite:///{tmp_path / 'h.db'}"],
        env={**os.environ, "PYTHONHASHSEED": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    here.optimize(recipe, n_trials=16)
    assert done.stdout.strip() == str([sorted(t.params.items()) for t in here.trials])


def test_parallel_jobs_neither_fail_nor_repeat() -> None:
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(recipe, n_trials=40, n_jobs=4)
    assert len(study.trials) == 40
    assert len({str(sorted(t.params.items())) for t in study.trials}) == 40


def test_pruners_work_and_pruned_trials_can_be_parents() -> None:
    def objective(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        for step in range(1, 4):
            trial.report(x * step, step)
            if trial.should_prune():
                raise optuna.TrialPruned
        return x

    pruner = optuna.pruners.MedianPruner(n_startup_trials=4)
    study = optuna.create_study(
        direction="maximize", sampler=GeneticSampler(seed=1, population_size=8), pruner=pruner
    )
    study.optimize(objective, n_trials=60)
    states = [t.state for t in study.trials]
    assert TrialState.PRUNED in states
    assert study.best_value > 0.97


def trial_of(number: int, params: dict[str, Any], state: TrialState, **how: Any) -> Any:
    space = {"x": FloatDistribution(0, 1), "c": CategoricalDistribution(["a", "b"])}
    trial = create_trial(
        state=state, params=params, distributions={n: space[n] for n in params}, **how
    )
    trial.number = number
    return trial


def history(trials: list[Any], number: int, **how: Any) -> History:
    return History.read(trials, number, optuna.study.StudyDirection.MAXIMIZE, 1, None, **how)


def test_complete_trials_outrank_pruned_and_pruned_rank_by_how_far_they_came() -> None:
    trials = [
        trial_of(0, {"x": 0.1}, TrialState.COMPLETE, value=0.1),
        trial_of(1, {"x": 0.2}, TrialState.PRUNED, intermediate_values={1: 0.9}),
        trial_of(2, {"x": 0.3}, TrialState.PRUNED, intermediate_values={1: 0.2, 2: 0.3}),
        trial_of(3, {"x": 0.4}, TrialState.COMPLETE, value=0.1),
    ]
    assert [t.number for _, t in history(trials, 9).ranked] == [3, 0, 2, 1]


def test_failed_nan_and_silent_trials_are_never_parents() -> None:
    trials = [
        trial_of(0, {"x": 0.1}, TrialState.FAIL, intermediate_values={1: 0.9}),
        trial_of(1, {"x": 0.2}, TrialState.PRUNED, intermediate_values={1: 0.9, 2: math.nan}),
        trial_of(2, {"x": 0.3}, TrialState.PRUNED),
        trial_of(3, {"x": 0.4}, TrialState.COMPLETE, value=math.inf),
        trial_of(4, {"x": 0.5}, TrialState.RUNNING, intermediate_values={1: 0.9}),
    ]
    read = history(trials, 9)
    assert not read.ranked
    # One that came to infinity is as bad as one that failed.
    assert [b["x"] for b in read.bad] == [0.1, 0.2, 0.4]
    assert all(read.is_tried({"x": x}) for x in (0.1, 0.2, 0.3, 0.4, 0.5))


def test_a_trial_that_got_over_a_nan_and_completed_may_be_a_parent() -> None:
    steps = {1: math.nan, 2: 0.4}
    read = history(
        [trial_of(0, {"x": 0.1}, TrialState.COMPLETE, value=0.4, intermediate_values=steps)], 9
    )
    assert [t.number for _, t in read.ranked] == [0]
    assert not read.bad


def test_unfinished_trials_with_higher_numbers_are_not_seen() -> None:
    running = trial_of(5, {"x": 0.5}, TrialState.RUNNING)
    assert history([running], 6).is_tried({"x": 0.5})
    assert not history([running], 4).running
    assert not history([running], 4).is_tried({"x": 0.5})
    study = optuna.create_study()
    study.add_trials([running])
    sampler = GeneticSampler(seed=1)
    early, late = trial_of(0, {}, TrialState.RUNNING), trial_of(9, {}, TrialState.RUNNING)
    early.number = -1  # asked before the study's first
    assert sampler.infer_relative_search_space(study, early) == {}
    assert set(sampler.infer_relative_search_space(study, late)) == {"x"}


@pytest.mark.parametrize("carried", [None, "x", 5, [1], {"x": 10**400}, {"x": [1]}, {"other": 1}])
def test_an_attribute_of_another_program_does_no_harm(carried: Any) -> None:
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    for n in range(12):
        trial = trial_of(n, {"x": n / 20}, TrialState.COMPLETE, value=n)
        trial.user_attrs = {"carried": carried, "lineage": carried}
        study.add_trial(trial)
    study.optimize(recipe, n_trials=3)
    assert len(study.trials) == 15


def test_a_trial_repeats_another_if_the_genes_that_mattered_are_equal() -> None:
    read = history([trial_of(0, {"x": 0.5}, TrialState.COMPLETE, value=1)], 1)
    assert read.is_tried({"x": 0.5, "only under a condition": 3})
    assert not read.is_tried({"x": 0.6})


def test_the_neighbourhood_of_failures_is_avoided() -> None:
    def objective(trial: Any) -> float:
        x = trial.suggest_float("x", 0, 1)
        if abs(x - 0.5) < 0.2:
            raise ValueError
        return -abs(x - 0.5)

    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=2))
    study.optimize(objective, n_trials=60, catch=ValueError)
    late = [t for t in study.trials[30:] if t.state == TrialState.FAIL]
    assert len(late) < 12


def test_no_combination_is_tried_twice_until_all_are() -> None:
    def objective(trial: Any) -> float:
        kind = trial.suggest_categorical("kind", ["a", "b", "c"])
        value = float(trial.suggest_int("n", 1, 4))
        return value + (trial.suggest_int("m", 0, 2) if kind == "b" else 0)

    for seed in range(5):
        study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=seed))
        study.optimize(objective, n_trials=24)  # 4 + 4 + 4 * 3 = 20 combinations
        seen = [str(sorted(t.params.items())) for t in study.trials]
        assert len(set(seen[:20])) == len(set(seen)) == 20


def test_the_last_new_combination_of_a_hundred_is_found() -> None:
    def objective(trial: Any) -> float:
        log = trial.suggest_int("log", 1, 5, log=True)
        return log * trial.suggest_float("step", 0, 0.9, step=0.1) + trial.suggest_int(
            "n", 2, 4, step=2
        )

    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(objective, n_trials=100)
    assert len({tuple(sorted(t.params.items())) for t in study.trials}) == 100


def test_a_switched_condition_inherits_what_was_carried() -> None:
    sampler = GeneticSampler(seed=1, population_size=4)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(recipe, n_trials=30)
    for trial in study.trials[6:]:
        carried = trial.user_attrs["carried"]
        assert {"drop", "layers", "kernel"} <= carried.keys()
        assert {n: carried[n] for n in trial.params} == trial.params


def test_a_range_that_changes_is_kept_to() -> None:
    def objective(trial: Any) -> float:
        top = 10 if trial.number < 15 else 5
        return trial.suggest_float("x", 0, top) + trial.suggest_int("n", 0, top)

    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(objective, n_trials=30)
    assert all(t.params["x"] <= 5 and t.params["n"] <= 5 for t in study.trials[15:])
    # Parents at the old top, clipped: their children begin at the new one.
    assert max(t.params["x"] for t in study.trials[15:18]) > 4


def test_fixed_genes_of_an_enqueued_trial_are_respected() -> None:
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(recipe, n_trials=15)
    study.enqueue_trial({"model": "b", "layers": 3})
    study.optimize(recipe, n_trials=1)
    last = study.trials[-1]
    assert (last.params["model"], last.params["layers"]) == ("b", 3)
    assert last.user_attrs["carried"]["layers"] == 3


def test_lineage_names_parents_operator_and_changes() -> None:
    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(recipe, n_trials=40)
    for trial in study.trials:
        entry = trial.user_attrs["lineage"]
        if trial.number < INITIAL:
            assert (entry["parents"], entry["operator"]) == ([], "initial")
            continue
        if entry["operator"] == "random":  # an immigrant that promised most
            assert entry["parents"] == []
            continue
        assert entry["operator"] in ("mutation", "crossover", "crossover+mutation")
        assert len(entry["parents"]) == (1 if entry["operator"] == "mutation" else 2)
        assert all(p < trial.number for p in entry["parents"])
        parent = study.trials[entry["parents"][0]].params
        for gene, (old, new) in entry["changed"].items():
            assert trial.params.get(gene, new) == new
            assert parent.get(gene, old) == old
        same = trial.params.keys() & parent.keys() - entry["changed"].keys()
        assert all(trial.params[gene] == parent[gene] for gene in same)


def test_generational_parents_come_from_earlier_generations() -> None:
    sampler = GeneticSampler(seed=1, population_size=6, scheme="generational")
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(recipe, n_trials=30)
    for trial in study.trials[6:]:
        assert all(p < trial.number // 6 * 6 for p in trial.user_attrs["lineage"]["parents"])


def test_the_barrier_opens_when_the_generation_has_ended() -> None:
    sampler = GeneticSampler(seed=1, population_size=2, scheme="generational")
    ended = trial_of(0, {"x": 0.1}, TrialState.FAIL)
    running = trial_of(1, {"x": 0.2}, TrialState.RUNNING)
    assert sampler.ready([], 0)
    assert sampler.ready([ended], 1)
    assert not sampler.ready([ended, running], 2)
    assert not sampler.ready([ended], 2)
    done = trial_of(1, {"x": 0.2}, TrialState.PRUNED)
    assert sampler.ready([ended, done], 3)
    assert GeneticSampler(seed=1, population_size=2).ready([ended, running], 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"population_size": 1},
        {"scheme": "textbook"},
        {"tournament": 0},
        {"crossover_probability": 1.5},
        {"mutation_rate": 0},
        {"mutation_strength": -1},
    ],
)
def test_arguments_out_of_range_are_refused_with_their_value(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
        GeneticSampler(**wrong)


def test_the_first_trials_fill_each_gene_evenly() -> None:
    space: dict[str, BaseDistribution] = {
        "x": FloatDistribution(0, 10),
        "c": CategoricalDistribution(["a", "b"]),
    }
    rows = [design(7, n, 10, space) for n in range(10)]
    assert sorted(int(r["x"]) for r in rows) == list(range(10))
    assert sorted(r["c"] for r in rows) == ["a"] * 5 + ["b"] * 5


def test_private_operators_are_deap_s_own() -> None:
    random.seed(11)
    expected = tools.cxBlend([0.1, 0.9], [0.5, 0.3], 0.5), tools.selRandom([1, 2, 3], 5)
    rng = random.Random(11)
    own = private(tools.crossover, rng)["cxBlend"]([0.1, 0.9], [0.5, 0.3], 0.5)
    assert (own, private(tools.selection, rng)["selRandom"]([1, 2, 3], 5)) == expected


def test_a_mutated_choice_is_always_another_choice() -> None:
    layout = Layout({"c": CategoricalDistribution(["a", "b", "c"])})
    operators = Operators(layout, random.Random(1), 3)
    drawn = [operators.mutate([], [1], 1.0, 0.1)[1][0] for _ in range(60)]
    assert set(drawn) == {0, 2}


def test_a_mutated_int_leaves_its_level_often() -> None:
    layout = Layout({"n": IntDistribution(1, 4)})
    operators = Operators(layout, random.Random(1), 3)
    drawn = [operators.mutate([0.375], [], 1.0, 0.01)[0][0] for _ in range(100)]
    assert sum(int(u * 4) != 1 for u in drawn) > 40


@pytest.mark.parametrize(
    ("unit", "folded"), [(-0.2, 0.2), (1.3, 0.7), (0.4, 0.4), (2.1, 0.1), (-1.2, 0.8)]
)
def test_steps_over_the_ends_are_folded_back(unit: float, folded: float) -> None:
    assert reflect(unit) == pytest.approx(folded)


def test_the_surrogate_finds_better_trials_than_the_same_algorithm_without_it() -> None:
    def best(surrogate: bool, seed: int) -> float:
        sampler = GeneticSampler(seed=seed, surrogate=surrogate)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(recipe, n_trials=40)
        return float(study.best_value)

    assert np.median([best(True, s) - best(False, s) for s in range(5)]) > 0


def test_trials_asked_for_at_once_lie_apart() -> None:
    def objective(trial: optuna.Trial) -> float:
        return -sum(abs(trial.suggest_float(f"x{i}", 0, 1) - 0.4) for i in range(4))

    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(objective, n_trials=12)
    space = study.trials[0].distributions
    asked = [np.array(list(study.ask(dict(space)).params.values())) for _ in range(4)]
    apart = [np.abs(a - b).max() for a, b in itertools.combinations(asked, 2)]
    assert min(apart) > 0.02


def beside(others: list[dict[str, float]]) -> dict[str, float]:
    """What is asked for after 12 trials while ``others`` run."""

    def objective(trial: optuna.Trial) -> float:
        return -sum(abs(trial.suggest_float(f"x{i}", 0, 1) - 0.4) for i in range(4))

    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(objective, n_trials=12)
    space = dict(study.trials[0].distributions)
    for params in others:
        running = create_trial(state=TrialState.RUNNING, params=params, distributions=space)
        study.add_trial(running)
    return study.ask(space).params


def around(middle: float, count: int, spread: float = 0.01) -> list[dict[str, float]]:
    rng = np.random.default_rng(0)
    places = middle + spread * (rng.random((count, 4)) - 0.5)
    return [{f"x{i}": float(x) for i, x in enumerate(place)} for place in places]


def apart(one: dict[str, float], two: dict[str, float]) -> float:
    return max(abs(one[name] - two[name]) for name in one)


def test_the_oldest_of_two_hundred_running_trials_counts_too() -> None:
    corner = around(0.99, 200)
    first = beside(corner)
    assert apart(first, beside([first, *corner[1:]])) > 0.1


def test_beside_two_hundred_running_trials_the_next_differs_from_all_of_them() -> None:
    corner, rng = around(0.99, 64), np.random.default_rng(0)
    first = beside(corner)
    older = [
        {n: float(np.clip(x + 0.1 * (rng.random() - 0.5), 0, 1)) for n, x in first.items()}
        for _ in range(136)
    ]
    found = beside([*older, *corner])
    assert min(apart(found, other) for other in [*older, *corner]) > 0.1


def test_a_region_of_failures_is_left() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        if x > 0.5:
            raise RuntimeError
        return x

    study = optuna.create_study(direction="maximize", sampler=GeneticSampler(seed=1))
    study.optimize(objective, n_trials=40, catch=RuntimeError)
    failed = [t.number for t in study.trials if t.state == TrialState.FAIL]
    assert sum(n >= 20 for n in failed) < 10
    assert study.best_value > 0.47


def test_the_surrogate_looks_at_the_best_and_the_latest() -> None:
    trials = []
    for n in range(100):
        made = create_trial(
            value=-float(n), params={"x": n / 100}, distributions={"x": FloatDistribution(0, 1)}
        )
        made.number = n
        trials.append(made)
    history = History.read(trials, 100, optuna.study.StudyDirection.MAXIMIZE, 0, None)
    assert [t.number for t in history.chosen(6)] == [0, 1, 2, 97, 98, 99]
    assert [t.number for t in history.chosen(6, 50)] == [0, 1, 2, 47, 48, 49]
    assert [t.number for t in history.chosen(6, 6)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, INITIAL),
        ({"initial": 3}, 3),
        ({"initial": 15}, 15),
        ({"population_size": 4}, 4),
        ({"surrogate": False}, 10),
        ({"scheme": "generational", "population_size": 8}, 8),
    ],
)
def test_so_many_trials_come_before_the_first_child(options: dict[str, Any], count: int) -> None:
    study = optuna.create_study(sampler=GeneticSampler(seed=1, **options))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=count + 1)
    initial = [t.user_attrs["lineage"]["operator"] == "initial" for t in study.trials]
    assert initial == [True] * count + [False]
    # Each stratum of the Latin hypercube once.
    assert sorted(int(t.params["x"] * count) for t in study.trials[:count]) == list(range(count))


def test_an_initial_design_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="initial must be at least 2, got 1"):
        GeneticSampler(initial=1)
