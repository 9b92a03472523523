"""Offline augmentation: a folder of X-rays in, a folder of augmented copies and their labels out.

What lies in the folder, in the order in which it is written:

================= =============================================================================
copies.json       source, seed and ranges: a later call with others is refused
extremes.html     the ends of each range on a few images, for a doctor's eye
*_augNN.png       the copies, in the folders that their images have in the source
augmentation.csv  what happened to each copy
Data_Entry_2017.csv  the label table: written last, so its presence means complete
================= =============================================================================
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cxrsearch import __version__
from cxrsearch.copying import Copying, Task
from cxrsearch.copying_tables import label_table, parameter_table
from cxrsearch.data.copies import copy_names, table_names
from cxrsearch.data.dataset import Dataset
from cxrsearch.data.read import FolderSource, read_dataset
from cxrsearch.data.tables import NIH_TABLE
from cxrsearch.decoding import DecodingView
from cxrsearch.errors import InputError
from cxrsearch.learn import copies as made
from cxrsearch.learn.recipe import Recipe, gene_limits
from cxrsearch.sheet import sample_sheet
from cxrsearch.show.extremes import extremes_html
from search.cores import detect_cpus
from search.files import write_json, write_text
from search.space_values import limit_problem

SETTINGS, SHEET, PARAMETERS = "copies.json", "extremes.html", "augmentation.csv"
FORMAT, VERSION = "cxrsearch copies", 1
MOST_COPIES = 1000
SLACK = 64 << 20
"""Bytes of the disk that copies leave free."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for.

    Args:
        data: folder of chest X-rays with a label table.
        out: folder of the copies.
        copies: of each labelled image.
        ranges: by gene, as `cxrsearch.learn.copies.REPORT_RANGES`.
        seed: every copy's parameters derive from it.
        labels: label table, where it does not lie in ``data``.
    """

    data: Path
    out: Path
    copies: int = 10
    ranges: Mapping[str, Any] = field(default_factory=lambda: dict(made.REPORT_RANGES))
    seed: int = 0
    labels: Path | None = None

    @property
    def recipe(self) -> Recipe:
        """A recipe with these ranges."""
        return Recipe(**self.ranges)

    def check(self) -> None:
        """Raise one `InputError` that names everything that cannot work."""
        limits, problems = gene_limits(), []
        if not 1 <= self.copies <= MOST_COPIES:
            problems.append(f"--copies {self.copies}: must be from 1 to {MOST_COPIES:,}")
        if not 0 <= self.seed < 2**31:
            problems.append(f"--seed {self.seed}: must be from 0 to {2**31 - 1:,}")
        for gene, value in self.ranges.items():
            if problem := limit_problem(value, limits[gene]):
                problems.append(f"--{gene.replace('_', '-')}: {problem}")
        if not any(self.ranges.values()):
            problems.append("every range is 0: the copies would be the images themselves")
        data, out = self.data.absolute().resolve(), self.out.absolute().resolve()
        if data == out or data in out.parents or out in data.parents:
            problems.append(
                f"{self.out}: lies in {self.data}, or holds it; copies there would be taken for "
                "images of the source: name a folder beside it"
            )
        if problems:
            raise InputError(problems)


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


def augment(wanted: Wanted, view: DecodingView | None = None) -> Written:
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
    dataset = read_dataset(wanted.data, wanted.labels)
    tasks = _tasks(wanted, dataset)
    settings = _settings(wanted, dataset)
    _check_folder(wanted.out, settings)
    copying = Copying(wanted.out, wanted.recipe, wanted.seed, detect_cpus())
    todo = [task for task in tasks if not copying.is_done(task)]
    view = view or DecodingView(doing="augmenting images", did="augmented {} images")
    if todo:
        _announce(copying, todo, wanted, view)
        write_json(wanted.out / SETTINGS, settings)
        _tidy(wanted.out)
        if not (wanted.out / SHEET).exists():
            write_text(wanted.out / SHEET, _sheet(wanted, dataset))
    with view:
        bad = copying.run(todo, len(tasks), view.progress)
    kept = np.array([task.row for task in tasks if task.name not in bad], np.int64)
    if not len(kept):
        some = [f"{name}: {reason}" for name, reason in list(bad.items())[:5]]
        raise InputError([f"{wanted.data}: not one image could be read", *some])
    _write_tables(wanted, dataset, tasks, kept)
    notes = [*dataset.notes, *_notes(dataset, bad), *made.warnings(wanted.recipe)]
    fresh = copying.written
    return Written(len(kept), len(kept) * wanted.copies, fresh, tuple(notes))


def _tasks(wanted: Wanted, dataset: Dataset) -> list[Task]:
    """One for each labelled image, in the data set's order."""
    source = dataset.source
    assert isinstance(source, FolderSource)
    files = [source.files[name] for name in dataset.names]
    names = copy_names(files, wanted.copies)
    return [
        Task(row, name, source.path(name), tuple(copies))
        for row, (name, copies) in enumerate(zip(dataset.names, names, strict=True))
    ]


def _settings(wanted: Wanted, dataset: Dataset) -> dict[str, Any]:
    """The content of copies.json."""
    source = dataset.source
    assert isinstance(source, FolderSource)
    sizes = [[name, _size(source.path(name))] for name in dataset.names]
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": {
            "folder": str(wanted.data.absolute()),
            "images": len(dataset.names),
            "fingerprint": dataset.fingerprint,
            "files": hashlib.sha256(json.dumps(sizes).encode()).hexdigest()[:16],
        },
        "copies": wanted.copies,
        "seed": wanted.seed,
        "ranges": dict(wanted.ranges),
        "made_with": {"cxrsearch": __version__},
    }


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _check_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Refuse a folder that is not this very set of copies, or a new one.

    Raises:
        InputError: with what differs.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file; name a folder")
    there = next(p for p in (out, *out.absolute().parents) if p.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{out}: {there} cannot be written to; name another folder")
    if not (out / SETTINGS).exists():
        if out.is_dir() and any(not p.name.startswith(".") for p in out.iterdir()):
            raise InputError(f"{out}: not empty, and no {SETTINGS} in it; name a new folder")
        return
    try:
        old = json.loads((out / SETTINGS).read_text(encoding="utf-8"))
        differences = _differences(old, settings)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{out / SETTINGS}: cannot be read ({error}); restore it, or name a new folder"
        ) from error
    if differences:
        raise InputError([f"{out}: made with other settings; name a new folder", *differences])


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    found = []
    for key in ("format", "version", "copies", "seed"):
        if old[key] != new[key]:
            found.append(f"{key} is {old[key]!r} there, not {new[key]!r}")
    for gene in new["ranges"]:
        if (there := old["ranges"].get(gene)) != new["ranges"][gene]:
            found.append(f"{gene} is {there!r} there, not {new['ranges'][gene]!r}")
    was, now = old["source"], new["source"]
    if was["fingerprint"] != now["fingerprint"]:
        found.append(
            f"its copies are of {was['images']:,} images of {was['folder']}, and images, labels or "
            f"patients of the {now['images']:,} in {now['folder']} are others"
        )
    elif was["files"] != now["files"]:
        found.append(f"files of {now['folder']} have another size than when the copies were made")
    return found


def _announce(copying: Copying, todo: list[Task], wanted: Wanted, view: DecodingView) -> None:
    """Say what the copies will take, and refuse where the disk has no room for them.

    Raises:
        InputError: naming both figures.
    """
    estimate = copying.estimate(todo)
    if estimate is None:
        return
    there = next(p for p in (wanted.out, *wanted.out.absolute().parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < estimate.size + SLACK:
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


def _sheet(wanted: Wanted, dataset: Dataset) -> str:
    return extremes_html(
        str(wanted.data), made.warnings(wanted.recipe), sample_sheet(dataset, wanted.recipe)
    )


def _write_tables(wanted: Wanted, dataset: Dataset, tasks: list[Task], kept: np.ndarray) -> None:
    """Both tables, the labels last; one that says the same already stays as it is."""
    good = [tasks[row] for row in kept]
    names = table_names([path for task in good for path in task.copies])
    draws = [made.draw_parameters(wanted.recipe, wanted.copies, wanted.seed, t.name) for t in good]
    for path, text in (
        (wanted.out / PARAMETERS, parameter_table(names, good, draws)),
        (wanted.out / NIH_TABLE, label_table(names, dataset, kept, wanted.copies)),
    ):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)


def _notes(dataset: Dataset, bad: Mapping[str, str]) -> list[str]:
    notes = []
    if bad:
        some = "; ".join(f"{name}: {reason}" for name, reason in list(bad.items())[:5])
        notes.append(f"{len(bad)} unreadable image{'s' * (len(bad) > 1)} left out: {some}")
    if dataset.unlabelled:
        notes.append(f"{len(dataset.unlabelled):,} images without a label have no copies")
    return notes
