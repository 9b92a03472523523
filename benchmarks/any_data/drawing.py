"""X-rays drawn under the names of a table that comes without its images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from cxrsearch.data.diseases import DISEASES
from cxrsearch.phantom.draw import draw

SIGNS = {
    "effusion": "Effusion",
    "pleural effusion": "Effusion",
    "costophrenic angle blunting": "Effusion",
    "cardiomegaly": "Cardiomegaly",
    "heart insufficiency": "Edema",
    "edema": "Edema",
    "hilar congestion": "Edema",
    "consolidation": "Consolidation",
    "alveolar pattern": "Consolidation",
    "airspace opacity": "Consolidation",
    "pneumonia": "Pneumonia",
    "tuberculosis": "Pneumonia",
    "atelectasis": "Atelectasis",
    "laminar atelectasis": "Atelectasis",
    "pneumothorax": "Pneumothorax",
    "lung opacity": "Infiltration",
    "infiltration": "Infiltration",
    "infiltrates": "Infiltration",
    "nodule": "Nodule",
    "pseudonodule": "Nodule",
    "mass": "Mass",
    "nodule/mass": "Mass",
    "nodule or mass": "Mass",
    "lung lesion": "Mass",
    "pleural thickening": "Pleural_Thickening",
    "apical pleural thickening": "Pleural_Thickening",
    "pleural other": "Pleural_Thickening",
    "fibrosis": "Fibrosis",
    "pulmonary fibrosis": "Fibrosis",
    "interstitial pattern": "Fibrosis",
    "ild": "Fibrosis",
    "emphysema": "Emphysema",
    "copd signs": "Emphysema",
    "hernia": "Hernia",
    "hiatal hernia": "Hernia",
}
"""A label of some data set, in lower case -> the sign that it is drawn as; others are not drawn."""


@dataclass(frozen=True)
class Picture:
    """One image of a table.

    Args:
        file: where it goes, below the folder of the images; its suffix says the format.
        patient: whom it shows: all of one patient's images share their anatomy.
        labels: what its table says is there, in the table's words.
    """

    file: str
    patient: str
    labels: frozenset[str] = field(default_factory=frozenset)


def signs_of(labels: Iterable[str]) -> np.ndarray:
    """(14,) zeros and ones in the order of `DISEASES`: the signs that ``labels`` are drawn as."""
    drawn = {SIGNS.get(label.lower().replace("_", " ")) for label in labels}
    return np.array([name in drawn for name in DISEASES], np.uint8)


def draw_pictures(folder: Path, pictures: Iterable[Picture], side: int = 96, seed: int = 0) -> None:
    """Draw ``pictures`` below ``folder``, ``side`` pixels a side, with plain signs."""
    numbers: dict[str, int] = {}
    for image, picture in enumerate(pictures):
        patient = numbers.setdefault(picture.patient, len(numbers) + 1)
        pixels = draw(
            signs_of(picture.labels), side, seed=seed, patient=patient, image=image, difficulty=0.0
        )
        path = folder / picture.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() in (".dcm", ""):
            _write_dicom(path, pixels)
        elif path.suffix.lower() in (".jpg", ".jpeg"):
            Image.fromarray(pixels).save(path, "JPEG", quality=95)
        else:
            Image.fromarray(pixels).save(path)


def _write_dicom(path: Path, pixels: np.ndarray) -> None:
    """One plain 8-bit radiograph, as RSNA's are."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.826.0.1.3680043.8.498.1")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID = meta.MediaStorageSOPClassUID
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.Modality = "CR"
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel = 1
    file.PhotometricInterpretation = "MONOCHROME2"
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit = 7
    file.PixelRepresentation = 0
    file.PixelData = pixels.tobytes()
    file.save_as(path, enforce_file_format=True)
