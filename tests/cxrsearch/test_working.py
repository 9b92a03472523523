"""Folders in which one job at a time goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.writing import alone, claim
from search.errors import SearchError

HOLD = """
import sys, time
from pathlib import Path
from cxrsearch.writing import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_keeps_us_out_until_it_is_killed(tmp_path: Path) -> None:
    work = tmp_path / "work"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(work)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process is at work there"), alone(work):
            pass
        other.kill()
        other.wait()
        with alone(work):
            claim(work, {"seed": 1})
    with alone(work):
        claim(work, {"seed": 1})


def test_what_fails_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), alone(tmp_path):
        raise ValueError("broken")
    with alone(tmp_path):
        pass


def test_a_place_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be locked"), alone(tmp_path / "file"):
        pass


def test_another_job_is_told_what_differs_and_what_may_change_does_not_count(
    tmp_path: Path,
) -> None:
    claim(tmp_path, {"seed": 1, "data": "here"}, "settings.json", ("data",))
    claim(tmp_path, {"seed": 1, "data": "there"}, "settings.json", ("data",))
    with pytest.raises(SearchError, match=r"begun with another job \(seed was 1, is 2\)"):
        claim(tmp_path, {"seed": 2, "data": "here"}, "settings.json", ("data",))


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_damaged_record_of_the_job_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "job.json").write_text(text)
    with pytest.raises(SearchError, match=r"job\.json: .*(cannot be read|not the settings)"):
        claim(tmp_path, {"seed": 1})


def test_a_long_value_of_another_job_is_cut_short(tmp_path: Path) -> None:
    claim(tmp_path, {"images": [f"{n}.png" for n in range(100_000)]})
    with pytest.raises(InputError, match="images was") as told:
        claim(tmp_path, {"images": 3})
    assert len(str(told.value)) < 1000
