from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.study.cost import multi_process
from cxrsearch.study.cost.multi_process import CONTROL, LOGS, PIPES, service, service_runs


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of the service's name that makes and removes what says that it runs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / CONTROL
    program.write_text(
        f"#!{sys.executable}\n"
        "import os, pathlib, sys\n"
        f"pipe = pathlib.Path(os.environ['{PIPES}'], 'control')\n"
        f"log = pathlib.Path({str(tmp_path / 'log')!r}).open('a')\n"
        "if sys.argv[1:] == ['-d']:\n"
        "    pipe.touch()\n"
        "    log.write('start ')\n"
        "else:\n"
        "    log.write(sys.stdin.read().strip() + ' ')\n"
        "    pipe.unlink()\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(multi_process, "USUAL", str(tmp_path / "usual"))
    for name in (PIPES, LOGS):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_service_runs_for_the_length_of_a_block(control: Path) -> None:
    assert not service_runs()
    with service():
        assert service_runs()
        folder = Path(os.environ[PIPES])
    assert not service_runs()
    assert not folder.exists()
    assert PIPES not in os.environ
    assert (control / "log").read_text().split() == ["start", "quit"]


def test_one_that_runs_already_is_left_alone(control: Path) -> None:
    usual = control / "usual"
    usual.mkdir()
    (usual / "control").touch()
    with service():
        assert PIPES not in os.environ
    assert (usual / "control").exists()
    assert not (control / "log").exists()


def test_it_is_stopped_after_an_error_too(control: Path) -> None:
    with pytest.raises(KeyboardInterrupt), service():
        raise KeyboardInterrupt
    assert (control / "log").read_text().split() == ["start", "quit"]


def test_without_the_program_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv(PIPES, str(tmp_path))
    with pytest.raises(InputError, match="is not installed here"), service():
        pass


def test_one_that_does_not_start_is_bad_input(control: Path) -> None:
    (control / "bin" / CONTROL).write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(InputError, match="does not start"), service():
        pass
    assert PIPES not in os.environ
