"""The earlier studies that a search starts from: ``--from STUDY``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cxrsearch.errors import InputError
from search.errors import SearchError
from search.prior import Prior
from search.samplers.warm import PriorSource, learn
from search.space import SearchSpace
from search.store.record import StudyRecord, read_study


def read_earlier(folders: Sequence[str]) -> list[StudyRecord]:
    """The studies in ``folders``, as they are now; nothing is written to them.

    Raises:
        InputError: naming every folder that is no study, has no trial with a value, or is
            named twice.
    """
    problems: list[str] = []
    found: list[StudyRecord] = []
    for folder in folders:
        try:
            record = read_study(Path(folder))
        except SearchError as error:
            problems += [f"--from {folder}: {problem}" for problem in error.problems]
            continue
        if any(Path(folder).samefile(other.folder) for other in found):
            problems.append(f"--from {folder}: is named twice; name it once")
        elif record.best() is None:
            problems.append(
                f"--from {folder}: no trial of this study is complete, so there is nothing to "
                "start from; name another, or let it go on first"
            )
        found.append(record)
    if problems:
        raise InputError(problems)
    return found


def prior_of(records: Sequence[StudyRecord], space: SearchSpace) -> Prior | None:
    """What ``records`` have for a search of ``space``; None where there are none.

    Raises:
        InputError: naming every study that has no gene in common with ``space``.
    """
    if not records:
        return None
    names = [record.config.name for record in records]
    if len(set(names)) < len(names):
        names = [str(record.folder) for record in records]
    sources = [PriorSource(name, r.trials) for name, r in zip(names, records, strict=True)]
    prior = learn(sources, space.distributions())
    problems = [
        f"--from {record.folder}: none of its genes fits one of the space {space.name} "
        f"({', '.join(space.genes)}); leave it out, or choose another --space"
        for record, study in zip(records, prior.studies, strict=True)
        if not study.genes
    ]
    if problems:
        raise InputError(problems)
    return prior


def prior_notes(prior: Prior | None) -> list[str]:
    """What the user should know of each earlier study."""
    if prior is None:
        return []
    return [
        f"starts from {study.name} ({study.trials} trials with a value): up to "
        f"{sum(point.study == index for point in prior.points)} of them are tried again, "
        f"sharing {len(study.genes)} genes ({', '.join(study.genes)})"
        for index, study in enumerate(prior.studies)
    ]
