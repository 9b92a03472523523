"""Offline augmentation: a folder of X-rays in, a folder of augmented copies and their labels out.

What lies in the folder, in the order in which it is written:

================= =============================================================================
copies.json       source, seed and ranges: a later call with others is refused
extremes.html     the ends of each range on a few images, for a doctor's eye
*_augNN.png       the copies, in the folders that their images have in the source
augmentation.csv  what happened to each copy
dataset.yaml      how labels.csv is read
labels.csv        the label table; where the labels are NIH's, Data_Entry_2017.csv in its place
                  and no dataset.yaml: written last, so its presence means complete
================= =============================================================================
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch.data.copy_names import copy_names, table_names
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.decoding import DecodingView
from cxrsearch.data.notes import reasons, summary
from cxrsearch.data.read import FolderSource, read_dataset
from cxrsearch.data.request import DataRequest
from cxrsearch.errors import InputError
from cxrsearch.learn.augment.draws import Parameters
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.writing import alone
from search.cores import detect_cpus
from search.files import write_json, write_text
from search.space.values import limit_problem

from . import copies as made
from .copying import Copying, CopyTask
from .page import extremes_html
from .settings import COPIES_FILE, check_folder, copy_settings
from .sheet import sample_sheet
from .tables import label_files, parameter_table

SHEET, PARAMETERS = "extremes.html", "augmentation.csv"
MOST_COPIES = 1000
SPARE_DISK = 64 << 20
"""Bytes of the disk that copies leave free."""


@dataclass(frozen=True)
class CopiesWanted:
    """What is asked for.

    Args:
        request: the labelled X-rays, and the seed that every copy's parameters derive from.
        out: folder of the copies.
        copies: of each labelled image.
        ranges: by gene, as `cxrsearch.systems.augment.copies.REPORT_RANGES`.
    """

    request: DataRequest
    out: Path
    copies: int = 10
    ranges: Mapping[str, Any] = field(default_factory=lambda: dict(made.REPORT_RANGES))

    @property
    def data(self) -> Path:
        """Folder of the X-rays, their label table, or their dataset.yaml."""
        return Path(self.request.data)

    @property
    def seed(self) -> int:
        """Every copy's parameters derive from it."""
        return self.request.seed

    @property
    def recipe(self) -> Recipe:
        """A recipe with these ranges."""
        return Recipe(**self.ranges)

    def check(self) -> None:
        """Raise one `InputError` that names everything that cannot work."""
        limits, problems = gene_limits(), []
        if not 1 <= self.copies <= MOST_COPIES:
            problems.append(f"--copies {self.copies}: must be from 1 to {MOST_COPIES:,}")
        problems += self.request.problems_of_folder()
        for gene, value in self.ranges.items():
            if problem := limit_problem(value, limits[gene]):
                problems.append(f"--{gene.replace('_', '-')}: {problem}")
        if not any(self.ranges.values()):
            problems.append("every range is 0: the copies would be the images themselves")
        if problem := self.problem_of_place(self.data):
            problems.append(problem)
        if problems:
            raise InputError(problems)

    def problem_of_place(self, images: Path) -> str | None:
        """Why the copies cannot lie where they are to, beside the folder ``images``."""
        data, out = images.absolute().resolve(), self.out.absolute().resolve()
        if data != out and data not in out.parents and out not in data.parents:
            return None
        return (
            f"{self.out}: lies in {images}, or holds it; copies there would be taken for images "
            "of the source: name a folder beside it"
        )


@dataclass(frozen=True)
class Written:
    """What a run left in the folder.

    Args:
        images: whose copies are all there.
        copies: files in all.
        fresh: files that this run wrote.
        notes: what the user should know.
    """

    images: int
    copies: int
    fresh: int
    notes: tuple[str, ...]


def augment(wanted: CopiesWanted, view: DecodingView | None = None) -> Written:
    """Write the copies that are not there yet, and the tables.

    Safe to kill at any moment: the next call with the same settings goes on. A file that is
    there is finished and is not written again.

    Args:
        wanted: what to make.
        view: shows how far it is, on stderr by default.

    Raises:
        InputError: before anything is written, where something cannot work.
    """
    wanted.check()
    dataset = read_dataset(wanted.data, wanted.request.label_table, wanted.request.image_folder)
    _check_apart(wanted, dataset)
    tasks = _tasks(wanted, dataset)
    settings = copy_settings(wanted.data, dataset, wanted.copies, wanted.seed, wanted.ranges)
    check_folder(wanted.out, settings)
    copying = Copying(wanted.out, wanted.recipe, wanted.seed, detect_cpus())
    todo = [task for task in tasks if not copying.is_done(task)]
    view = view or DecodingView(doing="augmenting images", did="augmented {} images")
    _announce(copying, todo, wanted, view)
    with alone(wanted.out):
        check_folder(wanted.out, settings)  # again: another run may have begun since
        if todo:
            write_json(wanted.out / COPIES_FILE, settings)
            _tidy(wanted.out)
        if not (wanted.out / SHEET).exists():
            write_text(wanted.out / SHEET, _sheet(wanted, dataset))
        with view:
            bad = copying.run(todo, len(tasks), view.progress)
        kept = np.array([task.row for task in tasks if task.name not in bad], np.int64)
        if not len(kept):
            some = reasons(bad.items(), 5)
            raise InputError([f"{wanted.data}: not one image could be read", *some])
        _write_tables(wanted, dataset, tasks, kept)
    read = summary(sorted(copying.notes.items()), len(todo))
    notes = [*dataset.notes, *_notes(dataset, bad), *read, *made.warnings(wanted.recipe)]
    fresh = copying.written
    return Written(len(kept), len(kept) * wanted.copies, fresh, tuple(notes))


def _check_apart(wanted: CopiesWanted, dataset: Dataset) -> None:
    """Check that copies do not lie among the images, wherever a description says that these are.

    Raises:
        InputError: where they would.
    """
    source = dataset.source
    assert isinstance(source, FolderSource)
    if problem := wanted.problem_of_place(source.root):
        raise InputError(problem)


def _tasks(wanted: CopiesWanted, dataset: Dataset) -> list[CopyTask]:
    """One for each labelled image, in the data set's order."""
    source = dataset.source
    assert isinstance(source, FolderSource)
    files = [source.files[name] for name in dataset.names]
    names = copy_names(files, wanted.copies)
    return [
        CopyTask(row, name, source.path(name), tuple(copies))
        for row, (name, copies) in enumerate(zip(dataset.names, names, strict=True))
    ]


def _announce(
    copying: Copying, todo: list[CopyTask], wanted: CopiesWanted, view: DecodingView
) -> None:
    """Say what the copies will take, and refuse where the disk has no room for them.

    Raises:
        InputError: naming both figures.
    """
    estimate = copying.estimate(todo)
    if estimate is None:
        return
    there = next(p for p in (wanted.out, *wanted.out.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < estimate.size + SPARE_DISK:
        raise InputError(
            f"{wanted.out}: {estimate.files:,} copies need about {estimate.size / 1e9:.2f} GB, and "
            f"{free / 1e9:.2f} GB are free; make room, give fewer --copies, or name a folder on "
            "another disk"
        )
    view.say(estimate.text())


def _tidy(out: Path) -> None:
    """Remove what a killed run had half written."""
    for leftover in out.rglob(".*.tmp"):
        with suppress(OSError):
            leftover.unlink()


def _sheet(wanted: CopiesWanted, dataset: Dataset) -> str:
    return extremes_html(
        str(wanted.data), made.warnings(wanted.recipe), sample_sheet(dataset, wanted.recipe)
    )


def _write_tables(
    wanted: CopiesWanted, dataset: Dataset, tasks: list[CopyTask], kept: np.ndarray
) -> None:
    """The tables, the labels last; one that says the same already stays as it is."""
    good = [tasks[row] for row in kept]
    names = table_names([path for task in good for path in task.copies])

    def draw(task: CopyTask) -> Parameters:
        return made.draw_parameters(wanted.recipe, wanted.copies, wanted.seed, task.name)

    for file, text in (
        (PARAMETERS, parameter_table(names, good, draw)),
        *label_files(names, dataset, kept, wanted.copies, wanted.out.absolute()).items(),
    ):
        path = wanted.out / file
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)


def _notes(dataset: Dataset, bad: Mapping[str, str]) -> list[str]:
    notes = []
    if bad:
        some = "; ".join(reasons(bad.items(), 5))
        notes.append(f"{len(bad)} unreadable image{'s' * (len(bad) > 1)} left out: {some}")
    if dataset.unlabelled:
        notes.append(f"{len(dataset.unlabelled):,} images without a label have no copies")
    return notes
