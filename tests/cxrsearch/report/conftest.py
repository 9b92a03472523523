"""A model and the images that it is judged on, without a study and without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.pixels.cache import Cache, open_cache
from cxrsearch.learn.compute.options import AS_IT_IS
from cxrsearch.learn.networks.models import Network
from cxrsearch.learn.recipe import Recipe
from cxrsearch.model.card import ModelMeta, make_card
from cxrsearch.model.folder import LoadedModel
from cxrsearch.model.unseen import UnseenImages
from cxrsearch.phantom.dataset import phantom_dataset
from cxrsearch.report.evidence import Evidence, JudgedImages
from cxrsearch.study.inference.opening import OpenedModel
from cxrsearch.study.settings import DataRequest

SIDE = 48

JUDGED_LABELS = ("Effusion", "Mass", "Cardiomegaly")


@pytest.fixture
def model_of(tiny_builder: Callable[..., Any]) -> Callable[..., LoadedModel]:
    """``model_of(labels, seed=0, crop=1024, ...)``: a model with random weights."""

    def make(labels: tuple[str, ...], seed: int = 0, **genes: Any) -> LoadedModel:
        recipe = Recipe(model="densenet121", input_size=32, **genes)
        torch.manual_seed(seed)
        network = Network(tiny_builder(len(labels), dropout=0.0)).eval().requires_grad_(False)
        card = make_card(recipe, ModelMeta(SIDE, "", "", labels))
        return LoadedModel(Path(f"model-{seed}"), card, recipe, network, AS_IT_IS)

    return make


@pytest.fixture(scope="session")
def _drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Cache]:
    dataset = phantom_dataset(60, 0, seed=4, difficulty=0.0, enrichment=0.2)
    return dataset, open_cache(dataset, SIDE, tmp_path_factory.mktemp("maps"), workers=1)


@pytest.fixture
def evidence(model_of: Callable[..., LoadedModel], _drawn: tuple[Dataset, Cache]) -> Evidence:
    """60 drawn X-rays, three labels judged by a model with random weights; no data of its own."""
    dataset, cache = _drawn
    model = model_of(dataset.label_names)
    rows = np.arange(60)
    scores = model.predict(cache.images, rows)
    columns = tuple(range(len(dataset.label_names)))
    seen = UnseenImages(
        "external", dataset.names, rows, rows, dataset.patients, dataset.label_names,
        dataset.labels, scores, columns, columns, columns, {}, (), (), (),
    )  # fmt: skip
    own = [dataset.label_names.index(name) for name in JUDGED_LABELS]
    judged = JudgedImages(
        "external", dataset.labels[:, own], scores[:, own], dataset.patients, JUDGED_LABELS
    )
    opened = OpenedModel(model, None, DataRequest(data="phantom"), dataset, cache)
    return Evidence(opened, seen, judged, None)
