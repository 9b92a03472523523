"""Draw a contact sheet of the phantom: one row a disease, normal chests first.

python -m experiments.phantom_sheet --out sheet.png [--side 192] [--columns 6] [--difficulty 0.5]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.phantom.draw import draw

LABEL_WIDTH = 130


def sheet(side: int, columns: int, difficulty: float, seed: int) -> Image.Image:
    """The sheet; every row shows the same patients with another single disease."""
    names = (NO_FINDING, *DISEASES)
    page = Image.new("L", (LABEL_WIDTH + columns * side, len(names) * side))
    pen = ImageDraw.Draw(page)
    for row, name in enumerate(names):
        diseases = np.array([disease == name for disease in DISEASES])
        pen.text((6, row * side + side // 2), name, fill=255)
        for column in range(columns):
            picture = draw(
                diseases, side, seed=seed, patient=column + 1, image=row, difficulty=difficulty
            )
            page.paste(Image.fromarray(picture), (LABEL_WIDTH + column * side, row * side))
    return page


def main() -> None:
    """Read the options, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="the PNG to write")
    parser.add_argument("--side", type=int, default=192)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--difficulty", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sheet(given.side, given.columns, given.difficulty, given.seed).save(given.out)


if __name__ == "__main__":
    main()
