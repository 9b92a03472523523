"""Every network does what training, pre-training and heat maps ask of one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from cxrsearch.learn.compute import device as devices
from cxrsearch.learn.networks.architectures import BLOCKS, NETWORKS, TIMM, NetworkParts
from cxrsearch.learn.networks.head import DropoutLinear
from cxrsearch.learn.networks.linearised import is_plain, placed
from cxrsearch.learn.networks.models import Network, build_model, builder_of
from cxrsearch.learn.networks.stem import GreyStem, fold
from cxrsearch.learn.networks.torchvision_import import models as vision_models
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.registry import taken

POOLED = ("densenet121", "vgg16", "resnet18", "resnet34", "resnet50", "efficientnet_b0",
          "efficientnet_v2_s", "timm:tf_efficientnet_lite0")  # fmt: skip
"""Their head gives the logits of the mean of the maps; the others have layers between."""

OF_TIMM: dict[str, dict[str, Any]] = {
    "timm:tf_efficientnet_lite0": {},
    "timm:vit_tiny_patch16_224": {"img_size": 32, "dynamic_img_size": True},
}
"""Two of timm's: padding by the size of the image and other means; patches and tokens."""

SMALL = ("vgg16", "resnet18", "mobilenet_v3_small", "timm:vit_tiny_patch16_224")
"""Enough to try what is of the wrapper and not of a network."""


def recipe_of(name: str, **genes: Any) -> Recipe:
    return Recipe(model=name, vgg_head="pooled", input_size=32, **genes)


def parts_of(name: str, n_classes: int = 3) -> NetworkParts:
    """On the device that is current."""
    build = builder_of(name)
    return build(n_classes, **taken(build, recipe_of(name)))


@pytest.fixture(scope="module", params=[*NETWORKS, *OF_TIMM])
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def network(name: str) -> Network:
    """Not to be changed; a copy may be."""
    torch.manual_seed(0)
    return build_model(recipe_of(name), n_classes=3).eval()


def original(name: str) -> Any:
    """The three-channel network, without content."""
    # torchvision computes the widths of its RegNets as tensors, which then need values.
    with torch.device("cpu" if "regnet" in name else "meta"):
        if name in OF_TIMM:
            import timm  # after torchvision

            return timm.create_model(name.removeprefix(TIMM), **OF_TIMM[name])
        return getattr(vision_models, name)(weights=None).to("meta")


def filled(shapes: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of ``shapes`` such that signals neither vanish nor grow, and no bias is 0."""
    torch.manual_seed(0)
    found = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            found[key] = torch.tensor(0)
        elif shape.ndim > 1:
            found[key] = torch.randn(shape.shape).double() * (2 / shape[0].numel()) ** 0.5
        elif key.endswith("bias") or key.endswith("running_mean"):
            found[key] = torch.empty(shape.shape).uniform_(-0.2, 0.2).double()
        else:
            found[key] = torch.empty(shape.shape).uniform_(0.5, 1.5).double()
    return found


def odd_size(name: str) -> tuple[int, int]:
    """A size that is not square, and as odd as the network allows."""
    return (48, 80) if "patch16" in name else (37, 50)


def coloured(grey: Tensor, parts: NetworkParts) -> Tensor:
    """What the three-channel network gets for a grey image."""
    mean = torch.tensor(parts.mean, dtype=grey.dtype).view(1, 3, 1, 1)
    std = torch.tensor(parts.std, dtype=grey.dtype).view(1, 3, 1, 1)
    return (grey.expand(-1, 3, -1, -1) - mean) / std


def test_a_grey_image_comes_out_as_from_three_channels_to_the_border(name: str) -> None:
    theirs = original(name)
    with torch.device("meta"):
        parts = parts_of(name, 1000)
    own = parts.net.state_dict()
    state = filled({k: v for k, v in theirs.state_dict().items() if name != "vgg16" or k in own})
    theirs.load_state_dict(state, strict=False, assign=True)
    ours = {k: v for k, v in state.items() if k in own and v.shape == own[k].shape}
    stem = f"{parts.stem}."
    ours[f"{stem}weight"], ours[f"{stem}offset"] = fold(
        state[f"{stem}weight"], parts.mean, parts.std
    )
    missing = parts.net.load_state_dict(ours, strict=False, assign=True).missing_keys
    assert missing == ([] if name != "vgg16" else ["classifier.weight", "classifier.bias"])
    grey = torch.rand(1, 1, *odd_size(name), dtype=torch.float64)
    parts.net.eval(), theirs.eval()
    with torch.no_grad():
        rgb = coloured(grey, parts)
        torch.testing.assert_close(
            parts.features(parts.net, grey), parts.features(theirs, rgb), rtol=1e-6, atol=1e-6
        )
        if name != "vgg16":  # its own head is pooled here
            torch.testing.assert_close(parts.net(grey), theirs(rgb), rtol=1e-6, atol=1e-6)


def test_the_blocks_are_all_but_the_head_from_the_input_on(network: Network) -> None:
    assert len(network.blocks) == BLOCKS
    head = network.net.get_submodule(network.head)
    of_blocks = [p for block in network.blocks for module in block for p in module.parameters()]
    counted = {id(p) for p in of_blocks}
    assert len(of_blocks) == len(counted)
    assert counted == {id(p) for p in network.parameters()} - {id(p) for p in head.parameters()}
    stem = network.net.get_submodule(network.stem)
    assert isinstance(stem, GreyStem)
    assert {id(p) for p in stem.parameters()} <= {
        id(p) for module in network.blocks[0] for p in module.parameters()
    }


@pytest.mark.parametrize("size", [(32, 32), (100, 134)], ids=str)
def test_images_of_any_size_give_logits_and_maps(
    name: str, network: Network, size: tuple[int, int]
) -> None:
    if "patch16" in name and size != (32, 32):
        size = odd_size(name)
    grey = torch.rand(2, 1, *size)
    with torch.no_grad():
        logits, maps = network(grey), network.features(grey)
    assert logits.shape == (2, 3)
    assert maps.shape[0] == 2
    assert maps.ndim == 4
    assert maps.shape[-1] >= maps.shape[-2] >= size[0] // 32


def test_the_head_turns_the_mean_of_the_maps_into_logits(name: str, network: Network) -> None:
    if name not in POOLED:
        pytest.skip("there are layers between pool and head")
    grey = torch.rand(2, 1, 40, 32)
    with torch.no_grad():
        pooled = network.features(grey).mean(dim=(2, 3))
        logits = network.net.get_submodule(network.head)(pooled)
        torch.testing.assert_close(logits, network(grey))


LAYERS_BEFORE = ("mobilenet_v3_small", "mobilenet_v3_large", "convnext_tiny",
                 "timm:vit_tiny_patch16_224")  # fmt: skip
"""In these there are layers between pool and logits: maps are of the head made linear."""


def test_the_mean_of_a_class_activation_map_and_the_bias_are_the_logit(
    name: str, network: Network, of_biases: Callable[[Network, Tensor], Tensor]
) -> None:
    own = copy.deepcopy(network).requires_grad_(False)
    last: Any = own.net.get_submodule(own.last)
    torch.manual_seed(1)
    for key, tensor in own.net.named_parameters():
        if key.endswith("bias"):  # most begin at 0
            nn.init.uniform_(tensor, -0.2, 0.2)
    grey = torch.rand(2, 1, 64, 32, generator=torch.Generator().manual_seed(1))
    found = placed(own, grey)
    torch.testing.assert_close(found.logits, own(grey), rtol=1e-4, atol=1e-5)
    assert found.maps.abs().amax((2, 3)).min() > 0
    assert is_plain(own, found) == (name not in LAYERS_BEFORE)
    rest = of_biases(own, grey) if name in LAYERS_BEFORE else last.bias.expand(2, 3)
    near: dict[str, Any] = {"rtol": 1e-3, "atol": 1e-4 * float(1 + found.maps.abs().mean())}
    torch.testing.assert_close(found.maps.mean((2, 3)) + rest, found.logits, **near)
    if name not in LAYERS_BEFORE:  # as Zhou et al. define it
        plain = torch.einsum("kc,bchw->bkhw", last.weight, own.features(grey))
        torch.testing.assert_close(found.maps, plain, **near)


def test_the_last_layer_of_the_head_is_ours(network: Network) -> None:
    head = network.net.get_submodule(network.head)
    last = list(head.modules())[-1]
    assert isinstance(last, DropoutLinear)
    assert not last.bias.any()


def test_two_of_the_smallest_images_reach_every_weight(network: Network) -> None:
    model = copy.deepcopy(network).train()
    model(torch.rand(2, 1, 32, 32)).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_step_lowers_the_loss(network: Network) -> None:
    model = copy.deepcopy(network).train()
    torch.manual_seed(1)
    grey, targets = torch.rand(4, 1, 64, 64), (torch.rand(4, 3) < 0.5).float()

    def loss() -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(model(grey), targets)

    before = loss()
    before.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    length = float(sum(gradient.square().sum() for gradient in gradients))
    # By its gradient the loss falls by 0.001; from random weights a longer step may overshoot.
    torch.optim.SGD(model.parameters(), lr=1e-3 / length).step()
    assert 0 < float((before - loss()).detach()) < 2e-3


def test_filters_lie_in_channels_last(network: Network) -> None:
    wide = [p for p in network.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in wide)


def test_logits_are_float32_under_autocast(network: Network) -> None:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.rand(2, 1, 32, 32))
    assert logits.dtype == torch.float32
    assert (logits.to(torch.bfloat16).float() != logits).any()


@pytest.mark.parametrize("kind", [None, torch.bfloat16], ids=str)
def test_its_memory_is_estimated_without_computing(
    name: str, network: Network, kind: torch.dtype | None
) -> None:
    if name not in SMALL:
        pytest.skip("tried with the small ones")
    small, large = (devices.footprint(network, side, kind) for side in (32, 64))
    assert small.fixed == large.fixed > 4 * sum(p.numel() for p in network.parameters())
    assert small.image < large.image


@pytest.mark.parametrize("freeze", [0, 1, 3, BLOCKS])
def test_frozen_blocks_do_not_change(name: str, network: Network, freeze: int) -> None:
    if freeze not in (3, BLOCKS) and name not in SMALL:
        pytest.skip("tried with the small ones")
    parts = NetworkParts(network.net, network.blocks, network.stem, nn.Module.forward)
    parts = copy.deepcopy(replace(parts, head=network.head))
    model = Network(parts, freeze).train()
    inside = [{id(t) for m in block for t in m.state_dict(keep_vars=True).values()}
              for block in model.blocks]  # fmt: skip
    of = {key: next((i for i, ids in enumerate(inside) if id(value) in ids), BLOCKS)
          for key, value in model.state_dict(keep_vars=True).items()}  # fmt: skip
    before = {key: value.clone() for key, value in model.state_dict().items()}
    free = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(free, lr=0.1)
    model(torch.rand(2, 1, 32, 32)).square().sum().backward()
    optimizer.step()
    after = model.state_dict()
    changed = {of[key] for key, value in before.items() if not torch.equal(value, after[key])}
    assert changed == set(range(freeze, BLOCKS + 1))


def test_without_content_it_has_the_same_tensors(name: str, network: Network) -> None:
    with torch.device("meta"):
        bare = build_model(recipe_of(name), n_classes=3)
    own = {key: value.shape for key, value in network.state_dict().items()}
    assert {key: value.shape for key, value in bare.state_dict().items()} == own
    bare.load_state_dict(network.state_dict(), assign=True)
    grey = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(bare.eval()(grey), network(grey), rtol=0, atol=0)


def test_dropout_acts_in_training_alone(name: str) -> None:
    if name not in SMALL:
        pytest.skip("tried with the small ones")
    torch.manual_seed(0)
    model = build_model(recipe_of(name, dropout=0.5, freeze=BLOCKS), n_classes=3)
    grey = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert not torch.equal(model(grey), model(grey))
        model.eval()
        assert torch.equal(model(grey), model(grey))
