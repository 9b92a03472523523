"""Grey pictures inside a page, so that it needs no other file."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


def data_uri(picture: np.ndarray) -> str:
    """(h, w) uint8 as the text of an ``img`` element's ``src``."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return png_uri(buffer.getvalue())


def png_uri(data: bytes) -> str:
    """The same of a PNG file's content."""
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"
