"""One image file to one square 8-bit grey picture.

The pixel contract: black is 0 and white 255, over the full range that the file's format can
hold (or the range that a DICOM window shows); the picture is stretched to a square, as NIH
did with its own, with an antialiasing Lanczos filter. That filter was chosen by comparison:
from NIH's 1024x1024 originals it gives the 224x224 pictures of a public resized copy to the
last bit, where every other filter is off by 19 grey levels and more.

Every format is first brought to 8 bits at its own size and only then resized, so that a
16-bit file and its 8-bit copy take the same way and give the same picture.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from .dicom import dicom_size, read_dicom
from .errors import ImageError
from .formats import BMP, DICOM, GIF, JPEG, PNG, TIFF, WEBP, Format, format_of
from .plain_png import read_plain
from .resize import resize

__all__ = ["ImageError", "image_size", "read_grey", "read_image", "thumbnail"]

MAX_PIXELS = 100_000_000
"""An image with more is refused before it is decoded (a chest X-ray has 4 to 20 million)."""
_READERS: dict[Format, type[ImageFile.ImageFile]] = {
    PNG: PngImagePlugin.PngImageFile,
    JPEG: JpegImagePlugin.JpegImageFile,
    TIFF: TiffImagePlugin.TiffImageFile,
    BMP: BmpImagePlugin.BmpImageFile,
    WEBP: WebPImagePlugin.WebPImageFile,
    GIF: GifImagePlugin.GifImageFile,
}
_NOT_DECODED = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)
"""What Pillow raises on damaged files; its PNG reader reports broken chunks as SyntaxError."""


def read_image(path: Path, size: int) -> np.ndarray:
    """Read a file of any of `FORMATS` as ``(size, size)`` uint8.

    Raises:
        ImageError: with the reason, where the file cannot be read or is no image.
    """
    return resize(read_grey(path), size, size)


def read_grey(path: Path) -> np.ndarray:
    """Read a file of any of `FORMATS` at its own size, ``(height, width)`` uint8.

    The format is told from the content. Colours become luma (ITU-R BT.601), transparent
    pixels black, a camera's orientation mark is obeyed.

    Raises:
        ImageError: with the reason, where the file cannot be read or is no image.
    """
    kind = format_of(path)
    if kind is DICOM:
        return _eight_bits(read_dicom(path, MAX_PIXELS))
    picture = read_plain(path, MAX_PIXELS) if kind is PNG else None
    return np.asarray(_read_picture(path)) if picture is None else picture


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        ImageError: where the file cannot be read or is no image.
    """
    if format_of(path) is DICOM:
        return dicom_size(path)
    with _open(path) as image:
        return image.size


def thumbnail(path: Path, side: int) -> np.ndarray | None:
    """A picture in colour, its longer side at most ``side``: (h, w, 3) uint8.

    None for what has no colours by its format: grey pictures and DICOM.

    Raises:
        ImageError: where the file cannot be read or is no image.
    """
    if format_of(path) is DICOM:
        return None
    with _open(path) as image:
        if image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F")):
            return None
        try:
            image.draft("RGB", (side, side))
            colours = image.convert("RGBA" if "transparency" in image.info else "RGB")
            colours.thumbnail((side, side), Image.Resampling.BOX)
            return np.asarray(colours.convert("RGB"))
        except (*_NOT_DECODED, MemoryError) as error:
            raise ImageError(f"truncated or damaged: {_reason(error)}") from None


def _open(path: Path) -> Image.Image:
    """An opened picture whose header was read and whose size is sane.

    Pillow's format classes are called directly: ``Image.open`` would guess among dozens of
    formats, and warn about large pictures on stderr before we can refuse them.
    """
    reader = _READERS[format_of(path)]
    try:
        image = reader(path)
    except _NOT_DECODED as error:
        raise ImageError(f"damaged: {_reason(error)}") from None
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise ImageError(
            f"{width:,} x {height:,} pixels are more than the {MAX_PIXELS:,} allowed "
            "(a decompression bomb?)"
        )
    if getattr(image, "is_animated", False):
        image.close()
        raise ImageError("several pictures in one file; save the one wanted as a file of its own")
    return image


def _read_picture(path: Path) -> Image.Image:
    """A picture of no DICOM as an 8-bit grey picture of its own size."""
    with _open(path) as image:
        try:
            image.load()
            if image.mode.startswith(("I", "F")):
                return Image.fromarray(_eight_bits(np.asarray(image, np.float32) / 257))
            # Only where there is one: Pillow looks for the mark in every text chunk.
            turned = ImageOps.exif_transpose(image) if "exif" in image.info else image
            return _grey(turned)
        except (*_NOT_DECODED, MemoryError) as error:
            raise ImageError(f"truncated or damaged: {_reason(error)}") from None


def _grey(image: Image.Image) -> Image.Image:
    """Mode L, with transparent pixels black, like what lies outside the film."""
    if image.mode == "L" and "transparency" not in image.info:
        return image.copy()
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() == (255, 255):  # nothing shines through
            return rgba.convert("L")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, rgba).convert("L")
    if image.mode == "1":
        return image.convert("L")
    return image.convert("RGB").convert("L")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Grey levels of any type in 0..255 as the nearest uint8."""
    grey: np.ndarray = np.rint(values).clip(0, 255).astype(np.uint8)
    return grey


def _reason(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
