"""``methods.md``: everything that is recorded, and which checklist item each sentence answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from cxrsearch.report.evidence import Evidence

from .data_sections import data_sections
from .items import CHECKLISTS, Item
from .judging_sections import judging_sections
from .model_sections import model_sections
from .recorded import Recorded, recorded_of
from .sentence import MethodsSection, table_lines

AUTHOR = "author"
UNANSWERED = "not recorded: "
HEAD = ("item", "about", "answered by", "the author must write")
INTRODUCTION = (
    "Written from what is recorded of the model, its study and its data; nothing here is guessed. "
    "What is not known says so, and what only the author can know is marked. Sentences are "
    "numbered, and the tables at the end say which answers which checklist item."
)


def methods_text(evidence: Evidence, content: Mapping[str, Any]) -> str:
    """A methods section as Markdown, with TRIPOD+AI and CLAIM item by item.

    Args:
        evidence: model, data and scores.
        content: what ``report.json`` holds: figures, subgroups, checks; may be empty.
    """
    sections = sections_of(recorded_of(evidence, content))
    numbers = numbered(sections)
    parts = ["# Methods", INTRODUCTION]
    for place, section in enumerate(sections, 1):
        parts.append(f"## {place}. {section.title}")
        for sentence in section.sentences:
            parts.append(f"**{numbers[sentence.key]}** {sentence.text}")
            if sentence.table:
                parts.append(table_lines(sentence.table[0], sentence.table[1:]))
    for name, items in CHECKLISTS.items():
        parts += [f"## {name}, item by item", checklist_table(items, numbers, lacking(sections))]
    return "\n\n".join(parts) + "\n"


def sections_of(known: Recorded) -> list[MethodsSection]:
    """Every section, in reading order."""
    return [*data_sections(known), *model_sections(known), *judging_sections(known)]


def numbered(sections: Sequence[MethodsSection]) -> dict[str, str]:
    """Key of a sentence, or of a section -> its number in the text."""
    found: dict[str, str] = {}
    for place, section in enumerate(sections, 1):
        found[section.key] = str(place)
        for number, sentence in enumerate(section.sentences, 1):
            found[sentence.key] = f"{place}.{number}"
    return found


def lacking(sections: Sequence[MethodsSection]) -> set[str]:
    """Keys of sentences, and of whole sections, that say no more than that it is not recorded."""
    found = set()
    for section in sections:
        none = [one.key for one in section.sentences if one.text.startswith("Not recorded")]
        found |= {*none, section.key} if len(none) == len(section.sentences) else set(none)
    return found


def checklist_table(
    items: Sequence[Item], numbers: Mapping[str, str], none: Collection[str] = ()
) -> str:
    """The items of a checklist as a table.

    Args:
        items: of one checklist.
        numbers: as `numbered` gives them.
        none: keys of sentences that say that it is not recorded; an item with no other is the
            author's.
    """
    rows = []
    for item in items:
        answered, author = ", ".join(numbers[key] for key in item.keys), item.author
        if item.keys and all(key in none for key in item.keys):
            answered, author = f"{UNANSWERED}{answered}", "all of it"
        rows.append((item.number, item.about, answered or AUTHOR, author))
    return table_lines(HEAD, rows)


def checklist_page() -> str:
    """The items with the names of the sentences that answer them, for docs/checklists.md."""
    parts = []
    for name, items in CHECKLISTS.items():
        rows = [
            (
                item.number,
                item.about,
                ", ".join(f"`{key}`" for key in item.keys) or AUTHOR,
                item.author,
            )
            for item in items
        ]
        parts.append(f"## {name}\n\n{table_lines(HEAD, rows)}")
    return "\n\n".join(parts) + "\n"
