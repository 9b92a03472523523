"""What becomes of marks that are neither positive nor negative, in words."""

from __future__ import annotations

from collections.abc import Mapping

COUNT_AS = {
    "ignore": "are ignored", "positive": "count as positive", "negative": "count as negative",
    "soft": "count as half",
}  # fmt: skip
"""What uncertain marks do in training, by the policy."""


def marks_text(marks: Mapping[str, int], gene: bool = False) -> str:
    """What becomes of the marks that are not plain, as `StudyView.marks` counts them; empty where
    all are. ``gene``: whether the study's trials choose it themselves."""
    doubts = [f"{n:,} {COUNT_AS[p]}" for p, n in marks.items() if p in COUNT_AS]
    found = []
    if doubts:
        chosen = " where the gene uncertain says nothing else" if gene else ""
        found.append(
            f"Uncertain marks: {', '.join(doubts)} in training{chosen}; validation and test use "
            "none of them."
        )
    if unknown := marks.get("unknown"):
        found.append(f"Marks not known: {unknown:,}; they count nowhere.")
    return " ".join(found)
