"""From saved predictions to an ensemble: nothing is trained to find the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cxrsearch.data.marks import present
from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble import Ensemble, NestedEstimate, fit, nested
from cxrsearch.learn.ensemble.nested import FOLDS
from cxrsearch.learn.metrics import auroc, by_label, mean_auroc
from cxrsearch.model.validation import ValidationScores
from cxrsearch.model.views import NONE

from .pool import MemberPool

COMPARED_METHODS = ("uniform", "greedy", "stacking")
"""Methods estimated beside the one that is asked for."""


@dataclass(frozen=True)
class Combined:
    """An ensemble and what to expect of it.

    Args:
        pool: what it was made of.
        ensemble: of the members that have a weight.
        estimates: of the best single member, of methods beside it, and of the one asked
            for, which comes last; empty where there are too few patients.
        folds: that they were made with.
        reasons: why a member is one, by its name, where that is more than its weight.
    """

    pool: MemberPool
    ensemble: Ensemble
    estimates: tuple[NestedEstimate, ...]
    folds: int
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def to_train(self) -> tuple[str, ...]:
        """The members whose weights are not there."""
        return tuple(name for name in self.ensemble.members if name not in self.pool.kept)

    def to_dict(self) -> dict[str, Any]:
        """As plain values: what ``--json`` prints and ``ensemble.json`` keeps."""
        shares = self.ensemble.shares()
        scored = {t.number: t.values[0] for t in self.pool.trials}
        return {
            "method": self.ensemble.method,
            "scale": self.ensemble.scale.kind,
            "members": [
                {
                    "name": name,
                    "share": float(share),
                    "weights_kept": name in self.pool.kept,
                    **({"value": scored[int(name)]} if scored else {}),
                    **({"why": self.reasons[name]} if name in self.reasons else {}),
                }
                for name, share in zip(self.ensemble.members, shares, strict=True)
            ],
            "selected_from": len(self.pool.names),
            "trials": self.pool.tried,
            "images": len(self.pool.labels),
            "patients": len(np.unique(self.pool.patients)),
            "positives": {
                name: int(count)
                for name, count in zip(
                    self.pool.label_names, present(self.pool.labels).sum(axis=0), strict=True
                )
            },
            "folds": self.folds,
            "estimates": [_plain(one, self.pool.label_names) for one in self.estimates],
            "caution": self.pool.caution,
            "notes": list(self.pool.notes),
            **self._promised(),
        }

    def said_of_validation(self, again: bool, tta: str) -> ValidationScores | None:
        """What the members together said of the validation part; None for a pool out of a file.

        Args:
            again: whether the members that are written are trained again.
            tta: what they predict the mean over.
        """
        pool, trials = self.pool, ", ".join(self.ensemble.members)
        if pool.images is None:
            return None
        rows = [pool.names.index(name) for name in self.ensemble.members]
        of = f"the networks of trials {trials} together, each trained on the training part alone"
        if self.ensemble.method != "uniform":
            of += "; their weights were fitted to these very images, so they flatter a little"
        if again:
            of += "; not of the members in this folder, which were trained on validation too"
        if tta != NONE:
            of += f"; each of one view, not of {tta}"
        return ValidationScores(
            pool.images, pool.labels,
            np.clip(self.ensemble.apply(pool.scores[rows]), 0, 1).astype(np.float32),
            pool.patients, pool.label_names, of,
        )  # fmt: skip

    def _promised(self) -> dict[str, Any]:
        """What a card promises of it; see `cxrsearch.model.promise.promised_in`."""
        if not self.estimates:
            return {}
        pool, last = self.pool, self.estimates[-1]
        rows = [pool.names.index(name) for name in self.ensemble.members]
        found = auroc(pool.labels, self.ensemble.apply(pool.scores[rows]))
        return {
            "value": mean_auroc(found[list(pool.columns)]),
            "corrected": last.nested,
            "corrected_interval": list(last.interval),
        }


def _plain(estimate: NestedEstimate, label_names: Sequence[str]) -> dict[str, Any]:
    return {
        "method": estimate.method,
        "chosen": estimate.chosen,
        "nested": estimate.nested,
        "interval": list(estimate.interval),
        "gain": estimate.gain,
        "gain_interval": list(estimate.gain_interval),
        "naive": estimate.naive,
        "auroc": by_label(estimate.auroc, label_names),
    }


def combine(
    pool: MemberPool,
    method: str = "auto",
    averaging: str = "probability",
    most: int | None = None,
    folds: int = FOLDS,
    seed: int = 0,
    on_progress: Callable[[str], None] | None = None,
) -> Combined:
    """Find weights for a pool and estimate, on held-out patients, what they are worth.

    Args:
        pool: the members and their predictions.
        method: as for `cxrsearch.learn.ensemble.fit`, as are ``averaging``, ``most`` and ``seed``.
        folds: of the nested estimate.
        on_progress: called with the name of each method that has been estimated.

    Raises:
        InputError: where there are too few patients or no label to judge by.
    """
    names = [name for name in COMPARED_METHODS if name != method]
    options: dict[str, Any] = {"averaging": averaging, "most": most, "seed": seed}
    people = len(np.unique(pool.patients))
    if people < 2 * folds:
        raise InputError(
            f"{people} patients in the validation part: too few for an estimate by {folds} folds; "
            f"use --folds {max(2, people // 2)} or more data"
        )
    try:
        ensemble = fit(
            pool.scores, pool.labels, pool.patients, method,
            members=pool.names, columns=pool.columns, label_names=pool.label_names, **options,
        )  # fmt: skip
        found = nested(
            pool.scores, pool.labels, pool.patients, [*names, method],
            columns=pool.columns, folds=folds, on_progress=on_progress, **options,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(f"the predictions cannot be combined: {error}") from error
    return Combined(pool, ensemble.of_used(), tuple(found), folds)
