"""Damaged images end in a picture or in a sentence, whatever is damaged in them.

Of damage that a format can show, by its checksums or its structure, none may go unnoticed.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.errors import ImageError
from cxrsearch.data.pixels import plain_png
from cxrsearch.data.pixels.images import image_size, read_grey, thumbnail

Make = Callable[[], bytes]


def film(top: int = 255, channels: int = 0) -> np.ndarray:
    y, x = np.mgrid[:60, :52] / 60
    noise = np.random.default_rng(5).normal(0, 10, x.shape)
    grey = np.clip(125 + 140 * np.sin(6 * x) * np.cos(4 * y) + noise, 0, 255)
    values = np.rint(grey / 255 * top).astype(np.uint8 if top < 256 else np.uint16)
    return np.repeat(values[..., None], channels, axis=2) if channels else values


def saved(array: np.ndarray, form: str, mode: str | None = None, **options: Any) -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(array)
    (image if mode is None else image.convert(mode)).save(stream, form, **options)
    return stream.getvalue()


def dicom(pixels: np.ndarray, bits: int, syntax: str = "1.2.840.10008.1.2.1", **tags: Any) -> bytes:
    """A DICOM file of one frame; ``packed`` is its content where the syntax packs it."""
    pydicom = pytest.importorskip("pydicom")
    packed = tags.pop("packed", None)
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    data = pydicom.dataset.FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, "1.2.3.4"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
    data.PhotometricInterpretation = "MONOCHROME2"
    if pixels.ndim == 3:
        data.PlanarConfiguration = 0
        data.PhotometricInterpretation = "RGB"
    data.BitsAllocated, data.BitsStored = pixels.dtype.itemsize * 8, bits
    data.HighBit, data.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    for tag, value in tags.items():
        setattr(data, tag, value)
    if syntax.endswith("1.2.2"):
        pixels = pixels.astype(pixels.dtype.newbyteorder(">"))
    data.PixelData = pixels.tobytes() if packed is None else pydicom.encaps.encapsulate([packed])
    data["PixelData"].VR = "OB" if packed or pixels.dtype.itemsize == 1 else "OW"
    data["PixelData"].is_undefined_length = packed is not None
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data, enforce_file_format=True)
    return stream.getvalue()


def table(bits: int = 12) -> Any:
    pydicom = pytest.importorskip("pydicom")
    item = pydicom.dataset.Dataset()
    item.LUTDescriptor = [256, 0, bits]
    item.LUTData = [round(value * 4095 / 255) for value in range(256)]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    return item


def palette() -> dict[str, Any]:
    ramp = (np.arange(256) * 257).astype("<u2").tobytes()
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = ramp
    return tags


def nested(depth: int) -> Any:
    """Sequences within sequences."""
    pydicom = pytest.importorskip("pydicom")
    item = pydicom.dataset.Dataset()
    for _ in range(depth):
        outer = pydicom.dataset.Dataset()
        outer.ReferencedImageSequence = [item]
        item = outer
    return item


FILES: dict[str, Make] = {
    "grey.png": lambda: saved(film(), "PNG"),
    "deep.png": lambda: saved(film(4095), "PNG"),
    "colour.png": lambda: saved(film(channels=3), "PNG"),
    "clear.png": lambda: saved(film(), "PNG", "RGBA"),
    "palette.png": lambda: saved(film(), "PNG", "P"),
    "grey.jpg": lambda: saved(film(), "JPEG"),
    "colour.jpg": lambda: saved(film(channels=3), "JPEG", quality=90),
    "progressive.jpg": lambda: saved(film(), "JPEG", progressive=True),
    "grey.tif": lambda: saved(film(), "TIFF"),
    "deep.tif": lambda: saved(film(4095), "TIFF"),
    "packed.tif": lambda: saved(film(), "TIFF", compression="tiff_lzw"),
    "grey.bmp": lambda: saved(film(), "BMP"),
    "grey.gif": lambda: saved(film(), "GIF"),
    "grey.webp": lambda: saved(film(), "WEBP", lossless=True),
    "plain.dcm": lambda: dicom(film(), 8),
    "implicit.dcm": lambda: dicom(film(4095), 12, "1.2.840.10008.1.2"),
    "big.dcm": lambda: dicom(film(4095), 12, "1.2.840.10008.1.2.2"),
    "deflated.dcm": lambda: dicom(film(4095), 16, "1.2.840.10008.1.2.1.99"),
    "window.dcm": lambda: dicom(
        film(4095), 12, WindowCenter="2000", WindowWidth="3000", RescaleSlope="1",
        RescaleIntercept="-10", PixelPaddingValue=0,
    ),
    "table.dcm": lambda: dicom(film(), 8, VOILUTSequence=[table()]),
    "colour.dcm": lambda: dicom(film(channels=3), 8),
    "palette.dcm": lambda: dicom(film(), 8, **palette()),
    "nested.dcm": lambda: dicom(film(), 8, ReferencedStudySequence=[nested(30)]),
    "jpeg.dcm": lambda: dicom(
        film(), 8, "1.2.840.10008.1.2.4.50", packed=saved(film(), "JPEG")
    ),
    "jpeg2000.dcm": lambda: dicom(
        film(), 8, "1.2.840.10008.1.2.4.90",
        packed=saved(film(), "JPEG2000", no_jp2=True, irreversible=False),
    ),
}  # fmt: skip


@cache
def content(name: str) -> bytes:
    return FILES[name]()


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Flipped bits, other bytes or numbers, pieces lost, doubled or put elsewhere, or a cut."""
    broken = bytearray(data)
    # Headers say more than pixels do, so most damage is there.
    reach = len(broken) if draw.random() < 0.4 else min(len(broken), 1200)
    for _ in range(draw.choice((1, 1, 1, 2, 3, 8))):
        place = draw.randrange(max(1, min(reach, len(broken))))
        match draw.randrange(7):
            case 0:
                broken[place] ^= 1 << draw.randrange(8)
            case 1:
                broken[place] = draw.choice((0, 1, 0x7F, 0x80, 0xFF, draw.randrange(256)))
            case 2:
                width = draw.choice((2, 4))
                number = draw.choice((0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x10000, 3))
                broken[place : place + width] = number.to_bytes(8, "little")[:width]
            case 3:
                del broken[place : place + draw.randrange(1, 40)]
            case 4:
                broken[place:place] = draw.randbytes(draw.randrange(1, 12))
            case 5:
                start = draw.randrange(len(broken))
                broken[place:place] = broken[start : start + draw.randrange(1, 80)]
            case _:
                if draw.random() < 0.3:
                    del broken[place:]
        if not broken:
            break
    return bytes(broken)


def everything(path: Path) -> np.ndarray:
    """All that is done with an image file."""
    width, height = image_size(path)
    assert width > 0
    assert height > 0
    small = thumbnail(path, 32)
    assert small is None or small.shape[2] == 3
    picture = read_grey(path)
    assert picture.dtype == np.uint8
    assert picture.ndim == 2
    return picture


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_image_gives_a_picture_or_a_reason(
    name: str, cases: Any, guarded: Any, tmp_path: Path
) -> None:
    path = tmp_path / name
    for case in cases(24):
        path.write_bytes(damaged(content(name), random.Random(f"{name} {case}")))
        guarded(f"{name} {case}", lambda: everything(path), ImageError)


@pytest.mark.parametrize("name", FILES)
def test_the_files_themselves_are_read(name: str, guarded: Any, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content(name))
    ending = guarded(name, lambda: everything(path), ImageError)
    assert ending.error is None
    grey = film().astype(int)
    assert np.abs(ending.value - grey).mean() < (25 if name == "window.dcm" else 6)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".png")])
def test_no_damage_of_a_png_goes_unnoticed(
    name: str, cases: Any, guarded: Any, tmp_path: Path
) -> None:
    """One bit anywhere: refused, or the same picture."""
    path = tmp_path / name
    data = content(name)
    path.write_bytes(data)
    whole = read_grey(path)
    for case in cases(40):
        draw = random.Random(f"{name} {case}")
        broken = bytearray(data)
        broken[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(broken if case % 4 else data[: draw.randrange(len(data))])
        for slow in (False, True):
            with pytest.MonkeyPatch.context() as patch:
                if slow:
                    patch.setattr(plain_png, "_decode", None)
                ending = guarded(f"{name} {case}", lambda: read_grey(path), ImageError)
            assert ending.error or np.array_equal(ending.value, whole)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def big_png(side: int, depth: int, colours: int, channels: int) -> bytes:
    packed = zlib.compressobj(1)
    line = bytes(1 + side * channels * depth // 8)
    body = b"".join(packed.compress(line) for _ in range(side)) + packed.flush()
    head = struct.pack(">IIBBBBB", side, side, depth, colours, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    )


BOMBS: dict[str, Make] = {
    "grey.png": lambda: big_png(12_000, 8, 0, 1),
    "colour.png": lambda: big_png(8_000, 8, 2, 3),
    "deep.png": lambda: big_png(6_000, 16, 6, 4),
    "rows.dcm": lambda: dicom(film(), 8, Rows=65_535, Columns=65_535),
    "rows, packed.dcm": lambda: dicom(
        film(), 8, "1.2.840.10008.1.2.4.50", packed=saved(film(), "JPEG"), Rows=65_535,
        Columns=65_535,
    ),
    "nested.dcm": lambda: dicom(film(), 8, ReferencedStudySequence=[nested(220)]),
    "scans.jpg": lambda: saved(film(), "JPEG", progressive=True)[:-2]
    + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0" * 5_000 + b"\xff\xd9",
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_soon_and_in_little_memory(
    name: str, guarded: Any, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(BOMBS[name]())
    guarded(name, lambda: everything(path), ImageError)


def test_what_unpacks_without_end_is_refused(guarded: Any, tmp_path: Path) -> None:
    whole = dicom(film(), 8, "1.2.840.10008.1.2.1.99")
    length = int.from_bytes(whole[140:144], "little")
    packer = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(160)) + packer.flush()
    path = tmp_path / "x.dcm"
    path.write_bytes(whole[: 144 + length] + bomb)
    ending = guarded("deflated", lambda: read_grey(path), ImageError)
    assert "unpacks to more" in str(ending.error)
