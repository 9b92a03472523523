from __future__ import annotations

import gzip
import os
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.recognise import find_table
from cxrsearch.data.labels.tables import read_table
from cxrsearch.data.read import fingerprint, read_dataset, read_test_list
from cxrsearch.errors import InputError

REAL = Path(__file__).parents[4] / "shared" / "nih-small"
HEADER = "Image Index,Finding Labels,Patient ID\n"


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.tile(np.repeat(np.array([17, 137], np.uint8), 6), (10, 1))).save(path)
    with path.open("ab") as file:  # each an image of its own, as its content says
        file.write(str(path).encode())


def nih(folder: Path, rows: Sequence[str], files: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "Data_Entry_2017.csv").write_text(HEADER + "".join(f"{row}\n" for row in rows))
    for file in files:
        picture(folder / file)
    return folder


def problems(folder: Path, labels: Path | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_dataset(folder, labels)
    return caught.value.problems


def test_nih_rows_become_sorted_labels_and_patients(tmp_path: Path) -> None:
    rows = ["b.png,Mass|Pleural Thickening,7", "a.png,No Finding,08", "c.png,hernia,7"]
    data = read_dataset(nih(tmp_path, rows, ["x/a.png", "x/y/b.png", "c.png", "free.PNG"]))
    assert data.names == ("a.png", "b.png", "c.png")
    assert data.patients.tolist() == ["08", "7", "7"]
    assert [np.flatnonzero(row).tolist() for row in data.labels] == [[], [4, 12], [13]]
    assert data.unlabelled == ("free.PNG",)
    assert data.source.decode("b.png", 2).tolist() == [[28, 126]] * 2
    assert data.source.decode("free.PNG", 6).mean() == 77
    assert data.source_side == 10
    assert data.notes == ()
    assert data.label == str(tmp_path)


def test_other_columns_are_kept(tmp_path: Path) -> None:
    nih(tmp_path, [], ["a.png"])
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Original[Width,Height],\n"
        "a.png,Mass,3,1,2682,2749,\n"
    )
    extra = read_dataset(tmp_path).extra
    assert {name: values.tolist() for name, values in extra.items()} == {
        "Follow-up #": ["3"],
        "Original[Width": ["2682"],
        "Height]": ["2749"],
    }


def test_a_label_without_its_image_is_one_note(tmp_path: Path) -> None:
    rows = [f"{i:03}.png,Mass,{i}" for i in range(30)]
    data = read_dataset(nih(tmp_path, rows, ["004.png", "005.png"]))
    assert data.names == ("004.png", "005.png")
    assert len(data.notes) == 1
    assert "28 of the 30" in data.notes[0]
    assert "'000.png'" in data.notes[0]


def test_the_folder_with_most_images_wins_and_copies_are_not_unlabelled(tmp_path: Path) -> None:
    rows = [f"{i}.png,Mass,{i}" for i in range(3)]
    files = ["big/0.png", "aaa/0.png", "images/0.png", "images/1.png", "images/2.png", "u/9.png"]
    data = read_dataset(nih(tmp_path, rows, files))
    assert [data.source.files[name] for name in data.names] == [  # type: ignore[attr-defined]
        "images/0.png",
        "images/1.png",
        "images/2.png",
    ]
    assert data.unlabelled == ("u/9.png",)
    assert len(data.notes) == 1
    assert "aaa (1), big (1)" in data.notes[0]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("a", "images/a.png"),
        ("a.png", "deep/er/a.png"),
        ("images/a.png", "images/a.png"),
        ("nih/images/a.png", "images/a.png"),
        ("images\\a.png", "x/images/a.png"),
        ("./a.png", "a.png"),
        ("a.png", "a.jpeg"),
        ("1.2.840.7", "1.2.840.7.png"),
        ("0012", "0012.png"),
    ],
)
def test_a_name_may_be_path_base_name_or_stem(tmp_path: Path, name: str, file: str) -> None:
    data = read_dataset(nih(tmp_path, [f"{name},Mass,1"], [file]))
    assert data.names == (name,)
    assert data.source.files[name] == file  # type: ignore[attr-defined]


def test_a_base_name_in_another_folder_is_another_image(tmp_path: Path) -> None:
    rows = ["p1/view.png,Mass,1", "p2/view.png,Hernia,2"]
    data = read_dataset(nih(tmp_path, rows, ["p1/view.png", "p3/view.png"]))
    assert data.names == ("p1/view.png",)
    assert data.unlabelled == ("p3/view.png",)


def one_hot(
    path: Path, rows: Sequence[str], header: Sequence[str] = DISEASES, first: str = "image"
) -> Path:
    path.write_text("\n".join([",".join([first, *header]), *rows]) + "\n")
    return path


def test_a_one_hot_table_with_odd_spelling(tmp_path: Path) -> None:
    header = [d.upper().replace("_", " ") for d in reversed(DISEASES)] + ["no-finding", "Age"]
    marks = ["0"] * 14
    rows = [",".join(["00000012_001.png", "1", *marks[1:-1], "1.0", "0", "44"])]
    rows.append(",".join(["00000013_000.png", *marks, "1", "45"]))
    one_hot(tmp_path / "train.csv", rows, header, first="Id")
    picture(tmp_path / "00000012_001.png")
    picture(tmp_path / "00000013_000.png")
    data = read_dataset(tmp_path)
    assert [np.flatnonzero(row).tolist() for row in data.labels] == [[0, 13], []]
    assert data.patients.tolist() == ["12", "13"]
    assert "NIH's file names" in data.notes[0]
    assert data.extra["Age"].tolist() == ["44", "45"]


def test_without_patients_each_image_is_its_own_and_a_note_says_so(tmp_path: Path) -> None:
    one_hot(tmp_path / "t.csv", [",".join([name, *"1" + "0" * 13]) for name in ("q", "r")])
    picture(tmp_path / "q.png")
    picture(tmp_path / "r.png")
    data = read_dataset(tmp_path)
    assert data.patients.tolist() == ["q", "r"]
    assert "too good" in data.notes[0]


def test_empty_lines_and_cells_around_a_table_say_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text = "\r\n" + HEADER.replace("\n", ",,\r\n") + "a.png,Mass,1\r\n\r\n"
    (tmp_path / "Data_Entry_2017.csv").write_bytes(text.encode())
    data = read_dataset(tmp_path)
    assert (data.names, data.patients.tolist(), data.extra) == (("a.png",), ["1"], {})


def test_gzip_semicolons_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff" + HEADER.replace(",", ";") + "a.png;Mass;1\r\n\r\n"
    (tmp_path / "Data_Entry_2017_v2020.csv.gz").write_bytes(gzip.compress(text.encode()))
    picture(tmp_path / "a.png")
    assert read_dataset(tmp_path).names == ("a.png",)


def test_the_exact_table_wins_then_the_sole_candidate_then_nih_s_name(tmp_path: Path) -> None:
    nih(tmp_path, ["a.png,Mass,1"], ["a.png"])
    (tmp_path / "other.csv").write_text(HEADER + "a.png,Hernia,1\n")
    (tmp_path / "BBox_List_2017.csv").write_text("Image Index,Finding Label,x\na.png,Mass,3\n")
    assert read_dataset(tmp_path).labels[0, 4] == 1
    (tmp_path / "Data_Entry_2017.csv").rename(tmp_path / "Data_Entry_2017_v2020.csv")
    assert read_dataset(tmp_path).labels[0, 4] == 1
    (tmp_path / "Data_Entry_2017_v2020.csv").rename(tmp_path / "mine.csv")
    (message,) = problems(tmp_path)
    assert "mine.csv, other.csv" in message
    assert "--labels" in message
    assert read_dataset(tmp_path, tmp_path / "other.csv").labels[0, 13] == 1
    (tmp_path / "other.csv").unlink()
    assert read_dataset(tmp_path).labels[0, 4] == 1


def test_bad_places(tmp_path: Path) -> None:
    (tmp_path / "file.png").write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    found = problems(tmp_path / "none", tmp_path / "no.csv")
    assert "no such folder" in found[0]
    assert "no such label table" in found[1]
    assert "a file, but a folder" in problems(tmp_path / "file.png")[0]
    assert "cannot be read" in problems(tmp_path / ("x" * 300))[0]
    assert "the folder is empty" in problems(tmp_path / "empty")[0]
    assert "no label table" in problems(tmp_path)[0]


def test_a_pipe_called_like_a_table_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv.gz"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "c.csv").mkdir()
    with pytest.raises(InputError, match="no label table"):
        find_table(tmp_path)
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"Image Index,Finding Labels\na.png,Hernia"))
    assert find_table(tmp_path).name == "d.csv.gz"


def test_no_images_or_none_of_the_table(tmp_path: Path) -> None:
    nih(tmp_path, ["a.png,Mass,1"], [])
    assert "no images anywhere" in problems(tmp_path)[0]
    picture(tmp_path / "z.png")
    (message,) = problems(tmp_path)
    assert "'a.png'" in message
    assert "'z.png'" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        (HEADER, "a header, but no rows"),
        ("Image Index,Finding Label,Patient ID\na,Mass,1\n", "did you mean 'Finding Label'"),
        ("Picture,Finding Labels\na,Mass\n", "no image column"),
        (HEADER + "a.png,Mas,1\n", "line 2: unknown disease 'Mas'; did you mean 'Mass'?"),
        (HEADER + "a.png,,1\n", "no label"),
        (HEADER + "a.png,Mass|No Finding,1\n", "at once"),
        (HEADER + "a.png,Mass,1\na.png,Mass,1\n", "duplicate image 'a.png', first on line 2"),
        (HEADER + "a.png,Mass,1\na,Hernia,1\n", "duplicate image: 'a', 'a.png'"),
        (HEADER + "a.png,Mass,\n", "no patient"),
        (HEADER + "a.png,Mass,nan\n", "no patient"),
        (HEADER + ",Mass,1\n", "no image name"),
        (HEADER + "a.png,Mass\n", "line 2: 2 cells where the header has 3"),
        (HEADER + "a.png,Mass,1,Hernia\n", "line 2: 4 cells"),
        (HEADER + '"a.png,Mass,1\n', "not a CSV file"),
        (HEADER + "a.png\0,Mass,1\n", "not a text file"),
    ],
)  # fmt: skip
def test_bad_tables(tmp_path: Path, text: str, expected: str) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "Data_Entry_2017.csv").write_text(text)
    found = problems(tmp_path)
    assert any(expected in message for message in found), found
    assert any("Data_Entry_2017.csv" in message for message in found) or "duplicate" in expected


def test_bad_encodings(tmp_path: Path) -> None:
    table = tmp_path / "Data_Entry_2017.csv"
    for data, expected in [
        ((HEADER + "ä.png,Mass,1\n").encode("latin-1"), "not UTF-8"),
        ((HEADER + "a.png,Mass,1\n").encode("utf-16"), "not UTF-8"),
        (gzip.compress(HEADER.encode())[:-9], "gzip"),
    ]:
        table.write_bytes(data)
        assert expected in problems(tmp_path)[0]


def test_one_hot_problems_are_collected_with_line_numbers(tmp_path: Path) -> None:
    cells = ["0", "many", "nan", "2", ""]
    rows = [",".join([f"{i}", *["1"] * 13, value]) for i, value in enumerate(cells)]
    found = problems(tmp_path, one_hot(tmp_path / "t.csv", rows))
    assert [message.partition(", ")[2] for message in found] == [
        "line 3: Hernia is 'many'; write 0, 1, -1 (uncertain) or nothing (not known)",
        "line 5: Hernia is '2'; write 0, 1, -1 (uncertain) or nothing (not known)",
    ]


def test_columns_of_marks_are_labels_whatever_they_are_called(tmp_path: Path) -> None:
    header = ["Hernai" if d == "Hernia" else d for d in DISEASES if d != "Mass"]
    one_hot(tmp_path / "t.csv", ["a" + ",0" * 13, "b" + ",1" * 13], header)
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    assert read_dataset(tmp_path).label_names == tuple(header)


def test_many_problems_of_one_kind_are_ten_and_a_count(tmp_path: Path) -> None:
    rows = [f"{i}.png,{'Mass' if i < 1 else 'Nonsense'},{'' if i < 3 else i}" for i in range(40)]
    found = problems(nih(tmp_path, rows, ["a.png"]))
    assert len(found) == 10 + 1 + 3
    assert "29 more" in found[10]


def test_the_fingerprint_is_of_content_not_of_order() -> None:
    labels = np.eye(3, 14, dtype=np.uint8)
    patients = np.array(["1", "2", "2"])
    order = [2, 0, 1]
    one = fingerprint(["a", "b", "c"], labels, patients)
    assert one == fingerprint(["c", "a", "b"], labels[order], patients[order])
    assert one != fingerprint(["a", "b", "d"], labels, patients)
    assert one != fingerprint(["a", "b", "c"], labels[order], patients)
    assert one != fingerprint(["a", "b", "c"], labels, np.array(["1", "1", "2"]))


def test_a_dataset_can_be_pickled(tmp_path: Path) -> None:
    data = read_dataset(nih(tmp_path, ["a.png,Mass,1"], ["a.png"]))
    copy = pickle.loads(pickle.dumps(data))
    assert copy.fingerprint == data.fingerprint
    assert copy.source.decode("a.png", 4).shape == (4, 4)


def test_the_stamp_follows_the_file(tmp_path: Path) -> None:
    data = read_dataset(nih(tmp_path, ["a.png,Mass,1"], ["a.png"]))
    before = data.source.stamp("a.png")
    assert data.source.stamp("a.png") == before
    Image.new("L", (13, 10)).save(tmp_path / "a.png")
    assert data.source.stamp("a.png") != before
    kept, old = (tmp_path / "a.png").stat(), data.source.stamp("a.png")
    # The clock that stamps files ticks every few milliseconds, or more seldom.
    while (tmp_path / "a.png").stat().st_ctime_ns == kept.st_ctime_ns:
        (tmp_path / "a.png").write_bytes(b"x" * kept.st_size)
        os.utime(tmp_path / "a.png", ns=(kept.st_atime_ns, kept.st_mtime_ns))
    assert data.source.stamp("a.png") != old, "same size, and the old time put back"
    (tmp_path / "a.png").unlink()
    assert "unreadable" in data.source.stamp("a.png")


def test_a_link_that_leads_back_is_followed_once(tmp_path: Path) -> None:
    nih(tmp_path, ["a.png,Mass,1"], ["images/a.png"])
    (tmp_path / "images" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert read_dataset(tmp_path).unlabelled == ()


def test_a_folder_goes_by_its_own_name_not_by_that_of_a_link(tmp_path: Path) -> None:
    nih(tmp_path, ["m/a.png,Mass,1"], ["m/a.png", "m/b.png"])
    for link in ("a", "z", "0", "y"):
        (tmp_path / link).symlink_to(tmp_path / "m", target_is_directory=True)
    data = read_dataset(tmp_path)
    assert (data.names, data.unlabelled) == (("m/a.png",), ("m/b.png",))


def test_a_test_list(tmp_path: Path) -> None:
    path = tmp_path / "test_list.txt"
    path.write_text("a.png\r\nb.png\n\n a.png \n")
    assert read_test_list(path) == ["a.png", "b.png"]
    for content, expected in [(b"", "empty"), (b"\xff\xfe\x00", "UTF-8")]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=expected):
            read_test_list(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_test_list(tmp_path / "none.txt")


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(max_size=200) | st.text(alphabet='aMs,|"\n1;\t', max_size=80).map(HEADER.__add__)
)
def test_any_text_is_a_table_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        table = read_table(path)
    except InputError as error:
        assert error.problems  # noqa: PT017
    else:
        assert len(table.images) == len(table.labels) == len(table.patients) > 0


@pytest.mark.real
@pytest.mark.skipif(not REAL.exists(), reason="the real X-rays are not beside the checkout")
def test_the_real_folder() -> None:
    data = read_dataset(REAL)
    assert len(data.names) == 1916
    assert len(data.unlabelled) == 632
    assert len(set(data.patients)) == 1536
    assert data.source_side == 224
    assert len(data.notes) == 1
    assert "originals-1024 (12)" in data.notes[0]
