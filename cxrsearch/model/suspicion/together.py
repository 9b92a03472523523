"""All that is looked at when a model is judged."""

from __future__ import annotations

from collections.abc import Mapping

from cxrsearch.data.dataset import Dataset
from cxrsearch.data.pixels.appearance import Appearance
from cxrsearch.data.pixels.cache import Cache
from cxrsearch.data.splits import ALL_PARTS, Splits
from cxrsearch.model.predictor import Predictor
from cxrsearch.model.unseen import UnseenImages

from .before import seen_checks, weights_check
from .check import NOTED, Check
from .outputs import constant_check
from .parts import (
    SAME_PICTURE,
    changed_check,
    files_check,
    namesakes_check,
    patients_check,
    pictures_check,
)
from .pictures import SEEN, picture_checks, size_check

EXTERNAL = "external"


def judged_checks(
    model: Predictor, dataset: Dataset, cache: Cache, seen: UnseenImages
) -> list[Check]:
    """Look at a model, the images that it is judged on, and what it says of them.

    Args:
        model: that says it.
        dataset: where the images are from.
        cache: their decoded pictures, at the model's frame.
        seen: which images, and what it says.
    """
    splits = model.splits()
    covered = [place for place in seen.covered if _taught(model, seen.label_names[place])]
    covered = covered or list(seen.covered)
    names = [seen.label_names[place] for place in covered]
    weights = {check.sentence: check for check in map(weights_check, model.parts)}
    return [
        *weights.values(),
        constant_check(seen.scores[:, covered], names, seen.part),
        *picture_checks(looked_like(model), cache.images, seen.rows, seen.part),
        size_check(
            dataset.source_side, model.card["pixels"].get("source_side"), model.frame, seen.part
        ),
        *_apart(dataset, cache, seen, splits),
        *seen_checks(model.parts, splits),
    ]


def _taught(model: Predictor, label: str) -> bool:
    """Whether a network was taught ``label``, as far as cards say; an untaught output is noise."""
    taught = [part.card["training"].get("labels") for part in model.parts]
    return any(not isinstance(one, Mapping) or label in one for one in taught)


def looked_like(model: Predictor) -> Appearance | None:
    """What the training pictures of a model looked like; None where no card of it says."""
    for card in (model.card, *(part.card for part in model.parts)):
        found = Appearance.from_dict(card["pixels"].get(SEEN))
        if found is not None and found.frame == model.frame:
            return found
    return None


def part_of_each(splits: Splits) -> Mapping[str, str]:
    """Image -> the part that it is in."""
    return {name: part for part in ALL_PARTS[:3] for name in getattr(splits, part)}


def _apart(
    dataset: Dataset, cache: Cache, seen: UnseenImages, splits: Splits | None
) -> list[Check]:
    """Whether the judged images are others than those that the model was made with."""
    if splits is None:
        return [
            Check(
                SAME_PICTURE, NOTED,
                "the model folder holds no splits.json: whether it was trained on these pictures, "
                "or these patients, cannot be told",
            )
        ]  # fmt: skip
    if seen.part == EXTERNAL:
        known = sum(name in cache.contents for name in seen.names)
        trained = len(splits.train) + len(splits.val)
        return [
            namesakes_check(seen.names, (*splits.train, *splits.val)),
            Check(
                SAME_PICTURE, NOTED,
                f"none of {len(seen.names)} images is a file that the model was trained on, nor "
                f"called like a patient's of its {trained} ({known} held against their digests); "
                "copies that were saved anew cannot be told without its training pictures",
                {"images": len(seen.names), "digests": known, "trained_on": trained},
            ),
        ]  # fmt: skip
    part_of = part_of_each(splits)
    return [
        changed_check(splits, cache.contents),
        patients_check(dataset.names, dataset.patients.tolist(), part_of),
        files_check(cache.contents, part_of),
        pictures_check(cache.images, cache.names, part_of),
    ]
