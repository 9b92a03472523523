from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from cxrsearch.data.diseases import DISEASES
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.learn.networks import models
from cxrsearch.model.folder import ModelMeta, load_model, save_model
from cxrsearch.model.views import TTA, views

CPU = ComputeOptions("cpu")


@pytest.mark.parametrize("crop", [1024, 900, 700, "600x800", 32])
@pytest.mark.parametrize("frame", [40, 64, 1024])
def test_windows_lie_in_the_frame_and_are_symmetric(crop, frame) -> None:
    for tta, count in zip(TTA, (1, 2, 5, 10, 10), strict=True):
        found = views(tta, frame, crop)
        assert len(set(found)) <= len(found) == count
        for (top, left, tall, wide), _, _ in found:
            assert 0 <= top <= top + tall <= frame
            assert 0 <= left <= left + wide <= frame
        assert sum(view.flipped for view in found) == (count // 2 if count != 5 else 0)
    centre = sum(top + tall / 2 for (top, _, tall, _), _, _ in found) / 10
    assert abs(centre - frame / 2) <= 1


def test_nothing_is_magnified_where_there_is_room() -> None:
    plain = views("none", 1024, "600x800")[0].place
    found = views("ten-crop", 1024, "600x800")
    assert {view.place[2:] for view in found} == {plain[2:]}
    assert found[0].place == plain
    tops = sorted({view.place[0] for view in found})
    assert tops[-1] - tops[0] == round(600 * 8 / 7) - 600
    whole = {view.place[2:] for view in views("ten-crop", 1024, 1024)}
    assert whole == {(896, 896)}


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="twelve"):
        views("twelve", 64, 1024)


@pytest.mark.usefixtures("tiny_model")
def test_a_prediction_is_the_mean_of_the_logits_of_its_views(recipe, tmp_path) -> None:
    save_model(
        tmp_path / "m",
        models.build_model(recipe, n_classes=14),
        recipe,
        ModelMeta(32, "d", "s", DISEASES),
    )
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32)).astype(np.uint8)
    mirrored = np.ascontiguousarray(images[:, :, ::-1])
    plain = load_model(tmp_path / "m", CPU)
    logits = [torch.logit(torch.tensor(plain.predict(x))) for x in (images, mirrored)]
    expected = torch.sigmoid((logits[0] + logits[1]) / 2).numpy()
    flip = load_model(tmp_path / "m", CPU, tta="flip")
    assert np.allclose(flip.predict(images), expected, atol=1e-5)
    assert np.allclose(flip.predict(mirrored), expected, atol=1e-5)
    ten = load_model(tmp_path / "m", CPU, tta="ten-crop")
    assert np.allclose(ten.predict(images), ten.predict(mirrored), atol=1e-5)
    assert not np.allclose(ten.predict(images), expected, atol=1e-5)


def test_a_shift_moves_what_is_seen_and_repeats_the_border() -> None:
    image = torch.arange(64 * 64).reshape(1, 64, 64)
    plain, down, up, right, left = (view.of(image) for view in views("shift", 64, 1024))
    assert torch.equal(plain, image)
    assert torch.equal(down[:, 2:], image[:, :-2])
    assert torch.equal(down[:, 0], image[:, 0])
    assert torch.equal(up[:, :-2], image[:, 2:])
    assert torch.equal(right[:, :, 2:], image[:, :, :-2])
    assert torch.equal(left[:, :, -1], image[:, :, -1])
    small = torch.arange(64).reshape(1, 8, 8)  # a pixel at least
    assert torch.equal(views("shift", 64, 1024)[1].of(small)[:, 1:], small[:, :-1])


@pytest.mark.usefixtures("tiny_model")
def test_a_model_is_seen_as_its_card_says_unless_told_otherwise(recipe, tmp_path) -> None:
    network = models.build_model(recipe, n_classes=14)
    meta = ModelMeta(32, "d", "s", DISEASES, tta="shift-flip")
    save_model(tmp_path / "m", network, recipe, meta)
    images = np.random.default_rng(0).integers(0, 255, (3, 32, 32)).astype(np.uint8)
    own, named, plain = (
        load_model(tmp_path / "m", CPU, tta) for tta in (None, "shift-flip", "none")
    )
    assert (own.tta, plain.tta) == ("shift-flip", "none")
    assert np.array_equal(own.predict(images), named.predict(images))
    assert not np.allclose(own.predict(images), plain.predict(images), atol=1e-6)
    card = json.loads((tmp_path / "m" / "model.json").read_text())
    card = {**card, "tta": "twelve"}
    del card["digest"]
    (tmp_path / "m" / "model.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="tta is 'twelve'"):
        load_model(tmp_path / "m", CPU)
