"""Small data sets on the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Nih = Callable[[Path, Sequence[str], Sequence[str]], Path]


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.tile(np.arange(0, 240, 30, np.uint8), (8, 1))).save(path)
    with path.open("ab") as file:  # each an image of its own, as its content says
        file.write(str(path.name).encode())


@pytest.fixture
def picture() -> Callable[[Path], None]:
    """Writes an image."""
    return _picture


@pytest.fixture
def nih() -> Nih:
    """Writes a folder with NIH's table, of these rows, and these files."""

    def write(folder: Path, rows: Sequence[str], files: Sequence[str]) -> Path:
        folder.mkdir(exist_ok=True)
        text = "Image Index,Finding Labels,Patient ID\n" + "".join(f"{row}\n" for row in rows)
        (folder / "Data_Entry_2017.csv").write_text(text)
        for file in files:
            _picture(folder / file)
        return folder

    return write
