from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cxrsearch.errors import InputError
from cxrsearch.learn.networks.architectures import NETWORKS
from cxrsearch.learn.networks.models import build_model, weights_problem
from cxrsearch.learn.networks.stem import IMAGENET_MEAN, IMAGENET_STD, GreyStem
from cxrsearch.learn.networks.torchvision_import import models as vision_models
from cxrsearch.learn.recipe import Recipe, gene_limits

DENSE = Recipe(model="densenet121")
POOLED = Recipe(model="vgg16", vgg_head="pooled")


def three_channels(grey: torch.Tensor) -> torch.Tensor:
    """What a network for ImageNet gets for a grey image."""
    mean = torch.tensor(IMAGENET_MEAN, dtype=grey.dtype).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, dtype=grey.dtype).view(1, 3, 1, 1)
    return (grey.expand(-1, 3, -1, -1) - mean) / std


def torchvision_densenet() -> nn.Module:
    """torchvision's own, with statistics that are not those of a fresh start."""
    torch.manual_seed(0)
    net: nn.Module = vision_models.densenet121(weights=None)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2.0)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return net.eval()


def pooled_vgg_state() -> dict[str, torch.Tensor]:
    """Weights of VGG16's convolutions by torchvision's names, biases not zero."""
    torch.manual_seed(0)
    with torch.device("meta"):
        shapes = vision_models.vgg16(weights=None).features.state_dict()
    return {
        f"features.{k}": torch.randn(v.shape) * (2 / max(1, v[0].numel())) ** 0.5
        for k, v in shapes.items()
    }


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """New parameters are of ``dtype``, so that the stem is folded in it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@pytest.fixture(scope="module")
def dense() -> nn.Module:
    return torchvision_densenet()


@pytest.fixture(scope="module")
def dense_file(dense: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "dense.pth"
    torch.save(dense.state_dict(), path)
    return path


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(7, 2, 3), (3, 1, 1), (5, 3, 0)])
def test_stem_equals_three_channels_to_the_border(
    bias: bool, kernel: int, stride: int, padding: int
) -> None:
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 6, kernel, stride, padding, bias=bias).double()
    grey = torch.rand(2, 1, 17, 23, dtype=torch.float64)
    expected = conv(three_channels(grey))
    actual = GreyStem(conv)(grey)
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, atol=1e-12, rtol=0)


def test_a_constant_folded_into_the_bias_would_be_wrong_at_the_border() -> None:
    """The reason for the border map: without it only the inside agrees."""
    torch.manual_seed(1)
    conv = nn.Conv2d(3, 6, 3, padding=1).double()
    stem = GreyStem(conv)
    grey = torch.rand(1, 1, 9, 9, dtype=torch.float64)
    expected = conv(three_channels(grey))
    folded = nn.functional.conv2d((grey - 0.449) / 0.226, stem.weight, stem.bias, padding=1)
    folded = folded - stem.offset.sum(dim=(1, 2, 3)).view(1, -1, 1, 1)
    wrong = (folded - expected).abs().amax(dim=(0, 1)) > 1e-6
    assert not wrong[1:-1, 1:-1].any()
    assert wrong[0].all()
    assert wrong[:, -1].all()


def test_stem_filters_are_trained_and_keep_their_layout() -> None:
    stem = GreyStem(nn.Conv2d(3, 4, 3, padding=1))
    out = stem(torch.rand(2, 1, 8, 8))
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in stem.parameters())


def test_stem_refuses_what_it_cannot_replace() -> None:
    with pytest.raises(ValueError, match="3 channels"):
        GreyStem(nn.Conv2d(1, 4, 3))


# Weights are read as float32, whatever a file holds, so that the folded stem is rounded to it.
@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float32, 1e-4), (torch.float64, 1e-6)], ids=["f32", "f64"]
)
def test_densenet_equals_torchvision_on_grey(
    dense: nn.Module, tmp_path: Path, dtype: torch.dtype, atol: float
) -> None:
    reference = copy.deepcopy(dense).to(dtype)
    torch.save(reference.state_dict(), tmp_path / "dense.pt")
    recipe = replace(DENSE, init=str(tmp_path / "dense.pt"))
    with default_dtype(dtype):
        model = build_model(recipe, n_classes=1000).eval()
    grey = torch.rand(2, 1, 33, 47, dtype=dtype)
    with torch.no_grad():
        expected = reference(three_channels(grey))
        actual = model(grey)
    assert model.notes[0].endswith("100% of the backbone's bytes; head kept")
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float32, 1e-4), (torch.float64, 1e-6)], ids=["f32", "f64"]
)
def test_vgg_equals_torchvision_on_grey(tmp_path: Path, dtype: torch.dtype, atol: float) -> None:
    state = {k: v.to(dtype) for k, v in pooled_vgg_state().items()}
    path = tmp_path / "vgg.safetensors"
    save_file(state, path)
    with default_dtype(dtype):
        model = build_model(replace(POOLED, init=str(path)), n_classes=14).eval()
    with torch.device("meta"):
        features = vision_models.vgg16(weights=None).features
    features.to_empty(device="cpu").to(dtype).load_state_dict(
        {k.removeprefix("features."): v for k, v in state.items()}
    )
    grey = torch.rand(2, 1, 32, 40, dtype=dtype)
    with torch.no_grad():
        expected = features(three_channels(grey))
        actual = model.net.features(grey)  # type: ignore[operator]
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


def test_fresh_start_is_torchvisions_own() -> None:
    torch.manual_seed(3)
    plain = vision_models.densenet121(weights=None).eval()
    torch.manual_seed(3)
    model = build_model(DENSE, n_classes=14).eval()
    grey = torch.rand(1, 1, 32, 32)
    with torch.no_grad():
        expected = plain.features(three_channels(grey))
        actual = model.net.features(grey)  # type: ignore[operator]
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_every_allowed_model_has_a_builder() -> None:
    assert set(NETWORKS) == set(gene_limits()["model"]["choices"])


def test_full_vgg_has_torchvisions_head_and_both_dropouts() -> None:
    with torch.device("meta"):
        model = build_model(Recipe(model="vgg16", vgg_head="full", dropout=0.3), n_classes=14)
        logits = model(torch.rand(1, 1, 32, 32))
    assert logits.shape == (1, 14)
    rates = [m.p for m in model.modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.3, 0.3]
    hidden = model.get_parameter("net.classifier.0.weight")
    assert hidden.shape == (4096, 512 * 7 * 7)


def test_dropout_acts_before_the_last_layer_in_training_only() -> None:
    torch.manual_seed(0)
    model = build_model(replace(POOLED, dropout=0.5), n_classes=14)
    grey = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert not torch.equal(model(grey), model(grey))
        model.eval()
        assert torch.equal(model(grey), model(grey))


def test_head_of_another_size_is_left_out_and_said(dense_file: Path) -> None:
    model = build_model(replace(DENSE, init=str(dense_file)), n_classes=14)
    loaded, left_out = model.notes
    assert "100% of the backbone's bytes; head new (its own is (1000, 1024))" in loaded
    assert "left out: classifier (2)" in left_out


def test_own_state_dict_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model(POOLED, n_classes=14)
    path = tmp_path / "own.safetensors"
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    again = build_model(replace(POOLED, init=str(path)), n_classes=14)
    assert again.notes[0].endswith("100% of the backbone's bytes; head kept")
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_imagenet_file_is_found_with_its_old_names(dense: nn.Module, tmp_path: Path) -> None:
    old = {
        k.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.")
        .replace(".conv1.", ".conv.1.").replace(".conv2.", ".conv.2."): v
        for k, v in dense.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }  # fmt: skip
    assert any("denselayer1.norm.1.weight" in k for k in old)
    torch.save(old, tmp_path / "densenet121-a639ec97.pth")
    assert weights_problem(Recipe(init="imagenet", model="densenet121"), tmp_path) is None
    model = build_model(replace(DENSE, init="imagenet"), tmp_path, n_classes=14)
    own = model.state_dict()["net.features.denseblock1.denselayer1.norm1.running_mean"]
    assert torch.equal(
        own, dense.state_dict()["features.denseblock1.denselayer1.norm1.running_mean"]
    )


def test_missing_imagenet_weights_name_file_and_place(tmp_path: Path) -> None:
    problem = weights_problem(Recipe(init="imagenet", model="vgg16"), tmp_path)
    assert problem is not None
    assert str(tmp_path / "vgg16-397923af.pth") in problem
    assert "https://download.pytorch.org/models/vgg16-397923af.pth" in problem
    with pytest.raises(InputError, match="vgg16-397923af"):
        build_model(replace(POOLED, init="imagenet"), tmp_path, n_classes=14)


def test_nothing_is_needed_without_starting_weights() -> None:
    assert weights_problem(Recipe(init="none", model="vgg16")) is None


def test_weights_of_another_network_are_counted(dense_file: Path) -> None:
    problem = weights_problem(Recipe(init=str(dense_file), model="vgg16"))
    assert problem is not None
    assert "none of its tensors" in problem
    assert "features.conv0.weight" in problem
    assert "features.0.weight" in problem


def test_logits_are_not_rounded_to_half_precision(tiny_model: None) -> None:
    model = build_model(Recipe(input_size=32), n_classes=14).eval()
    images = torch.rand(64, 1, 32, 32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    assert logits.dtype == torch.float32
    rounded = logits.to(torch.bfloat16).float()
    assert (rounded != logits).float().mean() > 0.9
