"""Whether pictures look like those that a model was trained on: inverted, dark, blurred, other."""

from __future__ import annotations

from typing import Any

import numpy as np

from cxrsearch.data.pixels.appearance import (
    INVERTED_FROM,
    PATTERN_OF,
    Appearance,
    Pictures,
    pictures,
    spread_over,
)

from .check import DOUBTFUL, FALSE, NOTED, Check

INVERTED_PICTURES, BLANK_PICTURES, PIXEL_RANGE, PIXEL_DETAIL, FILE_SIZE = (
    "inverted",
    "blank",
    "pixel range",
    "resolution",
    "file size",
)
SEEN = "seen"
"""Key of a card's ``pixels`` under which it says what its training pictures looked like."""
MOST_LOOKED_AT = 2048
"""Pictures that are measured at most, evenly spread."""
JUDGED_FROM = 5
"""Pictures from which a share of them says something."""
FEWEST_ODD, LEAST_SHARE, BY_CHANCE = 3, 0.02, 1e-4
"""Odd pictures count from so many, from this share, and where the training's own share would give
as many with a lower probability than this."""
OTHER_SIDE = 1.25
"""Files whose sides differ by this factor are of another resolution."""
DARKER = 0.25
"""A mean grey level below this share of the training's 1st percentile is nearly black, too."""
BLANK_KINDS = ("nearly black", "nearly white", "nearly one grey")


def picture_checks(
    seen: Appearance | None, images: np.ndarray, rows: np.ndarray, part: str
) -> list[Check]:
    """Hold pictures against what a model was trained on.

    Args:
        seen: what its training pictures looked like; None: its card does not say.
        images: (n, side, side) uint8, such as a cache's, at the model's frame.
        rows: which of them are judged.
        part: of which images these are.
    """
    if seen is None:
        return [
            Check(
                PIXEL_RANGE, NOTED,
                "the model's card, of an earlier version, does not say what its training pictures "
                "looked like: whether these are inverted, dark or of another resolution cannot be "
                "told; train it again to have that checked",
            )
        ]  # fmt: skip
    rows = spread_over(rows, MOST_LOOKED_AT)
    few = min(seen.images / PATTERN_OF, len(rows) / JUDGED_FROM) < 1
    if few or images.shape[-1] != seen.frame:
        why = (
            f"{len(rows)} of them and {seen.images} training pictures are too few"
            if few
            else f"they are {images.shape[-1]} pixels a side, the training's {seen.frame}"
        )
        return [
            Check(
                PIXEL_RANGE, NOTED, f"{part}: pictures cannot be held against the training's: {why}"
            )
        ]
    found = pictures(images, rows)
    return [
        _inverted(seen, found, part),
        _blank(seen, found, part),
        _range(seen, found, part),
        _resolution(seen, found, part),
    ]


def size_check(side: int, trained: object, frame: int, part: str) -> Check:
    """Whether image files are of another size than those that a model was made with.

    Args:
        side: typical side of the judged data's files, in pixels; see `Dataset.source_side`.
        trained: that of the model's own, as its card has it; None where it does not say.
        frame: side of the pictures that the model takes.
        part: of which images these are.
    """
    evidence = {"part": part, "side": side, "training_side": trained, "frame": frame}
    told = f"{part}: files are typically {side} pixels a side"
    if not isinstance(trained, int | float) or isinstance(trained, bool) or trained <= 0:
        return Check(
            FILE_SIZE, NOTED,
            f"{told}; the model's card has no size of its own: whether that is another resolution "
            "cannot be told",
            evidence,
        )  # fmt: skip
    told += f", the training's {trained:g}"
    if max(side / trained, trained / side) < OTHER_SIDE:
        return Check(FILE_SIZE, NOTED, told, evidence)
    if side < frame:
        return Check(
            FILE_SIZE, DOUBTFUL,
            f"{told}: enlarged to the {frame} that the model takes they show less than it was "
            "trained on; give images of the training's resolution",
            evidence,
        )  # fmt: skip
    return Check(
        FILE_SIZE, NOTED,
        f"{told}: another resolution, of which the model sees little, as it takes {frame} pixels "
        "of either",
        evidence,
    )  # fmt: skip


def _inverted(seen: Appearance, found: Pictures, part: str) -> Check:
    typical, n = seen.typical, len(found.blank)
    if typical is None:
        return Check(
            INVERTED_PICTURES, NOTED, "too few training pictures show something to tell by"
        )
    fits = found.fits(typical)
    count = int((fits < -INVERTED_FROM).sum())
    evidence = {
        "part": part, "images": n, "inverted": count, "training_images": seen.images,
        "training_inverted": seen.inverted, "median_correlation": float(np.median(fits)),
    }  # fmt: skip
    told = (
        f"{part}: {count} of {n} pictures look like the negative of a training picture "
        f"(of the training's own {seen.inverted} of {seen.images}; median correlation with the "
        f"typical one {np.median(fits):.2f})"
    )
    if not _more(count, n, seen.inverted, seen.images):
        return Check(INVERTED_PICTURES, NOTED, told, evidence)
    way = "; invert them (MONOCHROME1 in DICOM means that 0 is white), and judge again"
    return Check(INVERTED_PICTURES, FALSE if count > n / 2 else DOUBTFUL, told + way, evidence)


def _blank(seen: Appearance, found: Pictures, part: str) -> Check:
    dark = found.measures[:, 0] < DARKER * seen.at("level", 1)
    which = np.where(dark, 1, found.blank)
    kinds = {kind: int((which == code).sum()) for code, kind in enumerate(BLANK_KINDS, 1)}
    count, n = sum(kinds.values()), len(found.blank)
    level = float(np.median(found.measures[:, 0]))
    evidence: dict[str, Any] = {
        "part": part, "images": n, **{kind.replace(" ", "_"): k for kind, k in kinds.items()},
        "training_images": seen.images, "training_blank": seen.blank, "median_level": level,
        "training_median_level": seen.at("level", 50),
    }  # fmt: skip
    most = max(kinds, key=lambda kind: kinds[kind])
    told = (
        f"{part}: {count} of {n} pictures show next to nothing"
        + (f", most of them {most}" if count else "")
        + f" (of the training's {seen.blank} of {seen.images}; median grey level {level:.0f}, the "
        f"training's {seen.at('level', 50):.0f})"
    )
    if not _more(count, n, seen.blank, seen.images):
        return Check(BLANK_PICTURES, NOTED, told, evidence)
    way = "; are 12 bits saved in 16? Scale them to the full range of their type, and judge again"
    return Check(BLANK_PICTURES, FALSE if count > n / 2 else DOUBTFUL, told + way, evidence)


def _range(seen: Appearance, found: Pictures, part: str) -> Check:
    said, evidence, odd = [], dict[str, Any](part=part, images=len(found.blank)), False
    for column, (measure, words) in enumerate(
        (("level", "mean grey level"), ("spread", "deviation of the grey levels"))
    ):
        own = found.measures[:, column]
        low, high = seen.at(measure, 1), seen.at(measure, 99)
        outside = float(((own < low) | (own > high)).mean())
        evidence[measure] = {
            "median": float(np.median(own)), "outside": outside, "training_1_to_99": [low, high],
        }  # fmt: skip
        said.append(
            f"{words} {np.median(own):.0f} in the middle, outside the training's {low:.0f} to "
            f"{high:.0f} (98% of it) for {outside:.0%}"
        )
        odd |= outside > 0.5
    told = f"{part}: {'; '.join(said)}"
    if not odd:
        return Check(PIXEL_RANGE, NOTED, told, evidence)
    return Check(
        PIXEL_RANGE, DOUBTFUL,
        f"{told}: most pictures are unlike the training's; are they windowed, scaled or cropped "
        "otherwise?",
        evidence,
    )  # fmt: skip


def _resolution(seen: Appearance, found: Pictures, part: str) -> Check:
    shown = found.measures[found.blank == 0, 2]
    if len(shown) < JUDGED_FROM:
        return Check(PIXEL_DETAIL, NOTED, f"{part}: too few pictures show something to tell by")
    median, low, high = (
        float(np.median(shown)), seen.at("sharpness", 5), seen.at("sharpness", 95),
    )  # fmt: skip
    evidence = {
        "part": part, "images": len(shown), "median_sharpness": median,
        "training_5_to_95": [low, high], "training_median": seen.at("sharpness", 50),
    }  # fmt: skip
    told = (
        f"{part}: contrast of the finest detail beside the next coarser {median:.2f} in the "
        f"middle, the training's {seen.at('sharpness', 50):.2f} ({low:.2f} to {high:.2f} for 90%)"
    )
    if low <= median <= high:
        return Check(PIXEL_DETAIL, NOTED, told, evidence)
    what = (
        "blurred: enlarged from a lower resolution, or compressed"
        if median < low
        else "sharper or noisier: of a higher resolution, or sharpened"
    )
    return Check(PIXEL_DETAIL, DOUBTFUL, f"{told}: most pictures are {what}", evidence)


def _more(count: int, n: int, before: int, of: int) -> bool:
    """Whether ``count`` of ``n`` is clearly more than ``before`` of ``of``."""
    if count < FEWEST_ODD or count / n < LEAST_SHARE:
        return False
    from scipy.special import bdtrc

    return bool(bdtrc(count - 1, n, (before + 1) / (of + 2)) < BY_CHANCE)
