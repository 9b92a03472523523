from __future__ import annotations

import subprocess
import sys

import torch

from cxrsearch.learn.networks import torchvision_import


def test_torchvision_imports_in_a_new_interpreter_and_its_networks_work() -> None:
    code = (
        "import torch; from cxrsearch.learn.networks.torchvision_import import models, version;"
        "net = models.densenet121(weights=None).eval();"
        "print(version, tuple(net(torch.zeros(1, 3, 32, 32)).shape))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "(1, 1000)" in done.stdout


def test_operators_are_known_after_import() -> None:
    assert torch.ops.torchvision.nms is not None
    assert torch.ops.torchvision.qnms is not None


def test_a_second_declaration_does_nothing() -> None:
    before = len(torchvision_import._declared)
    torchvision_import._declare_missing_operators()
    assert len(torchvision_import._declared) == before
