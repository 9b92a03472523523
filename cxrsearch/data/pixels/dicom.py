"""Single-frame grey (or colour) DICOM images, through the optional pydicom.

Stored values go through the modality transform (rescale or table), then the first VOI
table or window that can be used; without one, the range that the stored bits can hold is what
is shown, or, where all bits of a word are said to be stored, the bits that the values have. The
order and the formulas are those of DICOM PS3.3, C.11.1 and C.11.2. Padding (C.7.5.1.1.2) is
black whatever the photometric interpretation, and counts for no range.

Damaged values raise nearly anything, deep inside pydicom; all of it ends as an `ImageError`.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import math
import warnings
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from cxrsearch.data.errors import ImageError
from cxrsearch.data.formats import DICOM, opened
from cxrsearch.data.notes import Note, note, note_depth, note_floats

from . import jpeg_check
from .depth import held_bits

T = TypeVar("T")

DEFLATED = "1.2.840.10008.1.2.1.99"
IMPLICIT, EXPLICIT, BIG_ENDIAN = (
    "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2",
)  # fmt: skip
DECODERS = ("pydicom", "pylibjpeg", "libjpeg", "openjpeg", "rle", "jpeg_ls", "gdcm")
PREFERRED = ("pydicom", "pillow", "pyjpegls", "pylibjpeg", "gdcm")
"""pydicom's plugins that unpack pixels, the careful ones first: GDCM, which alone reads lossless
JPEG under a free licence, may end the process on damaged data, and warns on stderr."""
INSTALL = "DICOM needs pydicom: pip install 'cxrsearch[dicom]'"
MOST_INFLATED = 128 << 20
"""Bytes that a deflated file may unpack to: four times the largest detector's."""
MOST_UNPACKED = 64 << 20
"""Bytes that compressed pixels may unpack to; a decoder takes several times as many."""
DICOM_BAND = 1 << 20
"""Pixels that are worked on at once where they are no small whole numbers."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601."""

Grey = Callable[[np.ndarray], np.ndarray]
"""Values to grey levels of 0 to 255, both float64."""


def is_dicom(name: str) -> bool:
    """Whether a file's name says DICOM."""
    return name.lower().endswith(DICOM.suffixes)


@lru_cache
def dicom_decoders() -> str:
    """The packages here that pydicom can unpack pixels with, joined with ``+``."""
    return "+".join(name for name in DECODERS if importlib.util.find_spec(name)) or "none"


def dicom_problem() -> str | None:
    """Why DICOM files cannot be read here, or None."""
    return None if importlib.util.find_spec("pydicom") else INSTALL


def dicom_size(path: Path) -> tuple[int, int]:
    """Width and height from the header. Raises `ImageError`."""
    return _guarded(lambda: _size(_parsed(path, pixels=False)))


def read_dicom(path: Path, max_pixels: int) -> np.ndarray:
    """Read a DICOM file as ``(rows, columns)`` uint8, 0 black and 255 white.

    Raises:
        ImageError: with the reason.
    """
    return _guarded(lambda: _read(path, max_pixels))


def _read(path: Path, max_pixels: int) -> np.ndarray:
    _check_header(_parsed(path, pixels=False), max_pixels)
    data = _parsed(path, pixels=True)
    if not any(tag in data for tag in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ImageError("no pixel data in it")
    kind = _kind(data)
    if kind.startswith("MONOCHROME"):
        return _shown(data, inverted=_is_inverted(data, kind))
    return _luma(data, kind)


def _size(header: Any) -> tuple[int, int]:
    return _whole(header, "Columns"), _whole(header, "Rows")


def _kind(header: Any) -> str:
    kind = str(header.get("PhotometricInterpretation") or "").strip()
    if kind in ("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR") or kind.startswith("YBR"):
        return kind
    raise ImageError(f"photometric interpretation {kind!r} is not supported")


def _check_header(header: Any, max_pixels: int) -> None:
    """Refuse what would take much memory, or is not a single picture, before any pixel is read."""
    width, height = _size(header)
    frames = _whole(header, "NumberOfFrames", 1)
    each = _whole(header, "SamplesPerPixel", 1) * -(-_whole(header, "BitsAllocated", 8) // 8)
    most = max_pixels * 2 // max(each, 2)
    if _is_compressed(header):
        most = min(most, MOST_UNPACKED // each)
    if width * height > most:
        raise ImageError(f"{width:,} x {height:,} pixels are more than the {most:,} allowed")
    if frames > 1:
        raise ImageError(f"{frames:,} frames; only single-frame DICOM can be used")
    _kind(header)


def _whole(header: Any, name: str, default: int | None = None) -> int:
    """A positive whole number of the header."""
    value = header.get(name)
    if value in (None, "", 0) and default is not None:
        return default
    if value in (None, "", 0):
        raise ImageError("not a DICOM image, or damaged: it has no rows and columns")
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number < 1:
        raise ImageError(f"damaged: its {name} is {str(value)[:40]!r}, and a number was expected")
    return number


def _is_compressed(header: Any) -> bool:
    syntax = _syntax(header)
    return bool(syntax) and syntax not in (IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED)


def _syntax(header: Any) -> str:
    return str(getattr(header, "file_meta", {}).get("TransferSyntaxUID") or "")


def _parsed(path: Path, pixels: bool) -> Any:
    """The file's elements, with the transfer syntax that its pixels are to be read by.

    Args:
        pixels: whether they too are wanted.
    """
    if problem := dicom_problem():
        raise ImageError(problem)
    import pydicom

    _listen()
    with opened(path) as file:
        inflated = _inflated(file)
        data = pydicom.dcmread(
            file if inflated is None else inflated, stop_before_pixels=not pixels, force=True
        )
        if not _syntax(data):
            # It follows from how the elements were written, unless the pixels are packed.
            implicit, little = data.original_encoding
            if not hasattr(data, "file_meta"):
                data.file_meta = pydicom.dataset.FileMetaDataset()
            data.file_meta.TransferSyntaxUID = pydicom.uid.UID(
                IMPLICIT if implicit else EXPLICIT if little else BIG_ENDIAN
            )
            if inflated is None:
                note(Note.IRREGULAR)
        return data


def _inflated(file: Any) -> io.BytesIO | None:
    """The elements of a deflated file; None of another one, which is left at its start.

    pydicom unpacks such a file while it parses, however large it becomes.
    """
    from pydicom.filereader import dcmread

    start = file.read(1 << 16)
    file.seek(0)
    if start[128:132] != b"DICM" or DEFLATED.encode() not in start:
        return None
    # Its own header alone: the group's length is its first element, 12 bytes long.
    length = int.from_bytes(start[140:144], "little")
    if start[132:136] != b"\2\0\0\0" or length + 144 > len(start):
        raise ImageError("damaged: the length of its file header is wrong")
    if str(dcmread(io.BytesIO(start[: 144 + length])).file_meta.TransferSyntaxUID) != DEFLATED:
        return None
    file.seek(144 + length)
    packed = zlib.decompressobj(-zlib.MAX_WBITS)
    content = packed.decompress(file.read(), MOST_INFLATED)
    if packed.unconsumed_tail:
        raise ImageError(f"it unpacks to more than the {MOST_INFLATED:,} bytes allowed")
    if not packed.eof:
        raise ImageError("truncated or damaged: its packed content has no end")
    return io.BytesIO(content)


class _Listener(logging.Handler):
    """Notes that pydicom had something to say."""

    def emit(self, record: logging.LogRecord) -> None:
        note(Note.IRREGULAR)


@lru_cache
def _listen() -> None:
    """Turn pydicom's warnings, which are printed for each file, into notes.

    Each goes to its logger as well, in the thread that reads.
    """
    warnings.filterwarnings("ignore", module=r"pydicom\b|cxrsearch\.data\.dicom")
    logging.getLogger("pydicom").addHandler(_Listener(logging.WARNING))


def _guarded(step: Callable[[], T]) -> T:
    """Whatever is tripped over in a damaged file, as an `ImageError`."""
    try:
        return step()
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"damaged: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    return (str(error).partition("\n")[0].rstrip(": ") or type(error).__name__)[:200]


def _pixels(data: Any) -> np.ndarray:
    """The decoded values. Colours come out as RGB.

    Raises:
        ImageError: where no decoder is here, or all of them fail.
    """
    from pydicom.pixels import get_decoder, pixel_array

    if not _is_compressed(data):
        # The bits that are not stored are dropped by `_stored`, which asks where they lie.
        return np.asarray(pixel_array(data, correct_unused_bits=False))
    try:
        decoder = get_decoder(_syntax(data))
    except NotImplementedError:
        raise ImageError(f"its pixels are packed in an unknown way ({_syntax(data)})") from None
    name = decoder.UID.name.partition(",")[0]
    if not decoder.is_available:
        raise ImageError(
            f"compressed as {name}, and no decoder is here: pip install 'cxrsearch[dicom]'"
        )
    here = [plugin for plugin in PREFERRED if plugin in decoder.available_plugins]
    careful = [plugin for plugin in here if plugin != "gdcm"] or here
    reason = ""
    try:
        _check_packed(data)
    except Exception as error:
        reason, careful = _reason(error), []
    for plugin in careful:
        try:
            return np.asarray(pixel_array(data, decoding_plugin=plugin))
        except Exception as error:
            reason = reason or f"or of a kind that is not read here by {plugin} ({_reason(error)})"
    raise ImageError(f"compressed as {name}, and cannot be unpacked: damaged, {reason}")


def _check_packed(data: Any) -> None:
    """Refuse a JPEG whose own header is not the DICOM header's, or whose data are not whole.

    Some decoders believe the one and make room by the other.

    Raises:
        ImageError: saying what is damaged.
    """
    from pydicom.encaps import get_frame

    frame = get_frame(data.PixelData, 0, number_of_frames=1)
    if not frame.startswith(b"\xff\xd8"):
        return  # JPEG 2000 or run lengths, whose decoders look for themselves
    jpeg_check.check_scans(frame)
    said = jpeg_check.frame_header(frame)
    told = (_whole(data, "Rows"), _whole(data, "Columns"), _whole(data, "SamplesPerPixel", 1))
    if said is None or (said.height, said.width, said.channels) != told:
        raise ImageError("for the size in its packed pixels is not the size in its header")
    if said.bits > _whole(data, "BitsAllocated"):
        raise ImageError(f"for {said.bits} bits are packed for {data.BitsAllocated} allocated")
    if said.ordinary and said.bits == 8 and said.channels in (1, 3):
        jpeg_check.check_whole(frame)
    elif not frame.rstrip(b"\0").endswith(b"\xff\xd9"):
        raise ImageError("for its packed pixels have no end")


def _is_inverted(data: Any, kind: str) -> bool:
    """Whether the lowest value is white (C.7.6.3.1.2), or so the presentation says (C.11.6.1).

    Both say the same in a sound file: INVERSE goes with MONOCHROME1, and is no second turn.
    """
    shape = str(data.get("PresentationLUTShape") or "").strip().upper()
    if shape in ("INVERSE", "IDENTITY") and (shape == "INVERSE") != (kind == "MONOCHROME1"):
        note(Note.POLARITY)
    return kind == "MONOCHROME1" or shape == "INVERSE"


class _Stored(NamedTuple):
    """Stored values ``(rows, columns)``; which are padding; the range that they may have."""

    values: np.ndarray
    padding: np.ndarray | None
    low: float
    high: float


def _shown(data: Any, inverted: bool) -> np.ndarray:
    """Grey levels as a viewer would show them."""
    voi = _voi(data)
    stored = _stored(data, by_values=voi is None and _table(data, "ModalityLUTSequence") is None)
    if stored.padding is not None and stored.padding.all():
        raise ImageError("blank: all of it is padding")
    modality, low, high = _modality(data, stored.low, stored.high)
    if not np.isfinite([low, high]).all():
        raise ImageError("its rescale values lead beyond all numbers")

    def grey(values: np.ndarray) -> np.ndarray:
        values = modality(values)
        level = voi(values) if voi else (values - low) / max(high - low, 1e-30) * 255
        return 255 - level if inverted else level

    picture = _mapped(stored.values, grey)
    if stored.padding is not None:
        picture[stored.padding] = 0
    return picture


def _mapped(values: np.ndarray, grey: Grey) -> np.ndarray:
    """``grey`` of all ``values`` as uint8: each whole number of 16 bits is asked for once."""
    if values.dtype.kind in "iu":
        low, high = int(values.min()), int(values.max())
        if high - low < 1 << 16:
            table = _eight_bits(grey(np.arange(low, high + 1, dtype=np.float64)))
            return np.asarray(table[values.astype(np.int32 if high < 1 << 31 else np.int64) - low])
    picture = np.empty(values.shape, np.uint8)
    step = max(1, DICOM_BAND // values.shape[1])
    for start in range(0, len(values), step):
        band = values[start : start + step].astype(np.float64)
        picture[start : start + step] = _eight_bits(grey(band))
    return picture


def _eight_bits(levels: np.ndarray) -> np.ndarray:
    """Grey levels as the nearest uint8."""
    return np.asarray(np.rint(levels.clip(0, 255)).astype(np.uint8))


def _stored(data: Any, by_values: bool) -> _Stored:
    """Stored values and their range.

    Args:
        by_values: the range is what is shown, so where all bits are said to be stored it is
            that of the bits that the values have.
    """
    array = _pixels(data)
    if array.ndim != 2:
        raise ImageError(f"its pixels have shape {array.shape}, and a plane of grey was expected")
    if array.dtype.kind == "f":
        padding = _is_padding(data, array, float)
        used = array if padding is None or padding.all() else array[~padding]
        low, high = float(used.min()), float(used.max())
        if not np.isfinite([low, high]).all():
            raise ImageError("some of its values are NaN or infinite")
        if by_values:
            note_floats()
        return _Stored(array, padding, low, high)
    allocated, bits = array.dtype.itemsize * 8, _whole(data, "BitsStored", array.dtype.itemsize * 8)
    if not 1 <= bits <= allocated:
        raise ImageError(f"{bits} bits stored in {allocated} allocated")
    unmasked = array
    # Old files keep overlays in the bits above the stored ones. Shifting up and down again
    # drops them, and carries the sign of a signed value over them.
    top = bits if _is_compressed(data) else _whole(data, "HighBit", bits - 1) + 1
    above = allocated - (top if bits <= top <= allocated else bits)
    array = (array << above) >> (allocated - bits)
    padding = _is_padding(data, array, int)
    if padding is None:  # its value may be one that the stored bits cannot have
        padding = _is_padding(data, unmasked, int)
    if by_values and bits == allocated and bits > 8:
        bits, signed = _held(data, array, padding, bits)
    else:
        signed = array.dtype.kind == "i"
    low = -(2 ** (bits - 1)) if signed else 0
    return _Stored(array, padding, float(low), float(low + 2**bits - 1))


def _held(data: Any, array: np.ndarray, padding: np.ndarray | None, bits: int) -> tuple[int, bool]:
    """The bits that the values have, at most ``bits``, and whether there is a sign among them."""
    used = array if padding is None or padding.all() else array[~padding]
    low, high = int(used.min()), int(used.max())
    for name in ("LargestImagePixelValue", "LargestPixelValueInSeries"):
        stated = data.get(name)
        if isinstance(stated, int) and high < stated < 1 << bits:
            high = stated
    signed = low < 0
    largest = max(high, -low - 1) * 2 + 1 if signed else high
    held = min(held_bits(largest, bits), bits)
    note_depth(held, bits)
    return held, signed


def _is_padding(data: Any, array: np.ndarray, kind: type) -> np.ndarray | None:
    """Which values stand for what lies outside the picture; None where none do."""
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    if kind is float:
        name = "FloatPixelPadding" if array.dtype.itemsize == 4 else "DoubleFloatPixelPadding"
        names = (f"{name}Value", f"{name}RangeLimit")
    ends = [data.get(name) for name in names]
    if not isinstance(ends[0], int | float):
        return None
    first = _as_stored(ends[0], array.dtype)
    second = _as_stored(ends[1], array.dtype) if isinstance(ends[1], int | float) else first
    low, high = sorted((first, second))
    if kind is int:
        info = np.iinfo(array.dtype)
        low, high = max(low, info.min), min(high, info.max)
        if low > high:
            return None
    found = (array >= low) & (array <= high)
    return found if found.any() else None


def _as_stored(value: float, dtype: np.dtype[Any]) -> float:
    """A padding value with the sign of the stored ones: some files write its bits alone."""
    if dtype.kind == "i" and value >= 1 << (dtype.itemsize * 8 - 1):
        return value - (1 << dtype.itemsize * 8)
    if dtype.kind == "u" and value < 0:
        return value + (1 << dtype.itemsize * 8)
    return value


def _modality(data: Any, low: float, high: float) -> tuple[Grey, float, float]:
    """The modality transform of values, and the range that ``low`` to ``high`` become."""
    table = _table(data, "ModalityLUTSequence")
    if table is not None:
        return table.apply, 0.0, float(table.top)
    slope, intercept = (
        _number(data.get("RescaleSlope"), 1),
        _number(data.get("RescaleIntercept"), 0),
    )
    if slope == 0 or not math.isfinite(slope) or not math.isfinite(intercept):
        raise ImageError(f"its rescale slope is {slope:g} and its intercept {intercept:g}")
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return lambda values: values * slope + intercept, ends[0], ends[1]


def _number(value: Any, default: float) -> float:
    """A decimal value, the first of several; NaN where it is none."""
    if value is None or value in ("", b""):
        return default
    if not isinstance(value, str | bytes | int | float) and hasattr(value, "__len__"):
        return _number(value[0], default) if len(value) else default
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _voi(data: Any) -> Grey | None:
    """What shows the values of interest: the first table, or the first window, that can be used.

    None where there is none, with a note where one is of no use.
    """
    table = _table(data, "VOILUTSequence")
    if table is not None:
        return lambda values: table.apply(np.rint(values)) / table.top * 255
    centre, width = (_number(data.get(name), math.inf) for name in ("WindowCenter", "WindowWidth"))
    window = _window(centre, width, str(data.get("VOILUTFunction") or "LINEAR").strip().upper())
    if window is None and (math.inf not in (centre, width) or data.get("VOILUTSequence")):
        note(Note.NO_WINDOW)
    return window


def _window(centre: float, width: float, function: str) -> Grey | None:
    """DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, with 0 to 255 as the output range."""
    if not math.isfinite(centre) or not math.isfinite(width):
        return None
    if width < (1 if function == "LINEAR" else 1e-9):
        return None
    if function == "LINEAR":
        # A width of 1 is a threshold; the standard's branches agree with this limit.
        def share(values: np.ndarray) -> np.ndarray:
            return np.asarray((values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5)
    elif function == "LINEAR_EXACT":

        def share(values: np.ndarray) -> np.ndarray:
            return np.asarray((values - centre) / width + 0.5)
    elif function == "SIGMOID":

        def share(values: np.ndarray) -> np.ndarray:
            power = (-4 * (values - centre) / width).clip(-700, 700)
            return np.asarray(1 / (1 + np.exp(power)))
    else:
        return None
    return lambda values: share(values).clip(0, 1) * 255


class _Table(NamedTuple):
    """A look-up table: ``entries`` for the values from ``first`` on, of at most ``top``."""

    first: int
    entries: np.ndarray
    top: int

    def apply(self, values: np.ndarray) -> np.ndarray:
        """What ``values`` become; those beyond an end become that end."""
        place = (values - self.first).clip(0, len(self.entries) - 1)
        return np.asarray(self.entries[place.astype(np.int64)])


def _table(data: Any, name: str) -> _Table | None:
    """The first table of a sequence that can be used."""
    items = data.get(name)
    if not items or isinstance(items, str | bytes):
        return None
    for item in items:
        try:
            count, first, bits = (int(value) for value in item.LUTDescriptor)
            entries = _entries(item["LUTData"].value, count or 1 << 16, data)
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
        if not len(entries) or not 1 <= bits <= 16 or entries.max() == 0:
            continue
        if first >= 1 << 15 and data.get("PixelRepresentation") == 1:
            first -= 1 << 16  # written as its bits alone
        largest = int(entries.max())
        held = held_bits(largest, bits) if bits == 16 else max(bits, largest.bit_length())
        note_depth(held, bits)
        return _Table(first, entries, 2**held - 1)
    return None


def _entries(value: Any, count: int, data: Any) -> np.ndarray:
    """The entries of a table, whole numbers or their bytes, at most ``count``."""
    if isinstance(value, bytes):
        order = ">" if _syntax(data) == BIG_ENDIAN else "<"
        size = 1 if len(value) <= count + 1 else 2
        whole = value[: len(value) // size * size]
        return np.frombuffer(whole, f"{order}u{size}")[:count].astype(np.float64)
    entries = np.asarray([value] if isinstance(value, int) else list(value), np.float64)[:count]
    return np.asarray(np.where(entries < 0, entries + (1 << 16), entries))


def _luma(data: Any, kind: str) -> np.ndarray:
    """A colour image (a secondary capture) as grey."""
    array = _pixels(data)
    if kind == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        if array.ndim != 2:
            raise ImageError(f"its pixels have shape {array.shape}, and a plane was expected")
        array = np.asarray(apply_color_lut(array, data))[..., :3]
        bits = array.dtype.itemsize * 8
    else:
        bits = _whole(data, "BitsStored", array.dtype.itemsize * 8)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype.kind != "u":
        raise ImageError(f"its pixels have shape {array.shape}, and three colours were expected")
    if bits > 8 and bits == array.dtype.itemsize * 8:
        held = held_bits(int(array.max()), bits)
        note_depth(held, bits)
        bits = held
    grey = np.empty(array.shape[:2], np.uint8)
    step = max(1, DICOM_BAND // array.shape[1])
    for start in range(0, len(array), step):
        band = array[start : start + step].astype(np.float32)
        grey[start : start + step] = _eight_bits(band @ LUMA / (2**bits - 1) * 255)
    return grey
