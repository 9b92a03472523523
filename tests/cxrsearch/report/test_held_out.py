"""Predictions by networks that were not trained on an image, out of a study's folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.model.unseen import UnseenImages
from cxrsearch.report.evidence import Evidence, JudgedImages
from cxrsearch.report.held_out import BY_OTHERS, BY_THE_MODEL, held_out_predictions
from cxrsearch.study.folder import load_alone
from cxrsearch.study.inference.opening import OpenedModel
from cxrsearch.study.settings import DataRequest


def evidence_of(study: Path, model_of: Callable[..., Any]) -> tuple[Evidence, Any]:
    prepared = load_alone(study)
    dataset, cache = prepared.dataset, prepared.cache
    model = model_of(dataset.label_names)
    model = replace(model, card={**model.card, "study": {"trial": 1}})
    row_of = {name: row for row, name in enumerate(cache.names)}
    place = {name: row for row, name in enumerate(dataset.names)}
    names = prepared.splits.test
    places = np.array([place[name] for name in names])
    rows = np.array([row_of[name] for name in names])
    scores = np.full((len(names), 14), 0.25, np.float32)
    columns = tuple(range(14))
    seen = UnseenImages(
        "test", names, places, rows, dataset.patients[places], dataset.label_names,
        dataset.labels[places], scores, columns, columns, columns, {}, (), (), (),
    )  # fmt: skip
    keep = [3, 0]
    judged = JudgedImages(
        "test", dataset.labels[places][:, keep], scores[:, keep], dataset.patients[places],
        tuple(dataset.label_names[k] for k in keep),
    )  # fmt: skip
    opened = OpenedModel(model, study, DataRequest(data="x"), dataset, cache)
    return Evidence(opened, seen, judged, None), prepared.splits


def test_validation_and_test_parts_are_judged_and_training_is_not(
    finished_study: Path, model_of: Callable[..., Any]
) -> None:
    evidence, splits = evidence_of(finished_study, model_of)
    held = held_out_predictions(evidence)
    found = dict(zip(held.names, held.by, strict=True))
    assert {name for name, by in found.items() if by == BY_THE_MODEL} == set(splits.test)
    others = {name for name, by in found.items() if by == BY_OTHERS}
    assert set(splits.val) <= others
    saved = np.load(finished_study / "trials" / "1" / "val.npz")
    only = [
        row
        for row, count in enumerate(held.networks)
        if count == 1 and held.by[row] != BY_THE_MODEL
    ]
    scores = dict(zip(saved["names"].tolist(), saved["scores"][:, [3, 0]], strict=True))
    own = [row for row in only if held.names[row] in scores]
    for row in own:
        np.testing.assert_allclose(held.scores[row], scores[held.names[row]], rtol=1e-4)
    dataset = evidence.opened.dataset
    for row in range(len(held.names)):
        assert dataset.names[held.places[row]] == held.names[row]
        np.testing.assert_array_equal(held.marks[row], dataset.labels[held.places[row]][[3, 0]])
    missing = len(dataset.names) - len(held.names)
    assert (f"{missing:,} images were held out of no training" in " ".join(held.notes)) == bool(
        missing
    )


def test_damaged_predictions_are_left_out_and_said(
    finished_study: Path, model_of: Callable[..., Any], tmp_path: Path
) -> None:
    study = tmp_path / "study"
    shutil.copytree(finished_study, study)
    for path in (study / "trials").glob("*/val.npz"):
        path.write_bytes(b"damaged")
    evidence, splits = evidence_of(study, model_of)
    held = held_out_predictions(evidence)
    assert set(held.names) == set(splits.test)
    assert any("val.npz: cannot be read" in note for note in held.notes)


def test_other_data_are_judged_by_the_model_alone(
    finished_study: Path, model_of: Callable[..., Any]
) -> None:
    evidence, splits = evidence_of(finished_study, model_of)
    outside = replace(evidence, seen=replace(evidence.seen, part="external"))
    held = held_out_predictions(outside)
    assert set(held.names) == set(splits.test)
    assert set(held.by) == {BY_THE_MODEL}
