"""What heads with layers between pool and logits say of places; see test_architectures for all."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.networks.head import last_layer
from cxrsearch.learn.networks.linearised import FrozenGates, is_plain, placed
from cxrsearch.learn.networks.models import Network, build_model
from cxrsearch.learn.recipe import Recipe


@pytest.fixture(scope="module")
def grey() -> Tensor:
    return torch.rand(2, 1, 32, 48, generator=torch.Generator().manual_seed(1))


def vgg16_with_narrow_layers() -> Network:
    """VGG16 with its three dense layers, 16 wide instead of 4096."""
    with torch.device("meta"):
        parts = NETWORKS["vgg16"](3, dropout=0.5, vgg_head="full")
    parts.net.to_empty(device="cpu")
    parts.net.classifier[0] = nn.Linear(512 * 49, 16)
    parts.net.classifier[3] = nn.Linear(16, 16)
    parts.net.classifier[6] = last_layer(16, 3, 0.0)
    for tensor in parts.net.features.parameters():
        nn.init.normal_(tensor, 0.0, 0.5 / max(1, tensor[0].numel()) ** 0.5)
    return Network(parts)


def vit() -> Network:
    return build_model(Recipe(model="timm:vit_tiny_patch16_224", input_size=32), n_classes=3)


def test_dense_layers_and_tokens_keep_the_sum(
    grey: Tensor, of_biases: Callable[[Network, Tensor], Tensor]
) -> None:
    for build in (vgg16_with_narrow_layers, vit):
        torch.manual_seed(0)
        network = build().eval().requires_grad_(False)
        grey = grey[..., :32]
        for name, tensor in network.net.named_parameters():
            if name.endswith("bias"):
                nn.init.uniform_(tensor, -0.2, 0.2)
        found = placed(network, grey)
        torch.testing.assert_close(found.logits, network(grey), rtol=1e-4, atol=1e-5)
        assert found.maps.abs().amax((2, 3)).min() > 0
        assert not is_plain(network, found)
        rest = of_biases(network, grey)
        torch.testing.assert_close(found.maps.mean((2, 3)) + rest, found.logits,
                                   rtol=1e-3, atol=1e-4)  # fmt: skip


def test_some_labels_alone_are_as_among_all(grey: Tensor) -> None:
    torch.manual_seed(0)
    network = build_model(Recipe(model="shufflenet_v2_x1_0", input_size=32), n_classes=3).eval()
    every, some = placed(network, grey), placed(network, grey, [2, 0])
    torch.testing.assert_close(some.maps, every.maps[:, [2, 0]])
    torch.testing.assert_close(some.elsewhere, every.elsewhere[:, [2, 0]])


def test_a_network_in_training_is_refused(grey: Tensor) -> None:
    network = build_model(Recipe(model="resnet18", input_size=32), n_classes=1)
    with pytest.raises(ValueError, match="training mode"):
        placed(network, grey)


@pytest.mark.parametrize(
    "layer",
    [nn.GELU(), nn.SiLU(), nn.Hardswish(inplace=True), nn.Tanh(), nn.ReLU6(), nn.ELU(),
     nn.LayerNorm(6), nn.GroupNorm(2, 6), nn.RMSNorm(6)],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_frozen_gates_keep_the_value_and_take_scale_as_it_comes(layer: nn.Module) -> None:
    torch.manual_seed(0)
    given = torch.randn(4, 6, dtype=torch.float64, requires_grad=True)
    layer = layer.double().eval()
    for tensor in layer.parameters():
        nn.init.uniform_(tensor, 0.5, 1.5)
    with FrozenGates():
        out = layer(given + 0)
    torch.testing.assert_close(out, layer(given.detach().clone()))
    (slope,) = torch.autograd.grad(out.sum(), given)
    shift = getattr(layer, "bias", None)
    rest = 0.0 if shift is None else shift.sum().item() * len(given)
    # An affine function is its slope times the input, and what is left at 0.
    torch.testing.assert_close((slope * given).sum().item() + rest, out.sum().item())
