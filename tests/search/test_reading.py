"""Stored files: what is read is what was written, or an error that says where."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.files import write_json, write_text, write_yaml
from search.reading import (
    DEEPEST,
    FileError,
    number,
    parse_json,
    parse_yaml,
    read_json,
    read_yaml,
    whole,
)

VALUES: dict[str, Any] = {
    "name": "größer ☂",
    "values": [1, 1.0, -0.0, 0.1, 1e-300, 2**63, True, None, ""],
    "inner": {"digest": "sha256:no", "content": {"a": [[]]}, "empty": {}},
}


@pytest.mark.parametrize("value", [VALUES, [1, 2.5], [], {}, "text", 3, None, {"content": [1]}])
def test_json_comes_back_as_it_was(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "a.json"
    write_json(path, value)
    assert repr(read_json(path)) == repr(value)
    assert "sha256:" in path.read_text()


def test_yaml_comes_back_as_it_was(tmp_path: Path) -> None:
    shared = ["a", "2020-01-01", "2020-99-99", "1e-4", "on", "0x10", "=x"]
    value = {**VALUES, "once": shared, "again": shared}
    write_yaml(tmp_path / "a.yaml", value)
    assert repr(read_yaml(tmp_path / "a.yaml")) == repr(value)


def flips(data: bytes) -> list[bytes]:
    found = []
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            found.append(bytes(changed))
    return found


@pytest.mark.parametrize("value", [{"a": 1.5, "b": {"c": [True, "x"]}, "d": -3}, [1, "two"]])
@pytest.mark.parametrize(("write", "read"), [(write_json, read_json), (write_yaml, read_yaml)])
def test_a_flipped_bit_never_gives_other_values(
    tmp_path: Path, write: Callable[..., None], read: Callable[[Path], Any], value: Any
) -> None:
    path = tmp_path / "file"
    write(path, value)
    refused = 0
    for data in flips(path.read_bytes()):
        path.write_bytes(data)
        try:
            found = repr(read(path))
        except FileError:
            refused += 1
        else:
            assert found == repr(value)
    assert refused > 1000


@pytest.mark.parametrize(("write", "read"), [(write_json, read_json), (write_yaml, read_yaml)])
def test_a_file_that_was_cut_off_is_refused(
    tmp_path: Path, write: Callable[..., None], read: Callable[[Path], Any]
) -> None:
    path = tmp_path / "file"
    write(path, {"settings": {"a": 1, "b": 2}, "c": [1, 2]})
    data = path.read_bytes()
    start = data.index(b"\n") + 1 if write is write_yaml else 1
    for length in range(start, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(FileError):
            read(path)


def test_layout_and_order_do_not_matter_and_files_without_a_digest_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [2]})
    text = path.read_text()
    path.write_text(text.replace("\n", " ").replace(" ", "  "))
    assert read_json(path) == {"b": 1, "a": [2]}
    path.write_text('{"b": 1, "a": [2]}')
    assert read_json(path) == {"b": 1, "a": [2]}
    write_text(path, "b: 1\na: [2]\n")
    assert read_yaml(path) == {"b": 1, "a": [2]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("{'a': 1}", "line 1"),
        ('{"a": 1, "a": 2}', "'a' is there twice"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[1e999]", "1e999"),
        ("[" + "9" * 5000 + "]", "too large"),
        (f"[{2**64}]", "too large"),
        ("[" * 100_000 + "]" * 100_000, "nested"),
        ("[" * 70 + "]" * 70, f"more than {DEEPEST} levels"),
        ('["\\ud800"]', "half a character"),
        ('{"\\udfff": 1}', "half a character"),
    ],
)
def test_json_that_is_none_is_an_error(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(FileError, match=said) as caught:
        read_json(path, "the splits")
    assert str(caught.value).startswith(f"{path}: the splits cannot be read: ")
    with pytest.raises(FileError, match=said):
        parse_json(text, "cell 3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "line 1"),
        ("a: 1\nb: 2\na: 3", "line 3: 'a' is there twice"),
        ("a: " + "9" * 5000, "too large"),
        ("a: " + "0x" + "f" * 5000, "too large"),
        ("a: " + "1:" * 5000 + "1", "too large"),
        ("a: 1.0e+999", "written in a way"),
        ("a: " + "[" * 100_000, "nested"),
        ("a: !!timestamp 2020-99-99", "could not determine a constructor"),
        ("a: !!bool x", "written in a way"),
        ("a: !!int x", "written in a way"),
        ("a: !!float x", "written in a way"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("&a [*a]", "part of"),
        ("a: &a {<<: *a}", "part of"),
        ("a: \x00", "special characters"),
    ],
)
def test_yaml_that_is_none_is_an_error(text: str, said: str) -> None:
    with pytest.raises(FileError, match=said) as caught:
        parse_yaml(text, "x.yaml")
    assert str(caught.value).startswith("x.yaml: ")


def test_dates_stay_texts() -> None:
    assert parse_yaml("[2020-01-01, 2020-99-99]", "x") == ["2020-01-01", "2020-99-99"]


def bomb(kind: str, levels: int) -> str:
    lines = ["a0: &a0 {x: 1, y: 2}"]
    for level in range(1, levels):
        eight = ", ".join([f"*a{level - 1}"] * 8)
        inner = f"{{<<: [{eight}], k{level}: 1}}" if kind == "merge" else f"[{eight}]"
        lines.append(f"a{level}: &a{level} {inner}")
    return "\n".join(lines)


@pytest.mark.parametrize("kind", ["merge", "alias"])
def test_a_short_text_that_becomes_a_huge_one_is_refused_at_once(kind: str) -> None:
    began = time.process_time()
    with pytest.raises(FileError, match="repeat more than"):
        parse_yaml(bomb(kind, 12), "x.yaml")
    assert time.process_time() - began < 1
    assert parse_yaml(bomb(kind, 3), "x.yaml")


def test_a_merge_may_be_overridden_wherever_it_is_used() -> None:
    text = "a: &a {k: 1}\nb: {c: &c {<<: *a, k: 2}}\nd: {<<: *c, j: 3}"
    assert parse_yaml(text, "x")["d"] == {"k": 2, "j": 3}
    assert parse_yaml(text, "x")["b"] == {"c": {"k": 2}}


def test_only_ordinary_files_of_ordinary_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_text("[1, 2, 3]")
    with pytest.raises(FileError, match="no ordinary file"):
        read_json(tmp_path / "fifo")
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    with pytest.raises(FileError, match="more than 5 bytes"):
        read_json(tmp_path / "large", most=5)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none")
    with pytest.raises(FileError, match="cannot be read"):
        read_json(tmp_path / "large" / "inside")
    (tmp_path / "latin").write_bytes("ä".encode("latin-1"))
    for read in (read_json, read_yaml):
        with pytest.raises(FileError, match=r"not text in UTF-8 \(byte 0\)"):
            read(tmp_path / "latin")


def test_nothing_is_written_that_could_not_be_read(tmp_path: Path) -> None:
    for value in (float("nan"), [float("inf")], 2**64):
        with pytest.raises(FileError):
            write_json(tmp_path / "a.json", value)
    assert not list(tmp_path.iterdir())


def test_names_that_are_no_text_come_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    write_json(tmp_path / "a.json", {name: name})
    assert read_json(tmp_path / "a.json") == {name: name}


def test_numbers_have_limits() -> None:
    assert number(0.5) == 0.5
    assert number(3) == 3
    assert whole(3.0) == 3
    assert isinstance(whole(3.0), int)
    for value in (True, "1", None, float("nan"), float("inf"), 10**400, [1]):
        assert number(value) is None
        assert whole(value) is None
    assert whole(2.5) is None
    assert whole(1e308) is not None
    assert whole(5, low=6) is None
    assert number(5, high=4) is None
