from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from cxrsearch.learn.ensemble import Ensemble, logits_of
from cxrsearch.learn.ensemble.scale import Scale
from cxrsearch.learn.networks.linearised import Placed, placed
from cxrsearch.model.ensemble_folder import LoadedEnsemble
from cxrsearch.model.folder import LoadedModel
from cxrsearch.report.maps.frames import (
    CAM_IS_EXACT,
    CELLS,
    FrameMaps,
    by_height,
    logit_shares,
    seen_by,
)

LABELS = ("one", "two", "three")
Models = Callable[..., LoadedModel]


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 48, 48), np.uint8)


def taken(frames: FrameMaps, images: np.ndarray) -> np.ndarray:
    return np.concatenate([found for _, found in frames.of(images, np.arange(len(images)))])


def test_maps_lie_over_what_the_network_sees_and_nowhere_else(
    model_of: Models, images: np.ndarray
) -> None:
    model = model_of(LABELS, crop="512x256")
    frames = FrameMaps(model, [2, 0])
    found = taken(frames, images)
    assert found.shape == (20, 2, CELLS, CELLS)
    rows, columns = np.flatnonzero(frames.seen.any(axis=1)), np.flatnonzero(frames.seen.any(axis=0))
    assert (rows[0], rows[-1] + 1) == (CELLS // 4, 3 * CELLS // 4)
    assert (columns[0], columns[-1] + 1) == (3 * CELLS // 8, 5 * CELLS // 8)
    assert not found[:, :, ~frames.seen].any()
    assert found[:, :, frames.seen].any(axis=-1).all()
    own = placed(model.network, seen_by(model, images, np.arange(20)), [2, 0])  # type: ignore[arg-type]
    # A place of the map in its middle is that of the grid in its middle.
    corner = found[:, :, rows[0], columns[0]]
    np.testing.assert_allclose(corner, own.maps[:, :, 0, 0], rtol=1e-4, atol=1e-4)
    assert list(frames.methods.values()) == [CAM_IS_EXACT]


def test_progress_is_told_and_batches_cover_all(model_of: Models, images: np.ndarray) -> None:
    told: list[tuple[int, int]] = []
    frames = FrameMaps(model_of(LABELS), [0])
    parts = [
        part
        for part, _ in frames.of(images, np.arange(20), lambda done, of: told.append((done, of)))
    ]
    assert [(part.start, part.stop) for part in parts] == [(0, 16), (16, 20)]
    assert told == [(16, 20), (20, 20)]


@pytest.mark.parametrize("kind", ["logit", "z"])
def test_an_ensembles_shares_add_up_to_its_logits(
    model_of: Models, images: np.ndarray, kind: str
) -> None:
    members = (model_of(LABELS, 0), model_of(LABELS, 1))
    rng = np.random.default_rng(1)
    table = np.stack([np.zeros((2, 3)), rng.uniform(0.5, 2, (2, 3))])[: 2 * (kind == "z")]
    ensemble = Ensemble(
        ("0", "1"), "test", Scale(kind, table), rng.random((2, 3)), rng.normal(0, 0.3, (3, 3)),
        np.zeros(3), LABELS,
    )  # fmt: skip
    x = np.stack([logits_of(member.predict(images)) for member in members])
    total = np.einsum("mni,mij->nj", x, logit_shares(ensemble))
    np.testing.assert_allclose(logits_of(ensemble.apply(x)), total, rtol=1e-3, atol=1e-4)
    card = {"pixels": {"frame": 48}}
    frames = FrameMaps(LoadedEnsemble(Path("e"), card, ensemble, members), [1])
    apart = [taken(FrameMaps(member, [0, 1, 2]), images) for member in members]
    mixed = np.einsum("mbihw,mi->bhw", np.stack(apart), logit_shares(ensemble)[:, :, 1])
    np.testing.assert_allclose(taken(frames, images)[:, 0], mixed, rtol=1e-3, atol=1e-4)


def test_members_that_have_no_part_in_a_label_are_not_computed(model_of: Models) -> None:
    members = (model_of(LABELS, 0), model_of(LABELS, 1))
    weights = np.array([[1.0, 0, 0], [0, 1.0, 1.0]])
    ensemble = Ensemble(
        ("0", "1"), "per-disease", Scale("logit", np.zeros((0, 2, 3))), weights,
        np.zeros((3, 3)), np.zeros(3), LABELS,
    )  # fmt: skip
    card = {"pixels": {"frame": 48}}
    frames = FrameMaps(LoadedEnsemble(Path("e"), card, ensemble, members), [0])
    assert [member.model for member in frames.members] == [members[0]]
    assert frames.members[0].wanted == [0]


def test_the_mean_over_the_grid_is_that_of_the_map(model_of: Models) -> None:
    model = model_of(LABELS)
    grey = np.zeros((2, 48, 48), np.uint8)
    grey[:, 10:20, 20:40] = 200
    own = placed(model.network, seen_by(model, grey, np.arange(2)))  # type: ignore[arg-type]
    found = torch.from_numpy(taken(FrameMaps(model, [0, 1, 2]), grey))
    near = float(own.maps.abs().mean())
    torch.testing.assert_close(
        found.mean((2, 3)), own.maps.mean((2, 3)), rtol=0.05, atol=0.05 * near
    )


def test_between_the_outermost_places_and_the_border_the_place_itself_is_the_highest(
    model_of: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(LABELS)
    maps = torch.zeros(1, 1, 3, 3)
    maps[0, 0, 2, 0] = 1.0  # lower left, whose middle is at 1/6 and 5/6
    rest = torch.zeros(1, 1)
    monkeypatch.setattr(
        "cxrsearch.report.maps.frames.placed", lambda *given: Placed(maps, rest, rest)
    )
    frames = FrameMaps(model, [0])
    ((_, found),) = frames.of(np.zeros((1, 48, 48), np.uint8), [0])
    row, column = divmod(int(by_height(found[0, 0], frames.seen)[0]), CELLS)
    assert (row + 0.5) / CELLS == pytest.approx(5 / 6, abs=1 / CELLS)
    assert (column + 0.5) / CELLS == pytest.approx(1 / 6, abs=1 / CELLS)
