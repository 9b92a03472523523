from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data import dicom
from cxrsearch.data.errors import ImageError
from cxrsearch.data.images import image_size, read_image
from cxrsearch.data.read import read_dataset
from cxrsearch.errors import InputError

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)


def film() -> np.ndarray:
    y, x = np.mgrid[:80, :60] / 80
    noise = np.random.default_rng(5).normal(0, 10, x.shape)
    grey = np.clip(125 + 140 * np.sin(6 * x) * np.cos(4 * y) + noise, 0, 255)
    return grey.astype(np.uint8)


def make(path: Path, pixels: np.ndarray, bits: int, **tags: Any) -> Path:
    """A DICOM file of one grey frame."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID = meta.MediaStorageSOPClassUID
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = pixels.dtype.itemsize * 8
    data.BitsStored, data.HighBit = bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    data["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    for tag, value in tags.items():
        setattr(data, tag, value)
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def reference(tmp_path: Path) -> np.ndarray:
    path = tmp_path / "reference.png"
    Image.fromarray(film()).save(path)
    return read_image(path, 48)


def difference(path: Path, reference: np.ndarray) -> int:
    return int(np.abs(read_image(path, 48).astype(int) - reference).max())


def scaled(top: int) -> np.ndarray:
    return np.rint(film().astype(float) * top / 255)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_without_a_window_the_stored_bits_are_the_range(
    tmp_path: Path, reference: np.ndarray, bits: int, kind: str
) -> None:
    top = 2**bits - 1
    pixels = scaled(top)
    if kind == "MONOCHROME1":
        pixels = top - pixels
    array = pixels.astype(np.uint8 if bits == 8 else np.uint16)
    path = make(tmp_path / "x.dcm", array, bits, PhotometricInterpretation=kind)
    assert difference(path, reference) <= 1


def test_signed_values_with_a_rescale(tmp_path: Path, reference: np.ndarray) -> None:
    array = (scaled(4095) - 2048).astype(np.int16)
    tags = {"RescaleSlope": "2", "RescaleIntercept": "-1000"}
    assert difference(make(tmp_path / "x.dcm", array, 12, **tags), reference) <= 1


def test_a_negative_slope_turns_the_picture_round(tmp_path: Path, reference: np.ndarray) -> None:
    array = (4095 - scaled(4095)).astype(np.uint16)
    tags = {"RescaleSlope": "-1", "RescaleIntercept": "4095"}
    assert difference(make(tmp_path / "x.dcm", array, 12, **tags), reference) <= 1


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", None])
def test_the_window_is_what_is_shown(
    tmp_path: Path, reference: np.ndarray, kind: str, function: str | None
) -> None:
    low, high = 500, 3500  # the picture lies there; brighter and darker values are clipped
    grey = film().astype(float)
    shown = 255 - grey if kind == "MONOCHROME1" else grey
    array = np.rint(low + shown / 255 * (high - low)).astype(np.uint16)
    width = high - low + (function != "LINEAR_EXACT")
    centre = (low + high) / 2 + 0.5 * (function != "LINEAR_EXACT")
    tags: dict[str, Any] = {
        "WindowCenter": [str(centre), "100"],
        "WindowWidth": [str(width), "7"],
        "PhotometricInterpretation": kind,
    }
    if function:
        tags["VOILUTFunction"] = function
    assert difference(make(tmp_path / "x.dcm", array, 12, **tags), reference) <= 1


def test_a_window_counts_in_rescaled_values(tmp_path: Path, reference: np.ndarray) -> None:
    array = scaled(1000).astype(np.uint16)
    tags = {
        "RescaleSlope": "0.5", "RescaleIntercept": "-20", "WindowCenter": "230.5",
        "WindowWidth": "501",
    }  # fmt: skip
    assert difference(make(tmp_path / "x.dcm", array, 12, **tags), reference) <= 1


def test_a_sigmoid_window_is_darker_below_its_centre_and_brighter_above(tmp_path: Path) -> None:
    array = np.repeat(np.array([[0, 1000, 2000, 3000, 4000]], np.uint16), 5, axis=0)
    tags = {"WindowCenter": "2000", "WindowWidth": "1000", "VOILUTFunction": "SIGMOID"}
    row = read_image(make(tmp_path / "x.dcm", array, 12, **tags), 5)[0]
    assert row[2] in (127, 128)
    assert row[1] == round(255 / (1 + np.exp(4)))
    assert row[3] == 255 - row[1]


def test_a_voi_table_is_applied(tmp_path: Path, reference: np.ndarray) -> None:
    table = Dataset()
    table.LUTDescriptor = [256, 0, 12]
    table.LUTData = [round(value * 4095 / 255) for value in range(256)]
    table["LUTDescriptor"].VR = "US"
    table["LUTData"].VR = "US"
    path = make(tmp_path / "x.dcm", film().astype(np.uint16), 12, VOILUTSequence=[table])
    assert difference(path, reference) <= 1


def test_overlay_bits_above_the_stored_ones_are_dropped(
    tmp_path: Path, reference: np.ndarray
) -> None:
    array = scaled(4095).astype(np.uint16)
    array[::2] |= 0xF000
    assert difference(make(tmp_path / "x.dcm", array, 12), reference) <= 1


def test_a_colour_capture_becomes_grey(tmp_path: Path, reference: np.ndarray) -> None:
    array = np.repeat(film()[..., None], 3, axis=2)
    path = make(
        tmp_path / "x.dcm", array, 8, SamplesPerPixel=3, PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
    )  # fmt: skip
    assert difference(path, reference) <= 1


def test_a_jpeg_inside_is_unpacked_and_a_damaged_one_gives_a_reason(
    tmp_path: Path, reference: np.ndarray
) -> None:
    path = make(tmp_path / "x.dcm", film(), 8, syntax=ImplicitVRLittleEndian)
    stream = io.BytesIO()
    Image.fromarray(film()).save(stream, "JPEG", quality=97)
    for content in (stream.getvalue(), b"\xff\xd8 no more"):
        data = pydicom.dcmread(path)
        data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        data.PixelData = encapsulate([content])
        data["PixelData"].is_undefined_length = True
        data.save_as(tmp_path / f"{len(content)}.dcm")
    picture = read_image(tmp_path / f"{len(stream.getvalue())}.dcm", 48)
    assert np.abs(picture.astype(int) - reference).mean() < 2
    with pytest.raises(ImageError, match="cannot be unpacked"):
        read_image(tmp_path / f"{len(content)}.dcm", 48)


def test_an_empty_window_is_none(tmp_path: Path, reference: np.ndarray) -> None:
    path = make(tmp_path / "x.dcm", film(), 8, WindowCenter=None, WindowWidth=None)
    assert difference(path, reference) == 0


def test_the_preamble_tells_dicom_whatever_the_name(tmp_path: Path, reference: np.ndarray) -> None:
    path = make(tmp_path / "x.dcm", film(), 8).rename(tmp_path / "x.png")
    assert difference(path, reference) == 0
    assert image_size(path) == (60, 80)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"PhotometricInterpretation": "HSV"}, "HSV"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "Palette"),
        ({"Rows": 30_000, "Columns": 30_000}, "more than the 100,000,000 allowed"),
        ({"RescaleSlope": "0"}, "slope"),
        ({"Rows": 500}, "damaged|unpacked"),
        ({"PixelData": b""}, "damaged|no pixel"),
    ],
)
def test_what_cannot_be_used_gives_a_reason(
    tmp_path: Path, tags: dict[str, Any], reason: str
) -> None:
    path = make(tmp_path / "x.dcm", film(), 8, **tags)
    with pytest.raises(ImageError, match=reason):
        read_image(path, 32)


def test_missing_pixels_and_damage_give_a_reason(tmp_path: Path) -> None:
    path = make(tmp_path / "x.dcm", film(), 8)
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)
    with pytest.raises(ImageError, match="no pixel data"):
        read_image(path, 32)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ImageError):
        read_image(path, 32)
    path.write_bytes(b"not dicom at all")
    with pytest.raises(ImageError, match=r"not a DICOM image|damaged"):
        read_image(path, 32)


def test_without_pydicom_the_message_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path / "x.dcm", film(), 8)
    monkeypatch.setattr(dicom.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImageError, match=r"pip install 'cxrsearch\[dicom\]'"):
        read_image(path, 32)
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Patient ID\nx,Mass,1\n"
    )
    with pytest.raises(InputError, match=r"1 DICOM files.*cxrsearch\[dicom\]"):
        read_dataset(tmp_path)
