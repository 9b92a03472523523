"""Digests by which a history that was changed since it was written is known.

The driver keeps one with each trial that it writes to, and one with the study, in the same
transaction as what they cover. They cover what the driver wrote; notes and attributes that other
programs add are left alone, as are trials that were there before, made by an earlier version or by
another program.

They lie in Optuna's tables as a system attribute, which no sampler and no reader gets to see.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

KEY = "engine:digest"
"""The system attribute of a trial, and of the study."""


@dataclass(frozen=True)
class Seal:
    """Which attributes a trial's digest covers.

    Args:
        user: keys of user attributes.
        system: keys of system attributes.
        times: whether it covers start and end; some databases round these.
    """

    user: frozenset[str] = frozenset()
    system: frozenset[str] = frozenset()
    times: bool = True

    def with_keys(self, user: Iterable[str], system: Iterable[str]) -> Self:
        """The same with further keys."""
        return replace(self, user=self.user.union(user), system=self.system.union(system))

    def fields(self) -> dict[str, Any]:
        """JSON-able, beside the digest."""
        return {"user": sorted(self.user), "system": sorted(self.system), "times": self.times}

    @classmethod
    def of(cls, value: Any) -> Self:
        """The seal that is stored as ``value``.

        Raises:
            ValueError: where it is none.
        """
        fits = isinstance(value, Mapping) and isinstance(value.get("sha256"), str)
        if not fits or not all(_is_text(value.get(name)) for name in ("user", "system")):
            raise ValueError("its digest is damaged")
        return cls(frozenset(value["user"]), frozenset(value["system"]), value.get("times") is True)


@dataclass(frozen=True)
class StudySeal(Seal):
    """What the study's digest covers.

    Args:
        trials: how many trials there were; later ones were added by other programs.
        without: the numbers of those of them that have no digest.
    """

    trials: int = 0
    without: frozenset[int] = field(default_factory=frozenset)

    def fields(self) -> dict[str, Any]:
        """JSON-able, beside the digest."""
        return {**super().fields(), "trials": self.trials, "without": sorted(self.without)}

    @classmethod
    def of(cls, value: Any) -> Self:
        """See `Seal.of`."""
        seal = super().of(value)
        trials, without = value.get("trials"), value.get("without")
        if type(trials) is not int or not isinstance(without, list):
            raise ValueError("its digest is damaged")
        return replace(seal, trials=trials, without=frozenset(without))


def _is_text(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def sealed(seal: Seal, content: Any) -> str:
    """What is stored: ``seal`` and the digest of ``content``, as JSON."""
    return json.dumps({**seal.fields(), "sha256": _digest([seal.fields(), content])})


def fits(seal: Seal, value: Mapping[str, Any], content: Any) -> bool:
    """Whether the stored ``value`` of ``seal`` is that of ``content``."""
    return bool(value["sha256"] == _digest([seal.fields(), content]))


def trial_content(trial: FrozenTrial, seal: Seal) -> Any:
    """What the digest of a trial is of."""
    return [
        trial.number,
        trial.state.name,
        *([_utc(trial.datetime_start), _utc(trial.datetime_complete)] if seal.times else []),
        None if trial.values is None else [_unsigned(value) for value in trial.values],
        {n: [_unsigned(trial.params[n]), _text_of(d)] for n, d in trial.distributions.items()},
        sorted((step, _unsigned(value)) for step, value in trial.intermediate_values.items()),
        _chosen(trial.user_attrs, seal.user),
        _chosen(trial.system_attrs, seal.system),
    ]


Hashes = dict[tuple[str, str], str]
"""Digests of the study's attributes by kind and key, which need not be taken again."""


def study_content(
    name: str,
    directions: Iterable[StudyDirection],
    attrs: Mapping[str, Mapping[str, Any]],
    seal: StudySeal,
    hashes: Hashes,
) -> Any:
    """What the digest of a study is of.

    Args:
        name: the study's.
        directions: its objectives'.
        attrs: its attributes by kind, ``user`` and ``system``.
        seal: which of them count.
        hashes: digests that are known; the others are added.
    """
    keys = {"user": seal.user, "system": seal.system}
    for kind, chosen in keys.items():
        for key in chosen & attrs[kind].keys():
            if (kind, key) not in hashes:
                hashes[kind, key] = _digest(attrs[kind][key])
    found = [
        {key: hashes[kind, key] for key in chosen & attrs[kind].keys()}
        for kind, chosen in keys.items()
    ]
    return [name, [direction.name for direction in directions], *found]


def _unsigned(value: Any) -> Any:
    """``value``, but for the sign of a zero, which SQLite does not keep."""
    return 0.0 if isinstance(value, float) and value == 0.0 else value


def _chosen(attrs: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: attrs[key] for key in keys if key in attrs}


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _text_of(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return distribution_to_json(distribution)  # no cache tells the choices 1 and True apart
    return _text_of_numbers(distribution)


@functools.lru_cache(maxsize=4096)
def _text_of_numbers(distribution: BaseDistribution) -> str:
    return distribution_to_json(distribution)


def _utc(local: datetime.datetime | None) -> str | None:
    return None if local is None else local.astimezone(datetime.UTC).isoformat()
