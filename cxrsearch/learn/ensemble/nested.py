"""What an ensemble is worth on patients it has not seen.

Weights chosen on some images look better on those than on others. So the patients are dealt
into folds; on each, everything, the choice of the best single member too, is fitted on the
other folds and scored on that one (nested estimate). The score of a fit on its own images is
given beside it (naive estimate); the gap between the two is what choosing made up.

What was chosen before, such as a member's best epoch or which models are members at all, is not
chosen again in each fold. Where it was chosen by these same images the nested estimate is a
little high as well; only images that nothing was chosen by are free of that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cxrsearch.learn.metrics import auroc, mean_auroc, resampled

from .fitting import check, fit
from .folds import held_out
from .scale import Array

FOLDS = 5
NESTED_RESAMPLES = 1000


@dataclass(frozen=True)
class NestedEstimate:
    """One method's mean AUROC over the labels asked for.

    Args:
        method: its name.
        naive: fitted and scored on the same images: selected, so too high.
        nested: scored on held-out patients.
        interval: 95% of ``nested``, resampling patients.
        gain: ``nested`` above that of the best single member, chosen on the same folds.
        gain_interval: 95% of the paired difference, resampling patients.
        auroc: (d,) of held-out patients by label; NaN where not defined.
        chosen: the method that ``auto`` chose on all images; otherwise ``method``.
    """

    method: str
    naive: float
    nested: float
    interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]
    auroc: Array
    chosen: str

    @property
    def gap(self) -> float:
        """How much too high the naive estimate is."""
        return self.naive - self.nested


def nested(
    scores: Array,
    labels: Array,
    patients: Array,
    methods: Sequence[str | tuple[str, str]] = ("stacking",),
    *,
    columns: Sequence[int] | None = None,
    averaging: str = "probability",
    most: int | None = None,
    folds: int = FOLDS,
    seed: int = 0,
    resamples: int = NESTED_RESAMPLES,
    on_progress: Callable[[str], None] | None = None,
) -> list[NestedEstimate]:
    """Estimate methods side by side, on the same folds and the same resamples.

    Args:
        scores: (k, n, d) logits.
        labels: (n, d), as for `fit`.
        patients: (n,); a patient's images are in one fold.
        methods: names as `fit` takes them, or (name, averaging). The best single member is
            always estimated too, and comes first.
        columns: labels that the mean is over; all by default.
        averaging: for methods without one of their own.
        most: as for `fit`.
        folds: how many.
        seed: of the deal and of the methods.
        resamples: of the bootstrap.
        on_progress: called with the name of each method that is done.

    Raises:
        ValueError: as `fit`, and where there are fewer patients than folds.
    """
    scores, truth = check(scores, labels, patients)
    patients = np.asarray(patients)
    wanted = np.arange(truth.shape[1]) if columns is None else np.asarray(columns)
    found: list[NestedEstimate] = []
    single: Array = np.zeros(0)
    for entry in ["single", *methods]:
        method, kind = (entry, averaging) if isinstance(entry, str) else entry

        def fold(fitted: Array, held: Array, method: str = method, kind: str = kind) -> Array:
            part = fit(
                scores[:, fitted], truth[fitted], patients[fitted], method,
                averaging=kind, columns=columns, most=most, seed=seed,
            )  # fmt: skip
            return part.apply(scores[:, held])

        ranks = held_out(fold, truth, patients, folds, seed)
        drawn = _means(resampled(truth[:, wanted], ranks[:, wanted], patients, resamples, seed))
        single = single if len(single) else drawn
        by_label = auroc(truth, ranks)
        value = mean_auroc(by_label[wanted])
        whole = fit(
            scores, truth, patients, method,
            averaging=kind, columns=columns, most=most, seed=seed,
        )  # fmt: skip
        found.append(
            NestedEstimate(
                method=method if isinstance(entry, str) else f"{method}, {kind}",
                naive=mean_auroc(auroc(truth, whole.apply(scores))[wanted]),
                nested=value,
                interval=_ends(drawn),
                gain=value - (found[0].nested if found else value),
                gain_interval=_ends(drawn - single),
                auroc=by_label,
                chosen=whole.method,
            )
        )
        if on_progress is not None:
            on_progress(found[-1].method)
    return found


def _means(drawn: Array) -> Array:
    """(resamples,) means over the labels that a resample defines; NaN where none is."""
    some = ~np.isnan(drawn)
    count = some.sum(axis=1)
    total = np.where(some, drawn, 0.0).sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _ends(drawn: Array) -> tuple[float, float]:
    low, high = np.nanquantile(drawn, (0.025, 0.975))
    return float(low), float(high)
