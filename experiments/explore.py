"""What `cxrsearch eda` finds in images that were damaged on purpose, and what it flags wrongly.

    python -m experiments.explore --images DIR [--cache DIR]

DIR holds X-rays and a label table. Copies of its images are saved again, resized, brightened,
cropped, turned, inverted; printed is which share is found. False alarms are what is flagged in the
set as it is: look at those, as real sets have inverted images and duplicates too. How the
correlations of different patients' images end tells how many false duplicates a larger set would
have.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import rotate

from cxrsearch.data.alike.duplicates import (
    ALIKE,
    CLOSE,
    candidates,
    features,
    find_duplicates,
    hashes,
    second_look,
    texture,
)
from cxrsearch.data.alike.thumbnails import detail, thumbnails
from cxrsearch.data.decoding import open_shown
from cxrsearch.data.pixels.cache import default_cache_root
from cxrsearch.data.read import read_dataset
from cxrsearch.systems.eda.orientation import ORIENTATIONS, against, orientations, set_problems
from cxrsearch.systems.eda.quality import BLANK, blanks

Edit = Callable[[np.ndarray], np.ndarray]
NIH = 112_120
DRAWS = 100


def saved(quality: int) -> Edit:
    """As JPEG of that quality."""

    def edit(image: np.ndarray) -> np.ndarray:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return edit


def resized(side: int) -> Edit:
    """To that side and back."""

    def edit(image: np.ndarray) -> np.ndarray:
        small = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        return np.asarray(small.resize(image.shape[::-1], Image.Resampling.BICUBIC))

    return edit


def cropped(share: float) -> Edit:
    """That share off each side."""

    def edit(image: np.ndarray) -> np.ndarray:
        off = round(len(image) * share)
        inner = Image.fromarray(image[off:-off, off:-off])
        return np.asarray(inner.resize(image.shape[::-1], Image.Resampling.BICUBIC))

    return edit


def levels(gain: float, offset: float = 0, gamma: float = 1) -> Edit:
    """Another brightness, contrast and gamma."""
    return lambda image: np.clip(255 * (image / 255) ** gamma * gain + offset, 0, 255).astype(
        np.uint8
    )


EDITS: dict[str, Edit] = {
    "copied": lambda image: image,
    "JPEG, quality 50": saved(50),
    "JPEG, quality 20": saved(20),
    "resized to 128 and back": resized(128),
    "resized to 64 and back": resized(64),
    "darkened (x 0.85)": levels(0.85),
    "brightened (x 1.1 + 10)": levels(1.1, 10),
    "brightened (x 1.2 + 20)": levels(1.2, 20),
    "gamma 0.8": levels(1, gamma=0.8),
    "gamma 1.25": levels(1, gamma=1.25),
    "gamma 0.6": levels(1, gamma=0.6),
    "cropped by 1% a side": cropped(0.01),
    "cropped by 2% a side": cropped(0.02),
    "turned by 1°": lambda image: rotate(image, 1, reshape=False, order=1),
    "mirrored": lambda image: image[:, ::-1],
}


def duplicates(images: np.ndarray, small: np.ndarray, chosen: np.ndarray) -> None:
    """Print which share of edited copies, put beside the whole set, is paired with its original."""
    print(f"\nduplicates: edited copies of {len(chosen)} images beside the {len(small)}")
    print(f"{'edit':26} {'found':>7} {'by key':>8} {'by coarse':>10} {'by fine correlation':>20}")
    for name, edit in EDITS.items():
        copies = np.stack([edit(np.asarray(images[row])) for row in chosen])
        every = np.concatenate([images, copies])
        both = np.concatenate([small, thumbnails(copies)])
        own = features(both)
        keys = hashes(own)
        twin = np.arange(len(small), len(both))
        near = (keys[chosen] == keys[twin]).any(axis=1)
        close = np.einsum("ij,ij->i", own[chosen], own[twin]) >= CLOSE
        alike = second_look(every, np.column_stack([chosen, twin])) >= ALIKE
        pairs = find_duplicates(every, both)
        linked = set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
        found = [(int(row), int(copy)) in linked for row, copy in zip(chosen, twin, strict=True)]
        print(
            f"{name:26} {np.mean(found):7.1%} {near.mean():8.1%} {close.mean():10.1%} "
            f"{alike.mean():20.1%}"
        )


def strangers(images: np.ndarray, small: np.ndarray, patients: np.ndarray) -> None:
    """Print how alike images of different patients are, and how many are flagged."""
    own = texture(images)
    highest: list[np.ndarray] = []
    for start in range(0, len(own), 512):
        close = own[start : start + 512] @ own.T
        later = np.arange(len(own)) > np.arange(start, start + len(close))[:, None]
        other = patients[start : start + len(close), None] != patients
        highest.append(np.sort(close[later & other])[-1000:])
    tail = np.sort(np.concatenate(highest))[::-1][:1000]
    # Over the upper end, a tenth of the pairs lies a constant step higher.
    step, top = np.polyfit(np.log10(np.arange(10, len(tail) + 1)), tail[9:], 1)
    pairs = len(own) ** 2 / 2
    expected = 10 ** ((ALIKE - top) / step)
    made = sum(len(first) for first, _ in candidates(hashes(features(small))))
    found = find_duplicates(images, small)
    across = int((patients[found.first] != patients[found.second]).sum())
    print(
        f"\n{len(own)} images, {pairs:,.0f} pairs, {made:,} of them candidates by hash\n"
        f"flagged: {len(found.first) - across} within a patient, {across} across patients\n"
        "different patients' fine correlations, by rank: "
        + ", ".join(f"{rank}: {tail[rank - 1]:.3f}" for rank in (1, 10, 100, 1000))
        + f"; ten times the pairs add {-step:.3f}\n"
        f"false pairs across patients at {ALIKE} by that line, on fine correlation alone: "
        f"{expected:.2g} here, {expected * (NIH / len(own)) ** 2:.2g} among {NIH:,} images"
    )


def orientation(small: np.ndarray, names: tuple[str, ...]) -> None:
    """Print what is found of turned and inverted copies, and what is flagged of the set itself."""
    found = orientations(small, np.ones(len(small), bool))
    if found is None:
        print("\norientation: too few images")
        return
    print(f"\norientation: every one of the {len(small)} images turned or inverted on purpose")
    for turn, kind in enumerate(ORIENTATIONS[1:4], start=1):
        kinds, _ = against(detail(np.rot90(small, turn, (1, 2)), 8.0), found.pattern)
        print(f"{kind:16} flagged {(kinds > 0).mean():.2%}, as such {(kinds == turn).mean():.2%}")
    kinds, _ = against(detail(255 - small, 8.0), found.pattern)
    print(f"{'inverted':16} flagged {(kinds > 0).mean():.2%}, as such {(kinds == 4).mean():.2%}")
    flagged = np.flatnonzero(found.kind)
    print(f"flagged in the set as it is: {len(flagged)} ({len(flagged) / len(small):.2%})")
    for row in flagged:
        print(f"  {names[row]}: {ORIENTATIONS[found.kind[row]]}, by {found.margin[row]:.2f}")
    whole(small)


def whole(small: np.ndarray) -> None:
    """Print what is said of the set as a whole, and of draws of 30 and of 100 images."""
    for size in (30, 100):
        wrong = dict.fromkeys(("as it is", "inverted", "on its side"), 0)
        for seed in range(DRAWS):
            rows = np.random.default_rng(seed).choice(len(small), min(size, len(small)), False)
            for name, part, wanted in (
                ("as it is", small[rows], []),
                ("inverted", 255 - small[rows], ["inverted"]),
                ("on its side", np.rot90(small[rows], 1, (1, 2)), ["side"]),
            ):
                seen = orientations(part, np.ones(len(part), bool))
                wrong[name] += seen is None or set_problems(seen.pattern) != wanted
        print(f"whole sets of {size} images misjudged, of {DRAWS} draws: {wrong}")


def main() -> None:
    """Read, damage, look, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=default_cache_root())
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--edited", type=int, default=400)
    args = parser.parse_args()
    dataset = read_dataset(args.images)
    images = open_shown(dataset, args.side, args.cache).images
    small = thumbnails(images)
    blank = blanks(small)
    for place, kind in enumerate(BLANK, start=1):
        print(f"{kind}: {(blank == place).sum()} of {len(small)}")
    deviation = small.reshape(len(small), -1).std(axis=1)
    print(f"deviation of the grey levels: {deviation.min():.0f} to {deviation.max():.0f}")
    orientation(small, dataset.names)
    strangers(images, small, dataset.patients)
    chosen = np.random.default_rng(0).choice(len(small), min(args.edited, len(small)), False)
    duplicates(images, small, chosen)


if __name__ == "__main__":
    main()
