from __future__ import annotations

import io
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.errors import ImageError
from cxrsearch.data.notes import noted, summary
from cxrsearch.data.pixels import dicom
from cxrsearch.data.pixels.images import image_size, read_grey, read_image
from cxrsearch.data.read import read_dataset
from cxrsearch.errors import InputError

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402
from pydicom.encaps import encapsulate  # noqa: E402
from pydicom.uid import (  # noqa: E402
    DeflatedExplicitVRLittleEndian,
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


def notes_of(path: Path) -> list[str]:
    with noted() as found:
        read_image(path, 48)
    return summary([(path.name, found.number)], 1)


@pytest.mark.parametrize("bits", [8, 10, 12, 13, 14, 15])
@pytest.mark.parametrize("sign", [np.uint16, np.int16])
def test_fewer_bits_than_are_said_to_be_stored_are_read_by_what_is_there(
    tmp_path: Path, reference: np.ndarray, bits: int, sign: type
) -> None:
    path = make(tmp_path / "x.dcm", scaled(2**bits - 1).astype(sign), 16)
    assert difference(path, reference) <= 1
    assert f"(1 as {bits}-bit)" in notes_of(path)[0]


def test_values_with_a_sign_are_read_by_the_bits_that_they_have(
    tmp_path: Path, reference: np.ndarray
) -> None:
    path = make(tmp_path / "x.dcm", (scaled(4095) - 2048).astype(np.int16), 16)
    assert difference(path, reference) <= 1
    assert "(1 as 12-bit)" in notes_of(path)[0]


def test_a_dark_picture_of_16_bits_stays_as_it_is(tmp_path: Path) -> None:
    dark = scaled(30_000).astype(np.uint16)
    path = make(tmp_path / "x.dcm", dark, 16)
    assert read_grey(path).max() == 117
    assert notes_of(path) == []


def test_what_the_header_says_of_the_range_counts(tmp_path: Path, reference: np.ndarray) -> None:
    array = scaled(900).astype(np.uint16)
    path = make(tmp_path / "x.dcm", array, 16, LargestImagePixelValue=4095)
    path_of_12 = make(tmp_path / "y.dcm", array, 12)
    assert np.array_equal(read_grey(path), read_grey(path_of_12))
    assert notes_of(path_of_12) == []
    whole = make(tmp_path / "z.dcm", scaled(4095).astype(np.uint16), 16, WindowCenter="32768",
                 WindowWidth="65536")  # fmt: skip
    with pytest.raises(ImageError, match="blank"):
        read_image(whole, 32)


@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_a_table_that_declares_16_bits_is_read_by_its_entries(
    tmp_path: Path, reference: np.ndarray, name: str
) -> None:
    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTData = [round(value * 4095 / 255) for value in range(256)]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    table.ModalityLUTType = "US"
    path = make(
        tmp_path / "x.dcm", film().astype(np.uint16), 8, BitsAllocated=16, **{name: [table]}
    )
    assert difference(path, reference) <= 1
    assert "(1 as 12-bit)" in notes_of(path)[0]


@pytest.mark.parametrize(
    "tags",
    [
        {"VOILUTSequence": [Dataset()]},
        {"VOILUTSequence": [Dataset()], "ModalityLUTSequence": [Dataset()]},
        {"WindowCenter": "5", "WindowWidth": "0"},
        {"WindowCenter": "5", "WindowWidth": "-3"},
        {"WindowCenter": "2047.5", "WindowWidth": "4096", "VOILUTFunction": "OTHER"},
    ],
)
def test_a_window_or_table_of_no_use_is_left_aside_with_a_word(
    tmp_path: Path, reference: np.ndarray, tags: dict[str, Any]
) -> None:
    path = make(tmp_path / "x.dcm", scaled(4095).astype(np.uint16), 12, **tags)
    assert difference(path, reference) <= 1
    assert "cannot be used" in notes_of(path)[0]


def test_beside_an_empty_table_the_window_counts(tmp_path: Path, reference: np.ndarray) -> None:
    tags = {"WindowCenter": "2048", "WindowWidth": "4096", "VOILUTSequence": [Dataset()]}
    path = make(tmp_path / "x.dcm", scaled(4095).astype(np.uint16), 12, **tags)
    assert difference(path, reference) <= 1
    assert notes_of(path) == []


@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_counts_for_no_range(tmp_path: Path, kind: str) -> None:
    pixels = scaled(4095)
    array = (4095 - pixels if kind == "MONOCHROME1" else pixels).astype(np.uint16)
    array[:20] = 65_535
    array[-20:-10] = 65_000
    tags = {"PixelPaddingValue": 65_535, "PixelPaddingRangeLimit": 65_000}
    path = make(tmp_path / "x.dcm", array, 16, PhotometricInterpretation=kind, **tags)
    picture = read_grey(path)
    assert not picture[:20].any()
    assert not picture[-20:-10].any()
    assert np.abs(picture[20:60].astype(int) - film()[20:60]).max() <= 1


def test_padding_may_be_written_without_its_sign(tmp_path: Path) -> None:
    array = (scaled(4095) - 2048).astype(np.int16)
    array[:20] = -2000
    path = make(tmp_path / "x.dcm", array, 16, PhotometricInterpretation="MONOCHROME1")
    data = pydicom.dcmread(path)
    data.add_new("PixelPaddingValue", "US", 65_536 - 2000)
    data.save_as(path)
    assert not read_grey(path)[:20].any()


@pytest.mark.parametrize(
    ("kind", "shape", "inverted", "contradiction"),
    [
        ("MONOCHROME2", "IDENTITY", False, False),
        ("MONOCHROME2", "INVERSE", True, True),
        ("MONOCHROME1", "INVERSE", True, False),
        ("MONOCHROME1", "IDENTITY", True, True),
    ],
)
def test_the_presentation_s_shape_inverts_once(
    tmp_path: Path,
    reference: np.ndarray,
    kind: str,
    shape: str,
    inverted: bool,
    contradiction: bool,
) -> None:
    array = 255 - film() if inverted else film()
    path = make(tmp_path / "x.dcm", array, 8, PhotometricInterpretation=kind,
                PresentationLUTShape=shape)  # fmt: skip
    assert difference(path, reference) == 0
    assert any("PresentationLUTShape" in text for text in notes_of(path)) is contradiction


@pytest.mark.parametrize("value", ["NaN", "inf", "-Infinity", "1e400"])
@pytest.mark.parametrize("tag", ["RescaleSlope", "RescaleIntercept"])
def test_a_rescale_that_is_no_number_is_refused(tmp_path: Path, tag: str, value: str) -> None:
    path = make(tmp_path / "x.dcm", film(), 8, RescaleSlope="1", RescaleIntercept="0")
    number = {"RescaleSlope": "1", "RescaleIntercept": "0", tag: value}
    data = pydicom.dcmread(path)
    with pydicom.config.disable_value_validation():
        for name, text in number.items():
            data[name] = pydicom.dataelem.RawDataElement(
                pydicom.tag.Tag(name), "DS", len(text), text.encode(), 0, False, True
            )
        data.save_as(path)
    with pytest.raises(ImageError, match=r"rescale|damaged"):
        read_image(path, 32)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    def floats(path: Path, array: np.ndarray) -> Path:
        make(path, array.astype(np.uint32), 32)
        data = pydicom.dcmread(path)
        del data.PixelData, data.BitsStored, data.HighBit, data.PixelRepresentation
        data.FloatPixelData = array.tobytes()
        data.save_as(path)
        return path

    array = film().astype(np.float32) / 255
    assert "lowest" in notes_of(floats(tmp_path / "sound.dcm", array))[0]
    array[3, 4] = value
    with pytest.raises(ImageError, match="NaN or infinite"):
        read_image(floats(tmp_path / "x.dcm", array), 32)


def test_without_a_transfer_syntax_it_follows_from_how_the_file_is_written(
    tmp_path: Path, reference: np.ndarray
) -> None:
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        path = make(tmp_path / "x.dcm", scaled(4095).astype("<u2"), 12, syntax=syntax)
        data = pydicom.dcmread(path)
        bare = tmp_path / "bare.dcm"
        stream = pydicom.filebase.DicomBytesIO()
        stream.is_little_endian, stream.is_implicit_VR = True, syntax == ImplicitVRLittleEndian
        pydicom.filewriter.write_dataset(stream, data)
        bare.write_bytes(stream.getvalue())
        assert difference(bare, reference) <= 1
        assert "depart from the DICOM standard" in notes_of(bare)[0]


def test_a_deflated_file_is_read(tmp_path: Path, reference: np.ndarray) -> None:
    path = make(tmp_path / "x.dcm", film(), 8, syntax=DeflatedExplicitVRLittleEndian)
    assert difference(path, reference) == 0
    assert image_size(path) == (60, 80)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ImageError, match="no end"):
        read_image(path, 32)


def test_a_palette_is_looked_up(tmp_path: Path, reference: np.ndarray) -> None:
    ramp = (np.arange(256)[::-1] * 257).astype("<u2").tobytes()
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"{colour}PaletteColorLookupTableData"] = ramp
    assert difference(make(tmp_path / "x.dcm", 255 - film(), 8, **tags), reference) <= 1


def test_bits_on_the_left_of_their_words_are_read(tmp_path: Path, reference: np.ndarray) -> None:
    array = scaled(4095).astype(np.uint16) << 4 | 9
    assert difference(make(tmp_path / "x.dcm", array, 12, HighBit=15), reference) <= 1


@pytest.mark.parametrize(
    "name", ["JPEGLosslessSV1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless"]
)
def test_compressed_pixels_are_read_or_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Of any compression: without a decoder one sentence, the same for all files."""
    from pydicom.pixels.decoders import base

    path = make(tmp_path / "x.dcm", film(), 8)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = getattr(pydicom.uid, name)
    data.PixelData = encapsulate([b"\xff\xd8\xff nothing"])
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    with pytest.raises(ImageError, match="cannot be unpacked"):
        read_image(path, 32)
    monkeypatch.setattr(base.Decoder, "is_available", property(lambda self: False))
    with pytest.raises(ImageError, match=r"no decoder is here: pip install 'cxrsearch\[dicom\]'"):
        read_image(path, 32)


def test_rle_is_read(tmp_path: Path, reference: np.ndarray) -> None:
    path = make(tmp_path / "x.dcm", film(), 8)
    data = pydicom.dcmread(path)
    data.compress(pydicom.uid.RLELossless)
    data.save_as(path)
    assert difference(path, reference) == 0


def raw(path: Path, tag: str, vr: str, value: bytes) -> Path:
    """Another value of an element, whatever it is worth."""
    data = pydicom.dcmread(path)
    number = pydicom.tag.Tag(tag)
    data._dict[number] = pydicom.dataelem.RawDataElement(
        number, vr, len(value), value, 0, False, True
    )
    data.save_as(path)
    return path


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        ("Rows", "US", b"\x50\0\x50\0"),
        ("Rows", "US", b"\x50"),
        ("Rows", "US", b""),
        ("Columns", "LO", b"many"),
        ("BitsAllocated", "US", b"\x07\0"),
        ("BitsStored", "US", b"\x50\0"),
        ("SamplesPerPixel", "US", b"\xff\xff"),
        ("PixelRepresentation", "US", b"\x05\0"),
        ("PhotometricInterpretation", "CS", b"\xff\xfe"),
        ("NumberOfFrames", "IS", b"x"),
        ("PlanarConfiguration", "XX", b"abc"),
    ],
)
def test_damaged_elements_give_a_picture_or_a_reason(
    tmp_path: Path, tag: str, vr: str, value: bytes
) -> None:
    path = raw(make(tmp_path / "x.dcm", film(), 8), tag, vr, value)
    for read in (read_grey, image_size):
        with suppress(ImageError):
            read(path)


def test_what_pydicom_warns_of_is_noted_and_not_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = make(tmp_path / "x.dcm", film(), 8, PixelData=film().tobytes() + bytes(30))
    text = "import sys; from pathlib import Path; from cxrsearch.data.pixels.images import *;"
    text += " read_grey(Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", text, str(path)], check=True)
    assert capfd.readouterr() == ("", "")
    assert "depart from the DICOM standard" in notes_of(path)[0]
