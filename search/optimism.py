"""The best of many models, corrected for the luck by which it was chosen.

A search scores all its models on the same patients and takes the best. That score flatters, the
more so the more models there are and the fewer patients: among scores of like models the highest is
that whose errors were kindest. `corrected` takes this off and says how far the rest may be from the
truth on new patients. `influence` says what each patient adds to a score's error, for one model.

How it is done. A score is A = mu + e, with e of mean 0 over samples of patients. The error of the
mean AUROC is, to first order, a sum over patients (`influence`), so its covariance between models
is known, and noise z that is distributed as e can be drawn. With noise of variance a the scores
A + sqrt(a) z and A - z / sqrt(a) have independent errors, so the second are an honest judge of what
the first choose (Oliveira, Lei & Tibshirani, "Unbiased risk estimation in the normal means problem
via coupled bootstrap techniques", 2021). Averaged over draws this is

    A(c) - z(c) / sqrt(a),   c the model that is best by A + sqrt(a) z.

With a = 1 this is, to first order, bootstrap bias correction (Tsamardinos, Greasidou & Borboudakis,
Machine Learning 2018): models chosen in the bag, judged out of it. Its choice is made as on half as
many patients, which makes it gloomy. Here a = 0.4: the choice is as on five sevenths.

The interval counts the patients, and that the correction varies with them: the search's end is
replayed, with noise on what was seen, and what is reported there is held against what it stands
for. It is by Student's t with as many degrees of freedom as patients matter, on the logit's scale.

Only the order of scores counts, so that any monotone change of them changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]

_CELLS = 1 << 20  # scores of one label that are sorted at once
_REPLAYS = 200  # of the search, by which the width of the interval is found
_ADDED = 0.4  # variance of the noise that is added, in those of the scores' own


@dataclass(frozen=True)
class Corrected:
    """The best of several models, as seen and as expected on new patients.

    Args:
        naive: its mean AUROC on the patients by which it was chosen.
        corrected: what is expected of it on new patients.
        low: lower end of the 95% interval around ``corrected``.
        high: upper end.
        chosen: which it is; the first where several are best.
    """

    naive: float
    corrected: float
    low: float
    high: float
    chosen: int


@dataclass(frozen=True)
class Influence:
    """One model's mean AUROC, and what each patient adds to its error.

    Args:
        value: mean AUROC over the labels that are defined.
        ids: (p,) patients, in ascending order.
        psi: (p,) their parts: the variance of ``value`` is about the sum of their squares, and the
            covariance of two models' values about the sum of products over the patients they share.
    """

    value: float
    ids: NDArray[Any]
    psi: Floats


def corrected(
    scores: ArrayLike,
    labels: ArrayLike,
    patients: ArrayLike,
    draws: int = 1000,
    seed: int = 0,
) -> Corrected:
    """The best model's mean AUROC, corrected for its being chosen as the best.

    The mean is over the labels that are defined: those with a positive and a negative. A model is
    whatever was chosen among: each epoch of each trial is one.

    Args:
        scores: (models, n, k), finite; more is more positive.
        labels: (n, k) in {0, 1, NaN}; NaN is not known, and takes no part.
        patients: (n,) whom each row shows, all of one type that can be compared, none unknown.
        draws: of the noise.
        seed: of the draws.

    Raises:
        ValueError: where shapes differ, labels are other than 0, 1 and NaN, scores are not finite,
            patients are not known or of several types, there are no models or patients, no label
            is defined, or ``draws`` is below 1.
    """
    values = np.asarray(scores)
    sample = _Sample(labels, patients, values.shape, None)
    problems = [*sample.problems, *_not_finite(values)]
    if draws < 1:
        problems.append(f"draws must be 1 or more, got {draws}")
    if problems:
        raise ValueError("; ".join(problems))
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((draws, len(sample.ids)), dtype=np.float32)
    seen, chosen, added, own = -np.inf, 0, noise[0], noise[:, 0]
    partly, rivals = _Choices(draws, _ADDED), _Rivals()
    for start, found, psi in sample.parts(values, max(1, _CELLS * 8 // draws)):
        drawn = noise @ psi.T.astype(np.float32)
        partly.meet(found, drawn)
        rivals.meet(found, drawn)
        if found.max() > seen:
            top = int(found.argmax())
            seen, chosen, added, own = float(found[top]), start + top, psi[top], drawn[:, top]
    # The chosen model's own noise has a mean and a variance that are known: where it is taken off,
    # the draws agree better on the rest.
    value = float((partly.value - (partly.noise - own) / np.sqrt(_ADDED)).mean())
    value = min(1.0, seen, max(0.0, value))
    variance = rivals.variance(float(added @ added))
    reach = float(np.sqrt(variance) * stdtrit(_freedom(added), 0.975))
    return Corrected(seen, value, *_interval(value, seen, reach), chosen)


def influence(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: ArrayLike,
    columns: Sequence[int] | None = None,
) -> Influence:
    """A model's mean AUROC and what each patient adds to its error, to first order.

    The AUROC of a label is a mean over its positives of the share of negatives below them, and the
    other way round; what a row adds is how far its own share is from that mean (DeLong, DeLong &
    Clarke-Pearson, Biometrics 1988), and a patient adds the sum of their rows (Obuchowski,
    Biometrics 1997). The mean of few positives is drawn towards each of them, and that of one is
    its own share, so that errors would seem too small: there shares are measured from nearer to
    the mean over all labels.

    Args:
        labels: (n, k) in {0, 1, NaN}; NaN is not known, and takes no part.
        scores: (n, k), finite; more is more positive.
        patients: (n,) whom each row shows.
        columns: the labels that the mean is over, of which those count that are defined; None: all.

    Raises:
        ValueError: as `corrected`.
    """
    values = np.asarray(scores)[None]
    sample = _Sample(labels, patients, values.shape, columns)
    problems = [*sample.problems, *_not_finite(values)]
    if problems:
        raise ValueError("; ".join(problems))
    (_, found, psi) = next(sample.parts(values, 1))
    return Influence(float(found[0]), sample.ids, psi[0])


def gain(one: Influence, other: Influence) -> tuple[float, float]:
    """By how much a model is ahead of another on the same patients, with its standard error.

    Args:
        one: of the first.
        other: of the second, by the same rows.
    """
    return one.value - other.value, float(np.sqrt(((one.psi - other.psi) ** 2).sum()))


class _Choices:
    """The best model in each draw of noise.

    Args:
        draws: how many.
        share: variance of the noise that is added, in that of the scores' own.

    Attributes:
        value: (draws,) what the chosen one was seen to be worth.
        noise: (draws,) its noise, of the variance that its score has.
    """

    def __init__(self, draws: int, share: float) -> None:
        self._scale = float(np.sqrt(share))
        self._best = np.full(draws, -np.inf)
        self.value, self.noise = np.empty(draws), np.empty(draws)

    def meet(self, found: Floats, drawn: NDArray[np.float32]) -> None:
        """More models: their values (m,) and noise (draws, m)."""
        noisy = found + self._scale * drawn
        ahead = noisy.argmax(axis=1)
        rows = np.arange(len(noisy))
        better = noisy[rows, ahead] > self._best
        self._best[better] = noisy[rows, ahead][better]
        self.value[better] = found[ahead][better]
        self.noise[better] = drawn[rows, ahead][better]


class _Rivals:
    """The models that noise may put first, and how far a corrected value of theirs is off.

    In each replay the models are worth what they were seen to be, noise is added to that, and what
    is reported of the best by then is held against what it is worth. This counts that the
    correction varies too: a model that is far ahead by luck is corrected the least.
    """

    def __init__(self) -> None:
        self._found: list[Floats] = []
        self._drawn: list[NDArray[np.float32]] = []

    def meet(self, found: Floats, drawn: NDArray[np.float32]) -> None:
        """More models: their values (m,) and noise (draws, m)."""
        first = self._first(found, drawn)
        self._found.append(found[first])
        self._drawn.append(drawn[:, first])

    @staticmethod
    def _first(found: Floats, drawn: NDArray[np.float32]) -> NDArray[np.intp]:
        """Those that are best in some draw, with as much noise as a replay has in all."""
        ahead = (found + np.sqrt(1 + _ADDED) * drawn).argmax(axis=1)
        return np.union1d(ahead, [found.argmax()])

    def variance(self, alone: float) -> float:
        """Of what is reported less what is true.

        What models were seen to be worth differs by luck too, so that replays vary more than the
        search did; a model that nothing was chosen from varies less. It is halfway between.

        Args:
            alone: that of the chosen model's value, had there been no other.
        """
        found, drawn = np.concatenate(self._found), np.concatenate(self._drawn, axis=1)
        first = self._first(found, drawn)  # of all, however they came
        found, drawn = found[first], drawn[:, first]
        replays = min(_REPLAYS, len(drawn) // 2)
        if replays < 2 or len(found) < 2:
            return alone
        inner = np.sqrt(_ADDED) * drawn[replays : 2 * replays]
        rows, off = np.arange(replays), np.empty(replays)
        for number, noise in enumerate(drawn[:replays]):
            seen = found + noise
            best = int(seen.argmax())
            ahead = (seen + inner).argmax(axis=1)
            judged = seen[ahead] - (inner[rows, ahead] - inner[:, best]) / _ADDED
            off[number] = min(float(seen[best]), float(judged.mean())) - found[best]
        return (alone + max(alone, float(off.var()))) / 2


def _freedom(psi: Floats) -> float:
    """Degrees of freedom of a variance by what each patient adds (Satterthwaite, 1946)."""
    squares = psi**2
    total = float(squares.sum())
    spread = float((squares**2).sum()) - total**2 / len(psi)
    most = float(len(psi))
    if spread <= 2 * total**2 / most:
        return most
    return max(1.0, 2 * total**2 / spread)


def _interval(value: float, seen: float, reach: float) -> tuple[float, float]:
    """Ends around ``value``, of a half width of ``reach`` at ``seen``.

    On the logit's scale: nearer to 1 an AUROC varies less, and ``reach`` was measured at the higher
    of the two. At the ends of the scale, where logits grow without bound, they are held.
    """
    edge = min(reach, 0.5)
    if not edge:
        return value, value
    middle, at = (min(1 - edge, max(edge, each)) for each in (value, seen))
    logit, step = np.log(middle / (1 - middle)), reach / (at * (1 - at))
    low, high = (float(1 / (1 + np.exp(-end))) for end in (logit - step, logit + step))
    return min(low, value), max(high, value)


def _not_finite(scores: NDArray[Any]) -> list[str]:
    if scores.dtype.kind not in "biuf":
        return [f"scores must be numbers, got {scores.dtype}"]
    if scores.dtype.kind != "f":
        return []
    for number, model in enumerate(scores):
        if not np.isfinite(model).all():
            at = np.argwhere(~np.isfinite(model))[0]
            return [
                f"scores must be finite, got {model[tuple(at)]} of model {number} at "
                f"{tuple(int(i) for i in at)}: leave that model out"
            ]
    return []


@dataclass(frozen=True)
class _Group:
    """The positives or the negatives of a label: their rows by patient, and where each begins."""

    rows: NDArray[np.intp]
    starts: NDArray[np.intp]
    who: NDArray[np.intp]
    pull: float

    @classmethod
    def of(cls, members: NDArray[np.bool_], patient: NDArray[np.intp]) -> _Group:
        """Of the rows ``members``."""
        rows = np.flatnonzero(members)
        rows = rows[np.argsort(patient[rows], kind="stable")]
        who, starts, counts = np.unique(patient[rows], return_index=True, return_counts=True)
        patients = counts.sum() ** 2 / (counts**2).sum()  # as many as all with one row would be
        return cls(rows, starts, who, float(1 / np.sqrt(1 + _BETWEEN * patients)))


_BETWEEN = 0.1  # variance of AUROC between labels, in that of one positive's share


class _Sample:
    """Whom the scores are of: labels and patients, and all that is wrong with them."""

    def __init__(
        self,
        labels: ArrayLike,
        patients: ArrayLike,
        shape: tuple[int, ...],
        columns: Sequence[int] | None,
    ) -> None:
        marks, ids = np.asarray(labels), np.asarray(patients)
        self.ids: NDArray[Any] = ids[:0]
        self.columns: list[tuple[int, _Group, _Group]] = []
        self.problems = list(_shapes(marks, ids, shape))
        if self.problems:
            return
        known = marks.astype(float)
        other = ~(np.isnan(known) | (known == 0) | (known == 1))
        if other.any():
            row, column = np.argwhere(other)[0]
            self.problems.append(
                f"labels must be 0, 1 or NaN (not known), got {marks[row, column]} in row {row}, "
                f"column {column}"
            )
        self.ids, patient = np.unique(ids, return_inverse=True)
        wanted = range(marks.shape[1]) if columns is None else columns
        strange = [column for column in wanted if not 0 <= column < marks.shape[1]]
        if strange:
            self.problems.append(f"columns must be from 0 to {marks.shape[1] - 1}, got {strange}")
        if self.problems:
            return
        for column in wanted:
            positive, negative = known[:, column] == 1, known[:, column] == 0
            if positive.any() and negative.any():
                groups = (_Group.of(positive, patient), _Group.of(negative, patient))
                self.columns.append((column, *groups))
        if not self.columns:
            self.problems.append(
                f"none of {len(wanted)} labels has both positives and negatives: score on more "
                "patients"
            )

    def parts(self, scores: NDArray[Any], most: int) -> Iterator[tuple[int, Floats, Floats]]:
        """Of so many models at a time: the first's number, their values, what patients add."""
        step = max(1, min(most, _CELLS // max(1, scores.shape[1])))
        for start in range(0, len(scores), step):
            yield start, *self._part(scores[start : start + step])

    def _part(self, scores: NDArray[Any]) -> tuple[Floats, Floats]:
        shares = [
            _shares(scores[:, positive.rows, column], scores[:, negative.rows, column])
            for column, positive, negative in self.columns
        ]
        values = np.stack([above.mean(axis=1) for above, _ in shares], axis=1)
        weights = np.array([len(positive.rows) for _, positive, _ in self.columns], dtype=float)
        # Over all labels, a positive each, and one more at chance.
        overall = (values @ weights + 0.5) / (weights.sum() + 1)
        psi = np.zeros((len(scores), len(self.ids)))
        for value, (_, positive, negative), pair in zip(
            values.T, self.columns, shares, strict=True
        ):
            for group, share in zip((positive, negative), pair, strict=True):
                middle = value + group.pull * (overall - value)
                summed = np.add.reduceat(share - middle[:, None], group.starts, axis=1)
                psi[:, group.who] += summed / (len(group.rows) * len(self.columns))
        return values.mean(axis=1), psi


def _shapes(labels: NDArray[Any], patients: NDArray[Any], shape: tuple[int, ...]) -> Iterator[str]:
    if labels.ndim != 2:
        yield f"labels must be (n, k), got {labels.shape}"
    elif len(shape) != 3 or shape[1:] != labels.shape:
        yield f"scores must be (models, {labels.shape[0]}, {labels.shape[1]}), got {shape}"
    elif patients.shape != labels.shape[:1]:
        yield f"patients must have shape {labels.shape[:1]}, as labels have; got {patients.shape}"
    elif not labels.shape[0]:
        yield "there are no patients: score on some"
    elif not shape[0]:
        yield "there are no models: give the scores of one at least"
    if labels.dtype.kind not in "biuf":
        yield f"labels must be numbers, got {labels.dtype}"
    if patients.shape == labels.shape[:1]:
        yield from _strange_patients(patients)


def _strange_patients(patients: NDArray[Any]) -> Iterator[str]:
    """Unknown ones, whose rows would all pass for one patient's, and those of types that mix."""
    if patients.dtype.kind == "O":
        unknown = [row for row, who in enumerate(patients) if _unknown(who)]
    else:
        unknown = np.flatnonzero(patients != patients).tolist()  # NaN, and times that are none
    if unknown:
        yield (
            f"patients must be known, got {patients[unknown[0]]} in row {unknown[0]} "
            f"({len(unknown)} such rows): leave them out, or give each an id of its own"
        )
        return
    kinds = sorted({type(who).__name__ for who in patients}) if patients.dtype.kind == "O" else []
    if len(kinds) > 1:
        yield f"patients must be of one type, got {' and '.join(kinds)}: make them all texts"


def _unknown(patient: object) -> bool:
    try:
        return patient is None or bool(patient != patient)
    except (TypeError, ValueError):  # such as pandas.NA
        return True


def _shares(positives: NDArray[Any], negatives: NDArray[Any]) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative that of positives above.

    A tie counts half (Hanley & McNeil, Radiology 1982).

    Args:
        positives: (models, m) scores.
        negatives: (models, q) scores.
    """
    few, many = positives.shape[1], negatives.shape[1]
    both = np.concatenate([positives, negatives], axis=1)
    if both.dtype == np.float16:
        both = both.astype(np.float32)  # sorts faster
    order = np.argsort(both, axis=1)
    ordered = np.take_along_axis(both, order, axis=1)
    place = np.arange(few + many, dtype=np.int32)
    # Where a run of equal scores begins and where it ends, for each of its members.
    new = ordered[:, 1:] != ordered[:, :-1]
    first = np.zeros(both.shape, dtype=np.int32)
    np.multiply(new, place[1:], out=first[:, 1:])
    np.maximum.accumulate(first, axis=1, out=first)
    past = np.full(both.shape, few + many, dtype=np.int32)
    np.copyto(past[:, :-1], place[1:], where=new)
    backward = past[:, ::-1]
    np.minimum.accumulate(backward, axis=1, out=backward)
    negative = order >= few
    counted = np.zeros((len(both), few + many + 1), dtype=np.int32)
    np.cumsum(negative, axis=1, dtype=np.int32, out=counted[:, 1:])
    rows = np.arange(len(both))[:, None]
    below = counted[rows, first] + counted[rows, past]  # twice the negatives: a tie is a half
    up_to = first + past - below  # twice the positives
    shares = np.empty(both.shape)
    shares[rows, order] = np.where(negative, 1 - up_to / (2 * few), below / (2 * many))
    return shares[:, :few], shares[:, few:]
