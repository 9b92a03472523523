"""Reads a study's folder for showing: the history, and the files beside it.

All of it works while the search runs: nothing is locked, and a file that is missing,
half written or not what it should be is left out and named in ``problems``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial

from cxrsearch.data.diseases import DISEASES
from search.reading import FileError, read_json, read_yaml
from search.store.record import StudyRecord, read_study
from search.trials.marks import searched

from .marks import count_marks
from .rows import Interval, Row, best_row, intervals_of, mapping, number, pair, row, whole


class Look(NamedTuple):
    """One evaluation, as `cxrsearch evaluate` notes it in looks.json.

    ``part`` is ``test``, or ``external`` for other data: those looks cost the test part nothing.
    """

    time: str
    model: str
    trial: int | None
    mean: float
    interval: Interval | None
    auroc: dict[str, float | None]
    intervals: dict[str, Interval]
    part: str = "test"


class CurvePoint(NamedTuple):
    """One line of a trial's curve.json."""

    epoch: int
    loss: float | None
    lr: float | None
    value: float | None


CONFIRM = "confirm"
"""Study attribute: how a study confirms its best; ``after`` of it, how many trials search. See
`cxrsearch.study.confirmation`."""


def trials_to_search(attrs: Mapping[str, Any]) -> int | None:
    """How many trials of a study search, by its attributes; None: until the time is up.

    ``target_trials`` counts reruns too, where the study confirms.
    """
    plan = attrs.get(CONFIRM)
    return whole(attrs.get("target_trials") if plan is None else mapping(plan).get("after"))


@dataclass(frozen=True)
class StudyView:
    """Everything that is shown of one study.

    Args:
        record: the study's history.
        rows: one row a trial of the search, by number.
        settings: study.yaml; empty where it is missing.
        splits: splits.json; empty where it is missing.
        looks: the evaluations, oldest first.
        epochs: each trial's curve.json, by trial number.
        problems: one sentence for each file that could not be read.
        reruns: one row a trial that trains a finalist again, by number.
    """

    record: StudyRecord
    rows: tuple[Row, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    splits: dict[str, Any] = field(default_factory=dict)
    looks: tuple[Look, ...] = ()
    epochs: dict[int, tuple[CurvePoint, ...]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    reruns: tuple[Row, ...] = ()

    @property
    def trials(self) -> list[FrozenTrial]:
        """The search's own trials, by number: those that ``rows`` are of."""
        return searched(self.record.trials)

    @property
    def to_search(self) -> int | None:
        """How many trials are to search, of the study's target; None: until the time is up."""
        return trials_to_search(self.record.attrs)

    @property
    def every_row(self) -> tuple[Row, ...]:
        """The search's trials and the reruns of its finalists, by number."""
        return tuple(sorted((*self.rows, *self.reruns), key=lambda row: row.number))

    @property
    def name(self) -> str:
        """The study's name."""
        return self.record.config.name

    @property
    def goals(self) -> dict[str, str]:
        """The study's objectives: name -> ``maximize`` or ``minimize``."""
        return goals_of(self.record)

    @property
    def best(self) -> Row | None:
        """The complete trial with the highest AUROC; on the Pareto front where there is one."""
        return best_row(self.rows)

    @property
    def asked(self) -> dict[str, Any]:
        """The options that the search was started with, as study.yaml keeps them."""
        return mapping(self.settings.get("settings"))

    @property
    def data(self) -> dict[str, Any]:
        """What study.yaml says about the data: source, fingerprint, images, left_out, ..."""
        return mapping(self.settings.get("data"))

    @property
    def data_name(self) -> str:
        """Where the data came from, as the study says it."""
        return str(self.data.get("source") or self.asked.get("data") or "not recorded")

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the data."""
        return noted_labels(self.settings)

    @property
    def marks(self) -> dict[str, int]:
        """How many of the labels' marks are not plain; see `count_marks`."""
        return count_marks(self.data)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Images by part and label, as counted before the first trial; may be empty."""
        parts = mapping(mapping(self.settings.get("splits")).get("counts"))
        return {
            part: {name: n for name, v in mapping(item).items() if (n := whole(v)) is not None}
            for part, item in parts.items()
        }

    @property
    def split(self) -> str:
        """The fingerprint of the splits; empty where nothing says it."""
        given = self.record.attrs.get("split_fingerprint")
        noted = mapping(self.settings.get("splits")).get("fingerprint")
        carried = next((r.split for r in self.rows if r.split), "")
        return str(given or noted or self.splits.get("fingerprint") or carried)

    @property
    def tested(self) -> tuple[Look, ...]:
        """The looks at the study's own test part, oldest first."""
        return tuple(look for look in self.looks if look.part == "test")

    def looks_at(self, trial: int | None) -> tuple[Look, ...]:
        """The looks at the test part with a model of ``trial``, oldest first."""
        return tuple(look for look in self.tested if trial is not None and look.trial == trial)


def noted_labels(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels that a study.yaml names; of one made before labels had names, NIH's."""
    return tuple(mapping(mapping(settings.get("data")).get("labels"))) or DISEASES


def goals_of(record: StudyRecord) -> dict[str, str]:
    """The objectives of a study: name -> ``maximize`` or ``minimize``."""
    directions = record.config.directions
    names = record.config.metrics or (
        "auroc",
        *(f"objective {i + 2}" for i in range(len(directions) - 1)),
    )
    return dict(zip(names, directions, strict=True))


def _load(path: Path, problems: list[str]) -> Any:
    """The content of a JSON or YAML file; None where there is none, or no sense in it."""
    try:
        return read_yaml(path) if path.suffix == ".yaml" else read_json(path)
    except FileNotFoundError:
        return None
    except FileError as error:
        reason = error.problems[0].removeprefix(f"{path}: ")
        problems.append(f"{path.name} is left out: {reason}.")
        return None


def _looks(value: object) -> tuple[Look, ...]:
    looks = []
    for item in value if isinstance(value, list) else []:
        entry = mapping(item)
        if (mean := number(entry.get("mean"))) is None:
            continue
        auroc = mapping(entry.get("auroc"))
        looks.append(
            Look(
                time=str(entry.get("time") or ""),
                model=str(entry.get("model") or ""),
                trial=whole(entry.get("trial")),
                mean=mean,
                interval=pair(entry.get("interval")),
                auroc={name: number(v) for name, v in auroc.items()},
                intervals=intervals_of(entry.get("intervals")),
                part=str(entry.get("part") or "test"),
            )
        )
    return tuple(looks)


def _epochs(value: object) -> tuple[CurvePoint, ...]:
    epochs = []
    for item in value if isinstance(value, list) else []:
        entry = mapping(item)
        if (step := whole(entry.get("epoch"))) is not None:
            loss, lr, score = (number(entry.get(key)) for key in ("loss", "lr", "value"))
            epochs.append(CurvePoint(step, loss, lr, score))
    return tuple(sorted(epochs))


def _curves(
    folder: Path, rows: Iterable[Row], problems: list[str]
) -> dict[int, tuple[CurvePoint, ...]]:
    unread: list[str] = []
    curves = {}
    for item in rows:
        found = _epochs(_load(folder / "trials" / str(item.number) / "curve.json", unread))
        if found:
            curves[item.number] = found
    if unread:
        problems.append(f"The training curves of {len(unread)} trials could not be read.")
    return curves


def read_view(folder: Path, *, curves: bool = True) -> StudyView:
    """Read the study in ``folder``; ``curves`` says whether the trials' files are wanted.

    Raises:
        search.errors.StudyError: where there is no study in ``folder``.
    """
    return view_of(read_study(folder), curves=curves)


def view_of(record: StudyRecord, *, curves: bool = False) -> StudyView:
    """The view of a study whose history is read already; ``curves`` as in `read_view`."""
    folder, problems = record.folder, list[str]()
    rows, reruns = rows_of(record)
    return StudyView(
        record=record,
        rows=rows,
        settings=mapping(_load(folder / "study.yaml", problems)),
        splits=mapping(_load(folder / "splits.json", problems)),
        looks=_looks(_load(folder / "looks.json", problems)),
        epochs=_curves(folder, rows, problems) if curves else {},
        problems=tuple(problems),
        reruns=reruns,
    )


def rows_of(record: StudyRecord) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """The rows of the search's trials, and those of the reruns, each by number."""
    goals = goals_of(record)
    found = [row(trial, record.driver_alive, goals) for trial in record.trials]
    found.sort(key=lambda item: item.number)
    own = tuple(item for item in found if not item.rerun)
    return own, tuple(item for item in found if item.rerun)
