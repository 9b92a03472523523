"""What a model has met before it is judged: its starting weights, and earlier looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cxrsearch.data.copy_names import NOTHING, same_files
from cxrsearch.data.splits import Splits
from cxrsearch.learn.networks.weights.asked import DRAWN, RANDOM, start_of
from cxrsearch.learn.networks.weights.report import BACKBONE_SHARE, loaded_in, percent
from cxrsearch.model.looks import looks_at_data
from cxrsearch.model.predictor import ModelPart

from .check import DOUBTFUL, NOTED, Check

STARTING_WEIGHTS, SEEN_BEFORE, LOOKED_BEFORE = "weights", "seen before", "looks"


def weights_check(part: ModelPart) -> Check:
    """Whether the weights that a network was to begin with were loaded: tensors and bytes."""
    training, start = part.card["training"], start_of(part.recipe.init)
    if start.source == RANDOM:
        return Check(
            STARTING_WEIGHTS, NOTED, "the network began with random weights (init: none)",
            {"init": part.recipe.init},
        )  # fmt: skip
    found = training.get("weights")
    noted = loaded_in(_texts(training.get("notes")))
    listed = found if isinstance(found, list) and found else noted
    loaded = [one for one in listed if _is_loaded(one)]
    evidence = {"init": part.recipe.init, "loaded": loaded}
    if not loaded:
        return Check(
            STARTING_WEIGHTS, NOTED,
            f"the network was to begin with init {part.recipe.init}; its card does not say how "
            "much of that was loaded",
            evidence,
        )  # fmt: skip
    one = min(loaded, key=lambda each: each["share"])
    there, every = one["tensors"]
    whose = (
        "the network began with what it had learnt on drawn X-rays (init: drawn), nobody's images: "
        if start.source == DRAWN else ""
    )  # fmt: skip
    told = (
        f"{whose}of the starting weights {one['file']} {there} of {every} tensors of the backbone, "
        f"{percent(one['share'])} of its bytes, were loaded; head {one['head']}"
    )
    if one["share"] < BACKBONE_SHARE:
        return Check(
            STARTING_WEIGHTS, DOUBTFUL,
            f"{told}: the rest began at random, so it is no fine-tuning of these weights; are the "
            "tensors named otherwise? cxrsearch weights shows what fits",
            evidence,
        )  # fmt: skip
    return Check(STARTING_WEIGHTS, NOTED, told, evidence)


def _is_loaded(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("share"), float | int)
        and isinstance(tensors := value.get("tensors"), list)
        and len(tensors) == 2
        and {"file", "head"} <= value.keys()
    )


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def seen_checks(
    parts: Sequence[ModelPart], splits: Splits | None, contents: Mapping[str, str] = NOTHING
) -> list[Check]:
    """Whether starting weights, or a teacher, saw images of the validation or test part.

    Args:
        parts: the networks.
        splits: of the data that they were trained on; None: not known.
        contents: name -> content of the images of these data, where they are at hand; what the
            splits hold of them by default.
    """
    unknown = sorted(
        {
            str(weights)
            for part in parts
            for weights in part.card.get("also_seen", {}).get("unknown", ())
        }
    )
    pairs = dict.fromkeys(
        pair for part in parts if "also_seen" in part.card for pair in _pairs(part.card)
    )
    found = []
    if unknown:
        found.append(
            Check(
                SEEN_BEFORE,
                NOTED,
                f"what {', '.join(unknown)} was trained on, with which the model began, is not "
                "recorded: whether it saw images of the validation or test part cannot be told",
                {"unknown": unknown},
            )
        )
    if splits is None:
        return found
    names, known = [name for name, _ in pairs], [content for _, content in pairs]
    counts = {}
    for part_name in ("val", "test"):
        own: tuple[str, ...] = getattr(splits, part_name)
        counts[part_name] = len(same_files(own, names, contents or splits.contents, known))
    evidence = {"also_seen": len(pairs), "validation": counts["val"], "test": counts["test"]}
    if not any(counts.values()):
        told = f"none of the {len(pairs)} other images that the model has seen is of the validation"
        said = f"{told} or test part" if pairs else "the model has seen no other images"
        return [*found, Check(SEEN_BEFORE, NOTED, said, evidence)]
    which = " and ".join(
        f"{counts[part]} of {len(getattr(splits, part))} {words} images"
        for part, words in (("val", "validation"), ("test", "test"))
        if counts[part]
    )
    what = []
    if counts["val"]:
        what.append("what validation says of it is too good")
    if counts["test"]:
        what.append("those of the test part, and their patients, are left out of its figures")
    return [
        *found,
        Check(
            SEEN_BEFORE, DOUBTFUL,
            f"before its training the model has seen {which}, in its starting weights' training or "
            f"with pseudo-labels: {', and '.join(what)}",
            evidence,
        ),
    ]  # fmt: skip


def _pairs(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    seen = card["also_seen"]
    contents = seen.get("contents") or [""] * len(seen["images"])
    return list(zip(seen["images"], contents, strict=True))


def looks_check(looks: Sequence[Mapping[str, Any]], model: str, data_fingerprint: str) -> Check:
    """How often the images that a model is judged on were looked at before.

    Args:
        looks: those of the study or, without one, of the model; see `read_looks`.
        model: the folder of the model that looks now.
        data_fingerprint: of the data that it looks at.
    """
    same = looks_at_data(looks, data_fingerprint)
    others = [look for look in same if look.get("model") != model]
    models = {str(look.get("model")) for look in others}
    evidence = {"looks_before": len(same), "by_other_models": len(others), "models": len(models)}
    if not same:
        told = "nobody has looked at these images before, as far as is counted"
        return Check(LOOKED_BEFORE, NOTED, told, evidence)
    if not others:
        return Check(
            LOOKED_BEFORE, NOTED,
            f"these images were looked at {len(same)} times before, by this model alone", evidence,
        )  # fmt: skip
    return Check(
        LOOKED_BEFORE, DOUBTFUL,
        f"these images were looked at {len(same)} times before, {len(others)} of them by "
        f"{len(models)} other model{'s' * (len(models) > 1)}: if this model was chosen by that, "
        "its figures are too good; say so, or judge it on images that nobody has looked at",
        evidence,
    )  # fmt: skip
