"""Values that a YAML or JSON reader may stumble over, where a user can give them."""

from __future__ import annotations

from pathlib import Path

import pytest

from cxrsearch.data.splits import Splits
from cxrsearch.study.folder import read_study_yaml
from cxrsearch.study.space import read_genes
from search.errors import SearchError

STUDY = """\
settings: {data: %s}
data: {frame: 32, fingerprint: x, images: 1}
splits: {fingerprint: x, counts: {}}
"""


@pytest.mark.parametrize("value", ["2020-99-99", ".nan", "9" * 5000, "[" * 3000, "1:99999999:x"])
def test_a_gene_that_is_set_to_no_number_is_named(value: str) -> None:
    with pytest.raises(SearchError, match="--set lr=") as caught:
        read_genes([f"lr={value}"])
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 3000, "1.0e+999", "{a: 1, a: 2}"])
def test_a_study_yaml_with_an_odd_value_is_refused_with_its_line(
    tmp_path: Path, value: str
) -> None:
    (tmp_path / "study.yaml").write_text(STUDY % value)
    with pytest.raises(SearchError, match=r"study\.yaml: line 1: "):
        read_study_yaml(tmp_path)


def test_a_date_in_study_yaml_is_the_text_that_it_is(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY % "2020-99-99")
    assert read_study_yaml(tmp_path)["settings"] == {"data": "2020-99-99"}


@pytest.mark.parametrize("seed", ["1e999", "9" * 5000, "[" * 100_000, "NaN"])
def test_splits_with_an_odd_number_are_refused(tmp_path: Path, seed: str) -> None:
    path = tmp_path / "splits.json"
    parts = '"train": [], "val": [], "test": [], "val_seed": []'
    path.write_text(f'{{{parts}, "fingerprint": "x", "seed": {seed}}}')
    with pytest.raises(SearchError, match=r"splits\.json: the splits cannot be read"):
        Splits.load(path)
