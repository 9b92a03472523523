"""Which groups the images that are judged fall into: by person, by column, by their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cxrsearch.data.about import read_people
from cxrsearch.data.dataset import Dataset, file_of
from cxrsearch.data.errors import ImageError
from cxrsearch.data.labels.columns import plain
from cxrsearch.data.pixels.images import image_header
from cxrsearch.errors import InputError
from cxrsearch.systems.eda.origin import properties
from search.errors import did_you_mean

Groups = dict[str, np.ndarray]
"""Column -> (n,) str, the group of each image; empty where it is not known."""


def people_groups(dataset: Dataset, places: np.ndarray) -> Groups:
    """By sex, age in years and view, where the data say them.

    Args:
        dataset: the data.
        places: (n,) rows of the images in it.
    """
    found: Groups = {}
    people = read_people(dataset.extra, dataset.roles)
    for name, values in (("sex", people.sex), ("view", people.view)):
        if values is not None:
            found[name] = np.array([str(value) for value in values[places]], np.str_)
    if people.age is not None:
        ages = people.age[places].tolist()
        found["age"] = np.array([f"{age:g}" if np.isfinite(age) else "" for age in ages], np.str_)
    return {name: values for name, values in found.items() if _several(values)}


def file_groups(dataset: Dataset, places: np.ndarray) -> tuple[Groups, str]:
    """By what the files are: format, colours, number of pixels, shape, how they are named.

    Where images come from several places, these tell which.

    Args:
        dataset: the data; where its images are drawn, there are no files and no groups.
        places: (n,) rows of the images in it.

    Returns:
        the groups, "" for a file whose header cannot be read; and why there are none, or how many
        files are in none; empty where nothing is to be said.
    """
    names, headers, rows = [], [], []
    for row, place in enumerate(places.tolist()):
        path = file_of(dataset.source, dataset.names[place])
        if path is None:
            return {}, "the images are drawn, so there are no files"
        try:
            headers.append(image_header(path))
        except ImageError:
            continue
        names.append(path.name)
        rows.append(row)
    if not names:
        return {}, "no file's header could be read"
    lacks = len(places) - len(names)
    found = Groups()
    for one in properties(names, headers, dataset.label_names):
        values = [""] * len(places)
        for row, which in zip(rows, one.which.tolist(), strict=True):
            values[row] = one.values[which]
        found[one.name] = np.array(values, np.str_)
    if not found:
        return {}, "the images' files do not differ"
    said = f"{lacks:,} of {len(places):,} files could not be read and are in no group"
    return found, said if lacks else ""


def column_groups(dataset: Dataset, places: np.ndarray, columns: Sequence[str]) -> Groups:
    """By further columns of the label table.

    Args:
        dataset: the data.
        places: (n,) rows of the images in it.
        columns: names of columns; cases, spaces and underscores do not count.

    Raises:
        InputError: naming each column that is not there.
    """
    by_name: Mapping[str, str] = {plain(name): name for name in dataset.extra}
    problems, found = [], Groups()
    for wanted in columns:
        name = by_name.get(plain(wanted))
        if name is None:
            there = ", ".join(map(repr, dataset.extra)) or "none"
            hint = did_you_mean(wanted, dataset.extra)
            problems.append(
                f"--groups {wanted!r}: no such column in {dataset.label}{hint}; there are {there}"
            )
            continue
        found[name] = np.array(list(map(str, dataset.extra[name][places].tolist())), np.str_)
    if problems:
        raise InputError(problems)
    return found


def _several(values: np.ndarray) -> bool:
    return len(np.unique(values[values != ""])) > 1
