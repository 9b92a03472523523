"""The formats that label tables come in: how each is told, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cxrsearch.data.description import LabelFrom
from cxrsearch.data.diseases import DISEASES

from .cell_marks import Said, is_of_marks, read_mark
from .cells import Cells, TextColumn
from .columns import (
    BOX_COLUMNS,
    IMAGE_COLUMNS,
    LABEL_COLUMNS,
    NO_LABEL,
    READER_COLUMNS,
    ROLE_COLUMNS,
    WORD_COLUMNS,
    place_of,
    plain,
)
from .folders import CLASS_FOLDER, IMAGE_PATH
from .mimic import STUDY_KEYS
from .words import NO_LABELS, alike, is_denial, is_nothing, separator_in, words_of

CHEXPERT = (
    "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
"""CheXpert's labels (Irvin et al., AAAI 2019), also MIMIC-CXR's."""
GOOGLE = ("fracture", "pneumothorax", "airspaceopacity", "noduleormass")
"""The columns of Google's adjudicated labels (Majkowska et al., Radiology 2020)."""
KNOWN_LABELS = frozenset(plain(name) for name in (*DISEASES, *CHEXPERT))
NIH_WORDS = frozenset(plain(disease) for disease in DISEASES)
_OLDEST = 110
_MOST_WORD = 60
"""Characters of a label in a list, at most; longer ones are sentences of a report."""
_MOST_WORDS = 2_000
_NEARLY = 0.9
"""A column that says marks in so many of its rows has errors in the others."""


@dataclass(frozen=True, eq=False)
class TableLook:
    """What a format is told by: a table, or its first rows."""

    cells: Cells

    def has(self, *names: str) -> bool:
        """Whether there are columns of these names, as `plain` writes them."""
        return {plain(name) for name in self.cells.header} >= set(names)

    def column(self, *names: str) -> str | None:
        """The first of these columns that is there."""
        place = place_of(self.cells.header, names)
        return None if place is None else self.cells.header[place]

    def of(self, name: str) -> TextColumn:
        """A column."""
        return self.cells.columns[self.cells.header.index(name)]


@dataclass(frozen=True)
class LabelFormat:
    """One way in which label tables are written.

    Args:
        about: what it is, in a sentence without an end.
        told: why a table is of this format, or None where it is not.
        options: what of the table the format reads, for `Description.options`: ``list``, the
            column of words; ``separator``, what stands between them; ``reader``, the column that
            says who marked; ``boxes``, one with places on the image, of which it may have several;
            ``masks``, the column of masks.
        labels: the labels that such a table has, with the columns or words they are read from.
        columns: role -> names of the column, before those that are usual.
        blank: what a blank cell counts as where a description says nothing.
        boxes: whether an image may have several rows, any of which may have a label.
        exclusive: whether an image of "no finding" can have no label.
        keeps: labels that stay where no image has them.
        table: whether there is a table at all.
        assumes: what reading it takes for granted, in a sentence without an end.
    """

    about: str
    told: Callable[[TableLook], str | None]
    options: Callable[[TableLook], Mapping[str, str]]
    labels: Callable[[TableLook, Mapping[str, str]], list[LabelFrom]]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    blank: str = "ignore"
    boxes: bool = False
    exclusive: bool = True
    keeps: tuple[str, ...] = ()
    table: bool = True
    assumes: str = ""


def mark_columns(look: TableLook, signs_only: bool = False) -> list[str]:
    """The columns that say nothing but marks of a label, in the table's order."""
    taken = {look.column(*names) for names in ROLE_COLUMNS.values()}
    return [
        name
        for name, column in zip(look.cells.header, look.cells.columns, strict=True)
        if name.strip()
        and name not in taken
        and not is_nothing(name)
        and (
            (plain(name) in KNOWN_LABELS and _tried(column))
            or (not NO_LABEL.fullmatch(plain(name)) and _of_labels(column, signs_only))
        )
    ]


def _of_labels(column: TextColumn, signs_only: bool) -> bool:
    """Whether a column is one of marks, if with errors."""
    if is_of_marks(column, signs_only):
        return True
    if signs_only or not _tried(column):
        return False
    right = wrong = 0
    for text, count in zip(column.texts, column.used.tolist(), strict=True):
        said = read_mark(text)[1]
        if said is Said.NONSENSE:
            if _number(text):  # a count, a size or an age, and no label
                return False
            wrong += count
        elif said is not Said.BLANK:
            right += count
    return right >= _NEARLY * (right + wrong)


def _tried(column: TextColumn) -> bool:
    """Whether some cell of a column is a plain mark."""
    return any(
        count and read_mark(text)[0] in (0, 1)
        for text, count in zip(column.texts, column.used.tolist(), strict=True)
    )


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _named(columns: list[str]) -> list[LabelFrom]:
    return [LabelFrom(" ".join(name.split()), name) for name in columns]


# NIH ChestX-ray14


def _nih(look: TableLook) -> str | None:
    name = look.column(*LABEL_COLUMNS)
    if name is None:
        return None
    counts = words_of(look.of(name), "|")
    known = sum(n for word, n in counts.items() if plain(word) in NIH_WORDS)
    other = sum(
        n for word, n in counts.items() if plain(word) not in NIH_WORDS and not is_nothing(word)
    )
    if (other > known and not look.has("findinglabels")) or (
        other and not known and len(counts) > 1
    ):
        return None
    if not known and not other and not look.has("findinglabels"):
        return None
    ages = look.column("patientage")
    old = ages is not None and any(
        text.strip().endswith(("Y", "M", "D")) for text in look.of(ages).texts
    )
    release = "" if ages is None else (
        ", release of 2017 (ages such as 058Y)" if old else ", as released in 2020 (ages in years)"
    )  # fmt: skip
    return f"column {name!r} with NIH's diseases, joined by |{release}"


def _nih_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    return _nih_first(mark_columns(look, signs_only=True))


def _nih_first(columns: list[str]) -> list[LabelFrom]:
    """NIH's diseases, each from the column of its name, else from its word; then other columns."""
    own: dict[str, str] = {}
    for name in columns:
        own.setdefault(plain(name), name)
    labels = [LabelFrom(disease, own.get(plain(disease), disease)) for disease in DISEASES]
    taken = {label.source for label in labels}
    return [*labels, *_named([name for name in columns if name not in taken])]


def _list_options(
    *names: str, separator: str | None = None
) -> Callable[[TableLook], dict[str, str]]:
    def options(look: TableLook) -> dict[str, str]:
        name = look.column(*names) or ""
        found = separator_in(look.of(name)) if separator is None and name else separator
        return {"list": name, "separator": found or "", **_several(look)}

    return options


def _none(look: TableLook) -> dict[str, str]:
    return {}


# One column a label


def _one_hot(look: TableLook) -> str | None:
    columns = mark_columns(look)
    many = f"{len(columns)} columns of marks" if len(columns) > 1 else "a column of marks"
    return f"{many}: {_some(columns)}" if columns else None


def _one_hot_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    columns = mark_columns(look)
    every = {plain(name) for name in columns}
    return _nih_first(columns) if every >= NIH_WORDS else _named(columns)


def _several(look: TableLook) -> dict[str, str]:
    """Why an image has several rows, where one has: the column that says who marked, or boxes."""
    image = look.column(*IMAGE_COLUMNS)
    if image is None or look.of(image).used.max(initial=0) < 2:
        return {}
    if reader := look.column(*READER_COLUMNS):
        return {"reader": reader}
    return {"boxes": box} if (box := look.column(*BOX_COLUMNS)) else {}


def _chexpert_columns(look: TableLook) -> list[str]:
    ours = {plain(name) for name in CHEXPERT}
    return [name for name in look.cells.header if plain(name) in ours]


def _chexpert(look: TableLook) -> str | None:
    columns = _chexpert_columns(look)
    if len(columns) < (5 if look.has("path") else len(CHEXPERT) - 1):
        return None
    return f"{len(columns)} of CheXpert's {len(CHEXPERT)} labels"


def _chexpert_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    return _named(list(dict.fromkeys([*_chexpert_columns(look), *mark_columns(look)])))


def _google(look: TableLook) -> str | None:
    columns = _google_columns(look)
    if len(columns) < 2 or not look.has("imageindex"):
        return None
    return f"columns of YES and NO beside NIH's: {_some(columns)}"


def _google_columns(look: TableLook) -> list[str]:
    return [
        name
        for name in look.cells.header
        if plain(name) in GOOGLE
        and all(text.strip().upper() in ("YES", "NO", "") for text in look.of(name).texts)
    ]


def _google_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    return _named(_google_columns(look))


# Words


def _padchest(look: TableLook) -> str | None:
    if not look.has("imageid", "labels") or not look.has("projection"):
        return None
    return "columns 'ImageID', 'Labels' with lists, and 'Projection'"


def _word_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    """Every word of the list that names a finding, by name."""
    counts = words_of(look.of(options["list"]), options.get("separator", ""))
    same = alike(counts)
    total: dict[str, int] = {}
    for word, count in counts.items():
        if not is_nothing(word) and plain(word) not in NO_LABELS and not is_denial(word, counts):
            total[same[word]] = total.get(same[word], 0) + count
    return [LabelFrom(word, word) for word in sorted(total, key=lambda w: (w.lower(), w))]


def _list_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    words = _word_labels(look, options)
    taken = {plain(label.name) for label in words}
    beside = [name for name in mark_columns(look, signs_only=True) if name != options["list"]]
    return [*words, *_named([name for name in beside if plain(name) not in taken])]


def _label_list(look: TableLook) -> str | None:
    name = look.column(*WORD_COLUMNS)
    if name is None or look.column(*IMAGE_COLUMNS) == name:
        return None
    column = look.of(name)
    if is_of_marks(column):
        return None
    separator = separator_in(column)
    words = words_of(column, separator)
    if not words or len(words) > _MOST_WORDS or max(map(len, words)) > _MOST_WORD:
        return None
    if all(map(_number, words)):  # numbers of classes that nothing names
        return None
    shown = f", joined by {separator!r}" if separator else ""
    named = sum(not is_nothing(word) for word in words)
    return f"column {name!r} with the names of {named} label{'s' * (named != 1)}{shown}"


def _vindr(look: TableLook) -> str | None:
    if look.has("imageid", "classname") and look.column(*READER_COLUMNS):
        return "columns 'class_name' and 'rad_id': a row a finding of a reader"
    return None


def _vindr_options(look: TableLook) -> dict[str, str]:
    return {
        "list": look.column("classname") or "",
        "separator": "",
        "reader": look.column(*READER_COLUMNS) or "",
    }


def _vindr_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    number = look.column("classid")
    labels = _word_labels(look, options)
    if number is None:
        return labels
    classes, words = look.of(number), look.of(options["list"])
    pairs = {
        (classes.texts[a], words.texts[b].strip())
        for a, b in set(zip(classes.codes.tolist(), words.codes.tolist(), strict=True))
    }
    order = {word: int(text) for text, word in pairs if text.strip().isdigit()}
    return sorted(labels, key=lambda label: order.get(label.source, len(order)))


def _rsna(look: TableLook) -> str | None:
    if look.has("patientid", "target") and not look.column(*IMAGE_COLUMNS):
        return "columns 'patientId' and 'Target': a row a box"
    return None


def _rsna_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    return [LabelFrom("Pneumonia", look.column("target") or "")]


def _rle(look: TableLook) -> str | None:
    if look.column("encodedpixels") and look.column(*IMAGE_COLUMNS):
        return "a column 'EncodedPixels' with run-length masks, -1 where there is none"
    return None


def _rle_options(look: TableLook) -> dict[str, str]:
    return {"masks": look.column("encodedpixels") or ""}


def _rle_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    return [LabelFrom("Pneumothorax", options["masks"])]


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _mimic(look: TableLook) -> str | None:
    columns = _chexpert_columns(look)
    if len(columns) < 5 or not look.has(*STUDY_KEYS):
        return None
    return f"'subject_id', 'study_id' and {len(columns)} of CheXpert's labels"


def _not_told(look: TableLook) -> None:
    """Of what has no table."""


def _no_labels(look: TableLook, options: Mapping[str, str]) -> list[LabelFrom]:
    return []


LABEL_FORMATS: dict[str, LabelFormat] = {
    "mimic-cxr": LabelFormat(
        "MIMIC-CXR: CheXpert's labels by study, with the metadata and split tables beside them",
        _mimic, _none, _chexpert_labels, {"image": (IMAGE_PATH,)},
        blank="negative", exclusive=False,
    ),
    "chexpert": LabelFormat(
        "CheXpert: a column a label with 1, 0, -1 (uncertain) or nothing (not mentioned)",
        _chexpert, _none, _chexpert_labels, {"view": ("appa", "frontallateral")},
        blank="negative", exclusive=False,
    ),
    "google": LabelFormat(
        "NIH images with Google's labels, agreed on by radiologists: YES and NO",
        _google, _none, _google_labels,
        assumes="the columns of YES and NO, agreed on by radiologists, are the labels; the "
        "text-mined 'Finding Labels' are left aside",
    ),
    "padchest": LabelFormat(
        "PadChest: a list of labels in a cell",
        _padchest, _list_options("labels", separator=","), _word_labels, {"image": ("imageid",)},
        exclusive=False,
    ),
    "vindr": LabelFormat(
        "VinDr-CXR: a row a finding that a reader has drawn a box around, or none",
        _vindr, _vindr_options, _vindr_labels, {"image": ("imageid",)}, boxes=True,
        exclusive=False,
    ),
    "rsna": LabelFormat(
        "RSNA pneumonia: a row a box, and Target",
        _rsna, _none, _rsna_labels, {"image": ("patientid",)}, boxes=True,
        assumes="'Target' is the label Pneumonia, and 'patientId' names the image too",
    ),
    "rle": LabelFormat(
        "Run-length masks: a row a mask, -1 where there is none",
        _rle, _rle_options, _rle_labels, boxes=True,
        assumes="the masks are those of a pneumothorax, as SIIM's are; labels in dataset.yaml "
        "names another",
    ),
    "nih": LabelFormat(
        "NIH ChestX-ray14: diseases joined by | in one cell",
        _nih, _list_options(*LABEL_COLUMNS, separator="|"), _nih_labels, keeps=DISEASES,
    ),
    "label-list": LabelFormat(
        "One cell with a label, or a list of them",
        _label_list, _list_options(*WORD_COLUMNS), _list_labels, exclusive=False,
    ),
    "one-hot": LabelFormat(
        "A column a label, with 0 and 1",
        _one_hot, _several, _one_hot_labels, keeps=DISEASES,
    ),
    "class-folders": LabelFormat(
        "A folder a class; one called normal, negative or the like is the absence of the others",
        _not_told, lambda look: {"list": CLASS_FOLDER, "separator": ""}, _word_labels,
        exclusive=False, table=False,
    ),
    "file-names": LabelFormat(
        "Names of files that say the label: `from` is a pattern, whose group, if any, is a mark",
        _not_told, _none, _no_labels, table=False,
    ),
}  # fmt: skip
"""Name -> format, the special ones first: the first that is told is taken."""
