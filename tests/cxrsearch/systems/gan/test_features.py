"""The classifier that is trained for its features."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.systems.gan import features
from cxrsearch.systems.gan.features import FeatureNetwork, train_features


def run(steps: Generator[str, None, FeatureNetwork]) -> tuple[list[str], FeatureNetwork]:
    lines = []
    while True:
        try:
            lines.append(next(steps))
        except StopIteration as end:
            return lines, end.value


@pytest.mark.usefixtures("tiny_model")
def test_it_is_trained_once_and_stays_the_same(
    make_study: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "EPOCHS", 2)
    data, folder = make_study().data, tmp_path / "features"
    how: dict[str, Any] = {"seed": 1, "folder": folder, "compute": ComputeOptions("cpu", 1)}
    stopped = train_features(data, 32, **how)
    assert next(stopped).startswith("features: epoch 1/2: AUROC ")
    stopped.close()
    lines, found = run(train_features(data, 32, **how))
    assert len(lines) == 2
    assert "validation AUROC" in found.name
    values = found.of(np.asarray(data.images[:5]))
    assert values.shape == (5, 8)
    assert np.ptp(values, axis=0).max() > 0
    lines, again = run(train_features(data, 32, **how))
    assert lines == []
    np.testing.assert_array_equal(again.of(np.asarray(data.images[:5])), values)
    assert sorted(path.name for path in folder.glob("*.safetensors")) == ["best.safetensors"]
