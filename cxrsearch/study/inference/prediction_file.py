"""What a model says of a folder of X-rays, as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cxrsearch.data.files import SHOWN
from cxrsearch.data.notes import reasons
from cxrsearch.errors import InputError
from cxrsearch.learn.compute.options import ComputeOptions
from cxrsearch.model.decisions import (
    check_written,
    decisions_start,
    write_decisions,
    written_by,
)
from cxrsearch.model.ensemble_folder import load_predictor
from cxrsearch.model.predict import (
    TIDY_BEFORE,
    TIDY_COLUMNS,
    predict_folder,
    prediction_columns,
    table_start,
    write_competition,
    write_tidy,
)
from cxrsearch.model.submission import read_sample
from cxrsearch.writing import check_file

from .opening import study_of_model


def predict_to_file(
    model: Path,
    images: Path,
    out: Path,
    tidy: bool = False,
    tta: str | None = None,
    sample: Path | None = None,
    precision: str = "auto",
    on_progress: Callable[[int, int], None] | None = None,
    *,
    decide: bool = False,
    calibrated: bool = False,
    at: str | None = None,
    study: Path | None = None,
) -> list[str]:
    """Write the probabilities of every image below ``images`` as CSV, or decisions.

    Args:
        model: a model folder or an ensemble folder.
        images: folder of PNG, JPEG or DICOM files.
        out: CSV to write.
        tidy: one row an image and label, instead of one an image.
        tta: test-time augmentation, as in `cxrsearch.model.views`; None: as the card says.
        sample: a sample submission, whose columns and rows are written in its order.
        precision: ``float32``, ``bf16``, ``fp16``, or ``auto``: what the model's card says.
        on_progress: called with how many images are done, of how many.
        decide: write 0 and 1, by thresholds.
        calibrated: write recalibrated probabilities.
        at: a rule for the thresholds; None: those that the model keeps.
        study: the model's study, where it was moved.

    Returns:
        what the user should know: what was written, and images that got no prediction, with the
        reason.

    Raises:
        InputError: where the model, the sample or every image cannot be used, or ``out`` cannot
            be written.
    """
    if tidy and sample is not None:
        raise InputError("--tidy and --sample name two different formats; choose one")
    check_written(decide, calibrated, at, sample is not None)
    loaded = load_predictor(model, ComputeOptions(precision=precision), tta)
    written = written_by(loaded, study_of_model(loaded, study), decide, calibrated, at)
    form = read_sample(sample, images, loaded.labels) if sample is not None else None
    own = [prediction_columns(loaded.labels), TIDY_COLUMNS, TIDY_BEFORE]
    starts = list(map(table_start, own if form is None else [form.header]))
    if decide:
        starts.append(decisions_start(loaded.labels, tidy))
    check_file(out, "predictions.csv", *starts)
    wanted = form.files if form is not None else None
    found = predict_folder(loaded, images, on_progress, wanted)
    if decide:
        write_decisions(out, found, written.points, tidy)
    elif form is not None:
        form.write(out, written.of(found))
    else:
        (write_tidy if tidy else write_competition)(out, written.of(found))
    left_out = [f"left out: {reason}" for reason in reasons(found.left_out, SHOWN)]
    if left_out:
        count = len(found.left_out)
        total = len(found.names) + count
        left_out.append(f"{count} of {total} images got no prediction")
    return [f"written: {written.said}", *written.notes, *found.notes, *left_out]
