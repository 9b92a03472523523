"""One image file to one square 8-bit grey picture.

The pixel contract: black is 0 and white 255, over the range that the file's format or header
states, or, where more bits are stored than there are, over the bits that the values have
(`depth`), or over the range that a DICOM window shows; the picture is stretched to a square, as
NIH did with its own, with an antialiasing Lanczos filter. That filter was chosen by comparison:
from NIH's 1024x1024 originals it gives the 224x224 pictures of a public resized copy to the
last bit, where every other filter is off by 19 grey levels and more.

Every format is first brought to 8 bits at its own size and only then resized, so that a
16-bit file and its 8-bit copy take the same way and give the same picture. What shows nearly
one grey level then is refused: it is no X-ray, or was stored in a way that nobody can know.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from cxrsearch.data.errors import ImageError
from cxrsearch.data.formats import (
    BMP,
    DICOM,
    GIF,
    JPEG,
    PNG,
    TIFF,
    WEBP,
    Format,
    content,
    format_of,
    opened,
)
from cxrsearch.data.notes import note_depth, note_floats

from . import jpeg_check, png_chunks
from .depth import held_bits
from .dicom import dicom_size, read_dicom
from .plain_png import read_plain
from .resize import resize

__all__ = [
    "ImageError",
    "ImageHeader",
    "image_header",
    "image_size",
    "read_grey",
    "read_image",
    "thumbnail",
]

MAX_PIXELS = 100_000_000
"""A grey image with more is refused before it is decoded, a coloured one with half as many (a
chest X-ray has 4 to 20 million)."""
PICTURE_BAND = 1 << 21
"""Pixels that are worked on at once where a picture of full size would take much memory."""
SAME = 20
"""A picture is blank where so many neighbouring grey levels hold nearly all of it. Of real X-rays
(2,560 of NIH's, 713 of others) the flattest needs 104."""
NEARLY_ALL = 0.99
_SAMPLE = 512
"""So many rows and columns at most are looked at for that."""
_READERS: dict[Format, type[ImageFile.ImageFile]] = {
    PNG: PngImagePlugin.PngImageFile,
    JPEG: JpegImagePlugin.JpegImageFile,
    TIFF: TiffImagePlugin.TiffImageFile,
    BMP: BmpImagePlugin.BmpImageFile,
    WEBP: WebPImagePlugin.WebPImageFile,
    GIF: GifImagePlugin.GifImageFile,
}
_ORIENTATION, _BITS, _PHOTOMETRIC, _LARGEST = 0x0112, 258, 262, 281
"""Tags of EXIF and TIFF."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an orientation mark upright."""
_LOWER = {"RGB;16B": "RGB;16L", "RGBA;16B": "RGBA;16L"}
"""How Pillow unpacks the higher byte of each 16-bit colour, and how it unpacks the lower one."""

# Pillow warns of marks beside the picture, on stderr, in every process and for each file.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_image(path: Path, size: int) -> np.ndarray:
    """Read a file of any of `FORMATS` as ``(size, size)`` uint8.

    Raises:
        ImageError: with the reason, where the file cannot be read or is no image.
    """
    return resize(read_grey(path), size, size)


def read_grey(path: Path) -> np.ndarray:
    """Read a file of any of `FORMATS` at its own size, ``(height, width)`` uint8.

    The format is told from the content. Colours become luma (ITU-R BT.601), transparent
    pixels black, a camera's orientation mark is obeyed. What is noteworthy is noted (`notes`).

    Raises:
        ImageError: with the reason, where the file cannot be read, is no image, or is blank.
    """
    kind = format_of(path)
    if kind is DICOM:
        picture = read_dicom(path, MAX_PIXELS)
    else:
        plain = read_plain(path, MAX_PIXELS) if kind is PNG else None
        picture = _read_picture(kind, content(path)) if plain is None else plain
    if reason := blank(picture):
        raise ImageError(reason)
    return picture


class ImageHeader(NamedTuple):
    """What a file says of its picture before it is decoded.

    Args:
        format: name out of `FORMATS`.
        mode: Pillow's name of the colours, such as L, RGB and RGBA; that of DICOM is L.
        width: in pixels.
        height: in pixels.
    """

    format: str
    mode: str
    width: int
    height: int


def image_header(path: Path) -> ImageHeader:
    """Format, colours and size of a picture, from the header alone.

    Raises:
        ImageError: where the file cannot be read or is no image.
    """
    kind = format_of(path)
    if kind is DICOM:
        return ImageHeader(kind.name, "L", *dicom_size(path))
    with opened(path) as file, _pillow(kind, file) as image:
        return ImageHeader(kind.name, image.mode, *image.size)


def image_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header alone.

    Raises:
        ImageError: where the file cannot be read or is no image.
    """
    header = image_header(path)
    return header.width, header.height


def thumbnail(path: Path, side: int) -> np.ndarray | None:
    """A picture in colour, its longer side at most ``side``: (h, w, 3) uint8.

    None for what has no colours by its format: grey pictures and DICOM.

    Raises:
        ImageError: where the file cannot be read or is no image.
    """
    kind = format_of(path)
    if kind is DICOM:
        return None
    with opened(path) as file, _pillow(kind, file) as image:
        if image.mode in ("1", "L", "LA") or image.mode.startswith(("I", "F")):
            return None
        image.draft("RGB", (side, side))
        # Palettes and transparency are looked up first; a coloured picture is shrunk as it is.
        if image.mode not in ("RGB", "CMYK", "YCbCr", "LAB", "HSV"):
            image = image.convert("RGBA" if "transparency" in image.info else "RGB")
        image.thumbnail((side, side), Image.Resampling.BOX)
        return np.asarray(image.convert("RGB"))


def blank(picture: np.ndarray) -> str | None:
    """Why ``picture``, ``(h, w)`` uint8, shows nothing, or None.

    That is where `NEARLY_ALL` of it lies within `SAME` grey levels. Marks that somebody burnt
    into a black picture do not make it one that shows something.
    """
    step = tuple(-(-side // _SAMPLE) for side in picture.shape)
    levels = np.bincount(picture[:: step[0], :: step[1]].reshape(-1), minlength=256)
    upto = np.concatenate([[0], np.cumsum(levels)])
    within = upto[SAME:] - upto[:-SAME]
    if within.max() < NEARLY_ALL * upto[-1]:
        return None
    start = int(within.argmax())
    return (
        f"blank: {within.max() / upto[-1]:.1%} of it lies within {SAME} of the 256 grey levels, "
        f"from {start} on"
    )


@contextmanager
def _pillow(kind: Format, file: BinaryIO) -> Iterator[Image.Image]:
    """An opened picture whose header was read and whose size is sane.

    Pillow's format classes are called directly: ``Image.open`` would guess among dozens of
    formats, and warn about large pictures on stderr before we can refuse them.

    Raises:
        ImageError: for whatever Pillow raises then or inside the block; of damaged values that
            is nearly anything, and its PNG reader reports broken chunks as SyntaxError.
    """
    try:
        with _READERS[kind](file) as image:
            _check_size(*image.size, _pixel_bytes(image))
            if getattr(image, "is_animated", False):
                raise ImageError(
                    "several pictures in one file; save the one wanted as a file of its own"
                )
            yield image
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"truncated or damaged: {_reason(error)}") from None


def _pixel_bytes(image: Image.Image) -> int:
    """Bytes that a pixel takes while it is read."""
    if _raw(image) in (*_LOWER, "LA;16B"):
        return 8
    return {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}.get(image.mode, 4)


def _check_size(width: int, height: int, each: int) -> None:
    most = MAX_PIXELS * 2 // max(each, 2)
    if width * height > most:
        raise ImageError(
            f"{width:,} x {height:,} pixels are more than the {most:,} allowed "
            "(a decompression bomb?)"
        )


def _raw(image: Image.Image) -> str:
    """How Pillow means to unpack the pixels of a file that is not loaded yet."""
    tile = getattr(image, "tile", None)
    args = tile[0].args if tile else ""
    return args if isinstance(args, str) else str(args[0]) if args else ""


def _read_picture(kind: Format, data: bytes) -> np.ndarray:
    """A picture of no DICOM in 8-bit grey, at its own size."""
    with _pillow(kind, io.BytesIO(data)) as image:
        told = png_chunks.check(data) if kind is PNG else None
        if kind is JPEG:
            jpeg_check.check_scans(data)
        if kind is JPEG and image.mode in ("L", "RGB"):
            jpeg_check.check_whole(data)
        if told is not None and told.depth == 16:
            grey = _grey(_png_of_16_bits(image, data, told.significant))
        elif image.mode.startswith(("I", "F")):
            grey = _deep_tiff(image)
        else:
            image.load()
            grey = _grey(image)
        # Here, as a PNG may have the mark behind its pixels. TIFF's is obeyed by Pillow.
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
        return grey if turn is None else np.asarray(Image.fromarray(grey).transpose(turn))


def _png_of_16_bits(image: Image.Image, data: bytes, significant: int | None) -> Image.Image:
    """The same picture with 8 bits: mode L, LA, RGB or RGBA.

    Args:
        image: not loaded yet.
        data: its file.
        significant: bits that mean something, by the file. Values that are no larger than these
            can hold were stored as they are, not spread over all 16 as the format wants it.
    """
    values = _values_of_16_bits(image, data)
    alpha = values.ndim == 3 and values.shape[2] in (2, 4)
    largest = int((values[..., :-1] if alpha else values).max())
    if significant is None:
        bits = held_bits(largest, 16)
    else:
        bits = significant if largest >> significant == 0 else 16
    note_depth(max(bits, 8), 16)
    if alpha:
        colours = _scaled(values[..., :-1], 2**bits - 1)
        eight = np.concatenate([colours, _scaled(values[..., -1:], 65535)], axis=2)
    else:
        eight = _scaled(values, 2**bits - 1)
    level = image.info.get("transparency")
    if level is not None:
        clear = values == np.asarray(level)
        eight[clear if clear.ndim == 2 else clear.all(axis=2)] = 0
    return Image.fromarray(eight)


def _values_of_16_bits(image: Image.Image, data: bytes) -> np.ndarray:
    """All 16 bits of a PNG's values, ``(h, w)`` or ``(h, w, channels)``.

    Of colours Pillow keeps the higher byte alone, so these are unpacked in other ways.
    """
    raw = _raw(image)
    image.load()
    if raw == "LA;16B":  # the two bytes of grey and of alpha, as if they were four channels
        both = _unpacked(data, "RGBA").astype(np.uint16)
        return np.asarray(both[..., ::2] << 8 | both[..., 1::2])
    if raw in _LOWER:
        values = np.asarray(image).astype(np.uint16)
        values <<= 8
        values |= _unpacked(data, _LOWER[raw])
        return values
    return np.asarray(image)


def _unpacked(data: bytes, raw: str) -> np.ndarray:
    """The pixels of a PNG file, unpacked as if they were ``raw`` to Pillow."""
    image = PngImagePlugin.PngImageFile(io.BytesIO(data))
    image.tile = [image.tile[0]._replace(args=raw)]
    image.load()
    return np.asarray(image)


def _deep_tiff(image: Image.Image) -> np.ndarray:
    """A picture of whole numbers of more than 8 bits, or of fractions, as 8-bit grey."""
    tags = getattr(image, "tag_v2", {})
    declared = tags.get(_BITS, (32,))[0]
    image.load()
    values = np.asarray(image)
    if image.mode == "F":
        low, high = float(values.min()), float(values.max())
        if not np.isfinite([low, high]).all():
            raise ImageError("some of its values are NaN or infinite")
        note_floats()
        grey = _spread(values, low, high)
    else:
        if values.min() < 0:
            raise ImageError(f"values below 0 ({values.min()}), and nothing says which is black")
        stated = tags.get(_LARGEST, (0,))[0]
        largest = max(int(values.max()), stated if stated < 2**declared else 0)
        bits = held_bits(largest, declared)
        note_depth(bits, declared)
        grey = _scaled(values, 2**bits - 1) if bits <= 16 else _spread(values, 0, 2**bits - 1)
    # Pillow turns "white is 0" round for up to 8 bits only.
    return 255 - grey if tags.get(_PHOTOMETRIC) == 0 else grey


def _scaled(values: np.ndarray, top: int) -> np.ndarray:
    """Whole numbers of 0 to ``top``, at most 65,535, as the nearest of 256 grey levels."""
    table = np.rint(np.arange(top + 1) * (255 / top)).astype(np.uint8)
    return np.asarray(table[values])


def _spread(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """``values`` ``(h, w)`` from ``low`` to ``high`` as the nearest of 256 grey levels."""
    grey = np.empty(values.shape, np.uint8)
    step = max(1, PICTURE_BAND // values.shape[1])
    for start in range(0, len(values), step):
        share = (values[start : start + step].astype(np.float64) - low) / max(high - low, 1e-30)
        grey[start : start + step] = np.rint(share * 255)
    return grey


def _grey(image: Image.Image) -> np.ndarray:
    """``image`` in 8-bit grey, with transparent pixels black, like what lies outside the film."""
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image)
    width, height = image.size
    grey = np.empty((height, width), np.uint8)
    step = max(1, PICTURE_BAND // width)
    for top in range(0, height, step):
        band = image.crop((0, top, width, min(top + step, height)))
        grey[top : top + step] = np.asarray(_grey_band(band))
    return grey


def _grey_band(image: Image.Image) -> Image.Image:
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() == (255, 255):  # nothing shines through
            return rgba.convert("L")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        return Image.alpha_composite(black, rgba).convert("L")
    return image.convert("L" if image.mode in ("1", "L", "RGB") else "RGB").convert("L")


def _reason(error: BaseException) -> str:
    return (str(error).partition("\n")[0] or type(error).__name__)[:200]
