from __future__ import annotations

from pathlib import Path

import pytest
import torch

from cxrsearch.errors import InputError
from cxrsearch.learn import weights


def test_hub_folder_is_the_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    expected = tmp_path / "hub" / "checkpoints" / "densenet121-a639ec97.pth"
    assert weights.find_weights("imagenet", "densenet121") == expected


def test_failed_download_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str, path: str, prefix: str) -> None:
        raise OSError(f"no route for {prefix}")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(InputError, match="no route for 397923af"):
        weights.download_weights("vgg16", tmp_path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 broken"])
def test_damaged_files_are_bad_input(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match=str(path)):
        weights.read_weights(path)


def test_truncated_file_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match="cannot be read as weights"):
        weights.read_weights(path)


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, (f"__import__('pathlib').Path({str(self.path)!r}).touch()",))


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    torch.save({"weight": Trap(mark)}, tmp_path / "evil.pth")
    with pytest.raises(InputError):
        weights.read_weights(tmp_path / "evil.pth")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "more than tensors"),
        ({}, "no state dict"),
        (torch.zeros(3), "no state dict"),
        ({"a": torch.tensor(float("nan"))}, "not finite"),
    ],
)
def test_other_content_is_bad_input(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=message):
        weights.read_weights(tmp_path / "other.pth")


def test_nested_and_prefixed_weights_are_understood(tmp_path: Path) -> None:
    torch.save({"state_dict": {"module.a": torch.ones(2)}, "epoch": 3}, tmp_path / "n.pt")
    assert set(weights.read_weights(tmp_path / "n.pt")) == {"a"}
