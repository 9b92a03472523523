"""Paths as they were given."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.files import as_given


def test_links_in_a_path_stay_links(tmp_path: Path) -> None:
    (tmp_path / "disk7").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk7", target_is_directory=True)
    assert as_given(tmp_path / "data" / "x.png") == tmp_path / "data" / "x.png"


def test_a_relative_path_begins_where_the_shell_says_that_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk7").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk7", target_is_directory=True)
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.setenv("PWD", str(tmp_path / "home"))
    assert as_given(Path("study")) == tmp_path / "home" / "study"
    monkeypatch.setenv("PWD", str(tmp_path))  # of a folder left since
    assert as_given(Path("study")) == Path.cwd() / "study"
    monkeypatch.delenv("PWD")
    assert as_given(Path("study")) == Path.cwd() / "study"
