"""What files alone give away is said where it tells a label, and nothing is said where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.about import read_people
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.pixels.images import ImageHeader, image_header
from cxrsearch.data.read import FolderSource
from cxrsearch.systems.eda.cautions import MILD, SERIOUS, Caution, cautions
from cxrsearch.systems.eda.origin import MOST_FILES, Telling, family, origins, properties, told_by

COVID = Path(__file__).parents[5] / "shared" / "covid-folders"
GREY = ImageHeader("PNG", "L", 1024, 1024)
JOURNAL = ImageHeader("JPEG", "RGB", 640, 480)


class NoSource:
    def decode(self, name: str, size: int) -> np.ndarray:
        raise NotImplementedError

    def stamp(self, name: str) -> str:
        return ""


def data(labels: np.ndarray, names: list[str] | None = None) -> Dataset:
    count, k = labels.shape
    return Dataset(
        names=tuple(names or [f"{i:04}.png" for i in range(count)]),
        labels=labels,
        patients=np.array([str(i) for i in range(count)]),
        unlabelled=(),
        source=NoSource(),
        label_names=("COVID-19", *(f"label {i}" for i in range(1, k))),
    )


def tell(labels: np.ndarray, headers: list[ImageHeader], files: list[str]) -> list[Telling]:
    dataset = data(labels)
    found = properties(files, headers, dataset.label_names)
    return told_by(dataset, found, np.random.default_rng(0))


def said(told: list[Telling], labels: np.ndarray) -> list[Caution]:
    found = cautions(data(labels), read_people({}), None, None, {}, told=told)
    return [c for c in found if "without looking at the picture" in c.what]


def test_a_disease_out_of_journals_beside_a_hospitals_healthy_is_a_serious_caution() -> None:
    sick = np.arange(300) < 40
    labels = sick[:, None].astype(np.uint8)
    headers = [JOURNAL if s else GREY for s in sick]
    headers[3] = headers[50] = GREY  # one of each is not what one would think
    headers[60] = JOURNAL
    files = [f"case-{i}.jpg" if s else f"{i:08}_000.png" for i, s in enumerate(sick)]
    told = tell(labels, headers, files)
    assert {t.property for t in told} >= {"file format", "colours", "image size", "file name"}
    (caution,) = said(told, labels)
    assert caution.level == SERIOUS
    assert caution.what.startswith("COVID-19 can be told without looking at the picture")
    assert "file format (0.9" in caution.what
    assert "in 98% of the images with it and in 0% of those without" in caution.todo
    assert "learn the origin and not the label" in caution.todo
    assert any("file name: 0_0 in 0% of the 40 images with it, in 100%" in n for n in caution.names)


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_said_where_the_files_do_not_tell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random((300, 30)) < rng.random(30) * 0.4).astype(np.uint8)
    headers = [
        ImageHeader(str(rng.choice(["PNG", "JPEG"])), "L", int(rng.integers(900, 930)), 1024)
        for _ in range(300)
    ]
    files = [f"{rng.integers(1 << 60):x}.png" for _ in range(300)]
    assert tell(labels, headers, files) == []
    assert tell(labels, [GREY] * 300, [f"{i}.png" for i in range(300)]) == []


def test_a_weak_hint_is_no_caution_and_few_images_prove_nothing() -> None:
    rng = np.random.default_rng(0)
    sick = np.arange(200) < 60
    headers = [JOURNAL if rng.random() < (0.6 if s else 0.4) else GREY for s in sick]
    assert tell(sick[:, None].astype(np.uint8), headers, ["a"] * 200) == []
    few = np.arange(30) < 9
    headers = [JOURNAL if s else GREY for s in few]
    assert tell(few[:, None].astype(np.uint8), headers, ["a"] * 30) == []


def test_one_patient_of_another_size_tells_nothing() -> None:
    labels = (np.arange(100) < 30)[:, None].astype(np.uint8)
    dataset = data(labels)
    patients = np.array(["one"] * 30 + [str(i) for i in range(70)])
    dataset = Dataset(**{**vars(dataset), "patients": patients})
    found = properties(["a"] * 100, [JOURNAL] * 30 + [GREY] * 70)
    assert told_by(dataset, found, np.random.default_rng(0)) == []


def test_labels_that_are_not_known_count_for_neither_side() -> None:
    rng = np.random.default_rng(0)
    marks = (rng.random((300, 1)) < 0.4).astype(np.float32)
    marks[100:] = np.nan
    headers = [JOURNAL if i < 100 else GREY for i in range(300)]
    assert tell(marks, headers, ["a"] * 300) == []


def test_healthy_images_of_another_source_are_said_too() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 3)) < 0.3).astype(np.uint8)
    labels[200:] = 0
    labels[:200, 0] |= labels[:200].sum(axis=1) == 0
    headers = [JOURNAL] * 200 + [GREY] * 200
    assert "No Finding" in {t.label for t in tell(labels, headers, ["a"] * 400)}


def test_names_alone_are_a_mild_caution() -> None:
    sick = np.arange(100) < 50
    files = [f"IM-{i:04}-0001.jpeg" if s else f"person{i}_bacteria_{i}.jpeg"
             for i, s in enumerate(sick)]  # fmt: skip
    labels = sick[:, None].astype(np.uint8)
    (caution,) = said(tell(labels, [GREY] * 100, files), labels)
    assert caution.level == MILD
    assert "does not see names" in caution.todo


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("00001281_000.png", "0_0"),
        ("covid-19-pneumonia-12.jpg", "-pneumonia-0"),
        ("CHNCXR_0327_1.png", "chncxr_0_0"),
        ("03BF7561-A9BA-4C3C-B8A0-D3E585F73F3C.jpeg", "0-0"),
    ],
)
def test_a_family_of_file_names_has_neither_numbers_nor_labels(name: str, wanted: str) -> None:
    assert family(name, ("Covid-19",)) == wanted


def test_headers_are_read_from_files_and_damaged_ones_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sick = np.arange(60) < 20
    names = []
    for i, s in enumerate(sick):
        picture = Image.fromarray(rng.integers(0, 255, (20, 30 if s else 20), np.uint8))
        names.append(f"{i:03}.{'jpg' if s else 'png'}")
        (picture.convert("RGB") if s else picture).save(tmp_path / names[-1])
    assert image_header(tmp_path / names[0]) == ("JPEG", "RGB", 30, 20)
    (tmp_path / names[1]).write_bytes(b"no image")
    dataset = data(sick[:, None].astype(np.uint8), names)
    assert origins(dataset, 0) == []  # drawn images have no files
    source = FolderSource(tmp_path, {name: name for name in names})
    steps: list[int] = []
    told = origins(Dataset(**{**vars(dataset), "source": source}), 0, lambda d, _: steps.append(d))
    assert {t.property for t in told} >= {"file format", "colours", "image size"}
    assert told[0].files == 59
    assert steps[-1] == 60 <= MOST_FILES


@pytest.mark.real
@pytest.mark.skipif(not COVID.exists(), reason="the real folders are not beside the checkout")
def test_covid_images_of_the_real_folders_are_told_by_where_they_come_from() -> None:
    files = sorted(p.relative_to(COVID).as_posix() for p in COVID.rglob("*.*"))
    classes = ("Covid-19", "Pneumonia")
    labels = np.array([[f.startswith(c) for c in classes] for f in files], np.uint8)
    dataset = Dataset(
        tuple(files), labels, np.array([Path(f).name.split("_")[0] for f in files]), (),
        FolderSource(COVID, {f: f for f in files}), label_names=classes,
    )  # fmt: skip
    told = origins(dataset, 0)
    assert {t.label for t in told} == {"Covid-19"}
    by = {t.property: t.auroc for t in told}
    assert by["image size"] > 0.95
    assert by["file format"] > 0.9
    rest = dataset.taking([i for i, f in enumerate(files) if not f.startswith("Covid")])
    assert origins(rest, 0) == []  # healthy and pneumonia are both NIH's
