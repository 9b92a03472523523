"""What the fast decoder reads is what Pillow reads; all else is left to Pillow."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cxrsearch.data.errors import ImageError
from cxrsearch.data.pixels import plain_png
from cxrsearch.data.pixels.images import MAX_PIXELS, read_image
from cxrsearch.data.pixels.plain_png import read_plain

pytestmark = pytest.mark.skipif(
    not plain_png.available(), reason="kornia-rs is not installed; Pillow reads everything"
)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
WIDTH, HEIGHT = 41, 23
Chunk = tuple[bytes, bytes]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int = WIDTH, height: int = HEIGHT, *kind: int) -> Chunk:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, *(kind or (8, 0, 0, 0, 0)))


def lines(filters: Sequence[int] = (0, 1, 2, 3, 4), seed: int = 0) -> bytes:
    """Filtered lines: any bytes are a picture."""
    rng = np.random.default_rng(seed)
    return b"".join(
        bytes([filters[row % len(filters)]]) + rng.bytes(WIDTH) for row in range(HEIGHT)
    )


PACKED = zlib.compress(lines())
PLAIN: list[Chunk] = [header(), (b"IDAT", PACKED), (b"IEND", b"")]


def png(*chunks: Chunk) -> bytes:
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in chunks)


def with_chunk(kind: bytes, data: bytes, place: int = 1) -> bytes:
    return png(*PLAIN[:place], (kind, data), *PLAIN[place:])


def outcome(read: Callable[[], np.ndarray]) -> np.ndarray | str:
    try:
        return read()
    except ImageError as error:
        return str(error)


def both(path: Path) -> tuple[np.ndarray | str, np.ndarray | str]:
    """What is read with the fast decoder and by Pillow alone."""
    fast = outcome(lambda: read_image(path, 16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_png, "_decode", None)
        return fast, outcome(lambda: read_image(path, 16))


def check_same(path: Path) -> None:
    fast, slow = both(path)
    assert np.array_equal(fast, slow), (fast, slow)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.png"


def fast(file: Path, data: bytes) -> bool:
    """Whether the fast decoder takes the file; it must come to what Pillow comes to anyway."""
    file.write_bytes(data)
    check_same(file)
    return read_plain(file, MAX_PIXELS) is not None


@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), (4, 2, 0, 3, 1)])
def test_every_filter_gives_pillow_s_picture(file: Path, filters: tuple[int, ...]) -> None:
    packed = zlib.compress(lines(filters))
    file.write_bytes(png(header(), (b"IDAT", packed), (b"IEND", b"")))
    picture = read_plain(file, MAX_PIXELS)
    assert picture is not None
    with Image.open(file) as image:
        assert np.array_equal(picture, np.asarray(image))


HARMLESS = [
    (b"tIME", bytes(7)),
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", bytes(range(32))),
    (b"sRGB", b"\0"),
    (b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    (b"bKGD", b"\0\xff"),
    (b"sBIT", b"\7"),
    (b"tEXt", b"Software\0any"),
]


@pytest.mark.parametrize("extra", HARMLESS)
@pytest.mark.parametrize("place", [1, 2])
def test_harmless_chunks_are_read_past(file: Path, extra: Chunk, place: int) -> None:
    assert fast(file, with_chunk(*extra, place))


@pytest.mark.parametrize("parts", [1, 7, len(PACKED)])
def test_pixels_may_be_in_any_number_of_chunks(file: Path, parts: int) -> None:
    step = -(-len(PACKED) // parts)
    pieces = [(b"IDAT", PACKED[at : at + step]) for at in range(0, len(PACKED), step)]
    assert fast(file, png(header(), (b"IDAT", b""), *pieces, (b"IEND", b"")))


def bad_sum(data: bytes, kind: bytes) -> bytes:
    start = data.index(kind)
    (length,) = struct.unpack(">I", data[start - 4 : start])
    broken = bytearray(data)
    broken[start + 4 + length] ^= 1
    return bytes(broken)


def upside_down() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 3
    return exif.tobytes()


WHOLE = png(*PLAIN)
NOT_PLAIN = {
    "transparent level": with_chunk(b"tRNS", b"\0\x05"),
    "turn of the camera": with_chunk(b"eXIf", upside_down().removeprefix(b"Exif\0\0")),
    "turn in a text": with_chunk(b"tEXt", b"exif\0" + upside_down()),
    "packed text": with_chunk(b"zTXt", b"a\0\0" + zlib.compress(b"text")),
    "long text": with_chunk(b"tEXt", b"a\0" + bytes(2000)),
    "animation": with_chunk(b"acTL", struct.pack(">II", 1, 0)),
    "colour profile": with_chunk(b"iCCP", b"a\0\0" + zlib.compress(b"profile")),
    "short chunk": with_chunk(b"gAMA", b"\0"),
    "unknown critical chunk": with_chunk(b"ABCD", b"data"),
    "second header": with_chunk(*header()),
    "pixels in two runs": png(
        header(), (b"IDAT", PACKED[:50]), HARMLESS[0], (b"IDAT", PACKED[50:]), (b"IEND", b"")
    ),
    "wrong sum of the header": bad_sum(WHOLE, b"IHDR"),
    "wrong sum of a harmless chunk": bad_sum(with_chunk(*HARMLESS[1]), b"gAMA"),
    "wrong sum of pixels": bad_sum(WHOLE, b"IDAT"),
    "something behind the end": WHOLE + b"more",
    "no end": WHOLE[:-12],
    "cut off": WHOLE[:-40],
    "header alone": WHOLE[:33],
    "cut header": WHOLE[:20],
    "no pixels": png(header(), (b"IEND", b"")),
    "too few lines": png(header(WIDTH, HEIGHT + 1), *PLAIN[1:]),
    "unknown filter": png(header(), (b"IDAT", zlib.compress(lines((5,)))), (b"IEND", b"")),
    "no picture": png(header(0, HEIGHT), *PLAIN[1:]),
    "bomb": png(header(60_000, 60_000), *PLAIN[1:]),
    "interlaced": png(header(WIDTH, HEIGHT, 8, 0, 0, 0, 1), *PLAIN[1:]),
    "padded": with_chunk(b"tEXt", b"a\0b" + bytes(500)).replace(
        chunk(b"IEND", b""), chunk(b"tEXt", b"a\0" + bytes(900)) * 80 + chunk(b"IEND", b"")
    ),
}


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_what_is_not_plain_or_not_sound_is_left_to_pillow(file: Path, name: str) -> None:
    assert not fast(file, NOT_PLAIN[name])


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGB", "RGBA", "I;16"])
def test_other_kinds_of_pixels_are_left_to_pillow(file: Path, mode: str) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    (deep if mode == "I;16" else Image.fromarray(grey).convert(mode)).save(file)
    assert not fast(file, file.read_bytes())


def test_more_pixels_than_allowed_are_not_read(file: Path) -> None:
    file.write_bytes(WHOLE)
    assert read_plain(file, WIDTH * HEIGHT) is not None
    assert read_plain(file, WIDTH * HEIGHT - 1) is None


def test_a_sound_chunk_with_a_wrong_sum_inside_is_read_though_pillow_refuses(file: Path) -> None:
    """The one difference, and no program's mistake: both sums are of the same bytes."""
    file.write_bytes(png(header(), (b"IDAT", PACKED[:-4] + bytes(4)), (b"IEND", b"")))
    fast, slow = both(file)
    assert "broken data stream" in str(slow)
    file.write_bytes(WHOLE)
    assert np.array_equal(fast, read_image(file, 16))


def test_a_missing_file_is_left_to_pillow(tmp_path: Path) -> None:
    assert read_plain(tmp_path / "none.png", MAX_PIXELS) is None


def test_without_the_decoder_pillow_reads(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(WHOLE)
    expected = read_image(file, 16)
    monkeypatch.setattr(plain_png, "_decode", None)
    assert read_plain(file, MAX_PIXELS) is None
    assert np.array_equal(read_image(file, 16), expected)


@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(1, 255)), max_size=4),
    st.integers(0, len(WHOLE)),
)
def test_any_damage_comes_to_what_pillow_comes_to(
    tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(WHOLE)
    for place, bits in flips:
        data[place] ^= bits
    path = tmp_path_factory.getbasetemp() / "damaged.png"
    path.write_bytes(data[:length] if length % 3 == 0 else data)
    check_same(path)


@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.lists(st.integers(0, 4), min_size=1, max_size=9),
    st.integers(0, 9),
    st.lists(st.sampled_from([*HARMLESS, (b"tRNS", b"\0\x07"), (b"zTXt", b"a\0\0x")]), max_size=3),
    st.integers(1, 400),
    st.binary(max_size=40),
)
def test_any_picture_comes_to_what_pillow_comes_to(
    tmp_path_factory: pytest.TempPathFactory,
    width: int,
    height: int,
    filters: list[int],
    level: int,
    extra: list[Chunk],
    step: int,
    surplus: bytes,
) -> None:
    rng = np.random.default_rng(width * height)
    raw = b"".join(bytes([filters[row % len(filters)]]) + rng.bytes(width) for row in range(height))
    packed = zlib.compress(raw + surplus, level)
    pieces = [(b"IDAT", packed[at : at + step]) for at in range(0, len(packed), step)]
    path = tmp_path_factory.getbasetemp() / "any.png"
    path.write_bytes(png(header(width, height), *extra, *pieces, (b"IEND", b"")))
    check_same(path)
