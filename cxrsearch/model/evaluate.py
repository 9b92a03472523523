"""The final word on a model: its AUROC on images that nothing was chosen by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.labels.names import some_names
from cxrsearch.data.marks import absent, present
from cxrsearch.data.pixels.cache import Cache
from cxrsearch.errors import InputError
from cxrsearch.learn.metrics import judge
from search.seeds import derive

from .predictor import Predictor
from .suspicion.outputs import below_chance_check
from .suspicion.together import judged_checks
from .unseen import UnseenImages, look_at


def evaluate_model(
    model: Predictor,
    dataset: Dataset,
    cache: Cache,
    *,
    maps: Sequence[str] = (),
    resamples: int = 1000,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score a model on the test part of its own data, or on other data as a whole.

    Args:
        model: as for `look_at`, as are ``dataset``, ``cache``, ``maps`` and ``on_progress``.
        resamples: of the bootstrap over patients.

    Returns:
        as `judge_unseen`.

    Raises:
        InputError: as `look_at` and `judge_unseen`.
    """
    seen = look_at(model, dataset, cache, maps=maps, on_progress=on_progress)
    return judge_unseen(model, dataset, cache, seen, resamples)


def judge_unseen(
    model: Predictor,
    dataset: Dataset,
    cache: Cache,
    seen: UnseenImages,
    resamples: int = 1000,
) -> dict[str, Any]:
    """What a model is worth on images that it has looked at.

    Args:
        model: a loaded model or ensemble.
        dataset: where the images are from.
        cache: their decoded pictures.
        seen: what it said of them.
        resamples: of the bootstrap over patients.

    Returns:
        JSON-able: ``time``, ``model``, ``study``, ``trial``, ``data``, ``part`` (``"test"`` or
        ``"external"``), ``n_images``, ``n_patients``; ``positives``, ``negatives`` and ``auroc`` by
        label, of those that model and data both have, in the model's words; ``mean``, ``interval``
        (95%, over patients), ``intervals`` by label; ``not_covered`` (labels that the model says
        nothing of: left out of all but the counts), ``mapped`` (label -> what the data call it,
        where that differs), ``only_in_model`` and ``only_in_data`` (labels that the other does not
        have); ``notes``; ``checks``: what was looked at besides, see `cxrsearch.model.suspicion`.
        Marks that are not known, or not sure, take no part.

    Raises:
        InputError: where no label has both positives and negatives.
    """
    notes = list(seen.notes)
    names, covered = seen.label_names, list(seen.covered)
    judged = [names[place] for place in covered]
    columns = [covered.index(place) for place in seen.objective]
    mean, details, more = judge(
        seen.marks[:, covered],
        seen.scores[:, covered],
        seen.patients,
        columns,
        resamples,
        derive("evaluate", dataset.fingerprint),
        judged,
    )
    unknown = [name for name in names if name not in judged]
    if unknown:
        notes.append(f"no model, left out of table and mean: {some_names(unknown)}")
    if seen.only_in_model:
        notes.append(
            "labels of the model that the data do not have, not judged: "
            f"{some_names(seen.only_in_model)}"
        )
    if seen.only_in_data:
        notes.append(
            "labels of the data that the model does not have, not judged: "
            f"{some_names(seen.only_in_data)} (is one the same under another name? "
            '--map "THEIRS=OURS")'
        )
    if np.isnan(mean):
        raise InputError(f"{dataset.label}: no label has both positives and negatives in it")
    checks = [
        *judged_checks(model, dataset, cache, seen),
        below_chance_check(seen.part, details["intervals"], details["interval"], details["auroc"]),
    ]
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": str(model.folder),
        "study": model.card["study"].get("path"),
        "trial": model.card["study"].get("trial"),
        "data": dataset.label,
        "data_fingerprint": dataset.fingerprint,
        "part": seen.part,
        "n_images": len(seen.rows),
        "n_patients": len(np.unique(seen.patients)),
        "positives": dict(zip(names, present(seen.marks).sum(axis=0).tolist(), strict=True)),
        "negatives": dict(zip(names, absent(seen.marks).sum(axis=0).tolist(), strict=True)),
        "objective": [judged[column] for column in columns],
        "mean": mean,
        **details,
        "not_covered": unknown,
        "mapped": dict(seen.mapped),
        "only_in_model": list(seen.only_in_model),
        "only_in_data": list(seen.only_in_data),
        "notes": [*notes, *more],
        "checks": [check.to_json() for check in checks],
    }
