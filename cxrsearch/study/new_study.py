"""How a study comes into being, so that whatever cuts that off is in nobody's way.

All of it is done under the lock of the study's folder, which is taken before anything there is
looked at. ``study.yaml`` is written last: a folder without it is taken by the next start, one with
it is resumed. A study that has no trial yet can be both.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cxrsearch.learn.saved.arrays import Labels, save_labels
from search.errors import StudyError
from search.space import SearchSpace
from search.store.lock import locked
from search.study import Study, StudyConfig, discard

from .drawn_weights import make_missing
from .folder import STUDY_FILES, new_folder, write_study_yaml
from .prepare import Prepared
from .space import recipes_of


@contextmanager
def new_study(
    prepared: Prepared,
    folder: Path,
    space: SearchSpace,
    config: StudyConfig,
    attrs: dict[str, Any],
    **more: Any,
) -> Iterator[Study]:
    """A new study, open while the block runs. Where it fails before its first trial, nothing stays.

    Args:
        prepared: settings, data and splits.
        folder: of the study.
        space: what is searched.
        config: how.
        attrs: attributes of the study, besides the fingerprints of data and splits.
        more: what study.yaml says besides.

    Raises:
        InputError: where a study is in ``folder``, or it is no place for one.
        StudyError: where another process is at work there, or no history can be made.
    """
    settings = prepared.settings
    with locked(folder) as lock:
        new_folder(settings, folder)
        # The space of an ablation's study is its cells: what they train is prepared's.
        make_missing(recipes_of(prepared.space), settings)
        _clear(folder, settings.storage)
        study = Study.create(folder, space, config, settings.storage, lock)
        try:
            prepared.splits.save(folder / "splits.json")
            write_labels(prepared, folder)
            prints = {
                "data_fingerprint": prepared.dataset.fingerprint,
                "split_fingerprint": prepared.splits.fingerprint,
            }
            with study.batch():
                for name, value in {**attrs, **prints}.items():
                    study.set(name, value)
            write_study_yaml(folder, prepared, **more)
            yield study
        except BaseException as error:
            nothing = isinstance(error, Exception) and _has_no_trial(study)
            study.close(keep_lock=True)
            if nothing:
                _clear(folder, settings.storage)
            raise
        study.close()


def _has_no_trial(study: Study) -> bool:
    try:
        return not study.trials()
    except StudyError:  # of a database that cannot be reached any more
        return False


def _clear(folder: Path, storage: str | None) -> None:
    """Remove what is there of a study without a trial."""
    for name in STUDY_FILES:
        (folder / name).unlink(missing_ok=True)
    discard(folder, storage)


def write_labels(prepared: Prepared, folder: Path) -> None:
    """Put the labels where the workers read them."""
    save_labels(folder / "labels.npz", Labels.of(prepared.dataset))
