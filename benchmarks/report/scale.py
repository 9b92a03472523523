"""What the figures of a report take in time and memory, and how both grow with the images.

    python -m benchmarks.report.scale [LOGITS.npz] [--repeats 3]

The report is that of a model's logits (12,607 images of NIH ChestX-ray14 in the file at hand) with
operating points, calibration, subgroups (drawn sex, age, view) and a second model, 1,000 resamples.
Quarters, halves and the whole of the patients are taken, each in a process of its own; memory is
the peak above that of a process which has read the file and imported all. The same images serve as
the validation part, since time and memory are all that is asked. Without a file it makes scores up.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from benchmarks.metrics import synthetic

SHARES = (0.25, 0.5, 1.0)


def logits(path: Path | None) -> tuple[Any, Any, Any, Any]:
    """Labels, scores of two models, and patients."""
    if path is None:
        labels, scores, patients = synthetic()
        return labels, scores, scores[::-1], patients
    with np.load(path) as arrays:
        names = [n for n in arrays.files if arrays[n].shape == arrays["labels"].shape]
        names = [n for n in names if n != "labels"]
        pair = [arrays[name].astype(np.float32) for name in (names[0], names[-1])]
        return arrays["labels"], *pair, arrays["patient"]


def once(path: Path | None, share: float) -> None:
    """One report; prints its seconds, peak memory and counts."""
    from cxrsearch.report.figures.comparison import Beside
    from cxrsearch.report.figures.contents import figures_of

    labels, first, second, patients = logits(path)
    everyone = np.unique(patients)
    rng = np.random.default_rng(0)
    some = rng.permutation(everyone)[: max(2, round(len(everyone) * share))]
    keep = np.isin(patients, some)
    sexes, ages = rng.choice(["F", "M"], len(everyone)), rng.integers(1, 90, len(everyone))
    place = np.searchsorted(everyone, patients[keep])
    groups = {
        "sex": sexes[place],
        "age": ages[place].astype(str),
        "view": rng.choice(["PA", "AP"], int(keep.sum())),
    }
    names = tuple(f"label {i + 1}" for i in range(labels.shape[1]))

    def judged(part: str) -> Any:
        scores = 1 / (1 + np.exp(-first[keep].astype(np.float32)))
        return SimpleNamespace(
            part=part, marks=labels[keep], scores=scores, patients=patients[keep],
            label_names=names,
        )  # fmt: skip

    test, validation = judged("test"), judged("validation")
    other = Beside("second", 1 / (1 + np.exp(-second[keep].astype(np.float32))))
    before, start = _peak(), time.perf_counter()
    content = figures_of(
        test, validation, rule="sensitivity=0.9", prevalence=0.05, groups=groups, against=other,
        seed=0,
    )  # fmt: skip
    seconds = time.perf_counter() - start
    found = {
        "images": content["images"], "patients": content["patients"], "seconds": seconds,
        "megabytes": (_peak() - before) / 1024, "before": before / 1024,
        "bytes": len(json.dumps(content)),
    }  # fmt: skip
    print(json.dumps(found))


def _peak() -> float:
    """Kilobytes."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    at_hand = os.environ.get("NIH_LOGITS", "../shared/nih-logits/fit_half.npz")
    parser.add_argument("file", nargs="?", type=Path, default=Path(at_hand))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--share", type=float)
    asked = parser.parse_args()
    path = asked.file if asked.file.is_file() else None
    if asked.share is not None:
        once(path, asked.share)
        return
    print("made-up scores" if path is None else f"logits of {path.name}")
    rows = []
    for share in SHARES:
        runs = []
        for _ in range(asked.repeats):
            command = [sys.executable, "-m", "benchmarks.report.scale", str(asked.file)]
            done = subprocess.run(
                [*command, "--share", str(share)], check=True, capture_output=True, text=True
            )
            runs.append(json.loads(done.stdout))
        seconds = [run["seconds"] for run in runs]
        row = runs[0] | {"seconds": statistics.median(seconds)}
        row |= {"spread": f"{min(seconds):.1f} to {max(seconds):.1f}"}
        row["megabytes"] = statistics.median(run["megabytes"] for run in runs)
        rows.append(row)
        print(
            f"{row['images']:7,} images, {row['patients']:5,} patients: {row['seconds']:6.1f} s "
            f"({row['spread']}), {row['megabytes']:5.0f} MB above {row['before']:.0f} MB, "
            f"{row['bytes'] / 1e6:.1f} MB of JSON"
        )
    half, whole = rows[-2], rows[-1]
    print(
        f"whole / half: {whole['images'] / half['images']:.2f} times the images, "
        f"{whole['seconds'] / half['seconds']:.2f} times the seconds, "
        f"{whole['megabytes'] / half['megabytes']:.2f} times the memory"
    )


if __name__ == "__main__":
    main()
