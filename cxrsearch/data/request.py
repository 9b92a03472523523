"""Which images, labels, split and cache: what every command that reads data takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cxrsearch.fields import Record, option

PHANTOM = "phantom"
"""In the place of a folder: X-rays that are drawn."""

MOST_SEED = 2**31 - 1


@dataclass(frozen=True)
class DataRequest(Record):
    """Data as asked for. The same request gives the same images and the same parts everywhere.

    Args:
        data: a folder of chest X-rays, a label table, a ``dataset.yaml``, or ``phantom``.
        labels: label table, where it does not lie in ``data``.
        images: folder of the images, where they do not lie with the table that ``data`` is.
        cache: folder of the decoded cache.
        test_list: NIH's ``test_list.txt``; without it ``test_share`` of the patients.
        test_share: share of the patients kept for the test part.
        val_share: share of the other patients used for validation.
        val_seed: images at most in the fixed validation subset that epochs are scored on.
        phantom_images: labelled phantom images to draw.
        phantom_difficulty: 0 (plain) to 1 (hard).
        frame: side of the cached images in pixels; None: what is to be done with them needs.
        seed: everything random derives from it, the split first of all.
    """

    data: str = option(
        PHANTOM,
        "Chest X-rays: a folder, a label table, a dataset.yaml (see `cxrsearch dataset`), or: "
        "phantom.",
        group="source", metavar="SOURCE", path=True, word=PHANTOM,
    )  # fmt: skip
    labels: str | None = option(
        None, "Label table of a folder, where it lies elsewhere.",
        group="source", metavar="FILE", path=True,
    )  # fmt: skip
    images: str | None = option(
        None, "Folder of the images, where they lie elsewhere than the table.",
        group="source", metavar="DIR", path=True,
    )  # fmt: skip
    cache: str | None = option(
        None,
        "Folder of the decoded cache; default: $CXRSEARCH_CACHE or the user's cache folder.",
        group="source", metavar="DIR", path=True,
    )  # fmt: skip
    test_list: str | None = option(
        None, "NIH's test_list.txt: the test part.", group="split", metavar="FILE", path=True
    )
    test_share: float = option(
        0.2, "Share of the patients kept for the test part.", group="split", low=0.01, high=0.9
    )
    val_share: float = option(
        0.2, "Share of the other patients used for validation.", group="split", low=0.01, high=0.9
    )
    val_seed: int = option(
        2000, "Images at most that each epoch is scored on: one fixed subset.", group="split", low=1
    )
    phantom_images: int = option(
        600, "Labelled phantom images.", group="phantom", low=50, high=50_000
    )
    phantom_difficulty: float = option(
        0.5, "0 (plain) to 1 (hard).", group="phantom", low=0.0, high=1.0
    )
    frame: int | None = option(
        None, "Side of the cached images; default: what the space needs.", group="frame",
        low=32, high=2048,
    )  # fmt: skip
    seed: int = option(
        0, "Seed of everything, the split's too.", group="seed", metavar="N", low=0, high=MOST_SEED
    )

    def problems_of_folder(self) -> list[str]:
        """What is wrong where ``data`` is always a place, also one that is called ``phantom``."""
        return Record.problems(self)

    def problems(self) -> list[str]:
        """See `Record.problems`."""
        found = super().problems()
        if self.labels and self.data == PHANTOM:
            found.append(f"--labels {self.labels}: name the folder of its images with --data")
        if self.images and self.data == PHANTOM:
            found.append(f"--images {self.images}: name the table of their labels with --data")
        return found

    @property
    def label_table(self) -> Path | None:
        """Where the label table lies; None: in the data's folder."""
        return Path(self.labels) if self.labels else None

    @property
    def image_folder(self) -> Path | None:
        """Where the images lie; None: with ``data``."""
        return Path(self.images) if self.images else None
