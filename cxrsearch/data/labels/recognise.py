"""What a folder or a table is taken for, where nothing describes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cxrsearch.data.description import Description, Pattern
from cxrsearch.errors import InputError
from search.errors import did_you_mean

from .cells import Cells, first_cells, read_cells
from .columns import (
    ROLE_COLUMNS,
    is_lateral,
    is_split,
    listed,
    place_of,
)
from .formats import LABEL_FORMATS, LabelFormat, TableLook
from .patients import known_pattern

NIH_TABLE = "Data_Entry_2017.csv"
_MODALITY = ("modality",)
_OTHER_MODALITIES = frozenset(("ct", "mr", "mri", "us", "ultrasound", "pt", "nm", "mg"))


def recognise(images: Path, table: Path | None, files: Sequence[str] = ()) -> Description:
    """What a folder, with or without a label table, is taken for.

    Args:
        images: the folder of the images.
        table: the label table; None: looked for in the folder, else classes are told from its
            folders or the names of its files.
        files: paths of the image files below the folder.

    Raises:
        InputError: where nothing says what the labels are.
    """
    if table is None:
        table = find_table(images)
    return of_table(images, table)


def of_table(images: Path, table: Path) -> Description:
    """What a label table is taken for.

    Raises:
        InputError: naming the columns that are missing.
    """
    cells = read_cells(table)
    name, reason = told(cells)
    kind, look = LABEL_FORMATS[name], TableLook(cells)
    columns = roles_of(cells, kind)
    problems = []
    if "image" not in columns:
        problems.append(
            f"{table}: no image column; wanted is 'Image Index', 'image', 'id', 'path' or "
            f"'filename', and the columns are {listed(cells.header)}"
        )
    if not reason:
        problems.append(no_labels(table, cells.header))
    if problems:
        raise InputError(problems)
    split = columns.get("split")
    if isinstance(split, str) and not is_split(look.of(split)):
        del columns["split"]
    return Description(
        images=images,
        table=(table,),
        format=name,
        columns=columns,
        uncertain={"": "ignore"},
        blank={"": kind.blank},
        filter=frontal(cells),
        split="column" if "split" in columns else "drawn",
        options=kind.options(look) if reason else {},
        reason=reason,
    )


def told(cells: Cells) -> tuple[str, str]:
    """The format of a table and why it is taken for it; of an empty reason none fits."""
    look = TableLook(cells)
    for name, kind in LABEL_FORMATS.items():
        if reason := kind.told(look):
            return name, reason
    return "one-hot", ""


def roles_of(cells: Cells, kind: LabelFormat) -> dict[str, str | Pattern]:
    """Role -> column, of those that are there, or the known pattern that tells patients."""
    found: dict[str, str | Pattern] = {}
    for role, usual in ROLE_COLUMNS.items():
        place = place_of(cells.header, (*kind.columns.get(role, ()), *usual))
        if place is not None:
            found[role] = cells.header[place]
    image = found.get("image")
    if "patient" not in found and isinstance(image, str):
        names = cells.columns[cells.header.index(image)]
        pattern = known_pattern([text.strip().replace("\\", "/") for text in names.texts])
        if pattern is not None:
            found["patient"] = pattern
    return found


def frontal(cells: Cells) -> dict[str, tuple[str, ...]]:
    """The filter that leaves out views from the side, and images that are no X-rays."""
    kept: dict[str, tuple[str, ...]] = {}
    for names, told_by in (
        ((*ROLE_COLUMNS["view"],), is_lateral),
        (_MODALITY, lambda text: text.strip().lower() in _OTHER_MODALITIES),
    ):
        for name in names:
            place = place_of(cells.header, (name,))
            if place is None:
                continue
            values = sorted(cells.columns[place].counted())
            left = [value for value in values if told_by(value)]
            good = tuple(value for value in values if not told_by(value))
            if left and any(good):
                kept[cells.header[place]] = good
                break
    return kept


def no_labels(path: Path, header: Sequence[str]) -> str:
    """The message for a table in which no label is found."""
    return (
        f"{path}: no 'Finding Labels' column{did_you_mean('Finding Labels', header)} and no "
        f"columns of 0 and 1; the columns are {listed(header)}; name one 'Finding Labels', or "
        "add a column of 0 and 1 for each label"
    )


def find_table(folder: Path) -> Path:
    """The label table that lies in ``folder`` itself.

    ``Data_Entry_2017.csv`` wins; then the only file that looks like a label table; then the only
    one of those that is named ``Data_Entry_2017*``.

    Raises:
        InputError: where there is none, or more than one to choose from.
    """
    tables = tables_in(folder)
    exact = [path for path in tables if path.name == NIH_TABLE]
    if exact:
        return exact[0]
    fitting = [path for path in tables if looks_like_labels(path)]
    named = [path for path in fitting if path.name.startswith(NIH_TABLE.removesuffix(".csv"))]
    for choice in (fitting, named):
        if len(choice) == 1:
            return choice[0]
    if fitting:
        names = ", ".join(path.name for path in fitting)
        raise InputError(f"{folder}: several label tables ({names}); choose with --labels FILE")
    if len(tables) == 1:  # reading it tells which columns it lacks
        return tables[0]
    raise InputError(
        f"{folder}: no label table in it; wanted is {NIH_TABLE}, or a CSV file with an image "
        "column and one column a label. Where it lies elsewhere, name it with --labels FILE"
    )


def tables_in(folder: Path) -> list[Path]:
    """The CSV files that lie in ``folder`` itself."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith((".csv", ".csv.gz")) and not path.name.startswith(".")
    )


def looks_like_labels(path: Path) -> bool:
    """Whether the first rows of a file are those of a label table."""
    try:
        cells = first_cells(path)
    except InputError:
        return False
    name, reason = told(cells)
    return bool(reason) and "image" in roles_of(cells, LABEL_FORMATS[name])
