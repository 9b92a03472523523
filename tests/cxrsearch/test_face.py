"""The example of `cxrsearch`, from a folder of X-rays to predictions, as a program runs it."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest

import cxrsearch
from cxrsearch import InputError, evaluate, predict, resume, train


def test_the_example_runs(
    xrays: Path,
    tiny_space: Path,
    tiny_model: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, source in (("my-xrays", xrays), ("new-xrays", xrays / "images")):
        Path(name).symlink_to(source)
    assert cxrsearch.__doc__ is not None
    code = textwrap.dedent(cxrsearch.__doc__.split("::\n", 1)[1].split("\nA search that", 1)[0])
    quick = f'trials=2, space="{tiny_space}", runner="serial"'
    assert "trials=40" in code
    names: dict[str, object] = {}
    exec(compile(code.replace("trials=40", quick), "example", "exec"), names)
    out = capsys.readouterr().out
    assert "'selected_from': 2" in out
    assert "'Hernia': " in out
    found = names["found"]
    assert isinstance(found, cxrsearch.Predictions)
    assert found.scores.shape == (len(found.names), len(found.labels))
    assert len(found.names) == 80


def test_a_study_becomes_a_model_that_is_judged_and_predicts(
    finished_study: Path, xrays: Path, tmp_path: Path
) -> None:
    epochs: list[int] = []
    model = train(
        str(finished_study), str(tmp_path / "model"), trial=0,
        on_epoch=lambda progress: epochs.append(progress.epoch),
    )  # fmt: skip
    assert model == tmp_path / "model"
    assert epochs == [1]
    assert evaluate(str(model), data=str(xrays), study=None)["looks"] >= 1
    done: list[tuple[int, int]] = []
    found = predict(str(model), str(xrays), on_progress=lambda n, of: done.append((n, of)))
    assert done[-1] == (84, 84)
    assert np.all((found.scores >= 0) & (found.scores <= 1))
    flipped = predict(model, xrays, tta="flip")
    assert not np.array_equal(flipped.scores, found.scores)


def test_what_is_done_is_said_and_what_cannot_be_used_is_refused(
    finished_study: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    assert resume(str(finished_study), on_note=told.append) == finished_study
    assert "all 3 trials are done" in told[-1]
    with pytest.raises(InputError, match="exists and is not empty"):
        train(finished_study, finished_study)
