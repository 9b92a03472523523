"""What the trainings of a learning curve come to: the curve, what it foretells, and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from cxrsearch.data.marks import absent, present
from cxrsearch.equal_compute.judging import row_means
from cxrsearch.learn.metrics import auroc, mean_auroc, resampled
from search.seeds import derive

from .job import CurveJob
from .power_law import FittedCurve, Floats, fit_with_interval, held_out_difference

CURVE_RESAMPLES = 1000
"""Of the validation patients."""

LEAST_JUDGED = 5
"""Positives, and negatives, that validation has of a label whose gain is said: one alone may be
beaten by all others in every training, which looks like a figure without any doubt."""

LEAST_DEFINED = 200
"""Resamples that have to have both classes of it."""

MULTIPLES = (2, 4)
"""Times the patients that the curve is read at."""

LITTLE = 0.01
"""A gain of AUROC below which more patients hardly help."""

WIDE = 0.05
"""An interval of the gain that is wider is no ground to plan on."""

_UNKNOWN = (math.nan, math.nan)
"""The ends of an interval that there is none of."""

PART = "validation"
"""All trainings are judged on it; it also chose the recipe and each training's epoch."""


def judged_curve(
    job: CurveJob, trainings: Sequence[Mapping[str, Any]], scores: Sequence[np.ndarray]
) -> dict[str, Any]:
    """The record of a curve, but for what was asked.

    Args:
        job: what was trained.
        trainings: what each came to, repeat by repeat, shares growing.
        scores: (v, k) of each, of the validation part.

    Returns:
        JSON-able. Each figure has ``value``, ``low``, ``high``, ``n`` (images), ``positives``,
        ``part``, ``chosen_on``, and ``reason`` where one of the first three is None.
    """
    data, repeats = job.data, job.request.repeats
    shares = sorted(job.request.shares)
    truth, people = data.labels[data.val], data.patients[data.val]
    seed = derive(job.request.seed, "learning-curve intervals")
    values = np.stack([auroc(truth, each) for each in scores])  # (t, k)
    drawn = np.zeros((CURVE_RESAMPLES, len(shares), truth.shape[1]))
    for place, each in enumerate(scores):
        drawn[:, place % len(shares)] += resampled(truth, each, people, CURVE_RESAMPLES, seed)
    drawn /= repeats
    columns = list(data.columns)
    table = values.reshape(repeats, len(shares), -1).transpose(1, 0, 2)  # (s, r, k)
    means = np.array([[mean_auroc(one[columns]) for one in share] for share in table])
    mean_drawn = np.stack([row_means(drawn[:, s][:, columns]) for s in range(len(shares))], axis=1)
    mean_drawn = mean_drawn[~np.isnan(mean_drawn).any(axis=1)]
    patients = [trainings[s]["patients"] for s in range(len(shares))]
    judged = [c for c in columns if not math.isnan(values[0, c])]
    positives = int(present(truth)[:, judged].sum())
    curve = fit_with_interval(patients, means, mean_drawn, seed=seed)
    every = job.train_patients

    def figure(found: tuple[float, float, float]) -> dict[str, Any]:
        return _figure(found, len(truth), positives)

    predictions = {
        str(times): {
            "patients": times * every,
            "auroc": figure(curve.value(times * every)),
            "gain": figure(curve.gain(times * every, every)),
        }
        for times in MULTIPLES
    }
    foretold, *difference = held_out_difference(patients, means, mean_drawn, seed=seed)
    check = {
        "patients": patients[-1], "foretold": foretold, "seen": float(curve.points[-1]),
        "difference": figure((difference[0], difference[1], difference[2])),
        "fits": bool(difference[1] <= 0 <= difference[2]),
    }  # fmt: skip
    verdict, sentence = in_words(predictions["2"], check)
    return {
        "name": PurePath(job.study).name,
        "trial": job.winner.trial.number,
        "selected_from": job.winner.selected_from,
        "patients": every,
        "images": len(data.train),
        "judged_on": {"part": PART, "images": len(truth), "patients": len(np.unique(people))},
        "image_steps": job.recipe.epochs * int(data.epoch_images or 0),
        "sentence": sentence,
        "verdict": verdict,
        "curve": _curve(curve, every),
        "shares": [
            {
                "share": share, "patients": patients[s],
                "images": [t["images"] for t in trainings[s :: len(shares)]],
                "spread": float(means[s].std(ddof=1)),
                "auroc": figure((curve.points[s], curve.ends[s][0], curve.ends[s][1])),
            }
            for s, share in enumerate(shares)
        ],
        "predictions": predictions,
        "check": check,
        "labels": _labels(job, table, drawn, patients, seed),
        "trainings": list(trainings),
        "notes": list(job.notes),
    }  # fmt: skip


def in_words(twice: Mapping[str, Any], check: Mapping[str, Any]) -> tuple[str, str]:
    """The verdict and the sentence on twice as many patients.

    Args:
        twice: ``patients`` and the figure ``gain``.
        check: of the curve, by the largest share: ``fits``, and the figure ``difference``.

    Returns:
        ``helps``, ``hardly``, ``unknown`` or ``falls``; and the sentence.
    """
    gain, patients = twice["gain"], f"{twice['patients']:,}"
    value, low, high = gain["value"], gain["low"], gain["high"]
    ends = f"({low:.3f} to {high:.3f})"
    if high < 0:
        verdict = "falls"
        said = (
            f"The curve falls: twice as many patients ({patients}) would be expected to change the "
            f"mean AUROC by {value:+.3f} {ends}, so something else than their number limits it, "
            "such as the labels or the image-steps"
        )
    elif high < LITTLE:
        verdict = "hardly"
        said = (
            f"Twice as many patients ({patients}) would hardly help: expected is {value:+.3f} "
            f"{ends} of mean AUROC"
        )
    elif low > 0:
        verdict = "helps"
        said = (
            f"Twice as many patients ({patients}) would be expected to add {value:+.3f} {ends} to "
            "the mean AUROC"
        )
    else:
        verdict = "unknown"
        said = (
            f"These trainings cannot tell whether twice as many patients ({patients}) would help: "
            f"expected is {value:+.3f} of mean AUROC, and anything from {low:.3f} to {high:.3f} "
            "fits; more --repeats narrow it"
        )
    if high - low > WIDE and verdict == "helps":
        said += "; that is too wide to plan by, and more --repeats narrow it"
    said += "."
    if not check["fits"]:
        off = check["difference"]
        said += (
            f" But a curve through the smaller shares misses the largest by {off['value']:+.3f} "
            f"({off['low']:.3f} to {off['high']:.3f}): do not trust it beyond what was trained."
        )
    return verdict, said


def _curve(curve: FittedCurve, every: int) -> dict[str, Any]:
    """The curve's numbers, and points to draw it by."""
    places = np.geomspace(curve.patients[0], MULTIPLES[-1] * every, 49)
    best, names = curve.best, ("value", "low", "high")
    return {
        "formula": "AUROC(n) = a - b * (n / unit)^-c",
        "a": float(best.a[0]), "b": float(best.b[0]), "c": float(best.c[0]), "unit": best.unit,
        "points": [
            {"patients": float(n), **dict(zip(names, curve.value(n), strict=True))}
            for n in places
        ],
    }  # fmt: skip


def _labels(
    job: CurveJob, table: Floats, drawn: Floats, patients: Sequence[int], seed: int
) -> dict[str, Any]:
    """Each label by itself: AUROC of each share, and what twice as many patients would add."""
    data, every = job.data, job.train_patients
    val, train = present(data.labels[data.val]), present(data.labels[data.train])
    fewest = np.minimum(val.sum(axis=0), absent(data.labels[data.val]).sum(axis=0))
    found = {}
    for column in data.columns:
        n, positives = len(val), int(val[:, column].sum())
        own, few = table[:, :, column], drawn[:, :, column]
        few = few[~np.isnan(few).any(axis=1)]
        reason = None
        if fewest[column] < LEAST_JUDGED or len(few) < LEAST_DEFINED:
            reason = "too few positives, or negatives, in the validation part"
        gain: tuple[float, float, float] | None = None
        ends: Floats | None = None
        if reason is None:
            curve = fit_with_interval(patients, own, few, seed=seed)
            gain, ends = curve.gain(2 * every, every), curve.ends
        found[data.label_names[column]] = {
            "train_positives": int(train[:, column].sum()),
            "auroc": [
                _figure((value, *(ends[s] if ends is not None else _UNKNOWN)), n, positives, reason)
                for s, value in enumerate(own.mean(axis=1))
            ],
            "gain": _figure(gain, n, positives, reason),
        }
    return found


def _figure(
    found: tuple[float, float, float] | None, n: int, positives: int, reason: str | None = None
) -> dict[str, Any]:
    """A value with its interval, as a report has it; None where there is no number."""
    value, low, high = (
        None if math.isnan(number) else float(number) for number in found or (math.nan, *_UNKNOWN)
    )
    plain = {
        "value": value, "low": low, "high": high, "n": n, "positives": positives, "part": PART,
        "chosen_on": PART,
    }  # fmt: skip
    return plain if reason is None else {**plain, "reason": reason}
