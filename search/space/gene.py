"""One gene of a search space: from its YAML entry to an Optuna distribution, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from .gene_prior import GenePrior
from .problems import Problems, unknown_keys
from .values import coerce, is_scalar, limit_problem, near, number, same, show, whole

GENE_KEYS = ("type", "low", "high", "step", "log", "choices", "when", "prior")
Limits = Mapping[str, Any]


@dataclass(frozen=True)
class Gene:
    """One searched parameter.

    Args:
        name: its name.
        distribution: the values it can take.
        when: it exists only where each of these parameters has one of the values.
        prior: where a user believes that its best value lies; None: nobody said.
    """

    name: str
    distribution: BaseDistribution
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    prior: GenePrior | None = None

    @property
    def prior_words(self) -> str:
        """The prior for people; nothing where there is none."""
        return "" if self.prior is None else self.prior.words(self.distribution)

    def to_dict(self) -> dict[str, Any]:
        """The gene's entry in a space file."""
        entry: dict[str, Any]
        dist = self.distribution
        if isinstance(dist, CategoricalDistribution):
            entry = {"choices": list(dist.choices)}
        else:
            assert isinstance(dist, FloatDistribution | IntDistribution)
            kind = "int" if isinstance(dist, IntDistribution) else "float"
            entry = {"type": kind, "low": dist.low, "high": dist.high}
            if dist.log:
                entry["log"] = True
            elif dist.step is not None and not (kind == "int" and dist.step == 1):
                entry["step"] = dist.step
        if self.when:
            entry["when"] = {parent: list(values) for parent, values in self.when.items()}
        if self.prior is not None:
            entry["prior"] = self.prior.to_entry()
        return entry


def read_distribution(
    name: str, entry: Any, limits: Limits | None, problems: Problems
) -> BaseDistribution | None:
    """The distribution of a gene's entry, or ``None`` with its problems noted."""
    if not isinstance(entry, Mapping):
        problems.add(name, f"is {show(entry)}; write {{low: ..., high: ...}} or {{choices: [...]}}")
        return None
    before = len(problems.found)
    unknown_keys(problems, name, entry, GENE_KEYS)
    ranged = [key for key in ("type", "low", "high", "step", "log") if key in entry]
    if "choices" in entry:
        if ranged:
            problems.add(name, f"has choices and {', '.join(ranged)}; keep one or the other")
        dist = _read_choices(name, entry["choices"], limits, problems)
    else:
        dist = _read_range(name, entry, limits, problems)
    return dist if len(problems.found) == before else None


def _read_choices(
    name: str, given: Any, limits: Limits | None, problems: Problems
) -> BaseDistribution | None:
    if not isinstance(given, list | tuple):
        problems.add(name, f"choices is {show(given)}; write a list: [a, b]")
        return None
    if not given:
        problems.add(name, "choices is empty; give at least two")
        return None
    choices: list[Any] = []
    for value in given:
        choice = coerce(value, limits)
        if not is_scalar(choice):
            problems.add(name, f"choice {show(choice)} is no finite number, text, truth or null")
            continue
        problem = limit_problem(choice, limits)
        if problem:
            problems.add(name, f"choice {problem}")
        if any(choice == other for other in choices):
            other = next(c for c in choices if choice == c)
            what = "is there twice" if same(choice, other) else f"equals {show(other)}"
            problems.add(name, f"choice {show(choice)} {what}; keep one")
        choices.append(choice)
    if len(given) == 1:
        problems.add(name, f"has one choice only; put it under fixed: {{{name}: {show(given[0])}}}")
    if len(choices) < 2 or any(a == b for i, a in enumerate(choices) for b in choices[:i]):
        return None
    return CategoricalDistribution(choices)


def _read_range(
    name: str, entry: Mapping[str, Any], limits: Limits | None, problems: Problems
) -> BaseDistribution | None:
    limits = limits or {}
    known = limits.get("type")
    if known in ("str", "bool") or limits.get("text"):
        allowed = limits.get("choices", [False, True] if known == "bool" else ["a", "b"])
        problems.add(name, f"takes no range; write {{choices: [{', '.join(map(show, allowed))}]}}")
        return None
    numbers = {key: _number(name, key, entry, problems) for key in ("low", "high", "step")}
    low, high, step = numbers["low"], numbers["high"], numbers["step"]
    log = entry.get("log", False)
    if not isinstance(log, bool):
        problems.add(name, f"log is {show(log)}; write true or false")
        log = False
    kind = _kind(name, entry, numbers, known, problems)
    for key, value in numbers.items():
        if kind == "int" and value is not None and whole(value) is None:
            problems.add(
                name, f"{key} {show(value)} is no whole number; round it, or say type: float"
            )
            kind = None
    if low is None or high is None or kind is None:
        return None
    if not _sound(name, low, high, step, log, kind, problems):
        return None
    for value in (low, high):
        problem = limit_problem(value, {k: v for k, v in limits.items() if k != "choices"})
        if problem:
            problems.add(name, ("low " if value == low else "high ") + problem)
    if kind == "int":
        return IntDistribution(int(low), int(high), log=log, step=1 if step is None else int(step))
    return FloatDistribution(
        float(low), float(high), log=log, step=None if step is None else float(step)
    )


def _number(
    name: str, key: str, entry: Mapping[str, Any], problems: Problems
) -> int | float | None:
    if key not in entry or (key == "step" and entry[key] is None):
        if key != "step":
            problems.add(name, f"{key} is missing; add {key}: NUMBER, or give choices")
        return None
    found = number(entry[key])
    if found is None:
        hint = f" up to {LARGEST_NUMBER}" if isinstance(entry[key], int) else ""
        problems.add(name, f"{key} is {show(entry[key])}; write a finite number{hint}")
    return found


LARGEST_NUMBER = "2**53"


def _kind(
    name: str,
    entry: Mapping[str, Any],
    numbers: Mapping[str, int | float | None],
    known: str | None,
    problems: Problems,
) -> str | None:
    """``"int"`` or ``"float"``: as said, as the gene is known, or as the numbers are."""
    kind = entry.get("type")
    if kind is not None and kind not in ("int", "float"):
        hint = near(kind, ("int", "float"))
        problems.add(name, f"type is {show(kind)}{hint or '; write int or float'}")
        return None
    if known == "int" and kind == "float":
        problems.add(name, "takes whole numbers; write type: int")
        return None
    if kind is None and known in ("int", "float"):
        kind = known
    if kind is None:
        given = [entry[key] for key in numbers if entry.get(key) is not None]
        kind = "int" if all(isinstance(value, int) for value in given) else "float"
    return str(kind)


def _sound(
    name: str,
    low: float,
    high: float,
    step: float | None,
    log: bool,
    kind: str,
    problems: Problems,
) -> bool:
    before = len(problems.found)
    if low > high:
        problems.add(name, f"low {show(low)} is above high {show(high)}; swap them")
    elif low == high:
        problems.add(
            name, f"low and high are both {show(low)}; put it under fixed: {{{name}: {show(low)}}}"
        )
    if log and low <= 0:
        problems.add(name, f"low {show(low)} has no logarithm; make low positive, or leave out log")
    if step is not None and step <= 0:
        problems.add(name, f"step {show(step)} is not positive; give a step above 0")
    elif step is not None and log and not (kind == "int" and step == 1):
        problems.add(name, "has log and step; keep one of them")
    elif step is not None and low < high:
        width = Decimal(str(high)) - Decimal(str(low))
        rest = width % Decimal(str(step)) if width / Decimal(str(step)) < 10**15 else Decimal(1)
        if rest:
            nearest = float(Decimal(str(high)) - rest)
            way = f"make high {show(nearest)}" if nearest > low else "make it smaller"
            problems.add(
                name, f"step {show(step)} does not divide {show(low)} to {show(high)}; {way}"
            )
    return len(problems.found) == before
