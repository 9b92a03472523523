from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.fields import Record, option, options_of


@dataclass(frozen=True)
class _Asked(Record):
    place: str = option("drawn", "Where.", group="place", path=True, word="drawn")
    earlier: list[str] = option(list, "Folders.", group="place", path=True, name="from")
    share: float = option(0.2, "Share.", group="split", low=0.01, high=0.9)
    most: int | None = option(None, "At most.", group="split", low=1)
    cores: float | str = option("auto", "Cores.", low=1, high=64, word="auto")
    kind: str = option("steady", "Kind.", choices=lambda: ("steady", "generational"))


@dataclass(frozen=True)
class _More(_Asked):
    rows: int = option(3, "Rows.", group="split", low=1, high=100_000)

    def problems(self) -> list[str]:
        return [*super().problems(), *(["no rows"] if not self.rows else [])]


def test_all_that_is_wrong_is_said_at_once_by_limits_and_choices() -> None:
    asked = _More(share=float("nan"), most=0, cores="many", kind="stedy", rows=0)
    with pytest.raises(InputError) as caught:
        asked.check()
    assert caught.value.problems == [
        "--share nan: must be from 0.01 to 0.9",
        "--most 0: must be at least 1",
        "--cores many: must be a number or auto",
        "--rows 0: must be from 1 to 100,000",
        "--kind stedy: one of steady, generational; did you mean 'steady'?",
        "no rows",
    ]
    _More(cores=2.5, most=7).check()


def test_a_record_survives_a_file_and_another_record_is_refused() -> None:
    asked = _More(earlier=["one"], rows=4)
    assert _More.from_dict(asked.to_dict()) == asked
    with pytest.raises(InputError, match="unknown settings wings"):
        _Asked.from_dict({"wings": 2}, "here.yaml")
    with pytest.raises(InputError, match="share is 'half', not float"):
        _Asked.from_dict({"share": "half"})


def test_paths_become_absolute_and_words_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = _Asked(place="here", earlier=["there"]).with_absolute_paths()
    here = tmp_path.resolve()
    assert (asked.place, asked.earlier) == (str(here / "here"), [str(here / "there")])
    assert _Asked().with_absolute_paths() == _Asked()
    (tmp_path / "disk7").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk7", target_is_directory=True)
    linked = str(tmp_path / "data" / "there")
    assert _Asked(place=linked).with_absolute_paths().place == linked, "as other machines have it"


def test_fields_are_found_by_group_as_they_are_declared() -> None:
    assert list(options_of(_More, "split", "place")) == [
        "share", "most", "rows", "place", "earlier",
    ]  # fmt: skip
    assert len(options_of(_More)) == 7
