"""Which networks a file of weights fits, and of which family its own is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from cxrsearch.errors import InputError

from .models import Wanted, held_against
from .weights.reading import WeightsFile
from .weights.renaming import plain_name
from .weights.report import Loaded

FAMILIES: dict[str, str] = {
    "DenseNet": r"denseblock1\.denselayer1\.",
    "EfficientNet": r"_blocks\.0\._depthwise|blocks\.0\.0\.conv_dw\.|features\.1\.0\.block\.",
    "vision transformer": r"blocks\.0\.attn\.qkv\.|encoder\.layers\.encoder_layer_0\.",
    "Swin transformer": r"layers\.0\.blocks\.0\.attn\.|features\.1\.0\.attn\.",
    "ConvNeXt": r"stages\.0\.blocks\.0\.(conv_dw|gamma)|features\.1\.0\.layer_scale",
    "RegNet": r"trunk_output\.block1|s1\.b1\.conv1\.",
    "ResNet": r"layer1\.0\.conv1\.|(^|\.)4\.0\.conv1\.",
    "VGG": r"(^|\.)features\.(24|28)\.weight",
}
"""Families of networks, and what is among the names of their tensors."""


TIMM_NAMES: dict[str, tuple[str, ...]] = {
    "DenseNet": ("densenet*",),
    "EfficientNet": (
        "tf_efficientnet_lite?", "tf_efficientnet_b?", "efficientnet_b?", "mobilenetv3_*",
        "mobilenetv2_*", "tf_efficientnetv2_?", "efficientnetv2_*",
    ),
    "vision transformer": ("vit_*_patch*_224", "vit_*_dinov2", "deit_*_patch*_224", "vit_*"),
    "Swin transformer": ("swin_*",),
    "ConvNeXt": ("convnext_*", "convnextv2_*"),
    "RegNet": ("regnety_*", "regnetx_*"),
    "ResNet": ("resnet??", "resnet???", "resnext*", "wide_resnet*", "seresnet*"),
    "VGG": ("vgg*",),
}  # fmt: skip
"""By family, which of timm's networks are tried, the usual ones first."""

MOST_TRIED = 40
"""So many of timm's networks are built at most: each takes a fifth of a second."""


class Matches(NamedTuple):
    """What is known of a file without being told a network.

    Args:
        family: of its network; None: none of `FAMILIES`.
        fits: how it fits, by network.
        refused: why it does not, by network.
    """

    family: str | None
    fits: Mapping[str, Loaded]
    refused: Mapping[str, str]


def matching(file: WeightsFile, recipes: Iterable[Wanted], first: bool = False) -> Matches:
    """The network of each recipe held against ``file``.

    Args:
        file: that has been read.
        recipes: they may be built one by one.
        first: whether the first that fits ends it.
    """
    fits: dict[str, Loaded] = {}
    refused: dict[str, str] = {}
    for recipe in recipes:
        if first and fits:
            break
        try:
            found = held_against(recipe, file)
        except InputError as error:
            refused[recipe.model] = str(error)
            continue
        if found.problem is None:
            fits[recipe.model] = found
        else:
            refused[recipe.model] = found.problem
    return Matches(family(file), fits, refused)


def family(file: WeightsFile) -> str | None:
    """The family of the network in ``file``, by the names of its tensors."""
    names = [plain_name(name) for tensors in file.dicts.values() for name in tensors]
    for found, pattern in FAMILIES.items():
        if any(re.search(pattern, name) for name in names):
            return found
    return None


def timm_names(family: str | None) -> list[str]:
    """The networks of timm that a file of ``family`` may be of; none where timm is not there."""
    from . import torchvision_import  # noqa: F401  (timm imports torchvision)

    try:
        import timm
    except ImportError:
        return []
    found = [
        name
        for pattern in TIMM_NAMES.get(family or "", ())
        for name in sorted(timm.list_models(pattern), key=lambda name: (len(name), name))
    ]
    return list(dict.fromkeys(found))[:MOST_TRIED]
