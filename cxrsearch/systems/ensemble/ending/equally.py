"""Equal weights, and what is said before members are trained and when they are written."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from cxrsearch.data.splits import Splits
from cxrsearch.durations import clock
from cxrsearch.errors import quoted
from cxrsearch.learn.ensemble import Ensemble
from cxrsearch.learn.ensemble.scale import Scale
from cxrsearch.study.winner import Winner

EQUALLY_AVERAGED = "probability"
"""What of the members is averaged; see docs/decisions/models.md."""


def equal_weights(members: Sequence[str], labels: Sequence[str]) -> Ensemble:
    """The mean of the members' probabilities."""
    k, d = len(members), len(labels)
    return Ensemble(
        tuple(members), "uniform", Scale(EQUALLY_AVERAGED, np.zeros((0, k, d))),
        np.full((k, d), 1 / k), np.zeros((d, d)), np.zeros(d), tuple(labels),
    )  # fmt: skip


def projected(study: Path, winners: Collection[Winner]) -> Iterator[str]:
    """What is about to be trained, and how long that takes by what the trials took."""
    splits = Splits.load(study / "splits.json")
    more, seconds = 1 + len(splits.val) / max(1, len(splits.train)), 0.0
    for winner in winners:
        attrs = winner.trial.user_attrs
        run, took = attrs.get("epochs_run"), attrs.get("seconds")
        seconds += more * took / run * winner.epochs if run and took else math.nan
    lengths = ", ".join(f"{one.epochs} of {one.recipe.epochs}" for one in winners)
    about = "" if math.isnan(seconds) else f": about {clock(seconds)} at the pace of the search"
    yield f"training {len(winners)} members on train + validation for {lengths} epochs{about}"
    yield from dict.fromkeys(one.stretched for one in winners if one.stretched)


def next_steps(out: Path) -> str:
    """What to do with an ensemble that has been written."""
    name = quoted(out)
    return (
        f"ensemble: {out}\nnext: cxrsearch evaluate {name}\n"
        f"   or cxrsearch predict {name} IMAGE_DIR --out predictions.csv"
    )
