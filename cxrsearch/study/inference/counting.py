"""A model judged on images that nothing was chosen by, and the look counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cxrsearch.model.evaluate import judge_unseen
from cxrsearch.model.looks import read_looks, record_look
from cxrsearch.model.promise import promised_in
from cxrsearch.model.suspicion.before import looks_check
from cxrsearch.model.unseen import UnseenImages, look_at

from .opening import OpenedModel, open_with_data


def evaluate_model_folder(model: Path, *, maps: Sequence[str] = (), **where: Any) -> dict[str, Any]:
    """Judge a model on the test part of its data, or on other data, and count the look.

    Args:
        model: a model folder or an ensemble folder.
        maps: as for `open_with_data`.
        where: what else that takes.

    Returns:
        as `cxrsearch.model.evaluate.evaluate_model`, with ``looks``: which look at these data it
        was, and of a study's winner ``validation``: what validation promised, see
        `cxrsearch.model.promise.promised_in`.

    Raises:
        InputError: where model or data cannot be used.
    """
    opened = open_with_data(model, maps=maps, **where)
    seen = look_at(opened.model, opened.dataset, opened.cache, maps=maps)
    return count_look(opened, seen)


def count_look(opened: OpenedModel, seen: UnseenImages) -> dict[str, Any]:
    """Judge what a model said of images, and count the look.

    Args:
        opened: the model and its data.
        seen: what it said.

    Returns:
        as `evaluate_model_folder`.

    Raises:
        InputError: where nothing can be judged, or the look cannot be counted.
    """
    loaded = opened.model
    result = {**judge_unseen(loaded, opened.dataset, opened.cache, seen), "tta": loaded.tta}
    before = read_looks(opened.study or loaded.folder)
    looked = looks_check(before, result["model"], result["data_fingerprint"])
    result["checks"].append(looked.to_json())
    if promised := promised_in(loaded.card):
        result["validation"] = promised
    if opened.study is None and result["part"] == "test":
        why = "its study is not here" if loaded.card["study"].get("path") else "it has no study"
        result["notes"].append(f"{why}, so this look is counted in {loaded.folder} alone")
    return {**result, "looks": record_look(opened.study, loaded.folder, result)}
