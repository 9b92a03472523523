from __future__ import annotations

from pathlib import Path

import pytest

from experiments import pretraining


@pytest.mark.usefixtures("small_network")
def test_every_start_is_trained_on_the_same_images_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (
        "--phantom-images 60 --input-size 32 --images 20 --epochs 1 --probe-epochs 1 --seeds 2 "
        f"--device cpu --threads 1 --init again=none --cache {tmp_path}"
    )
    monkeypatch.setattr("sys.argv", ["pretraining", *words.split()])
    pretraining.main()
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("# ")]) == 8
    same = [line for line in lines if line.startswith("  again")]
    assert len(same) == 2
    assert all("+0.0000 +- 0.0000 (sd)  each: +0.0000 +0.0000" in line for line in same)
