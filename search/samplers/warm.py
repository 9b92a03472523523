"""Warm start: what earlier studies, on other data or other spaces, give a new search to try.

A few of the first trials repeat what was best in the earlier studies, in between the trials
that the new search would have made anyway ("initialisation by meta-learning", Feurer et al.,
2015). Each study's best comes first, then points of its top that lie far apart; of several
studies the one whose points did best here so far is drawn from ("sequential model-free
initialisation", Wistuba et al., 2015, with the new search's own trials as the judge). As soon
as the points do no better than the search's own trials they end, so studies that have
nothing to do with the new one cost a trial or two.

Everything is a pure function: `learn` of the earlier studies, whose answer is kept with the new
one, and `proposal` of that answer and the new study's trials.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from search.genetic.lineage import apart, place
from search.prior import EarlierStudy, Prior, PriorPoint, index_of
from search.trials.marks import searched
from search.trials.summary import fit, is_blameless, merit, params_of, visible

PER_STUDY = 8
"""Points taken over from one study, at most."""
TOP_SHARE = 0.1
"""Share of an earlier study's trials that its points come from; at least `PER_STUDY` of them."""
EVERY = 2
"""One trial in so many may be a prior point; the others are the search's own."""
ENOUGH = 12
"""Prior points tried in one search, at most."""
TRIED_BEFORE_JUDGED = 2
"""Prior points that are tried before they are judged."""
GATE = 0.5
"""The share of the search's own trials that prior points must be better than, on average."""


@dataclass(frozen=True)
class PriorSource:
    """An earlier study.

    Args:
        name: for people, such as its folder.
        trials: all of its trials.
        direction: whether it maximised.
    """

    name: str
    trials: Sequence[FrozenTrial]
    direction: StudyDirection = StudyDirection.MAXIMIZE

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the finished trials' parameters and values, reruns' not."""
        content = [
            [t.number, t.state.name, settings_of(t), t.values]
            for t in sorted(searched(self.trials), key=lambda t: t.number)
            if t.state.is_finished()
        ]
        text = json.dumps(content, sort_keys=True, default=str)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def settings_of(trial: FrozenTrial) -> dict[str, Any]:
    """The genes of ``trial``, and where one of our studies fixed them for all trials those too."""
    found = trial.user_attrs.get("params")
    return {**(found if isinstance(found, Mapping) else {}), **trial.params}


def taken(space: Mapping[str, BaseDistribution], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What ``space`` can take over of ``settings``: genes of the same name and kind.

    Numbers outside a gene's range become the nearest in it. A choice that the gene does not
    have, and a number where the gene is a choice or the reverse, are left out.
    """
    found = {}
    for name, dist in space.items():
        value = settings.get(name)
        if isinstance(dist, CategoricalDistribution):
            if any(type(value) is type(c) and value == c for c in dist.choices):
                found[name] = value
        elif _is_number(value):
            found[name] = fit(dist, value)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def learn(sources: Sequence[PriorSource], space: Mapping[str, BaseDistribution]) -> Prior:
    """The prior points that ``sources`` have for a search of ``space``.

    Of each study the best trial, then those of its best tenth that lie farthest from the ones
    taken before (Gonzalez, 1985). A study without finished trials, or without a gene in common,
    has none.

    Args:
        sources: earlier studies of one objective, or whose first objective counts.
        space: every gene of the new search, by name.
    """
    studies, points = [], []
    for index, source in enumerate(sources):
        ranked = _ranked(source, space)
        genes = sorted({name for _, params in ranked for name in params})
        studies.append(EarlierStudy(source.name, source.fingerprint, len(ranked), tuple(genes)))
        top = ranked[: max(PER_STUDY, math.ceil(TOP_SHARE * len(ranked)))] if genes else []
        for number, params in _spread([entry for entry in top if entry[1]], space):
            points.append(PriorPoint(index, number, params))
    return Prior(tuple(studies), tuple(points))


def _ranked(
    source: PriorSource, space: Mapping[str, BaseDistribution]
) -> list[tuple[int, dict[str, Any]]]:
    """(number, what can be taken over) of the trials with a value, best first."""
    worths = [
        (worth, trial)
        for trial in searched(source.trials)
        if trial.state.is_finished() and (worth := merit(trial, source.direction)) is not None
    ]
    worths.sort(key=lambda pair: (pair[0], -pair[1].number), reverse=True)
    return [(trial.number, taken(space, settings_of(trial))) for _, trial in worths]


def _spread(
    ranked: Sequence[tuple[int, dict[str, Any]]], space: Mapping[str, BaseDistribution]
) -> list[tuple[int, dict[str, Any]]]:
    """The first, then always the one farthest from those before; no two alike."""
    places = [place(params, space) for _, params in ranked]
    chosen = [0] if ranked else []
    while chosen and len(chosen) < PER_STUDY:
        gaps = [min(apart(here, places[i], space) for i in chosen) for here in places]
        best = max(range(len(ranked)), key=lambda i: (gaps[i], -i))
        if gaps[best] == 0.0:
            break
        chosen.append(best)
    return [ranked[i] for i in chosen]


def proposal(
    prior: Prior,
    trials: Iterable[FrozenTrial],
    number: int,
    *,
    start: int = 0,
    direction: StudyDirection = StudyDirection.MAXIMIZE,
) -> int | None:
    """The prior point that trial ``number`` should repeat, or None if it should not.

    Args:
        prior: what there is.
        trials: all trials of the new study; those that repeat a point are marked `PRIOR`.
        number: the trial that asks; it may know the finished trials and those before it.
        start: the first trial that may repeat one; known-good points come before.
        direction: whether the new study maximises.

    Returns:
        an index into ``prior.points``.
    """
    if number < start or (number - start) % EVERY:
        return None
    known = visible(trials, number)
    used = {index: t for t in known if (index := index_of(t, prior)) is not None}
    shares = _shares(known, used, direction)
    scores = [shares[index] for index in used if index in shares]
    if len(used) >= ENOUGH:
        return None
    if len(scores) >= TRIED_BEFORE_JUDGED and sum(scores) / len(scores) < GATE:
        return None
    return _next(prior, used, shares, [params_of(trial) for trial in known])


def _shares(
    known: Sequence[FrozenTrial], used: Mapping[int, FrozenTrial], direction: StudyDirection
) -> dict[int, float]:
    """For each finished prior point the share of the search's own trials that it is above.

    What the machine ended is neither judged nor judges.
    """
    mine = {trial.number for trial in used.values()}
    own = [merit(t, direction) or LOWEST for t in known if _tells(t) and t.number not in mine]
    found = {}
    for index, trial in used.items():
        if _tells(trial):
            worth = merit(trial, direction) or LOWEST
            found[index] = (sum(worth > other for other in own) + 0.5) / (len(own) + 1)
    return found


def _tells(trial: FrozenTrial) -> bool:
    return trial.state.is_finished() and not is_blameless(trial)


LOWEST = (-math.inf, -math.inf)
"""What a failed trial is worth."""


def _next(
    prior: Prior,
    used: Mapping[int, FrozenTrial],
    shares: Mapping[int, float],
    seen: Sequence[Mapping[str, Any]],
) -> int | None:
    """The first point left of the study that did best so far; studies not yet tried come first."""
    best: tuple[tuple[float, int, int], int] | None = None
    for study in range(len(prior.studies)):
        tried = [i for i in used if prior.points[i].study == study]
        left = [
            i
            for i, point in enumerate(prior.points)
            if point.study == study and i not in used and not _repeats(point.params, seen)
        ]
        if not left:
            continue
        judged = [shares[i] for i in tried if i in shares]
        # Shrunk to one half by one trial's worth, so that one lucky point is no proof.
        worth = (sum(judged) + 0.5) / (len(judged) + 1) if tried else math.inf
        key = (worth, -len(tried), -study)
        if best is None or key > best[0]:
            best = (key, left[0])
    return None if best is None else best[1]


def _repeats(params: Mapping[str, Any], seen: Sequence[Mapping[str, Any]]) -> bool:
    """Whether some trial had all of ``params``."""
    return any(
        all(name in other and other[name] == value for name, value in params.items())
        for other in seen
    )
