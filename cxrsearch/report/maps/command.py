"""The report's part on where a network looks: pictures, and how much they can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxrsearch.data.labels.boxes import Box, box_label, images_called, read_boxes
from cxrsearch.data.labels.names import folder_part, some_names
from cxrsearch.data.marks import present
from cxrsearch.errors import InputError
from cxrsearch.model.operating import OperatingPoints
from cxrsearch.report.evidence import Evidence, JudgedImages
from cxrsearch.report.figures.figure import Figure

from .cases import MapCase, extreme_cases, spread
from .chest import CHEST_WINDOW, chest_window, share_outside
from .drawing import draw_map
from .frames import CELLS, Floats, FrameMaps, by_height, seen_by
from .intervals import known_figure, mean_figure
from .pointing import BOX_TOLERANCE, PointingGame

HEAT_MAPS = "heatmaps"
"""The folder of pictures in a report's."""

MOST_POSITIVES, MOST_MAPPED, MOST_BOXED = 64, 256, 1000
"""Images at most: positives of a label, all of the part, and those with boxes."""

_SIDES = (("upper", "middle", "lower"), ("left", "middle", "right"))


def maps_of(
    evidence: Evidence,
    out: Path,
    *,
    boxes: Path | None = None,
    points: OperatingPoints | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Draw where a model looks, and measure it.

    Maps are taken of the images shown, of the boxes' images and, for means, of `MOST_POSITIVES`
    positives a label and `MOST_MAPPED` of all, evenly spread over the part; each image once. They
    are of the plain view, also where the model predicts the mean over several.

    Args:
        evidence: the model and the images that it is judged on.
        out: folder of the report; pictures go to `HEAT_MAPS` in it.
        boxes: a table of boxes as NIH's, see `cxrsearch.data.labels.boxes`.
        points: whose thresholds call a case right or wrong; None: none is called so.
        on_progress: called with how many images are done, of how many.

    Returns:
        content for JSON: ``labels`` (label -> ``mean``: files and where they are strongest,
        ``outside``: share of the positive part outside the chest's window, and figures of boxes),
        ``cases``, ``boxes``, ``methods`` (with height and width of each network's map),
        ``no_place`` (why maps say nothing of where; their figures are null then), ``coarse`` (how
        coarse maps of very few places are), ``chest``, ``notes``.

    Raises:
        InputError: where no map can be taken of the model, or ``boxes`` cannot be used.
    """
    judged, model = evidence.judged, evidence.opened.model
    columns = [model.labels.index(name) for name in judged.label_names]
    frames = FrameMaps(model, columns)
    table = None if boxes is None else _table(boxes, evidence)
    limits = None if points is None else points.thresholds(judged.label_names)
    cases = extreme_cases(judged.marks, judged.scores, limits)
    wanted = _Wanted.of(judged, cases, table)
    folder = out / HEAT_MAPS
    folder.mkdir(parents=True, exist_ok=True)
    sums = _Sums(frames, judged, wanted, table)
    images, rows = evidence.opened.cache.images, np.asarray(evidence.seen.rows)[wanted.rows]
    for part, found in frames.of(images, rows, on_progress):
        sums.add(wanted.rows[part], found, images, rows[part])
    names = [
        f"{column + 1:02d}-{folder_part(name, column)}"
        for column, name in enumerate(judged.label_names)
    ]
    place = _union(frames)
    shown = [
        _show_case(evidence, frames, case, sums.kept[case.row, case.column], table, place, folder,
                   f"{names[case.column]}-{case.name}.png")
        | {"threshold": _known_limit(limits, case.column)}
        for case in cases
    ]  # fmt: skip
    labels = {
        name: sums.label(column, names[column], folder, place)
        for column, name in enumerate(judged.label_names)
    }
    overlap: dict[str, Any] | None = None
    if table is not None and sums.game is not None:
        figures = sums.game.figures()
        whys = {
            name: sums.without_place(judged.label_names.index(name))
            for name in figures if name in labels
        }  # fmt: skip
        if all(whys.values()):
            whys["mean"] = next(iter(whys.values()), None)
        figures = {name: _placed_only(one, whys.get(name)) for name, one in figures.items()}
        for name, found_figures in figures.items():
            if name in labels:
                labels[name] |= {key: one.to_json() for key, one in found_figures.items()}
        mean = figures.get("mean", {})
        overlap = {**table.said, "mean": {key: one.to_json() for key, one in mean.items()}}
    return {
        "labels": labels,
        "cases": shown,
        "boxes": overlap,
        "methods": {
            "networks": frames.methods,
            "put_together": frames.added,
            "places": {
                name: {"height": size[0], "width": size[1]} for name, size in frames.sizes.items()
            },
        },
        "no_place": frames.without_place,
        "coarse": frames.coarse,
        "chest": {
            "window": CHEST_WINDOW,
            "share_of_seen": _uniform(frames.seen),
        },
        "notes": _notes(frames, judged, wanted, table, model.tta),
    }


def check_boxes(evidence: Evidence, boxes: Path) -> None:
    """Refuse boxes that maps cannot be held against, before a look is counted.

    Args:
        evidence: the model and the images that it is to be judged on.
        boxes: a table of boxes, as for `maps_of`.

    Raises:
        InputError: as `maps_of`.
    """
    model = evidence.opened.model
    FrameMaps(model, [model.labels.index(name) for name in evidence.judged.label_names])
    _table(boxes, evidence)


@dataclass(frozen=True)
class _BoxTable:
    """The boxes of the images judged: row -> column -> boxes, and what is said of the table."""

    of: Mapping[int, Mapping[int, list[Box]]]
    said: dict[str, Any]


def _table(path: Path, evidence: Evidence) -> _BoxTable:
    """Boxes of a table by the images and labels that are judged.

    Raises:
        InputError: where the table cannot be read, or none of it is of these images and labels.
    """
    judged, names = evidence.judged, evidence.seen.names
    boxes = read_boxes(path)
    rows = images_called(names, dict.fromkeys(box.image for box in boxes))
    found: dict[int, dict[int, list[Box]]] = {}
    others, strange = set[str](), set[str]()
    used = 0
    for box in boxes:
        label = box_label(box.label, judged.label_names)
        if label is None:
            strange.add(box.label)
        elif box.image not in rows:
            others.add(box.image)
        else:
            column = judged.label_names.index(label)
            found.setdefault(rows[box.image], {}).setdefault(column, []).append(box)
            used += 1
    if not used:
        raise InputError(
            f"{path}: no box, of {len(boxes):,}, is of an image and a label that is judged "
            f"(line {boxes[0].line}: {boxes[0].image[:60]!r}, {boxes[0].label[:60]!r}; judged are "
            f"images such as {names[0]!r} and {some_names(judged.label_names)}); give a table of "
            "these images, or other data with --data"
        )
    said = {
        "file": path.name, "boxes": len(boxes), "used": used, "images": len(found),
        "images_not_judged": len(others), "labels_not_known": sorted(strange),
        "tolerance": BOX_TOLERANCE,
    }  # fmt: skip
    return _BoxTable(found, said)


@dataclass(frozen=True)
class _Wanted:
    """The images that maps are taken of, by their rows among those judged.

    Args:
        rows: all of them, each once.
        every: for the mean over all.
        positives: of each label, for the mean over its positives.
        boxed: those with boxes that are measured.
        cases: (row, column) of those shown.
    """

    rows: NDArray[np.int64]
    every: frozenset[int]
    positives: tuple[frozenset[int], ...]
    boxed: frozenset[int]
    cases: frozenset[tuple[int, int]]

    @classmethod
    def of(cls, judged: JudgedImages, cases: Sequence[MapCase], table: _BoxTable | None) -> _Wanted:
        count = len(judged.marks)
        every = spread(np.arange(count), MOST_MAPPED)
        positives = [
            spread(np.flatnonzero(present(judged.marks[:, column])), MOST_POSITIVES)
            for column in range(judged.marks.shape[1])
        ]
        boxed = spread(np.array(sorted(table.of if table else ()), np.int64), MOST_BOXED)
        shown = np.array([case.row for case in cases], np.int64)
        return cls(
            np.unique(np.concatenate([every, *positives, boxed, shown])),
            frozenset(every.tolist()),
            tuple(frozenset(rows.tolist()) for rows in positives),
            frozenset(boxed.tolist()),
            frozenset((case.row, case.column) for case in cases),
        )


@dataclass
class _MeanMap:
    """A sum of maps and of the pictures below them."""

    found: NDArray[np.float64] = field(default_factory=lambda: np.zeros((CELLS, CELLS)))
    grey: NDArray[np.float64] = field(default_factory=lambda: np.zeros((CELLS, CELLS)))
    count: int = 0

    def add(self, found: Floats, grey: NDArray[np.float64]) -> None:
        self.found += found
        self.grey += grey
        self.count += 1


class _Sums:
    """What is left of maps once they are gone: sums, shares, hits, and the few that are drawn."""

    def __init__(
        self,
        frames: FrameMaps,
        judged: JudgedImages,
        wanted: _Wanted,
        table: _BoxTable | None,
    ) -> None:
        self.frames, self.judged, self.wanted, self.table = frames, judged, wanted, table
        width = len(judged.label_names)
        self.every = [_MeanMap() for _ in range(width)]
        self.positives = [_MeanMap() for _ in range(width)]
        self.outside: list[list[float]] = [[] for _ in range(width)]
        self.patients: list[list[str]] = [[] for _ in range(width)]
        self.kept: dict[tuple[int, int], Floats] = {}
        self.varied = np.zeros(width, bool)
        self.chest = chest_window()
        self.game = None if table is None else PointingGame(frames.seen, judged.part)

    def add(
        self, judged_rows: np.ndarray, found: Floats, images: np.ndarray, rows: np.ndarray
    ) -> None:
        """Take in a batch: (b,) rows among those judged, (b, k, CELLS, CELLS) maps, cache rows."""
        out = share_outside(found, self.chest)
        inside = found[:, :, self.frames.seen]
        self.varied |= (inside.max(axis=2) > inside.min(axis=2)).any(axis=0)
        for number, row in enumerate(judged_rows.tolist()):
            patient, grey = str(self.judged.patients[row]), _small(images[int(rows[number])])
            for column, one in enumerate(found[number]):
                if row in self.wanted.every:
                    self.every[column].add(one, grey)
                if row in self.wanted.positives[column]:
                    self.positives[column].add(one, grey)
                    self.outside[column].append(float(out[number, column]))
                    self.patients[column].append(patient)
                if (row, column) in self.wanted.cases:
                    self.kept[row, column] = one.copy()
            if self.table is not None and self.game is not None and row in self.wanted.boxed:
                for column, boxes in self.table.of[row].items():
                    label = self.judged.label_names[column]
                    self.game.add(label, patient, found[number, column], boxes)

    def without_place(self, column: int) -> str | None:
        """Why a label's maps say nothing of where; None where they do."""
        if self.frames.without_place:
            return self.frames.without_place
        return None if self.varied[column] else "this label's map is the same everywhere"

    def label(
        self, column: int, name: str, folder: Path, place: tuple[float, float, float, float]
    ) -> dict[str, Any]:
        """A label's mean maps, drawn into ``folder``, and how much of its maps is off the chest."""
        mean: dict[str, Any] = {}
        why = self.without_place(column)
        for kind, sums in (("positives", self.positives[column]), ("all", self.every[column])):
            mean[kind] = None
            if sums.count:
                found = (sums.found / sums.count).astype(np.float32)
                grey = np.rint(sums.grey / sums.count).astype(np.uint8)
                file = folder / f"{name}-mean-{kind}.png"
                draw_map(file, _cropped(grey, place), found, place)
                mean[kind] = {
                    "file": f"{HEAT_MAPS}/{file.name}",
                    "images": sums.count,
                    **(
                        _NOWHERE | {"reason": why}
                        if why
                        else _strongest(found, self.frames.seen, self.chest)
                    ),
                }
        part = self.judged.part
        outside = mean_figure(
            np.array(self.outside[column]), np.array(self.patients[column]), part,
            "this label and a map that is positive somewhere", 0.0, 1.0,
        )  # fmt: skip
        if why:
            outside = _null(outside, why)
        even = _uniform(self.frames.seen)
        return {
            "mean": mean,
            "outside": outside.to_json(),
            "outside_chance": known_figure(
                even, outside.n, part, "it is the share of the area, computed and not estimated"
            ).to_json(),
            "outside_more_than_chance": _more(outside, even),
        }


_NOWHERE: dict[str, Any] = {"x": None, "y": None, "place": None, "on_chest": None}
"""Where a map without places is strongest."""


def _null(figure: Figure, why: str) -> Figure:
    """The figure without its value, and why."""
    return replace(figure, value=None, low=None, high=None, reason=why)


def _placed_only(figures: Mapping[str, Figure], why: str | None) -> dict[str, Figure]:
    """Figures of boxes; but for chance they are null where maps say nothing of where."""
    return {
        name: _null(one, why) if why and not name.endswith("_chance") else one
        for name, one in figures.items()
    }


def _known_limit(limits: np.ndarray | None, column: int) -> float | None:
    """A label's threshold; None where there is none."""
    return None if limits is None or np.isnan(limits[column]) else float(limits[column])


def _more(outside: Figure, even: float) -> bool | None:
    """Whether the interval of the share outside lies above that of a map without places."""
    return None if outside.low is None else outside.low > even


def _uniform(seen: NDArray[np.bool_]) -> float:
    """Share outside the chest's window of a map that is the same wherever a network sees."""
    return float((seen & ~chest_window()).sum() / seen.sum())


def _strongest(found: Floats, seen: NDArray[np.bool_], chest: NDArray[np.bool_]) -> dict[str, Any]:
    """Where a map is largest: shares of width and height, in words, and whether on the chest."""
    row, column = divmod(int(by_height(found, seen)[0]), CELLS)
    y, x = (row + 0.5) / CELLS, (column + 0.5) / CELLS
    words = [names[min(2, int(3 * at))] for names, at in zip(_SIDES, (y, x), strict=True)]
    return {
        "x": x,
        "y": y,
        "place": "middle" if words == ["middle", "middle"] else " ".join(words),
        "on_chest": bool(chest[row, column]),
    }


def _small(picture: np.ndarray) -> NDArray[np.float64]:
    """(F, F) as (CELLS, CELLS) grey levels, each the mean of its area or interpolated."""
    resized = Image.fromarray(np.asarray(picture)).resize((CELLS, CELLS), Image.Resampling.BOX)
    return np.asarray(resized, np.float64)


def _union(frames: FrameMaps) -> tuple[float, float, float, float]:
    """Top, left, height and width of what the networks see together."""
    tops, lefts, talls, wides = zip(*(member.place for member in frames.members), strict=True)
    bottom = max(top + tall for top, tall in zip(tops, talls, strict=True))
    right = max(left + wide for left, wide in zip(lefts, wides, strict=True))
    return min(tops), min(lefts), bottom - min(tops), right - min(lefts)


def _cropped(
    grey: NDArray[np.uint8], place: tuple[float, float, float, float]
) -> NDArray[np.uint8]:
    """What ``place`` is of a picture."""
    side = len(grey)
    top, left, tall, wide = (round(share * side) for share in place)
    return grey[top : top + max(1, tall), left : left + max(1, wide)]


def _show_case(
    evidence: Evidence,
    frames: FrameMaps,
    case: MapCase,
    found: Floats,
    table: _BoxTable | None,
    place: tuple[float, float, float, float],
    folder: Path,
    file: str,
) -> dict[str, Any]:
    """Draw a case as the network saw it, and say what it is."""
    cache, judged = evidence.opened.cache, evidence.judged
    at = int(evidence.seen.rows[case.row])
    if len(frames.members) == 1:
        seen = seen_by(frames.members[0].model, cache.images, np.array([at]))[0, 0]
        grey = (seen * 255).round().cpu().numpy().astype(np.uint8)
    else:
        grey = _cropped(np.asarray(cache.images[at]), place)
    boxes = [] if table is None else table.of.get(case.row, {}).get(case.column, [])
    draw_map(folder / file, grey, found, place, boxes)
    return {
        "image": evidence.seen.names[case.row],
        "label": judged.label_names[case.column],
        "kind": case.kind,
        "what": case.what,
        "score": float(judged.scores[case.row, case.column]),
        "mark": float(judged.marks[case.row, case.column]),
        "file": f"{HEAT_MAPS}/{file}",
        "boxes": len(boxes),
    }


def _notes(
    frames: FrameMaps,
    judged: JudgedImages,
    wanted: _Wanted,
    table: _BoxTable | None,
    tta: str,
) -> list[str]:
    count = len(judged.marks)
    every = f"{MOST_MAPPED} of the {count:,} images" if count > MOST_MAPPED else "all images"
    notes = [
        f"mean maps are over at most {MOST_POSITIVES} positives of a label, evenly spread, and "
        f"over {every}; images mapped: {len(wanted.rows):,} of {count:,}"
    ]
    if tta != "none":
        notes.append(f"maps are of the plain view; the model predicts the mean over {tta}")
    if table is not None and len(table.of) > len(wanted.boxed):
        notes.append(
            f"boxes of {MOST_BOXED:,} of the {len(table.of):,} images that have some are measured"
        )
    if not frames.seen.all():
        notes.append(
            f"the model sees {frames.seen.mean():.0%} of the picture; chance is over what it sees, "
            "and a box beyond it cannot be hit"
        )
    return notes
