from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.errors import InputError
from cxrsearch.learn.predict import Predictions
from cxrsearch.learn.submission import read_sample


@pytest.fixture
def images(tmp_path) -> Path:
    for name in ("a.png", "b.png", "one/c.png", "two/c.png", "d.jpg"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(path)
    return tmp_path / "images"


def sample(tmp_path: Path, text: str):
    (tmp_path / "sample.csv").write_text(text)
    return read_sample(tmp_path / "sample.csv")


def predictions(*names: str, left_out: tuple[tuple[str, str], ...] = ()) -> Predictions:
    scores = np.arange(len(names))[:, None] / 10 + np.arange(14) / 1000
    return Predictions(names, scores.astype(np.float32), left_out)


def test_columns_and_rows_come_in_the_sample_s_order(tmp_path, images) -> None:
    form = sample(
        tmp_path, "Hernia,ID,pleural thickening,Cardiomegaly\n0,d,0,0\n0,a.png,0,0\n0,b,0,0\n"
    )
    files = form.files(images)
    assert files == ("d.jpg", "a.png", "b.png")
    form.write(tmp_path / "out.csv", predictions("a.png", "b.png", "d.jpg"), files)
    assert (tmp_path / "out.csv").read_text() == (
        "Hernia,ID,pleural thickening,Cardiomegaly\n"
        "0.213000,d,0.212000,0.201000\n"
        "0.013000,a.png,0.012000,0.001000\n"
        "0.113000,b,0.112000,0.101000\n"
    ).replace("0.201000", form_value(2, "Cardiomegaly")).replace(
        "0.001000", form_value(0, "Cardiomegaly")
    ).replace("0.101000", form_value(1, "Cardiomegaly")).replace(
        "0.212000", form_value(2, "Pleural_Thickening")
    ).replace("0.012000", form_value(0, "Pleural_Thickening")).replace(
        "0.112000", form_value(1, "Pleural_Thickening")
    )


def form_value(row: int, disease: str) -> str:
    from cxrsearch.data.diseases import DISEASES

    return f"{np.float32(row / 10 + DISEASES.index(disease) / 1000):.6f}"


def test_the_first_column_names_the_image_where_no_name_is_known(tmp_path) -> None:
    form = sample(tmp_path, "picture,Mass\nx,0\n")
    assert (form.image, form.ids, len(form.diseases)) == (0, ("x",), 1)


def test_all_that_is_wrong_with_a_sample_is_said_at_once(tmp_path) -> None:
    with pytest.raises(InputError) as wrong:
        sample(tmp_path, "id,Masss,Nodule,nodule,Zebra\na,0,0,0,0\na,0,0,0,0\n")
    text = "\n".join(wrong.value.problems)
    for word in ("'Masss'", "Mass", "two columns for 'Nodule'", "'Zebra'", "listed twice"):
        assert word in text
    for bad in ("id,Mass\n", "", "id\nx\n"):
        with pytest.raises(InputError):
            sample(tmp_path, bad)
    (tmp_path / "sample.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(InputError, match="cannot be read"):
        read_sample(tmp_path / "sample.csv")
    with pytest.raises(InputError, match="no such file"):
        read_sample(tmp_path / "none.csv")


def test_images_that_are_missing_or_unclear_are_all_named(tmp_path, images) -> None:
    form = sample(tmp_path, "id,Mass\nx,0\ny.png,0\nc,0\none/c.png,0\ntwo/c,0\n")
    with pytest.raises(InputError) as wrong:
        form.files(images)
    text = "\n".join(wrong.value.problems)
    assert "2 of its 5 images are not in" in text
    assert "'x', 'y.png'" in text
    assert "'c' fits one/c.png and two/c.png" in text


def test_images_of_one_base_name_are_told_apart_by_their_paths(tmp_path, images) -> None:
    form = sample(tmp_path, "id,Atelectasis\ntwo/c,0\none/c.png,0\n")
    files = form.files(images)
    form.write(tmp_path / "out.csv", predictions("one/c.png", "two/c.png"), files)
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == [
        "two/c,0.100000", "one/c.png,0.000000"
    ]  # fmt: skip


def test_an_image_without_a_prediction_is_named_with_its_reason(tmp_path, images) -> None:
    form = sample(tmp_path, "id,Mass\na,0\nb,0\n")
    with pytest.raises(InputError, match="'b': blank"):
        form.write(
            tmp_path / "out.csv", predictions("a.png", left_out=(("b.png", "blank"),)),
            form.files(images),
        )  # fmt: skip
    assert not (tmp_path / "out.csv").exists()
