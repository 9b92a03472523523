"""Whether maps lie where a reader drew a box: the pointing game and overlap, beside chance.

Pointing game (Zhang et al., "Top-down Neural Attention by Excitation Backprop", ECCV 2016): a hit
is a map whose largest place lies in a box of its label, or within a tolerance of it. Energy: the
share of a map's positive part within the boxes. Overlap: intersection over union of the boxes and
the map's highest places, as many as the boxes have, so that no threshold is chosen.

Chance is a map that is the same everywhere a network sees. A map that always points at one place
may beat it without looking at the image, where findings of a label mostly lie alike: so there is
the rate, too, at which maps of other patients with the same label hit an image's boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cxrsearch.data.labels.boxes import Box
from cxrsearch.report.figures.figure import Figure

from .frames import CELLS, Floats, by_height
from .intervals import mean_figure, rate_figure

BOX_TOLERANCE = 1 / 32
"""Of the side, about a box: 32 of NIH's 1024 pixels. Zhang et al. have 15 of about 500."""

Mask = NDArray[np.bool_]

_centres = (np.arange(CELLS) + 0.5) / CELLS


def box_mask(boxes: Sequence[Box], beyond: float = 0.0) -> Mask:
    """(CELLS, CELLS): the places within any of the ``boxes``, made larger by ``beyond`` a side."""
    found = np.zeros((CELLS, CELLS), bool)
    for box in boxes:
        rows = (_centres >= box.top - beyond) & (_centres <= box.bottom + beyond)
        columns = (_centres >= box.left - beyond) & (_centres <= box.right + beyond)
        if not beyond and not (rows.any() and columns.any()):
            # A box smaller than a place of the grid is the place that its middle is in.
            middle = ((box.top + box.bottom) / 2, (box.left + box.right) / 2)
            row, column = (min(CELLS - 1, int(at * CELLS)) for at in middle)
            found[row, column] = True
        found |= rows[:, None] & columns[None, :]
    return found


@dataclass
class _Looks:
    """What was found of one label, an entry an image."""

    patients: list[str] = field(default_factory=list)
    points: list[tuple[int, int]] = field(default_factory=list)
    near: list[Mask] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)
    chance: list[float] = field(default_factory=list)
    energy: list[float] = field(default_factory=list)
    area: list[float] = field(default_factory=list)
    overlap: list[float] = field(default_factory=list)


class PointingGame:
    """Collects maps of images with boxes and says how well they lie.

    Args:
        seen: (CELLS, CELLS) bool, what the model sees of a picture.
        part: of the images, "test" or "external".
    """

    def __init__(self, seen: Mask, part: str) -> None:
        self.seen, self.part = seen, part
        self._looks: dict[str, _Looks] = {}

    def add(self, label: str, patient: str, found: Floats, boxes: Sequence[Box]) -> None:
        """Take in one image.

        Args:
            label: of the map and of the boxes.
            patient: whom the image shows.
            found: (CELLS, CELLS), the label's map.
            boxes: the label's on this image, one or more.
        """
        looks, seen = self._looks.setdefault(label, _Looks()), self.seen
        inside, near = box_mask(boxes) & seen, box_mask(boxes, BOX_TOLERANCE) & seen
        order = by_height(found, seen)
        row, column = divmod(int(order[0]), CELLS)
        chance = float(near.sum() / seen.sum())
        flat = float(found[seen].max()) == float(found[seen].min())
        positive = np.maximum(found, 0) * seen
        total, area = float(positive.sum()), int(inside.sum())
        looks.patients.append(patient)
        looks.points.append((row, column))
        looks.near.append(near)
        # A map without a highest place points nowhere: as good as chance.
        looks.hits.append(chance if flat else float(near[row, column]))
        looks.chance.append(chance)
        looks.energy.append(float((positive * inside).sum()) / total if total > 0 else np.nan)
        looks.area.append(area / float(seen.sum()))
        looks.overlap.append(_overlap(order, inside) if area and not flat else 0.0)

    def figures(self) -> dict[str, dict[str, Figure]]:
        """Label -> figures, and ``mean`` over all images and labels.

        ``pointing``: hit rate; ``pointing_chance``: of a map that is the same everywhere;
        ``pointing_others``: of maps of other patients with the label; ``pointing_gain``: hit rate
        less chance, image by image; ``energy`` and ``energy_chance``, the boxes' share of what is
        seen; ``overlap`` and ``overlap_chance``, about what so many places drawn at random have.
        """
        found = {label: self._of([looks]) for label, looks in sorted(self._looks.items())}
        if self._looks:
            found["mean"] = self._of(list(self._looks.values()))
        return found

    def _of(self, every: list[_Looks]) -> dict[str, Figure]:
        patients = np.array([patient for looks in every for patient in looks.patients])

        def joined(name: str) -> NDArray[np.float64]:
            return np.array([value for looks in every for value in getattr(looks, name)])

        def share(values: NDArray[np.float64], what: str = "a box", least: float = 0.0) -> Figure:
            return mean_figure(values, patients, self.part, what, least, 1.0)

        hits, chance, area = joined("hits"), joined("chance"), joined("area")
        others = np.concatenate([_by_others(looks) for looks in every])
        return {
            "pointing": rate_figure(hits, patients, self.part),
            "pointing_chance": share(chance),
            "pointing_others": share(others, "a box and another patient's map of its label"),
            "pointing_gain": share(hits - chance, least=-1.0),
            "energy": share(joined("energy"), "a positive map and a box"),
            "energy_chance": share(area),
            "overlap": share(joined("overlap")),
            "overlap_chance": share(area / (2 - area)),
        }


def _overlap(order: NDArray[np.int64], inside: Mask) -> float:
    """Intersection over union of ``inside`` and as many of the highest places."""
    count = int(inside.sum())
    common = int(inside.reshape(-1)[order[:count]].sum())
    return common / (2 * count - common)


def _by_others(looks: _Looks) -> NDArray[np.float64]:
    """How often maps of other patients point into each image's boxes; NaN where there are none."""
    rows, columns = np.array(looks.points).T
    patients = np.array(looks.patients)
    found = np.full(len(patients), np.nan)
    for number, near in enumerate(looks.near):
        other = patients != patients[number]
        if other.any():
            found[number] = near[rows, columns][other].mean()
    return found


def boxes_by_image(
    boxes: Sequence[Box], named: Mapping[int, str | None]
) -> dict[str, dict[str, list[Box]]]:
    """Image -> label -> its boxes.

    Args:
        boxes: of a table.
        named: place of a box in it -> the model's label; None where the model has none.
    """
    found: dict[str, dict[str, list[Box]]] = {}
    for number, box in enumerate(boxes):
        label = named[number]
        if label is not None:
            found.setdefault(box.image, {}).setdefault(label, []).append(box)
    return found
