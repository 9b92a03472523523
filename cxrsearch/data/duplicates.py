"""The same picture twice: saved again, at another size, brightened, or just copied.

Two steps. A perceptual hash of 256 bits finds candidates: the bits are the signs of the lowest
16 x 16 cosine coefficients of a thumbnail's detail, after the set's own median was taken off.
Chest X-rays look alike, so a hash of the picture itself (pHash, dHash) is nearly the same for all
of them; against the median each bit is as often 0 as 1. The bits are read as 16 keys of 16, and
pictures that share a key are candidates, so the work grows with the pairs that look alike and not
with the square of the images. Then candidates are compared: the correlation of what their 32 x 32
thumbnails have beyond the median.

``python -m benchmarks.explore --images DIR`` measures it. On 1,916 of NIH's images (1.8 million
pairs) the highest correlation of two patients' images is 0.85, so that none is flagged above
`ALIKE`. Found are all of 400 images that were saved as JPEG (quality 20), shrunk to 64 x 64,
darkened, or given another gamma (0.8, 1.25), and of those cropped by 1% on each side nine in ten.
Not found: pictures cropped by 2% and more, turned, mirrored or written upon.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from .thumbnails import BLOCK, SIDE, detail, typical, unit

WIDTH = 3.0
"""Of the Gaussian that is taken off, in pixels of a thumbnail."""
ALIKE = 0.9
"""Correlation from which two pictures count as one; see above."""
FEWEST = 8
"""Images that a median says something about; with fewer nothing is taken off."""
LOWEST = 16
"""Cosine coefficients a direction."""
KEYS = 16
"""Keys of a hash, of 16 bits each."""


class Pairs(NamedTuple):
    """Pictures that are the same: rows ``first`` < ``second`` and their ``correlation``, (m,)."""

    first: np.ndarray
    second: np.ndarray
    correlation: np.ndarray


def find_duplicates(small: np.ndarray, usable: np.ndarray | None = None) -> Pairs:
    """Pairs of images that show the same picture.

    Args:
        small: ``(n, 32, 32)`` thumbnails.
        usable: ``(n,)`` bool; black and flat ones say nothing and are left out.

    Returns:
        the pairs by row. Of pictures with equal hashes each is paired with the first one only,
        so that a thousand copies are a thousand pairs.
    """
    rows = np.arange(len(small)) if usable is None else np.flatnonzero(usable)
    own = features(small[rows])
    found = [
        (first[alike], second[alike], close[alike])
        for first, second in candidates(hashes(own))
        for close in [np.einsum("ij,ij->i", own[first], own[second])]
        for alike in [close >= ALIKE]
    ]
    if not found:
        return Pairs(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    first, second, close = (np.concatenate(part) for part in zip(*found, strict=True))
    _, keep = np.unique(first * len(rows) + second, return_index=True)
    return Pairs(rows[first[keep]], rows[second[keep]], close[keep])


def features(small: np.ndarray) -> np.ndarray:
    """What each thumbnail has beyond the set's median: ``(n, 1024)``, rows of length 1."""
    own = detail(small, WIDTH)
    if len(own) >= FEWEST:
        own -= typical(own)
        unit(own)
    return own


def hashes(own: np.ndarray) -> np.ndarray:
    """The keys of each image's hash, ``(n, 16)`` uint16, from its `features`."""
    low = np.empty((len(own), LOWEST * LOWEST), np.float32)
    for start in range(0, len(own), BLOCK):
        block = own[start : start + BLOCK].reshape(-1, SIDE, SIDE)
        waves = dctn(block, axes=(1, 2), norm="ortho")[:, :LOWEST, :LOWEST]
        low[start : start + len(block)] = waves.reshape(len(block), -1)
    bits = low > (typical(low) if len(low) >= FEWEST else 0)
    # Shuffled: neighbouring coefficients go together, and a key of them would be no news.
    order = np.random.default_rng(0).permutation(bits.shape[1])
    packed = np.ascontiguousarray(np.packbits(bits[:, order], axis=1))
    return packed.view(np.uint16).reshape(len(own), KEYS)


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
    for start in range(0, len(first), 8 * BLOCK):
        yield first[start : start + 8 * BLOCK], second[start : start + 8 * BLOCK]


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
