"""What becomes of marks that are neither positive nor negative, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .rows import mapping, whole

COUNT_AS = {
    "ignore": "are ignored", "positive": "count as positive", "negative": "count as negative",
    "soft": "count as half",
}  # fmt: skip
"""What uncertain marks do in training, by the policy."""
BLANK_KEY = "blank "
BLANKS_ARE = {"negative": "count as negative", "ignore": "are not known"}
"""What blank cells do, by the policy."""


def count_marks(data: Mapping[str, Any]) -> dict[str, int]:
    """How many marks are not plain, of all labels together.

    Args:
        data: what study.yaml says of the data.

    Returns:
        ``ignore``, ``positive``, ``negative`` or ``soft``: uncertain marks by what they count as
        in training; ``unknown``: those of which nothing is known; ``blank negative`` and
        ``blank ignore``: blank cells of the table, by what they count as. Those that there are.
    """
    taken, blank_as = mapping(data.get("uncertain_as")), mapping(data.get("blank_as"))
    found = dict[str, int]()
    for name, counts in mapping(data.get("labels")).items():
        some = {key: whole(value) or 0 for key, value in mapping(counts).items()}
        policy = str(taken.get(name))
        found[policy] = found.get(policy, 0) + some.get("uncertain", 0)
        found["unknown"] = found.get("unknown", 0) + some.get("unknown", 0)
        blank = f"{BLANK_KEY}{blank_as.get(name)}"
        found[blank] = found.get(blank, 0) + some.get("blank", 0)
    return {key: count for key, count in found.items() if count}


def marks_text(marks: Mapping[str, int], gene: bool = False) -> str:
    """What becomes of the marks that are not plain, as `count_marks` counts them; empty where
    all are. ``gene``: whether the study's trials choose it themselves."""
    doubts = [f"{n:,} {COUNT_AS[p]}" for p, n in marks.items() if p in COUNT_AS]
    found = []
    if doubts:
        chosen = " where the gene uncertain says nothing else" if gene else ""
        found.append(
            f"Uncertain marks: {', '.join(doubts)} in training{chosen}; validation and test use "
            "none of them."
        )
    blank = [
        f"{count:,} {words}"
        for policy, words in BLANKS_ARE.items()
        if (count := marks.get(BLANK_KEY + policy))
    ]
    if blank:
        found.append(f"Blank cells of the table: {', '.join(blank)}.")
    if unknown := marks.get("unknown"):
        found.append(f"Marks not known: {unknown:,}; they count nowhere.")
    return " ".join(found)
