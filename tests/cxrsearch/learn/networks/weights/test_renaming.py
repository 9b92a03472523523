from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cxrsearch.learn.networks.stem import IMAGENET_MEAN, IMAGENET_STD
from cxrsearch.learn.networks.weights.fitting import fit
from cxrsearch.learn.networks.weights.reading import WeightsFile
from cxrsearch.learn.networks.weights.renaming import Target, plain_name, precedence

OWN = {
    "stem.weight": torch.randn(4, 1, 3, 3),
    "stem.offset": torch.zeros(4, 1, 3, 3),
    "norm.weight": torch.randn(4),
    "norm.running_mean": torch.randn(4),
    "norm.num_batches_tracked": torch.tensor(3),
    "layers.0.conv.weight": torch.randn(8, 4, 3, 3),
    "layers.1.conv.weight": torch.randn(8, 8, 3, 3),
    "fc.weight": torch.randn(5, 8),
    "fc.bias": torch.randn(5),
}
TARGET = Target(OWN, "stem", "fc", ("stem", "norm", "layers", "fc"), IMAGENET_MEAN, IMAGENET_STD)
BODY = [name for name in OWN if not name.startswith("fc.") and "num_batches" not in name]

PARTS = st.lists(
    st.sampled_from(["module", "model", "net", "backbone", "encoder_q", "_orig_mod", "base.2"]),
    max_size=4,
)
PLACES = st.sampled_from(["", "state_dict", "model", "checkpoint.model", "teacher"])


def fitted(dicts: dict[str, dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """What the network takes of state dicts by place."""
    size = sum(tensor.nbytes for tensors in dicts.values() for tensor in tensors.values())
    found = fit(TARGET, WeightsFile(Path("w.pth"), dicts, (), size + 1000))
    assert found.loaded.problem is None, found.loaded.problem
    return found.tensors


@given(parts=PARTS, place=PLACES, wrapped=st.lists(st.integers(0, 3), max_size=4), data=st.data())
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_prefix_and_wrappers_anywhere_give_the_same_weights(
    parts: list[str], place: str, wrapped: list[int], data: st.DataObject
) -> None:
    prefix = "".join(f"{part}." for part in parts)
    state = {}
    for name, value in OWN.items():
        pieces = name.split(".")
        for at in wrapped:  # of each name alike, where it is long enough
            if at < len(pieces):
                pieces.insert(at, "module")
        state[prefix + ".".join(pieces)] = value
    beside = {
        f"projector.{i}.weight": torch.ones(3, 3) for i in range(data.draw(st.integers(0, 2)))
    }
    found = fitted({place: {**beside, **state}})
    assert all(torch.equal(found[name], OWN[name]) for name in BODY)


@given(bare=st.sets(st.sampled_from(BODY), max_size=len(BODY) - 1), prefix=st.sampled_from(
    ["module.", "model.", "backbone.", "model.module.encoder."]))  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_a_prefix_that_only_some_names_carry_goes_as_well(bare: set[str], prefix: str) -> None:
    state = {name if name in bare else prefix + name: value for name, value in OWN.items()}
    found = fitted({"": state})
    assert all(torch.equal(found[name], OWN[name]) for name in BODY)


@given(order=st.permutations(["model", "model_ema", "optimizer_target", "student"]))
@settings(deadline=None, max_examples=10)
def test_averages_come_last_in_whatever_order_they_lie(order: list[str]) -> None:
    other = {name: value + 1 for name, value in OWN.items()}
    found = fitted({place: OWN if place == "model" else other for place in order})
    assert torch.equal(found["norm.weight"], OWN["norm.weight"])


@pytest.mark.parametrize(
    "places",
    [
        ("teacher.backbone", "model", "generator", "student.backbone"),
        ("state_dict.encoder_q", "", "some.other", "state_dict.encoder_k"),
        ("online_network", "state_dict.net", "discriminator", "target_network"),
        ("teacher", "state_dict", "copy", "state_dict_ema"),
        ("teacher", "model", "copy", "model_ema.module"),
    ],
)
def test_weights_that_fit_alike_have_an_order(places: tuple[str, ...]) -> None:
    assert [precedence(place) for place in places] == [0, 1, 2, 3]


def test_wrappers_go_at_any_place_and_old_names_are_renewed() -> None:
    assert plain_name("module.features.module.conv0.weight") == "features.conv0.weight"
    old = "module.features.denseblock1.denselayer2.norm.1.running_mean"
    assert plain_name(old) == "features.denseblock1.denselayer2.norm1.running_mean"
