"""The earlier studies that a search starts from: ``--from STUDY``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cxrsearch.data.labels.names import some_names
from cxrsearch.errors import InputError
from cxrsearch.learn.recipe import ratio_genes
from cxrsearch.show.view import noted_labels
from search.errors import SearchError
from search.prior import Prior
from search.reading import FileError, read_yaml
from search.samplers.warm import PriorSource, learn, taken
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


def prior_of(
    records: Sequence[StudyRecord], space: SearchSpace, labels: Sequence[str] = ()
) -> Prior | None:
    """What ``records`` have for a search of ``space``; None where there are none.

    The draw weights of labels that an earlier study's data did not have start at 1.

    Args:
        records: of the earlier studies.
        space: what is searched.
        labels: of the data.

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
    new = [new_ratios(space, labels_of(record), labels) for record in records]
    points = [
        replace(point, params={**dict.fromkeys(new[point.study], 1.0), **point.params})
        for point in prior.points
    ]
    return replace(prior, points=tuple(points))


def labels_of(record: StudyRecord) -> tuple[str, ...]:
    """The labels of a study's data."""
    try:
        noted = read_yaml(record.folder / "study.yaml")
    except (FileNotFoundError, FileError):
        noted = {}
    return noted_labels(noted if isinstance(noted, dict) else {})


def new_ratios(space: SearchSpace, before: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The draw weights of ``space`` that are of ``labels`` which the data ``before`` had not, and
    that can be 1."""
    fresh = set(ratio_genes(labels)) - set(ratio_genes(before))
    at_one: dict[str, Any] = {"ratio": 1.0}
    return [
        name
        for name, gene in space.genes.items()
        if name in fresh and taken({"ratio": gene.distribution}, at_one) == at_one
    ]


def label_notes(records: Sequence[StudyRecord], labels: Sequence[str]) -> list[str]:
    """What becomes of labels where those of an earlier study are others than the data's."""
    notes = []
    for record in records:
        before = labels_of(record)
        if set(before) == set(labels):
            continue
        both = [name for name in labels if name in before]
        new = [name for name in labels if name not in before]
        gone = [name for name in before if name not in labels]
        kinds = {"both have": both, "new here are": new, "it had besides": gone}
        said = [f"{what} {some_names(names)}" for what, names in kinds.items() if names]
        notes.append(
            f"{record.config.name} was searched with other labels ({'; '.join(said)}): draw "
            "weights of those that both have go over, those of new labels start at 1"
        )
    return notes


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
