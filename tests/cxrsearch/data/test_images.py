from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.errors import ImageError
from cxrsearch.data.images import image_size, read_image

REAL = Path(__file__).parents[4] / "shared" / "nih-small"


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


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="the real X-rays are not beside the checkout")
def test_nih_originals_give_the_resized_copies_to_the_last_bit() -> None:
    for path in sorted((REAL / "originals-1024").iterdir()):
        copy = np.asarray(Image.open(REAL / "images" / path.name).convert("L"))
        assert difference(read_image(path, 224), copy) == 0
