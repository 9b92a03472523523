"""Folders whose names are no UTF-8, or beyond a locale without characters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cxrsearch.errors import quoted
from search.files import shown, write_text
from search.store.record import read_study

PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("name", [b"st\xf6dy", "stüdy".encode()], ids=["bytes", "utf-8"])
@pytest.mark.parametrize("locale", [{}, PLAIN], ids=["here", "C"])
def test_a_study_is_read_whatever_its_folder_is_called(
    finished_study: Path, tmp_path: Path, name: bytes, locale: dict[str, str]
) -> None:
    folder = os.fsencode(tmp_path) + b"/" + name
    shutil.copytree(os.fsencode(finished_study), folder)
    script = "import sys; from cxrsearch.cli import main; main()"
    for command in ("status", "dashboard"):
        done = subprocess.run(
            [sys.executable, "-c", script, command, folder],
            env={**os.environ, **locale}, capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
    assert read_study(Path(os.fsdecode(folder))).best() is not None


def test_names_are_written_as_text_that_can_be_read_again(tmp_path: Path) -> None:
    name = os.fsdecode(b"R\xf6ntgen.png")
    assert shown(name) == "R\\udcf6ntgen.png"
    assert shown("Röntgen.png") == "Röntgen.png"
    write_text(tmp_path / "a.csv", f"image\n{name}\n")
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == "image\nR\\udcf6ntgen.png\n"


def test_a_command_to_type_takes_no_path_for_an_option() -> None:
    assert [quoted(Path(name)) for name in ("-7", "--out", "a-7", "a b", "/x/-7")] == [
        "./-7", "./--out", "a-7", "'a b'", "/x/-7",
    ]  # fmt: skip
    assert quoted(Path("-my model")) == "'./-my model'"
