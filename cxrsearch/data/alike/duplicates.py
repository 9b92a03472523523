"""The same picture twice: saved again, at another size, brightened, or just copied.

Three steps, each on what the one before has left.

1. A perceptual hash of 256 bits: the signs of the lowest 16 x 16 cosine coefficients of a
   thumbnail's detail, after the set's own median was taken off. Chest X-rays look alike, so a hash
   of the picture itself (pHash, dHash) is nearly the same for all; against the median each bit is
   as often 0 as 1. The bits are read as 16 keys of 16, and images that share a key are candidates:
   the work grows with the pairs that look alike, not with the square of the images.
2. The correlation of what the 32 x 32 thumbnails have beyond the median: `CLOSE` or more.
3. The correlation of ribs and vessels in 64 x 64, with the contrast evened out from place to place,
   so that bright bars and film edges, which patients may share, do not count: `ALIKE` or more.

``python -m experiments.explore --images DIR`` measures it. In NIH's 1,916 images at hand (1.8
million pairs) different patients reach 0.58 in the last step, and ten times the pairs add 0.06: by
that line some five false pairs among all 112,120 images, if the last step were alone. One true
copy was found, of one patient. Of 400 edited copies beside the set all are found that were saved
as JPEG (quality 20), shrunk to 64 x 64 and back, darkened, brightened a little or given a gamma of
0.8 or 1.25; of those cropped by 1% a side 96%, of those turned by 1 degree 90%. Not found: 2%
cropped off a side (6%), mirrored copies (none).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .thumbnails import FRAMES, THUMBNAIL_BLOCK, THUMBNAIL_SIDE, detail, thumbnails, typical, unit

COARSE_WIDTH = 3.0
"""Of the Gaussian that is taken off, in pixels of a thumbnail."""
CLOSE = 0.85
"""Correlation of the thumbnails from which a second look is worth it."""
ALIKE = 0.75
"""Correlation in 64 x 64 from which two pictures count as one; see above."""
FINE_SIDE, FINE_WIDTH = 64, 2.0
"""Side in the second look, and the width of what it looks at."""
FAINT = 4.0
"""Grey levels of contrast below which there is nothing to even out."""
MEDIAN_FROM = 8
"""Images that a median says something about; with fewer nothing is taken off."""
COEFFICIENTS = 16
"""Cosine coefficients a direction."""
HASH_KEYS = 16
"""Keys of a hash, of 16 bits each."""


class Pairs(NamedTuple):
    """Pictures that are the same: rows ``first`` < ``second`` and their ``correlation``, (m,)."""

    first: np.ndarray
    second: np.ndarray
    correlation: np.ndarray


def find_duplicates(
    images: np.ndarray, small: np.ndarray, usable: np.ndarray | None = None
) -> Pairs:
    """Pairs of images that show the same picture.

    Args:
        images: ``(n, side, side)`` uint8, such as a cache's; only candidates are read.
        small: their ``(n, 32, 32)`` thumbnails.
        usable: ``(n,)`` bool; black and flat ones say nothing and are left out.

    Returns:
        the pairs by row. Of images with equal hashes each is paired with the first one only, so
        that a thousand copies are a thousand pairs.
    """
    rows = np.arange(len(small)) if usable is None else np.flatnonzero(usable)
    first_of = _first_copies(small[rows])
    found = {(head, row) for row, head in enumerate(first_of.tolist()) if head != row}
    heads = np.unique(first_of)  # copies would make the median their own picture
    own = features(small[rows[heads]])
    for first, second in candidates(hashes(own)):
        close = np.einsum("ij,ij->i", own[first], own[second]) >= CLOSE
        found |= set(zip(heads[first[close]].tolist(), heads[second[close]].tolist(), strict=True))
    pairs = rows[np.array(sorted(found), int).reshape(-1, 2)]
    alike = second_look(images, pairs)
    keep = alike >= ALIKE
    return Pairs(pairs[keep, 0], pairs[keep, 1], alike[keep])


def _first_copies(small: np.ndarray) -> np.ndarray:
    """For each thumbnail the first row that is equal to it, ``(n,)``."""
    seen: dict[bytes, int] = {}
    digests = (hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in small)
    return np.array([seen.setdefault(digest, row) for row, digest in enumerate(digests)], int)


def second_look(images: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Correlation of the fine detail of each of the ``pairs`` ``(m, 2)`` of rows: ``(m,)``."""
    alike = np.zeros(len(pairs))
    for start in range(0, len(pairs), FRAMES):
        block = pairs[start : start + FRAMES]
        rows, place = np.unique(block, return_inverse=True)
        fine = texture(images[rows])[place.reshape(block.shape)]
        alike[start : start + len(block)] = np.einsum("ij,ij->i", fine[:, 0], fine[:, 1])
    return alike


def texture(images: np.ndarray) -> np.ndarray:
    """Fine detail of equal contrast everywhere: ``(n, 4096)``, rows of mean 0 and length 1."""
    picture = thumbnails(images, to=FINE_SIDE)
    width = (0, FINE_WIDTH, FINE_WIDTH)
    sharp = picture - gaussian_filter(picture, width)
    sharp /= np.sqrt(gaussian_filter(sharp * sharp, width) + FAINT**2)
    return unit(sharp.reshape(len(sharp), -1))


def features(small: np.ndarray) -> np.ndarray:
    """What each thumbnail has beyond the set's median: ``(n, 1024)``, rows of length 1."""
    own = detail(small, COARSE_WIDTH)
    if len(own) >= MEDIAN_FROM:
        own -= typical(own)
        unit(own)
    return own


def hashes(own: np.ndarray) -> np.ndarray:
    """The keys of each image's hash, ``(n, 16)`` uint16, from its `features`."""
    low = np.empty((len(own), COEFFICIENTS * COEFFICIENTS), np.float32)
    for start in range(0, len(own), THUMBNAIL_BLOCK):
        block = own[start : start + THUMBNAIL_BLOCK].reshape(-1, THUMBNAIL_SIDE, THUMBNAIL_SIDE)
        waves = dctn(block, axes=(1, 2), norm="ortho")[:, : COEFFICIENTS + 1, :COEFFICIENTS]
        # Without the first: the mean, which is 0.
        low[start : start + len(block)] = waves.reshape(len(block), -1)[:, 1 : 1 + low.shape[1]]
    bits = low > (typical(low) if len(low) >= MEDIAN_FROM else 0)
    # Shuffled: neighbouring coefficients go together, and a key of them would be no news.
    order = np.random.default_rng(0).permutation(bits.shape[1])
    packed = np.ascontiguousarray(np.packbits(bits[:, order], axis=1))
    return packed.view(np.uint16).reshape(len(own), HASH_KEYS)


def candidates(keys: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows that share a key, first < second, in pieces; a pair may come more than once.

    Args:
        keys: ``(n, 16)`` as `hashes` gives them.
    """
    _, heads, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    copies = np.arange(len(keys))
    first = heads[which.reshape(-1)]
    same = first != copies
    yield from _pieces(first[same], copies[same])
    for column in keys[heads].T:
        order = np.argsort(column, kind="stable")
        ranked = column[order]
        at = np.arange(len(order))
        for distance in range(1, len(order)):
            at = at[at < len(order) - distance]
            at = at[ranked[at] == ranked[at + distance]]
            if not len(at):
                break
            one, other = heads[order[at]], heads[order[at + distance]]
            yield from _pieces(np.minimum(one, other), np.maximum(one, other))


def _pieces(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The pairs, so many at a time that their features fit into memory."""
    for start in range(0, len(first), 8 * THUMBNAIL_BLOCK):
        yield (
            first[start : start + 8 * THUMBNAIL_BLOCK],
            second[start : start + 8 * THUMBNAIL_BLOCK],
        )


def groups(pairs: Pairs, count: int) -> list[list[int]]:
    """Rows that are one picture by way of one another, the largest groups first.

    Args:
        pairs: of ``count`` images.
        count: images in all.
    """
    if not len(pairs.first):
        return []
    link = coo_array((np.ones(len(pairs.first)), (pairs.first, pairs.second)), (count, count))
    _, group = connected_components(link, directed=False)
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    found = [sorted(part.tolist()) for part in parts if len(part) > 1]
    return sorted(found, key=lambda rows: (-len(rows), rows))
