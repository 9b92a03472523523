"""Single-frame grey (or colour) DICOM images, through the optional pydicom.

Stored values go through the modality transform (rescale or table), then the first VOI
window or table; without one, the range that the stored bits can hold is what is shown. The
order and the formulas are those of DICOM PS3.3, C.11.1 and C.11.2.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from .errors import ImageError

T = TypeVar("T")

DICOM_SUFFIXES = (".dcm", ".dicom")
DEFLATED = "1.2.840.10008.1.2.1.99"
DECODERS = ("pydicom", "pylibjpeg", "libjpeg", "openjpeg", "rle", "jpeg_ls", "gdcm")
INSTALL = "DICOM needs pydicom: pip install 'cxrsearch[dicom]'"


def is_dicom(name: str) -> bool:
    """Whether a file's name says DICOM."""
    return name.lower().endswith(DICOM_SUFFIXES)


@lru_cache
def dicom_decoders() -> str:
    """The packages here that pydicom can unpack pixels with, joined with ``+``."""
    return "+".join(name for name in DECODERS if importlib.util.find_spec(name)) or "none"


def dicom_problem() -> str | None:
    """Why DICOM files cannot be read here, or None."""
    return None if importlib.util.find_spec("pydicom") else INSTALL


def dicom_size(path: Path) -> tuple[int, int]:
    """Width and height from the header. Raises `ImageError`."""
    header = _header(path, pixels=False)
    return int(header.Columns), int(header.Rows)


def read_dicom(path: Path, max_pixels: int) -> np.ndarray:
    """Read a DICOM file as ``(rows, columns)`` float32 in 0 (black) to 255 (white).

    Raises:
        ImageError: with the reason.
    """
    data = _header(path, pixels=True)
    rows, columns = int(data.Rows), int(data.Columns)
    if rows * columns > max_pixels:
        raise ImageError(f"{columns:,} x {rows:,} pixels are more than the {max_pixels:,} allowed")
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise ImageError(f"{data.NumberOfFrames} frames; only single-frame DICOM can be used")
    if not any(tag in data for tag in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ImageError("no pixel data in it")
    kind = str(data.get("PhotometricInterpretation", "")).strip()
    if kind in ("MONOCHROME1", "MONOCHROME2"):
        shown: np.ndarray = _guarded(lambda: _shown(data))
        return np.asarray(255 - shown) if kind == "MONOCHROME1" else shown
    if kind == "RGB" or kind.startswith("YBR"):
        return _guarded(lambda: _luma(data))
    raise ImageError(f"photometric interpretation {kind!r} is not supported")


def _header(path: Path, pixels: bool) -> Any:
    """The parsed file, with its size checked to be there."""
    if problem := dicom_problem():
        raise ImageError(problem)
    import pydicom

    def read() -> Any:
        # Deflated files unpack while they are parsed, before any size can be checked.
        meta = pydicom.filereader.read_file_meta_info(path) if _has_preamble(path) else {}
        if meta.get("TransferSyntaxUID") == DEFLATED:
            raise ImageError("deflated DICOM is not supported")
        return pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)

    data = _guarded(read)
    if not data.get("Rows") or not data.get("Columns"):
        raise ImageError("not a DICOM image, or damaged: it has no rows and columns")
    return data


def _has_preamble(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _guarded(step: Callable[[], T]) -> T:
    """Whatever pydicom trips over in a damaged file, as an `ImageError`."""
    try:
        return step()
    except ImageError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        raise ImageError(
            f"cannot be unpacked: {_reason(error)}; compressed DICOM may need "
            "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
        ) from None
    except Exception as error:  # damaged values raise nearly anything, deep inside
        raise ImageError(f"damaged: {_reason(error)}") from None


def _shown(data: Any) -> np.ndarray:
    """Grey levels as a viewer would show them, before MONOCHROME1 is turned round."""
    from pydicom.pixels import apply_voi

    values, low, high = _modality(data)
    if data.get("VOILUTSequence"):
        mapped = np.asarray(apply_voi(np.rint(values).astype(np.int64), data), np.float32)
        top = 2 ** int(data.VOILUTSequence[0].LUTDescriptor[2]) - 1
        return np.asarray(mapped / top * 255, np.float32)
    window = _window(data)
    if window is not None:
        return _windowed(values, *window)
    return ((values - low) / max(high - low, 1e-6) * 255).astype(np.float32)


def _modality(data: Any) -> tuple[np.ndarray, float, float]:
    """Values after the modality transform, and the range that they could have."""
    from pydicom.pixels import apply_modality_lut

    stored, low, high = _stored(data)
    if data.get("ModalityLUTSequence"):
        top = 2 ** int(data.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
        return apply_modality_lut(stored, data).astype(np.float64), 0.0, float(top)
    slope, intercept = data.get("RescaleSlope"), data.get("RescaleIntercept")
    slope = 1.0 if slope in (None, "") else float(slope)
    intercept = 0.0 if intercept in (None, "") else float(intercept)
    if slope == 0:
        raise ImageError("its rescale slope is 0")
    ends = sorted((low * slope + intercept, high * slope + intercept))
    return stored * slope + intercept, ends[0], ends[1]


def _stored(data: Any) -> tuple[np.ndarray, float, float]:
    """Stored values, and the lowest and highest that their bits can hold."""
    from pydicom.pixels import pixel_array

    array = np.asarray(pixel_array(data))
    if array.ndim != 2:
        raise ImageError(f"its pixels have shape {array.shape}, and a plane of grey was expected")
    if array.dtype.kind == "f":
        return array, float(array.min()), float(array.max())
    allocated, bits = array.dtype.itemsize * 8, int(data.BitsStored)
    if not 1 <= bits <= allocated:
        raise ImageError(f"{bits} bits stored in {allocated} allocated")
    # Old files keep overlays in the bits above the stored ones. Shifting up and down again
    # drops them, and carries the sign of a signed value over them.
    array = (array << (allocated - bits)) >> (allocated - bits)
    signed = array.dtype.kind == "i"
    low = -(2 ** (bits - 1)) if signed else 0
    return array, float(low), float(low + 2**bits - 1)


def _window(data: Any) -> tuple[float, float, str] | None:
    """Centre, width and function of the first VOI window; None where there is none."""
    centre, width = _first(data.get("WindowCenter")), _first(data.get("WindowWidth"))
    if centre is None or width is None:
        return None
    function = str(data.get("VOILUTFunction") or "LINEAR").strip()
    if width < 1 if function == "LINEAR" else width <= 0:
        raise ImageError(f"its window has width {width:g}")
    return centre, width, function


def _first(value: Any) -> float | None:
    """The first of one or several decimal values; None where empty."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return None if value in (None, "", b"") else float(value)
    return float(value[0]) if len(value) else None


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, with 0 to 255 as the output range."""
    if function == "LINEAR":
        # A width of 1 is a threshold; the standard's branches agree with this limit.
        share = (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5
    elif function == "LINEAR_EXACT":
        share = (values - centre) / width + 0.5
    elif function == "SIGMOID":
        share = 1 / (1 + np.exp(-4 * (values - centre) / width))
    else:
        raise ImageError(f"its VOI function {function!r} is none of DICOM's")
    return np.asarray(np.clip(share, 0, 1) * 255, np.float32)


def _luma(data: Any) -> np.ndarray:
    """A colour image (a secondary capture) as ITU-R BT.601 luma in 0..255."""
    from pydicom.pixels import pixel_array

    array = np.asarray(pixel_array(data), np.float32)  # YBR comes out as RGB
    if array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(f"its pixels have shape {array.shape}, and three colours were expected")
    top = 2 ** int(data.BitsStored) - 1
    return np.asarray(array @ np.array([0.299, 0.587, 0.114], np.float32) / top * 255, np.float32)


def _reason(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(":") or type(error).__name__
