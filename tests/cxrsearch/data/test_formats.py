"""Which files are images, by name and by content, and that nothing else is waited for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.errors import ImageError
from cxrsearch.data.files import find_images
from cxrsearch.data.formats import BMP, DICOM, FORMATS, GIF, JPEG, PNG, TIFF, WEBP, told_by
from cxrsearch.data.pixels.images import image_size, read_grey, read_image, thumbnail


def film() -> np.ndarray:
    y, x = np.mgrid[:80, :60] / 80
    return (125 + 120 * np.sin(6 * x) * np.cos(4 * y)).astype(np.uint8)


def test_a_format_is_told_by_its_first_bytes() -> None:
    assert told_by(b"\x89PNG\r\n\x1a\n" + bytes(124), "x.dcm") is PNG
    assert told_by(b"\xff\xd8\xff\xe0") is JPEG
    assert told_by(bytes(128) + b"DICM", "IM000001") is DICOM
    assert told_by(b"II*\0") is told_by(b"MM\0*") is TIFF
    assert told_by(b"BM") is BMP
    assert told_by(b"RIFF\x10\0\n\0WEBPVP8 ") is WEBP
    assert told_by(b"GIF89a") is GIF
    assert told_by(b"no preamble", "x.DCM") is DICOM
    assert told_by(b"no preamble", "x.png") is None
    assert told_by(b"", "x.dcm") is None


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".bmp", ".webp", ".gif"])
def test_every_lossless_format_gives_the_same_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    Image.fromarray(film()).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    assert find_images(tmp_path).files == (path.name,)
    assert np.abs(read_grey(path).astype(int) - film()).max() <= 1
    assert image_size(path) == (60, 80)


@pytest.mark.parametrize("suffix", [".tif", ".gif", ".webp", ".png"])
def test_a_file_of_several_pictures_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    frames = [Image.fromarray(film()), Image.fromarray(255 - film())]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="several pictures"):
        read_grey(path)


def refusals(path: Path) -> list[str]:
    found = []
    for read in (read_grey, image_size, lambda p: read_image(p, 8), lambda p: thumbnail(p, 8)):
        with pytest.raises(ImageError) as error:
            read(path)
        found.append(str(error.value))
    return found


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "device.png").symlink_to("/dev/zero")
    reasons = {"pipe": "a pipe", "folder": "a folder", "link": "No such file", "device": "device"}
    for name, reason in reasons.items():
        assert all(reason in said for said in refusals(tmp_path / f"{name}.png"))
    assert all("cannot be read" in said for said in refusals(tmp_path / "loop.png"))


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket has to be short
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("x.png")
        assert all("a socket" in said for said in refusals(Path("x.png")))


def test_a_file_without_end_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "long.dcm"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    assert all("3,221,225,472 bytes" in said for said in refusals(path))


def test_the_formats_have_no_suffix_in_common() -> None:
    suffixes = [suffix for one in FORMATS for suffix in one.suffixes]
    assert len(set(suffixes)) == len(suffixes)
