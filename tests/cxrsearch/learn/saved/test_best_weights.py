from __future__ import annotations

from pathlib import Path

import torch

from cxrsearch.learn.saved.best_weights import BestWeights
from cxrsearch.learn.saved.checkpoint import load_tensors
from cxrsearch.learn.saved.keep import BEST, PREVIOUS


def held(number: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.tensor([number])}


def test_a_better_epoch_that_comes_while_the_last_is_written_is_written_too(tmp_path: Path) -> None:
    best = BestWeights(tmp_path)
    best.keep(held(1), 1, 0.6)
    late = best.writer()  # of a checkpoint that names epoch 1
    best.keep(held(2), 2, 0.7)
    late()
    assert load_tensors(tmp_path / BEST) == (held(1), {"epoch": 1, "value": 0.6})
    best.write()
    assert load_tensors(tmp_path / BEST) == (held(2), {"epoch": 2, "value": 0.7})
    assert load_tensors(tmp_path / PREVIOUS)[1]["epoch"] == 1


def test_weights_are_written_once(tmp_path: Path) -> None:
    best = BestWeights(tmp_path)
    best.write()
    assert not (tmp_path / BEST).exists()
    best.keep(held(1), 1, 0.6)
    best.write()
    (tmp_path / BEST).unlink()
    best.write()
    assert not (tmp_path / BEST).exists()
