"""Tables of boxes as NIH's: read to the letter, or refused by line and value."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.boxes import (
    BOX_HEADER,
    Box,
    box_label,
    images_called,
    read_boxes,
    write_boxes,
)
from cxrsearch.errors import InputError

NIH = (
    "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    "00013118_008.png,Atelectasis,225.084745762712,547.019216763771,86.7796610169491,"
    "79.1864406779661,,,\n"
    "00014716_007.png,Infiltrate,686.101694915254,131.543498111268,185.491525423729,"
    "313.491525423729,,,\n"
)


def table(folder: Path, text: str) -> Path:
    path = folder / "boxes.csv"
    path.write_text(text)
    return path


def test_nihs_own_header_and_its_pixels_of_1024(tmp_path: Path) -> None:
    first, second = read_boxes(table(tmp_path, NIH))
    assert (first.image, first.label, first.line) == ("00013118_008.png", "Atelectasis", 2)
    assert first.left == pytest.approx(225.084745762712 / 1024)
    assert first.top == pytest.approx(547.019216763771 / 1024)
    assert first.right == pytest.approx((225.084745762712 + 86.7796610169491) / 1024)
    assert first.bottom == pytest.approx((547.019216763771 + 79.1864406779661) / 1024)
    assert box_label(second.label, DISEASES) == "Infiltration"


def test_what_is_written_is_read(tmp_path: Path) -> None:
    boxes = [Box("a.png", "Mass", 0.125, 0.25, 0.5, 1.0, 2), Box("b.png", "Edema", 0, 0, 1, 1, 3)]
    write_boxes(tmp_path / "boxes.csv", boxes)
    assert (tmp_path / "boxes.csv").read_text().startswith(BOX_HEADER + "\n")
    assert list(read_boxes(tmp_path / "boxes.csv")) == boxes


def test_pictures_that_are_no_squares_say_their_size(tmp_path: Path) -> None:
    text = "image,label,x,y,w,h,Image Width,Image Height\na,Mass,1000,100,1000,200,2000,2500\n"
    (box,) = read_boxes(table(tmp_path, text))
    assert (box.left, box.top, box.right, box.bottom) == (0.5, 0.04, 1.0, 0.12)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("a.png,Mass,900,0,200,10", r"line 2: .* from \(900, 0\) to \(1100, 10\), beyond a pic"),
        ("a.png,Mass,-40,0,200,10", r"line 2: .* from \(-40, 0\)"),
        ("a.png,Mass,one,0,200,10", r"line 2: x is 'one'"),
        ("a.png,Mass,1,2,3", r"line 2: h is ''"),
        ("a.png,Mass,1,2,nan,3", r"line 2: w is 'nan'"),
        ("a.png,Mass,1,2,0,3", r"line 2: the box is 0 wide and 3 high"),
        (",Mass,1,2,3,4", "line 2: no image"),
        ("a.png,,1,2,3,4", "line 2: no label"),
    ],
)
def test_a_row_that_cannot_be_is_named(tmp_path: Path, row: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read_boxes(table(tmp_path, f"{BOX_HEADER}\n{row}\n"))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_boxes(table(tmp_path, BOX_HEADER + "\n" + "a,b,c,d,e,f\n" * 15))
    assert len(caught.value.problems) == 11
    assert caught.value.problems[-1].endswith("5 more lines like these")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no column for image"),
        ("a,b\n1,2\n", "no column for image, label, x, y, w, h among 'a', 'b'"),
        (BOX_HEADER + "\n\n", "no box in it"),
        ("image,label,x,y,w,h,Image Width\n", "give Image Width and Image Height both"),
    ],
)
def test_what_is_no_table_of_boxes_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        read_boxes(table(tmp_path, text))
    with pytest.raises(InputError, match="no such file"):
        read_boxes(tmp_path / "none.csv")


def test_images_are_found_by_name_file_name_or_stem() -> None:
    names = ["images_1/a.png", "b.png", "c/d.png", "e/d.png"]
    found = images_called(names, ["a.png", "b", "d.png", "c/d.png", "other"])
    assert found == {"a.png": 0, "b": 1, "c/d.png": 2}
