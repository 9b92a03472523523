"""Dense blocks that find statistics once compute what torchvision's do."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from benchmarks.training.dense_norms import KnowingNorm, share_statistics
from cxrsearch.learn.networks.torchvision_import import models as vision_models


def both() -> tuple[nn.Module, nn.Module]:
    """A small DenseNet in float64, as it is and with shared statistics."""
    torch.manual_seed(0)
    plain = vision_models.DenseNet(
        growth_rate=4, block_config=(2, 3), num_init_features=8, bn_size=2, num_classes=5
    ).double()
    for norm in plain.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.weight, 1.0, 0.2)
            nn.init.normal_(norm.bias)
    knowing = copy.deepcopy(plain)
    assert share_statistics(knowing)
    return plain, knowing


def step(net: nn.Module, images: Tensor) -> Tensor:
    """All gradients, that of the images last."""
    net.zero_grad(set_to_none=True)
    images = images.clone().requires_grad_()
    net(images).square().sum().backward()
    grads = [p.grad.ravel() for p in net.parameters()]
    return torch.cat([*grads, images.grad.ravel()])  # type: ignore[union-attr]


def test_gradients_and_running_statistics_are_torchvisions() -> None:
    plain, knowing = both()
    for seed in range(3):
        images = torch.randn(
            (4, 3, 64, 64), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
        )
        assert torch.allclose(step(knowing, images), step(plain, images), rtol=1e-8, atol=1e-9)
    mine, theirs = knowing.state_dict(), plain.state_dict()
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.allclose(mine[name], value, rtol=1e-9), name


def test_what_is_frozen_gets_no_gradient_and_evaluation_is_as_ever() -> None:
    plain, knowing = both()
    images = torch.randn((2, 3, 32, 32), dtype=torch.float64)
    for net in (plain, knowing):
        net.eval()
    assert torch.equal(knowing(images), plain(images))
    knowing.train()
    norm = next(m for m in knowing.modules() if isinstance(m, KnowingNorm))
    norm.weight.requires_grad_(False)
    knowing(images).sum().backward()
    assert norm.weight.grad is None
    assert norm.bias.grad is not None


def test_a_network_without_dense_blocks_is_left_alone() -> None:
    assert not share_statistics(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
