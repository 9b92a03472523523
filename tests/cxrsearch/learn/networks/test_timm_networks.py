"""Which of timm's networks are taken, and what is said of the others."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from cxrsearch.errors import InputError
from cxrsearch.learn.networks.architectures import BLOCKS, size_of
from cxrsearch.learn.networks.models import build_model, network_problem
from cxrsearch.learn.networks.stem import GreyStem
from cxrsearch.learn.networks.timm_networks import maps_of
from cxrsearch.learn.recipe import Recipe

VIT = "timm:vit_tiny_patch16_224"


def problem(model: str, input_size: int | str = 64) -> str:
    return network_problem(Recipe(model=model, input_size=input_size)) or ""


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("timm:tf_efficientnet_lite9", "no network 'tf_efficientnet_lite9'; did you mean 'tf_eff"),
        ("timm:resnetv2_50x1_bit", "its first layer (stem.conv, StdConv2d) is no plain convolut"),
        ("timm:resnetv2_50x1_bit", "its classifier (head.fc, Conv2d) is no single linear layer"),
        ("timm:deit_tiny_distilled_patch16_224", "its classifier (head, head_dist) is no single"),
        ("timm:tresnet_m", "its first layer (body.conv1.conv"),
        ("timm:resnet18.nobody", "no weights called 'resnet18.nobody'; did you mean 'resnet18."),
        ("timm:resnet18.a1_in1", "did you mean 'resnet18.a1_in1k'?; those of resnet18 are resn"),
    ],
)
def test_a_network_that_cannot_be_ours_is_refused_with_the_reason(model: str, said: str) -> None:
    assert said in problem(model)
    with pytest.raises(InputError, match=model.removeprefix("timm:").partition(".")[0]):
        build_model(Recipe(model=model, input_size=64), n_classes=2)


@pytest.mark.parametrize(
    ("model", "size", "said"),
    [
        (VIT, 64, ""),
        (VIT, "96x160", ""),
        (VIT, "100x134", "does not take images of 100x134 (Input height (100) should be divis"),
        ("timm:davit_tiny", 64, ""),
        ("timm:davit_tiny", "66x64", "changes their size before its first convolution"),
        ("timm:convnext_atto", "100x134", ""),
        ("timm:pit_ti_224", 224, "(its last layers give no maps: what they give is of the whole"),
        ("timm:swin_tiny_patch4_window7_224", 64, ""),
        ("timm:tf_efficientnet_lite0.in1k", 32, ""),
        ("resnet18", 32, ""),
    ],
)
def test_sizes_are_tried_before_anything_trains(model: str, size: int | str, said: str) -> None:
    found = problem(model, size)
    assert said in found
    assert bool(said) == bool(found)


def test_without_timm_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    found = problem("timm:resnet18")
    assert "timm:resnet18 needs timm, which cannot be imported here" in found
    assert "pip install 'cxrsearch[timm]'" in found


def test_an_image_that_is_made_for_one_size_has_it_from_the_recipe() -> None:
    with torch.device("meta"):
        model = build_model(Recipe(model=VIT, input_size="32x48"), n_classes=2)
    assert model.net.get_parameter("pos_embed").shape == (1, 1 + 2 * 3, 192)


@pytest.mark.parametrize(
    ("model", "last"),
    [
        ("densenet121", ("features.denseblock4", "features.norm5")),
        ("convnext_atto", ("stages.3", "head.norm")),
        ("poolformer_s12", ("stages.3", "head.norm")),
    ],
)
def test_the_last_block_is_the_last_stage_and_what_comes_after_it(
    model: str, last: tuple[str, ...]
) -> None:
    with torch.device("meta"):
        network = build_model(Recipe(model=f"timm:{model}", input_size=64), n_classes=2)
    assert len(network.blocks) == BLOCKS
    inside = {id(p) for module in network.blocks[-1] for p in module.parameters()}
    wanted = [network.net.get_submodule(name) for name in last]
    assert {id(p) for module in wanted for p in module.parameters()} == inside
    first = {id(p) for module in network.blocks[0] for p in module.parameters()}
    assert {id(p) for p in network.net.get_submodule(network.stem).parameters()} <= first


def test_its_own_normalisation_is_in_the_stem() -> None:
    with torch.device("meta"):
        model = build_model(Recipe(model=VIT, input_size=32), n_classes=2)
    stem = model.net.get_submodule(model.stem)
    assert isinstance(stem, GreyStem)
    assert stem.mean == stem.std == (0.5, 0.5, 0.5)


class Tokens(nn.Module):
    """Says where each patch of 2x2 lies, after two tokens that stand for the whole image."""

    num_features, num_prefix_tokens = 2, 2

    def forward_features(self, grey: torch.Tensor) -> torch.Tensor:
        rows, columns = grey.shape[2] // 2, grey.shape[3] // 2
        places = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).float()
        whole = torch.full((self.num_prefix_tokens, 2), -1.0)
        return torch.cat([whole, places]).expand(len(grey), -1, -1)


@pytest.mark.parametrize("size", [(8, 8), (12, 6), (6, 12), (4, 24), (14, 10)], ids=str)
def test_tokens_are_laid_out_as_their_patches_lie(size: tuple[int, int]) -> None:
    maps = maps_of(Tokens(), torch.zeros(3, 1, *size))
    assert maps.shape == (3, 2, size[0] // 2, size[1] // 2)
    assert torch.equal(maps[0, 0, :, 0], torch.arange(size[0] // 2).float())
    assert torch.equal(maps[0, 1, 0], torch.arange(size[1] // 2).float())


class Channels(Tokens):
    """Maps with channels last."""

    def forward_features(self, grey: torch.Tensor) -> torch.Tensor:
        return grey.permute(0, 2, 3, 1).expand(-1, -1, -1, 2)


def test_channels_come_first_in_maps() -> None:
    grey = torch.rand(2, 1, 5, 7)
    assert torch.equal(maps_of(Channels(), grey), grey.expand(-1, 2, -1, -1))


class Nothing(Tokens):
    """A vector an image."""

    def forward_features(self, grey: torch.Tensor) -> torch.Tensor:
        return grey.mean(dim=(2, 3))


def test_no_maps_are_an_error() -> None:
    with pytest.raises(ValueError, match="no maps"):
        maps_of(Nothing(), torch.rand(2, 1, 4, 4))


@pytest.mark.parametrize(
    ("model", "size", "grid"),
    [
        ("timm:coat_lite_tiny", 224, (7, 7)),
        ("timm:coat_lite_tiny", "128x256", (4, 8)),
        ("timm:xcit_nano_12_p16_224", "96x160", (6, 10)),
    ],
)
def test_tokens_of_the_whole_image_are_no_places_though_nothing_says_how_many(
    model: str, size: int | str, grid: tuple[int, int]
) -> None:
    with torch.device("meta"):
        network = build_on_meta(model, size)
        height, width = size_of(size)
        maps = network.features(torch.empty(1, 1, height, width))
    assert tuple(maps.shape[2:]) == grid


def build_on_meta(model: str, size: int | str) -> nn.Module:
    return build_model(Recipe(model=model, input_size=size), n_classes=2).eval()


def test_a_network_without_coarse_groups_of_layers_has_stages() -> None:
    with torch.device("meta"):
        network = build_on_meta("timm:rdnet_tiny", 224)
    assert len(network.blocks) == BLOCKS


def test_filters_of_three_dimensions_hinder_no_layout() -> None:
    network = build_model(Recipe(model="timm:lambda_resnet26t", input_size=64), n_classes=2)
    assert {p.ndim for p in network.parameters()} == {1, 2, 4, 5}
    filters = [p for p in network.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
