from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from cxrsearch.errors import InputError
from cxrsearch.learn.saved.arrays import load_arrays, read_arrays, save_arrays


def test_no_bit_of_an_array_can_change_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    wanted = {"scores": np.arange(12, dtype=np.float32), "names": np.array(["a", "bc"])}
    save_arrays(path, **wanted)
    whole = path.read_bytes()
    refused = 0
    for bit in range(len(whole) * 8):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            found = load_arrays(path, ("scores", "names"))
        except InputError:
            refused += 1
            continue
        for name, array in found.items():
            assert array.dtype == wanted[name].dtype
            assert np.array_equal(array, wanted[name])
    assert refused > 4 * len(whole), "dates and the like may change"


def test_what_unpacks_to_far_more_than_it_is_or_holds_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("scores.npy", bytes(100_000_000))
    with pytest.raises(InputError, match=r"unpacks to 100,000,000 bytes"):
        read_arrays(path)
    np.savez(path, a=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="restore it"):
        read_arrays(path)
    save_arrays(path, other=np.zeros(2))
    with pytest.raises(InputError, match=r"a\.npz: .*scores not in it"):
        load_arrays(path, ("scores",))
    with pytest.raises(InputError, match="restore it"):
        read_arrays(tmp_path)
