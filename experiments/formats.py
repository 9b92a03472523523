"""How far a picture read from another format is from its 8-bit PNG, in grey levels.

    python -m experiments.formats --images FOLDER_OF_8_BIT_GREY_PNGS

Writes each image as 16-bit PNG, RGB, grey + alpha, JPEG and DICOM (12 and 16 bits, both photometric
interpretations, with and without a window), reads all of them at the same side, and prints the
largest and the mean difference. A folder of larger originals of the same names can be compared too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from cxrsearch.data.pixels.images import read_image


def dicom(path: Path, grey: np.ndarray, bits: int, inverted: bool, window: bool) -> None:
    """Write 8-bit ``grey`` as DICOM of ``bits`` stored bits."""
    stored = np.round(grey.astype(float) * ((2**bits - 1) / 255)).astype(np.uint16)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.Rows, file.Columns = grey.shape
    file.SamplesPerPixel, file.PixelRepresentation = 1, 0
    file.BitsAllocated, file.BitsStored, file.HighBit = 16, bits, bits - 1
    file.PhotometricInterpretation = "MONOCHROME1" if inverted else "MONOCHROME2"
    if window:
        file.WindowCenter, file.WindowWidth = 2 ** (bits - 1), 2**bits
    file.PixelData = (2**bits - 1 - stored if inverted else stored).astype("<u2").tobytes()
    file.save_as(path)


def writers() -> dict[str, tuple[str, Callable[[Path, np.ndarray], None]]]:
    """Format -> (file ending, how to write it)."""
    found: dict[str, tuple[str, Callable[[Path, np.ndarray], None]]] = {
        "PNG 16 bit": (".png", lambda p, g: Image.fromarray(g.astype(np.uint16) * 257).save(p)),
        "PNG RGB": (".png", lambda p, g: Image.fromarray(g).convert("RGB").save(p)),
        "PNG grey + alpha": (".png", lambda p, g: Image.fromarray(g).convert("LA").save(p)),
        "JPEG quality 95": (".jpg", lambda p, g: Image.fromarray(g).save(p, quality=95)),
    }
    for bits in (12, 16):
        for inverted in (False, True):
            for window in (False, True):
                name = f"DICOM {bits} bit MONOCHROME{1 if inverted else 2}"
                found[name + (", window" if window else "")] = (
                    ".dcm",
                    lambda p, g, b=bits, i=inverted, w=window: dicom(p, g, b, i, w),  # type: ignore[misc]
                )
    return found


def main() -> None:
    """Convert, read, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--originals", type=Path, help="the same names at another size")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--most", type=int, default=12)
    args = parser.parse_args()
    differences: dict[str, list[np.ndarray]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted((args.originals or args.images).glob("*.png"))[: args.most]:
            reference = read_image(args.images / path.name, args.side).astype(int)
            if args.originals:
                other = read_image(path, args.side)
                differences["originals"].append(np.abs(other - reference))
                continue
            with Image.open(path) as image:
                grey = np.asarray(image.convert("L"))
            for name, (ending, write) in writers().items():
                copy = Path(folder) / f"copy{ending}"
                write(copy, grey)
                differences[name].append(np.abs(read_image(copy, args.side) - reference))
    print(f"difference from the 8-bit PNG at {args.side} x {args.side}, in grey levels")
    for name, found in differences.items():
        every = np.stack(found)
        print(f"{name:<34} max {every.max():>3}  mean {every.mean():.3f}  ({len(found)} images)")


if __name__ == "__main__":
    main()
