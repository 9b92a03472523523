"""Names of tensors: of one network in the ways in which people's programs write them.

A file's names differ from a network's own by wrappers anywhere in them (``module``, as data
parallel training writes), by a prefix (``backbone.``), and by the naming of another implementation.
Wrappers go without being asked. The prefix is found, not listed: it is what stands before the
network's own names in most bytes. Namings are `NAMINGS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from torch import Tensor

WRAPPERS = frozenset({
    "module", "_orig_mod", "_fsdp_wrapped_module", "_forward_module", "_checkpoint_wrapped_module",
})  # fmt: skip
"""Parts of names that torch's own wrappers put in, at any place."""

NEUTRAL = frozenset({
    "model", "net", "network", "backbone", "encoder", "base_model", "trunk", "state_dict", "cnn",
    "model_state_dict", "model_state", "weights", "params", "feature_extractor", "base_encoder",
})  # fmt: skip
"""Parts of places and prefixes that say nothing of which of several weights these are."""

_OLD_DENSE_KEY = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(?=[12]\.)")

_BEST = re.compile(r"(^|[._])(teacher|encoder_q|online\w*)([._]|$)")
_WORST = re.compile(
    r"(^|[._])(student|encoder_k|target\w*|momentum\w*|ema|averaged?|swa|shadow|key)([._]|$)"
)


class Target(NamedTuple):
    """A network that weights are looked for.

    Args:
        own: its state dict; only names, shapes and types are looked at.
        stem: name of its `GreyStem`.
        head: name of what turns features into logits.
        children: names of its direct parts, in order.
        mean: of red, green and blue, as ImageNet's weights of it expect them.
        std: likewise, their deviations.
        eps: of its first batch normalisation; None: it has none.
        grid: rows and columns of the patches that a transformer sees; None: not known.
    """

    own: Mapping[str, Tensor]
    stem: str
    head: str
    children: tuple[str, ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    eps: float | None = None
    grid: tuple[int, int] | None = None

    def in_head(self, name: str) -> bool:
        """Whether a tensor of its own belongs to the head."""
        return name.startswith(f"{self.head}.")


def unwrapped(name: str) -> str:
    """``name`` without wrappers."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def plain_name(name: str) -> str:
    """``name`` without wrappers, in today's spelling of torchvision's DenseNets."""
    return _OLD_DENSE_KEY.sub(r"\1", unwrapped(name))


def precedence(place: str) -> int:
    """Which of several weights of a file are taken where they fit alike: the lowest number.

    What its authors evaluate comes first (DINO's teacher, MoCo's query encoder, BYOL's online
    network), then what bears a plain name, then any other, and last averages and their like.

    Args:
        place: where the weights lie, prefix included.
    """
    if _BEST.search(place):
        return 0
    if _WORST.search(place):
        return 3
    return 1 if is_neutral(place) else 2


def is_neutral(place: str) -> bool:
    """Whether a place or prefix says nothing of which weights these are."""
    parts = [part for part in place.split(".") if part]
    return all(part in NEUTRAL or part in WRAPPERS for part in parts)


def _as_it_is(target: Target) -> dict[str, str]:
    return {name: name for name in target.own}


def _in_a_row(target: Target) -> dict[str, str]:
    """``nn.Sequential(*net.children())``: parts by their number, as many MoCo exports have it."""
    numbers = {child: str(i) for i, child in enumerate(target.children)}
    found = {}
    for name in target.own:
        child, dot, rest = name.partition(".")
        if child in numbers:
            found[f"{numbers[child]}{dot}{rest}"] = name
    return found


def _without_features(target: Target) -> dict[str, str]:
    """What lies within ``features`` alone, saved without the rest."""
    inner = {n.removeprefix("features."): n for n in target.own if n.startswith("features.")}
    outer = [n for n in target.own if not n.startswith("features.") and not target.in_head(n)]
    return {} if outer else inner


_LUKEMELAS_TOP = {
    "conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1",
    "classifier": "_fc",
}  # fmt: skip
_LUKEMELAS_FIRST = {
    "conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2",
    "se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand",
}  # fmt: skip
_LUKEMELAS_BLOCK = {
    "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
    "conv_pwl": "_project_conv", "bn3": "_bn2",
    "se.conv_reduce": "_se_reduce", "se.conv_expand": "_se_expand",
}  # fmt: skip
_BLOCK = re.compile(r"blocks\.(\d+\.\d+)\.(.+)\.(\w+)")

LUKEMELAS = "of EfficientNet-PyTorch (Melas-Kyriazi)"
LUKEMELAS_EPS = 1e-3
"""Of batch normalisation in Google's EfficientNets, which that program reads."""


def _lukemelas(target: Target) -> dict[str, str]:
    """timm's EfficientNets as ``efficientnet_pytorch`` writes them: blocks in one row."""
    if "conv_stem.weight" not in target.own or "blocks.0.0.conv_dw.weight" not in target.own:
        return {}
    found, rows = {}, dict[str, int]()
    for name in target.own:
        if match := _BLOCK.fullmatch(name):
            block, layer, kind = match.groups()
            row = rows.setdefault(block, len(rows))
            expands = f"blocks.{block}.conv_pwl.weight" in target.own
            theirs = (_LUKEMELAS_BLOCK if expands else _LUKEMELAS_FIRST).get(layer)
            if theirs:
                found[f"_blocks.{row}.{theirs}.{kind}"] = name
            continue
        layer, _, kind = name.rpartition(".")
        if layer in _LUKEMELAS_TOP:
            found[f"{_LUKEMELAS_TOP[layer]}.{kind}"] = name
    return found


NAMINGS: dict[str, Callable[[Target], dict[str, str]]] = {
    "its own": _as_it_is,
    "of its parts in a row (nn.Sequential)": _in_a_row,
    "of its features alone": _without_features,
    LUKEMELAS: _lukemelas,
}
"""Ways of naming a network's tensors: ``target -> {their name: its own}``."""


class Naming(NamedTuple):
    """One way to read the names of a state dict.

    Args:
        place: where the state dict lies in the file.
        prefix: what stands before the network's names.
        naming: one of `NAMINGS`.
        names: own name -> the file's, at ``prefix``, and under neutral prefixes what is not there.
        theirs: own name -> what the file ought to call it.
        fitting: bytes of the backbone that have its shape, then those that have its name.
    """

    place: str
    prefix: str
    naming: str
    names: Mapping[str, str]
    theirs: Mapping[str, str]
    fitting: tuple[int, int]


def namings(
    target: Target, place: str, tensors: Mapping[str, Tensor], fits: Callable[[str, Tensor], bool]
) -> Iterable[Naming]:
    """The ways to read ``tensors`` as weights of ``target`` in which anything fits.

    Args:
        target: the network.
        place: where the tensors lie.
        tensors: by the file's names.
        fits: ``(own name, tensor) -> whether it has the shape``.
    """
    plain = {name: plain_name(name) for name in tensors}
    for naming, name_all in NAMINGS.items():
        own_of = name_all(target)
        found: dict[str, dict[str, str]] = {}
        for name, spelt in plain.items():
            for prefix, rest in _cuts(spelt):
                if (own := own_of.get(rest)) is not None:
                    found.setdefault(prefix, {}).setdefault(own, name)
        theirs = {own: name for name, own in own_of.items()}
        for prefix, names in found.items():
            body = [own for own in names if not target.in_head(own)]
            shaped = sum(target.own[o].nbytes for o in body if fits(o, tensors[names[o]]))
            named = sum(target.own[own].nbytes for own in body)
            if named:
                filled = _filled(target, prefix, found)
                yield Naming(place, prefix, naming, filled, theirs, (shaped, named))


def _cuts(name: str) -> Iterable[tuple[str, str]]:
    """Each way to cut a name into prefix and rest at a dot; first the whole."""
    yield "", name
    for match in re.finditer(r"\.", name):
        yield name[: match.end()], name[match.end() :]


def _filled(target: Target, prefix: str, found: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The names at ``prefix``, and what lies at exactly one neutral prefix where that has none.

    A prefix at which some of the same names lie is of another network, no rest of this one.
    """
    names = dict(found[prefix])
    others = [
        at
        for other, at in found.items()
        if other != prefix and is_neutral(other) and names.keys().isdisjoint(at)
    ]
    for own in target.own:
        if own not in names:
            places = [at[own] for at in others if own in at]
            if len(places) == 1:
                names[own] = places[0]
    return names
