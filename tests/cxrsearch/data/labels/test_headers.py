"""Tables as other data sets publish them, of a few rows each: what is made of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.data.description import LabelFrom
from cxrsearch.data.labels.recognise import of_table
from cxrsearch.data.labels.tables import read_table
from cxrsearch.errors import InputError

RANZCR = (
    "StudyInstanceUID,ETT - Abnormal,Swan Ganz Catheter Present,PatientID\n"
    "1.2.826.1,0,1,ec89415d1\n1.2.826.2,1,0,bf4c6da3c\n"
)
COHEN = (
    "patientid,offset,sex,age,finding,RT_PCR_positive,survival,view,modality,filename,url\n"
    "2,0,M,65,Pneumonia/Viral/COVID-19,Y,Y,PA,X-ray,a.jpg,http\n"
    "4,3,M,65,Pneumonia/Viral/COVID-19,Y,Y,L,X-ray,b.jpg,http\n"
    "5,3,F,,No Finding,,N,AP,X-ray,c.jpg,http\n6,3,F,,todo,,Y,Axial,CT,d.nii,http\n"
)
CORONAHACK = (
    ",X_ray_image_name,Label,Dataset_type,Label_1_Virus_category\n"
    "0,a.jpeg,Normal,TRAIN,\n1,b.jpeg,Pnemonia,TRAIN,Virus\n2,c.jpeg,Pnemonia,TEST,Virus\n"
    "3,d.jpeg,Normal,TEST,\n"
)
TBX11K = (
    "fname,image_height,image_width,source,bbox,target\n"
    "h4.png,512,512,train,none,no_tb\nt3.png,512,512,train,{'xmin': 1},tb\n"
    "t3.png,512,512,train,{'xmin': 9},tb\n"
)
NODE21 = "height,img_name,label,width,x,y\n0,c2.mha,0,0,0,0\n9,n0.mha,1,9,1,5\n3,n0.mha,1,3,2,2\n"
BRAX = (
    "PngPath,PatientID,PatientSex,PatientAge,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,"
    "Lung Lesion,Lung Opacity,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,"
    "Pleural Effusion,Pleural Other,Fracture,Support Devices,ViewPosition\n"
    "p/2.png,id_2,F,80 or more,,1,1,1,0,1,1,1,1,1,1,1,1,1,PA\n"
    "p/3.png,id_3,F,15,,0,0,0,1,0,,0,0,0,0,0,0,-1,AP\n"
    "p/4.png,id_3,F,15,,0,0,0,1,0,,0,0,0,0,0,0,0,L\n"
)
VINDR = (
    "image_id,rad_id,Aortic enlargement,Atelectasis,No finding\n"
    "a,R1,0,0,1\na,R2,0,0,1\na,R3,1,0,0\nb,R1,1,1,0\nb,R2,1,1,0\nb,R3,0,1,0\n"
)


@pytest.mark.parametrize(
    ("text", "kind", "images", "marks"),
    [
        (RANZCR, "one-hot", 2, {"ETT - Abnormal": [0, 1], "Swan Ganz Catheter Present": [1, 0]}),
        (COHEN, "label-list", 2, {"Pneumonia/Viral/COVID-19": [1, 0]}),
        (CORONAHACK, "label-list", 4, {"Pnemonia": [0, 1, 1, 0]}),
        (TBX11K, "label-list", 2, {"tb": [0, 1]}),
        (NODE21, "one-hot", 2, {"label": [0, 1]}),
        (VINDR, "one-hot", 2, {"Aortic enlargement": [0, 1], "Atelectasis": [0, 1]}),
        ("name;TB;age\na;1;44\nb;0;33\n", "one-hot", 2, {"TB": [1, 0]}),
        ("image\tfinding\na\tCOVID-19\nb\tnormal\n", "label-list", 2, {"COVID-19": [1, 0]}),
    ],
    ids=["ranzcr", "cohen", "coronahack", "tbx11k", "node21", "vindr", "own", "tabs"],
)
def test_a_table_as_it_is_published(
    tmp_path: Path, text: str, kind: str, images: int, marks: dict[str, list[float]]
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    table = read_table(path)
    assert table.format == kind
    assert len(table.images) == images
    assert dict(zip(table.label_names, table.labels.T.tolist(), strict=True)) == marks


def test_brax_has_chexpert_s_labels_under_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(BRAX)
    table = read_table(path)
    assert table.format == "chexpert"
    assert table.images == ("p/2.png", "p/3.png")
    assert table.labels[:, table.label_names.index("Consolidation")].tolist() == [1, 0]
    assert table.ignored["columns"]["Support Devices"] == "a label without negatives"
    assert table.roles == {"age": "PatientAge", "sex": "PatientSex", "view": "ViewPosition"}


def test_numbers_of_classes_need_names(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("image,label\na,0\nb,1\nc,2\n")
    with pytest.raises(InputError, match="no columns of 0 and 1"):
        read_table(path)
    named: dict[str, Any] = {
        "format": "label-list",
        "labels": (LabelFrom("TB", "1"), LabelFrom("Mass", "2")),
    }
    table = read_table(replace(of_table(tmp_path, path, (), named), labels=named["labels"]))
    assert table.labels.tolist() == [[0, 0], [1, 0], [0, 1]]
