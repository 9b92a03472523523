"""Starting weights that were not loaded, images seen before, and looks are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cxrsearch.data.splits import Splits
from cxrsearch.learn.networks.weights.report import Loaded, loaded_in
from cxrsearch.learn.recipe import Recipe
from cxrsearch.model.predictor import ModelPart
from cxrsearch.model.suspicion.before import looks_check, seen_checks, weights_check

SPLITS = Splits(("a.png",), ("b.png", "c.png"), ("d.png", "e.png"), ("b.png",), seed=0)


def part(init: str = "none", training: Any = None, **card: Any) -> ModelPart:
    content = {"training": training or {}, **card}
    return ModelPart(Path("model"), content, replace(Recipe(), init=init))


def loaded(share: float) -> Loaded:
    total = 1000
    return Loaded(
        "w.pt", "torchvision", "", "", "own", 0, (int(120 * share), 120),
        (int(total * share), total), "folded", "new",
    )  # fmt: skip


def test_what_was_loaded_is_read_back_from_the_notes() -> None:
    assert loaded_in(["other: note", *loaded(0.9).lines, *loaded(0.9).lines]) == [
        {"file": "w.pt", "tensors": [108, 120], "share": 0.9, "head": "new"}
    ]


def test_weights_that_were_loaded_are_said_in_tensors_and_bytes() -> None:
    found = weights_check(part("w.pt", {"weights": loaded_in(loaded(1.0).lines)}))
    assert found.level == "note"
    assert "120 of 120 tensors of the backbone, 100% of its bytes" in found.sentence


def test_weights_that_were_hardly_loaded_are_doubtful() -> None:
    found = weights_check(part("partial:w.pt", {"notes": loaded(0.1).lines}))
    assert (found.name, found.level) == ("weights", "doubtful")
    assert "12 of 120 tensors of the backbone, 10.0% of its bytes" in found.sentence


def test_an_unrecorded_load_and_a_random_start_are_notes() -> None:
    assert "does not say" in weights_check(part("w.pt", {"notes": "damaged"})).sentence
    assert "does not say" in weights_check(part("w.pt", {"weights": [{"share": 1}]})).sentence
    assert "random" in weights_check(part()).sentence


def test_weights_of_drawn_x_rays_are_called_so() -> None:
    found = weights_check(part("drawn", {"weights": loaded_in(loaded(1.0).lines)}))
    assert found.sentence.startswith("the network began with what it had learnt on drawn X-rays")
    assert "drawn" not in weights_check(part("w.pt", {"notes": loaded(1.0).lines})).sentence


def test_validation_images_seen_in_pre_training_are_doubtful() -> None:
    seen = {"images": ["b.png", "x.png", "e.png"], "unknown": []}
    (found,) = seen_checks([part(also_seen=seen)], SPLITS)
    assert (found.name, found.level) == ("seen before", "doubtful")
    assert "1 of 2 validation images and 1 of 2 test images" in found.sentence


def test_weights_of_unknown_training_and_nothing_seen_are_notes() -> None:
    seen = {"images": ["x.png"], "unknown": ["downloads/w.pt"]}
    unknown, nothing = seen_checks([part(also_seen=seen)], SPLITS)
    assert "downloads/w.pt" in unknown.sentence
    assert {unknown.level, nothing.level} == {"note"}
    assert "no other images" in seen_checks([part()], SPLITS)[0].sentence


def test_looks_by_other_models_are_doubtful() -> None:
    looks = [{"model": "m", "data_fingerprint": "f"}, {"model": "other", "data_fingerprint": "g"}]
    assert looks_check([], "m", "f").level == "note"
    assert looks_check(looks, "m", "f").level == "note"
    found = looks_check([*looks, {"model": "o", "data_fingerprint": "f"}], "m", "f")
    assert found.level == "doubtful"
    assert found.evidence == {"looks_before": 2, "by_other_models": 1, "models": 1}
