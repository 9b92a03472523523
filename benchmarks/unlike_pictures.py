"""How often pictures unlike the training's are told, and how often others are taken for such.

``python -m benchmarks.unlike_pictures --data DIR`` draws random splits by patient, sums up the
training part, spoils the pictures of the rest and counts alarms, at each side of the pictures. The
baseline is what one would look at first: whether most pictures' mean grey level lies outside the
training's 1st to 99th percentile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
from PIL import Image

from cxrsearch.data.pixels.appearance import appearance, pictures
from cxrsearch.data.pixels.cache import open_cache
from cxrsearch.data.request import PHANTOM, DataRequest
from cxrsearch.model.suspicion.check import FALSE, grave
from cxrsearch.model.suspicion.pictures import picture_checks
from cxrsearch.study.data import load_data

Spoil = Callable[[np.ndarray], np.ndarray]
ODD_SHARE = 0.1
"""Of the pictures that are inverted where not all are."""


def _enlarged(images: np.ndarray, by: float) -> np.ndarray:
    side = images.shape[1]
    small = round(side / by)
    found = [
        Image.fromarray(image)
        .resize((small, small), Image.Resampling.LANCZOS)
        .resize((side, side), Image.Resampling.BICUBIC)
        for image in images
    ]
    return np.stack([np.asarray(one) for one in found])


def _some_inverted(images: np.ndarray) -> np.ndarray:
    odd = images.copy()
    count = round(ODD_SHARE * len(odd))
    odd[:count] = 255 - odd[:count]
    return odd


FAULTS: dict[str, tuple[Spoil, str]] = {
    "as they are": (lambda images: images, ""),
    "inverted": (lambda images: 255 - images, "inverted"),
    "a tenth inverted": (_some_inverted, "inverted"),
    "12 bits in 16": (lambda images: images // 16, "blank"),
    "half as bright": (lambda images: images // 2, "pixel range"),
    "enlarged by 2": (lambda images: _enlarged(images, 2), "resolution"),
    "enlarged by 1.5": (lambda images: _enlarged(images, 1.5), "resolution"),
}
"""What is done to the judged pictures -> how, and the check that is to name it."""


@click.command()
@click.option("--data", default=PHANTOM, show_default=True, help="As for every command.")
@click.option("--sides", default="64,224", show_default=True)
@click.option("--splits", default=50, show_default=True)
@click.option("--images", default=400, show_default=True, help="At most, of the data.")
def main(data: str, sides: str, splits: int, images: int) -> None:
    """Alarms by fault, side and check, over random splits."""
    dataset = load_data(DataRequest(data=data, phantom_images=images).with_absolute_paths())
    dataset = dataset.taking(np.arange(min(images, len(dataset.names))))
    people, who = np.unique(dataset.patients, return_inverse=True)
    print(f"{data}: {len(dataset.names)} images of {len(people)} patients, {splits} splits")
    print(f"{'side':>5} {'fault':18} {'named':>6} {'false':>6} {'others':>6} {'baseline':>8}")
    with tempfile.TemporaryDirectory() as cache:
        for side in map(int, sides.split(",")):
            pixels = np.array(open_cache(dataset, side, root=Path(cache), workers=1).images)
            for fault in FAULTS:
                print(_line(side, fault, pixels, who, splits))


def _line(side: int, fault: str, pixels: np.ndarray, who: np.ndarray, splits: int) -> str:
    """How often the right check spoke, made the figures false, others spoke, and the baseline."""
    counts, (spoil, name) = np.zeros(4, int), FAULTS[fault]
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(who.max() + 1)
        train = np.isin(who, order[: round(0.64 * len(order))])
        test = np.flatnonzero(np.isin(who, order[round(0.8 * len(order)) :]))
        shown = spoil(pixels[test])
        seen = appearance(pixels, np.flatnonzero(train))
        found = {
            check.name: check.level
            for check in grave(picture_checks(seen, shown, np.arange(len(shown)), "test"))
        }
        level = pictures(shown, np.arange(len(shown))).measures[:, 0]
        outside = (level < seen.at("level", 1)) | (level > seen.at("level", 99))
        counts += [
            name in found, found.get(name) == FALSE, bool(found.keys() - {name}),
            bool(outside.mean() > 0.5),
        ]  # fmt: skip
    named, false, others, baseline = (f"{count / splits:.0%}" for count in counts)
    return f"{side:>5} {fault:18} {named if name else '':>6} {false if name else '':>6} " \
           f"{others:>6} {baseline:>8}"  # fmt: skip


if __name__ == "__main__":
    main()
