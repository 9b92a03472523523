"""What is known of an image is known of its copies, whatever its labels are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.read import FolderSource, read_dataset
from cxrsearch.data.request import DataRequest
from cxrsearch.errors import InputError
from cxrsearch.systems.augment import command as augmenting
from cxrsearch.systems.augment.command import CopiesWanted, augment

NAN = np.nan
NAMES = ("Nodule/Mass", "COVID-19", "Pleural Effusion")


def images(folder: Path, count: int) -> tuple[str, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = tuple(f"p{i // 2}_{i}.png" for i in range(count))
    for name in names:
        Image.fromarray(rng.integers(0, 256, (20, 20), np.uint8)).save(folder / name)
    return names


def copied(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """``dataset``, read back from its copies, two an image."""
    monkeypatch.setattr(augmenting, "read_dataset", lambda *_: dataset)
    asked = DataRequest(data=str(tmp_path / "source"))
    augment(CopiesWanted(asked, tmp_path / "out", copies=2))
    return read_dataset(tmp_path / "out")


def check_same(found: Dataset, dataset: Dataset) -> None:
    assert found.label_names == dataset.label_names
    assert len(found.names) == 2 * len(dataset.names)
    row_of = {name.removesuffix(".png"): row for row, name in enumerate(dataset.names)}
    rows = [row_of[name.rsplit("_aug", 1)[0]] for name in found.names]
    np.testing.assert_array_equal(found.labels, dataset.labels[rows])
    assert found.patients.tolist() == dataset.patients[rows].tolist()
    for mine, theirs in ((found.uncertain, dataset.uncertain), (found.parts, dataset.parts)):
        if theirs is None:
            assert mine is None
        else:
            assert mine is not None
            assert mine.tolist() == theirs[rows].tolist()


@pytest.mark.parametrize("given", [False, True])
def test_unknown_uncertain_and_soft_marks_read_back(
    given: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = images(tmp_path / "source", 6)
    labels = np.array(
        [[1, 0, NAN], [0, 1 / 3, NAN], [NAN, 1, 1], [0, 0, 0], [NAN, 0.5, 1], [1, 1, 0]],
        np.float32,
    )
    uncertain = np.zeros((6, 3), bool)
    uncertain[2, 0] = uncertain[0, 2] = True
    dataset = Dataset(
        names=names,
        labels=labels,
        patients=np.array(["p0", "p0", "p1", "p1", "p2", "p2"]),
        unlabelled=(),
        source=FolderSource(tmp_path / "source", {name: name for name in names}),
        extra={"Years": np.array(["5", "6", "7", "8", "9", "10"], object)},
        label_names=NAMES,
        uncertain=uncertain,
        uncertain_as=("positive", "ignore", "soft"),
        parts=np.array(["train"] * 2 + ["val"] * 2 + ["test"] * 2) if given else None,
        roles={"age": "Years"},
    )
    found = copied(dataset, tmp_path, monkeypatch)
    check_same(found, dataset)
    assert found.uncertain_as == dataset.uncertain_as
    assert found.roles == dataset.roles
    assert found.extra["Years"].tolist()[:2] == ["5", "5"]


def test_images_of_no_given_part_stay_in_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = images(tmp_path / "source", 6)
    dataset = Dataset(
        names=names,
        labels=np.array([[1], [0], [1], [0], [1], [0]], np.uint8),
        patients=np.array(["p0", "p0", "p1", "p1", "p2", "p2"]),
        unlabelled=(),
        source=FolderSource(tmp_path / "source", {name: name for name in names}),
        label_names=("COVID-19",),
        parts=np.array(["test"] * 2 + [""] * 4),
    )
    check_same(copied(dataset, tmp_path, monkeypatch), dataset)


def test_class_folders_are_copied_with_their_labels(tmp_path: Path) -> None:
    for label in ("NORMAL", "COVID-19"):
        images(tmp_path / "source" / label, 3)
    out = tmp_path / "out"
    augment(CopiesWanted(DataRequest(data=str(tmp_path / "source")), out, copies=2))
    assert {path.name for path in out.glob("*.*") if path.is_file()} >= {
        "labels.csv", "dataset.yaml"
    }  # fmt: skip
    found = read_dataset(out)
    assert found.label_names == ("COVID-19",)
    assert len(found.names) == 12
    for name, mark in zip(found.names, found.labels[:, 0].tolist(), strict=True):
        assert mark == name.startswith("COVID-19/")


def test_copies_among_the_images_of_a_description_are_refused(tmp_path: Path) -> None:
    names = images(tmp_path / "pictures", 4)
    table = tmp_path / "tables" / "labels.csv"
    table.parent.mkdir()
    table.write_text("image,patient,TB\n" + "".join(f"{n},{n},{i % 2}\n" for i, n in
                                                    enumerate(names)))  # fmt: skip
    asked = DataRequest(data=str(table), images=str(tmp_path / "pictures"))
    with pytest.raises(InputError, match="copies there would be taken for images"):
        augment(CopiesWanted(asked, tmp_path / "pictures" / "copies", copies=2))
    augment(CopiesWanted(asked, tmp_path / "copies", copies=2))
    assert read_dataset(tmp_path / "copies").label_names == ("TB",)
