from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxrsearch.data.description import Description, LabelFrom, Pattern
from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.labels.recognise import of_table
from cxrsearch.data.labels.tables import LabelTable, read_table
from cxrsearch.errors import InputError

NAN = np.nan


def write(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows))
    return path


def described(path: Path, **changes: Any) -> Description:
    return replace(of_table(path.parent, path, (), changes), **changes)


def labels(*names: str, **sources: str) -> tuple[LabelFrom, ...]:
    return tuple(LabelFrom(n, s) for n, s in {**{name: name for name in names}, **sources}.items())


def problems(path: Path, **changes: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_table(described(path, **changes))
    return caught.value.problems


def marks(table: LabelTable) -> dict[str, list[float]]:
    return dict(zip(table.label_names, table.labels.T.tolist(), strict=True))


def same(found: Mapping[str, Sequence[float]], wanted: Mapping[str, Sequence[float]]) -> None:
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_covid_column_beside_nih_s_list_is_a_label_too(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "Image Index,Finding Labels,Patient ID,COVID-19,Follow-up #",
        "a.png,Mass|Hernia,1,0,0",
        "b.png,No Finding,2,1,1",
    )
    table = read_table(path)
    assert table.label_names == (*DISEASES, "COVID-19")
    assert table.labels[:, -1].tolist() == [0, 1]
    assert table.format == "nih"
    assert "Follow-up #" in table.ignored["columns"]
    assert table.extra["Follow-up #"].tolist() == ["0", "1"]


def test_a_covid_column_beside_nih_s_columns_is_a_label_too(tmp_path: Path) -> None:
    head = ",".join(["id", "COVID-19", *reversed(DISEASES)])
    table = read_table(write(tmp_path / "t.csv", head, "a" + ",1" * 15, "b" + ",0" * 15))
    assert table.label_names == (*DISEASES, "COVID-19")


def test_any_names_and_any_words(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "file,Pleural Effusion,Nodule/Mass,TB,age,notes",
        "a,1,yes,,33,x",
        "b,0,no,-1,44,y",
        "c,-1.0,?,0.25,55,z",
        "d,,present,1,66,w",
    )
    table = read_table(path)
    same(
        marks(table),
        {
            "Pleural Effusion": [1, 0, NAN, NAN],
            "Nodule/Mass": [1, 0, NAN, 1],
            "TB": [NAN, NAN, 0.25, 1],
        },
    )
    assert table.labels.dtype == np.float32
    assert table.uncertain is not None
    assert table.uncertain.tolist() == [
        [False, False, False], [False, False, True], [True, True, False], [False, False, False],
    ]  # fmt: skip
    assert table.counts["TB"] == {"positive": 1, "negative": 1, "uncertain": 1, "blank": 1}
    assert table.roles == {"age": "age"}
    assert table.ignored["columns"] == {"notes": "text, no marks of a label"}


def test_blank_and_uncertain_as_described_by_label(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,A,B", "1,1,", "2,,1", "3,0,0", "4,-1,u")
    table = read_table(
        described(path, blank={"": "ignore", "B": "negative"}, uncertain={"A": "soft"})
    )
    same(marks(table), {"A": [1, NAN, 0, NAN], "B": [0, 1, 0, NAN]})
    assert table.uncertain_as == ("soft", "ignore")
    assert table.blanks == {"A": (1, "ignore"), "B": (1, "negative")}
    assert read_table(described(path)).uncertain_as == ()


def test_no_finding_says_that_blank_cells_are_absent(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,A,B,No Finding", "1,1,,", "2,,1,0", "3,,,1")
    same(marks(read_table(path)), {"A": [1, NAN, 0], "B": [NAN, 1, 0]})


def test_images_of_which_nothing_is_known_are_no_labelled_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,A", "1,1", "2,", "3,0", "4,-1")
    table = read_table(path)
    assert table.images == ("1", "3", "4")
    assert any("1 of 4 images have no mark" in note for note in table.notes)
    assert table.left_out == ()


def test_labels_may_be_chosen_and_renamed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,a col,B,C", "1,1,0,0", "2,0,1,1")
    table = read_table(described(path, labels=labels("C", Mass="a col")))
    same(marks(table), {"C": [0, 1], "Mass": [1, 0]})
    assert table.sources == ("C", "a col")
    assert table.named(described(path)).labels == (LabelFrom("C", "C"), LabelFrom("Mass", "a col"))


def test_a_list_of_labels_with_any_separator(tmp_path: Path) -> None:
    for separator in ("|", ";", ",", "/"):
        cell = f'"effusion{separator} Mass"'
        path = write(
            tmp_path / "t.csv", "image,findings", f"a,{cell}", "b,normal", "c,mass", 'd," Effusion"'
        )
        options = {"separator": "/"} if separator == "/" else {}
        table = read_table(described(path, options=options))
        assert table.format == "label-list"
        assert {name.lower() for name in table.label_names} == {"effusion", "mass"}
        assert table.labels.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]


def test_a_word_a_row(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "filename,label", "a,NORMAL", "b,PNEUMONIA", "c,Pneumonia")
    same(marks(read_table(path)), {"PNEUMONIA": [0, 1, 1]})


def test_lists_as_python_writes_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "ImageID,PatientID,Projection,Labels",
        'a.png,1,PA,"[\'pleural effusion\', "" kerley\'s lines""]"',
        "b.png,2,PA,['normal']",
        "c.png,3,L,['normal']",
        "d.png,4,AP,['unchanged']",
        "e.png,5,AP,\"['exclude', 'pneumonia']\"",
        "f.png,6,AP,['pneumonia']",
        "g.png,7,AP,[]",
    )
    table = read_table(path)
    assert table.format == "padchest"
    assert table.images == ("a.png", "b.png", "f.png")
    same(
        marks(table),
        {"kerley's lines": [1, 0, 0], "pleural effusion": [1, 0, 0], "pneumonia": [0, 0, 1]},
    )
    assert sorted(table.left_out) == ["c.png", "d.png", "e.png"]


def test_readers_of_boxes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "image_id,class_name,class_id,rad_id,x_min",
        "i,Mass,1,R1,3", "i,Mass,1,R1,4", "i,Mass,1,R2,3", "i,No finding,2,R3,",
        "j,Effusion,0,R1,3", "j,No finding,2,R2,", "j,No finding,2,R3,",
    )  # fmt: skip
    majority = read_table(described(path))
    assert majority.label_names == ("Mass",)
    assert majority.ignored["columns"]["Effusion"] == "a label without positives"
    assert majority.labels.tolist() == [[1], [0]]
    any_of = read_table(described(path, readers="any"))
    same(marks(any_of), {"Effusion": [0, 1], "Mass": [1, 0]})
    mean = read_table(described(path, readers="mean", labels=labels("Mass")))
    np.testing.assert_allclose(mean.labels[:, 0], [2 / 3, 0], rtol=1e-6)
    assert any_of.extra == {}


def test_readers_of_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv",
        "image_id,rad_id,Mass,Edema",
        "i,R1,1,0", "i,R2,0,0", "i,R3,1,1", "j,R1,0,1", "j,R2,0,-1", "j,R3,0,1",
    )  # fmt: skip
    table = read_table(path)
    assert table.images == ("i", "j")
    same(marks(table), {"Mass": [1, 0], "Edema": [0, 1]})


def test_masks(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "ImageId, EncodedPixels", "a,1 2 3", "a,9 9", "b, -1", "c,-1")
    same(marks(read_table(path)), {"Pneumothorax": [1, 0, 0]})
    renamed = read_table(described(path, labels=(LabelFrom("Air", "EncodedPixels"),)))
    same(marks(renamed), {"Air": [1, 0, 0]})


def test_views_from_the_side_are_left_out_unless_the_filter_says_otherwise(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", "id,view,A", "1,PA,1", "2,LATERAL,0", "3,,0", "4,LL,1", "5,AP,0"
    )
    table = read_table(path)
    assert table.images == ("1", "3", "5")
    assert table.left_out == ("2", "4")
    assert "2 of 5 rows are left out" in table.notes[-1]
    assert len(read_table(described(path, filter={})).images) == 5
    both = {"view": ("PA", "LL"), "id": ("4", "5")}
    assert "no negatives" in problems(path, filter=both)[0]


def test_ct_among_x_rays_is_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "filename,modality,finding", "1,X-ray,TB", "2,CT,TB",
                 "3,X-ray,normal")  # fmt: skip
    assert read_table(path).images == ("1", "3")


def test_a_split_in_a_column(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", "id,patient,split,A", "1,p,Training,1", "2,q,valid,0", "3,r,TEST,0",
        "4,p,,0",
    )  # fmt: skip
    table = read_table(path)
    assert table.parts is not None
    assert table.parts.tolist() == ["train", "val", "test", ""]
    assert read_table(described(path, split="drawn")).parts is None
    write(path, "id,patient,split,A", "1,p,train,1", "2,q,test,0", "3,p,test,0", "4,q,train,1")
    found = problems(path)
    assert found == [
        f"{path}, line 4: split puts patient 'p' in test, but on line 2 in train; a patient is in "
        "one part: correct it, or write split: drawn",
        f"{path}, line 5: split puts patient 'q' in train, but on line 3 in test; a patient is in "
        "one part: correct it, or write split: drawn",
    ]


def test_patients_by_a_pattern(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "image,A", "s1/x.png,1", "s2/y.png,0", "s1/z.png,0")
    table = read_table(described(path, columns={"image": "image", "patient": Pattern(r"(s\d)/")}))
    assert table.patients.tolist() == ["s1", "s2", "s1"]
    assert not any("patient" in note for note in table.notes)
    folder = Pattern(r"^(.*)/[^/]*$")
    assert read_table(
        described(path, columns={"image": "image", "patient": folder})
    ).patients.tolist() == ["s1", "s2", "s1"]
    found = problems(path, columns={"image": "image", "patient": Pattern(r"(q\d)/")})
    assert "line 2" in found[0]
    assert "finds no patient in 's1/x.png'" in found[0]
    assert len(found) == 3
    found = problems(path, columns={"image": "image", "patient": Pattern(r"[sxyz]\d?")})
    assert "two patients, 's1' and 'x', in 's1/x.png'" in found[0]


def test_known_paths_tell_patients(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "Path,A,B", "d/patient00001/v.jpg,1,0",
                 "d/patient00002/v.jpg,0,1")  # fmt: skip
    table = read_table(path)
    assert table.patients.tolist() == ["patient00001", "patient00002"]
    assert "CheXpert's paths" in table.notes[0]


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,patient,Mass,Edema,All", "1,p,1,0,1", "2,,maybe,1,1",
                 "1,q,0,3,1")  # fmt: skip
    found = problems(
        path,
        labels=labels("Mas", "Mass", "Edema", "All", "<b>x", **{"a" * 300: "Edema"}),
        uncertain={"Edeam": "soft"},
    )
    text = "\n".join(found)
    for part in (
        "no column 'Mas'; did you mean 'Mass'?",
        "'<b>x' looks like HTML",
        "has 300 characters",
        "uncertain: no label 'Edeam'; did you mean 'Edema'?",
        "line 3: Mass is 'maybe'; write 0, 1",
        "line 4: Edema is '3'",
        "line 3: no patient",
        "line 4: duplicate image '1', first on line 2",
        "label 'All' has no negatives",
    ):
        assert part in text, (part, text)


def test_missing_columns_are_all_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,patient,A", "1,p,1", "2,q,0")
    found = problems(
        path,
        columns={"image": "idd", "patient": "pat", "age": "years"},
        filter={"view": ("PA",)},
    )
    assert len(found) == 4
    assert "columns: image: no column 'idd'; did you mean 'id'?" in found[0]
    assert "columns: patient: no column 'pat'" in found[1]
    assert "filter: view: no column 'view'; the columns are 'id', 'patient', 'A'" in found[3]


def test_a_filter_that_keeps_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,view,A", "1,PA,1", "2,AP,0")
    (found,) = problems(path, filter={"view": ("pa",)})
    assert "no row has 'pa'; the column has 'PA', 'AP'" in found


@pytest.mark.parametrize("cells", [("1", "1"), ("0", "0"), ("1", "-1")])
def test_one_label_without_two_sides_is_an_error(tmp_path: Path, cells: tuple[str, ...]) -> None:
    path = write(tmp_path / "t.csv", "id,A", *(f"{i},{cell}" for i, cell in enumerate(cells)))
    assert "label 'A' has no" in problems(path)[0]


def test_labels_equal_but_for_case(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,mass,Mass", "1,1,0", "2,0,1")
    assert "too alike" in problems(path)[0]


@settings(max_examples=120, deadline=None)
@given(
    head=st.lists(
        st.sampled_from(
            ["id", "Path", "Labels", "Finding Labels", "Projection", "ImageID", "class_name",
             "rad_id", "Target", "patientId", "EncodedPixels", "split", "view", "No Finding",
             "Mass", "TB", "label", "Age", "subject_id", "study_id", ""]
        ),
        min_size=1, max_size=6,
    ),
    data=st.data(),
)  # fmt: skip
def test_any_cells_are_a_table_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, head: list[str], data: st.DataObject
) -> None:
    free = st.text(st.characters(exclude_characters='",\n\r\0', codec="utf-8"), max_size=5)
    cell = free | st.sampled_from(
        ["", "0", "1", "-1", "0.5", "x", "['a', 'b']", "a|b", "normal", "PA", "LL", "train", "nan",
         "p1/a.png", "2", "yes", "?", "<b>", "1e999"]
    )  # fmt: skip
    rows = data.draw(st.lists(st.lists(cell, min_size=len(head), max_size=len(head)), max_size=6))
    path = tmp_path_factory.getbasetemp() / "free.csv"
    path.write_text("\n".join('"' + '","'.join(row) + '"' for row in [head, *rows]))
    try:
        table = read_table(path)
    except InputError as error:
        assert error.problems  # noqa: PT017
        return
    n, k = table.labels.shape
    assert len(table.images) == len(set(table.images)) == len(table.patients) == n > 0
    assert len(table.label_names) == len(table.counts) == k > 0
    assert all(len(values) == n for values in table.extra.values())
    assert ((table.labels >= 0) & (table.labels <= 1) | np.isnan(table.labels)).all()
    if table.uncertain is not None:
        assert np.isnan(table.labels[table.uncertain]).all()
    assert all(sum(counts.values()) >= n for counts in table.counts.values())
