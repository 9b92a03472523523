"""Another's words on the same images: paired by name, or refused by line."""

from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.errors import InputError
from cxrsearch.report.against import OtherReader, read_reader
from cxrsearch.report.command import _against
from cxrsearch.report.parts import against_table

NAMES, LABELS = ("a/1.png", "a/2.png", "b/3.png"), ("Mass", "Pleural_Thickening")


def test_rows_are_paired_by_name_whatever_their_order(tmp_path) -> None:
    table = tmp_path / "reader.csv"
    table.write_text(
        "Pleural Thickening,image,Reader\n1,3.png,x\n,a/1.png,x\n0.25,./a/2.png,y\n0,other.png,y\n"
    )
    scores, notes = read_reader(table, NAMES, LABELS)
    assert np.isnan(scores[:, 0]).all()
    assert scores[1:, 1].tolist() == [0.25, 1.0]
    assert np.isnan(scores[0, 1])
    assert any("1 of its rows are of other images" in note for note in notes)
    assert any("says nothing of Mass" in note for note in notes)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1.png,2", "line 2: Mass is '2'"),
        ("1.png,yes", "line 2: Mass is 'yes'"),
        ("1.png,1\n1.png,0", "line 3: '1.png' for the second time"),
        ("9.png,1", "says nothing of the 3 images"),
        ("", "must have a header and a row"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_line(tmp_path, rows, said) -> None:
    table = tmp_path / "reader.csv"
    table.write_text(f"image,Mass\n{rows}\n")
    with pytest.raises(InputError, match=said):
        read_reader(table, NAMES, LABELS)


def test_a_model_beside_itself_is_no_better(content) -> None:
    found = content["against"]
    assert found["kind"] == "model"
    assert found["images"] == content["images"]
    assert found["looks"] >= 1
    for figures in [found["mean"], *found["labels"].values()]:
        assert figures["auroc_difference"]["value"] in (0.0, None)


def test_a_table_of_probabilities_is_called_a_table() -> None:
    other = OtherReader("second.csv", "table", np.array([[0.25]]), None, ())
    figures = {"against": {"name": "second.csv", "kind": "model", "labels": {}, "mean": {}}}
    found = _against(figures, other)
    assert against_table({"against": found})["head"].startswith("A table, second.csv, on 1 of")
