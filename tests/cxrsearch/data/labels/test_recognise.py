from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.data.description import Description, LabelFrom, Pattern
from cxrsearch.data.labels.recognise import recognise
from cxrsearch.data.labels.tables import LabelTable, read_table
from cxrsearch.errors import InputError


def files(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return sorted(names)


def taken(folder: Path, names: Sequence[str]) -> tuple[Description, LabelTable]:
    found = recognise(folder, None, names)
    return found, read_table(found, names)


def test_class_folders(tmp_path: Path) -> None:
    names = files(tmp_path, "Covid-19/a.png", "No_findings/b.png", "Pneumonia/c.png", "free.png")
    found, table = taken(tmp_path, names)
    assert found.format == "class-folders"
    assert "'Covid-19', 'No_findings', 'Pneumonia'" in found.reason
    assert table.images == ("Covid-19/a.png", "No_findings/b.png", "Pneumonia/c.png")
    assert table.label_names == ("Covid-19", "Pneumonia")
    assert table.labels.tolist() == [[1, 0], [0, 0], [0, 1]]
    assert "too good" in table.notes[0]


@pytest.mark.parametrize("absence", ["NORMAL", "Healthy", "no finding", "negative", "Control"])
def test_two_folders_one_of_them_the_absence_are_one_label(tmp_path: Path, absence: str) -> None:
    names = files(
        tmp_path,
        f"chest_xray/train/{absence}/a.jpeg", "chest_xray/train/PNEUMONIA/b.jpeg",
        f"chest_xray/test/{absence}/a.jpeg", "chest_xray/test/PNEUMONIA/b.jpeg",
    )  # fmt: skip
    found, table = taken(tmp_path, names)
    assert found.split == "folders"
    assert table.label_names == ("PNEUMONIA",)
    assert table.labels[:, 0].tolist() == [int("PNEUMONIA" in name) for name in table.images]
    assert len(table.images) == 4


def test_masks_beside_images_are_no_images(tmp_path: Path) -> None:
    names = files(tmp_path, "COVID/images/a.png", "COVID/masks/a.png", "Normal/images/b.png")
    _, table = taken(tmp_path, names)
    assert table.images == ("COVID/images/a.png", "Normal/images/b.png")
    assert table.left_out == ("COVID/masks/a.png",)
    assert "folders of masks" in table.notes[-1]


def test_an_empty_class_folder(tmp_path: Path) -> None:
    names = files(tmp_path, "A/a.png", "B/b.png")
    (tmp_path / "C").mkdir()
    (tmp_path / ".git").mkdir()
    with pytest.raises(InputError) as caught:
        taken(tmp_path, names)
    assert caught.value.problems == [
        f"{tmp_path / 'C'}: an empty class folder: no image lies in it; fill it, or take it out"
    ]


@pytest.mark.parametrize(
    "names",
    [
        ("images_001/a.png", "images_002/b.png"),
        ("images/a.png", "unlabelled-64/b.png"),
        ("patient01/a.png", "patient02/b.png"),
        ("train/a.png", "test/b.png"),
        ("only/a.png", "only/b.png"),
        ("a.png", "b.png"),
    ],
)
def test_other_folders_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="no label table"):
        recognise(tmp_path, None, files(tmp_path, *names))


def test_names_of_files_that_say_a_label(tmp_path: Path) -> None:
    names = files(tmp_path, "png/CHNCXR_0001_0.png", "png/MCUCXR_0104_1.png")
    found, table = taken(tmp_path, names)
    assert found.format == "file-names"
    assert table.label_names == ("Tuberculosis",)
    assert table.labels[:, 0].tolist() == [0, 1]


def test_names_of_files_by_a_pattern(tmp_path: Path) -> None:
    names = files(tmp_path, "person1_virus_6.jpeg", "person1_bacteria_2.jpeg", "normal_7.jpeg")
    found = recognise(tmp_path, None, names, {"format": "file-names"})
    assert found.format == "file-names"
    described = Description(
        images=tmp_path, table=(), format="file-names", columns={"image": "image"},
        labels=(LabelFrom("Virus", "_virus_"), LabelFrom("Bacteria", "_bacteria_")),
    )  # fmt: skip
    table = read_table(described, names)
    assert table.labels.tolist() == [[0, 0], [0, 1], [1, 0]]
    wrong = Description(
        images=tmp_path, table=(), format="file-names", columns={"image": "image"},
        labels=(LabelFrom("A", r"_([a-z]+)_"), LabelFrom("B", "(")),
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        read_table(wrong, names)
    text = "\n".join(caught.value.problems)
    assert "no regular expression" in text
    assert "finds 'bacteria' in 'person1_bacteria_2.jpeg'; write 0, 1" in text
    assert "finds no mark in 'normal_7.jpeg'" in text


def test_a_table_wins_over_folders(tmp_path: Path) -> None:
    names = files(tmp_path, "A/a.png", "B/b.png")
    (tmp_path / "t.csv").write_text("image,TB\na.png,1\nb.png,0\n")
    (tmp_path / "provenance.csv").write_text("image,source\na.png,x\n")
    found, table = taken(tmp_path, names)
    assert found.table == (tmp_path / "t.csv",)
    assert table.label_names == ("TB",)
    assert table.ignored["files"] == {"provenance.csv": "not used"}


def test_tables_called_after_parts_are_one(tmp_path: Path) -> None:
    head = "Path,Age,Frontal/Lateral,Edema,Fracture,Cardiomegaly,Pneumonia,Atelectasis\n"
    for part, marks in (("train", "1,0,0,0,1"), ("valid", "0,1,-1,1,0")):
        (tmp_path / f"{part}.csv").write_text(
            head + f"C/{part}/patient0000{marks[0]}/study1/v.jpg,5,Frontal,{marks}\n"
        )
    found, table = taken(tmp_path, [])
    assert found.format == "chexpert"
    assert [path.name for path in found.table] == ["train.csv", "valid.csv"]
    assert table.parts is not None
    assert table.parts.tolist() == ["train", "val"]
    alone = recognise(tmp_path, tmp_path / "valid.csv")
    assert alone.table == (tmp_path / "valid.csv",)


def test_several_tables_are_named(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text("image,TB\na.png,1\nb.png,0\n")
    with pytest.raises(InputError, match=r"several label tables \(a.csv, b.csv\)"):
        recognise(tmp_path, None)


def test_rsna_s_second_table_is_left_aside(tmp_path: Path) -> None:
    (tmp_path / "stage_2_train_labels.csv").write_text(
        "patientId,x,y,width,height,Target\na,,,,,0\nb,1,1,1,1,1\n"
    )
    (tmp_path / "stage_2_detailed_class_info.csv").write_text(
        "patientId,class\na,Normal\nb,Lung Opacity\n"
    )
    found, table = taken(tmp_path, [])
    assert found.format == "rsna"
    assert table.labels[:, 0].tolist() == [0, 1]
    assert list(table.ignored["files"]) == ["stage_2_detailed_class_info.csv"]


def test_columns_that_a_user_names_are_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("pic,who,tb\na,p,1\nb,q,0\n")
    with pytest.raises(InputError, match="no image column"):
        recognise(tmp_path, tmp_path / "t.csv")
    stated = {"columns": {"image": "pic", "patient": "who"}}
    found = recognise(tmp_path, tmp_path / "t.csv", [], stated)
    assert found.format == "one-hot"


# MIMIC-CXR, with tables as its page on PhysioNet describes them

LABELS = (
    "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,Enlarged Cardiomediastinum,"
    "Fracture,Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,"
    "Pneumothorax,Support Devices\n"
    "10000032,50414267,,,,,,,,,1.0,,,,,\n"
    "10000032,53189527,1.0,,0.0,,,,,,,-1.0,,,,\n"
    "10000764,57375967,0.0,1.0,1.0,,,,,,,1.0,,-1.0,,\n"
    "10000898,50771383,,0.0,,,,,,,,0.0,,,,\n"
)
METADATA = (
    "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,"
    "StudyDate,StudyTime\n"
    "02aa804e-bde0,10000032,50414267,CHEST (PA AND LAT),PA,3056,2544,21800506,213014.531\n"
    "174413ec-4ec4,10000032,50414267,CHEST (PA AND LAT),LATERAL,3056,2544,21800506,213014.531\n"
    "2a2277a9-b0de,10000032,53189527,CHEST (PA AND LAT),AP,3056,2544,21800626,165500.312\n"
    "096052b7-d256,10000764,57375967,CHEST,AP,3056,2544,21321015,224029.906\n"
    "11111111-0000,10000935,50578979,CHEST,AP,3056,2544,21321015,224029.906\n"
)
SPLIT = (
    "dicom_id,study_id,subject_id,split\n"
    "02aa804e-bde0,50414267,10000032,train\n174413ec-4ec4,50414267,10000032,train\n"
    "2a2277a9-b0de,53189527,10000032,train\n096052b7-d256,57375967,10000764,validate\n"
)
PATHS = (
    "files/p10/p10000032/s50414267/02aa804e-bde0.jpg",
    "files/p10/p10000032/s53189527/2a2277a9-b0de.jpg",
    "files/p10/p10000764/s57375967/096052b7-d256.jpg",
)


def mimic(folder: Path, *without: str) -> Path:
    for name, text in (("chexpert", LABELS), ("negbio", LABELS), ("metadata", METADATA),
                       ("split", SPLIT)):  # fmt: skip
        if name not in without:
            (folder / f"mimic-cxr-2.0.0-{name}.csv").write_text(text)
    return folder


def test_mimic_s_tables_are_joined(tmp_path: Path) -> None:
    found, table = taken(mimic(tmp_path), [])
    assert found.format == "mimic-cxr"
    assert [path.name.split("-")[-1] for path in found.table] == [
        "chexpert.csv", "metadata.csv", "split.csv"
    ]  # fmt: skip
    assert table.images == PATHS
    assert table.patients.tolist() == ["10000032", "10000032", "10000764"]
    assert table.parts is not None
    assert table.parts.tolist() == ["train", "train", "val"]
    assert table.label_names == ("Atelectasis", "Cardiomegaly", "Consolidation", "Pleural Effusion")
    expected = [[0, 0, 0, 0], [1, 0, 0, np.nan], [0, 1, 1, 1]]
    np.testing.assert_array_equal(table.labels, expected)
    assert table.roles == {"view": "ViewPosition"}
    assert any("1 of 4 rows are left out" in note and "LATERAL" in note for note in table.notes)
    assert any("1 images are of studies without labels" in note for note in table.notes)
    assert any("1 studies with labels have no image" in note for note in table.notes)
    assert "mimic-cxr-2.0.0-negbio.csv" in table.ignored["files"]


def test_mimic_s_images_may_lie_flat(tmp_path: Path) -> None:
    _, table = taken(mimic(tmp_path), ["x/02aa804e-bde0.png"])
    assert table.images[0] == "02aa804e-bde0"


def test_without_metadata_the_paths_tell_the_images(tmp_path: Path) -> None:
    _, table = taken(mimic(tmp_path, "metadata", "split"), [*PATHS, "other.jpg"])
    assert table.images == PATHS
    assert table.parts is None
    with pytest.raises(InputError, match="it names studies, and no images"):
        taken(tmp_path, [])


def test_mimic_s_split_alone_tells_the_images_too(tmp_path: Path) -> None:
    _, table = taken(mimic(tmp_path, "metadata"), [])
    assert len(table.images) == 4
    assert table.parts is not None
    assert table.parts.tolist() == ["train", "train", "train", "val"]


def test_a_pattern_is_said_where_it_tells_patients(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("Path,A\nd/patient00001/v.jpg,1\nd/patient00002/v.jpg,0\n")
    found = recognise(tmp_path, None)
    assert isinstance(found.columns["patient"], Pattern)
