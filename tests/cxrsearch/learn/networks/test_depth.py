from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.networks.depth import drop_branches
from cxrsearch.learn.networks.models import Network, build_model
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.registry import genes_of, taken

DEEP = [name for name, build in NETWORKS.items() if "drop_path" in genes_of(build)]


class Adds(nn.Module):
    """x + branch(x), of as many branches as asked for, each of which puts out ones."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(1, 1) for _ in range(branches))
        for branch in self.branches:
            nn.init.zeros_(branch.weight)
            nn.init.ones_(branch.bias)


def test_branches_are_dropped_image_by_image_the_deeper_the_oftener() -> None:
    net, images = Adds(4), torch.zeros(20_000, 1)
    drop_branches(list(net.branches), 0.8)
    torch.manual_seed(0)
    for number, branch in enumerate(net.branches, start=1):
        kept = 1 - 0.8 * number / 4
        out = branch(images).detach()
        assert {round(float(v), 4) for v in out.unique()} == {0.0, round(1 / kept, 4)}
        assert float((out > 0).float().mean()) == pytest.approx(kept, abs=0.02)
        assert float(out.mean()) == pytest.approx(1, abs=0.05)  # scaled, so that the mean stays
        assert (branch.eval()(images) == 1).all()


def test_without_a_rate_nothing_is_hooked() -> None:
    net = Adds(2)
    drop_branches(list(net.branches), 0.0)
    assert not any(branch._forward_hooks for branch in net.branches)


def rates(name: str, drop_path: float) -> list[float]:
    """How often each branch of a network is dropped, from the input on."""
    recipe = Recipe(model=name, drop_path=drop_path)
    with torch.device("meta"):
        network = Network(NETWORKS[name](2, **taken(NETWORKS[name], recipe)))
    found = []
    for module in network.modules():
        found += [hook.rate for hook in module._forward_hooks.values()]  # type: ignore[attr-defined]
        if type(module).__name__ == "StochasticDepth":
            found.append(module.p)
    return found


@pytest.mark.parametrize("name", DEEP)
def test_each_network_with_residual_branches_drops_them_in_a_rising_line(name: str) -> None:
    found = rates(name, 0.4)
    assert len(found) >= 6
    assert found == sorted(found)
    assert found[-1] == pytest.approx(0.4, rel=0.2)  # torchvision's own end a step before it
    steps = [b - a for a, b in itertools.pairwise(found)]
    assert min(steps) > 0
    assert not any(rates(name, 0.0))


def test_a_resnet_trains_otherwise_and_says_the_same_when_asked() -> None:
    torch.manual_seed(0)
    plain = build_model(Recipe(model="resnet18"), n_classes=2)
    deep = build_model(Recipe(model="resnet18", drop_path=0.5), n_classes=2)
    deep.load_state_dict(plain.state_dict())
    images = torch.rand(4, 1, 32, 32)
    assert torch.equal(plain.eval()(images), deep.eval()(images))
    assert not torch.allclose(plain.train()(images), deep.train()(images))


def test_timms_networks_take_it_where_they_know_it_and_say_where_not() -> None:
    pytest.importorskip("timm")
    knows = build_model(Recipe(model="timm:resnet10t", drop_path=0.3), n_classes=2)
    assert not any("drop_path" in note for note in knows.notes)
    assert any(type(m).__name__ == "DropPath" for m in knows.modules())
    not_so = build_model(Recipe(model="timm:vgg11", drop_path=0.3, input_size=32), n_classes=2)
    assert any("drop_path does nothing" in note for note in not_so.notes)
