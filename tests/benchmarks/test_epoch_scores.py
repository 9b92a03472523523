"""The benchmark of what is kept of each epoch says all that it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.epoch_scores import main
from cxrsearch.phantom.dataset import phantom_dataset, write_phantom


@pytest.mark.usefixtures("small_network")
def test_size_time_and_rounding_are_printed_as_ratios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXRSEARCH_CACHE", str(tmp_path / "cache"))
    write_phantom(tmp_path / "xrays", phantom_dataset(images=60, seed=3), side=48)
    words = f"--data {tmp_path / 'xrays'} --input-size 32 --epochs 2 --rounds 2"
    monkeypatch.setattr("sys.argv", ["epoch_scores", *words.split()])
    main()
    head, size, time, rounding = capsys.readouterr().out.strip().splitlines()
    assert head.startswith("densenet121 at 32")
    assert "over best.safetensors of" in size
    assert "over an epoch of" in time
    assert "over the patients' standard error" in rounding
