from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.learn.augment import frames as of_frames
from cxrsearch.learn.augment.frames import prepare, window


def frames(n: int, side: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (n, side, side), dtype=np.uint8)


def test_same_size_is_a_copy_in_the_order_of_rows() -> None:
    images = frames(4, 64)
    out = prepare(images, np.array([2, 0, 2]), 1024, 64)
    assert out.dtype == torch.uint8
    np.testing.assert_array_equal(out.numpy(), images[[2, 0, 2]])


def test_window_is_central_and_in_units_of_the_frame() -> None:
    images = frames(2, 64)
    out = prepare(images, np.arange(2), "512x256", "32x16")
    np.testing.assert_array_equal(out.numpy(), images[:, 16:48, 24:40])
    assert window(64, 512) == (16, 16, 32, 32)
    assert window(300, "600x800") == (62, 33, 176, 234)


def test_shrinking_averages_and_does_not_pick() -> None:
    images = np.zeros((1, 64, 64), dtype=np.uint8)
    images[:, ::2, ::2] = 255
    images[:, 1::2, 1::2] = 255
    out = prepare(images, np.array([0]), 1024, 16).numpy()
    assert abs(out.astype(int) - 127).max() <= 8


def test_rounding_is_to_the_nearest() -> None:
    images = np.full((1, 48, 48), 200, dtype=np.uint8)
    assert (prepare(images, np.array([0]), 768, "32x40") == 200).all()


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    images, rows = frames(7, 32), np.arange(7)[::-1]
    whole = prepare(images, rows, 1000, 20)
    monkeypatch.setattr(of_frames, "_CHUNK", 2 * 32 * 32)
    assert torch.equal(prepare(images, rows, 1000, 20), whole)


def test_read_only_memory_maps_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "frames.npy", frames(3, 32))
    images = np.load(tmp_path / "frames.npy", mmap_mode="r")
    out = prepare(images, np.array([1]), 1024, 32)
    out[0, 0, 0] = 1  # its own memory
    assert prepare(images, np.zeros(0, dtype=int), 1024, 16).shape == (0, 16, 16)
