"""Which labels of a model and of other data are the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from cxrsearch.data.labels.names import plain_name, some_names
from cxrsearch.errors import InputError
from search.errors import did_you_mean


class SharedLabels(NamedTuple):
    """What a model and data have in common.

    Args:
        ours: columns of the model's labels that the data have too, in the model's order.
        theirs: the column of each in the data.
        only_model: the model's labels that the data do not have.
        only_data: the data's that the model does not know.
    """

    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    only_model: tuple[str, ...]
    only_data: tuple[str, ...]


def shared_labels(
    ours: Sequence[str], theirs: Sequence[str], maps: Sequence[str] = ()
) -> SharedLabels:
    """Match the labels of a model with those of data.

    First as ``maps`` say, then by the very name, then by names that differ in case, spaces and
    marks alone.

    Args:
        ours: the model's.
        theirs: the data's.
        maps: each ``THEIR NAME=OUR NAME``, as ``--map`` takes it.

    Raises:
        InputError: naming everything that is wrong with ``maps``; or where nothing is shared.
    """
    pairs = _mapped(ours, theirs, maps)
    for same in (str, plain_name):
        left = [name for name in ours if name not in pairs.values()]
        free = [name for name in theirs if name not in pairs]
        unique = {key for key, n in Counter(map(same, left)).items() if n == 1}
        unique &= {key for key, n in Counter(map(same, free)).items() if n == 1}
        known = {same(name): name for name in left if same(name) in unique}
        pairs |= {name: known[same(name)] for name in free if same(name) in known}
    found = {name: their for their, name in pairs.items()}
    if not found:
        raise InputError(
            "the model and the data have no label in common: the model predicts "
            f"{some_names(ours)}; the "
            f'data have {some_names(theirs)}; say which are the same with --map "THEIR NAME=OURS"'
        )
    columns = [column for column, name in enumerate(ours) if name in found]
    return SharedLabels(
        tuple(columns),
        tuple(list(theirs).index(found[ours[column]]) for column in columns),
        tuple(name for name in ours if name not in found),
        tuple(name for name in theirs if name not in pairs),
    )


def _mapped(ours: Sequence[str], theirs: Sequence[str], maps: Sequence[str]) -> dict[str, str]:
    """What ``maps`` say: name in the data -> name in the model."""
    pairs: dict[str, str] = {}
    problems: list[str] = []
    for text in maps:
        their, equals, our = (part.strip() for part in text.partition("="))
        if not (their and equals and our):
            problems.append(f'--map {text!r}: write "THEIR NAME=OURS"')
            continue
        sides = (("the data have no", their, theirs), ("the model has no", our, ours))
        found = [known_label(name, names) for _, name, names in sides]
        problems += [
            f"--map {text!r}: {what} label {name!r}"
            f"{did_you_mean(name, names) or f'; there are {some_names(names)}'}"
            for (what, name, names), label in zip(sides, found, strict=True)
            if label is None
        ]
        if found[0] is None or found[1] is None:
            continue
        if found[0] in pairs or found[1] in pairs.values():
            twice = found[0] if found[0] in pairs else found[1]
            problems.append(f"--map {text!r}: {twice!r} is named twice; a label is one other only")
        pairs[found[0]] = found[1]
    if problems:
        raise InputError(problems)
    return pairs


def known_label(name: str, names: Sequence[str]) -> str | None:
    """That of ``names`` which ``name`` is, but perhaps for case, spaces and marks."""
    if name in names:
        return name
    alike = [known for known in names if plain_name(known) == plain_name(name)]
    return alike[0] if len(alike) == 1 else None
