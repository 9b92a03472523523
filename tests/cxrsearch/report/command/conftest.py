"""A model of the tiny study, and its report, made once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cxrsearch.report.command import report
from cxrsearch.study.winner import train_winner


@pytest.fixture(scope="session")
def _tiny_winner(
    _finished_study: Path,
    tiny_builder: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    from cxrsearch.learn.networks import models

    folder = tmp_path_factory.mktemp("winner")
    out = folder / "model"
    study = shutil.copytree(_finished_study, folder / "study")  # it will be looked at
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.NETWORKS, "densenet121", tiny_builder)
        for _ in train_winner(study, out):
            pass
    return out


@pytest.fixture
def winner(_tiny_winner: Path, tiny_model: None, tmp_path: Path) -> Path:
    """A copy of the tiny study's winner as a model folder, which may be changed."""
    never = shutil.ignore_patterns("looks.json")  # whatever looked at the first
    return Path(shutil.copytree(_tiny_winner, tmp_path / "winner", ignore=never))


@pytest.fixture(scope="session")
def _tiny_report(
    _tiny_winner: Path,
    tiny_builder: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    from cxrsearch.learn.networks import models
    from cxrsearch.show import page

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.NETWORKS, "densenet121", tiny_builder)
        patch.setattr(page, "get_plotlyjs", lambda: "/* plotly.js */")
        folder = tmp_path_factory.mktemp("report")
        same = Path(shutil.copytree(_tiny_winner, folder / "same"))
        return report(_tiny_winner, folder / "made", against=same).folder


@pytest.fixture
def made(_tiny_report: Path) -> Path:
    """The folder of the tiny winner's report, beside itself. Read only."""
    return _tiny_report


@pytest.fixture
def content(made: Path) -> dict[str, Any]:
    """What its ``report.json`` holds."""
    found: dict[str, Any] = json.loads((made / "report.json").read_text())
    return found
