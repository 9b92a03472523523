from __future__ import annotations

import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.diseases import DISEASES
from cxrsearch.data.errors import ImageError
from cxrsearch.data.read import read_dataset
from cxrsearch.errors import InputError
from cxrsearch.phantom.dataset import PhantomSource, phantom_dataset, write_phantom


def test_the_same_settings_give_the_same_set() -> None:
    one, two = phantom_dataset(seed=3), phantom_dataset(seed=3)
    assert one.fingerprint == two.fingerprint
    assert one.unlabelled == two.unlabelled
    assert one.fingerprint != phantom_dataset(seed=4).fingerprint


def test_the_default_set_can_be_judged() -> None:
    data = phantom_dataset()
    assert data.labels.shape == (600, 14)
    assert data.labels.dtype == np.uint8
    assert data.label == "phantom"
    assert len(data.unlabelled) == 100
    assert 350 <= len(set(data.patients)) <= 450
    assert (data.labels.mean(0) > 0.03).all()
    assert 0.2 < (data.labels.sum(1) == 0).mean() < 0.5


@pytest.mark.parametrize("seed", range(3))
def test_every_disease_has_patients_enough_for_every_part(seed: int) -> None:
    data = phantom_dataset(seed=seed)
    for column, disease in enumerate(DISEASES):
        assert len(set(data.patients[data.labels[:, column] == 1])) >= 15, disease


def test_patients_have_one_to_six_images_named_as_nih_does() -> None:
    data = phantom_dataset()
    for name, patient in zip(data.names, data.patients, strict=True):
        assert name.startswith(f"{int(patient):08d}_")
        assert name[9:12] < "006"
    hidden = {name[:8] for name in data.unlabelled}
    assert not hidden & {name[:8] for name in data.names}
    assert len(set(data.names)) == len(data.names)


def test_a_larger_set_holds_the_smaller_one() -> None:
    small, large = phantom_dataset(100, 10), phantom_dataset(200, 20)
    assert large.names[:100] == small.names
    assert (large.labels[:100] == small.labels).all()
    assert large.unlabelled[:10] == small.unlabelled


def test_without_enrichment_prevalences_are_nihs() -> None:
    data = phantom_dataset(4000, 0, enrichment=0)
    shares = dict(zip(DISEASES, data.labels.mean(0), strict=True))
    assert shares["Infiltration"] == pytest.approx(0.177, abs=0.03)
    assert shares["Hernia"] < 0.008


def test_the_source_travels_and_draws_the_same() -> None:
    data = phantom_dataset(60, 5)
    sent = pickle.dumps(data.source)
    assert len(sent) < 300
    for name in (data.names[7], data.unlabelled[2]):
        assert (pickle.loads(sent).decode(name, 40) == data.source.decode(name, 40)).all()


def test_the_stamp_tells_pictures_apart() -> None:
    name = "00000001_000.png"
    stamps = {
        PhantomSource(seed, difficulty).stamp(name) for seed in (0, 1) for difficulty in (0.5, 0.51)
    }
    assert len(stamps) == 4
    assert PhantomSource().stamp(name) == PhantomSource().stamp(name)


@pytest.mark.parametrize("name", ["x.png", "00000001_009.png", "00000000_000.png", ""])
def test_an_unknown_name_is_no_image(name: str) -> None:
    with pytest.raises(ImageError):
        PhantomSource().decode(name, 32)
    with pytest.raises(ImageError):
        PhantomSource().stamp(name)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"images": 10}, "images is 10"),
        ({"images": 10**9}, "images"),
        ({"unlabelled": -1}, "unlabelled is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"difficulty": 1.5}, "difficulty is 1.5"),
        ({"difficulty": math.nan}, "difficulty is nan"),
        ({"enrichment": 0.9}, "enrichment is 0.9"),
    ],
)
def test_bad_settings_are_named(settings: dict[str, float], word: str) -> None:
    with pytest.raises(InputError, match=word):
        phantom_dataset(**settings)  # type: ignore[arg-type]


def test_all_bad_settings_are_named_at_once() -> None:
    with pytest.raises(InputError) as error:
        phantom_dataset(1, -1, -1, 2.0, 2.0)
    assert len(error.value.problems) == 5


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    data = phantom_dataset(60, 6, seed=2)
    seen: list[tuple[int, int]] = []
    write_phantom(tmp_path / "set", data, 48, lambda done, of: seen.append((done, of)))
    assert seen[-1] == (66, 66)
    back = read_dataset(tmp_path / "set")
    assert back.names == data.names
    assert back.fingerprint == data.fingerprint
    assert sorted(Path(name).name for name in back.unlabelled) == sorted(data.unlabelled)
    assert (back.extra["View Position"] == data.extra["View Position"]).all()
    for name in data.names[::20]:
        assert (back.source.decode(name, 48) == data.source.decode(name, 48)).all()
    with Image.open(tmp_path / "set" / "unlabelled" / data.unlabelled[0]) as hidden:
        assert (np.asarray(hidden) == data.source.decode(data.unlabelled[0], 48)).all()


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    data = phantom_dataset(50, 0)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_phantom(tmp_path, data, 32)
    with pytest.raises(InputError, match="a file"):
        write_phantom(tmp_path / "mine.txt", data, 32)
    with pytest.raises(InputError, match="side is 8"):
        write_phantom(tmp_path / "new", data, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
