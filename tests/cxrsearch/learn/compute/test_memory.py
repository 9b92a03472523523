from __future__ import annotations

import copy

import torch
from torch import nn

from cxrsearch.learn.compute import device as devices
from cxrsearch.learn.compute.memory import recompute, recomputes
from cxrsearch.learn.networks.models import build_model
from cxrsearch.learn.recipe import Recipe


def two_steps(model: nn.Module) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Gradients and state after two passes, forward and back."""
    torch.manual_seed(0)
    for _ in range(2):
        images = torch.rand(3, 1, 32, 32).contiguous(memory_format=torch.channels_last)
        model(images).square().mean().backward()
    grads = [p.grad.ravel() for p in model.parameters() if p.grad is not None]
    return torch.cat(grads), model.state_dict()


def test_recomputed_layers_train_the_same_to_the_last_bit() -> None:
    plain = build_model(Recipe(model="densenet121", freeze=2), n_classes=14)
    again = copy.deepcopy(plain)
    assert recompute(again)
    assert plain.state_dict().keys() == again.state_dict().keys()
    (one, before), (two, after) = two_steps(plain), two_steps(again)
    assert torch.equal(one, two)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_copy_of_recomputed_layers_computes_by_its_own_weights() -> None:
    torch.manual_seed(0)
    model = build_model(Recipe(model="densenet121"), n_classes=14)
    plain, images = copy.deepcopy(model).eval(), torch.rand(2, 1, 32, 32)
    assert recompute(model)
    teacher = copy.deepcopy(model).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        assert torch.equal(teacher(images), plain(images))


def test_only_trained_dense_layers_recompute() -> None:
    whole = build_model(Recipe(model="densenet121"), n_classes=14)
    frozen = build_model(Recipe(model="densenet121", freeze=2), n_classes=14)
    counts = []
    for model in (whole, frozen):
        recompute(model)
        recompute(model)  # again changes nothing
        counts.append(sum(recomputes(module) for module in model.modules()))
    assert counts == [58, 52]
    assert not recompute(build_model(Recipe(model="vgg16", vgg_head="pooled"), n_classes=14))


def test_recomputing_is_counted_as_less_memory() -> None:
    model = build_model(Recipe(model="densenet121"), n_classes=14)
    before = devices.activation_bytes(model, 64)
    recompute(model)
    after = devices.activation_bytes(model, 64)
    assert 0.05 * before < after < 0.5 * before


def test_a_model_on_another_device_is_counted_as_on_the_cpu() -> None:
    model = build_model(Recipe(model="densenet121", freeze=1, dropout=0.3), n_classes=5)
    here = devices._kept_bytes(model, (32, 32), 2)
    assert devices._kept_bytes(model.to("meta"), (32, 32), 2) == here > 0
