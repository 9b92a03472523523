"""How many bits the values of a picture have, where its file does not say.

Detectors have 10, 12 or 14 bits, and their values are often stored as they are in 16: read by
what 16 bits can hold, such a picture is nearly black. So where nothing in a file says otherwise
its range is the smallest of `DEPTHS` that holds its largest value.

The choice is made for each file by itself, so that an image gives the same pixels wherever it is
read, in training or alone. Its steps are wide on purpose: a picture of all 16 bits is changed only
if it uses less than a quarter of its range, and one of 12 bits only if it uses less than a
quarter of those. An odd number of bits is taken where the largest value is exactly its last.
"""

from __future__ import annotations

DEPTHS = (8, 10, 12, 14, 16, 24, 32)


def held_bits(largest: int, declared: int) -> int:
    """The bits that values from 0 to ``largest`` have, in a file with room for ``declared``.

    Args:
        largest: value that is there, or that the file says may be.
        declared: bits. Those that hold ``largest``, where they are too few.
    """
    needed = max(int(largest).bit_length(), DEPTHS[0])
    if needed < declared and largest == (1 << needed) - 1:
        return needed
    return next((bits for bits in DEPTHS if needed <= bits < declared), max(declared, needed))
