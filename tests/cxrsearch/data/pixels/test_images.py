from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from cxrsearch.data.errors import ImageError
from cxrsearch.data.notes import noted, summary
from cxrsearch.data.pixels import plain_png
from cxrsearch.data.pixels.images import image_size, read_grey, read_image

REAL = Path(__file__).parents[5] / "shared" / "nih-small"


def film(side: int = 96) -> np.ndarray:
    """A picture with soft and hard edges, noise, and both ends of the scale."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:side, : side + 20] / side
    grey = 120 + 100 * np.sin(7 * x) * np.cos(5 * y) + rng.normal(0, 12, x.shape)
    grey[side // 3 : side // 2, 10:30] = 255
    grey[5:15, 5:60] = 0
    return np.clip(grey, 0, 255).astype(np.uint8)


def save(path: Path, array: np.ndarray, mode: str | None = None, **options: object) -> Path:
    Image.fromarray(array, mode).save(path, **options)
    return path


@pytest.fixture
def reference(tmp_path: Path) -> np.ndarray:
    return read_image(save(tmp_path / "reference.png", film()), 40)


def difference(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_a_16_bit_png_gives_the_picture_of_its_8_bit_copy(
    tmp_path: Path, reference: np.ndarray
) -> None:
    deep = film().astype(np.uint16) * 257
    assert difference(read_image(save(tmp_path / "deep.png", deep), 40), reference) == 0


def test_16_bits_that_8_cannot_hold_are_rounded_once(tmp_path: Path, reference: np.ndarray) -> None:
    noise = np.random.default_rng(0).integers(-128, 129, film().shape)
    deep = np.clip(film().astype(int) * 257 + noise, 0, 65535).astype(np.uint16)
    assert difference(read_image(save(tmp_path / "deep.png", deep), 40), reference) <= 1


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_other_modes_give_the_grey_picture(
    tmp_path: Path, reference: np.ndarray, mode: str
) -> None:
    path = tmp_path / f"{mode}.png"
    Image.fromarray(film()).convert(mode).save(path)
    assert difference(read_image(path, 40), reference) <= 1


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "bit.png"
    Image.fromarray(film() > 128).convert("1").save(path)
    assert set(np.unique(read_image(path, 116)[:96])) <= set(range(256))
    grey = save(tmp_path / "grey.png", np.where(film() > 128, 255, 0).astype(np.uint8))
    assert difference(read_image(path, 40), read_image(grey, 40)) == 0


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    rgba = np.full((20, 20, 4), 255, np.uint8)
    rgba[:, :10, 3] = 0
    path = save(tmp_path / "hole.png", rgba)
    picture = read_image(path, 20)
    assert picture[:, :10].max() == 0
    assert picture[:, 10:].min() == 255


def test_one_transparent_pixel_does_not_change_the_others(tmp_path: Path) -> None:
    rgba = np.random.default_rng(2).integers(0, 256, (30, 30, 4), dtype=np.uint8)
    rgba[..., 3] = 255
    opaque = read_image(save(tmp_path / "opaque.png", rgba), 30)
    assert difference(opaque, np.asarray(Image.fromarray(rgba).convert("L"))) == 0
    rgba[4, 7, 3] = 0
    hole = read_image(save(tmp_path / "hole.png", rgba), 30).astype(int)
    assert np.argwhere(hole != opaque).tolist() == [[4, 7]]
    assert hole[4, 7] == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_is_near_within_its_noise(tmp_path: Path, reference: np.ndarray, mode: str) -> None:
    path = tmp_path / "film.JPEG"
    Image.fromarray(film()).convert("RGB").convert(mode).save(path, quality=95)
    picture = read_image(path, 40)
    assert np.abs(picture.astype(int) - reference).mean() < 2


def test_the_orientation_mark_of_a_jpeg_is_obeyed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = tmp_path / "turned.jpg"
    Image.fromarray(film()[::-1, ::-1].copy()).save(turned, quality=98, exif=exif)
    plain = save(tmp_path / "plain.jpg", film(), quality=98)
    difference = read_image(turned, 40).astype(int) - read_image(plain, 40)
    assert np.abs(difference).mean() < 2


def test_the_suffix_does_not_decide_the_format(tmp_path: Path, reference: np.ndarray) -> None:
    path = tmp_path / "really_png.jpg"
    Image.fromarray(film()).save(path, format="PNG")
    assert difference(read_image(path, 40), reference) == 0


def test_any_size_is_stretched_to_a_square(tmp_path: Path) -> None:
    path = save(tmp_path / "wide.png", film())
    assert read_image(path, 33).shape == (33, 33)
    assert read_image(path, 33).dtype == np.uint8
    assert image_size(path) == (116, 96)


def png_header(width: int, height: int) -> bytes:
    """A valid start of a PNG of that size, without pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data)


def whole_png() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(film()).save(stream, "PNG")
    return stream.getvalue()


def whole_jpeg() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(film()).save(stream, "JPEG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"Image Index,Finding Labels\n", "not a PNG"),
        (whole_png()[:2000], "truncated or damaged"),
        (whole_png()[:20], "damaged"),
        (whole_jpeg()[:1500], "truncated"),
        (whole_jpeg()[:10], "damaged"),
        (png_header(60_000, 60_000), "more than the 100,000,000 allowed"),
        (png_header(12_000, 9_000), "more than the 100,000,000 allowed"),
        (png_header(9_500, 9_900), "damaged"),
    ],
)
def test_a_bad_file_gives_a_reason_and_no_warning(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=reason):
            read_image(path, 32)


def test_a_missing_file_and_a_folder_give_a_reason(tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(ImageError, match="cannot be read"):
            read_image(path, 32)


def test_a_png_of_any_first_bytes_never_crashes(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    content = bytearray(whole_png())
    path = tmp_path / "flipped.png"
    for _ in range(60):
        broken = bytearray(content)
        for place in rng.integers(8, len(broken), 3):
            broken[place] ^= int(rng.integers(1, 256))
        path.write_bytes(bytes(broken))
        try:
            assert read_image(path, 16).shape == (16, 16)
        except ImageError:
            continue


def chunked(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values: np.ndarray, colour: int, *extra: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits a value; Pillow writes no coloured ones."""
    height, width = values.shape[:2]
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *extra, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunked(*part) for part in parts)


def deep(bits: int) -> np.ndarray:
    return np.rint(film().astype(float) * (2**bits - 1) / 255).astype(np.uint16)


def told(path: Path) -> list[str]:
    with noted() as found:
        read_image(path, 40)
    return summary([(path.name, found.number)], 1)


@pytest.mark.parametrize("bits", [8, 10, 11, 12, 14, 15])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_fewer_bits_than_the_file_has_room_for_are_read_by_what_is_there(
    tmp_path: Path, reference: np.ndarray, bits: int, suffix: str
) -> None:
    path = save(tmp_path / f"x.{suffix}", deep(bits))
    assert difference(read_image(path, 40), reference) == 0
    assert f"(1 as {bits}-bit)" in told(path)[0]


@pytest.mark.parametrize("colour", [2, 4, 6])
@pytest.mark.parametrize("bits", [12, 16])
def test_16_bits_of_colours_and_alpha_are_read_in_full(
    tmp_path: Path, reference: np.ndarray, colour: int, bits: int
) -> None:
    channels = {2: 3, 4: 2, 6: 4}[colour]
    values = np.repeat(deep(bits)[..., None], channels, axis=2)
    if channels in (2, 4):
        values[..., -1] = 65_535
    (tmp_path / "x.png").write_bytes(png16(values, colour))
    assert difference(read_image(tmp_path / "x.png", 40), reference) == 0
    assert len(told(tmp_path / "x.png")) == (bits == 12)


def test_a_dark_16_bit_picture_stays_as_it_is(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", (film().astype(np.uint16) * 80))
    assert read_grey(path).max() == round(255 * 80 / 257)
    assert told(path) == []


def test_significant_bits_tell_the_range(tmp_path: Path, reference: np.ndarray) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png16(deep(12) // 5, 0, (b"sBIT", b"\x0c")))  # dark, of 12 bits
    assert read_grey(path).max() == 51
    path.write_bytes(png16(deep(16), 0, (b"sBIT", b"\x0c")))  # spread over 16, as PNG wants it
    assert difference(read_image(path, 40), reference) == 0
    path.write_bytes(png16(deep(12), 0, (b"sBIT", b"\x10")))  # all 16 are meant
    with pytest.raises(ImageError, match="blank"):
        read_grey(path)


@pytest.mark.parametrize("bits", [0, 17, 28, 200])
def test_significant_bits_that_png_does_not_allow_count_for_nothing(
    tmp_path: Path, reference: np.ndarray, bits: int
) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(png16(deep(12), 0, (b"sBIT", bytes([bits]))))
    assert difference(read_image(path, 40), reference) == 0
    assert "(1 as 12-bit)" in told(path)[0]


def test_a_transparent_level_of_16_bits_is_black(tmp_path: Path) -> None:
    values = deep(16)
    path = tmp_path / "x.png"
    path.write_bytes(png16(values, 0, (b"tRNS", struct.pack(">H", 65_535))))
    assert not read_grey(path)[values == 65_535].any()


def exif(turn: int) -> bytes:
    mark = Image.Exif()
    mark[0x0112] = turn
    return mark.tobytes()


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: a.T[:, ::-1],
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: a.T[::-1],
}


@pytest.mark.parametrize("turn", UPRIGHT)
@pytest.mark.parametrize(
    "kind", ["8.png", "16.png", "8.tif", "16.tif", "8.webp", "8.jpg", "text.png"]
)
def test_a_camera_s_turn_is_obeyed_whatever_the_format(
    tmp_path: Path, turn: int, kind: str
) -> None:
    path = tmp_path / kind
    array = deep(16) if kind.startswith("16") else film()
    options: dict[str, object] = {"exif": exif(turn)}
    if kind.endswith("webp"):
        options["lossless"] = True
    if kind.startswith("text"):
        info = PngImagePlugin.PngInfo()
        info.add_text("XML:com.adobe.xmp", f'<x tiff:Orientation="{turn}"/>')
        options = {"pnginfo": info}
    save(path, array, **options)
    close = 40 if kind.endswith("jpg") else 1
    assert difference(read_grey(path), UPRIGHT[turn](film())) <= close


def test_tiff_s_white_is_zero_and_stated_range_count(tmp_path: Path, reference: np.ndarray) -> None:
    path = save(tmp_path / "x.tif", 4095 - deep(12), tiffinfo={262: 0})
    assert difference(read_image(path, 40), reference) <= 1
    dark = save(tmp_path / "x.tif", deep(12) // 5, tiffinfo={281: 4095})
    assert read_grey(dark).max() == 51


def test_fractions_are_read_from_lowest_to_highest_and_nan_refused(tmp_path: Path) -> None:
    values = film().astype(np.float32) / 255
    path = save(tmp_path / "x.tif", values)
    assert difference(read_grey(path), film()) == 0
    assert "lowest to their highest" in told(path)[0]
    values[4, 5] = np.nan
    with pytest.raises(ImageError, match="NaN"):
        read_grey(save(tmp_path / "x.tif", values))
    with pytest.raises(ImageError, match="below 0"):
        read_grey(save(tmp_path / "x.tif", film().astype(np.int32) - 100))


@pytest.mark.parametrize("level", [0, 77, 255])
def test_what_shows_nearly_one_grey_is_refused(tmp_path: Path, level: int) -> None:
    picture = np.full((200, 150), level, np.uint8)
    picture[:, ::2] = min(level + 15, 255)
    picture[:8, :12] = 255 - level  # a mark that somebody burnt in
    with pytest.raises(ImageError, match="blank"):
        read_grey(save(tmp_path / "x.png", picture))


def test_a_low_contrast_is_no_blank(tmp_path: Path) -> None:
    picture = film() // 6 + 100
    assert np.array_equal(read_grey(save(tmp_path / "x.png", picture)), picture)


@pytest.mark.parametrize("decoder", [True, False])
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "I;16"])
def test_wrong_sums_and_missing_ends_are_refused_on_every_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, decoder: bool
) -> None:
    if not decoder:
        monkeypatch.setattr(plain_png, "_decode", None)
    path = tmp_path / "x.png"
    Image.fromarray(deep(16) if mode == "I;16" else film()).convert(mode).save(path)
    whole = path.read_bytes()
    read_grey(path)
    pixels = whole.rindex(b"IDAT")
    (length,) = struct.unpack(">I", whole[pixels - 4 : pixels])
    broken = {
        "sum of the pixels": (pixels + 4 + length, 1),
        "last byte of the pixels": (pixels + 3 + length, 1),
        "sum of the end": (len(whole) - 1, 1),
        "name of the end": (len(whole) - 8, 32),
    }
    for place, bit in broken.values():
        data = bytearray(whole)
        data[place] ^= bit
        path.write_bytes(data)
        with pytest.raises(ImageError, match="damaged"):
            read_grey(path)
    for cut in (1, 4, 8, 12, 13, 40):
        path.write_bytes(whole[:-cut])
        with pytest.raises(ImageError, match="damaged"):
            read_grey(path)
    path.write_bytes(whole + b"what other programs leave behind the end")
    read_grey(path)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_that_ends_too_early_is_refused(
    tmp_path: Path, mode: str, options: dict[str, object]
) -> None:
    path = tmp_path / "x.jpg"
    Image.fromarray(film()).convert(mode).save(path, **options)
    whole = path.read_bytes()
    whole_picture = read_grey(path)
    path.write_bytes(whole[:-2] + bytes(20) + whole[-2:] + b"behind the end")
    assert np.array_equal(read_grey(path), whole_picture)
    for end in (b"", b"\xff\xd9"):
        if mode == "CMYK" and end:
            continue  # libjpeg-turbo's checks are for grey and three colours
        path.write_bytes(whole[: len(whole) * 3 // 4] + end)
        with pytest.raises(ImageError, match="truncated"):
            read_grey(path)


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="the real X-rays are not beside the checkout")
def test_nih_originals_give_the_resized_copies_to_the_last_bit() -> None:
    for path in sorted((REAL / "originals-1024").iterdir()):
        copy = np.asarray(Image.open(REAL / "images" / path.name).convert("L"))
        assert difference(read_image(path, 224), copy) == 0
