"""From a description to a label table: the images, what is known of each, and all that is wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cxrsearch.data.dataset import Blank
from cxrsearch.data.description import Description, LabelFrom, Pattern
from cxrsearch.data.diseases import DISEASES, NO_FINDING
from cxrsearch.data.files import shorten
from cxrsearch.data.marks import absent, compact, present
from cxrsearch.data.patterns import distinct_found, pattern_problem, values_found
from cxrsearch.errors import InputError
from search.errors import did_you_mean

from .cell_marks import Marks, Said, read_column, read_mark
from .cells import Cells, TextColumn, forget, of_files
from .columns import PART_WORDS, ROLE_COLUMNS, column_of, is_split, listed, part_of, plain
from .folders import IMAGE_PATH, class_cells, empty_classes
from .formats import LABEL_FORMATS, LabelFormat, TableLook
from .mimic import joined
from .names import by_plain_name, name_problems
from .patients import image_paths, read_patients
from .problems import CELL_SHOWN, LONGEST_ID, TableProblems, short, too_long
from .recognise import no_labels, of_table, read_tables, tables_in
from .reduce import by_image, by_readers, groups_of, readers_note
from .words import NO_LABELS, UNUSABLE, is_nothing, marked, split_cell

COUNTED = ("positive", "negative", "uncertain", "blank")
"""What the marks of a label are counted as, as the table says it."""
_MARKS_WANTED = "write 0, 1, -1 (uncertain) or nothing (not known)"


@dataclass(frozen=True, eq=False)
class LabelTable:
    """A label table, an image a row, in the order of the file.

    Args:
        path: where it was read from.
        images: image names, each once.
        labels: ``(n, k)``, see `cxrsearch.data.marks`.
        patients: ``(n,)`` str.
        extra: every other column, ``(n,)`` of str objects.
        notes: what had to be assumed.
        label_names: ``(k,)``.
        sources: ``(k,)`` the column or word that each label is read from.
        uncertain: ``(n, k)`` bool, None where no mark is.
        uncertain_as: ``(k,)`` out of `POLICIES`; empty where all are ignored.
        parts: ``(n,)`` "train", "val", "test" or "", where a column gives them.
        roles: role -> column of ``extra``: age, sex and view.
        counts: label -> `COUNTED` -> marks, before what is uncertain or blank is settled.
        blanks: label -> its blank cells and what they count as, where it has some.
        ignored: "columns" and "files" -> what is not used -> why.
        left_out: images that the description or the table leaves out: they are no unlabelled ones.
        format: name of the format.
        reason: by what it was told.
    """

    path: Path
    images: tuple[str, ...]
    labels: np.ndarray
    patients: np.ndarray
    extra: Mapping[str, np.ndarray] = field(repr=False)
    notes: tuple[str, ...] = ()
    label_names: tuple[str, ...] = DISEASES
    sources: tuple[str, ...] = DISEASES
    uncertain: np.ndarray | None = None
    uncertain_as: tuple[str, ...] = ()
    parts: np.ndarray | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    blanks: Mapping[str, Blank] = field(default_factory=dict)
    ignored: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    format: str = ""
    reason: str = ""

    def named(self, description: Description) -> Description:
        """``description`` with the labels that were found, to be written down."""
        pairs = zip(self.label_names, self.sources, strict=True)
        return replace(description, labels=tuple(LabelFrom(name, old) for name, old in pairs))


def read_table(source: Description | Path, files: Sequence[str] = ()) -> LabelTable:
    """Read a label table as its description says.

    Args:
        source: the description; of a table alone what it is taken for.
        files: paths of the image files below the description's folder, where they are known.

    Raises:
        InputError: with up to ten problems of each kind, by line.
    """
    if isinstance(source, Path):
        source = of_table(source.parent, source)
    try:
        return _Reading(source, files).table()
    finally:
        forget()


class _Reading:
    """One table on its way from cells to labels; what is wrong is collected on it."""

    def __init__(self, description: Description, files: Sequence[str]) -> None:
        self.description = description
        self.kind: LabelFormat = LABEL_FORMATS[description.format]
        self.left_out: list[str] = []
        cells = self._cells(files)
        self.cells = cells
        self.files = files
        self.problems = TableProblems(cells)
        self.notes: list[str] = list(cells.notes)
        self.ignored: dict[str, str] = {}
        self.options = {**self.kind.options(TableLook(cells)), **description.options}
        self.images: tuple[str, ...] = ()

    def table(self) -> LabelTable:
        """See `read_table`."""
        self._read_patterns()
        self._check_columns()
        self._filter()
        wanted = self._labels()
        if not wanted:
            self.problems.raise_any()
        marks = self._marks(wanted)
        self.images = tuple(column_of(self.cells, self._column("image")).list())
        self._check_images()
        self._check_contradictions(marks)
        marks = self._one_row_an_image(marks)
        marks = self._left_out_words(marks)
        labels, uncertain = self._settled(marks)
        marks, labels, uncertain = self._without_empty(marks, labels, uncertain)
        marks, labels, uncertain = self._of_something_known(marks, labels, uncertain)
        patient = self.description.columns.get("patient")
        if self.kind.assumes:
            self.notes.append(self.kind.assumes)
        paths = image_paths(self.images, self.files) if isinstance(patient, Pattern) else ()
        patients, notes = read_patients(patient, self.cells, self.images, self.problems, paths)
        parts = self._parts(patients)
        self.problems.raise_any()
        roles = {r: c for r, c in self._named().items() if r in ("age", "sex", "view")}
        counts = _counts(marks)
        policies = tuple(_policy(self.description.uncertain, n, "ignore") for n in marks.names)
        return LabelTable(
            path=self.cells.path,
            images=self.images,
            labels=compact(labels),
            patients=patients,
            extra=self._extra(marks),
            notes=(*notes, *self.notes),
            label_names=marks.names,
            sources=marks.sources,
            uncertain=uncertain if uncertain.any() else None,
            uncertain_as=() if set(policies) <= {"ignore"} else policies,
            parts=parts,
            roles=roles,
            counts=counts,
            blanks=self._blanks(counts),
            ignored={"columns": self._ignored(marks), "files": self._other_tables()},
            left_out=tuple(self.left_out),
            format=self.description.format,
            reason=self.description.reason,
        )

    # Columns and rows

    def _cells(self, files: Sequence[str]) -> Cells:
        """The table, or what takes its place."""
        folder, tables = self.description.images, self.description.table
        if self.description.format == "mimic-cxr":
            return joined(tables, files)
        if self.kind.table:
            if not tables:
                raise InputError(f"{folder}: format {self.description.format}: name the table")
            return read_tables(tables)
        if self.description.format == "file-names":
            return of_files(folder, {IMAGE_PATH: list(files)})
        found = class_cells(folder, files)
        if found is None:
            raise InputError(
                f"{folder}: no folders of classes below it; two at least are wanted, each called "
                "like a label (or normal), with its images"
            )
        cells, classes = found
        if empty := empty_classes(folder, classes):
            raise InputError(
                shorten(
                    f"{folder / name}: an empty class folder: no image lies in it; fill it, or "
                    "take it out"
                    for name in empty
                )
            )
        self.left_out += classes.masks
        if not classes.masks:
            return cells
        masks = f"{len(classes.masks):,} files are left out, as they lie in folders of masks"
        return replace(cells, notes=(masks,))

    def _read_patterns(self) -> None:
        """Make columns of what patterns over the paths say, each called like its role."""
        given = dict(self.description.columns)
        image = given.get("image")
        if not isinstance(image, str) or image not in self.cells.header:
            return
        for role, pattern in given.items():
            if isinstance(pattern, str) or role == "patient":
                continue
            images = column_of(self.cells, image).list()
            found = values_found(pattern.regex, image_paths(images, self.files))
            if not any(found):
                self.problems.say(
                    f"{self.cells.path}: columns: {role}: pattern {short(pattern.regex)} finds "
                    f"nothing in any path, such as {short(images[0])}"
                )
            name = role if role not in self.cells.header else f"{role} (path)"
            column = TextColumn.of([value or "" for value in found])
            self.cells = replace(
                self.cells,
                header=[*self.cells.header, name],
                columns=[*self.cells.columns, column],
            )
            given[role] = name
        self.problems.cells = self.cells
        self.description = replace(self.description, columns=given)

    def _named(self) -> dict[str, str]:
        """Role -> column, of the roles that have one."""
        given = self.description.columns
        return {role: column for role, column in given.items() if isinstance(column, str)}

    def _column(self, role: str) -> str:
        return str(self.description.columns[role])

    def _check_columns(self) -> None:
        """Name every column that the description has and the table has not, or has twice."""
        header = self.cells.header
        given = {
            **{
                f"columns: {r}": c
                for r, c in self.description.columns.items()
                if isinstance(c, str)
            },
            **{f"filter: {column}": column for column in self.description.filter},
            **{f"options: {o}": c for o, c in self.options.items() if o != "separator" and c},
        }
        for key, column in given.items():
            if column not in header:
                self._missing(key, column)
        if "image" not in self.description.columns:
            self.problems.say(f"{self.cells.path}: no image column; name it in columns: image")
        self.problems.raise_any()

    def _missing(self, key: str, column: str) -> None:
        header = self.cells.header
        hint = did_you_mean(column[:CELL_SHOWN], header) or f"; the columns are {listed(header)}"
        self.problems.say(f"{self.cells.path}: {key}: no column {short(column)}{hint}")

    def _filter(self) -> None:
        """Leave out the rows whose columns say what the description does not keep."""
        for name, kept in self.description.filter.items():
            column = column_of(self.cells, name)
            good = column.where({value.strip() for value in kept}.__contains__)
            if not good.any():
                seen = listed(list(column.counted()))
                self.problems.say(
                    f"{self.cells.path}: filter: {name}: no row has {listed(list(kept))}; the "
                    f"column has {seen}"
                )
            elif not good.all():
                left = column.taking(np.flatnonzero(~good)).counted()
                said = ", ".join(f"{count:,} {short(value)}" for value, count in left.items())
                self.notes.append(
                    f"{int((~good).sum()):,} of {len(good):,} rows are left out, as {name!r} says "
                    f"{said}: filter in dataset.yaml changes it"
                )
                self._keep(good)
        self.problems.raise_any()

    def _keep(self, rows: np.ndarray) -> None:
        images = column_of(self.cells, self._column("image"))
        self.left_out += images.taking(np.flatnonzero(~rows)).list()
        self.cells = self.cells.taking(np.flatnonzero(rows))
        self.problems.cells = self.cells

    # Labels

    def _labels(self) -> list[LabelFrom]:
        """The labels, each with the column or the word that it is read from as the table has it."""
        look = TableLook(self.cells)
        found = list(self.description.labels) or self.kind.labels(look, self.options)
        if not found:
            self.problems.say(no_labels(self.cells.path, self.cells.header))
        self._check_words(found)
        columns, words = by_plain_name(self.cells.header), self._words()
        settled: list[LabelFrom] = []
        for label in found:
            source = self._source(label.source, columns, words)
            if self.description.format == "file-names":
                if problem := pattern_problem(label.source):
                    self.problems.say(f"labels: {short(label.name)}: {problem}")
                else:
                    settled.append(label)
            elif source is None:
                known = [*self.cells.header, *(words.values())]
                hint = did_you_mean(label.source[:CELL_SHOWN], known)
                what = "column or word" if words else "column"
                self.problems.say(
                    f"{self.cells.path}: labels: no {what} {short(label.source)}{hint}"
                    + ("" if hint else f"; there are {listed(known)}")
                )
            else:
                settled.append(LabelFrom(label.name, source))
        for wrong in name_problems([label.name for label in found]):
            self.problems.say(f"{self.cells.path}: {wrong}")
        for key, policies in (
            ("uncertain", self.description.uncertain),
            ("blank", self.description.blank),
        ):
            names = [label.name for label in found]
            for name in policies:
                if name and name not in names:
                    hint = did_you_mean(name[:CELL_SHOWN], names) or f"; they are {listed(names)}"
                    self.problems.say(f"{key}: no label {short(name)}{hint}")
        doubled = [name for name, count in Counter(self.cells.header).items() if count > 1]
        used = {label.source for label in settled}
        for name in doubled:
            if name in used:
                self.problems.say(f"{self.cells.path}: two columns are called {name!r}; keep one")
        return settled

    def _source(
        self, source: str, columns: Mapping[str, str], words: Mapping[str, str]
    ) -> str | None:
        if source in self.cells.header and source != self.options.get("list"):
            return source
        if source in words.values():
            return source
        key = plain(source)
        if key in columns and columns[key] != self.options.get("list"):
            return columns[key]
        return words.get(key)

    def _words(self) -> dict[str, str]:
        """The words of the list column: as `plain` writes them -> as they stand there."""
        name = self.options.get("list")
        if not name:
            return {}
        found = {plain(d): d for d in self.kind.keeps}
        for label in _word_labels(self.cells, self.options):
            found.setdefault(plain(label) or label, label)
        return found

    def _check_words(self, labels: Sequence[LabelFrom]) -> None:
        """Words of NIH's list that are none of its diseases, and cells that say nothing."""
        name = self.options.get("list")
        if not name or not self.kind.keeps:
            return
        known = {plain(word) for word in (*self.kind.keeps, *(label.source for label in labels))}
        column = column_of(self.cells, name)
        for code, text in enumerate(column.texts):
            if not column.used[code]:
                continue
            wrong = _wrong_words(text, self.options["separator"], known, self.kind.keeps)
            if wrong:
                for row in np.flatnonzero(column.codes == code).tolist():
                    self.problems.add("label", row, wrong)

    def _marks(self, labels: Sequence[LabelFrom]) -> Marks:
        """What each row says of each label."""
        rows, width = len(self.cells), len(labels)
        values = np.zeros((rows, width), np.float32)
        said = np.zeros((rows, width), np.uint8)
        header = self.cells.header
        places: dict[str, list[int]] = {}
        for place, label in enumerate(labels):
            if self.description.format == "file-names":
                values[:, place], said[:, place] = self._by_name(label)
            elif label.source == self.options.get("masks"):
                none = column_of(self.cells, label.source).where(_no_mask)
                values[:, place] = ~none
            elif label.source in header:
                column = column_of(self.cells, label.source)
                values[:, place], said[:, place] = read_column(column)
                self._check_marks(label.source, column, said[:, place])
            else:
                places.setdefault(plain(label.source) or label.source, []).append(place)
        if places:
            column = column_of(self.cells, self.options["list"])
            separator = self.options.get("separator", "")
            words = marked(column, separator, places, width)
            at = sorted(place for same in places.values() for place in same)
            values[:, at] = words[:, at]
            empty = column.where(lambda text: not split_cell(text, separator))
            said[np.ix_(np.flatnonzero(empty), np.array(at))] = Said.BLANK
            values[np.ix_(np.flatnonzero(empty), np.array(at))] = np.nan
        names = tuple(label.name for label in labels)
        return Marks(names, tuple(label.source for label in labels), values, said)

    def _by_name(self, label: LabelFrom) -> tuple[np.ndarray, np.ndarray]:
        """What a pattern finds in the names of files: a mark in its group, else that it is."""
        names = [text.rpartition("/")[2] for text in column_of(self.cells, IMAGE_PATH).list()]
        found = distinct_found(label.source, names)
        if not re.compile(label.source).groups:
            return np.array([bool(hits) for hits in found], np.float32), np.zeros(len(found))
        marks = [read_mark(hits[0] if len(hits) == 1 else "both") for hits in found]
        for row, (_, said) in enumerate(marks):
            if said is Said.NONSENSE:
                hits = " and ".join(map(short, found[row])) or "no mark"
                what = f"pattern {short(label.source)} finds {hits} in {short(names[row])}"
                self.problems.add("name", row, f"labels: {label.name}: {what}; {_MARKS_WANTED}")
        return np.array([v for v, _ in marks], np.float32), np.array([s for _, s in marks])

    def _check_marks(self, name: str, column: TextColumn, said: np.ndarray) -> None:
        for row in np.flatnonzero(said == Said.NONSENSE).tolist():
            text = column.texts[column.codes[row]]
            self.problems.add("marks", row, f"{name} is {short(text)}; {_MARKS_WANTED}")

    def _check_images(self) -> None:
        several = self._several()
        first: dict[str, int] = {}
        for row, name in enumerate(self.images):
            if not name:
                self.problems.add("no image", row, "no image name")
            elif len(name) > LONGEST_ID:
                self.problems.add("long", row, too_long("image name", name))
            elif name in first and not several:
                place = self.cells.where(first[name]).rpartition(", ")[2]
                what = f"duplicate image {short(name)}, first on {place}; keep one"
                self.problems.add("twice", row, what)
            else:
                first.setdefault(name, row)

    def _nothing(self) -> np.ndarray | None:
        """``(n,)`` bool: the rows whose column "no finding" says so; None without such a column."""
        for name, column in zip(self.cells.header, self.cells.columns, strict=True):
            if is_nothing(name):
                values, said = read_column(column)
                return np.asarray((said == Said.MARK) & (values == 1))
        return None

    def _check_contradictions(self, marks: Marks) -> None:
        nothing = self._nothing()
        if nothing is None or not self.kind.exclusive:
            return
        for row in np.flatnonzero(nothing & np.any(present(marks.values), axis=1)).tolist():
            self.problems.add("both", row, f"{NO_FINDING!r} and a label at once")

    def _several(self) -> bool:
        """Whether an image may have several rows."""
        return self.kind.boxes or bool(self.options.get("reader") or self.options.get("boxes"))

    def _one_row_an_image(self, marks: Marks) -> Marks:
        """Boxes and readers put together, where an image has several rows."""
        reader = self.options.get("reader")
        if not self._several():
            return marks
        group, first = groups_of(column_of(self.cells, self._column("image")))
        if reader:
            rule = self.description.readers
            whole = marks
            marks, counts = by_readers(
                whole, column_of(self.cells, reader), group, len(first), rule
            )
            ties = int((marks.said == Said.DOUBT).sum())
            self.notes.append(readers_note(counts, rule, ties))
        else:
            marks = by_image(marks, group, len(first))
        self.cells = self.cells.taking(first)
        self.problems.cells = self.cells
        self.images = tuple(self.images[row] for row in first.tolist())
        return marks

    def _left_out_words(self, marks: Marks) -> Marks:
        """Without images of which the words of their list leave nothing known."""
        name = self.options.get("list")
        if not name or self.kind.keeps:
            return marks
        column = column_of(self.cells, name)
        separator = self.options.get("separator", "")
        said = [{plain(word) for word in split_cell(text, separator)} for text in column.texts]
        useless = np.array([bool(words & UNUSABLE) for words in said])
        nothing = np.array([bool(words) and words <= NO_LABELS for words in said])
        left = (useless | nothing)[column.codes]
        meta = Counter(
            word
            for words, count in zip(said, column.used.tolist(), strict=True)
            if count
            for word in words & NO_LABELS
            for _ in range(count)
        )
        if meta:
            shown = ", ".join(f"{word} ({count:,})" for word, count in sorted(meta.items()))
            self.notes.append(
                f"words that are no findings, and no labels here: {shown}; {int(left.sum()):,} "
                "images of which the table says nothing else are left out"
            )
        if not left.any() or left.all():
            return marks
        self._keep(~left)
        keep = np.flatnonzero(~left)
        self.images = tuple(self.images[row] for row in keep.tolist())
        return replace(marks, values=marks.values[keep], said=marks.said[keep])

    def _settled(self, marks: Marks) -> tuple[np.ndarray, np.ndarray]:
        """Labels, with blank cells as the description takes them, and which are uncertain."""
        labels = marks.values.copy()
        blank = marks.said == Said.BLANK
        nothing = self._nothing()
        if nothing is not None and self.kind.exclusive and (blank & nothing[:, None]).any():
            # Whoever says "no finding" says that none of the labels is there.
            labels[blank & nothing[:, None]] = 0
        for place, name in enumerate(marks.names):
            if _policy(self.description.blank, name, self.kind.blank) == "negative":
                labels[blank[:, place], place] = 0
        return labels, marks.said == Said.DOUBT

    def _blanks(self, counts: Mapping[str, Mapping[str, int]]) -> dict[str, Blank]:
        """Blank cells by label, as `_settled` takes them."""
        return {
            name: Blank(each["blank"], _policy(self.description.blank, name, self.kind.blank))
            for name, each in counts.items()
            if each["blank"]
        }

    def _without_empty(
        self, marks: Marks, labels: np.ndarray, uncertain: np.ndarray
    ) -> tuple[Marks, np.ndarray, np.ndarray]:
        """Without labels that no image has, or that all have; whoever named one is told."""
        some, none = np.any(present(labels), axis=0), np.any(absent(labels), axis=0)
        full = len(self.kind.keeps) > 0 and set(self.kind.keeps) <= set(marks.names)
        keep = []
        for place, name in enumerate(marks.names):
            good = some[place] and none[place]
            if good or (full and name in self.kind.keeps):
                keep.append(place)
                continue
            lacks = "positives" if none[place] else "negatives" if some[place] else "known marks"
            if self.description.labels or len(marks.names) == 1:
                self.problems.say(
                    f"{self.cells.path}: label {short(name)} has no {lacks}; nothing can be "
                    "learnt of it: take it out of labels, or say in blank what blank cells mean"
                )
                keep.append(place)
            else:
                self.ignored[marks.sources[place]] = f"a label without {lacks}"
        if not keep:
            self.problems.say(f"{self.cells.path}: no label has both positives and negatives")
            keep = list(range(len(marks.names)))
        kept = Marks(
            tuple(marks.names[place] for place in keep),
            tuple(marks.sources[place] for place in keep),
            marks.values[:, keep],
            marks.said[:, keep],
        )
        return kept, labels[:, keep], uncertain[:, keep]

    def _of_something_known(
        self, marks: Marks, labels: np.ndarray, uncertain: np.ndarray
    ) -> tuple[Marks, np.ndarray, np.ndarray]:
        """Without images of which nothing is known, nor in doubt: they are unlabelled ones."""
        keep = np.flatnonzero((~np.isnan(labels) | uncertain).any(axis=1))
        if len(keep) in (0, len(labels)):
            return marks, labels, uncertain
        self.notes.append(
            f"{len(labels) - len(keep):,} of {len(labels):,} images have no mark of any label: "
            "they count as unlabelled; where a blank cell means that nothing was found, write "
            "blank: negative"
        )
        self.cells = self.cells.taking(keep)
        self.problems.cells = self.cells
        self.images = tuple(self.images[row] for row in keep.tolist())
        kept = replace(marks, values=marks.values[keep], said=marks.said[keep])
        return kept, labels[keep], uncertain[keep]

    # Beside the labels

    def _parts(self, patients: np.ndarray) -> np.ndarray | None:
        """The parts that a column gives, where the description takes them."""
        name = self.description.columns.get("split")
        if self.description.split != "column":
            self._note_split()
            return None
        if isinstance(name, Pattern) or name is None:
            self.problems.say("split: column: name the column in columns: split")
            return None
        column = column_of(self.cells, name)
        each = [part_of(text) for text in column.texts]
        for code, part in enumerate(each):
            if part is None and column.used[code]:
                rows = np.flatnonzero(column.codes == code)
                what = f"{name} is {short(column.texts[code])}; a part is {', '.join(PART_WORDS)}"
                for row in rows.tolist():
                    self.problems.add("part", row, what)
        parts = np.asarray(np.array([part or "" for part in each], object)[column.codes])
        _check_patients(parts, patients, name, self.problems)
        return parts

    def _note_split(self) -> None:
        """Say so where a column names parts but all are one."""
        look = TableLook(self.cells)
        name = look.column(*ROLE_COLUMNS["split"])
        if name is not None and not is_split(look.of(name)):
            found = list(look.of(name).counted())
            if len(found) == 1 and part_of(found[0]):
                self.notes.append(
                    f"column {name!r} says {found[0]!r} of all images: it is no split, and parts "
                    "are drawn by patient"
                )

    def _other_tables(self) -> dict[str, str]:
        """The tables in the folder of the images that are not read."""
        folder, used = self.description.images, set(self.description.table)
        if not folder.is_dir():
            return {}
        return {path.name: "not used" for path in tables_in(folder) if path not in used}

    def _extra(self, marks: Marks) -> dict[str, np.ndarray]:
        """The other columns as they are; of images with several rows those that have a role."""
        taken = self._taken(marks)
        if self._several():
            taken |= set(self.cells.header) - set(self._named().values())
        return {
            name: column.cells()
            for name, column in zip(self.cells.header, self.cells.columns, strict=True)
            if name.strip() and name not in taken
        }

    def _taken(self, marks: Marks) -> set[str]:
        """The columns that are more than kept: labels, image, patient, "no finding"."""
        columns = self.description.columns
        taken = {
            column for role in ("image", "patient") if isinstance(column := columns.get(role), str)
        }
        taken |= set(marks.sources) & set(self.cells.header)
        taken |= {self.options[key] for key in ("list", "masks") if key in self.options}
        return taken | {name for name in self.cells.header if is_nothing(name)}

    def _ignored(self, marks: Marks) -> dict[str, str]:
        """The columns that nothing is made of, and why."""
        used = self._taken(marks) | {self.options.get("reader", "")}
        used |= set(self._named().values())
        used |= set(self.description.filter)
        found = dict(self.ignored)
        if self.description.labels:
            asked = "marks of a label that the description does not name"
            beside = self.kind.labels(TableLook(self.cells), self.options)
            columns = set(self.cells.header) - used
            found |= {label.source: asked for label in beside if label.source in columns}
        for name, column in zip(self.cells.header, self.cells.columns, strict=True):
            if name.strip() and name not in used:
                found.setdefault(name, _why(name, column))
        return found


def _wrong_words(text: str, separator: str, known: set[str], names: Sequence[str]) -> str:
    """What is wrong with a cell of words that are all to be known."""
    words = split_cell(text, separator)
    if not words:
        return f"no label; write {NO_FINDING!r} for an image without any of the {len(names)}"
    unknown = [word for word in words if plain(word) not in known and not is_nothing(word)]
    if unknown:
        hint = did_you_mean(unknown[0][:CELL_SHOWN], (*names, NO_FINDING))
        return f"unknown disease {short(unknown[0])}{hint}"
    if any(map(is_nothing, words)) and not all(map(is_nothing, words)):
        return f"{short(text)} says {NO_FINDING!r} and a disease at once"
    return ""


def _word_labels(cells: Cells, options: Mapping[str, str]) -> list[str]:
    column, separator = column_of(cells, options["list"]), options.get("separator", "")
    return list(dict.fromkeys(
        word
        for text, count in zip(column.texts, column.used.tolist(), strict=True)
        if count
        for word in split_cell(text, separator)
    ))  # fmt: skip


def _no_mask(text: str) -> bool:
    return text in ("-1", "") or text.lower() in ("nan", "none")


def _policy(policies: Mapping[str, str], name: str, usual: str) -> str:
    return policies.get(name, policies.get("", usual))


def _counts(marks: Marks) -> dict[str, dict[str, int]]:
    positive, negative = present(marks.values), absent(marks.values)
    blank = marks.said == Said.BLANK
    other = ~(positive | negative | blank)
    every = (positive, negative, other, blank)
    sums = np.array([kind.sum(axis=0) for kind in every])
    return {
        name: dict(zip(COUNTED, sums[:, place].tolist(), strict=True))
        for place, name in enumerate(marks.names)
    }


def _check_patients(
    parts: np.ndarray, patients: np.ndarray, name: str, problems: TableProblems
) -> None:
    """Name the patients whom a given split puts in two parts."""
    first: dict[str, tuple[int, str]] = {}
    told: set[str] = set()
    for row, (patient, part) in enumerate(zip(patients.tolist(), parts.tolist(), strict=True)):
        if not part:
            continue
        before, where = first.setdefault(patient, (row, part))
        if where != part and patient not in told:
            told.add(patient)
            place = problems.cells.where(before).rpartition(", ")[2]
            problems.add(
                "two parts",
                row,
                f"{name} puts patient {short(patient)} in {part}, but on {place} in {where}; a "
                "patient is in one part: correct it, or write split: drawn",
            )


def _why(name: str, column: TextColumn) -> str:
    """Why a column is no label."""
    texts = [text for text in column.counted() if text]
    if not texts:
        return "empty"
    if len(texts) == 1:
        return f"the same in every row: {short(texts[0])}"
    numbers = sum(_is_number(text) for text in texts[:200])
    if numbers == len(texts[:200]):
        return "numbers, no marks of a label"
    return "text, no marks of a label"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
