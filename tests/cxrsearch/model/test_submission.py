from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.model.predict import Predictions
from cxrsearch.model.submission import read_sample


@pytest.fixture
def images(tmp_path) -> Path:
    for name in ("a.png", "b.png", "one/c.png", "two/c.png", "d.jpg"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(path)
    return tmp_path / "images"


def sample(tmp_path: Path, text: str):
    (tmp_path / "sample.csv").write_text(text)
    return read_sample(tmp_path / "sample.csv", tmp_path / "images", DISEASES)


def predictions(*names: str, left_out: tuple[tuple[str, str], ...] = ()) -> Predictions:
    scores = np.arange(len(names))[:, None] / 10 + np.arange(14) / 1000
    return Predictions(names, scores.astype(np.float32), DISEASES, left_out)


def test_columns_and_rows_come_in_the_sample_s_order(tmp_path, images) -> None:
    form = sample(
        tmp_path, "Hernia,ID,pleural thickening,Cardiomegaly\n0,d,0,0\n0,a.png,0,0\n0,b,0,0\n"
    )
    assert form.files == ("d.jpg", "a.png", "b.png")
    form.write(tmp_path / "out.csv", predictions("a.png", "b.png", "d.jpg"))
    shown = {
        name: DISEASES.index(name) for name in ("Hernia", "Pleural_Thickening", "Cardiomegaly")
    }
    expected = ["Hernia,ID,pleural thickening,Cardiomegaly"]
    for row, name in ((2, "d"), (0, "a.png"), (1, "b")):
        hernia, *others = (str(np.float32(row / 10 + place / 1000)) for place in shown.values())
        expected.append(",".join((hernia, name, *others)))
    assert (tmp_path / "out.csv").read_text().splitlines() == expected


def test_the_first_column_names_the_image_where_no_name_is_known(tmp_path, images) -> None:
    form = sample(tmp_path, "picture,Mass\na,0\n")
    assert (form.image, form.ids, len(form.labels)) == (0, ("a",), 1)


def test_all_that_is_wrong_with_a_sample_is_said_at_once(tmp_path, images) -> None:
    with pytest.raises(InputError) as wrong:
        sample(tmp_path, "id,Masss,Nodule,nodule,Zebra\na,0,0,0,0\na,0,0,0,0\nx,0,0,0,0\n")
    text = "\n".join(wrong.value.problems)
    for word in ("'Masss'", "Mass", "two columns for 'Nodule'", "'Zebra'", "listed twice", "'x'"):
        assert word in text
    for bad in ("id,Mass\n", "", "id\nx\n"):
        with pytest.raises(InputError):
            sample(tmp_path, bad)
    (tmp_path / "sample.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(InputError, match="cannot be read"):
        read_sample(tmp_path / "sample.csv", images, DISEASES)
    with pytest.raises(InputError, match="no such file"):
        read_sample(tmp_path / "none.csv", images, DISEASES)


def test_images_that_are_missing_or_unclear_are_all_named(tmp_path, images) -> None:
    with pytest.raises(InputError) as wrong:
        sample(tmp_path, "id,Mass\nx,0\ny.png,0\nc,0\none/c.png,0\ntwo/c,0\n")
    text = "\n".join(wrong.value.problems)
    assert "2 of its 5 images are not in" in text
    assert "'x', 'y.png'" in text
    assert "'c' fits one/c.png and two/c.png" in text


def test_images_of_one_base_name_are_told_apart_by_their_paths(tmp_path, images) -> None:
    form = sample(tmp_path, "id,Atelectasis\ntwo/c,0\none/c.png,0\n")
    form.write(tmp_path / "out.csv", predictions("one/c.png", "two/c.png"))
    assert (tmp_path / "out.csv").read_text().splitlines()[1:] == [
        "two/c,0.1", "one/c.png,0.0"
    ]  # fmt: skip


def test_an_image_without_a_prediction_is_named_with_its_reason(tmp_path, images) -> None:
    form = sample(tmp_path, "id,Mass\na,0\nb,0\n")
    with pytest.raises(InputError, match="'b': blank"):
        form.write(
            tmp_path / "out.csv", predictions("a.png", left_out=(("b.png", "blank"),)),
        )  # fmt: skip
    assert not (tmp_path / "out.csv").exists()
