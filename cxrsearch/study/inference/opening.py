"""A model with the data that it is to be judged on: of its study, or of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.decoding import open_shown
from cxrsearch.data.pixels.cache import Cache
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.folder import CARD
from cxrsearch.model.labels import shared_labels
from cxrsearch.model.predictor import Predictor
from cxrsearch.study.data import DESCRIPTION, cache_root, described_in, load_data
from cxrsearch.study.folder import read_study_yaml
from cxrsearch.study.settings import PHANTOM, DataRequest, Settings


class OpenedModel(NamedTuple):
    """A model with the data that it is to be judged on, before it has looked at them.

    Args:
        model: a model or an ensemble.
        study: its study, where that is here.
        request: how the data were read.
        dataset: the data.
        cache: their decoded pictures, at the model's frame.
    """

    model: Predictor
    study: Path | None
    request: DataRequest
    dataset: Dataset
    cache: Cache


def open_with_data(
    model: Path,
    data: str | None = None,
    labels: str | None = None,
    study: Path | None = None,
    tta: str | None = None,
    precision: str = "auto",
    maps: Sequence[str] = (),
    images: str | None = None,
) -> OpenedModel:
    """Load a model and the data that it is to be judged on.

    Args:
        model: a model folder or an ensemble folder.
        data: a folder of X-rays, a label table, a ``dataset.yaml``, or ``phantom``; None: the data
            of the model's study, read as they were then.
        labels: label table, where it lies elsewhere.
        study: the model's study, where it was moved.
        tta: test-time augmentation, as in `cxrsearch.model.views`; None: as the card says.
        precision: ``float32``, ``bf16``, ``fp16``, or ``auto``: what the model's card says.
        maps: which labels of the data the model calls otherwise, each ``THEIRS=OURS``.
        images: the images of a table, where they lie elsewhere.

    Raises:
        InputError: where model or data cannot be used.
    """
    loaded = load_predictor(model, ComputeOptions(precision=precision), tta)
    study = study_of_model(loaded, study)
    request, stored = _data_request(loaded, study, data, labels, images)
    dataset = load_data(request, stored)
    shared_labels(loaded.labels, dataset.label_names, maps)  # before images are decoded
    cache = open_shown(dataset, loaded.frame, cache_root(request))
    return OpenedModel(loaded, study, request, dataset, cache)


def study_of_model(model: Predictor, given: Path | None) -> Path | None:
    """The model's study: as given, or where it was when the model was made, if it still is.

    Args:
        model: a loaded model or ensemble.
        given: where the study lies now; None: where the model's card says.

    Raises:
        InputError: where ``given`` is no study, or another than the model's.
    """
    noted = given or model.card["study"].get("path")
    if not noted:
        return None
    path = Path(noted)
    if given is None and not (path / "study.yaml").is_file():
        return None
    if read_study_yaml(path)["splits"]["fingerprint"] == model.split:
        return path
    if given is not None:
        raise InputError(f"--study {path}: {model.folder} was not made from it; name its own study")
    return None


def _data_request(
    model: Predictor,
    study: Path | None,
    data: str | None,
    labels: str | None,
    images: str | None,
) -> tuple[DataRequest, Mapping[str, Any] | None]:
    """Where to read data from, and how they were read: as asked, or as study or model had them."""
    from_study: DataRequest | None = None
    stored: Mapping[str, Any] = {}
    if study:
        record = read_study_yaml(study)
        from_study, stored = Settings.from_dict(record["settings"]), described_in(record)
    if from_study is None and (reading := model.card["data"].get("reading")):
        from_study = _request_in(model.folder / CARD, reading)
        stored = model.card["data"].get(DESCRIPTION, {})
    if data is None:
        if from_study is None:
            raise InputError(
                f"{model.folder}: its study is not where it was; name it with --study, or data "
                "with --data"
            )
        moved = {"labels": labels, "images": images}
        given: dict[str, Any] = {
            name: str(Path(place).absolute()) for name, place in moved.items() if place
        }
        return replace(from_study, **given), stored
    if data == PHANTOM and from_study is not None and from_study.data == PHANTOM:
        return from_study, stored
    asked = DataRequest(data=data, labels=labels, images=images).with_absolute_paths()
    own = from_study is not None and from_study.data == asked.data
    if from_study is not None and own and labels is None and images is None:
        return from_study, stored
    return asked, None


def _request_in(card: Path, reading: Any) -> DataRequest:
    """The request that a model's card keeps.

    Raises:
        InputError: where they are none.
    """
    try:
        return DataRequest.from_dict(reading)
    except (InputError, TypeError, AttributeError) as error:
        raise InputError(f"{card}: data.reading is damaged; restore it from a copy") from error
