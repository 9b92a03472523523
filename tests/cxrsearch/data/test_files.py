"""Which files below a folder are images, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.files import find_images
from cxrsearch.data.labels.csv_rows import read_lines
from cxrsearch.data.read import folder_problem
from cxrsearch.errors import InputError


def picture(path: Path, kind: str = "PNG") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path, kind)


def test_what_is_of_no_format_that_is_read_is_named_in_one_line(tmp_path: Path) -> None:
    picture(tmp_path / "ok.PNG")
    picture(tmp_path / "half.png.part")
    (tmp_path / "a.jp2").write_bytes(b"\0\0\0\x0cjP  ")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "scan.nii").write_bytes(b"\x5c\x01\0\0")
    found = find_images(tmp_path)
    assert found.files == ("ok.PNG",)
    assert found.notes == (
        "3 files are left out, as no image that is read has such a format or suffix: a.jp2, "
        "half.png.part (PNG), sub/scan.nii",
    )
    for number in range(20):
        (tmp_path / f"{number:02}.jp2").write_bytes(b"\0")
    (note,) = find_images(tmp_path).notes
    assert note.startswith("23 files are")
    assert note.endswith(" and 18 more")


@pytest.mark.parametrize("name", ["IM0001", "1.2.840.113619.2.5", "scan.ima", "dir.v2/I10"])
def test_dicom_is_told_by_its_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\0" * 128 + b"DICM")
    assert find_images(tmp_path) == ((name,), ())


def test_what_holds_no_image_needs_no_word(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "bare")
    for name in (
        "README", "labels.csv", "notes.TXT", ".DS_Store", "._a.png", "Thumbs.db", "desktop.ini",
        "report.pdf", "a.xml",
    ):  # fmt: skip
        (tmp_path / name).write_bytes(b"text")
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "__MACOSX").mkdir()
    picture(tmp_path / "__MACOSX" / "b.png")
    assert find_images(tmp_path) == (("a.png", "bare"), ())


def test_links_are_followed_once_and_said_where_they_lead_nowhere(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "x.png")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    found = find_images(tmp_path)
    assert found.files == ("a/x.png",)
    assert found.notes == ("links that lead nowhere: 2, such as gone",)


def test_a_file_is_looked_into_only_where_its_name_does_not_say_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.png", "b.dcm", "c.tif"):
        (tmp_path / name).write_bytes(b"")

    def refused(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr("cxrsearch.data.files.opened", refused)
    assert len(find_images(tmp_path).files) == 3


@pytest.mark.parametrize("address", ["s3://bucket/x", "gs://b/x", "https://host/x", "hdfs://n/x"])
def test_an_address_is_told_from_a_folder_that_is_missing(address: str) -> None:
    for path in (Path(address), Path(address).resolve()):
        assert str(folder_problem(path)).startswith(f"{address}: images and tables must be local")
        with pytest.raises(InputError, match="must be local"):
            read_lines(path)
    assert "no such folder" in str(folder_problem(Path("nowhere")))
