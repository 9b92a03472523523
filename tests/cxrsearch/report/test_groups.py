"""Groups by files: one that is damaged is in none, and the others stay in theirs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from cxrsearch.report import groups
from cxrsearch.report.evidence import Evidence
from cxrsearch.report.groups import file_groups
from cxrsearch.report.origin import _scores


def test_a_damaged_file_is_in_no_group(evidence: Evidence, tmp_path: Path, monkeypatch) -> None:
    names = tuple(f"{row:02d}.png" for row in range(30))
    for row, name in enumerate(names):
        Image.new("L" if row < 15 else "RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / names[3]).write_bytes(b"no image")
    monkeypatch.setattr(groups, "file_of", lambda source, name: tmp_path / name)
    dataset = evidence.opened.dataset
    dataset = replace(dataset, names=(*names, *dataset.names[30:]))
    found, said = file_groups(dataset, np.arange(30))
    assert found["colours"].tolist() == ["grey"] * 3 + [""] + ["grey"] * 11 + ["colour"] * 15
    assert said == "1 of 30 files could not be read and are in no group"
    same, said = file_groups(dataset, np.arange(4, 8))
    assert (same, said) == ({}, "the images' files do not differ")


def test_an_image_of_no_group_scores_as_the_whole_does() -> None:
    marks = np.array([[1.0], [1.0], [0.0], [0.0]])
    scores = _scores({"colours": np.array(["", "grey", "grey", ""])}, marks, np.ones(4, bool))
    assert scores["colours"][[0, 3], 0].tolist() == [0.5, 0.5]
