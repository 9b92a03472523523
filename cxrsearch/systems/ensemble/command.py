"""From a study or a file to an ensemble: what ``cxrsearch ensemble`` calls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cxrsearch.errors import InputError
from cxrsearch.learn.ensemble.nested import FOLDS
from cxrsearch.learn.ensemble.weights import ENSEMBLE_FORMAT
from cxrsearch.model.folder import check_out
from cxrsearch.show.view import view_of
from cxrsearch.study.folder import read_study_yaml
from cxrsearch.study.settings import Settings
from cxrsearch.study.winner import Winner, length_of
from cxrsearch.writing import check_file
from search.store.record import read_study

from .combine import Combined, combine
from .ending.equally import next_steps
from .members import write_ensemble
from .pool import KEPT, MemberPool, file_pool, study_pool

SAVED = re.compile(rf'\{{\s*"format": "{ENSEMBLE_FORMAT}"'.encode())
"""How a file of weights begins."""

MOST_MEMBERS = 10
"""Members of a study's ensemble at most, unless told otherwise: each costs a prediction."""


def ensemble_of(
    source: Path,
    out: Path | None,
    *,
    method: str = "auto",
    averaging: str = "probability",
    members: str = KEPT,
    most: int | None = None,
    again: bool = False,
    folds: int = FOLDS,
    seed: int = 0,
    on_progress: Callable[[str], None] | None = None,
    **moved: Any,
) -> Iterator[str | Combined]:
    """All that ``cxrsearch ensemble`` does.

    Args:
        source: a study's folder, or an ``.npz`` file as `read_predictions` takes.
        out: the ensemble folder to write, or for a file a JSON with the weights; None: neither.
        method: as for `combine`, as are ``averaging``, ``most``, ``folds``, ``seed`` and
            ``on_progress``.
        members: as for `study_pool`.
        again: train every member again, on train + validation, instead of taking kept weights.
        moved: as for `write_ensemble`.

    Yields:
        lines that say how far it is, and the result once it is known.

    Raises:
        InputError: where something cannot be used.
    """
    from_file = source.is_file()
    if not source.exists():
        raise InputError(f"{source}: no such study folder or .npz file; see what is in results/")
    if from_file and (again or members != KEPT):
        raise InputError(f"{source}: --retrain and --members go with a study, not with a file")
    if out is not None:
        check_file(out, "weights.json", SAVED) if from_file else check_out(out)
    pool = file_pool(source) if from_file else study_pool(source, members)
    if most is None and not from_file:
        most = MOST_MEMBERS
    combined = combine(pool, method, averaging, most, folds, seed, on_progress)
    yield combined
    if out is None:
        if combined.to_train and not from_file:
            yield (
                f"trials {', '.join(combined.to_train)} have not kept their weights: "
                "--retrain trains every member again"
            )
        return
    if from_file:
        combined.ensemble.save(out)
        yield f"weights: {out}"
        return
    winners = _winners(source, pool) if again else None
    yield from write_ensemble(source, out, combined, winners, **moved)
    yield next_steps(out)


def _winners(study: Path, pool: MemberPool) -> dict[str, Winner]:
    """Each trial of a pool as what it is trained by, by name."""
    view = view_of(
        read_study(study, Settings.from_dict(read_study_yaml(study)["settings"]).storage)
    )
    tried = pool.tried or len(pool.names)
    return {str(t.number): Winner(t, length_of(view, t).epochs, tried) for t in pool.trials}
