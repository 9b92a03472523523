"""The place of a drawn sign is where the picture changes without it."""

from __future__ import annotations

import numpy as np
import pytest

from cxrsearch.phantom.dataset import phantom_dataset
from cxrsearch.phantom.places import sign_boxes, sign_places
from cxrsearch.phantom.shapes import SHAPES

DATA = phantom_dataset(images=50, unlabelled=0, seed=3, difficulty=0.0)


def test_a_sign_left_out_changes_its_place_alone() -> None:
    source = DATA.source
    signs = {name: source.signs(name) for name in DATA.names}  # type: ignore[attr-defined]
    name, (disease,) = next(
        (name, own) for name, own in signs.items() if len(own) == 1 and own[0] not in SHAPES
    )
    (mask,) = sign_places(source, name, 64).values()  # type: ignore[arg-type]
    whole = source.decode(name, 64).astype(int)
    without = source.decode_without(name, 64, disease).astype(int)  # type: ignore[attr-defined]
    change = np.abs(whole - without)
    assert 0.002 < mask.mean() < 0.1
    assert change[mask].mean() > 20 * change[~mask].mean()


def test_boxes_hold_the_signs_of_the_images_asked_for() -> None:
    names = DATA.names[:6]
    boxes = list(sign_boxes(DATA, names))
    signs = {(name, sign) for name in names for sign in DATA.source.signs(name)}  # type: ignore[attr-defined]
    assert {(box.image, box.label) for box in boxes} == signs
    for box in boxes:
        assert 0 <= box.left < box.right <= 1
        assert 0 <= box.top < box.bottom <= 1
    name, sign = sorted(signs)[0]
    mask = sign_places(DATA.source, name)[sign]  # type: ignore[arg-type]
    own = [box for box in boxes if (box.image, box.label) == (name, sign)]
    inside = np.zeros_like(mask)
    for box in own:
        rows = slice(round(box.top * len(mask)), round(box.bottom * len(mask)))
        inside[rows, round(box.left * len(mask)) : round(box.right * len(mask))] = True
    assert mask[inside].sum() > 0.9 * mask.sum()


def test_pictures_that_are_not_drawn_have_no_known_places() -> None:
    from dataclasses import replace

    with pytest.raises(ValueError, match="not drawn"):
        list(sign_boxes(replace(DATA, source=object())))  # type: ignore[arg-type]
