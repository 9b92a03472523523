"""What pseudo-labels are worth on real chest X-rays, by models that others trained.

    python -m experiments.pseudo_labels LOGITS.npz [--share 0.05] [--wanted 0.8] [--halvings 20]

A file holds ``labels`` (n, 14) in NIH's order, ``patient`` (n,), and logits (n, 14) of any number
of models, on images that none of them was trained on. Patients are halved: scores of the one half
are calibrated with their labels, as a study's validation part would be, and the other half's
labels are hidden. Prints, by disease, how often the share nearest to 1 and to 0 is right: of the
median single model, and of the mean of all models' probabilities. Then over many halvings how
often what lies beyond a calibrated threshold was as precise on the hidden half as wanted, and how
far calibrated probabilities were off there.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.diseases import DISEASES
from cxrsearch.learn.calibrate import Calibration, calibrate
from cxrsearch.learn.metrics import auroc
from cxrsearch.learn.pseudo import beyond, select
from cxrsearch.systems.self_training.precision import SHARES, by_share, judge_pseudo

Array = np.ndarray[Any, Any]


def read(path: Path) -> tuple[Array, Array, dict[str, Array]]:
    """Labels, patients, and each model's probabilities."""
    with np.load(path) as file:
        labels, patients = file["labels"], file["patient"]
        names = [k for k in file.files if k not in ("labels", "patient")]
        logits = {k: file[k].astype(np.float64) for k in names if file[k].shape == labels.shape}
    if not logits:
        raise SystemExit(f"{path}: no logits of the shape of labels")
    return labels, patients, {name: 1 / (1 + np.exp(-values)) for name, values in logits.items()}


def halved(patients: Array, seed: int) -> Array:
    """(n,) bool: the images of one half of the patients."""
    people = np.unique(patients)
    chosen = np.random.default_rng(seed).permutation(people)[: len(people) // 2]
    return np.isin(patients, chosen)


def at_the_ends(
    models: dict[str, Array], labels: Array, patients: Array, share: float, known: Array
) -> list[str]:
    """Lines: the precision of each disease's ends on the half that is not ``known``."""
    hidden = ~known
    truth, people = labels[hidden], patients[hidden]
    mean = np.mean(list(models.values()), axis=0)[hidden]
    found = judge_pseudo(select(mean, share), truth, people, DISEASES, seed=0)
    single = [_right(select(m[hidden], share), truth) for m in models.values()]
    positives, negatives = (np.median([s[end] for s in single], axis=0) for end in (1, 0))
    areas = auroc(truth, mean)
    lines = [
        f"{len(truth):,} hidden images of {len(np.unique(people)):,} patients; {share:.0%} at each "
        f"end: {found[0]['positive']['taken']} images. {len(models)} models: the median one, and "
        "the mean of all",
        f"{'':<19}{'prevalence':>10}{'AUROC':>7}   {'positives right':<37}{'negatives right':<20}",
        f"{'':<36}   {'one':<7}{'all':<30}{'one':<7}{'all':<7}{'at random'}",
    ]
    for column, entry in enumerate(found):
        up, down = entry["positive"], entry["negative"]
        low, high = up["interval"]
        lines.append(
            f"{entry['disease']:<19}{entry['prevalence']:>10.3f}{areas[column]:>7.3f}   "
            f"{positives[column]:<7.3f}{up['precision']:.3f} ({low:.3f} to {high:.3f})"
            f"{up['precision'] / entry['prevalence']:>6.1f}x  {negatives[column]:<7.3f}"
            f"{down['precision']:<7.3f}{down['chance']:.3f}"
        )
    return [*lines, *_shares(mean, truth, share)]


def _right(ends: Array, truth: Array) -> dict[int, Array]:
    """(14,) share of the labels 1 and of the labels 0 that are right."""
    return {
        end: ((ends == end) & (truth == end)).sum(axis=0) / (ends == end).sum(axis=0)
        for end in (0, 1)
    }


def _shares(mean: Array, truth: Array, share: float) -> list[str]:
    lines = ["", "mean over the diseases, all models: share at each end, positives, negatives"]
    for entry in by_share(mean, truth, (*SHARES, share)):
        lines.append(f"  {entry['share']:.2f}  {entry['positive']:.3f}  {entry['negative']:.3f}")
    return lines


def beyond_thresholds(
    mean: Array, labels: Array, patients: Array, wanted: float, halvings: int, known_images: int
) -> list[str]:
    """Lines: precision beyond a threshold on hidden halves, and the error of probabilities."""
    reached: dict[int, list[float]] = {0: [], 1: []}
    errors: dict[str, list[float]] = {"as the models give them": [], "calibrated": []}
    taken = {0: 0, 1: 0}
    for seed in range(halvings):
        known = halved(patients, seed)
        some = np.random.default_rng(seed).permutation(np.flatnonzero(known))[:known_images]
        found: Calibration = calibrate(labels[some], mean[some], wanted)
        scores, truth = mean[~known], labels[~known]
        sure = beyond(select(scores, 0.5), scores, found)
        for end in (0, 1):
            for column in range(len(DISEASES)):
                chosen = sure[:, column] == end
                taken[end] += 1
                if chosen.any():
                    reached[end].append(float((truth[chosen, column] == end).mean()))
        rates = truth.mean(axis=0)
        errors["as the models give them"].append(float(np.abs(scores.mean(axis=0) - rates).mean()))
        likely = found.probabilities(scores).mean(axis=0)
        errors["calibrated"].append(float(np.nanmean(np.abs(likely - rates))))
    lines = [
        "",
        f"thresholds of a wanted precision of {wanted:g}, fitted on {known_images} images, on the "
        f"hidden half ({halvings} halvings x {len(DISEASES)} diseases)",
    ]
    for end, name in ((1, "positives"), (0, "negatives")):
        lines.append(f"  {name}: {_reached(np.array(reached[end]), taken[end], wanted)}")
    for name, values_of in errors.items():
        lines.append(
            f"  mean probability less the true rate, mean over diseases, {name}: "
            f"{np.mean(values_of):.4f}"
        )
    return lines


def _reached(values: Array, cases: int, wanted: float) -> str:
    """How precise what lay beyond thresholds was, of ``cases`` that might have had one."""
    if not len(values):
        return "no threshold"
    return (
        f"a threshold in {len(values)} of {cases} cases; wanted precision reached in "
        f"{np.mean(values >= wanted):.0%} of these; precision {np.median(values):.3f} (median), "
        f"{values.min():.3f} (least)"
    )


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--wanted", type=float, default=0.8)
    parser.add_argument("--halvings", type=int, default=20)
    parser.add_argument("--known", type=int, default=1000, help="images to calibrate with")
    asked = parser.parse_args()
    labels, patients, models = read(asked.file)
    known = halved(patients, 0)
    print("\n".join(at_the_ends(models, labels, patients, asked.share, known)))
    mean = np.mean(list(models.values()), axis=0)
    print("\n".join(beyond_thresholds(
        mean, labels, patients, asked.wanted, asked.halvings, asked.known)))  # fmt: skip


if __name__ == "__main__":
    main()
