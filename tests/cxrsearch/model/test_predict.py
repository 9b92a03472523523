from __future__ import annotations

import csv
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks import models
from cxrsearch.model import predict
from cxrsearch.model.folder import LoadedModel, ModelMeta, load_model, save_model
from cxrsearch.model.predict import (
    TIDY_COLUMNS,
    Predictions,
    image_names,
    predict_folder,
    prediction_columns,
    table_start,
    write_competition,
    write_tidy,
)

CPU = ComputeOptions("cpu")

pytestmark = pytest.mark.usefixtures("tiny_model")


@pytest.fixture
def model(recipe, tmp_path) -> LoadedModel:
    save_model(
        tmp_path / "model",
        models.build_model(recipe, n_classes=14),
        recipe,
        ModelMeta(40, "d", "s", DISEASES),
    )
    return load_model(tmp_path / "model", CPU)


def draw(path: Path, size: tuple[int, int] = (40, 40), seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, size[::-1]).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_images_are_predicted_in_the_order_of_their_paths(model, tmp_path) -> None:
    pixels = {name: draw(tmp_path / "in" / name, seed=i)
              for i, name in enumerate(("b.png", "sub/a.png", "a.png"))}  # fmt: skip
    found = predict_folder(model, tmp_path / "in")
    assert found.names == ("a.png", "b.png", "sub/a.png")
    expected = model.predict(np.stack([pixels[n] for n in found.names]))
    assert np.allclose(found.scores, expected, atol=1e-6)
    assert found.left_out == ()


def test_names_are_base_names_unless_two_files_share_one() -> None:
    files = ("a/1.png", "b/1.png", "b/2.png", "3.png")
    assert image_names(files) == ("a/1.png", "b/1.png", "2.png", "3.png")


def test_fewer_bits_than_there_is_room_for_are_said_once_and_give_the_same(model, tmp_path) -> None:
    folder = tmp_path / "in"
    pixels = draw(folder / "8.png").astype(float)
    for number in range(3):
        deep = np.rint(pixels * 4095 / 255).astype(np.uint16)
        Image.fromarray(deep).save(folder / f"12-{number}.png")
    found = predict_folder(model, folder)
    assert np.allclose(found.scores, found.scores[0], atol=1e-6)
    (note,) = [note for note in found.notes if "bits" in note]
    assert note.startswith("3 of 4 images")


def test_what_is_no_file_is_left_out_at_once(model, tmp_path) -> None:
    folder = tmp_path / "in"
    draw(folder / "good.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "link.png").symlink_to(folder / "gone")
    found = predict_folder(model, folder)
    assert found.names == ("good.png",)
    reasons = dict(found.left_out)
    assert "a pipe" in reasons["pipe.png"]
    assert "No such file" in reasons["link.png"]


def test_images_that_do_not_fit_are_left_out_with_their_reasons(model, tmp_path) -> None:
    folder = tmp_path / "in"
    draw(folder / "good.png")
    draw(folder / "long.png", (100, 40))
    draw(folder / "tiny.png", (12, 12))
    Image.new("L", (40, 40), 7).save(folder / "blank.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no image")
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:300])
    photo = np.random.default_rng(0).integers(0, 255, (40, 40, 3)).astype(np.uint8)
    Image.fromarray(photo).save(folder / "photo.png")
    Image.fromarray(photo).save(folder / "photo.jpg")
    found = predict_folder(model, folder)
    assert found.names == ("good.png",)
    reasons = dict(found.left_out)
    for name, word in {
        "long.png": "elongated", "tiny.png": "too small", "blank.png": "blank",
        "empty.png": "empty", "text.png": "not a PNG", "cut.png": "truncated",
        "photo.png": "in colour", "photo.jpg": "in colour",
    }.items():  # fmt: skip
        assert word in reasons[name], reasons[name]


def test_grey_saved_as_rgb_with_a_small_coloured_mark_is_an_x_ray(model, tmp_path) -> None:
    grey = draw(tmp_path / "in" / "grey.png")
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    Image.fromarray(rgb).save(tmp_path / "in" / "rgb.png")
    rgb[:8, :8] = (255, 0, 0)
    Image.fromarray(rgb).save(tmp_path / "in" / "marked.png")
    found = predict_folder(model, tmp_path / "in")
    assert found.left_out == ()
    scores = dict(zip(found.names, found.scores, strict=True))
    # Another place in the batch may round the last bit in another way.
    assert np.allclose(scores["grey.png"], scores["rgb.png"], rtol=0, atol=1e-6)


def test_a_model_of_small_images_takes_small_images(recipe, tmp_path) -> None:
    meta = ModelMeta(40, "d", "s", DISEASES, source_side=12)
    save_model(tmp_path / "m", models.build_model(recipe, n_classes=14), recipe, meta)
    draw(tmp_path / "in" / "tiny.png", (12, 12))
    assert predict_folder(load_model(tmp_path / "m", CPU), tmp_path / "in").left_out == ()


@pytest.mark.parametrize(
    ("crop", "size", "smallest"),
    [(1024, 32, 32), (704, 96, 46), (768, 128, 56), (1024, 224, 74), ("600x800", "300x400", 170)],
)
def test_the_window_may_be_enlarged_three_times(model, crop, size, smallest) -> None:
    wider = replace(model, recipe=replace(model.recipe, crop=crop, input_size=size))
    assert predict.smallest_side(wider) == smallest


def test_odd_files_leave_no_warning_behind(model, tmp_path, recwarn) -> None:
    draw(tmp_path / "in" / "grey.png")
    palette = Image.open(tmp_path / "in" / "grey.png").convert("P")
    palette.save(tmp_path / "in" / "palette.png", transparency=bytes(range(256)))
    assert predict_folder(model, tmp_path / "in").left_out == ()
    assert not recwarn.list


def test_folders_without_a_usable_image_are_input_errors(model, tmp_path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        predict_folder(model, tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="a folder of images is wanted"):
        predict_folder(model, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the folder is empty"):
        predict_folder(model, tmp_path / "empty")
    (tmp_path / "empty" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="no images anywhere"):
        predict_folder(model, tmp_path / "empty")
    draw(tmp_path / "bad" / "tiny.png", (5, 5))
    with pytest.raises(InputError, match="none of its 1 images") as caught:
        predict_folder(model, tmp_path / "bad")
    assert "tiny.png" in str(caught.value)


def test_many_images_are_read_in_parts(model, tmp_path, monkeypatch) -> None:
    for i in range(7):
        draw(tmp_path / "in" / f"{i}.png", seed=i)
    whole = predict_folder(model, tmp_path / "in")
    monkeypatch.setattr(predict, "READ_AT_ONCE", 3)
    seen: list[tuple[int, int]] = []
    parts = predict_folder(model, tmp_path / "in", lambda done, total: seen.append((done, total)))
    assert np.allclose(parts.scores, whole.scores, atol=1e-6)
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_both_forms_of_the_table_say_the_same(tmp_path) -> None:
    scores = np.linspace(0, 1, 28, dtype=np.float32).reshape(2, 14)
    predictions = Predictions(("a, b.png", 'q"é.png'), scores, DISEASES, ())
    write_competition(tmp_path / "c.csv", predictions)
    write_tidy(tmp_path / "t.csv", predictions)
    with (tmp_path / "c.csv").open(newline="", encoding="utf-8") as file:
        wide = list(csv.DictReader(file))
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        tidy = list(csv.DictReader(file))
    assert list(wide[0]) == ["image", *DISEASES]
    assert wide[0]["Cardiomegaly"] == str(scores[0, 1])
    assert [row["image"] for row in wide] == list(predictions.names)
    assert len(tidy) == 28
    assert all(
        wide[i // 14][row["label"]] == row["probability"] and row["image"] == wide[i // 14]["image"]
        for i, row in enumerate(tidy)
    )


def test_a_table_that_cannot_be_written_is_an_input_error(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="--out"):
        write_tidy(tmp_path / "file" / "t.csv", Predictions((), np.zeros((0, 14)), DISEASES, ()))


def test_small_probabilities_do_not_tie_and_read_back_the_same(tmp_path) -> None:
    scores = np.full((3, 14), 0.25, np.float32)
    scores[:, 0] = (1.23e-08, 1.24e-08, np.float32(0.1) + np.float32(1e-8))
    found = Predictions(("a.png", "=b.png", "c.png"), scores, DISEASES, ())
    for write, header in (
        (write_competition, prediction_columns(DISEASES)),
        (write_tidy, TIDY_COLUMNS),
    ):
        write(tmp_path / "out.csv", found)
        assert table_start(header).match((tmp_path / "out.csv").read_bytes())
        rows = list(csv.reader((tmp_path / "out.csv").open()))[1:]
        cells = [cell for row in rows for cell in row if cell[0].isdigit()]
        assert np.array(cells, np.float32).tolist() == scores.reshape(-1).tolist()
        assert rows[-1 if write is write_competition else -28][0] in ("c.png", "./=b.png")
        assert not any(cell.startswith("=") for row in rows for cell in row)


def test_a_table_of_labels_is_no_table_of_predictions() -> None:
    start = table_start(prediction_columns(DISEASES))
    head = ",".join(prediction_columns(DISEASES)) + "\na.png"
    assert not start.match((head + ",0" * 14 + "\n").encode())
    assert not start.match((head + ",1.0" * 14 + "\n").encode())
    assert start.match((head + ",0.123456" * 14 + "\n").encode()), "of an earlier version"
    assert start.match((head + ",3e-09" * 14 + "\n").encode())
