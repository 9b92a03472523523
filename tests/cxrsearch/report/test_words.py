from __future__ import annotations

from typing import Any

from cxrsearch.report.words import calibration_sentences


def figure(value: float, half: float = 0.01) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def content(**more: dict[str, float]) -> dict[str, Any]:
    """Of one label with a slope that is surely below 1, and ``more`` figures of it."""
    return {"labels": {"Mass": {"calibration_slope": figure(0.5), "ece": figure(0.1), **more}}}


def test_a_slope_that_is_surely_not_1_is_named() -> None:
    assert "Surely not 1: Mass" in " ".join(calibration_sentences(content()))


def test_what_recalibrating_on_images_from_elsewhere_would_bring_is_said() -> None:
    said = " ".join(
        calibration_sentences(content(recalibrated_ece=figure(0.2), cross_fitted_ece=figure(0.02)))
    )
    assert "Recalibrated on validation, the expected calibration error is smaller in 0 of 1" in said
    assert "Recalibrated on these images" in said
    assert "is smaller in 1 of 1 labels: what recalibrating here would bring." in said


def test_where_nothing_was_refitted_nothing_is_said_of_it() -> None:
    said = " ".join(calibration_sentences(content(recalibrated_ece=figure(0.02))))
    assert "Recalibrated on these images" not in said
