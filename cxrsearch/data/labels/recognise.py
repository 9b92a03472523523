"""What a folder or a table is taken for, where nothing describes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from cxrsearch.data.description import Description, Pattern
from cxrsearch.errors import InputError
from search.errors import did_you_mean

from .cells import Cells, first_cells, one_below_the_other, read_cells
from .columns import (
    ROLE_COLUMNS,
    is_lateral,
    is_split,
    listed,
    part_of,
    place_of,
)
from .folders import IMAGE_PATH, classes_in, labels_in_names
from .formats import LABEL_FORMATS, LabelFormat, TableLook
from .mimic import joined, kind_of
from .patients import known_pattern

TABLE_ENDS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
"""How the name of a table ends."""
NIH_TABLE = "Data_Entry_2017.csv"
_MODALITY = ("modality",)
_OTHER_MODALITIES = frozenset(("ct", "mr", "mri", "us", "ultrasound", "pt", "nm", "mg"))


def recognise(
    images: Path,
    table: Path | None,
    files: Sequence[str] = (),
    stated: Mapping[str, Any] | None = None,
) -> Description:
    """What a folder, with or without a label table, is taken for.

    Args:
        images: the folder of the images.
        table: the label table; None: looked for in the folder, else classes are told from its
            folders or the names of its files.
        files: paths of the image files below the folder.
        stated: fields of `Description` that a user states: what they say is not asked for here.

    Raises:
        InputError: where nothing says what the labels are.
    """
    stated = stated or {}
    wanted = stated.get("format", "")
    if table is None and (not wanted or LABEL_FORMATS[wanted].table):
        table = find_table(images, files)
        if table is not None:
            return of_table(images, table, files, {"table": _parts_of(table), **stated})
    if table is not None:
        return of_table(images, table, files, stated)
    return _of_folder(images, files, wanted)


def _of_folder(images: Path, files: Sequence[str], wanted: str) -> Description:
    """What a folder without a table is taken for."""
    classes = classes_in(files)
    if wanted != "file-names" and classes is not None:
        return Description(
            images=images,
            table=(),
            format="class-folders",
            columns={"image": IMAGE_PATH, **_patient_of(classes.inside)},
            blank={"": "ignore"},
            split="folders" if classes.given else "drawn",
            reason=f"no table, and images in folders called {listed(classes.names)}",
        )
    labels = labels_in_names(files)
    if wanted == "class-folders" or not (labels or wanted):
        raise InputError(
            f"{images}: no label table in it; wanted is {NIH_TABLE}, or a CSV file with an image "
            "column and one column a label, or a folder of images for each label. Where the table "
            "lies elsewhere, name it with --labels FILE"
        )
    named = " and ".join(label.name for label in labels)
    return Description(
        images=images,
        table=(),
        format="file-names",
        columns={"image": IMAGE_PATH, **_patient_of(files)},
        labels=labels,
        reason=f"no table, and names of files that say {named}" if labels else "",
    )


def of_table(
    images: Path,
    table: Path,
    files: Sequence[str] = (),
    stated: Mapping[str, Any] | None = None,
) -> Description:
    """What a label table is taken for.

    Raises:
        InputError: naming the columns that are missing.
    """
    stated = stated or {}
    tables = tuple(stated.get("table", ())) or (table,)
    cells = read_cells(table)
    name, reason = told(cells)
    if stated.get("format", name) != name:
        name, reason = stated["format"], ""
    if name == "mimic-cxr":
        tables = tables if len(tables) > 1 else (table, *_beside(table))
        cells = joined(tables, files)
    elif len(tables) > 1:
        cells = read_tables(tables)
    kind, look = LABEL_FORMATS[name], TableLook(cells)
    columns = roles_of(cells, kind)
    problems = []
    if "image" not in columns and not stated.get("columns", {}).get("image"):
        problems.append(
            f"{table}: no image column; wanted is 'Image Index', 'image', 'id', 'path' or "
            f"'filename', and the columns are {listed(cells.header)}"
        )
    if not reason and not stated.get("labels"):
        problems.append(no_labels(table, cells.header))
    if problems:
        raise InputError(problems)
    split = columns.get("split")
    if isinstance(split, str) and not is_split(look.of(split)):
        del columns["split"]
    by_folder = "split" not in columns and _by_folder(cells, columns.get("image"))
    return Description(
        images=images,
        table=tables,
        format=name,
        columns=columns,
        uncertain={"": "ignore"},
        blank={"": kind.blank},
        filter=frontal(cells),
        split="column" if "split" in columns else "folders" if by_folder else "drawn",
        reason=reason,
    )


def _patient_of(files: Sequence[str]) -> dict[str, Pattern]:
    pattern = known_pattern(files)
    return {} if pattern is None else {"patient": pattern}


def _by_folder(cells: Cells, image: str | Pattern | None) -> bool:
    """Whether the paths of the images have folders called train, val and test."""
    if not isinstance(image, str):
        return False
    texts = cells.columns[cells.header.index(image)].texts
    for level in range(texts[0].replace("\\", "/").count("/") if texts else 0):
        # Of 200,000 paths the first says no, mostly.
        if part_of(_folder_of(texts[0], level)):
            names = {_folder_of(text, level) for text in texts}
            return len(names) > 1 and all(map(part_of, names))
    return False


def _folder_of(path: str, level: int) -> str:
    """The folder of a path at some depth; empty where it has none there."""
    folders = path.replace("\\", "/").split("/", level + 1)
    return folders[level] if len(folders) > level + 1 else ""


def _beside(table: Path) -> list[Path]:
    """MIMIC-CXR's metadata and split tables, where they lie beside the labels."""
    found: dict[str, Path] = {}
    for path in tables_in(table.parent):
        with suppress(InputError):
            found.setdefault(kind_of(first_cells(path).header), path)
    return [found[kind] for kind in ("metadata", "split") if kind in found]


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


def find_table(folder: Path, files: Sequence[str] = ()) -> Path | None:
    """The label table that lies in ``folder`` itself.

    ``Data_Entry_2017.csv`` wins; then the only file that looks like a label table; then the only
    one of those that is named ``Data_Entry_2017*``; then that of a known set of tables.

    Args:
        folder: where to look.
        files: the images below it: where they lie in folders of classes, or have names that are
            known to say a label, no table is needed.

    Returns:
        the table; None where none is needed.

    Raises:
        InputError: where there is none, or more than one to choose from.
    """
    tables = tables_in(folder) if folder.is_dir() else []
    exact = [path for path in tables if path.name == NIH_TABLE]
    if exact:
        return exact[0]
    fitting = {path: name for path in tables if (name := looks_like(path))}
    named = [path for path in fitting if path.name.startswith(NIH_TABLE.removesuffix(".csv"))]
    for choice in (list(fitting), named, _first_of_set(fitting)):
        if len(choice) == 1:
            return choice[0]
    if fitting:
        names = ", ".join(path.name for path in fitting)
        raise InputError(f"{folder}: several label tables ({names}); choose with --labels FILE")
    if classes_in(files) or labels_in_names(files):
        return None
    if len(tables) == 1:  # reading it tells which columns it lacks
        return tables[0]
    raise InputError(
        [
            f"{folder}: no label table in it; wanted is {NIH_TABLE}, or a CSV file with an image "
            "column and one column a label, or a folder of images for each label. Where the table "
            "lies elsewhere, name it with --labels FILE",
            *_empty_folders(folder, files),
        ]
    )


def _empty_folders(folder: Path, files: Sequence[str]) -> list[str]:
    """What to say of folders in ``folder`` without an image: classes of which only one has some."""
    full = {file.partition("/")[0] for file in files if "/" in file}
    if not full or not folder.is_dir():
        return []
    empty = sorted(
        place.name
        for place in folder.iterdir()
        if place.is_dir() and place.name not in full and not place.name.startswith((".", "__"))
    )
    beside = "; classes are told from two folders of images at least: fill it, or take it out"
    return [f"{folder}: no image in {listed(empty)}{beside}"] if empty else []


def read_tables(tables: Sequence[Path]) -> Cells:
    """One table, or several of one kind that are called after their parts, as one.

    Raises:
        InputError: where they cannot be read, or differ in their columns.
    """
    every = [read_cells(table) for table in tables]
    if len(every) == 1:
        return every[0]
    return one_below_the_other(every, "split", [_stem(table) for table in tables])


def _stem(table: Path) -> str:
    return table.name.partition(".")[0]


def _parts_of(table: Path) -> tuple[Path, ...]:
    """``table`` and those beside it that are called after other parts and have its columns."""
    if not part_of(_stem(table)):
        return (table,)
    header = first_cells(table).header
    others = [path for path in tables_in(table.parent) if path != table and part_of(_stem(path))]
    return (table, *(path for path in others if looks_like(path) and _header(path) == header))


def _header(path: Path) -> list[str]:
    return first_cells(path).header


def _first_of_set(fitting: Mapping[Path, str]) -> list[Path]:
    """The table that holds the labels, of several that are known to lie together."""
    formats = set(fitting.values())
    if "mimic-cxr" in formats:
        mimic = [path for path, name in fitting.items() if name == "mimic-cxr"]
        return [path for path in mimic if "chexpert" in path.name.lower()] or mimic
    if "rsna" in formats and formats <= {"rsna", "label-list"}:
        return [path for path, name in fitting.items() if name == "rsna"]
    parts = {part_of(_stem(path)): path for path in fitting}
    if len(parts) == len(fitting) and all(parts) and len(formats) == 1:
        return [next(parts[part] for part in ("train", "val", "test") if part in parts)]
    return []


def tables_in(folder: Path) -> list[Path]:
    """The CSV files that lie in ``folder`` itself."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.name.lower().endswith(TABLE_ENDS) and not path.name.startswith(".")
    )


def looks_like(path: Path) -> str:
    """The format of a label table, by its first rows; empty where it is none."""
    try:
        cells = first_cells(path)
    except InputError:
        return ""
    name, reason = told(cells)
    image = name == "mimic-cxr" or "image" in roles_of(cells, LABEL_FORMATS[name])
    return name if reason and image and not kind_of(cells.header) else ""
