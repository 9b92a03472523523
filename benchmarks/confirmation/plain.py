"""Repeats in a plain Optuna study: does `search.recommend` choose among them as their means do?

TPE runs on the tables of real trainings. Of the best five after 80 trials the four other trainings
are added as trials of the study, and `recommend` chooses; beside it the plain rule, which takes the
best mean of the five.
"""

from __future__ import annotations

import numpy as np
import optuna
from optuna.samplers import TPESampler
from optuna.trial import create_trial

from benchmarks.search.problem import Problem, noise
from benchmarks.search.problems import problem
from benchmarks.search.stats import bootstrap, ratio
from benchmarks.search.tables import Grid
from search import recommend

from .problems import names, seeds_of

TRIALS, SEARCHED, BEST = 100, 80, 5
RULES = {
    "recommend after 100 trials": 0,
    "80 trials, and four repeats of the best five: recommend": 1,
    "the same: the best mean of the five": 2,
}


def one(this: Problem, seed: int) -> tuple[float, list[float]]:
    """(regret of the best observed of 100, regrets by `RULES`) of one search."""
    study, true = optuna.create_study(sampler=TPESampler(seed=seed), direction="maximize"), []
    for number in range(TRIALS):
        trial = study.ask(dict(this.distributions))
        seen, real = this.evaluate(trial.params, noise(this.name, seed, number))
        study.tell(trial, seen)
        true.append(real)
    trials = study.get_trials()
    seen_all = np.array([t.value for t in trials], dtype=float)
    repeated = optuna.create_study(direction="maximize")
    repeated.add_trials(trials[:SEARCHED])
    means = {}
    for number in np.argsort(-seen_all[:SEARCHED], kind="stable")[:BEST].tolist():
        params, dists = trials[number].params, trials[number].distributions
        others = seeds_of(this.name, this.active(params)).tolist()
        # The training that the search has seen is not seen again.
        others.pop(int(np.argmin(np.abs(np.array(others) - seen_all[number]))))
        means[number] = float(np.mean([seen_all[number], *others]))
        for value in others:
            repeated.add_trial(create_trial(params=params, distributions=dists, value=value))
    picked = [
        true[recommend(study).number],
        true[recommend(repeated).number],
        true[max(means, key=lambda n: means[n])],
    ]
    return this.regret(true[int(seen_all.argmax())]), [this.regret(each) for each in picked]


def table(seeds: int) -> Grid:
    """Mean regrets of each rule over that of the best one observed of 100 trials."""
    wanted = [(name, seed) for name in names("tables") for seed in range(seeds)]
    found = [one(problem(name), seed) for name, seed in wanted]
    naive = np.array([base for base, _ in found])
    ours = np.array([each for _, each in found])
    places = np.unique([name for name, _ in wanted], return_inverse=True)[1]
    boot = bootstrap(places)
    rows = []
    for name, column in RULES.items():
        value, low, high = ratio(ours[:, column], naive, places, boot)
        rows.append([name, f"{value:.2f} ({low:.2f} to {high:.2f})"])
    title = f"TPE on the tables, {len(found)} runs: regret over that of the best observed of 100"
    return Grid(title, ("chosen by", "ratio"), rows)
