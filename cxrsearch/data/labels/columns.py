"""Which column of a table is what."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .cells import Cells, TextColumn

IMAGE_COLUMNS = (
    "imageindex", "image", "imageid", "imagename", "imagefile", "imagepath", "imagefilename",
    "filename", "filepath", "file", "path", "pathtoimage", "pngpath", "jpgpath", "dicompath",
    "dicomid", "xrayimagename", "fname", "img", "imgid", "imgname", "imgpath", "images", "name",
    "id", "sopinstanceuid", "studyinstanceuid",
)  # fmt: skip
"""Names of the image column, as `plain` writes them; the first that is there is taken."""
PATIENT_COLUMNS = (
    "patientid", "patient", "subjectid", "subject", "pid", "patientnumber", "deidpatientid",
    "participantid",
)  # fmt: skip
LABEL_COLUMNS = ("findinglabels", "labels")
"""Names of a column with lists of labels, that say of themselves that they are."""
WORD_COLUMNS = (
    *LABEL_COLUMNS, "label", "findings", "finding", "diagnosis", "diagnoses", "class",
    "classname", "category", "target", "tags",
)  # fmt: skip
"""Names of a column with a label's name, or a list of them, in each cell."""
SPLIT_COLUMNS = ("split", "setid", "set", "subset", "partition", "datasettype", "fold")
AGE_ROLE = ("patientage", "age", "ageyears", "anchorage")
SEX_ROLE = ("patientgender", "patientsex", "gender", "sex", "patientsexdicom")
VIEW_ROLE = ("viewposition", "view", "projection", "appa", "viewpositiondicom", "frontallateral")
BOX_COLUMNS = ("xmin", "bbox", "boundingbox", "x", "bboxx", "boxes")
READER_COLUMNS = ("radid", "readerid", "reader", "radiologist", "radiologistid", "annotator")
ROLE_COLUMNS = {
    "image": IMAGE_COLUMNS,
    "patient": PATIENT_COLUMNS,
    "split": SPLIT_COLUMNS,
    "age": AGE_ROLE,
    "sex": SEX_ROLE,
    "view": VIEW_ROLE,
}
"""Role -> names of its column, as `plain` writes them; the first that is there is taken."""
PART_WORDS = {
    "train": "train", "training": "train", "trainval": "train", "development": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What the parts are called, as `plain` writes it."""
LATERAL = frozenset((
    "l", "lat", "ll", "rl", "lateral", "llat", "leftlateral", "rightlateral", "swimmers", "llo",
    "lao", "rao", "lpo", "rpo", "xtablelateral", "laterals",
    "costal", "exclude",
))  # fmt: skip
"""Views that are not from the front, as `plain` writes them: from the side, of the ribs alone, and
what PadChest's readers marked as of no use."""
NO_LABEL = re.compile(
    r"id|index|idx|row|rows|columns?|cols|width|height|.*pixel.*|.*spacing.*|followup.*|offset|"
    r"unnamed.*|.*date.*|.*time.*|.*dicom|xm(in|ax)|ym(in|ax)|[xywh]|imagedir|folder|url|license|"
    r"fold\d*|split\d*|is(train|test|val|valid|training|validation)|male|female|pediatric|"
    r"weight|bmi|smoker|survival|intubated|wentcu|neededsupplementalo2|source|dataset"
)
"""Names, as `plain` writes them, of columns that say nothing that an X-ray shows."""


def plain(name: str) -> str:
    """``name`` without case, spaces, underscores, hyphens and other marks."""
    return re.sub(r"[\W_]+", "", name).lower()


def place_of(header: Sequence[str], names: Sequence[str]) -> int | None:
    """The column that has the first of ``names``, as `plain` writes them, or None."""
    places: dict[str, int] = {}
    for column, name in enumerate(header):
        places.setdefault(plain(name), column)
    return next((places[name] for name in names if name in places), None)


def column_of(cells: Cells, name: str) -> TextColumn:
    """The column called ``name``, which is there."""
    return cells.columns[cells.header.index(name)]


def part_of(text: str) -> str | None:
    """The part that ``text`` names: train, val or test; "" where it says none; None otherwise."""
    word = plain(text)
    return PART_WORDS.get(word) if word else ""


def is_split(column: TextColumn) -> bool:
    """Whether a column says of images which part they belong to, and of more than one part."""
    found = {part_of(text) for text in column.counted()}
    return None not in found and len(found - {""}) > 1


def is_lateral(text: str) -> bool:
    """Whether ``text`` names a view that is not from the front."""
    return plain(text) in LATERAL


def listed(names: Sequence[str], most: int = 20) -> str:
    """Some names, for a message."""
    return ", ".join(map(repr, names[:most])) + (", ..." if len(names) > most else "")
