"""From predictions and labels to an ensemble: the methods by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from cxrsearch.data.marks import absent, known, present
from cxrsearch.learn.metrics import auroc, mean_auroc

from .folds import held_out
from .genetic import genetic_weights
from .greedy import greedy_weights
from .predictions import names_for
from .scale import SCALES, Array, Scale
from .stacking import PLAIN, STRENGTHS, Stack, stack
from .weights import Ensemble

AUTO = "auto"
CANDIDATES = ("uniform", "greedy", "stacking")
"""What ``auto`` chooses among: few, so that little is won by choosing."""

INNER_FOLDS = 5
"""As many as for the estimate: with fewer, methods that need many images look too bad."""


class Problem(NamedTuple):
    """What a method sees.

    Args:
        logits: (k, n, d).
        truth: (n, d) bool, or where something is not known 1.0, 0.0 and NaN.
        judged: (m,) the columns in which both classes are known.
        columns: (j,) those of them that the objective is over.
        averaging: the scale that averages are taken on.
        seed: of what is drawn.
    """

    logits: Array
    truth: Array
    judged: Array
    columns: Array
    averaging: str
    seed: int


FittedWeights = tuple[Scale, Array, Array, Array]
Method = Callable[[Problem], FittedWeights]


def fit(
    scores: Array,
    labels: Array,
    patients: Array,
    method: str = "stacking",
    *,
    members: Sequence[str] | None = None,
    averaging: str = "probability",
    columns: Sequence[int] | None = None,
    most: int | None = None,
    seed: int = 0,
    label_names: Sequence[str] | None = None,
) -> Ensemble:
    """Find weights for the members.

    Args:
        scores: (k, n, d) logits of k models for n images.
        labels: (n, d), see `cxrsearch.data.marks`; what is not known of an image takes no part in
            the fit of that label.
        patients: (n,) whom each image shows.
        method: one of `METHODS`, or ``auto``: whichever of `CANDIDATES` does best on patients it
            was not fitted on.
        members: names of the models; ``0``, ``1`` and so on by default.
        averaging: ``probability``, ``logit`` or ``rank``: what is averaged. The two stackings
            take z-scores of logits in any case.
        columns: labels that a joint choice is made by; all by default.
        most: how many members may take part, the best by mean AUROC; all by default.
        seed: of what is drawn at random.
        label_names: (d,) what the columns are; by default as in `names_for`.

    Returns:
        the ensemble, its members those of ``scores`` in order, also where a weight is 0.

    Raises:
        ValueError: for shapes that do not fit, numbers that are not finite, unknown names.
    """
    scores, truth = check(scores, labels, patients)
    if method != AUTO and method not in METHODS:
        raise ValueError(f"method {method!r}: one of {AUTO}, {', '.join(METHODS)}")
    if averaging not in SCALES[:3]:
        raise ValueError(f"averaging {averaging!r}: one of {', '.join(SCALES[:3])}")
    k, _, d = scores.shape
    names = tuple(map(str, range(k))) if members is None else tuple(members)
    if len(names) != k:
        raise ValueError(f"{len(names)} names for {k} members")
    called = names_for(d) if label_names is None else tuple(label_names)
    if len(called) != d:
        raise ValueError(f"{len(called)} names for {d} labels")
    judged = np.flatnonzero(present(truth).any(axis=0) & absent(truth).any(axis=0))
    wanted = np.intersect1d(judged, np.arange(d) if columns is None else np.asarray(columns))
    if not len(wanted):
        raise ValueError("no label has both positives and negatives")
    problem = Problem(scores, truth, judged, wanted, averaging, seed)
    if method == AUTO:
        method = _best(problem, np.asarray(patients), most)
    best = np.argsort(-_singles(problem), kind="stable")[: k if most is None else max(most, 1)]
    chosen = np.sort(best)
    scale, found, cross, bias = METHODS[method](problem._replace(logits=scores[chosen]))
    weights = np.zeros((k, d))
    weights[chosen] = found
    return Ensemble(names, method, Scale.learn(scale.kind, scores), weights, cross, bias, called)


def _singles(problem: Problem) -> Array:
    """(k,) mean AUROC of each member over the problem's columns."""
    columns = problem.columns
    truth = problem.truth[:, columns]
    return np.array([mean_auroc(auroc(truth, one[:, columns])) for one in problem.logits])


def _best(problem: Problem, patients: Array, most: int | None) -> str:
    """The candidate with the best mean AUROC on held-out patients.

    The first, which fits nothing, where there are too few patients, or too few of them ill, to
    hold some out.
    """

    def scored(method: str) -> float:
        def fold(fitted: Array, held: Array) -> Array:
            part = fit(
                problem.logits[:, fitted], problem.truth[fitted], patients[fitted], method,
                averaging=problem.averaging, columns=problem.columns.tolist(), most=most,
                seed=problem.seed,
            )  # fmt: skip
            return part.apply(problem.logits[:, held])

        ranks = held_out(fold, problem.truth, patients, INNER_FOLDS, problem.seed)
        return mean_auroc(auroc(problem.truth[:, problem.columns], ranks[:, problem.columns]))

    try:
        return max(CANDIDATES, key=scored)
    except ValueError:  # fewer patients than folds, or a fold takes all that are ill
        return CANDIDATES[0]


def check(scores: Array, labels: Array, patients: Array) -> tuple[Array, Array]:
    """Scores and labels that fit together; labels as in `Problem.truth`.

    Raises:
        ValueError: where they do not.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 3 or not scores.shape[0] or labels.shape != scores.shape[1:]:
        raise ValueError(
            f"scores must be (k, n, d) and labels (n, d), got {scores.shape} and {labels.shape}"
        )
    if np.asarray(patients).shape != labels.shape[:1]:
        raise ValueError(f"patients must be ({len(labels)},), got {np.asarray(patients).shape}")
    if ((labels < 0) | (labels > 1)).any():  # neither is true of a NaN
        raise ValueError("labels must be from 0 to 1, or NaN")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    there = known(labels)
    positive = present(labels)
    return scores, positive if there.all() else np.where(there, positive, np.nan)


def _average(problem: Problem, weights: Array) -> FittedWeights:
    """(k,) or (k, d) ``weights`` on the problem's scale."""
    _, _, d = problem.logits.shape
    each = np.repeat(weights[:, None], d, axis=1) if weights.ndim == 1 else weights
    scale = Scale.learn(problem.averaging, problem.logits)
    return scale, each, np.zeros((d, d)), np.zeros(d)


def _uniform(problem: Problem) -> FittedWeights:
    """Equal weights."""
    k = len(problem.logits)
    return _average(problem, np.full(k, 1.0 / k))


def _single(problem: Problem) -> FittedWeights:
    """The best member by mean AUROC."""
    values = _singles(problem)
    weights = np.zeros(len(values))
    weights[int(np.argmax(values))] = 1.0
    return _average(problem._replace(averaging="logit"), weights)


def _by_label(problem: Problem, columns: Array) -> Array:
    """(j, k, n) float32 scores for ``columns``, on the problem's scale."""
    x = Scale.learn(problem.averaging, problem.logits)(problem.logits)
    return np.ascontiguousarray(x[:, :, columns].transpose(2, 0, 1))


def _greedy(problem: Problem) -> FittedWeights:
    """Selection with replacement for the mean AUROC."""
    columns = problem.columns
    x = _by_label(problem, columns)
    return _average(problem, greedy_weights(x, problem.truth[:, columns], problem.seed)[:, 0])


def _greedy_each(problem: Problem) -> FittedWeights:
    """Selection with replacement for each label."""
    k, _, d = problem.logits.shape
    weights = np.full((k, d), 1.0 / k)
    x = _by_label(problem, problem.judged)
    truth = problem.truth[:, problem.judged]
    weights[:, problem.judged] = greedy_weights(x, truth, problem.seed, each=True)
    return _average(problem, weights)


def _genetic(problem: Problem) -> FittedWeights:
    """Weights by the genetic algorithm."""
    columns = problem.columns
    x = _by_label(problem, columns)
    return _average(problem, genetic_weights(x, problem.truth[:, columns], problem.seed))


def _logistic(problem: Problem) -> FittedWeights:
    """Plain logistic stacking."""
    return _stacked(problem, PLAIN, cross=False)


def _stacking(problem: Problem) -> FittedWeights:
    """Stacking held back by a prior."""
    k = len(problem.logits)
    return _stacked(problem, tuple(k * strength for strength in STRENGTHS), cross=True)


def _stacked(problem: Problem, precisions: tuple[float, ...], cross: bool) -> FittedWeights:
    """Stacking for the labels with both classes; equal weights for the others."""
    k, _, d = problem.logits.shape
    judged = problem.judged
    scale = Scale.learn("z", problem.logits)
    found: Stack = stack(
        scale(problem.logits)[:, :, judged], problem.truth[:, judged], precisions, cross
    )
    weights, crossed, bias = np.full((k, d), 1.0 / k), np.zeros((d, d)), np.zeros(d)
    weights[:, judged], bias[judged] = found.weights, found.bias
    crossed[np.ix_(judged, judged)] = found.cross
    return scale, weights, crossed, bias


METHODS: dict[str, Method] = {
    "stacking": _stacking,
    "greedy": _greedy,
    "greedy-each": _greedy_each,
    "genetic": _genetic,
    "uniform": _uniform,
    "logistic": _logistic,
    "single": _single,
}
"""Every method by its name, in the order in which the command lists them.

To add one, write a function of a `Problem` that returns a `FittedWeights`, and enter it here."""
