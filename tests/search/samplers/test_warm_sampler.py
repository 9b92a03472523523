"""Warm start in a plain Optuna study."""

from __future__ import annotations

import optuna
import pytest
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from search.genetic import GeneticSampler, lineage
from search.prior import PRIOR
from search.samplers.warm_sampler import WarmSampler

optuna.logging.set_verbosity(optuna.logging.ERROR)


def score(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
    kind = trial.suggest_categorical("kind", ["a", "b"])
    return -abs(lr - 0.01) - (kind == "a")


def wider(trial: optuna.Trial) -> float:
    return score(trial) - trial.suggest_float("shift", 0.0, 1.0)


@pytest.fixture
def earlier() -> optuna.Study:
    study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=1))
    study.optimize(score, 30)
    return study


@pytest.mark.parametrize(
    "sampler", [GeneticSampler(seed=1), TPESampler(seed=1), RandomSampler(seed=1)], ids=type
)
def test_any_sampler_tries_the_best_of_an_earlier_study(
    earlier: optuna.Study, sampler: BaseSampler
) -> None:
    study = optuna.create_study(direction="maximize", sampler=WarmSampler(sampler, [earlier]))
    study.optimize(wider, 14)
    first = study.trials[0]
    assert {n: first.params[n] for n in ("lr", "kind")} == earlier.best_params
    assert first.user_attrs[PRIOR]["trial"] == earlier.best_trial.number
    assert lineage.record(first, {0: first}).operator == "prior"
    repeated = [t.number for t in study.trials if PRIOR in t.user_attrs]
    assert repeated[:2] == [0, 2]
    assert all(number % 2 == 0 for number in repeated)


def test_narrower_genes_get_the_nearest_value(earlier: optuna.Study) -> None:
    sampler = WarmSampler(RandomSampler(seed=1), [earlier])
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(lambda t: t.suggest_float("lr", 1e-4, 2e-3, log=True), 1)
    assert study.trials[0].params == {"lr": 2e-3}


def test_a_sampler_made_anew_for_every_ask_gives_the_same_trials(earlier: optuna.Study) -> None:
    def run(fresh: bool) -> list[dict[str, object]]:
        study = optuna.create_study(direction="maximize")
        for number in range(15):
            if fresh or not number:
                study.sampler = WarmSampler(GeneticSampler(seed=4), [earlier])
            study.optimize(wider, 1)
        return [t.params for t in study.trials]

    assert run(True) == run(False)


def test_studies_with_nothing_to_give_are_refused(earlier: optuna.Study) -> None:
    with pytest.raises(ValueError, match="a gene in common"):
        WarmSampler(RandomSampler(), [optuna.create_study()])
    space = {"depth": optuna.distributions.IntDistribution(1, 3)}
    with pytest.raises(ValueError, match="depth"):
        WarmSampler(RandomSampler(), [earlier], space)
