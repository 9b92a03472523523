"""Several objectives for the genetic algorithm: NSGA-II's ranking, and one number to model.

The population of a study of several objectives is what NSGA-II's selection keeps of all
finished trials (Deb et al., 2002), and its tournaments are decided by front and crowding. The
surrogate learns one number a trial: the objectives weighed against each other in a way that
is drawn anew for every ask, so that one ask after the other pulls at another part of the front
(ParEGO: Knowles, 2006).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from search.seeds import derive
from search.trials.estimates import estimates
from search.trials.pareto import judged, order, others_of, scalarised, weights
from search.trials.summary import is_bad

from .history import History
from .model import FAILURES, FITTED_ON, LOOKED_AT, milestone

Score = tuple[float, float]
"""What a trial came to, the higher the better, and the standard deviation of that."""


def with_several(found: History, study: Study, number: int) -> History:
    """``found``, ranked by NSGA-II and with scores, where ``study`` has several objectives.

    Args:
        found: the history by the first objective alone.
        study: whose objectives count.
        number: the trial that asks; the weights are drawn for it.
    """
    directions = [direction.name.lower() for direction in study.directions]
    if len(directions) == 1:
        return found
    complete = judged(found.learnt, directions)
    places = order([t.values for t in complete], directions)
    best = [((math.inf, -float(place)), complete[i]) for place, i in enumerate(places)]
    stopped = [pair for pair in found.ranked if pair[1].state == TrialState.PRUNED]
    found = replace(found, ranked=[*best, *stopped])
    early = found.chosen(FITTED_ON, milestone(len(found.learnt)))
    killed = found.killed[-FAILURES:]
    looked_at = {t.number: t for t in (*found.chosen(LOOKED_AT), *early, *killed)}
    by = weights(len(directions), Random(derive(found.seed, "weights", number)))
    return replace(found, scores=scores(list(looked_at.values()), directions, by, found.length))


def scores(
    trials: Sequence[FrozenTrial],
    directions: Sequence[str],
    by: Sequence[float],
    length: str | None = None,
) -> dict[int, Score]:
    """The one number of each finished trial, by the trial's number.

    A stopped trial counts by the estimate of its first objective and by what it expected of the
    others; where it expected nothing it is left out.

    Args:
        trials: finished, none failed by its own fault.
        directions: one for each objective.
        by: the objectives' weights.
        length: the parameter that holds a trial's number of steps; see `search.trials.estimates`.
    """
    complete = judged(trials, directions)
    values = {t.number: [float(v) for v in t.values] for t in complete}
    guessed = estimates(trials, directions[0] == "maximize", length)
    doubts: dict[int, float] = dict.fromkeys(values, 0.0)
    for trial in trials:
        others = others_of(trial)
        if trial.number in guessed and not is_bad(trial) and len(others) == len(directions) - 1:
            first, doubts[trial.number] = guessed[trial.number]
            values[trial.number] = [first, *others]
    numbers = sorted(values)
    found = scalarised([values[n] for n in numbers], directions, by)
    firsts_of = [values[n][0] for n in numbers]
    unit = float(np.ptp(firsts_of)) if numbers else 0.0
    share = by[0] / unit if unit > 0 and math.isfinite(unit) else 0.0
    return {n: (value, doubts[n] * share) for n, value in zip(numbers, found, strict=True)}
