"""Looks are counted, none is lost, and those at other data are none at these."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from cxrsearch.errors import InputError
from cxrsearch.model.looks import looks_at_data, read_looks, record_look
from search.errors import SearchError


def test_every_look_is_counted_in_both_places(tmp_path) -> None:
    study, folder = tmp_path / "study", tmp_path / "model"
    study.mkdir()
    folder.mkdir()
    assert record_look(study, folder, {"mean": 0.7}) == 1
    assert record_look(study, folder, {"mean": 0.8}) == 2
    assert record_look(None, folder, {"mean": 0.9}) == 3
    assert [look["mean"] for look in read_looks(study)] == [0.7, 0.8]
    assert [look["mean"] for look in read_looks(folder)] == [0.7, 0.8, 0.9]
    assert read_looks(tmp_path / "none") == []


def test_looks_at_the_same_time_are_all_counted(tmp_path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: record_look(None, tmp_path, {"mean": i}), range(12)))
    assert sorted(look["mean"] for look in read_looks(tmp_path)) == list(range(12))


@pytest.mark.parametrize("content", ["{", "{}", "[1]"])
def test_a_damaged_count_is_not_overwritten(tmp_path, content) -> None:
    (tmp_path / "looks.json").write_text(content)
    with pytest.raises(SearchError, match=r"looks\.json"):
        record_look(None, tmp_path, {"mean": 0.5})
    assert (tmp_path / "looks.json").read_text() == content


def test_a_look_that_cannot_be_counted_is_an_input_error(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot be counted"):
        record_look(None, tmp_path / "none", {"mean": 0.5})
    assert not (tmp_path / "none").exists()


def test_looks_at_other_data_are_none_at_these(tmp_path) -> None:
    def look(data: str) -> int:
        return record_look(None, tmp_path, {"data_fingerprint": data})

    assert [look(data) for data in ("own", "other", "other", "own")] == [1, 1, 2, 2]
    assert len(read_looks(tmp_path)) == 4
    assert looks_at_data([{}, {"data_fingerprint": "own"}], "own") == [{"data_fingerprint": "own"}]
